// What lies over the page for a moment: choosing a class, the list of keys, a note, the reviewer's name.

const SHOWN_CLASSES = 50;

function overlay(root, name, ...children) {
  const box = el(
    "div",
    { class: `box ${name}`, role: "dialog", "aria-modal": "true", "aria-label": name },
    ...children,
  );
  const layer = el("div", { class: "overlay" }, box);
  root.append(layer);
  return layer;
}

// Choose one class, or several, by typing a part of its name.
//   several: whether Enter marks one after the other; marked: those that are marked at the beginning; least: how many
//   done(labels, isNew): called with the chosen ones, and whether one of them is a class that was not there before
function openPicker(root, { title, entries, first = [], several = false, least = 2, marked = [], allowNew = true, done, closed }) {
  const chosen = new Map(marked.map(([label, shown]) => [label, shown]));
  const input = el("input", {
    type: "text",
    placeholder: "Type a part of the name",
    "aria-label": title,
    spellcheck: "false",
    autocomplete: "off",
    maxlength: "1000",
  });
  const list = el("div", { class: "choices", role: "listbox" });
  const hint = el("p", { class: "hint" });
  const tray = el("div", { class: "tray" });
  let found = [];
  let at = 0;
  let confirming = "";
  let isNew = false;

  const offered = searchable(first);
  const known = new Set(first.map(([label]) => label));
  const rest = entries.filter(([label]) => !known.has(label));

  function search() {
    confirming = "";
    found = input.value.trim()
      ? searchLabels([...offered, ...rest], input.value, SHOWN_CLASSES)
      : [...offered, ...rest].slice(0, SHOWN_CLASSES);
    at = 0;
    draw();
  }

  function draw() {
    tray.replaceChildren(
      ...[...chosen].map(([label, shown]) =>
        el(
          "button",
          { class: "chip", type: "button", title: "take it off", onclick: () => toggle(label, shown) },
          labelEl(shown),
          " ×",
        ),
      ),
    );
    list.replaceChildren(
      ...found.map(([label, shown], i) =>
        el(
          "div",
          {
            class: `choice ${i === at ? "at" : ""}`,
            role: "option",
            "aria-selected": String(i === at),
            onclick: () => take(found[i]),
          },
          several ? el("span", { class: "tick" }, chosen.has(label) ? "✓" : "") : null,
          labelEl(shown),
        ),
      ),
    );
    list.children[at]?.scrollIntoView({ block: "nearest" });
    const text = input.value.trim();
    if (confirming)
      hint.replaceChildren("There is no class “", labelEl(confirming), "” yet. Enter again makes it; Esc goes back.");
    else if (text && !found.length)
      hint.textContent = allowNew
        ? "No class has that in its name. Enter makes a new one, after asking."
        : "No class has that in its name.";
    else if (several)
      hint.replaceChildren(
        keyEl("Enter"),
        input.value ? " marks it · " : ` takes these ${chosen.size} · `,
        keyEl("↓"),
        keyEl("Space"),
        " mark another · ",
        keyEl("Esc"),
        " goes back",
      );
    else
      hint.replaceChildren(
        keyEl("Enter"),
        " takes the first · ",
        keyEl("↑"),
        keyEl("↓"),
        " choose · ",
        keyEl("Esc"),
        " goes back",
      );
    hint.classList.toggle("warn", Boolean(confirming));
  }

  function toggle(label, shown) {
    if (!chosen.delete(label)) chosen.set(label, shown);
    input.value = "";
    search();
    input.focus();
  }

  function take(entry) {
    if (several) return toggle(entry[0], entry[1]);
    close();
    done([entry[0]], isNew);
  }

  function enter() {
    const text = input.value.trim();
    if (several && !text) {
      if (chosen.size < least) hint.textContent = "Mark two or more: several labels are right.";
      else {
        close();
        done([...chosen.keys()], isNew);
      }
    } else if (found[at]) take(found[at]);
    else if (text && allowNew && confirming === text) {
      isNew = true;
      take([text, text]);
    } else if (text && allowNew) {
      confirming = text;
      draw();
    }
  }

  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) at = (at + step + found.length) % found.length;
    else if (event.key === "Enter") enter();
    else if (event.key === "Escape") {
      if (!confirming) return close();
      confirming = "";
    } else if (several && event.key === " " && !input.value && found[at]) toggle(found[at][0], found[at][1]);
    else return;
    event.preventDefault();
    if (input.isConnected && !hint.textContent.startsWith("Mark two")) draw();
  });
  const layer = overlay(root, "picker", el("h2", {}, title), several ? tray : null, input, list, hint);
  layer.addEventListener("mousedown", (event) => event.target === layer && close());
  function close() {
    layer.remove();
    closed();
  }
  search();
  input.focus();
  return close;
}

// One line of text; Enter keeps it.
function openLine(root, { title, text = "", hint, limit = 500, required = false, done, closed }) {
  const input = el("input", {
    type: "text",
    "aria-label": title,
    maxlength: String(limit),
    autocomplete: required ? "name" : "off",
  });
  input.value = text;
  const keep = () => {
    if (required && !input.value.trim()) return input.focus();
    close();
    done(input.value.trim());
  };
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing) return;
    if (event.key === "Enter") keep();
    else if (event.key === "Escape" && !required) close();
  });
  const layer = overlay(
    root,
    "ask",
    el("h2", {}, title),
    input,
    el("p", { class: "hint" }, hint),
    el("div", { class: "row" }, el("button", { class: "primary", type: "button", onclick: keep }, "OK")),
  );
  function close() {
    layer.remove();
    closed();
  }
  input.focus();
  return close;
}

const keyOrDash = (text) => (text === "–" ? el("span", { class: "muted" }, text) : keyEl(text));

// Every key with its meaning. groups: [[title, [[keys, meaning]]]]; "–" among the keys stands between two of them
function openHelp(root, groups, closed) {
  const table = ([title, rows]) =>
    el(
      "section",
      {},
      el("h3", {}, title),
      el("dl", {}, ...rows.flatMap(([keys, meaning]) => [el("dt", {}, ...keys.map(keyOrDash)), el("dd", {}, meaning)])),
    );
  const layer = overlay(
    root,
    "help",
    el("h2", {}, "Keys"),
    el("div", { class: "columns" }, ...groups.map(table)),
    el(
      "p",
      { class: "hint" },
      "A key looks like ",
      keyEl("1"),
      ", a label like ",
      labelEl("1"),
      ". Any key closes this.",
    ),
  );
  layer.addEventListener("mousedown", () => close());
  function close() {
    layer.remove();
    closed();
  }
  return close;
}

// The picture over the whole window: wheel, + and - scale, dragging moves, f or Esc closes.
function openZoom(root, source, pixelated, closed) {
  const image = pictureEl(source, { class: pixelated ? "pixelated" : "" });
  if (!image) return null;
  const layer = el(
    "div",
    { class: "overlay zoom" },
    image,
    el(
      "p",
      { class: "hint" },
      keyEl("+"),
      keyEl("−"),
      " or wheel · drag · ",
      keyEl("0"),
      " fits · ",
      keyEl("f"),
      " closes",
    ),
  );
  let scale = 1;
  let x = 0;
  let y = 0;
  let drag = null;
  const place = () => (image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`);
  function by(factor, px = 0, py = 0) {
    const next = Math.min(40, Math.max(0.2, scale * factor));
    x = px - ((px - x) * next) / scale; // what is under the pointer stays there
    y = py - ((py - y) * next) / scale;
    scale = next;
    place();
  }
  const fromCentre = (event) => [event.clientX - innerWidth / 2, event.clientY - innerHeight / 2];
  layer.addEventListener(
    "wheel",
    (event) => (event.preventDefault(), by(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...fromCentre(event))),
    { passive: false },
  );
  layer.addEventListener("pointerdown", (event) => {
    drag = { from: [event.clientX, event.clientY], at: [x, y], moved: false };
    layer.setPointerCapture(event.pointerId);
  });
  layer.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.from[0], event.clientY - drag.from[1]];
    drag.moved ||= Math.hypot(dx, dy) > 4;
    [x, y] = [drag.at[0] + dx, drag.at[1] + dy];
    place();
  });
  layer.addEventListener("pointerup", () => {
    if (drag && !drag.moved) close();
    drag = null;
  });
  root.append(layer);
  function close() {
    layer.remove();
    closed();
  }
  const keys = {
    "+": () => by(1.4),
    "=": () => by(1.4),
    "-": () => by(1 / 1.4),
    0: () => ([scale, x, y] = [1, 0, 0]) && place(),
    f: close,
    Escape: close,
  };
  keys.ArrowLeft = () => ((x += 80), place());
  keys.ArrowRight = () => ((x -= 80), place());
  keys.ArrowUp = () => ((y += 80), place());
  keys.ArrowDown = () => ((y -= 80), place());
  return { close, key: (key) => keys[key]?.() };
}
