"""Open Images: `annotations/train-annotations-bbox.csv`, `class-descriptions.csv`, and `images/train/0001.jpg`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.exporters.annotations import all_marks, decimal, refuse_labels, sizes_of, split_words, stem_names
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, sample_facts
from curation.exporters.pictures import place_pictures
from curation.importers.openimages import BOX_COLUMNS, LABEL_COLUMNS, LABELS_KEY
from curation.issue_files import defuse
from curation.progress import Progress

FOLDER = "annotations"
CLASSES = f"{FOLDER}/class-descriptions.csv"
_FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
_DEFAULTS = {"Source": "curate", "Confidence": "1", **dict.fromkeys(_FLAGS, "-1")}  # -1 = not known, as the set has it
_SPLITS = {"val": "validation"}  # as the set calls it


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write a CSV of boxes and one of labels of whole pictures per split, the classes, and the pictures."""
    refuse_labels(
        [label for label in content.classes if defuse(label) != label],
        "openimages",
        "a spreadsheet that opens its CSV files would run it as a formula",
    )
    words = {split: _SPLITS.get(word, word) for split, word in split_words(content, _blank(content)).items()}
    splits = content.samples["split"].tolist()
    names = stem_names(content, ["/".join(filter(None, ("images", words[split]))) for split in splits], apart=True)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    ids = [name.rpartition("/")[2].rpartition(".")[0] for name in names]
    keys = _keys(content)
    marks, facts, sizes = all_marks(content), sample_facts(content), sizes_of(content)
    (folder / FOLDER).mkdir()
    files = [CLASSES]
    _write(folder / CLASSES, ("LabelName", "DisplayName"), zip(keys, content.classes, strict=True))
    for split in content.splits:
        rows = [row for row, own in enumerate(splits) if own == split]
        prefix = f"{FOLDER}/{words[split]}-" if words[split] else f"{FOLDER}/"
        if content.task == "detection":
            boxes = [(row, mark) for row in rows for mark in marks[row] if mark.box is not None]
            more = _more_columns((mark.attributes for _, mark in boxes), BOX_COLUMNS)
            lines = (_box(ids[row], mark, keys, sizes[row], more) for row, mark in boxes)
            _write(folder / f"{prefix}annotations-bbox.csv", (*BOX_COLUMNS, *more), lines)
            files.append(f"{prefix}annotations-bbox.csv")
        labels = [line for row in rows for line in _labels(ids[row], marks[row], keys, facts[row])]
        if labels or content.task != "detection":
            columns = (*LABEL_COLUMNS, *_more_columns(labels, LABEL_COLUMNS))
            table = ([line.get(name, "") for name in columns] for line in labels)
            _write(folder / f"{prefix}annotations-human-imagelabels.csv", columns, table)
            files.append(f"{prefix}annotations-human-imagelabels.csv")
    notes.append("Corners are shares of the upright picture. A flag of -1 is not known.")
    return Saved(names, hashes, files, notes=notes)


def _blank(content: Content) -> str:
    return "" if content.splits == [""] else "none"


def _keys(content: Content) -> list[str]:
    """The id of each class: the source's own where they are texts and unlike each other, else made from its number."""
    ids = [entry.get("id") for entry in content.class_details]
    texts = [key for key in ids if isinstance(key, str) and key and defuse(key) == key]
    if len(set(texts)) == len(content.classes):
        return texts
    own = [key if isinstance(key, str) and key.startswith("/") and ids.count(key) == 1 else "" for key in ids]
    return [key or f"/c/{number}" for number, key in enumerate(own)]


def _more_columns(attributes: Any, known: Sequence[str]) -> list[str]:
    """The flags (for boxes), and other columns that a source had, sorted as they first came."""
    found = dict.fromkeys(_FLAGS if "XMin" in known else ())
    for own in attributes:
        found |= {key: None for key, value in own.items() if isinstance(value, str) and defuse(value) == value}
    return [key for key in found if key not in known and defuse(key) == key]


def _box(image: str, mark: Mark, keys: Sequence[str], size: tuple[int, int], more: Sequence[str]) -> list[str]:
    assert mark.box is not None
    x, y, w, h = mark.box
    said = {**_DEFAULTS, **{key: value for key, value in mark.attributes.items() if isinstance(value, str)}}
    edges = (x / size[0], (x + w) / size[0], y / size[1], (y + h) / size[1])
    return [
        image,
        *(defuse(said["Source"]), keys[mark.class_id], defuse(said["Confidence"])),
        *map(decimal, edges),
        *(defuse(said.get(name, "")) for name in more),
    ]


def _labels(image: str, marks: Sequence[Mark], keys: Sequence[str], facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows of whole-picture labels: annotations without a box, and what the source had beside its annotations."""
    lines = []
    for mark in marks:
        if mark.box is None:
            said = {key: value for key, value in mark.attributes.items() if isinstance(value, str)}
            lines.append({**_LABEL_DEFAULTS, **said, "ImageID": image, "LabelName": keys[mark.class_id]})
    kept = facts.get(LABELS_KEY)
    for said in kept if isinstance(kept, list) else []:
        if isinstance(said, dict) and all(isinstance(value, str) for value in said.values()) and "LabelName" in said:
            lines.append({**_LABEL_DEFAULTS, **said, "ImageID": image})
    return [{key: defuse(value) for key, value in line.items()} for line in lines]


_LABEL_DEFAULTS = {"Source": "curate", "Confidence": "1"}


def _write(path: Path, columns: Sequence[str], rows: Any) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="import pandas as pd\n\nboxes = pd.read_csv('DEST/annotations/train-annotations-bbox.csv')",
    tasks=("detection", "multi-label", "single-label"),
)
