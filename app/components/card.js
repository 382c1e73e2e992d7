// One item after the other, by keyboard: draws a card, makes an action of a key, shows the next card at once.

const AHEAD = 5; // cards that are here before they are needed
const KEPT_CARDS = 60; // cards that stay here, for undo and for going back
const HELD_MOST = 40; // items that a tab holds at most when somebody only pages through

export default function (component) {
  const parent = component.parentElement;
  parent.curateDesk ??= new Desk(parent, component.data);
  const desk = parent.curateDesk;
  desk.link.attach(component.setTriggerValue);
  desk.receive(component.data);
  return () => {
    desk.close();
    delete parent.curateDesk;
  };
}

class Desk {
  constructor(parent, data) {
    this.root = el("div", { class: "desk" });
    this.body = el("div", { class: "body" });
    this.top = el("div", { class: "top" });
    this.layers = el("div");
    this.root.append(this.top, this.body, this.layers);
    (parent.querySelector(".mount") ?? parent).append(this.root);
    this.cards = new Map(); // item id -> card
    this.images = new Map(); // item id -> decoded <img>, so that the next picture is there at once
    this.queue = []; // item ids that this tab holds and has not decided, in order
    this.at = 0;
    this.history = []; // what this tab decided: [{action_id, item_id}]
    this.restored = new Set(); // taken back here, the server does not know yet
    this.decided = 0;
    this.comment = "";
    this.drawn = null;
    this.notice = "";
    this.closeLayer = null;
    this.zoom = null;
    this.labels = [];
    this.data = {};
    this.reviewer = data.verified ? data.reviewer : stored(localStorage, "curate:reviewer", "");
    this.link = new Link(data.room, () => this.report(), () => this.drawTop());
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey, true);
  }

  close() {
    this.link.close();
    document.removeEventListener("keydown", this.onKey, true);
    this.root.remove();
  }

  // --- what the server is told, and what it answers

  report() {
    return {
      reviewer: this.reviewer,
      scope: this.data.scope ?? "",
      have: [...this.cards.keys()],
      want: Math.min(this.at + 1 + AHEAD, HELD_MOST),
      release: this.at > HELD_MOST - 2 * AHEAD ? this.queue.slice(0, AHEAD) : [],
    };
  }

  receive(data) {
    if (data === this.data) return;
    if (this.data.scope !== undefined && this.data.scope !== data.scope) this.forget();
    this.data = data;
    if (data.labels) this.labels = searchable(data.labels);
    if (data.verified) this.reviewer = data.reviewer;
    for (const card of data.cards ?? []) this.keepCard(card);
    for (const { action, text } of this.link.receive(data)) this.refused(action, text);
    if (data.queue) this.mergeQueue(data);
    if (data.notice) this.notice = data.notice;
    if (!this.reviewer) this.askName();
    else if (data.need_hello && !this.hello) {
      this.hello = true;
      this.link.send();
    }
    this.draw();
  }

  forget() {
    this.queue = [];
    this.at = 0;
    this.hello = false;
  }

  keepCard(card) {
    this.cards.delete(card.id);
    this.cards.set(card.id, card);
    const image = pictureEl(card.picture, { class: "main" });
    if (image) {
      image.decode().catch(() => {});
      this.images.set(card.id, image);
    }
    if (this.drawn === card.id) this.drawn = null;
    for (const id of this.cards.keys()) {
      if (this.cards.size <= KEPT_CARDS) break;
      if (this.queue.includes(id)) continue;
      this.cards.delete(id);
      this.images.delete(id);
    }
  }

  mergeQueue(data) {
    const waiting = new Set(this.link.pending.flatMap((action) => (action.kind === "decide" ? action.items : [])));
    const theirs = data.queue.filter((id) => !waiting.has(id) && this.cards.has(id));
    const here = new Set(theirs);
    const current = this.queue[this.at];
    for (const id of data.front ?? []) if (here.has(id) && !this.queue.includes(id)) this.queue.splice(this.at, 0, id);
    for (const id of [...this.restored]) if (here.has(id) || !this.link.pending.length) this.restored.delete(id);
    const mine = this.queue.filter((id) => here.has(id) || this.restored.has(id));
    const known = new Set(mine);
    this.queue = [...mine, ...theirs.filter((id) => !known.has(id))];
    const fronted = (data.front ?? []).find((id) => here.has(id) && id !== current && !this.seenFront?.has(id));
    if (data.front?.length) this.seenFront = new Set(data.front);
    const at = this.queue.indexOf(fronted ?? current);
    if (at >= 0) this.at = at;
    else if (current && !waiting.has(current) && this.queue.length) this.notice = "The item before was taken by somebody else, or has been decided meanwhile.";
    this.at = Math.max(0, Math.min(this.at, this.queue.length - 1));
  }

  refused(action, text) {
    this.history = this.history.filter((entry) => entry.action_id !== action.action_id);
    this.notice = `Not recorded: ${text}`;
  }

  // --- deciding

  get card() {
    return this.cards.get(this.queue[this.at]);
  }

  // name: one of curation.actions.ACTIONS; labels and sample_id: what goes with it
  decide(name, labels = [], sample_id = "") {
    const card = this.card;
    if (!card || !this.reviewer) return;
    const action = {
      kind: "decide",
      action_id: newId(),
      items: [card.id],
      name,
      labels,
      sample_id,
      seconds: Math.min(3600, (performance.now() - this.shownAt) / 1000),
      shown: card.show_suggestion,
      comment: this.comment,
      reviewer: this.reviewer,
    };
    this.history.push({ action_id: action.action_id, item_id: card.id });
    this.queue.splice(this.at, 1);
    this.at = Math.max(0, Math.min(this.at, this.queue.length - 1));
    this.decided += 1;
    this.comment = "";
    this.notice = "";
    this.draw();
    this.link.push(action);
  }

  relabel(label) {
    if (label === this.card.given) this.decide("keep");
    else this.decide("pick", [label]);
  }

  undo() {
    const last = this.history.pop();
    const waits = last && this.link.pending.length && this.link.pending.at(-1).action_id === last.action_id;
    this.link.push({ kind: "undo", action_id: newId(), target: last?.action_id ?? "", reviewer: this.reviewer });
    if (last) {
      this.decided -= 1;
      if (this.cards.has(last.item_id)) {
        this.restored.add(last.item_id);
        this.queue.splice(this.at, 0, last.item_id);
      }
      this.notice = "";
    } else this.notice = "Taking back your last decision …";
    this.draw();
    return waits;
  }

  step(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.queue.length) {
      this.notice = by < 0 ? "This is the first one." : "This is the last one that is open.";
    } else {
      this.at = next;
      this.notice = "";
    }
    this.draw();
    this.link.send();
  }

  // --- keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !this.root.isConnected) return;
    if (typesElsewhere(event)) return;
    const name = this.zoom ? () => this.zoom.key(event.key) : this.closeLayer ? null : this.action(event);
    if (this.helpOpen) this.closeLayer();
    else if (!name) return;
    else if (!event.repeat) name(); // a key that is held down decides once
    event.preventDefault();
    event.stopPropagation();
  }

  action(event) {
    const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
    const common = {
      z: () => this.undo(),
      Backspace: () => this.undo(),
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      "?": () => this.openHelp(),
    };
    if (common[key]) return common[key];
    if (!this.card) return null;
    const here = { f: () => this.openZoom(), n: () => this.openNote(), g: () => this.copyLink(), u: () => this.decide("unsure") };
    return here[key] ?? (this.card.kind === "duplicates" ? this.caseKey(event, key) : this.sampleKey(key));
  }

  sampleKey(key) {
    const card = this.card;
    const choice = (n) => (card.show_suggestion && card.choices[n - 1] ? () => this.relabel(card.choices[n - 1].label) : null);
    return {
      " ": () => this.decide("keep"),
      k: () => this.decide("keep"),
      Enter: choice(1),
      a: choice(1),
      1: choice(1),
      2: choice(2),
      3: choice(3),
      "/": () => this.pickOther(),
      p: () => this.pickOther(),
      h: () => this.decide("hard"),
      m: () => this.pickSeveral(),
      o: () => this.decide("off-topic"),
      b: () => this.decide("broken"),
      d: () => this.decide("duplicate"),
    }[key];
  }

  caseKey(event, key) {
    const card = this.card;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
    const member = digit && card.members[digit - 1];
    if (member && event.shiftKey) return member.label === "" ? null : () => this.decide("settle_label", [member.label]);
    if (member && key === digit) return () => this.decide("keep_one", [], member.sample_id);
    const proposed = card.members.find((m) => m.keep) ?? card.members[0];
    const labels = card.settle ? [card.settle] : [];
    return {
      " ": () => this.decide("keep"),
      k: () => this.decide("keep"),
      Enter: () => this.decide("keep_one", labels, proposed.sample_id),
      a: () => this.decide("keep_one", labels, proposed.sample_id),
      s: labels.length ? () => this.decide("settle_label", labels) : () => this.pickForAll(),
      "/": () => this.pickForAll(),
      p: () => this.pickForAll(),
      0: () => this.decide("distinct"),
      b: () => this.decide("broken"),
      o: () => this.decide("off-topic"),
    }[key];
  }

  // --- what lies over the page

  layer(open) {
    if (this.closeLayer) return;
    const close = open(() => {
      this.closeLayer = null;
      this.helpOpen = false;
      this.zoom = null;
    });
    this.closeLayer = typeof close === "function" ? close : close?.close ?? null;
    return close;
  }

  offered() {
    const card = this.card;
    const found = card.show_suggestion ? card.choices.map((c) => [c.label, c.shown]) : [];
    return found;
  }

  pickOther() {
    this.layer((closed) => openPicker(this.layers, { title: "The right class", entries: this.labels, first: this.offered(), done: ([label]) => this.relabel(label), closed }));
  }

  pickSeveral() {
    const card = this.card;
    const given = card.given ? [[card.given, card.given_shown]] : [];
    const marked = [...given, ...this.offered().slice(0, 1)];
    this.layer((closed) => openPicker(this.layers, { title: "Several classes are right", entries: this.labels, first: [...given, ...this.offered()], several: true, marked, done: (labels) => this.decide("ambiguous", labels), closed }));
  }

  pickForAll() {
    const carried = [...new Map(this.card.members.filter((m) => m.label).map((m) => [m.label, m.shown]))];
    this.layer((closed) => openPicker(this.layers, { title: "The right class of all copies", entries: this.labels, first: carried, done: ([label]) => this.decide("settle_label", [label]), closed }));
  }

  openNote() {
    this.layer((closed) => openLine(this.layers, { title: "Note", text: this.comment, hint: "Goes with your next decision on this item.", limit: 2000, done: (text) => ((this.comment = text), this.draw(true)), closed }));
  }

  askName() {
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

  openZoom() {
    const card = this.card;
    const shown = card.kind === "duplicates" ? card.members.find((m) => m.keep)?.picture ?? card.members[0].picture : card.picture;
    this.zoom = this.layer((closed) => openZoom(this.layers, shown, isTiny(card.size), closed));
  }

  openHelp() {
    this.helpOpen = true;
    this.layer((closed) => openHelp(this.layers, helpOf(this.card?.kind), closed));
  }

  copyLink() {
    const url = new URL(location.href);
    url.search = "";
    url.searchParams.set("item", this.card.id);
    navigator.clipboard?.writeText(url.href).then(
      () => ((this.notice = "The link to this item is in the clipboard."), this.draw(true)),
      () => ((this.notice = url.href), this.draw(true)),
    );
  }

  // --- drawing

  drawTop() {
    const { data, link } = this;
    const total = data.total ?? 0;
    const unsent = link.pending.filter((action) => action.kind === "decide").length;
    const done = Math.min(total, (data.done ?? 0) + unsent);
    const state = link.state;
    this.root.dataset.state = state;
    this.root.dataset.pending = String(link.pending.length);
    const text = { saved: "saved", saving: "saving …", silent: "not saved" }[state];
    const key = [total, done, state, link.pending.length, link.error, this.notice, this.reviewer, this.comment, data.others, this.decided, this.queue[this.at]].join("\n");
    if (key === this.topKey) return;
    this.topKey = key;
    this.top.replaceChildren(
      el("div", { class: "line" },
        el("span", { class: "count" }, el("b", {}, done.toLocaleString()), ` of ${total.toLocaleString()} decided`),
        el("span", { class: "bar" }, el("span", { style: { width: `${total ? (100 * done) / total : 0}%` } })),
        el("span", { class: "muted" }, this.decided > 0 ? `${this.decided} by you just now` : ""),
        el("span", { class: "grow" }),
        this.comment ? el("span", { class: "muted" }, "✎ ", el("bdi", {}, this.comment.slice(0, 60))) : null,
        el("span", { class: `state ${state}`, role: "status" }, text),
        this.reviewer ? el("button", { class: "quiet", type: "button", disabled: Boolean(data.verified), title: data.verified ? "signed in" : "change the name", onclick: () => this.askName() }, el("bdi", {}, this.reviewer)) : null,
        el("button", { class: "quiet", type: "button", onclick: () => this.openHelp() }, keyEl("?"), " keys"),
      ),
      state === "silent" ? el("div", { class: "banner", role: "alert" }, el("b", {}, link.error ? "The server cannot save: " : "The server does not answer. "), link.error ? `${link.error} ` : "", link.pending.length ? `${link.pending.length} ${link.pending.length === 1 ? "action is" : "actions are"} kept in this tab and sent again until it has them. Leave the tab open.` : "") : "",
      this.notice ? el("div", { class: "notice", role: "status" }, this.notice) : "",
    );
  }

  draw(again = false) {
    const card = this.card;
    const id = card?.id ?? "";
    if (this.drawn !== id || again || !card) {
      if (this.drawn !== id) this.shownAt = performance.now();
      this.drawn = id;
      this.body.replaceChildren(card ? (card.kind === "duplicates" ? this.drawCase(card) : this.drawSample(card)) : this.drawEmpty());
      this.root.dataset.item = id;
    }
    this.drawTop();
  }

  drawEmpty() {
    const { data } = this;
    if (!data.queue) return el("div", { class: "empty" }, el("p", {}, "Opening the queue …"));
    if (this.link.pending.length) return el("div", { class: "empty" }, el("p", {}, "Saving, and looking for more …"));
    const [title, text] = data.empty ?? ["Nothing is open here.", ""];
    return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, text), el("p", { class: "muted" }, keyEl("z"), " takes your last decision back"));
  }

  drawSample(card) {
    const stage = el("figure", { class: `stage ${isTiny(card.size) ? "tiny" : ""}`, onclick: () => this.openZoom(), title: "zoom (f)" });
    const image = this.images.get(card.id);
    stage.append(image ?? el("p", { class: "gone" }, "This picture cannot be shown."));
    if (image && isTiny(card.size)) image.classList.add("pixelated");
    if (card.twins.length) stage.append(...card.twins.slice(0, 1).map((twin) => el("div", { class: "twin" }, pictureEl(twin.picture, { class: isTiny(card.size) ? "pixelated" : "" }) ?? "", el("div", {}, "copy, labelled ", labelEl(twin.shown), twin.split ? ` · ${twin.split}` : ""))));
    return el("div", { class: "columns" }, el("div", { class: "left" }, stage, this.drawButtons(card)), this.drawSide(card));
  }

  drawSide(card) {
    const bars = card.show_suggestion
      ? [el("h3", {}, "Suggested"), card.choices.length ? el("div", { class: "bars" }, ...card.choices.map((choice, i) => barEl(choice, i + 1, () => this.relabel(choice.label)))) : el("p", { class: "muted" }, "No suggestion.")]
      : [el("h3", {}, "Suggested"), el("p", { class: "muted" }, "Not shown for this one: please judge without it.")];
    const near = card.neighbours.map((n) => el("figure", { class: n.mark }, pictureEl(n.picture, { class: isTiny(card.size) ? "pixelated" : "" }) ?? el("span", { class: "gone" }), el("figcaption", {}, labelEl(n.shown))));
    return el("aside", { class: "side" },
      badgesEl(card),
      el("h3", {}, "Given label"),
      el("p", { class: "given" }, labelEl(card.given_shown)),
      card.p_given != null && card.show_suggestion ? el("p", { class: "muted under" }, `the model gives it ${card.p_given}`) : null,
      ...bars,
      card.why.length ? el("h3", {}, "Why it is here") : null,
      ...card.why.map((parts) => el("p", { class: "why" }, ...parts.map(([text, isLabel]) => (isLabel ? labelEl(text) : text)))),
      near.length ? el("h3", {}, "Nearest pictures") : null,
      near.length ? el("div", { class: "near" }, ...near) : null,
      el("p", { class: "path" }, el("bdi", {}, card.path_shown), el("br"), card.facts),
    );
  }

  drawButtons(card) {
    const button = (key, meaning, kind = "") => buttonEl(key, meaning, kind, () => this.action({ key, code: "", shiftKey: false })?.());
    const first = card.show_suggestion && card.choices[0];
    return el("div", { class: "buttons" },
      button(" ", "label is right", "keep"),
      first ? button("1", ["it is ", labelEl(first.shown)], "accept") : null,
      button("/", "other class"),
      button("h", "right but hard"),
      button("m", "several are right"),
      button("o", "off-topic"),
      button("b", "broken"),
      card.twins.length ? button("d", "duplicate") : null,
      button("u", "unsure"),
      el("span", { class: "grow" }),
      button("z", "undo", "quiet"),
    );
  }

  drawCase(card) {
    const many = card.members.length;
    const proposed = card.members.find((m) => m.keep);
    const label = card.settle;
    const figure = (m, i) =>
      el("figure", { class: `member ${m.keep ? "keep" : ""}`, onclick: () => (this.zoom = this.layer((closed) => openZoom(this.layers, m.picture, isTiny(card.size), closed))) },
        el("div", { class: "head" }, i < 9 ? keyEl(String(i + 1)) : null, labelEl(m.shown, m.conflicts ? "conflict" : ""), m.keep ? el("span", { class: "badge good" }, "proposed") : null),
        el("div", { class: "frame" }, pictureEl(m.picture, { class: isTiny(card.size) ? "pixelated" : "" }) ?? el("span", { class: "gone" }, "cannot be shown"), m.difference ? pictureEl(m.difference, { class: "difference" }) : null),
        el("figcaption", {}, el("dl", {}, ...m.facts.flatMap(([name, value, differs]) => [el("dt", {}, name), el("dd", { class: differs ? "differs" : "" }, el("bdi", {}, value))]))));
    const button = (key, meaning, kind = "") => buttonEl(key, meaning, kind, () => this.action({ key, code: "", shiftKey: false })?.());
    const place = proposed ? card.members.indexOf(proposed) + 1 : 1;
    return el("div", { class: "case" },
      el("div", { class: "casehead" }, badgesEl(card), ...card.why.map((parts) => el("p", { class: "why" }, ...parts.map(([text, isLabel]) => (isLabel ? labelEl(text) : text)))),
        proposed ? el("p", { class: "why" }, el("b", {}, `Proposed: keep ${place}`), label && label !== proposed.label ? [" as ", labelEl(card.settle_shown)].flat() [0] : "", label && label !== proposed.label ? labelEl(card.settle_shown) : "", `, exclude the ${many === 2 ? "other" : "others"}. `, card.keep_why) : null,
        card.member_count > many ? el("p", { class: "notice" }, `${(card.member_count - many).toLocaleString()} more copies are not shown; the decision is about those that are.`) : null),
      el("div", { class: `members n${Math.min(many, 4)} ${isTiny(card.size) ? "tiny" : ""}` }, ...card.members.map(figure)),
      el("div", { class: "buttons" },
        button("Enter", ["as proposed: keep ", el("b", {}, String(place)), label ? [" as ", labelEl(card.settle_shown)] : ""].flat(), "accept"),
        el("span", { class: "hintkey" }, keyEl(`1–${Math.min(9, many)}`), " keep that one only"),
        button("s", label ? ["label all ", labelEl(card.settle_shown)] : "settle the label"),
        button("/", "another label for all"),
        button(" ", "leave all as they are", "keep"),
        button("0", "not duplicates"),
        button("u", "unsure"),
        el("span", { class: "grow" }),
        button("z", "undo", "quiet")),
    );
  }
}

const isTiny = (size) => Boolean(size) && Math.max(...size) <= 160;

const NAMES = { " ": "Space", Enter: "↵", Backspace: "⌫" };

function buttonEl(key, meaning, kind, press) {
  const button = el("button", { class: `action ${kind}`, type: "button" }, keyEl(NAMES[key] ?? key), " ", ...[meaning].flat());
  button.addEventListener("click", () => {
    button.blur(); // or Space would press it again
    press();
  });
  return button;
}

function barEl(choice, number, press) {
  return el("button", { class: "choice", type: "button", onclick: press },
    keyEl(String(number)), labelEl(choice.shown), el("span", { class: "track" }, el("span", { style: { width: `${Math.max(1, 100 * choice.p)}%` } })), el("span", { class: "percent" }, choice.percent));
}

function badgesEl(card) {
  return el("div", { class: "badges" },
    ...card.issues.map((title) => el("span", { class: "badge" }, title)),
    card.state === "second" ? el("span", { class: "badge info" }, "second opinion") : null,
    card.state === "disagreement" ? el("span", { class: "badge warn" }, "reviewers disagree: yours decides") : null);
}

function helpOf(kind) {
  const moving = ["Moving", [[["z", "⌫"], "undo, as far back as you like"], [["→"], "next, without deciding"], [["←"], "previous"], [["f"], "zoom; a click does the same"], [["n"], "note to the next decision"], [["g"], "copy a link to this item"], [["?"], "this list"]]];
  const sample = ["One picture", [[["Space", "k"], "the given label is right"], [["↵", "a", "1"], "it is the first suggestion"], [["2", "3"], "it is the second, the third"], [["/", "p"], "it is another class: type a part of its name"], [["h"], "right, but hard to see"], [["m"], "several classes are right"], [["o"], "exclude: off-topic"], [["b"], "exclude: broken"], [["d"], "exclude: duplicate"], [["u"], "unsure: somebody else shall look"]]];
  const copies = ["Copies of one picture", [[["↵", "a"], "as proposed"], [["1", "–", "9"], "keep that one as it is, exclude the others"], [["s"], "keep all, under the proposed label"], [["⇧1", "–", "⇧9"], "keep all, under the label of that one"], [["/", "p"], "keep all, under another label"], [["Space", "k"], "leave all as they are"], [["0"], "they are not duplicates"], [["b", "o"], "exclude all: broken, off-topic"], [["u"], "unsure: somebody else shall look"]]];
  return kind === "duplicates" ? [copies, sample, moving] : [sample, copies, moving];
}
