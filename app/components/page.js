// What every page of the component has: the line on top, the reviewer's name, layers above the page, keys.

class Page {
  constructor(parent, data) {
    this.root = el("div", { class: "desk" });
    this.top = el("div", { class: "top" });
    this.body = el("div", { class: "body" });
    this.layers = el("div");
    this.root.append(this.top, this.body, this.layers);
    (parent.querySelector(".mount") ?? parent).append(this.root);
    this.data = {};
    this.decided = 0;
    this.comment = "";
    this.notice = ""; // text, or pieces of it as the server lays them out; stands in the line on top
    this.problem = ""; // what went wrong, below that line
    this.halt = null; // [title, text, what was said before]: to be acknowledged before there is anything to decide
    this.labels = [];
    this.closeLayer = null;
    this.zoom = null;
    this.reviewer = data.verified ? data.reviewer : stored(localStorage, "curate:reviewer", "");
    this.link = new Link(
      data.room,
      () => ({ reviewer: this.reviewer, ...this.report() }),
      () => this.drawTop(),
    );
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey, true);
    leaveLink();
  }

  close() {
    this.link.close();
    document.removeEventListener("keydown", this.onKey, true);
    this.root.remove();
  }

  receive(data) {
    if (data === this.data) return;
    if (this.data.scope !== undefined && this.data.scope !== data.scope) {
      this.forget();
      this.halt = null;
      leaveLink();
    }
    this.data = data;
    this.root.dataset.scope = data.scope;
    if (data.labels) this.labels = searchable(data.labels);
    if (data.verified) this.reviewer = data.reviewer;
    for (const { action, text } of this.link.receive(data)) {
      this.refused(action);
      this.problem = `Not recorded: ${text}`;
    }
    this.take(data);
    if (data.notice) this.notice = data.notice;
    if (data.halt) this.halt = data.halt;
    if (!this.reviewer) this.askName();
    else if (data.need_hello && !this.hello) {
      this.hello = true;
      this.link.send();
    }
    this.draw();
  }

  // --- keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !this.root.isConnected) return;
    if (typesElsewhere(event)) return;
    if (this.helpOpen) this.closeLayer();
    else if (this.zoom) this.zoom.key(event.key);
    else if (this.closeLayer) return;
    else if (this.halt && !["z", "?", "Backspace"].includes(keyOf(event))) {
      if (![" ", "Enter", "Escape"].includes(event.key)) return;
      this.goOn();
    } else {
      const press = this.action(event);
      if (!press) return this.hint(event);
      this.problem = "";
      if (!event.repeat || event.key.startsWith("Arrow")) press(); // a key that is held down decides once
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // A key that means nothing here: what may have been wanted.
  hint(event) {
    const { key } = event;
    if (!this.isBusy || event.repeat || (key !== "Enter" && (key.length !== 1 || key === " "))) return;
    const label = this.labels.find(([label]) => label === key);
    const means = [keyPiece(KEY_NAMES[key] ?? key), [" means nothing here; "]];
    const picks = label ? [[" and type it picks the class "], [label[1], true]] : [[" picks another class"]];
    this.notice = [...means, keyPiece("/"), ...picks, [", "], keyPiece("?"), [" lists all keys."]];
    this.drawTop();
  }

  goOn() {
    this.halt = null;
    this.draw(true);
  }

  drawHalt() {
    const [title, text, said] = this.halt;
    return el(
      "div",
      { class: "empty" },
      el("h2", {}, title),
      el("p", {}, el("bdi", {}, text)),
      ...said.map((parts) => el("p", {}, ...wordsEl(parts))),
      el("button", { class: "action accept", type: "button", onclick: () => this.goOn() }, keyEl("↵"), " go on"),
    );
  }

  // The keys of every page; `key` is the letter, small.
  common(key) {
    return { z: () => this.undo(), Backspace: () => this.undo(), "?": () => this.openHelp() }[key];
  }

  // --- what lies over the page

  layer(open) {
    if (this.closeLayer) return null;
    const opened = open(() => {
      this.closeLayer = null;
      this.helpOpen = false;
      this.zoom = null;
    });
    this.closeLayer = typeof opened === "function" ? opened : (opened?.close ?? null);
    return opened;
  }

  showLarge(source, tiny) {
    this.zoom = this.layer((closed) => openZoom(this.layers, source, tiny, closed));
  }

  openHelp() {
    this.helpOpen = true;
    this.layer((closed) => openHelp(this.layers, this.help(), closed));
  }

  openNote() {
    this.layer((closed) =>
      openLine(this.layers, {
        title: "Note",
        text: this.comment,
        hint: "Goes with your next decision.",
        limit: 2000,
        done: (text) => ((this.comment = text), this.drawTop()),
        closed,
      }),
    );
  }

  askName() {
    if (this.link.pending.length) {
      this.problem = "Your last decisions are still being saved under this name; try again when they are.";
      return this.drawTop();
    }
    this.layer((closed) =>
      openLine(this.layers, {
        title: "Who is reviewing?",
        text: this.reviewer,
        hint: "Your name is kept in this browser and stands beside your decisions.",
        limit: 100,
        required: !this.reviewer,
        done: (name) => {
          this.reviewer = name;
          store(localStorage, "curate:reviewer", name);
          this.hello = true;
          this.link.send();
          this.drawTop();
        },
        closed,
      }),
    );
  }

  // --- the line on top

  drawTop() {
    const { data, link } = this;
    const unsent = link.pending.filter((action) => action.kind === "decide");
    const sum = (count) => unsent.reduce((all, action) => all + (count(action) || 0), 0);
    const total = data.total ?? 0;
    const done = (data.done ?? 0) + sum((action) => action.items.length - action.again);
    const suspects = Math.min(total, (data.suspects ?? 0) + sum((action) => action.suspects));
    const state = link.state;
    this.root.dataset.state = state;
    this.root.dataset.undo = this.history.length || data.can_undo ? "yes" : "no";
    this.root.dataset.pending = String(link.pending.length);
    const key = JSON.stringify([
      total,
      done,
      suspects,
      state,
      link.pending.length,
      link.error,
      this.notice,
      this.problem,
      this.reviewer,
      this.comment,
      this.decided,
      this.heading(),
    ]);
    if (key === this.topKey) return;
    this.topKey = key;
    const text = { saved: "saved", saving: "saving …", silent: "not saved" }[state];
    this.top.replaceChildren(
      el(
        "div",
        { class: "line" },
        ...this.heading().map((part) => (part instanceof Array ? labelEl(part[0]) : el("span", {}, part))),
        data.total === undefined ? null : countEl(suspects, total, done),
        ...(this.notice ? [this.drawNotice()] : this.drawProgress(total, suspects)),
        this.comment ? el("span", { class: "muted" }, "✎ ", el("bdi", {}, this.comment.slice(0, 60))) : null,
        el("span", { class: `state ${state}`, role: "status" }, text),
        this.reviewer
          ? el(
              "button",
              {
                class: "quiet",
                type: "button",
                disabled: Boolean(data.verified),
                title: data.verified ? "signed in" : "change the name",
                onclick: () => this.askName(),
              },
              el("bdi", {}, this.reviewer),
            )
          : null,
        el("button", { class: "quiet", type: "button", onclick: () => this.openHelp() }, keyEl("?"), " keys"),
      ),
      state === "silent" ? this.drawBanner() : "",
      this.problem ? el("div", { class: "notice problem", role: "alert" }, this.problem) : "",
    );
  }

  // In the place of the bar, so that nothing on the card moves.
  drawNotice() {
    const parts = this.notice instanceof Array ? wordsEl(this.notice) : [this.notice];
    return el("span", { class: "notice", role: "status" }, ...parts);
  }

  drawProgress(total, suspects) {
    return [
      total ? el("span", { class: "bar" }, el("span", { style: { width: `${(100 * suspects) / total}%` } })) : null,
      el("span", { class: "muted" }, this.decided > 0 ? `${this.decided} by you just now` : ""),
      el("span", { class: "grow" }),
    ].filter(Boolean);
  }

  drawBanner() {
    const { error, pending } = this.link;
    const kept = pending.length === 1 ? "One action is" : `${pending.length} actions are`;
    return el(
      "div",
      { class: "banner", role: "alert" },
      el("b", {}, error ? "The server cannot save: " : "The server does not answer. "),
      error ? `${error} ` : "",
      pending.length ? `${kept} kept in this tab and sent again until it has them. Leave the tab open.` : "",
    );
  }

  heading() {
    return [];
  }
}

// How far it is: of the suspects, and how much else was decided.
function countEl(suspects, total, done) {
  const others = Math.max(0, done - suspects);
  const [all, many, more] = [suspects, total, others].map((number) => number.toLocaleString());
  if (!total) return el("span", { class: "count" }, el("b", {}, more), " decided");
  return el(
    "span",
    { class: "count", title: "suspects are items with a finding" },
    el("b", {}, all),
    ` of ${many} suspects decided`,
    others ? `, ${more} ${others === 1 ? "other" : "others"}` : "",
  );
}

// Of these every pixel is looked at; larger ones are smoothed when they are enlarged.
const isTiny = (size) => Boolean(size?.length) && Math.max(...size) <= 96;

const KEY_NAMES = { " ": "Space", Enter: "↵", Backspace: "⌫" };

// A button that says its key; pressing it is pressing the key.
function buttonEl(page, key, meaning, kind = "") {
  const button = el(
    "button",
    { class: `action ${kind}`, type: "button" },
    keyEl(KEY_NAMES[key] ?? key),
    " ",
    ...[meaning].flat(),
  );
  button.addEventListener("click", () => {
    button.blur(); // or Space would press it again
    page.action({ key, code: "", shiftKey: false })?.();
  });
  return button;
}

// A sentence in pieces: [text, whether it is a class name, whether it is a key].
const wordsEl = (parts) =>
  parts.map(([text, isLabel, isKey]) => {
    if (isLabel) return labelEl(text);
    return isKey ? keyEl(text) : el("bdi", {}, text.replace(/(\d) %/g, "$1\u00a0%")); // a number and its sign stay together
  });

const keyPiece = (text) => [text, false, true];

// Nothing to take back: it looks that way, and says so when it is pressed.
const undoEl = (page) => buttonEl(page, "z", "undo", "undo");

// Buttons in groups that stay together when there is not room for all on a line; undo is always at the same place.
const buttonsEl = (page, ...groups) =>
  el("div", { class: "buttons" }, el("div", { class: "wrap" }, ...groups), undoEl(page));

const groupEl = (...buttons) => el("div", { class: "together" }, ...buttons);

const whyEl = (parts) => el("p", { class: "why" }, ...wordsEl(parts));
