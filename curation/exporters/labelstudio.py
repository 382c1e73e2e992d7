"""Label Studio: `tasks.json` to import there, the pictures, and `label_config.xml` with the classes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from curation.exporters.annotations import all_marks, sizes_of, split_words
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, plain, sample_facts
from curation.exporters.names import file_names
from curation.exporters.pictures import folders_above, picture_names, place_pictures
from curation.importers.labelstudio import AREAS, CHOICES, DEFAULTS, SETTINGS, box_of
from curation.importers.twins import split_of_folders
from curation.progress import Progress
from curation.records import text_to_path

NAME = "tasks.json"
_LOCAL = "/data/local-files/?d="  # how Label Studio calls a file below its document root
_NEAR = 1e-6  # percent: a shape is kept while the box around it is still the one that was read
_OF_TASK = ("data", "annotation", "annotations", "result", "key")


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write a task per picture with one annotation, boxes in percent; labels of whole pictures are choices."""
    words = split_words(content)
    splits = content.samples["split"].tolist()
    places = ["/".join(filter(None, ("images", words[split]))) for split in splits]
    taken = [*folders_above([f"{place}/x" for place in set(places)])]
    names = file_names(places, picture_names(content), content.samples["sample_id"].tolist(), taken)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    said = zip(names, splits, all_marks(content), sample_facts(content), sizes_of(content), strict=True)
    with (
        progress.stage("Writing annotations", len(names)) as advance,
        (folder / NAME).open("w", encoding="utf-8", newline="") as stream,
    ):
        for at, (name, split, marks, facts, size) in enumerate(said):
            task = _task(name, split, marks, facts, size)
            stream.write(("[\n" if at == 0 else ",\n") + json.dumps(task, ensure_ascii=True, allow_nan=False))
            advance(1)
        stream.write("\n]\n")
    _write_settings(folder / SETTINGS, content)
    notes.append(
        f"Make a project with {SETTINGS}, add the folder of this export as local storage (its parent is the document "
        f"root), and import {NAME}. Numbers are percent of the upright picture."
    )
    return Saved(names, hashes, files=[NAME, SETTINGS], notes=notes)


def _task(name: str, split: str, marks: list[Mark], facts: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    rest, key = facts.get("data"), facts.get("key")
    data = {key if isinstance(key, str) else "image": _LOCAL + quote(text_to_path(name), errors="surrogateescape")}
    data |= rest if isinstance(rest, dict) else {}
    if split_of_folders(name) != split:
        data["split"] = split
    annotation, others = facts.get("annotation"), facts.get("result")
    results = [_region(mark, size) for mark in marks] + (others if isinstance(others, list) else [])
    done = {**(annotation if isinstance(annotation, dict) else {}), "result": results}
    own = {key: value for key, value in facts.items() if key not in _OF_TASK}
    return {**own, "data": data, "annotations": [done] if results or annotation else []}


def _region(mark: Mark, size: tuple[int, int]) -> dict[str, Any]:
    more = {key: value for key, value in mark.attributes.items() if key not in ("type", "value")}
    rest = mark.attributes.get("value")
    value = dict(rest) if isinstance(rest, dict) else {}
    if mark.box is None:
        return {**DEFAULTS, **more, "type": CHOICES, "value": {**value, CHOICES: [mark.label]}}
    percent = tuple(100 * one / size[k % 2] for k, one in enumerate(mark.box))
    kind = mark.attributes.get("type")
    if not (isinstance(kind, str) and kind in AREAS and _is_around(percent, kind, value)):
        kind = "rectanglelabels"
        x, y, w, h = map(plain, percent)
        value = {"rotation": value.get("rotation", 0), "x": x, "y": y, "width": w, "height": h}
    value[kind] = [mark.label]
    sides = {"original_width": size[0], "original_height": size[1]}
    return {**DEFAULTS, **more, "type": kind, **sides, "value": value}


def _is_around(box: tuple[float, ...], kind: str, value: Mapping[str, Any]) -> bool:
    """Whether the box is still the one around a shape, so that nobody has moved it since."""
    try:
        found = box_of(kind, value)
    except (ValueError, TypeError, KeyError):
        return False
    return all(math.isclose(one, other, rel_tol=1e-9, abs_tol=_NEAR) for one, other in zip(box, found, strict=True))


def _write_settings(path: Path, content: Content) -> None:
    """What a project is made with: the classes in their order."""
    if content.task == "detection":
        outer, inner, more = "RectangleLabels", "Label", ""
    else:
        outer, inner = "Choices", "Choice"
        more = ' choice="multiple"' if content.task == "multi-label" else ""
    lines = ["<View>", '  <Image name="image" value="$image"/>', f'  <{outer} name="label" toName="image"{more}>']
    lines += [f'    <{inner} value="{_escape(label)}"/>' for label in content.classes]
    path.write_text("\n".join([*lines, f"  </{outer}>", "</View>", ""]), encoding="utf-8", newline="")


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    text = text.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")
    return "".join(char if char.isprintable() or char == " " else "\ufffd" if ord(char) < 32 else char for char in text)


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="import json\n\nwith open('DEST/tasks.json') as stream:\n"
    "    regions = [task['annotations'][0]['result'] for task in json.load(stream) if task['annotations']]",
    tasks=("single-label", "multi-label", "detection"),
)
