"""Tables with a box a row, or with several labels a row, to a `Builder` of records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curation.errors import LabelParseError
from curation.importers.assemble import canonical_split, shown
from curation.importers.boxes import Builder, number
from curation.importers.columns import find_columns, fold_name
from curation.importers.options import ImportOptions
from curation.importers.own_tables import FACTS, is_own, restored
from curation.importers.table_file import Table
from curation.importers.table_layout import Layout, counted_labels, flagged, read_count, read_labels
from curation.wording import counted

MOST_IN_ALL = 5_000_000  # labels that are there again, as numbers say; each is a row of its own
_OWN = ("class_id", "class_ids", "hard", "sample_id", "attributes", FACTS)  # columns of our tables with a meaning here


@dataclass(frozen=True)
class _Reading:
    """One table that is being added.

    label : name of the column with the label; others : columns that are kept as attributes; own : written by us
    where : how the file is called in messages; before : what earlier tables said
    """

    table: Table
    layout: Layout
    label: str
    others: Sequence[str]
    own: bool
    where: str
    before: Counter[tuple[Any, ...]]

    def attributes(self, row: int) -> dict[str, Any]:
        return {name: self.table.columns[name][row] for name in self.others}


class TableAdder:
    """Adds the rows of tables to a builder; rows that an earlier table had are not added again.

    found : how many rows have a picture
    boxes : whether there was a table of boxes
    labels : all labels that columns stand for, in their order
    task : "counts" where a table of ours has numbers; "" = none is said
    """

    def __init__(self, builder: Builder, options: ImportOptions) -> None:
        self._builder, self._options = builder, options
        self._paths: dict[tuple[str, str], tuple[str, str]] = {}
        self._said: Counter[tuple[Any, ...]] = Counter()
        self.labels: dict[str, None] = {}
        self.boxes = False
        self.found = 0
        self.task = ""
        self._total = 0

    def add(self, table: Table, layout: Layout, folder: str = "", split: str = "", where: str = "") -> None:
        """Add one table.

        folder : of the table, relative to the root
        split : of its rows, where no column says so
        where : how the file is called in messages

        Raises
        ------
        LabelParseError : a cell that cannot be labels; names file and line.
        SettingsError, SourceError : columns that cannot be told.
        """
        own = is_own(table.columns)
        table = restored(table) if own else table
        where = where or table.file.name
        roles, notes = _roles(table, layout, self._options)
        for note in [*layout.notes, *notes]:
            self._builder.note(note)
        self.labels |= dict.fromkeys(layout.labels)
        taken = {*filter(None, (*roles.values(), layout.count)), *layout.box, *layout.flags, *(_OWN if own else ())}
        stated = _stated_columns(table, taken) if layout.kind == "boxes" else ()
        others = [name for name in table.columns if name not in taken and name not in stated]
        reading = _Reading(table, layout, roles["label"], others, own, where, Counter(self._said))
        self.boxes |= layout.kind == "boxes"
        self.task = "counts" if layout.kind == "counts" else self.task
        for row, cell in enumerate(table.columns[roles["image"]]):
            path, why = self._find(cell, folder)
            line = int(table.lines[row])
            if not path:
                self._builder.reject(cell[:1000], f"{where} line {line}: {why}")
                continue
            self.found += 1
            try:
                labels = [] if layout.kind == "boxes" else self._labels(reading, row)
            except ValueError as error:
                self._builder.reject(path, f"{where} line {line}: {error}")
                continue
            self._count(len(labels) - len(set(labels)), table.place(row))
            group = table.columns[roles["group"]][row] if roles["group"] else ""
            named = canonical_split(table.columns[roles["split"]][row]) if roles["split"] else split
            facts = table.columns[FACTS][row] if own and FACTS in table.columns else None
            size = _stated(table, stated, row)
            picture = self._builder.picture(path, named, facts, size, where, group)
            if layout.kind == "boxes":
                self._add_box(reading, row, picture, path)
            else:
                self._add_labels(reading, row, picture, path, labels)

    def note_repeated(self) -> None:
        """Say how many rows of later tables earlier ones had."""
        repeated = sum(count for key, count in self._said.items() if key[0] == "again")
        if repeated:
            self._builder.note(f"{counted(repeated, 'row')} of one table that another has, too; each counts once.")

    def _find(self, cell: str, folder: str) -> tuple[str, str]:
        found = self._paths.get((folder, cell))
        if found is None:
            folders = [folder, *([""] if folder else [])]
            found = self._paths[folder, cell] = self._builder.find(cell, folders)
        return found

    def _add_box(self, reading: _Reading, row: int, picture: int, path: str) -> None:
        table, layout, where = reading.table, reading.layout, reading.where
        label = table.columns[reading.label][row]
        texts = [table.columns[name][row].strip() for name in layout.box]
        line = int(table.lines[row])
        if not any(texts) and not label:  # a picture in which nothing is
            return
        try:
            x, y, a, b = map(number, texts)
        except ValueError as error:
            self._builder.reject(path, f"{where} line {line}: the box is not four numbers ({error})")
            return
        if self._repeated((path, label, x, y, a, b), reading.before):
            return
        box = (x, y, a, b) if layout.sides else (x, y, a - x, b - y)
        attributes = table.columns["attributes"][row] if reading.own else reading.attributes(row)
        self._builder.annotate(picture, label, box, attributes, where, line)

    def _count(self, again: int, place: str) -> None:
        """Stop where numbers of a few bytes become more labels than memory holds."""
        self._total += again
        if self._total > MOST_IN_ALL:
            raise LabelParseError(
                f"{place}: with this row more than {MOST_IN_ALL:,} things are counted in all. Are these numbers counts?"
            )

    def _labels(self, reading: _Reading, row: int) -> list[str]:
        """The labels of a row, one that counts several times as often.

        Raises
        ------
        ValueError : a cell that should be a number and is none; LabelParseError : one that should be a list.
        """
        table, layout = reading.table, reading.layout
        if layout.kind == "flags":
            return flagged(table.columns, layout, row)
        if layout.kind == "counts":
            return counted_labels(table.columns, layout, row)
        if layout.kind == "one":
            times = read_count(table.columns[layout.count][row]) if layout.count else 1
            return list(filter(None, [table.columns[reading.label][row]])) * times
        delimiter = "" if reading.own else self._options.label_delimiter
        return read_labels(table.columns[reading.label][row], delimiter, table.place(row))

    def _add_labels(self, reading: _Reading, row: int, picture: int, path: str, labels: Sequence[str]) -> None:
        table = reading.table
        listed = reading.own and reading.layout.kind == "lists"
        own_attributes = _attribute_list(table, row, len(labels)) if listed else []
        for at, label in enumerate(labels):
            if not self._repeated((path, label), reading.before):
                attributes = own_attributes[at] if own_attributes else reading.attributes(row)
                self._builder.annotate(picture, label, None, attributes, reading.where, int(table.lines[row]))

    def _repeated(self, key: tuple[Any, ...], before: Counter[tuple[Any, ...]]) -> bool:
        """Whether an earlier table said the same; within one table, the same twice is said twice."""
        if before[key]:
            before[key] -= 1
            self._said[("again", *key)] += 1
            return True
        self._said[key] += 1
        return False


def _attribute_list(table: Table, row: int, count: int) -> list[Any]:
    text = table.columns["attributes"][row]
    if not text:
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelParseError(f"{table.place(row)}: the attributes {shown(text)} are no JSON.") from error
    if not isinstance(value, list) or len(value) != count or not all(isinstance(one, dict) for one in value):
        raise LabelParseError(f"{table.place(row)}: the attributes {shown(text)} do not go with the labels.")
    return value


def _stated_columns(table: Table, taken: set[str]) -> tuple[str, ...]:
    """The columns width and height of the picture, where they are not those of the box."""
    names = {fold_name(name): name for name in table.columns if name not in taken}
    pairs = (("width", "height"), ("imagewidth", "imageheight"), ("imgwidth", "imgheight"))
    return next(((names[w], names[h]) for w, h in pairs if w in names and h in names), ())


def _stated(table: Table, columns: Sequence[str], row: int) -> tuple[int, int] | None:
    try:
        width, height = (int(float(table.columns[name][row])) for name in columns)
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 < height else None


def image_column(table: Table, layout: Layout, options: ImportOptions) -> str:
    """The column with the names of pictures; raises as `find_columns`."""
    return _roles(table, layout, options)[0]["image"]


def _roles(table: Table, layout: Layout, options: ImportOptions) -> tuple[dict[str, str], list[str]]:
    if is_own(table.columns):
        image = "filename" if layout.kind == "boxes" else "file_name"
        label = {"boxes": "class", "counts": ""}.get(layout.kind, "labels")
        return {"image": image, "label": label, "split": "split", "group": "group"}, []
    columns = [name for name in table.columns if name not in (*layout.box, *layout.flags, layout.count)]
    return find_columns(columns, options, table.file.name, label=layout.kind not in ("flags", "counts"))
