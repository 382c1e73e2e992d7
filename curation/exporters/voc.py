"""Pascal VOC: `Annotations/1.xml`, `JPEGImages/1.jpg`, `ImageSets/Main/train.txt`; labels of pictures as lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.exporters.annotations import all_marks, decimal, refuse_labels, sizes_of, split_words, stem_names
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, sample_facts
from curation.exporters.names import safe_name, twin_key
from curation.exporters.pictures import place_pictures
from curation.importers.voc import ALL, LABEL_MAP
from curation.importers.voc_xml import CORNERS, is_devkit
from curation.progress import Progress

SETS = "ImageSets/Main"
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What readers of this format take for granted, where nothing else is known.
_OBJECT = {"pose": "Unspecified", "truncated": "0", "difficult": "0"}
_MORE_COLUMNS = ("color_rgb", "parts", "actions")


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write one XML per picture, lists of the splits, and labelmap.txt with the classes in their order."""
    detection = content.task == "detection"
    _check_labels(content, detection)
    names = stem_names(content, ["JPEGImages"] * len(content.samples))
    stems = [name.partition("/")[2].rpartition(".")[0] for name in names]
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    marks, files = all_marks(content), []
    if detection:
        (folder / "Annotations").mkdir()
        said = zip(stems, names, marks, sample_facts(content), sizes_of(content), strict=True)
        for stem, name, own, facts, size in said:
            file = f"Annotations/{stem}.xml"
            (folder / file).write_text(_xml(name.partition("/")[2], own, facts, size), encoding="utf-8", newline="")
            files.append(file)
        notes.append("Corners are edges counted from 0, as labelling programs write them, not the 1 of the challenge.")
    files += _write_sets(content, stems, marks, detection, folder)
    files += _write_label_map(content, folder, notes)
    return Saved(names, hashes, files, notes=notes)


def _check_labels(content: Content, detection: bool) -> None:
    refuse_labels([label for label in content.classes if _NO_XML.search(label)], "voc", "XML has no such characters")
    if not detection:
        plain = [label.replace("#", "").replace("%", "") for label in content.classes]
        twins = Counter(map(twin_key, content.classes))
        named = zip(content.classes, plain, strict=True)
        bad = [label for label, own in named if safe_name(own) != own or twins[twin_key(label)] > 1]
        refuse_labels(bad, "voc", "classes of whole pictures are names of files there, on every system")


# --- one picture -----------------------------------------------------------------------------------------------------


def _xml(filename: str, marks: list[Mark], facts: Mapping[str, Any], size: tuple[int, int]) -> str:
    lines = ["<annotation" + _attributes(facts) + ">"]
    own: dict[str, Any] = {"folder": "JPEGImages", "filename": filename}
    own |= {key: value for key, value in facts.items() if key not in ("folder", "filename", "object", "size")}
    stated = facts.get("size")
    depth = stated.get("depth", "3") if isinstance(stated, dict) else "3"
    own["size"] = {"width": str(size[0]), "height": str(size[1]), "depth": depth}
    for key, value in own.items():
        lines += _element(key, value, 1)
    start = 1 if is_devkit(dict(facts)) else 0
    for mark in marks:
        lines += _object(mark, start)
    return "\n".join([*lines, "</annotation>", ""])


def _object(mark: Mark, start: int) -> list[str]:
    if mark.box is None:
        return []
    x, y, w, h = mark.box
    corners = dict(zip(CORNERS, map(decimal, (x + start, y + start, x + w, y + h)), strict=True))
    more = {key: value for key, value in mark.attributes.items() if key not in ("name", "bndbox")}
    said = {"name": mark.label, **_OBJECT, **more, "bndbox": corners}
    return [
        f"\t<object{_attributes(more)}>",
        *(line for k, v in said.items() for line in _element(k, v, 2)),
        "\t</object>",
    ]


def _element(tag: str, value: Any, depth: int) -> list[str]:
    """An element, or several of that name for a list; nothing for what XML cannot say."""
    if not _TAG.fullmatch(tag):
        return []
    if isinstance(value, list):
        if any(isinstance(one, list) for one in value):
            return []
        return [line for one in value for line in _element(tag, one, depth)]
    indent = "\t" * depth
    if isinstance(value, dict):
        if "#text" in value:
            return [f"{indent}<{tag}{_attributes(value)}>{_escape(str(value['#text']))}</{tag}>"]
        inside = [line for key, one in value.items() for line in _element(key, one, depth + 1)]
        return [f"{indent}<{tag}{_attributes(value)}>", *inside, f"{indent}</{tag}>"]
    if value is None or _NO_XML.search(str(value)):
        return []
    text = str(int(value)) if isinstance(value, bool) else decimal(value) if isinstance(value, float) else str(value)
    return [f"{indent}<{tag}>{_escape(text)}</{tag}>"]


def _attributes(value: Mapping[str, Any]) -> str:
    found = ((key[1:], str(one)) for key, one in value.items() if key.startswith("@"))
    return "".join(
        f' {key}="{_escape(text)}"' for key, text in found if _TAG.fullmatch(key) and not _NO_XML.search(text)
    )


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")


# --- lists -----------------------------------------------------------------------------------------------------------


def _write_sets(
    content: Content, stems: list[str], marks: list[list[Mark]], detection: bool, folder: Path
) -> list[str]:
    """`train.txt` with a name on each line; without boxes also `cat_train.txt` with 1, 0 (hard to see) or -1 behind."""
    (folder / SETS).mkdir(parents=True)
    words = split_words(content, ALL)
    splits = content.samples["split"].tolist()
    files = []
    for split in content.splits:
        if not split and detection:
            continue
        rows = [row for row, own in enumerate(splits) if own == split]
        texts = {words[split]: [stems[row] for row in rows]}
        for k, label in enumerate([] if detection else content.classes):
            texts[f"{label}_{words[split]}"] = [f"{stems[row]} {_mark(marks[row], k)}" for row in rows]
        for word, lines in texts.items():
            (folder / SETS / f"{word}.txt").write_text("\n".join([*lines, ""]), encoding="utf-8", newline="")
            files.append(f"{SETS}/{word}.txt")
    return files


def _mark(marks: list[Mark], class_id: int) -> str:
    for mark in marks:
        if mark.class_id == class_id:
            return " 0" if str(mark.attributes.get("difficult", "0")) == "1" else " 1"
    return "-1"


def _write_label_map(content: Content, folder: Path, notes: list[str]) -> list[str]:
    if any(set(label) & set("\r\n") or label.startswith("#") or label != label.strip() for label in content.classes):
        notes.append(f"There is no {LABEL_MAP}: a class name has a line break, or blanks around it.")
        return []
    lines = ["# label:color_rgb:parts:actions"]
    for entry in content.class_details:
        more = [str(entry.get(key, "")).replace("\n", " ").replace(":", " ") for key in _MORE_COLUMNS]
        lines.append(":".join([entry["name"], *more]))
    (folder / LABEL_MAP).write_text("\n".join([*lines, ""]), encoding="utf-8", newline="")
    return [LABEL_MAP]


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading=(
        "from xml.etree.ElementTree import parse\n\n"
        "names = open('DEST/ImageSets/Main/train.txt').read().splitlines()\n"
        "boxes = parse(f'DEST/Annotations/{names[0]}.xml').findall('object')"
    ),
    tasks=("detection", "multi-label", "single-label"),
)
