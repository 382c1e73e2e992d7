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

class Desk extends Page {
  constructor(parent, data) {
    super(parent, data);
    this.cards = new Map(); // item id -> card
    this.images = new Map(); // item id -> decoded <img>, so that the next picture is there at once
    this.queue = []; // item ids that this tab holds and has not decided, in order
    this.at = 0;
    this.history = []; // what this tab decided: [{action_id, item_id}]
    this.restored = new Set(); // taken back here, the server does not know yet
    this.earlier = {}; // item id -> what was said of it before, in words
    this.drawn = null;
    this.differing = ""; // the case whose differences are shown
    this.annotated = null; // the draft of the picture on screen, where it has several annotations
  }

  // --- what the server is told, and what it answers

  report() {
    const want = Math.max(this.at + 1 + AHEAD, this.queue.length);
    return { have: [...this.cards.keys()], want: Math.min(want, HELD_MOST) };
  }

  take(data) {
    for (const card of data.cards ?? []) this.keepCard(card);
    const said = (earlier) => JSON.stringify(earlier[this.drawn] ?? []);
    if (data.earlier && said(data.earlier) !== said(this.earlier)) this.drawn = null;
    this.earlier = data.earlier ?? this.earlier;
    if (data.queue) this.mergeQueue(data);
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

  // The server says what this tab holds; what was decided or taken back here since then is known here only.
  mergeQueue(data) {
    const waiting = new Set(this.link.pending.flatMap((action) => (action.kind === "decide" ? action.items : [])));
    const theirs = data.queue.filter((id) => !waiting.has(id) && this.cards.has(id));
    const here = new Set(theirs);
    const before = new Set(this.queue);
    const current = this.queue[this.at];
    const returned = (data.front ?? []).filter((id) => here.has(id) && !before.has(id));
    const mine = this.queue.filter((id) => here.has(id) || this.restored.has(id));
    const known = new Set([...mine, ...returned]);
    this.queue = [...mine, ...theirs.filter((id) => !known.has(id))];
    const at = this.queue.indexOf(current);
    if (at < 0 && current && !waiting.has(current))
      this.notice = "The item before this one has been decided meanwhile, or somebody else has it now.";
    this.at = Math.max(0, Math.min(at < 0 ? this.at : at, this.queue.length - 1));
    if (returned.length) {
      this.queue.splice(this.at, 0, ...returned); // taken back: to be looked at now
    }
    if (!this.link.pending.length) this.restored.clear();
    if (data.queue.some((id) => !this.cards.has(id)) && !this.asked) this.link.send(); // an answer with cards got lost
    this.asked = data.queue.some((id) => !this.cards.has(id));
  }

  refused(action) {
    this.history = this.history.filter((entry) => entry.action_id !== action.action_id);
  }

  // --- deciding

  get isBusy() {
    return Boolean(this.card);
  }

  get card() {
    return this.halt ? undefined : this.cards.get(this.queue[this.at]);
  }

  // name: one of curation.review.actions.ACTIONS; labels, sample_id and edits: what goes with it
  decide(name, labels = [], sample_id = "", isNew = false, edits = []) {
    const card = this.card;
    if (!card || !this.reviewer) return;
    const again = this.earlier[card.id] && card.state !== "open"; // who has looked at a part of it has not decided it
    const action = {
      kind: "decide",
      action_id: newId(),
      items: [card.id],
      suspects: card.issues.length && !again ? 1 : 0,
      again: again ? 1 : 0,
      name,
      labels,
      sample_id,
      edits,
      new_label: isNew,
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

  relabel(label, isNew = false) {
    if (isNew) this.labels.push(...searchable([[label, label]]));
    if (label === this.card.given) this.decide("keep");
    else this.decide("pick", [label], "", isNew);
  }

  undo() {
    if (!this.reviewer || (this.card?.kind === "annotations" && this.annotated?.undo())) return;
    const last = this.history.pop();
    this.link.push({ kind: "undo", action_id: newId(), target: last?.action_id ?? "", reviewer: this.reviewer });
    this.notice = "Taking back your last decision …"; // the answer says what it was
    if (last) this.decided -= 1;
    if (last && this.cards.has(last.item_id)) {
      this.restored.add(last.item_id);
      this.queue.splice(this.at, 0, last.item_id);
    }
    this.draw();
  }

  step(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.queue.length) {
      const many = this.queue.length >= HELD_MOST;
      const last = many
        ? `${HELD_MOST} items wait for you already: decide some of them (u: unsure).`
        : "This is the last one that is open.";
      this.notice = by < 0 ? "This is the first one." : last;
    } else {
      this.at = next;
      this.notice = "";
    }
    this.draw();
    this.link.send();
  }

  // --- keys

  action(event) {
    const key = keyOf(event);
    const annotated = this.card?.kind === "annotations" ? this.annotated : null;
    if (annotated && event.shiftKey && key.startsWith("Arrow")) return annotated.key(event, key);
    const moving = { ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1) };
    const press = this.common(key) ?? moving[key];
    if (press || !this.card) return press;
    const here = {
      f: () => this.openZoom(),
      n: () => this.openNote(),
      g: () => this.copyLink(),
      u: () => this.decide("unsure"),
    };
    if (annotated) return here[key] ?? annotated.key(event, key);
    return here[key] ?? (this.card.kind === "duplicates" ? this.caseKey(event, key) : this.sampleKey(key));
  }

  sampleKey(key) {
    const card = this.card;
    const choice = (n) =>
      card.show_suggestion && card.choices[n - 1] ? () => this.relabel(card.choices[n - 1].label) : null;
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
    if (/^[1-9]$/.test(key)) {
      const member = card.members[key - 1];
      return member ? () => this.decide("keep_one", [], member.sample_id) : null;
    }
    const shifted = event.shiftKey && !"/?".includes(event.key) && /^Digit([1-9])$/.exec(event.code)?.[1];
    const like = shifted && card.members[shifted - 1];
    if (like) return like.label === "" ? null : () => this.decide("settle_label", [like.label]);
    const proposed = card.members.find((m) => m.keep) ?? card.members[0];
    const labels = card.settle ? [card.settle] : [];
    const accept = isSettled(card) ? () => this.decide("keep_one", labels, proposed.sample_id) : null;
    return {
      " ": () => this.decide("keep"),
      k: () => this.decide("keep"),
      Enter: accept,
      a: accept,
      s: labels.length ? () => this.decide("settle_label", labels) : () => this.pickForAll(),
      "/": () => this.pickForAll(),
      p: () => this.pickForAll(),
      0: () => this.decide("distinct"),
      e: () => this.toggleDifferences(),
      b: () => this.decide("broken"),
      o: () => this.decide("off-topic"),
    }[key];
  }

  // --- what lies over the page

  offered() {
    return this.card.show_suggestion ? this.card.choices.map((choice) => [choice.label, choice.shown]) : [];
  }

  pickOther() {
    this.layer((closed) =>
      openPicker(this.layers, {
        title: "The right class",
        entries: this.labels,
        first: this.offered(),
        done: ([label], isNew) => this.relabel(label, isNew),
        closed,
      }),
    );
  }

  pickSeveral() {
    const card = this.card;
    const given = card.given ? [[card.given, card.given_shown]] : [];
    const marked = [...given, ...this.offered().slice(0, 1)];
    this.layer((closed) =>
      openPicker(this.layers, {
        title: "Several classes are right",
        entries: this.labels,
        first: [...given, ...this.offered()],
        several: true,
        marked,
        done: (labels, isNew) => this.decide("ambiguous", labels, "", isNew),
        closed,
      }),
    );
  }

  pickForAll() {
    const carried = [...new Map(this.card.members.filter((m) => m.label).map((m) => [m.label, m.shown]))];
    this.layer((closed) =>
      openPicker(this.layers, {
        title: "The right class of all copies",
        entries: this.labels,
        first: carried,
        done: ([label], isNew) => this.decide("settle_label", [label], "", isNew),
        closed,
      }),
    );
  }

  openZoom(member) {
    const card = this.card;
    const shown = member ?? (card.kind === "duplicates" ? (card.members.find((m) => m.keep) ?? card.members[0]) : card);
    this.showLarge(shown.picture, isTiny(card.size));
  }

  help() {
    return helpOf(this.card?.kind, this.card?.counted);
  }

  toggleDifferences() {
    const { card } = this;
    if (card.members.some((member) => member.difference)) {
      this.differing = this.differing === card.id ? "" : card.id;
      return this.draw(true);
    }
    this.notice = card.members.length > 8 ? "Too many copies to compare." : "Between these copies no difference is visible.";
    this.drawTop();
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

  draw(again = false) {
    const card = this.card;
    const id = card?.id ?? "";
    if (this.drawn !== id || again || !card) {
      if (this.drawn !== id) this.shownAt = performance.now();
      this.drawn = id;
      this.body.replaceChildren(card ? this.drawCard(card) : this.drawEmpty());
      this.root.dataset.item = id;
    }
    this.drawTop();
  }

  drawCard(card) {
    if (card.kind !== "annotations") return card.kind === "duplicates" ? this.drawCase(card) : this.drawSample(card);
    if (!this.annotated?.isOf(card)) {
      this.annotated?.close();
      this.annotated = card.counted ? new Counted(this, card) : new Annotated(this, card);
    }
    return this.annotated.draw();
  }

  drawEmpty() {
    const { data } = this;
    if (this.halt) return this.drawHalt();
    if (!data.queue) return el("div", { class: "empty" }, el("p", {}, "Opening the queue …"));
    if (this.link.pending.length) return el("div", { class: "empty" }, el("p", {}, "Saving, and looking for more …"));
    const [title, text] = data.empty ?? ["Nothing is open here.", ""];
    return el(
      "div",
      { class: "empty" },
      el("h2", {}, title),
      el("p", {}, text),
      this.root.dataset.undo === "no" ? null : el("p", { class: "muted" }, keyEl("z"), " takes your last decision back"),
    );
  }

  drawSample(card) {
    const stage = el("figure", {
      class: `stage ${isTiny(card.size) ? "tiny" : ""}`,
      onclick: () => this.openZoom(),
      title: "zoom (f)",
    });
    const image = this.images.get(card.id);
    stage.append(image ?? el("p", { class: "gone" }, "This picture cannot be shown."));
    if (image && isTiny(card.size)) image.classList.add("pixelated");
    return el(
      "div",
      { class: "sample" },
      el("div", { class: "columns" }, el("div", { class: "left" }, stage), this.drawSide(card)),
      this.drawButtons(card),
    );
  }

  drawSide(card) {
    const bars = card.show_suggestion
      ? [
          el("h3", {}, "Suggested"),
          card.choices.length
            ? el(
                "div",
                { class: "bars" },
                ...card.choices.map((choice, i) => barEl(choice, i + 1, () => this.relabel(choice.label))),
              )
            : el("p", { class: "muted" }, "No suggestion."),
        ]
      : [el("h3", {}, "Suggested"), el("p", { class: "muted" }, "Not shown for this one: please judge without it.")];
    const near = card.neighbours.map((n) =>
      el(
        "figure",
        { class: n.mark },
        pictureEl(n.picture, { class: isTiny(card.size) ? "pixelated" : "" }) ?? el("span", { class: "gone" }),
        el("figcaption", {}, labelEl(n.shown)),
      ),
    );
    return el(
      "aside",
      { class: "side" },
      badgesEl(card),
      this.drawEarlier(card),
      el("h3", {}, card.given_by ? "Label now" : "Given label"),
      el("p", { class: "given" }, labelEl(card.given_shown)),
      card.given_by ? el("p", { class: "muted under" }, el("bdi", {}, card.given_by)) : null,
      card.p_given != null && card.show_suggestion
        ? el("p", { class: "muted under" }, `the model gives it ${card.p_given}`)
        : null,
      ...bars,
      card.why.length ? el("h3", {}, "Why it is here") : null,
      ...card.why.map(whyEl),
      near.length ? el("h3", {}, "Nearest pictures") : null,
      near.length ? el("div", { class: "near" }, ...near) : null,
      el("p", { class: "path" }, el("bdi", {}, card.path_shown), el("br"), card.facts),
    );
  }

  drawEarlier(card) {
    const said = this.earlier[card.id];
    return said ? el("div", { class: "earlier" }, ...said.map((parts) => el("p", {}, ...wordsEl(parts)))) : null;
  }

  drawButtons(card) {
    const button = (key, meaning, kind) => buttonEl(this, key, meaning, kind);
    const first = card.show_suggestion && card.choices[0];
    return buttonsEl(
      this,
      groupEl(
        button(" ", card.given_by ? ["keep ", labelEl(card.given_shown)] : "label is right", "keep"),
        first ? button("1", ["it is ", labelEl(first.shown)], "accept") : null,
        button("/", "other class"),
        button("h", "right, but hard"),
        button("m", "several"),
        button("u", "unsure"),
      ),
      groupEl(button("o", "exclude: off-topic"), button("b", "exclude: broken")),
    );
  }

  drawCase(card) {
    const shape = `members n${Math.min(card.members.length, 4)} ${this.differing === card.id ? "differ" : ""}`;
    const members = card.members.map((member, i) => this.drawMember(card, member, i));
    return el(
      "div",
      { class: "case" },
      this.drawCaseHead(card),
      el("div", { class: shape }, ...members),
      this.drawCaseButtons(card),
    );
  }

  drawMember(card, member, i) {
    const facts = member.facts.flatMap(([name, value, differs]) => [
      el("dt", {}, name),
      el("dd", { class: differs ? "differs" : "" }, el("bdi", {}, value)),
    ]);
    const picture = pictureEl(member.picture, { class: isTiny(card.size) ? "pixelated" : "" });
    return el(
      "figure",
      { class: `member ${member.keep && isSettled(card) ? "keep" : ""}`, onclick: () => this.openZoom(member) },
      el(
        "div",
        { class: "head" },
        i < 9 ? keyEl(String(i + 1)) : null,
        el("span", { class: "muted" }, `copy ${i + 1}`),
        labelEl(member.shown, member.conflicts ? "conflict" : ""),
        member.keep && isSettled(card) ? el("span", { class: "badge good" }, "proposed") : null,
      ),
      el(
        "div",
        { class: "frame" },
        picture ?? el("span", { class: "gone" }, "cannot be shown"),
        member.difference ? pictureEl(member.difference, { class: "difference" }) : null,
      ),
      el("figcaption", {}, el("dl", {}, ...facts)),
    );
  }

  drawCaseHead(card) {
    const many = card.member_count;
    const proposed = card.members.find((member) => member.keep) ?? card.members[0];
    const place = card.members.indexOf(proposed) + 1;
    const label = card.settle && card.settle !== proposed.label ? [" as ", labelEl(card.settle_shown)] : [];
    const proposal = [
      el("b", {}, `Proposed: keep copy ${place}`),
      ...label,
      `, exclude the ${many === 2 ? "other" : "others"}. `,
      card.keep_why,
    ];
    const hidden = many - card.members.length;
    return el(
      "div",
      { class: "casehead" },
      badgesEl(card),
      this.drawEarlier(card),
      ...card.why.map(whyEl),
      isSettled(card)
        ? el("p", { class: "why" }, ...proposal)
        : el("p", { class: "why" }, el("b", {}, "Which label is right?"), " Nothing favours one."),
      hidden > 0
        ? el(
            "p",
            { class: "notice" },
            `${hidden.toLocaleString()} more copies are not shown; the decision is about all ${many.toLocaleString()}.`,
          )
        : null,
    );
  }

  drawCaseButtons(card) {
    const button = (key, meaning, kind) => buttonEl(this, key, meaning, kind);
    const place = card.members.findIndex((member) => member.keep) + 1 || 1;
    const label = card.settle && disagrees(card) ? [" as ", labelEl(card.settle_shown)] : [];
    const first = card.members.filter((member, i, all) => all.findIndex((other) => other.label === member.label) === i);
    const last = Math.min(9, card.members.length);
    const choices = isSettled(card)
      ? [button("Enter", [`as proposed: keep copy ${place}`, ...label], "accept")]
      : first
          .slice(0, 4)
          .map((member) =>
            button(
              String(card.members.indexOf(member) + 1),
              ["it is ", labelEl(member.shown), `, keep copy ${card.members.indexOf(member) + 1}`],
              "accept",
            ),
          );
    return buttonsEl(
      this,
      groupEl(
        ...choices,
        isSettled(card)
          ? el("span", { class: "hintkey" }, keyEl("1"), " – ", keyEl(String(last)), " keep that copy only")
          : null,
        card.settle && disagrees(card) ? button("s", ["label all ", labelEl(card.settle_shown)]) : null,
        button("/", card.settle ? "another label for all" : "one label for all"),
      ),
      groupEl(
        button(" ", "leave all as they are", "keep"),
        button("0", "not duplicates"),
        card.members.some((member) => member.difference)
          ? button("e", this.differing === card.id ? "hide differences" : "differences")
          : null,
        button("u", "unsure"),
      ),
    );
  }
}

// Whether there is something to propose: copies that disagree, with nothing to favour one label, are the reviewer's.
const isSettled = (card) => Boolean(card.settle) || !disagrees(card);

const disagrees = (card) => new Set(card.members.map((member) => member.label)).size > 1;

function barEl(choice, number, press) {
  return el(
    "button",
    { class: "choice", type: "button", onclick: press },
    keyEl(String(number)),
    labelEl(choice.shown),
    el("span", { class: "track" }, el("span", { style: { width: `${Math.max(1, 100 * choice.p)}%` } })),
    el("span", { class: "percent" }, choice.by ? el("bdi", {}, choice.by) : choice.percent),
  );
}

function badgesEl(card) {
  return el(
    "div",
    { class: "badges" },
    ...card.issues.map((title) => el("span", { class: "badge" }, title)),
    card.state === "second" ? el("span", { class: "badge info" }, "second opinion") : null,
    card.state === "disagreement" ? el("span", { class: "badge warn" }, "reviewers disagree: yours decides") : null,
  );
}

function helpOf(kind, isCounted) {
  const moving = [
    "Moving",
    [
      [["z", "⌫"], "undo, as far back as you like"],
      [["→"], "next, without deciding"],
      [["←"], "previous"],
      [["f"], "zoom; a click does the same"],
      [["n"], "note to the next decision"],
      [["g"], "copy a link to this item"],
      [["?"], "this list"],
    ],
  ];
  const sample = [
    "One picture",
    [
      [["Space", "k"], "the given label is right"],
      [["↵", "a", "1"], "it is the first suggestion"],
      [["2", "3"], "it is the second, the third"],
      [["/", "p"], "it is another class: type a part of its name"],
      [["h"], "right, but hard to see"],
      [["m"], "several classes are right"],
      [["o"], "exclude: off-topic"],
      [["b"], "exclude: broken"],
      [["d"], "exclude: duplicate"],
      [["u"], "unsure: somebody else shall look"],
    ],
  ];
  const copies = [
    "Copies of one picture",
    [
      [["↵", "a"], "as proposed"],
      [["1", "–", "9"], "keep that copy as it is, exclude the others"],
      [["s"], "keep all, under the proposed label"],
      [["⇧1", "–", "⇧9"], "keep all, under the label of that copy"],
      [["/", "p"], "keep all, under another label"],
      [["Space", "k"], "leave all as they are"],
      [["0"], "they are not duplicates"],
      [["e"], "show where they differ"],
      [["b", "o"], "exclude all: broken, off-topic"],
      [["u"], "unsure: somebody else shall look"],
    ],
  ];
  if (kind === "annotations") return [isCounted ? COUNT_KEYS : ANNOTATION_KEYS, moving];
  return kind === "duplicates" ? [copies, sample, moving] : [sample, copies, moving];
}
