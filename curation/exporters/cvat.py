"""CVAT for images 1.1: `annotations.xml` and `images/`, as CVAT's own exports are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from curation.exporters.annotations import all_marks, decimal, refuse_labels, sizes_of, split_words
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, sample_facts
from curation.exporters.names import file_names
from curation.exporters.pictures import folders_above, picture_names, place_pictures
from curation.importers.cvat import CORNERS, DEFAULTS, box_of
from curation.progress import Progress

NAME = "annotations.xml"
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NEAR = 1e-6  # pixels: a shape is kept while the box around it is still the one that was read


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write one XML for all pictures; a split is a subset there, a label of a whole picture a tag."""
    refuse_labels([label for label in content.classes if _NO_XML.search(label)], "cvat", "XML has no such characters")
    refuse_labels([split for split in content.splits if _NO_XML.search(split)], "cvat", "XML has no such characters")
    words = split_words(content)
    splits = content.samples["split"].tolist()
    places = ["/".join(filter(None, ("images", words[split]))) for split in splits]
    taken = [*folders_above([f"{place}/x" for place in set(places)])]
    names = file_names(places, picture_names(content), content.samples["sample_id"].tolist(), taken)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    said = zip(names, places, splits, all_marks(content), sample_facts(content), sizes_of(content), strict=True)
    with (
        progress.stage("Writing annotations", len(names)) as advance,
        (folder / NAME).open("w", encoding="utf-8", newline="") as stream,
    ):
        stream.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        _write_meta(stream, content)
        for at, (name, place, split, marks, facts, size) in enumerate(said):
            own = {"id": str(at), **_texts(facts, ("shapes",)), "name": name[len(place) + 1 :]}
            own |= {"subset": split} if split else {}
            own |= {"width": str(size[0]), "height": str(size[1])}
            shapes = [*map(_shape, marks), *_others(facts)]
            stream.write(f"  <image{_attributes(own)}>\n")
            for shape in shapes:
                _write(stream, shape, 2)
            stream.write("  </image>\n")
            advance(1)
        stream.write("</annotations>\n")
    notes.append("Corners are in pixels of the upright picture, edges counted from 0; ids need not be 0, 1, 2.")
    return Saved(names, hashes, files=[NAME], notes=notes)


def _shape(mark: Mark) -> dict[str, Any]:
    """The element of an annotation: what it was, while that still is where the box is, else a box."""
    said = mark.attributes.get("attributes")
    named = said if isinstance(said, dict) else {}
    texts = {**DEFAULTS, **_texts(mark.attributes, ("attributes", "shape", "label", *CORNERS))}
    kind = mark.attributes.get("shape")
    if mark.box is None:
        kind, texts = "tag", {key: value for key, value in texts.items() if key not in ("occluded", "z_order")}
    elif not (isinstance(kind, str) and kind in ("polygon", "ellipse", "mask") and _is_around(mark.box, kind, texts)):
        x, y, w, h = mark.box
        kind = "box"
        texts |= dict(zip(CORNERS, map(decimal, (x, y, x + w, y + h)), strict=True))
    children = [
        {"tag": "attribute", "attributes": {"name": str(name)}, "text": str(value)} for name, value in named.items()
    ]
    return {"tag": kind, "attributes": {"label": mark.label, **texts}, "children": children}


def _is_around(box: tuple[float, float, float, float], kind: str, said: dict[str, str]) -> bool:
    """Whether the box is still the one around a shape, so that nobody has moved it since."""
    try:
        found = box_of(kind, said)
    except ValueError:
        return False
    return all(math.isclose(one, other, abs_tol=_NEAR) for one, other in zip(box, found, strict=True))


def _others(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    shapes = facts.get("shapes")
    return (one for one in (shapes if isinstance(shapes, list) else ()) if isinstance(one, dict) and "tag" in one)


def _texts(facts: Mapping[str, Any], without: tuple[str, ...]) -> dict[str, str]:
    """What of some facts can be XML attributes: texts and numbers under names that are names there."""
    plain = {key: value for key, value in facts.items() if isinstance(value, str | int | float)}
    return {
        key: decimal(value) if isinstance(value, float) else str(value)
        for key, value in plain.items()
        if key not in without and _TAG.fullmatch(key) and not _NO_XML.search(str(value))
    }


# --- the head of the file --------------------------------------------------------------------------------------------


def _write_meta(stream: TextIO, content: Content) -> None:
    """The source's own, with the classes as they now are; else a task with nothing but these."""
    labels = {"tag": "labels", "children": [_label(entry) for entry in content.class_details]}
    known = content.about.get("meta")
    children = [one for one in known if isinstance(one, dict)] if isinstance(known, list) else []
    placed = [False]
    children = [_with_labels(child, labels, placed) for child in children]
    if not placed[0]:
        children = [*children, {"tag": "task", "children": [labels]}]
    _write(stream, {"tag": "meta", "children": children}, 1)


def _with_labels(node: dict[str, Any], labels: dict[str, Any], placed: list[bool]) -> dict[str, Any]:
    """A copy with the first element `labels` in it replaced."""
    if node.get("tag") == "labels" and not placed[0]:
        placed[0] = True
        return labels
    inside = node.get("children")
    if not isinstance(inside, list):
        return node
    return {**node, "children": [_with_labels(one, labels, placed) for one in inside if isinstance(one, dict)]}


def _label(entry: Mapping[str, Any]) -> dict[str, Any]:
    parts = entry.get("elements")
    more = [
        {"tag": key, "text": value}
        for key, value in _texts(entry, ("name", "id", "elements")).items()
        if key != "label"
    ]
    inner = [one for one in parts if isinstance(one, dict)] if isinstance(parts, list) else []
    return {"tag": "label", "children": [{"tag": "name", "text": entry["name"]}, *more, *inner]}


# --- XML -------------------------------------------------------------------------------------------------------------


def _write(stream: TextIO, node: Mapping[str, Any], depth: int) -> None:
    """An element as `curation.importers.cvat` keeps it."""
    tag, text, inside = str(node.get("tag", "")), node.get("text"), node.get("children")
    if not _TAG.fullmatch(tag):
        return
    said = node.get("attributes")
    start = "  " * depth + f"<{tag}{_attributes(_texts(said, ()) if isinstance(said, dict) else {})}"
    words = _escape(_NO_XML.sub("", str(text))) if text else ""
    if not inside or not isinstance(inside, list):
        stream.write(f"{start}>{words}</{tag}>\n")
        return
    stream.write(f"{start}>{words}\n")
    for one in inside:
        if isinstance(one, dict):
            _write(stream, one, depth + 1)
    stream.write("  " * depth + f"</{tag}>\n")


def _attributes(said: Mapping[str, str]) -> str:
    return "".join(f' {key}="{_escape(value)}"' for key, value in said.items())


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="from xml.etree import ElementTree\n\n"
    "for image in ElementTree.parse('DEST/annotations.xml').iter('image'):\n"
    "    boxes = [(box.get('label'), box.get('xtl'), box.get('ytl'), box.get('xbr'), box.get('ybr'))\n"
    "             for box in image.iter('box')]",
    tasks=("single-label", "multi-label", "detection"),
)
