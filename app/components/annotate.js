// A picture with several annotations: boxes to look at, name, move and draw; classes without a place to add and remove.
//
// What the reviewer makes of them is a draft, which nobody sees before the picture is done. What then leaves is what is
// different, as lines {change: "relabel" | "box" | "drop" | "add", annotation_id, to} of an edit (curation/edits.py); what
// was there before, the server knows.

const SVG = "http://www.w3.org/2000/svg";
const NAMED_BOXES = 30; // of more than these, only the chosen one and the suspects say what they are
const LEAST_DRAG_PX = 5; // on screen; less is a click
const HANDLES = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]];

function svgEl(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter(Boolean));
  return node;
}

// The annotations of a card as they would be, step by step, and which finding is asked about.
class Draft {
  constructor(card) {
    this.card = card;
    this.items = card.annotations.map((one) => ({ ...one }));
    this.asked = 0;
    this.chosen = "";
    this.made = 0;
    this.earlier = [];
    this.apply(card.said ?? []); // of some of them it was said before, class by class
    this.choose(this.finding?.ids[0] ?? "");
  }

  get finding() {
    return this.card.findings[this.asked];
  }

  get isNew() {
    return this.items.some((one) => one.fresh);
  }

  find(id) {
    return this.items.find((one) => one.id === id);
  }

  get current() {
    return this.find(this.chosen);
  }

  choose(id) {
    this.chosen = id;
  }

  chooseNext(by) {
    const { items } = this;
    if (!items.length) return;
    const at = items.findIndex((one) => one.id === this.chosen);
    this.chosen = items[(at + by + items.length) % items.length].id;
  }

  remember() {
    const { items, asked, chosen } = this;
    this.earlier.push({ items: items.map((one) => ({ ...one })), asked, chosen });
  }

  stepBack() {
    const before = this.earlier.pop();
    if (before) Object.assign(this, before);
    return Boolean(before);
  }

  // lines: of a proposal, with `shown` for a label that is given
  apply(lines) {
    for (const { change, annotation_id: id, to, shown } of lines) {
      const at = this.items.findIndex((one) => one.id === id);
      if (change === "add") this.add({ shown, ...to });
      else if (at < 0) continue;
      else if (change === "drop") this.items.splice(at, 1);
      else if (change === "box") this.items[at].box = [...to];
      else Object.assign(this.items[at], { label: to, shown: shown ?? to });
    }
    if (this.chosen && !this.current) this.choose("");
  }

  add({ label, shown, box, fresh }) {
    this.made += 1;
    const id = `new-${this.made}`;
    this.items.push({ id, label, shown: shown ?? label, box: box ? [...box] : null, added: true, fresh });
    this.choose(id);
  }

  next() {
    do this.asked += 1;
    while (this.finding?.ids.length && !this.finding.ids.some((id) => this.find(id))); // of what is gone nothing is asked
    this.choose(this.finding?.ids[0] ?? "");
  }

  // What is different from what is given.
  lines() {
    const given = new Map(this.card.annotations.map((one) => [one.id, one]));
    const left = new Set(this.items.map((one) => one.id));
    const gone = this.card.annotations.filter((one) => !left.has(one.id)).map(({ id }) => lineOf("drop", id, null));
    const others = this.items.flatMap(({ id, label, box, added }) => {
      if (added) return [lineOf("add", "", { label, ...(box ? { box } : {}) })];
      const before = given.get(id);
      return [
        ...(label === before.label ? [] : [lineOf("relabel", id, label)]),
        ...(sameBox(box, before.box) ? [] : [lineOf("box", id, box)]),
      ];
    });
    return [...gone, ...others];
  }
}

const lineOf = (change, annotation_id, to) => ({ change, annotation_id, to });

const sameBox = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// The box between two points, inside of the picture.
function boxBetween([x1, y1], [x2, y2], [width, height]) {
  const inside = (value, most) => Math.min(Math.max(value, 0), most);
  const [left, right] = [inside(Math.min(x1, x2), width), inside(Math.max(x1, x2), width)];
  const [top, bottom] = [inside(Math.min(y1, y2), height), inside(Math.max(y1, y2), height)];
  return [left, top, right - left, bottom - top].map((value) => Math.round(value * 100) / 100);
}

// The picture and its boxes, drawn in the picture's own pixels; the mouse chooses, moves, resizes and draws.
class Sheet {
  // changed(how): called after the mouse has chosen ("choose"), or moved ("move"), or drawn a box ("draw", box)
  constructor(draft, picture, changed) {
    this.draft = draft;
    this.changed = changed;
    this.drawing = false;
    const [width, height] = draft.card.size;
    const safe = pictureEl(picture);
    this.boxes = svgEl("g");
    this.node = svgEl(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, class: "sheet", role: "img", "aria-label": "the picture with its boxes" },
      safe ? svgEl("image", { href: safe.src, width, height, preserveAspectRatio: "none" }) : null,
      this.boxes,
    );
    this.node.addEventListener("pointerdown", (event) => this.press(event));
    this.node.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.node.addEventListener(name, (event) => this.lift(event));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.node);
  }

  close() {
    this.watch.disconnect();
  }

  // Picture pixels per pixel on screen.
  get scale() {
    const matrix = this.node.getScreenCTM();
    return matrix?.a ? 1 / matrix.a : 1;
  }

  point(event) {
    const matrix = this.node.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    return [at.x, at.y];
  }

  draw() {
    const { draft } = this;
    const suspects = new Set(draft.finding?.ids ?? []);
    const others = new Set(draft.finding?.others ?? []);
    const many = draft.items.length > NAMED_BOXES;
    const drawn = draft.items.filter((one) => one.box);
    // What is chosen lies on top, so that it can be taken hold of.
    drawn.sort((a, b) => rank(a, draft, suspects) - rank(b, draft, suspects));
    const nodes = drawn.map((one) => this.drawBox(one, suspects.has(one.id), one.id === draft.chosen, many, others.has(one.id)));
    const band = this.grip?.band ? this.outline(this.grip.band, "mark band") : null;
    const sides = draft.finding?.opinions ?? [];
    const proposed = (sides.length ? sides.flatMap(({ lines }) => lines) : (draft.finding?.lines ?? []))
      .map(({ to }) => to?.box ?? (Array.isArray(to) ? to : null))
      .filter(Boolean)
      .map((box) => this.outline(box, "mark proposed"));
    this.boxes.replaceChildren(...nodes, ...proposed, ...(band ? [band] : []));
    this.node.classList.toggle("drawing", this.drawing);
  }

  outline([x, y, width, height], kind) {
    return svgEl("rect", { x, y, width, height, class: kind });
  }

  drawBox(one, isSuspect, isChosen, many, isOther) {
    const { scale } = this;
    const [x, y, width, height] = one.box;
    const kind = `mark ${isSuspect ? "suspect" : ""} ${isChosen ? "chosen" : ""} ${isOther ? "other" : ""}`;
    const group = svgEl("g", { "data-id": one.id, style: `--chip: ${colourOf(one.label)}` });
    group.append(this.outline(one.box, kind));
    if (isChosen || isSuspect || isOther || !many) {
      const above = y > 16 * scale;
      group.append(
        svgEl(
          "text",
          { x: x + 2 * scale, y: above ? y - 4 * scale : y + 14 * scale, "font-size": 13 * scale, class: "name" },
          document.createTextNode(one.shown),
        ),
      );
    }
    if (isChosen) {
      const side = 9 * scale;
      for (const [i, [u, v]] of HANDLES.entries())
        group.append(
          svgEl("rect", {
            x: x + u * width - side / 2,
            y: y + v * height - side / 2,
            width: side,
            height: side,
            class: `handle h${i}`,
            "data-handle": i,
          }),
        );
    }
    return group;
  }

  // --- the mouse

  press(event) {
    if (event.button !== 0) return;
    const at = this.point(event);
    const handle = event.target.dataset?.handle;
    const id = event.target.closest?.("[data-id]")?.dataset.id ?? "";
    event.preventDefault();
    if (this.drawing) this.grip = { kind: "draw", from: at, screen: [event.clientX, event.clientY] };
    else if (id) {
      this.draft.choose(id);
      const box = [...this.draft.current.box];
      const kind = handle === undefined ? "move" : "resize";
      this.grip = { kind, from: at, box, handle: Number(handle), screen: [event.clientX, event.clientY] };
      this.changed("choose");
    } else {
      this.draft.choose("");
      this.changed("choose");
      return;
    }
    this.node.setPointerCapture(event.pointerId);
    this.draw();
  }

  move(event) {
    const { grip } = this;
    if (!grip) return;
    const [x, y] = this.point(event);
    const far = Math.hypot(event.clientX - grip.screen[0], event.clientY - grip.screen[1]);
    if (!grip.started && far < LEAST_DRAG_PX) return;
    if (!grip.started && grip.kind !== "draw") this.draft.remember();
    grip.started = true;
    if (grip.kind === "draw") grip.band = boxBetween(grip.from, [x, y], this.draft.card.size);
    else this.draft.current.box = this.dragged(grip, x - grip.from[0], y - grip.from[1]);
    this.draw();
  }

  dragged({ kind, box, handle }, dx, dy) {
    const [x, y, width, height] = box;
    const { size } = this.draft.card;
    if (kind === "move") {
      const left = Math.min(Math.max(x + dx, 0), Math.max(0, size[0] - width));
      const top = Math.min(Math.max(y + dy, 0), Math.max(0, size[1] - height));
      return [left, top, width, height].map((value) => Math.round(value * 100) / 100);
    }
    const [u, v] = HANDLES[handle];
    const moved = (share, start, length, by) => [start + (share === 0 ? by : 0), start + length + (share === 1 ? by : 0)];
    const [left, right] = moved(u, x, width, dx);
    const [top, bottom] = moved(v, y, height, dy);
    return boxBetween([left, top], [right, bottom], size);
  }

  lift(event) {
    const { grip } = this;
    this.grip = null;
    if (!grip?.started) return this.draw();
    if (grip.kind === "draw") {
      this.drawing = false;
      const [, , width, height] = grip.band;
      if (event.type === "pointerup" && width > 0 && height > 0) return this.changed("draw", grip.band);
      return this.draw();
    }
    this.changed("move");
  }
}

const rank = (one, draft, suspects) => (one.id === draft.chosen ? 2 : suspects.has(one.id) ? 1 : 0);

// The same colour for the same class, everywhere and always.
function colourOf(label) {
  let hash = 0;
  for (const letter of label) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${hash} 75% 48%)`;
}

// A card of kind "annotations": the sheet, the list beside it, and the keys; tells the desk when the picture is done.
class Annotated {
  constructor(desk, card) {
    this.desk = desk;
    this.card = card;
    this.draft = new Draft(card);
    this.sheet = card.drawable && card.size.length ? new Sheet(this.draft, card.picture, (how, box) => this.hear(how, box)) : null;
    this.side = el("aside", { class: "side" });
    this.foot = el("div");
  }

  close() {
    this.sheet?.close();
  }

  // The same card may come again with any answer of the server: a draft of it is not lost.
  isOf(card) {
    const content = ({ id, annotations, findings }) => JSON.stringify([id, annotations, findings]);
    return card === this.card || content(card) === content(this.card);
  }

  // --- what is done

  hear(how, box) {
    if (how === "draw") this.nameDrawn(box);
    else this.refresh();
  }

  accept() {
    const { finding } = this.draft;
    if (!finding) return this.done();
    if (!finding.lines.length) return this.say("Nothing is proposed for this one: change it, or Space to leave it.");
    this.draft.remember();
    this.draft.apply(finding.lines);
    this.answered();
  }

  // As one of those says who dispute it.
  takeSide(n) {
    const { draft } = this;
    draft.remember();
    draft.apply(draft.finding.opinions[n].lines);
    this.answered();
  }

  leave() {
    if (!this.draft.finding) return this.done();
    this.draft.remember();
    this.answered();
  }

  // The finding has its answer; after the last one the picture is done.
  answered() {
    this.draft.next();
    if (this.draft.finding) this.refresh();
    else this.done();
  }

  done() {
    const lines = this.draft.lines();
    if (lines.length) this.desk.decide("edit", [], "", this.draft.isNew, lines);
    else this.desk.decide("keep");
  }

  remove() {
    const { draft } = this;
    if (!draft.current) return this.say("Choose one first: ↓, or a click.");
    draft.remember();
    draft.apply([lineOf("drop", draft.chosen, null)]);
    this.afterChange();
  }

  relabel(label, shown, isNew = false) {
    const { draft } = this;
    if (!draft.current) return this.say("Choose one first: ↓, or a click.");
    draft.remember();
    draft.apply([{ ...lineOf("relabel", draft.chosen, label), shown }]);
    if (isNew) draft.current.fresh = true;
    this.afterChange();
  }

  // Whoever has changed what the finding is about has answered it.
  afterChange() {
    const { draft } = this;
    const { finding } = draft;
    if (finding && draft.earlier.at(-1) && finding.ids.includes(draft.earlier.at(-1).chosen)) this.answered();
    else this.refresh();
  }

  pickClass() {
    const { draft, desk } = this;
    if (!this.sheet) return this.pickClasses();
    if (!draft.current) return this.say("Choose a box first: ↓, or a click. r draws a new one.");
    desk.layer((closed) =>
      openPicker(desk.layers, {
        title: "The right class of this box",
        entries: desk.labels,
        first: this.offered(),
        done: ([label], isNew) => this.relabel(label, shownOf(desk, label), isNew),
        closed,
      }),
    );
  }

  // Without boxes: all classes that are in the picture.
  pickClasses() {
    const { draft, desk } = this;
    desk.layer((closed) =>
      openPicker(desk.layers, {
        title: "Every class that is in the picture",
        entries: desk.labels,
        first: [...draft.items.map((one) => [one.label, one.shown]), ...this.offered()],
        several: true,
        least: 0,
        marked: draft.items.map((one) => [one.label, one.shown]),
        done: (labels, isNew) => this.setClasses(labels, isNew),
        closed,
      }),
    );
  }

  setClasses(labels, isNew) {
    const { draft, desk } = this;
    const wanted = new Set(labels);
    const present = new Set(draft.items.map((one) => one.label));
    const known = new Set(desk.labels.map(([label]) => label));
    draft.remember();
    draft.apply([
      ...draft.items.filter((one) => !wanted.has(one.label)).map(({ id }) => lineOf("drop", id, null)),
      ...labels
        .filter((label) => !present.has(label))
        .map((label) => lineOf("add", "", { label, shown: shownOf(desk, label), fresh: isNew && !known.has(label) })),
    ]);
    this.refresh();
  }

  startDrawing() {
    if (!this.sheet) return this.pickClasses();
    this.sheet.drawing = !this.sheet.drawing;
    this.refresh();
  }

  nameDrawn(box) {
    const { desk, draft } = this;
    const last = draft.current?.label;
    const first = [...this.offered(), ...(last ? [[last, draft.current.shown]] : [])];
    desk.layer((closed) =>
      openPicker(desk.layers, {
        title: "The class of the new box",
        entries: desk.labels,
        first: [...new Map(first)],
        done: ([label], isNew) => {
          draft.remember();
          draft.add({ label, shown: shownOf(desk, label), box, fresh: isNew });
          this.refresh();
        },
        closed: () => {
          closed();
          this.refresh();
        },
      }),
    );
  }

  nudge(dx, dy) {
    const { draft } = this;
    if (!this.sheet || !draft.current?.box) return this.say("Choose a box first: ↓, or a click.");
    const step = Math.max(1, Math.round(Math.max(...this.card.size) / 200));
    draft.remember();
    draft.current.box = this.sheet.dragged({ kind: "move", box: draft.current.box }, dx * step, dy * step);
    this.refresh();
  }

  // false: there is nothing to take back here, so that the last decision is taken back instead
  undo() {
    if (!this.draft.stepBack()) return false;
    this.refresh();
    return true;
  }

  reset() {
    if (this.sheet?.drawing) this.sheet.drawing = false;
    else {
      while (this.draft.stepBack());
      this.draft.choose(this.draft.finding?.ids[0] ?? "");
    }
    this.refresh();
  }

  say(text) {
    this.desk.notice = text;
    this.desk.drawTop();
  }

  offered() {
    return (this.draft.finding?.choices ?? []).map((choice) => [choice.label, choice.shown]);
  }

  key(event, key) {
    const { draft } = this;
    const choice = (n) => draft.finding?.choices[n - 1];
    const disputed = draft.finding?.opinions ?? [];
    if (disputed.length && /^[1-9]$/.test(key)) return disputed[key - 1] ? () => this.takeSide(key - 1) : null;
    const pick = (n) => (choice(n) ? () => this.relabel(choice(n).label, choice(n).shown) : null);
    if (event.shiftKey && key.startsWith("Arrow")) {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
      return () => this.nudge(dx, dy);
    }
    return {
      " ": () => this.leave(),
      k: () => this.leave(),
      Enter: () => this.accept(),
      a: () => this.accept(),
      1: pick(1),
      2: pick(2),
      3: pick(3),
      ArrowDown: () => this.chooseNext(1),
      ArrowUp: () => this.chooseNext(-1),
      x: () => this.remove(),
      Delete: () => this.remove(),
      "/": () => this.pickClass(),
      p: () => this.pickClass(),
      r: () => this.startDrawing(),
      s: () => this.done(),
      Escape: () => this.reset(),
      o: () => this.desk.decide("off-topic"),
      b: () => this.desk.decide("broken"),
      d: () => this.desk.decide("duplicate"),
    }[key];
  }

  chooseNext(by) {
    this.draft.chooseNext(by);
    this.refresh();
  }

  // --- what is drawn

  draw() {
    const { card, desk } = this;
    const stage = el("figure", { class: `stage annotated ${isTiny(card.size) ? "pixelated" : ""}` });
    if (this.sheet) stage.append(this.sheet.node);
    else stage.append(desk.images.get(card.id) ?? el("p", { class: "gone" }, "This picture cannot be shown."));
    this.refresh();
    return el(
      "div",
      { class: "sample" },
      el("div", { class: "columns" }, el("div", { class: "left" }, stage), this.side),
      this.foot,
    );
  }

  refresh() {
    this.sheet?.draw();
    this.side.replaceChildren(...this.drawSide().filter(Boolean));
    this.foot.replaceChildren(this.drawButtons());
    this.desk.root.dataset.draft = String(this.draft.lines().length);
  }

  drawSide() {
    const { card, desk, draft } = this;
    const { finding } = draft;
    const many = card.findings.length;
    return [
      badgesEl(card),
      desk.drawEarlier(card),
      ...(finding
        ? [
            el("h3", {}, many > 1 ? `${finding.title} (${draft.asked + 1} of ${many})` : finding.title),
            ...finding.why.map(whyEl),
            ...finding.opinions.map((one, n) =>
              el("p", { class: "why" }, keyEl(String(n + 1)), " ", el("b", {}, el("bdi", {}, one.who)), " ", ...wordsEl(one.words)),
            ),
            finding.near.length ? el("h3", {}, "Nearest boxes") : null,
            finding.near.length ? el("div", { class: "near" }, ...finding.near.map(nearEl)) : null,
            finding.does.length ? el("p", { class: "does" }, keyEl("↵"), " ", ...wordsEl(finding.does)) : null,
          ]
        : []),
      el("h3", {}, card.drawable ? `Boxes: ${draft.items.length}` : "In the picture"),
      draft.items.length
        ? el("div", { class: "annotations" }, ...draft.items.map((one) => this.drawLine(one)))
        : el("p", { class: "muted" }, card.drawable ? "No box." : "No class."),
      el("p", { class: "path" }, el("bdi", {}, card.path_shown), el("br"), card.facts),
    ];
  }

  drawLine(one) {
    const { draft } = this;
    const given = this.card.annotations.find(({ id }) => id === one.id);
    const changed = !given || given.label !== one.label || !sameBox(given.box, one.box);
    const suspect = draft.finding?.ids.includes(one.id);
    const other = draft.finding?.others.includes(one.id);
    const right = !changed && this.card.confirmed?.includes(one.id);
    return el(
      "button",
      {
        class: `annotation ${one.id === draft.chosen ? "chosen" : ""} ${suspect ? "suspect" : ""}`,
        type: "button",
        onclick: (event) => {
          event.currentTarget.blur();
          draft.choose(one.id);
          this.refresh();
        },
      },
      el("span", { class: "dot", style: { background: colourOf(one.label) } }),
      labelEl(one.shown),
      changed ? el("span", { class: "badge info" }, given ? "changed" : "new") : null,
      other ? el("span", { class: "badge other" }, "the other one") : null,
      right ? el("span", { class: "muted", title: "you said so on Classes" }, "✓") : null,
    );
  }

  drawButtons() {
    const { card, desk, draft } = this;
    const button = (key, meaning, kind) => buttonEl(desk, key, meaning, kind);
    const { finding } = draft;
    const lines = draft.lines();
    const last = draft.asked >= card.findings.length - 1;
    const leave = finding
      ? last && !lines.length
        ? "all is right"
        : "this is right"
      : lines.length
        ? "save"
        : "all is right";
    return buttonsEl(
      desk,
      groupEl(
        finding?.lines.length ? button("Enter", wordsEl(finding.does), "accept") : null,
        ...(finding?.opinions ?? []).map(({ who }, n) => button(String(n + 1), ["as ", el("bdi", {}, who), " says"], "accept")),
        button(" ", leave, "keep"),
        button("x", card.drawable ? "remove the box" : "remove the class"),
        button("/", card.drawable ? "class of the box" : "which classes"),
        card.drawable ? button("r", this.sheet?.drawing ? "drag on the picture …" : "draw a box") : null,
        lines.length ? button("s", `done: save ${lines.length === 1 ? "1 change" : `${lines.length} changes`}`) : null,
        button("u", "unsure"),
      ),
      groupEl(button("o", "exclude: off-topic"), button("b", "exclude: broken")),
    );
  }
}

const nearEl = ({ picture, shown, mark }) =>
  el("figure", { class: mark }, pictureEl(picture) ?? el("span", { class: "gone" }), el("figcaption", {}, labelEl(shown)));

const shownOf = (desk, label) => desk.labels.find(([known]) => known === label)?.[1] ?? label;

const ANNOTATION_KEYS = [
  "Several annotations",
  [
    [["↵", "a"], "as proposed, and on to the next finding"],
    [["Space", "k"], "this is right, and on; after the last finding the picture is done"],
    [["1", "2", "3"], "the chosen one is of that class; where reviewers disagree, as that one says"],
    [["↓", "↑"], "choose the next box or class; a click does the same"],
    [["x"], "remove the chosen one"],
    [["/", "p"], "another class; without boxes: all that are in the picture"],
    [["r"], "draw a new box with the mouse"],
    [["⇧→"], "move the chosen box; its corners are dragged"],
    [["s"], "done: save what was changed"],
    [["z", "⌫"], "the last step back, then the last decision"],
    [["Esc"], "all as it was given"],
  ],
];
