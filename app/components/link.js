// The line to the server: an action is kept here, and in the tab's storage, until the server says that it has it.

const RESEND_MS = 3000; // an answer takes a tenth of a second; after three the message is sent again
const SILENT_MS = 6000; // after this long without an answer the reviewer is told
const HEARTBEAT_MS = 100000; // what is on screen stays this tab's while somebody looks at it

const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

function stored(storage, key, fallback) {
  try {
    return JSON.parse(storage.getItem(key)) ?? fallback;
  } catch {
    return fallback; // storage switched off, or something else wrote there
  }
}

function store(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is full or switched off: the actions are still kept in memory.
  }
}

// This tab's id. It survives a reload, so that a tab finds its items again; a copied tab, which the browser gives a
// copy of the storage, must not share it. A lock tells the two apart; where there are no locks, every load is a new tab.
async function tabId() {
  let id = stored(sessionStorage, "curate:tab", "");
  if (!/^[0-9a-f]{32}$/.test(id) || !(await holdName(`curate:tab:${id}`))) {
    id = newId();
    await holdName(`curate:tab:${id}`);
    store(sessionStorage, "curate:tab", id);
  }
  return id;
}

function holdName(name) {
  if (!navigator.locks) return Promise.resolve(false);
  window.curateLocks ??= new Set();
  if (window.curateLocks.has(name)) return Promise.resolve(true); // another view of this very tab
  return new Promise((answer) => {
    const held = (lock) => {
      if (lock) window.curateLocks.add(name);
      answer(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined; // held until the tab is closed
    };
    navigator.locks.request(name, { ifAvailable: true }, held).catch(() => answer(false));
  });
}

class Link {
  // room: what the actions belong to (store and data set), so that a second data set on this address is no mix-up
  // report: () => what the server should know beside the actions; changed: () => the state to show has changed
  constructor(room, report, changed) {
    this.key = `curate:pending:${room}`;
    this.report = report;
    this.changed = changed;
    this.pending = stored(sessionStorage, this.key, []);
    if (!Array.isArray(this.pending)) this.pending = [];
    this.waitingSince = 0;
    this.lastSent = 0;
    this.error = "";
    this.tab = "";
    this.trigger = null;
    this.ready = tabId().then((id) => {
      this.tab = id;
      this.send();
    });
    this.timer = setInterval(() => this.tick(), 500);
    this.leaving = (event) => {
      if (this.pending.length) event.preventDefault();
    };
    window.addEventListener("beforeunload", this.leaving);
    this.returning = () =>
      document.visibilityState === "visible" && performance.now() - this.lastSent > HEARTBEAT_MS && this.send();
    document.addEventListener("visibilitychange", this.returning);
  }

  // Streamlit hands out a new function at every render.
  attach(trigger) {
    this.trigger = trigger;
  }

  push(action) {
    this.pending.push(action);
    store(sessionStorage, this.key, this.pending);
    this.send();
  }

  send() {
    if (!this.tab || !this.trigger) return;
    const now = performance.now();
    this.lastSent = now;
    this.waitingSince ||= now;
    this.trigger("message", { tab: this.tab, sent: newId(), actions: this.pending, ...this.report() });
    this.changed();
  }

  // An answer: what the server has is no longer ours to keep. Returns the refused actions.
  receive(data) {
    const settled = new Set(data.acks ?? []);
    const refusals = new Map(data.rejected ?? []);
    const refused = this.pending.filter((action) => refusals.has(action.action_id));
    const kept = this.pending.filter((action) => !settled.has(action.action_id) && !refusals.has(action.action_id));
    if (kept.length !== this.pending.length) {
      this.pending = kept;
      store(sessionStorage, this.key, kept);
    }
    this.error = data.error ?? "";
    this.waitingSince = this.pending.length ? this.waitingSince || performance.now() : 0;
    if (!this.pending.length || !this.error) this.answered = performance.now();
    return refused.map((action) => ({ action, text: refusals.get(action.action_id) }));
  }

  tick() {
    const now = performance.now();
    if (this.waitingSince && now - this.lastSent > RESEND_MS) this.send();
    else if (now - this.lastSent > HEARTBEAT_MS && document.visibilityState === "visible") this.send();
    this.changed();
  }

  get state() {
    if (this.waitingSince && (this.error || performance.now() - this.waitingSince > SILENT_MS)) return "silent";
    return this.pending.length ? "saving" : "saved";
  }

  close() {
    clearInterval(this.timer);
    window.removeEventListener("beforeunload", this.leaving);
    document.removeEventListener("visibilitychange", this.returning);
  }
}

// Everything that is drawn goes through here: text is text, whatever a label or a file name contains.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

// A class name: its odd characters were made visible by the server; it never reorders or swallows its neighbours.
const labelEl = (text, kind = "") =>
  el("bdi", { class: `label ${text === "" ? "none" : kind}` }, text === "" ? "no label" : text);

const keyEl = (text) => el("kbd", {}, text);

// Only our own pictures: a data URL that the server made.
function pictureEl(source, attributes = {}) {
  if (!/^data:image\/(jpeg|png|webp);base64,/.test(source ?? "")) return null;
  const image = el("img", { draggable: "false", decoding: "sync", alt: "", ...attributes });
  image.src = source;
  return image;
}

// Whether the focus was moved by the tabulator last, not by the mouse. `:focus-visible` does not say so: any key press
// turns it on for what was clicked.
const focus = (window.curateFocus ??= watchFocus());

function watchFocus() {
  const watched = { tabbed: false };
  window.addEventListener("keydown", (event) => event.key === "Tab" && (watched.tabbed = true), true);
  window.addEventListener("pointerdown", () => (watched.tabbed = false), true);
  return watched;
}

// The link that led here must not take the keys that are meant for what it led to.
function leaveLink() {
  if (document.activeElement?.closest("a[href]")) document.activeElement.blur();
  focus.tabbed = false;
}

// Whether a key press belongs to a text field, or to a button that was reached with the tabulator.
function typesElsewhere(event) {
  const target = event.composedPath()[0];
  if (!(target instanceof Element)) return false;
  if (
    target.closest(
      "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true], [role=combobox], [role=listbox]",
    )
  )
    return true;
  return [" ", "Enter"].includes(event.key) && focus.tabbed && target.matches("button, a, summary, [role=button]");
}

// The key that was meant: small letters, and digits also where the keyboard has them on the shifted level.
function keyOf(event) {
  if (event.shiftKey) return event.key;
  const digit = /^Digit([0-9])$/.exec(event.code)?.[1];
  return digit ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);
}
