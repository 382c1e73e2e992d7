// The reviewer's name, as the pages of the queue keep it in this browser: told to the server, and kept when it changes.

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  const kept = stored(localStorage, "curate:reviewer", "");
  if (data.chosen && data.chosen !== kept) store(localStorage, "curate:reviewer", data.chosen);
  const said = !data.chosen && typeof kept === "string" && kept && parentElement.curateSaid !== kept;
  if (said) setTriggerValue("message", { reviewer: (parentElement.curateSaid = kept) });
}
