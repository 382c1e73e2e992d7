// Many similar suspects at once: mark the exceptions, decide the rest with one key, take it back with one.

export default function (component) {
  const parent = component.parentElement;
  parent.curateDesk ??= new Grid(parent, component.data);
  const grid = parent.curateDesk;
  grid.link.attach(component.setTriggerValue);
  grid.receive(component.data);
  return () => {
    grid.close();
    delete parent.curateDesk;
  };
}

class Grid extends Page {
  constructor(parent, data) {
    super(parent, data);
    this.cells = []; // what is shown: [{id, picture, given, shown, suggestion, ...}]
    this.excepted = new Set(); // item ids that are not decided with the others
    this.asideKey = `curate:aside:${data.room}`;
    const aside = stored(sessionStorage, this.asideKey, []);
    this.aside = new Set(aside instanceof Array ? aside : []); // exceptions of earlier decisions: left to the review page
    this.back = []; // exceptions of what was taken back: marked again when it is here
    this.gone = new Set(); // decided here, the server has not said so yet
    this.group = "";
    this.at = 0;
    this.history = []; // [{action_id, count, excepted}]
    this.shownAt = performance.now();
  }

  report() {
    return { group: this.group, aside: [...this.aside] };
  }

  take(data) {
    if (!data.groups) return;
    const waiting = new Set(this.link.pending.flatMap((action) => (action.kind === "decide" ? action.items : [])));
    const before = this.cells.map((cell) => cell.id).join();
    this.groups = data.groups;
    if (this.group !== data.group) this.excepted.clear();
    this.group = data.group ?? "";
    this.waiting = false;
    this.cells = (data.cells ?? []).filter((cell) => !waiting.has(cell.id));
    const here = new Set(this.cells.map((cell) => cell.id));
    for (const id of [...this.excepted]) if (!here.has(id)) this.excepted.delete(id);
    if (this.back.some((id) => here.has(id)) && !this.link.pending.length) {
      for (const id of this.back) if (here.has(id)) this.excepted.add(id);
      this.back = [];
    }
    if (data.aside) this.setAside(data.aside);
    this.at = Math.max(0, Math.min(this.at, this.cells.length - 1));
    if (before !== this.cells.map((cell) => cell.id).join()) this.shownAt = performance.now();
    this.signature = "";
  }

  setAside(ids) {
    if (!this.link.pending.length) this.aside = new Set(ids);
    store(sessionStorage, this.asideKey, [...this.aside]);
  }

  forget() {
    this.hello = false;
    this.group = "";
    this.cells = [];
  }

  refused(action) {
    this.history = this.history.filter((entry) => entry.action_id !== action.action_id);
  }

  // --- deciding

  decide(name, labels = [], isNew = false) {
    const chosen = this.cells.filter((cell) => !this.excepted.has(cell.id));
    if (!chosen.length || !this.reviewer) return;
    const action = {
      kind: "decide",
      action_id: newId(),
      items: chosen.map((cell) => cell.id),
      suspects: chosen.filter((cell) => cell.suspect).length,
      again: 0,
      name,
      labels,
      new_label: isNew,
      seconds: Math.min(3600, (performance.now() - this.shownAt) / 1000),
      shown: true,
      comment: this.comment,
      reviewer: this.reviewer,
    };
    for (const id of this.excepted) this.aside.add(id);
    store(sessionStorage, this.asideKey, [...this.aside]);
    this.history.push({ action_id: action.action_id, count: chosen.length, excepted: [...this.excepted] });
    this.decided += chosen.length;
    this.comment = "";
    this.notice = `${chosen.length} decided with one key; z takes all of them back.`;
    this.cells = [];
    this.excepted.clear();
    this.at = 0;
    this.group = "";
    this.waiting = true;
    this.draw();
    this.link.push(action);
  }

  undo() {
    if (!this.reviewer) return;
    const last = this.history.pop();
    this.decided -= last?.count ?? 0;
    this.back = last?.excepted ?? [];
    for (const id of this.back) this.aside.delete(id);
    this.group = "back"; // the group of what comes back
    this.waiting = true;
    this.cells = []; // or the next key would be about a group that was not looked at
    this.notice = "Taking back your last decision …"; // the answer says what it was
    this.draw();
    this.link.push({ kind: "undo", action_id: newId(), target: last?.action_id ?? "", reviewer: this.reviewer });
  }

  choose(key) {
    if (!key || key === this.group) return;
    this.group = key;
    this.waiting = true;
    this.cells = [];
    this.excepted.clear();
    this.at = 0;
    this.notice = "";
    this.draw();
    this.link.send();
  }

  next(by) {
    const keys = (this.groups ?? []).map((group) => group.key);
    const at = keys.indexOf(this.group);
    this.choose(keys[(Math.max(at, 0) + by + keys.length) % keys.length]);
  }

  pick() {
    const first = this.current?.suggestion ? [[this.current.suggestion, this.current.suggestion_shown]] : [];
    this.layer((closed) =>
      openPicker(this.layers, {
        title: "The right class of all that are not marked",
        entries: this.labels,
        first,
        done: ([label], isNew) => this.decide("pick", [label], isNew),
        closed,
      }),
    );
  }

  get isBusy() {
    return this.cells.length > 0 && !this.halt;
  }

  get current() {
    return this.groups?.find((group) => group.key === this.group);
  }

  // --- keys

  action(event) {
    const key = keyOf(event);
    const press =
      this.common(key) ??
      {
        "]": () => this.next(1),
        "[": () => this.next(-1),
        PageDown: () => this.next(1),
        PageUp: () => this.next(-1),
        n: () => this.openNote(),
      }[key];
    if (press || !this.cells.length || this.halt) return press;
    const suggestion = this.current?.suggestion;
    const accept = suggestion ? () => this.decide("pick", [suggestion]) : () => this.pick();
    const rows = this.columns();
    return {
      Enter: accept,
      a: accept,
      1: accept,
      k: () => this.decide("keep"),
      h: () => this.decide("hard"),
      o: () => this.decide("off-topic"),
      b: () => this.decide("broken"),
      d: () => this.decide("duplicate"),
      u: () => this.decide("unsure"),
      "/": () => this.pick(),
      p: () => this.pick(),
      " ": () => this.mark(this.at),
      x: () => this.mark(this.at),
      i: () => this.markOthers(),
      f: () => this.showLarge(this.cells[this.at].picture, isTiny(this.cells[this.at].size)),
      ArrowRight: () => this.move(1),
      ArrowLeft: () => this.move(-1),
      ArrowDown: () => this.move(rows),
      ArrowUp: () => this.move(-rows),
      Home: () => this.move(-this.at),
      End: () => this.move(this.cells.length),
    }[key];
  }

  columns() {
    const tiles = [...this.body.querySelectorAll(".tile")];
    const top = tiles[0]?.offsetTop;
    return (
      Math.max(
        1,
        tiles.findIndex((tile) => tile.offsetTop !== top),
      ) ||
      tiles.length ||
      1
    );
  }

  move(by) {
    this.at = Math.max(0, Math.min(this.cells.length - 1, this.at + by));
    this.paint();
  }

  mark(at) {
    const id = this.cells[at].id;
    if (!this.excepted.delete(id)) this.excepted.add(id);
    this.at = at;
    this.paint();
  }

  markOthers() {
    const others = this.cells.map((cell) => cell.id).filter((id) => !this.excepted.has(id));
    this.excepted = new Set(others);
    this.paint();
  }

  // --- drawing

  draw() {
    const signature = JSON.stringify([
      this.group,
      this.cells.map((cell) => cell.id),
      this.groups,
      this.waiting,
      this.halt,
      this.aside.size,
      this.link.pending.length > 0 && !this.cells.length,
    ]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.body.replaceChildren(
        this.groups ? this.drawGroups() : el("div", { class: "empty" }, el("p", {}, "Looking for similar suspects …")),
      );
      this.root.dataset.group = this.group;
    }
    this.paint();
    this.drawTop();
  }

  drawGroups() {
    const list = el(
      "div",
      { class: "groups" },
      ...this.groups.map((group) =>
        el(
          "button",
          {
            class: `group ${group.key === this.group ? "at" : ""}`,
            type: "button",
            onclick: (event) => (event.currentTarget.blur(), this.choose(group.key)),
          },
          el("span", {}, ...this.titleOf(group)),
          el("span", { class: "muted" }, String(group.count)),
        ),
      ),
    );
    return el(
      "div",
      { class: "columns" },
      el(
        "aside",
        { class: "grouplist" },
        el("h3", {}, "Groups ", keyEl("["), " ", keyEl("]")),
        list,
        this.aside.size
          ? el(
              "button",
              { class: "group aside", type: "button", title: "exceptions: to be looked at one by one", onclick: toReview },
              el("span", {}, `${this.aside.size} set aside, on `, el("u", {}, "Review")),
            )
          : null,
      ),
      el(
        "div",
        { class: "left" },
        this.drawHead(),
        el(
          "div",
          { class: `tiles ${isTiny(this.cells[0]?.size) ? "tiny" : ""}` },
          ...(this.halt ? [] : this.cells).map((cell, i) => this.tile(cell, i)),
        ),
        this.drawButtons(),
      ),
    );
  }

  titleOf(group) {
    if (group.kind === "together") return ["taken back just now"];
    if (group.kind === "alike")
      return [
        group.suggestion ? "look alike, suggested " : "look alike",
        group.suggestion ? labelEl(group.suggestion_shown) : "",
      ];
    return [labelEl(group.given_shown), " → ", labelEl(group.suggestion_shown)];
  }

  drawHead() {
    if (this.halt) return this.drawHalt();
    const group = this.current;
    if (this.cells.length && group)
      return el(
        "p",
        { class: "grouphead" },
        { alike: "These look alike. ", together: "This is what was taken back. " }[group.kind] ?? "",
        group.kind !== "confusion"
          ? ""
          : el(
              "span",
              {},
              "Labelled ",
              labelEl(group.given_shown),
              ", and the model sees ",
              labelEl(group.suggestion_shown),
              ". ",
            ),
        el(
          "span",
          { class: "muted" },
          "Mark those that are different with ",
          keyEl("Space"),
          ", then decide the rest with one key.",
        ),
      );
    if (this.link.pending.length || this.waiting) return el("p", { class: "grouphead muted" }, "Loading …");
    if (this.groups.length)
      return el(
        "div",
        { class: "empty" },
        el("h2", {}, "All taken"),
        el(
          "p",
          {},
          "Other reviewers or tabs have these groups open. They are free again a few minutes after those tabs are closed.",
        ),
      );
    const [title, text] = this.data.empty ?? ["No groups here.", ""];
    return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, text));
  }

  tile(cell, i) {
    const tile = el(
      "figure",
      { class: "tile", "data-id": cell.id, onclick: () => this.mark(i) },
      pictureEl(cell.picture, { class: isTiny(cell.size) ? "pixelated" : "" }) ??
        el("span", { class: "gone" }, "not shown"),
      el("figcaption", {}, ...this.caption(cell)),
    );
    tile.title = "click: mark as an exception";
    return tile;
  }

  // What the model says of it; and what it is labelled, where that is not the same for all.
  caption(cell) {
    const seen = cell.percent ? [labelEl(cell.suggestion_shown), ` ${cell.percent}`] : [];
    if (this.current?.kind === "confusion" && seen.length) return seen;
    return [labelEl(cell.shown), seen.length ? " → " : "", ...seen];
  }

  paint() {
    [...this.body.querySelectorAll(".tile")].forEach((tile, i) => {
      tile.classList.toggle("at", i === this.at);
      tile.classList.toggle("excepted", this.excepted.has(tile.dataset.id));
      if (i === this.at) tile.scrollIntoView({ block: "nearest" });
    });
    const rest = this.cells.length - this.excepted.size;
    for (const node of this.body.querySelectorAll(".rest")) node.textContent = String(rest);
    this.root.dataset.excepted = String(this.excepted.size);
  }

  drawButtons() {
    if (!this.isBusy) return buttonsEl(this);
    const group = this.current;
    const rest = () => el("span", { class: "rest" }, String(this.cells.length));
    return buttonsEl(
      this,
      groupEl(
        group?.suggestion
          ? buttonEl(this, "Enter", ["all ", rest(), " are ", labelEl(group.suggestion_shown)], "accept")
          : null,
        buttonEl(this, "k", ["all ", rest(), " labels are right"], "keep"),
        buttonEl(this, "/", "another class"),
        buttonEl(this, "u", "unsure"),
      ),
      groupEl(buttonEl(this, "o", "exclude: off-topic"), buttonEl(this, "b", "exclude: broken")),
    );
  }

  help() {
    return [
      [
        "All that are not marked",
        [
          [["↵", "a", "1"], "are what the model sees"],
          [["k"], "have the right label"],
          [["h"], "right, but hard to see"],
          [["/", "p"], "are another class"],
          [["o"], "exclude: off-topic"],
          [["b"], "exclude: broken"],
          [["d"], "exclude: duplicates"],
          [["u"], "unsure: somebody else shall look"],
        ],
      ],
      [
        "Marking",
        [
          [["←", "→", "↑", "↓"], "move"],
          [["Space", "x"], "mark an exception, or take the mark away; a click does the same"],
          [["i"], "mark all others instead"],
          [["f"], "zoom"],
        ],
      ],
      [
        "Moving",
        [
          [["]", "["], "next group, group before"],
          [["z", "⌫"], "undo: all that one key decided"],
          [["n"], "note to the next decision"],
          [["?"], "this list"],
        ],
      ],
    ];
  }
}

// To the page where items are shown one by one, as a click in the bar on top leads there.
function toReview() {
  const link = [...document.querySelectorAll("a[href]")].find((one) => one.textContent.trim() === "Review");
  if (link) link.click();
  else location.assign("/?view=review");
}
