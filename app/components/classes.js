// One class at a time: tiles of its boxes or pictures, worst first; mark some, and one key is about all of them.

export default function (component) {
  const parent = component.parentElement;
  parent.curateDesk ??= new Classes(parent, component.data);
  const page = parent.curateDesk;
  page.link.attach(component.setTriggerValue);
  page.receive(component.data);
  return () => {
    page.close();
    delete parent.curateDesk;
  };
}

const KEPT_CELLS = 1000; // pictures that stay here, for undo
const [TILE_PX, TILE_GAP_PX, CAPTION_PX] = [150, 8, 24]; // as in style.css
const [BESIDE_PX, BELOW_PX] = [236, 200]; // the list of classes; heading, reasons and buttons

class Classes extends Page {
  constructor(parent, data) {
    super(parent, data);
    this.cells = new Map(); // id -> what is drawn of a tile
    this.page = []; // ids of the tiles on screen, in order
    this.marked = new Set();
    this.group = "";
    this.wanted = ""; // the group that was asked for, until it is here
    this.at = 0;
    this.history = []; // [{action_id, ids, group, page, at}]
    this.shownAt = performance.now();
  }

  // --- what the server is told, and what it answers

  report() {
    return { group: this.group, page: this.page, have: [...this.cells.keys()], want: this.room() };
  }

  // How many tiles there is room for: what "all here are right" is about, the reviewer has seen.
  room() {
    const [width, height] = [this.root.clientWidth - BESIDE_PX, this.root.clientHeight - BELOW_PX];
    const columns = Math.max(1, Math.floor((width + TILE_GAP_PX) / (TILE_PX + TILE_GAP_PX)));
    const side = (width + TILE_GAP_PX) / columns + CAPTION_PX;
    return columns * Math.max(1, Math.floor(height / side));
  }

  take(data) {
    for (const cell of data.cells ?? []) this.cells.set(cell.id, cell);
    if (!data.classes) return;
    const waiting = new Set(this.link.pending.flatMap(({ tiles }) => (tiles ?? []).map((pair) => pair.join(" "))));
    const back = this.link.pending.some(({ kind }) => kind === "undo");
    this.groups = data.classes;
    this.drawable = data.drawable;
    const elsewhere = this.wanted && data.group !== this.wanted && data.classes.some(({ key }) => key === this.wanted);
    if (back || elsewhere) return; // an answer of before the last key
    this.wanted = "";
    const here = this.page[this.at];
    if (this.group !== data.group) this.marked.clear();
    const before = this.page.join();
    this.group = data.group ?? "";
    this.page = data.page.filter((id) => !waiting.has(id) && this.cells.has(id));
    this.waiting = false;
    for (const id of [...this.marked]) if (!this.page.includes(id)) this.marked.delete(id);
    const at = this.page.indexOf(here);
    this.at = Math.max(0, Math.min(at < 0 ? this.at : at, this.page.length - 1));
    if (before !== this.page.join()) this.shownAt = performance.now();
    for (const id of this.cells.keys()) {
      if (this.cells.size <= KEPT_CELLS) break;
      if (!this.page.includes(id)) this.cells.delete(id);
    }
  }

  forget() {
    this.hello = false;
    this.page = [];
    this.group = this.wanted = "";
  }

  refused(action) {
    this.history = this.history.filter((entry) => entry.action_id !== action.action_id);
    this.page = []; // shown again as the server has it
    this.link.send();
  }

  // --- deciding

  // What the next key is about: what is marked, else the tile under the frame.
  get chosen() {
    return this.marked.size ? this.page.filter((id) => this.marked.has(id)) : this.page.slice(this.at, this.at + 1);
  }

  get current() {
    return this.groups?.find((group) => group.key === this.group);
  }

  get isMissing() {
    return this.current?.kind === "missing";
  }

  get isBusy() {
    return this.page.length > 0 && !this.halt;
  }

  accept() {
    const ids = this.chosen.filter((id) => this.cells.get(id).does.length);
    if (ids.length) return this.decide("accept", ids);
    this.say(`Nothing is proposed for ${this.marked.size > 1 ? "these" : "this one"}: say what is right.`);
  }

  decide(name, ids = this.chosen, labels = [], isNew = false) {
    if (!ids.length || !this.reviewer) return;
    const action = {
      kind: "decide",
      action_id: newId(),
      items: [],
      tiles: ids.map((id) => [this.cells.get(id).sample, this.cells.get(id).key]),
      suspects: 0,
      again: 0,
      name,
      labels,
      new_label: isNew,
      seconds: Math.min(3600, (performance.now() - this.shownAt) / 1000),
      shown: true,
      comment: this.comment,
      reviewer: this.reviewer,
    };
    const gone = new Set(ids);
    const left = this.page.slice(0, this.at).filter((id) => !gone.has(id)).length;
    this.history.push({ action_id: action.action_id, ids, group: this.group, page: this.page, at: this.at });
    this.page = this.page.filter((id) => !gone.has(id));
    for (const id of ids) this.marked.delete(id);
    this.at = Math.max(0, Math.min(left, this.page.length - 1));
    this.decided += ids.length;
    this.comment = "";
    this.notice = ids.length > 1 ? `${ids.length} decided with one key; z takes all of them back.` : "";
    this.waiting = !this.page.length;
    this.shownAt = performance.now();
    this.draw();
    this.link.push(action);
  }

  undo() {
    if (!this.reviewer) return;
    if (this.link.pending.some(({ kind }) => kind === "undo")) return; // one after the other: each has its page
    const last = this.history.pop();
    if (last) {
      this.decided -= last.ids.length;
      this.group = this.wanted = last.group;
      this.page = last.page.filter((id) => this.cells.has(id));
      this.at = last.at;
      this.marked = new Set(last.ids.length > 1 ? last.ids : []);
    }
    this.notice = "Taking back your last decision …"; // the answer says what it was
    this.draw();
    this.link.push({ kind: "undo", action_id: newId(), target: last?.action_id ?? "", reviewer: this.reviewer });
  }

  choose(key) {
    if (!key || key === this.group) return;
    this.group = this.wanted = key;
    this.waiting = true;
    this.page = [];
    this.marked.clear();
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
    const ids = this.chosen;
    if (!this.drawable) return this.say("What else is in the picture is said on Review: v opens it there.");
    const offered = new Map(ids.flatMap((id) => (this.cells.get(id).to ? [this.cells.get(id).to] : [])));
    this.layer((closed) =>
      openPicker(this.layers, {
        title: ids.length > 1 ? `The right class of these ${ids.length} boxes` : "The right class of this box",
        entries: this.labels,
        first: [...offered],
        done: ([label], isNew) => this.decide("relabel", ids, [label], isNew),
        closed,
      }),
    );
  }

  openPicture() {
    const url = new URL(location.href);
    url.search = "";
    url.searchParams.set("view", "review");
    url.searchParams.set("item", this.cells.get(this.page[this.at]).sample);
    location.assign(url.href);
  }

  say(text) {
    this.notice = text;
    this.drawTop();
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
    if (press || !this.page.length || this.halt) return press;
    const row = this.columns();
    return {
      Enter: () => this.accept(),
      a: () => this.accept(),
      k: () => this.decide("right"),
      x: () => this.remove(),
      Delete: () => this.remove(),
      "/": () => this.pick(),
      p: () => this.pick(),
      s: () => this.decide("right", [...this.page]),
      " ": () => this.mark(this.at),
      i: () => this.markOthers(),
      Escape: () => (this.marked.clear(), this.paint()),
      f: () => this.showLarge(this.cells.get(this.page[this.at]).picture, false),
      v: () => this.openPicture(),
      ArrowRight: () => this.move(1),
      ArrowLeft: () => this.move(-1),
      ArrowDown: () => this.move(row),
      ArrowUp: () => this.move(-row),
      Home: () => this.move(-this.at),
      End: () => this.move(this.page.length),
    }[key];
  }

  remove() {
    if (this.isMissing) this.say("Nothing is there yet that could be removed: k says that it is not missing.");
    else this.decide("drop");
  }

  columns() {
    const tiles = [...this.body.querySelectorAll(".tile")];
    const next = tiles.findIndex((tile) => tile.offsetTop !== tiles[0].offsetTop);
    return next > 0 ? next : Math.max(1, tiles.length);
  }

  move(by) {
    this.at = Math.max(0, Math.min(this.page.length - 1, this.at + by));
    this.paint();
  }

  mark(at) {
    const id = this.page[at];
    if (!this.marked.delete(id)) this.marked.add(id);
    this.at = at;
    this.paint();
  }

  // From the tile under the frame to this one, as lists are marked everywhere.
  markTo(at) {
    const [from, to] = [Math.min(this.at, at), Math.max(this.at, at)];
    for (const id of this.page.slice(from, to + 1)) this.marked.add(id);
    this.at = at;
    this.paint();
  }

  markOthers() {
    this.marked = new Set(this.page.filter((id) => !this.marked.has(id)));
    this.paint();
  }

  // --- drawing

  heading() {
    return [];
  }

  draw() {
    const signature = JSON.stringify([this.group, this.page, this.groups, this.waiting, this.halt]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.body.replaceChildren(
        this.groups ? this.drawGroups() : el("div", { class: "empty" }, el("p", {}, "Looking at the classes …")),
      );
    }
    this.root.dataset.group = this.group;
    this.paint();
    this.drawTop();
  }

  drawGroups() {
    const list = this.groups.map((group) =>
      el(
        "button",
        {
          class: `group ${group.key === this.group ? "at" : ""}`,
          type: "button",
          title: `${group.flagged} suspects of ${group.total} that nobody has looked at`,
          onclick: (event) => (event.currentTarget.blur(), this.choose(group.key)),
        },
        el("span", {}, group.kind === "missing" ? "missing " : "", labelEl(group.shown)),
        el("span", { class: "muted" }, el("b", {}, String(group.flagged)), ` / ${group.total.toLocaleString()}`),
      ),
    );
    return el(
      "div",
      { class: "columns" },
      el(
        "aside",
        { class: "grouplist" },
        el("h3", {}, "Classes ", keyEl("["), " ", keyEl("]")),
        el("p", { class: "muted counted" }, "suspects / all left"),
        el("div", { class: "groups" }, ...list),
      ),
      el("div", { class: "left" }, ...(this.page.length && !this.halt ? this.drawPage() : [this.drawNothing()])),
    );
  }

  drawPage() {
    const cells = this.page.map((id) => this.cells.get(id));
    return [
      this.drawHead(),
      el("div", { class: "tiles of-class" }, ...cells.map((cell, i) => this.tile(cell, i))),
      el("div", { class: "about" }),
      el("div", { class: "foot" }),
    ];
  }

  drawHead() {
    const { current } = this;
    const what = this.drawable ? "Boxes labelled " : "Pictures labelled ";
    const missing = this.drawable ? "Where a box of " : "Pictures that may lack ";
    return el(
      "p",
      { class: "grouphead" },
      this.isMissing ? missing : what,
      labelEl(current.shown),
      this.isMissing && this.drawable ? " may be missing" : "",
      ", worst first. ",
      el(
        "span",
        { class: "muted" },
        "A key is about the framed one, or about all that are marked with ",
        keyEl("Space"),
        ".",
      ),
    );
  }

  drawNothing() {
    if (this.halt) return this.drawHalt();
    if (this.waiting || this.link.pending.length) return el("p", { class: "grouphead muted" }, "Loading …");
    const [title, text] = this.groups.length
      ? ["All taken", "Other reviewers or tabs have these pictures open. Choose another class, or come back in a few minutes."]
      : (this.data.empty ?? ["All done here.", ""]);
    return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, text));
  }

  tile(cell, i) {
    const share = (value) => `${100 * value}%`;
    const picture = pictureEl(cell.picture);
    // The frame is placed in shares of the picture: what holds both has its shape.
    const shape = () => {
      const ratio = picture.naturalWidth / picture.naturalHeight;
      picture.parentElement.style.width = share(Math.min(1, ratio));
    };
    if (cell.frames.length) picture?.addEventListener("load", shape);
    const frames = cell.frames.map(([x, y, w, h], n) =>
      el("div", {
        class: `place ${n ? "other" : this.isMissing ? "proposed" : ""}`,
        style: { left: share(x), top: share(y), width: share(w), height: share(h) },
      }),
    );
    return el(
      "figure",
      {
        class: `tile ${cell.suspect ? "suspect" : ""}`,
        "data-id": cell.id,
        onclick: (event) => (event.shiftKey ? this.markTo(i) : this.mark(i)),
        ondblclick: () => this.showLarge(cell.picture, false),
      },
      el(
        "div",
        { class: "cutout" },
        el(
          "div",
          { class: cell.frames.length ? "cut" : "" },
          picture ?? el("span", { class: "gone" }, "not shown"),
          ...frames.reverse(),
        ),
      ),
      el("figcaption", {}, ...(cell.to ? ["→ ", labelEl(cell.to[1])] : [cell.title])),
    );
  }

  paint() {
    [...this.body.querySelectorAll(".tile")].forEach((tile, i) => {
      tile.classList.toggle("at", i === this.at);
      tile.classList.toggle("marked", this.marked.has(tile.dataset.id));
      if (i === this.at) tile.scrollIntoView({ block: "nearest" });
    });
    this.root.dataset.marked = String(this.marked.size);
    this.root.dataset.tiles = String(this.page.length);
    this.root.dataset.at = this.page[this.at] ?? "";
    const cell = this.cells.get(this.page[this.at]);
    this.body.querySelector(".about")?.replaceChildren(...(cell?.why ?? []).slice(0, 2).map(whyEl));
    this.body.querySelector(".foot")?.replaceChildren(this.drawButtons());
  }

  drawButtons() {
    const ids = this.chosen;
    const many = ids.length;
    const button = (key, meaning, kind) => buttonEl(this, key, meaning, kind);
    const what = this.drawable ? (many === 1 ? "this box" : `${many} boxes`) : many === 1 ? "it here" : `it from ${many}`;
    const proposals = ids.map((id) => this.cells.get(id).does).filter((does) => does.length);
    const same = new Set(proposals.map((does) => JSON.stringify(does))).size === 1;
    const count = proposals.length > 1 ? ` (${proposals.length})` : "";
    const accept = same ? [...wordsEl(proposals[0]), count] : [`as proposed${count}`];
    const those = many === 1 ? "this is" : `these ${many} are`;
    return buttonsEl(
      this,
      groupEl(
        proposals.length ? button("Enter", accept, "accept") : null,
        button("k", this.isMissing ? `${those} not missing` : `${those} right`, "keep"),
        this.isMissing ? null : button("x", `remove ${what}`),
        this.drawable ? button("/", "another class") : null,
      ),
      groupEl(
        button("s", this.isMissing ? `none of all ${this.page.length} is missing` : `all ${this.page.length} here are right`),
        button("v", "the whole picture"),
      ),
    );
  }

  help() {
    return [
      [
        "The framed one, or all that are marked",
        [
          [["↵", "a"], "as proposed"],
          [["k"], "right as it is; of what may be missing: it is not"],
          [["x"], "remove the box, or the class from the picture"],
          [["/", "p"], "another class"],
          [["s"], "all on this page are right: the next page"],
        ],
      ],
      [
        "Marking",
        [
          [["←", "→", "↑", "↓"], "move the frame"],
          [["Space"], "mark, or take the mark away; a click does the same, with ⇧ all up to there"],
          [["i"], "mark all others instead"],
          [["Esc"], "mark none"],
          [["f"], "zoom"],
        ],
      ],
      [
        "Moving",
        [
          [["]", "["], "next class, class before"],
          [["v"], "the whole picture, on Review"],
          [["z", "⌫"], "undo: all that one key decided"],
          [["n"], "note to the next decision"],
          [["?"], "this list"],
        ],
      ],
    ];
  }
}
