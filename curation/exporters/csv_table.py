"""A table beside the pictures: `labels.csv`, or `boxes.csv` with a box a line, and `images/`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from curation.exporters.annotations import all_marks, decimal
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import counts_of, marks_of, plain
from curation.exporters.names import file_names, safe_name
from curation.exporters.pictures import folders_above, picture_names, place_pictures
from curation.importers.json_file import to_json
from curation.importers.own_tables import (
    BOXES,
    CLASS_COLUMNS,
    CLASSES,
    COUNTED,
    FACTS,
    SEVERAL,
    SINGLE,
    count_names,
)
from curation.issue_files import defuse
from curation.progress import Progress

NAME, BOXES_NAME = "labels.csv", "boxes.csv"
_APOSTROPHE = (
    "a text that a spreadsheet would run as a formula, or that begins with an apostrophe, has one apostrophe in front"
)


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write the table, and the pictures in folders as they are in the source.

    One label a picture: `labels.csv`, one line per picture. Several: the same with JSON lists. Counts: the same with a
    column of numbers per class. Boxes: `boxes.csv`, one line per box with the columns that TensorFlow's Object
    Detection API began with, and a line without class for a picture in which nothing is. `classes.csv` has the class
    list of all but the first.
    """
    names = tree_names(content)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    columns: tuple[str, ...]
    rows: Iterable[list[Any]]
    if content.task == "single-label":
        name, columns, rows = NAME, SINGLE, _single(content, names)
        notes.append("class_id is -1 where there is no label; labels is a JSON list where several are right.")
    elif content.task == "multi-label":
        name, columns, rows = NAME, SEVERAL, _several(content, names)
        notes.append("labels and class_ids are JSON lists; attributes is one with an object per label, or nothing.")
    elif content.task == "counts":
        name, columns, rows = NAME, COUNTED, _counted(content, names)
        notes.append("A column per class says how many of it are in the picture; classes.csv has their order.")
        notes.append("What was said of a single one of several is only in curate-export.json.")
    else:
        name, columns, rows = BOXES_NAME, BOXES, _boxes(content, names)
        notes.append("Corners are edges in pixels of the upright picture, from 0. A line without class: nothing in it.")
    notes.append(f"In the tables, {_APOSTROPHE}.")
    facts = content.rows.drop_duplicates("sample_id")["sample_attributes"].tolist()
    if content.task != "single-label" and any(facts):
        columns = (*columns, FACTS)
        said = dict(zip(names, facts, strict=True))
        rows = ([*row, said[str(row[0])]] for row in rows)
    if content.task == "counts":
        columns = (*columns, *map(defuse, count_names(content.classes)))
        rows = ([*row, *counts] for row, counts in zip(rows, counts_of(content).tolist(), strict=True))
    _write(folder / name, columns, rows)
    files = [name]
    if content.task != "single-label":
        _write(folder / CLASSES, CLASS_COLUMNS, _classes(content))
        files.append(CLASSES)
    return Saved(names, hashes, files=files, notes=notes)


def tree_names(content: Content) -> list[str]:
    """`images/` and the path in the source, each part of it a safe name."""
    above = [_folder(path) for path in content.samples["path"].tolist()]
    files = picture_names(content)
    taken = folders_above([f"{folder}/x" for folder in set(above)])
    return file_names(above, files, content.samples["sample_id"].tolist(), taken)


def _folder(path: str) -> str:
    parts = path.partition("#")[0].split("/")[:-1]
    return "/".join(["images", *(safe_name(part) for part in parts)])


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    stream = io.StringIO()
    # Quotes around every text keep "01" from becoming a number for whoever asks.
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([defuse(cell) if isinstance(cell, str) else cell for cell in row])
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")


def _single(content: Content, names: list[str]) -> Iterator[list[Any]]:
    attributes = content.rows.drop_duplicates("sample_id")["attributes"].tolist()
    columns = (content.samples[name].tolist() for name in ("label", "class_id", "split", "group", "hard", "sample_id"))
    for name, label, class_id, split, group, hard, sample_id, ids, more in zip(
        names, *columns, content.class_ids, attributes, strict=True
    ):
        several = _json([content.classes[k] for k in ids]) if len(ids) > 1 else ""
        yield [name, label, class_id, split, group, int(hard), several, sample_id, more]


def _several(content: Content, names: list[str]) -> Iterator[list[Any]]:
    columns = (content.samples[name].tolist() for name in ("split", "group", "hard", "sample_id"))
    for name, marks, split, group, hard, sample_id in zip(names, all_marks(content), *columns, strict=True):
        attributes = [mark.attributes for mark in marks]
        labels, ids = _json([mark.label for mark in marks]), _json([mark.class_id for mark in marks])
        yield [name, labels, ids, split, group, int(hard), sample_id, _json(attributes) if any(attributes) else ""]


def _counted(content: Content, names: list[str]) -> Iterator[list[Any]]:
    """Without the numbers of classes."""
    columns = (content.samples[name].tolist() for name in ("split", "group", "hard", "sample_id"))
    for name, split, group, hard, sample_id in zip(names, *columns, strict=True):
        yield [name, split, group, int(hard), sample_id]


def _boxes(content: Content, names: list[str]) -> Iterator[list[Any]]:
    columns = (content.samples[name].tolist() for name in ("width_px", "height_px", "split", "group", "sample_id"))
    rows = zip(names, marks_of(content), content.samples["hard"].tolist(), *columns, strict=True)
    for name, marks, hard, width, height, split, group, sample_id in rows:
        end = [split, group, int(hard), sample_id]
        for mark in marks:
            yield [name, width, height, mark.label, *_corners(mark.box), *end, to_json(mark.attributes)]
        if not marks:
            yield [name, width, height, "", "", "", "", "", *end, ""]


def _corners(box: tuple[float, float, float, float] | None) -> list[Any]:
    if box is None:
        return [""] * 4
    x, y, w, h = box
    return [plain(float(decimal(value))) for value in (x, y, x + w, y + h)]


def _classes(content: Content) -> Iterator[list[Any]]:
    for number, entry in enumerate(content.class_details):
        yield [number, entry["name"], to_json({key: value for key, value in entry.items() if key != "name"})]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="import pandas as pd\n\ntable = pd.read_csv('DEST/labels.csv', keep_default_na=False, dtype=str)",
    tasks=("single-label", "multi-label", "detection", "counts"),
)
