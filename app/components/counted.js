// A picture that says how many of each class it shows: a line per class, one more or one fewer by a key.
//
// Below, a class has as many annotations as there are; which of them is which means nothing. So one more is a line that
// adds one, and one fewer takes the last one away, what was added before what was given.

const TYPING_MS = 1_500; // digits that follow each other this fast are one number
const MOST_TYPED = 1_000;

class Counted extends Annotated {
  constructor(desk, card) {
    super(desk, card);
    this.label = "";
    this.typed = { text: "", at: 0 };
    this.follow();
  }

  // The class that the finding is about is chosen, else the first.
  follow() {
    const about = this.draft.finding?.about;
    this.label = about?.[0] ?? this.rows()[0]?.label ?? "";
  }

  // The classes in the picture, and those that were, or are asked about: label, what it is called on screen, how many.
  rows() {
    const { card, draft } = this;
    const found = new Map();
    const note = (label, shown) => found.get(label) ?? found.set(label, { label, shown, now: 0, given: 0 }).get(label);
    for (const one of card.annotations) note(one.label, one.shown).given += 1;
    for (const { about } of card.findings) if (about) note(...about);
    for (const one of draft.items) note(one.label, one.shown).now += 1;
    return [...found.values()].sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  }

  get row() {
    return this.rows().find((one) => one.label === this.label);
  }

  // --- what is done

  setCount(wanted) {
    const { draft, row } = this;
    if (!row) return this.say("Choose a class first: ↓, or a click. / adds one.");
    if (wanted < 0 || wanted === row.now) return this.refresh();
    draft.remember();
    draft.apply(this.linesTo(row, wanted));
    this.refresh();
  }

  // What is proposed is a number: whatever was counted meanwhile, that many it is.
  accept() {
    const { draft } = this;
    const { finding } = draft;
    if (!finding?.about || !finding.lines.length) return super.accept();
    const row = this.rows().find((one) => one.label === finding.about[0]);
    const by = finding.lines.reduce((sum, { change }) => sum + { add: 1, drop: -1 }[change], 0);
    draft.remember();
    draft.apply(this.linesTo(row, row.given + by));
    this.answered();
  }

  linesTo(row, wanted) {
    const mine = this.draft.items.filter((one) => one.label === row.label);
    const last = [...mine.filter((one) => !one.added), ...mine.filter((one) => one.added)].slice(wanted).reverse();
    const more = Array.from({ length: Math.max(0, wanted - row.now) }, () =>
      lineOf("add", "", { label: row.label, shown: row.shown, fresh: this.isFresh(row.label) }),
    );
    return [...last.map(({ id }) => lineOf("drop", id, null)), ...more];
  }

  isFresh(label) {
    return this.draft.items.some((one) => one.label === label && one.fresh);
  }

  more(by) {
    this.setCount((this.row?.now ?? 0) + by);
  }

  // Digits are a number; who pauses begins a new one.
  type(digit) {
    const now = performance.now();
    const before = now - this.typed.at < TYPING_MS ? this.typed.text : "";
    const text = Number(before + digit) > MOST_TYPED ? digit : before + digit;
    this.typed = { text, at: now };
    this.setCount(Number(text));
  }

  answered() {
    this.draft.next();
    if (!this.draft.finding) return this.done();
    this.follow();
    this.refresh();
  }

  chooseNext(by) {
    const rows = this.rows();
    if (!rows.length) return;
    const at = rows.findIndex((one) => one.label === this.label);
    this.label = rows[(Math.max(at, by > 0 ? -1 : 0) + by + rows.length) % rows.length].label;
    this.refresh();
  }

  remove() {
    this.more(-1);
  }

  // One more class, of which there is one.
  pickClass() {
    const { desk } = this;
    desk.layer((closed) =>
      openPicker(desk.layers, {
        title: "Another class that is in the picture",
        entries: desk.labels,
        first: [],
        done: ([label], isNew) => this.addClass(label, isNew),
        closed,
      }),
    );
  }

  addClass(label, isNew) {
    const { draft, desk } = this;
    this.label = label;
    if (this.row?.now) return this.refresh();
    draft.remember();
    draft.apply([lineOf("add", "", { label, shown: shownOf(desk, label), fresh: isNew })]);
    this.refresh();
  }

  undo() {
    const stepped = super.undo();
    if (stepped && !this.row) this.follow();
    return stepped;
  }

  reset() {
    super.reset();
    this.follow();
    this.refresh();
  }

  key(event, key) {
    if (/^[0-9]$/.test(key)) return () => this.type(key);
    this.typed.text = ""; // whatever else is pressed, the number is done
    const own = {
      "+": () => this.more(1),
      "=": () => this.more(1), // + without shift
      "-": () => this.more(-1),
    }[key];
    return own ?? super.key(event, key);
  }

  // --- what is drawn

  drawSide() {
    const { card, desk, draft } = this;
    const { finding } = draft;
    const many = card.findings.length;
    const rows = this.rows();
    return [
      badgesEl(card),
      desk.drawEarlier(card),
      ...(finding
        ? [
            el("h3", {}, many > 1 ? `${finding.title} (${draft.asked + 1} of ${many})` : finding.title),
            ...finding.why.map(whyEl),
            finding.does.length ? el("p", { class: "does" }, keyEl("↵"), " ", ...wordsEl(finding.does)) : null,
          ]
        : []),
      el("h3", {}, "How many"),
      rows.length
        ? el("div", { class: "annotations" }, ...rows.map((one) => this.drawCount(one)))
        : el("p", { class: "muted" }, "None of any class."),
      el("p", { class: "path" }, el("bdi", {}, card.path_shown), el("br"), card.facts),
    ];
  }

  drawCount({ label, shown, now, given }) {
    const asked = this.draft.finding?.about?.[0] === label;
    const mark = `${label === this.label ? "chosen" : ""} ${asked ? "suspect" : ""}`;
    const choose = (event) => {
      event.currentTarget.blur();
      this.typed.text = "";
      this.label = label;
    };
    const step = (by, sign, name) =>
      el(
        "button",
        {
          class: "step",
          type: "button",
          "aria-label": `${name} ${shown}`,
          disabled: now + by < 0,
          onclick: (event) => (choose(event), this.more(by)),
        },
        sign,
      );
    return el(
      "div",
      { class: `tally ${mark}`, "data-count": now, "data-label": label },
      el(
        "button",
        { class: `annotation ${mark}`, type: "button", onclick: (event) => (choose(event), this.refresh()) },
        el("span", { class: "dot", style: { background: colourOf(label) } }),
        labelEl(shown),
        el("span", { class: "times" }, `× ${now}`),
        now === given ? null : el("span", { class: "badge info" }, `was ${given}`),
      ),
      step(-1, "−", "one fewer:"),
      step(1, "+", "one more:"),
    );
  }

  drawButtons() {
    const { card, desk, draft } = this;
    const button = (key, meaning, kind) => buttonEl(desk, key, meaning, kind);
    const { finding } = draft;
    const changed = this.rows().filter((one) => one.now !== one.given).length;
    const last = draft.asked >= card.findings.length - 1;
    const leave = changed && (last || !finding) ? "save" : last || !finding ? "all is right" : "this is right";
    return buttonsEl(
      desk,
      groupEl(
        finding?.lines.length ? button("Enter", wordsEl(finding.does), "accept") : null,
        button(" ", leave, "keep"),
        button("+", "one more"),
        button("-", "one fewer"),
        button("/", "another class"),
        changed ? button("s", `done: save ${changed === 1 ? "1 count" : `${changed} counts`}`) : null,
        button("u", "unsure"),
      ),
      groupEl(button("o", "exclude: off-topic"), button("b", "exclude: broken")),
    );
  }
}

const COUNT_KEYS = [
  "How many of each class",
  [
    [["↵", "a"], "as proposed, and on to the next finding"],
    [["Space", "k"], "as it stands, and on; after the last finding the picture is done"],
    [["+", "="], "one more of the chosen class"],
    [["-", "x"], "one fewer"],
    [["0", "…", "9"], "so many: type the number"],
    [["↓", "↑"], "choose the next class; a click does the same"],
    [["/", "p"], "another class that is in the picture"],
    [["s"], "done: save what was changed"],
    [["z", "⌫"], "the last step back, then the last decision"],
    [["Esc"], "all as it was given"],
  ],
];
