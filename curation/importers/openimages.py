"""Open Images: CSV files of boxes and of labels of whole pictures, told by their columns; `class-descriptions.csv`.

    annotations/train-annotations-bbox.csv  annotations/train-annotations-human-imagelabels.csv
    annotations/class-descriptions.csv  images/train/0001.jpg

Corners are shares of the picture. Labels of whole pictures are annotations where there are no boxes; beside boxes they
are kept as facts about the picture, as are those that say that something is not there (a Confidence below 0.5).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.errors import SourceError
from curation.importers.assemble import SHOWN, canonical_split, shown
from curation.importers.boxes import Builder, number
from curation.importers.class_maps import merge_class_maps
from curation.importers.columns import fold_name
from curation.importers.glance import Glance
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.importers.table_file import Table, read_table
from curation.importers.twins import Twins, files_ending, leave_masks, split_of_folders, split_of_name
from curation.progress import Progress
from curation.records import Records, path_to_text
from curation.wording import counted

BOX_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")
LABEL_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence")
LABELS_KEY = "imagelabels"  # fact of a picture: rows of whole-picture labels that are no annotation here
PRESENT = 0.5  # a Confidence from here on says that it is there; people say 1 or 0
_MASKS = frozenset({"masks"})  # folder of the pictures of segmentations
_CORNERS = ("xmin", "xmax", "ymin", "ymax")


@dataclass
class _Files:
    """Tables by what they hold, the path of each first."""

    boxes: list[tuple[str, Table]] = field(default_factory=list)
    labels: list[tuple[str, Table]] = field(default_factory=list)
    pictures: list[tuple[str, Table]] = field(default_factory=list)
    classes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    others: int = 0


def kind_of(header: str, name: str) -> str:
    """What a CSV file holds, by its first line: "boxes", "labels", "pictures", "classes", or "" = nothing of ours."""
    cells = header.lstrip("\ufeff").strip().split(",")
    names = {fold_name(cell.strip('"')) for cell in cells}
    if {"imageid", "labelname", *_CORNERS} <= names:
        return "boxes"
    if {"imageid", "labelname", "confidence"} <= names and not names & {"maskpath", "boxid"}:
        return "labels"
    if {"imageid", "subset"} <= names:
        return "pictures"
    if {"labelname", "displayname"} <= names:
        return "classes"
    headless = len(cells) >= 2 and cells[0].strip('"').startswith(("/m/", "/g/", "/t/"))
    return "classes" if headless and "class" in name.lower() else ""


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    if seen.is_file:
        return ""
    for name in seen.ending(".csv"):
        if kind_of(seen.head(name, 4096).partition("\n")[0], name) in ("boxes", "labels"):
            return f"{shown(name, limit=200)} has the columns of Open Images"
    return ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder of Open Images. A row whose picture is not in the folder is left out, and counted: most people have
    a part of the set; a row that is no box is a rejected row that names file and line.

    Raises
    ------
    LabelParseError : a CSV file is broken; names file and line, and nothing is imported.
    SourceError : there is no such file.
    """
    root = real_folder(source)
    listing = list_source(root, workspace, progress)
    leave_masks(listing, _MASKS)
    builder = Builder(root, "openimages", listing, options)
    files = _read_files(root, files_ending(listing, ".csv"), builder, progress)
    if not files.boxes and not files.labels:
        raise SourceError(f"There is no CSV file of Open Images in {shown(str(root), limit=300)}.")
    adder = _Adder(builder, Twins(map(path_to_text, listing.images)), files, options)
    with progress.stage("Reading annotations", 0, "rows") as advance:
        for name, table in files.pictures:
            advance(adder.add_pictures(name, table))
        if options.task != "multi-label" or not files.labels:
            for name, table in files.boxes:
                advance(adder.add_boxes(name, table))
        for name, table in files.labels:
            advance(adder.add_labels(name, table))
    adder.add_facts()
    for path in map(path_to_text, listing.images):
        if split_of_folders(path):
            builder.picture(path, split_of_folders(path))
    for note in adder.notes():
        builder.note(note)
    return builder.records(adder.classes, boxes=adder.boxes > 0 or not files.labels, progress=progress)


def _read_files(root: Path, names: list[str], builder: Builder, progress: Progress) -> _Files:
    files = _Files()
    for name in names:
        where = path_to_text(name)
        try:
            with open(root / name, encoding="utf-8-sig", errors="replace") as stream:
                kind = kind_of(stream.readline(65536), where)
        except OSError as error:
            raise SourceError(f"{where} cannot be read: {error.strerror or error}.") from error
        if not kind:
            continue
        builder.used(name)
        if kind == "pictures":  # facts beside the labels: not worth an import that fails
            try:
                files.pictures.append((where, read_table(root / name, progress=progress)))
            except SourceError as error:
                builder.note(f"{where} is not read: {error}")
            continue
        table = read_table(root / name, progress=progress)
        if kind == "classes":
            files.classes[where] = _classes(table)
        else:
            (files.boxes if kind == "boxes" else files.labels).append((where, table))
    return files


def _classes(table: Table) -> list[dict[str, Any]]:
    """Classes of a description file, with a header or without; a name that several ids have gets its id behind it."""
    columns = list(table.columns)
    rows = list(zip(*(table.columns[name] for name in columns[:2]), strict=True))
    if fold_name(columns[0]) != "labelname":
        rows.insert(0, (columns[0], columns[1]))
    said = Counter(name for _, name in rows)
    return [{"name": name if said[name] == 1 else f"{name} ({key})", "id": key} for key, name in rows if key]


class _Adder:
    """Adds rows to a builder.

    classes : of the description files
    boxes : how many were added
    """

    def __init__(self, builder: Builder, pictures: Twins, files: _Files, options: ImportOptions) -> None:
        self.boxes = 0
        self.classes, self._notes = merge_class_maps(files.classes)
        self._names = {entry["id"]: entry["name"] for entry in self.classes if "id" in entry}
        self._builder, self._pictures = builder, pictures
        self._whole = not files.boxes or options.task == "multi-label"
        self._splits: dict[str, str] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, list[dict[str, str]]] = {}
        self._found: dict[tuple[str, str], str] = {}
        self._missing: Counter[str] = Counter()

    def notes(self) -> list[str]:
        """What was odd, in sentences."""
        notes = list(self._notes)
        if self._missing:
            rows = counted(sum(self._missing.values()), "row is", "rows are")
            some = ", ".join(map(shown, list(self._missing)[:SHOWN]))
            notes.append(f"{rows} of {counted(len(self._missing), 'picture')} not in the folder, and left out: {some}.")
        if self._rows and not self._whole:
            notes.append(
                f"Labels of {counted(len(self._rows), 'whole picture')} are kept as facts beside the boxes; with "
                f"--task multi-label they are the labels."
            )
        return notes

    def add_pictures(self, name: str, table: Table) -> int:
        """What a table says of pictures: their split, and the rest kept as facts."""
        columns = _folded(table)
        others = [key for fold, key in columns.items() if fold not in ("imageid", "subset")]
        for row, image in enumerate(table.columns[columns["imageid"]]):
            path = self._picture(image, "")
            if path:
                self._splits[path] = canonical_split(table.columns[columns["subset"]][row])
                self._facts[path] = {key: table.columns[key][row] for key in others if table.columns[key][row] != ""}
        return len(table.lines)

    def add_boxes(self, name: str, table: Table) -> int:
        """Every row is one box."""
        columns = _folded(table)
        own = {columns[key] for key in ("imageid", "labelname", *_CORNERS)}
        others = {key: cells for key, cells in table.columns.items() if key not in own}
        corners = [table.columns[columns[key]] for key in _CORNERS]
        images, labels = (table.columns[columns[key]] for key in ("imageid", "labelname"))
        split = split_of_name(name)
        for row, image in enumerate(images):
            path = self._picture(image, split)
            if not path:
                self._missing[image] += 1
                continue
            line = int(table.lines[row])
            try:
                left, right, top, bottom = (number(cells[row].strip()) for cells in corners)
            except ValueError as error:
                self._builder.reject(path, f"{name} line {line}: the box is not four numbers ({error})")
                continue
            picture = self._builder.picture(path, self._split(path, split))
            attributes = {key: cells[row] for key, cells in others.items()}
            box = (left, top, right - left, bottom - top)
            self.boxes += self._builder.annotate(
                picture, self._name(labels[row]), box, attributes, name, line, relative=True
            )
        return len(images)

    def add_labels(self, name: str, table: Table) -> int:
        """Every row says whether something is in a picture as a whole."""
        columns = _folded(table)
        images, labels = (table.columns[columns[key]] for key in ("imageid", "labelname"))
        split = split_of_name(name)
        others = {key: cells for key, cells in table.columns.items() if key not in (columns["imageid"],)}
        for row, image in enumerate(images):
            path = self._picture(image, split)
            if not path:
                self._missing[image] += 1
                continue
            line = int(table.lines[row])
            try:
                present = number(table.columns[columns["confidence"]][row].strip()) >= PRESENT
            except ValueError as error:
                self._builder.reject(path, f"{name} line {line}: the Confidence {error}")
                continue
            picture = self._builder.picture(path, self._split(path, split))
            said = {key: cells[row] for key, cells in others.items()}
            if self._whole and present:
                del said[columns["labelname"]]
                self._builder.annotate(picture, self._name(labels[row]), None, said, name, line)
            else:
                self._rows.setdefault(path, []).append(said)
        return len(images)

    def add_facts(self) -> None:
        """Everything that was said of pictures beside annotations."""
        for path in {**self._facts, **self._rows}:
            facts = dict(self._facts.get(path, {}))
            if path in self._rows:
                facts[LABELS_KEY] = self._rows[path]
            self._builder.picture(path, self._split(path, ""), facts)

    def _picture(self, image: str, split: str) -> str:
        """The path of a picture by its id; of several with that name, the one in the folder of the split."""
        found = self._found.get((image, split))
        if found is None:
            twins = self._pictures.of("", image) if image else []
            twins = twins or (self._pictures.of("", image.rpartition(".")[0]) if "." in image else [])
            if len(twins) > 1 and split:
                twins = [path for path in twins if split_of_folders(path) == split]
            found = self._found[image, split] = twins[0] if len(twins) == 1 else ""
        return found

    def _split(self, path: str, split: str) -> str:
        return split_of_folders(path) or self._splits.get(path, "") or split

    def _name(self, key: str) -> str:
        return self._names.get(key, key)


def _folded(table: Table) -> dict[str, str]:
    return {fold_name(name): name for name in table.columns}
