"""What kind of table it is, from its columns and cells: one label a row, a box a row, several labels a row, or ours."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.errors import LabelParseError
from curation.importers.assemble import shown
from curation.importers.columns import GROUP_NAMES, IMAGE_NAMES, LABEL_NAMES, SPLIT_NAMES, fold_name
from curation.importers.options import ImportOptions
from curation.importers.own_tables import is_own
from curation.importers.table_file import Table

# Columns of a box, folded: the corners, or one corner and the sides. The first set that is there counts.
CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
SIDES = (
    ("x", "y", "w", "h"),
    ("x1", "y1", "w", "h"),
    ("xmin", "ymin", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("bboxx", "bboxy", "bboxwidth", "bboxheight"),
)
_TRUE, _FALSE = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false", ""})
_SEVERAL = "labels tags classes categories"
MOST_LABELS = 10_000  # in one cell


@dataclass
class Layout:
    """kind : "single", "one" (as single, but of rows of one picture all labels count), "boxes", "flags" (a column of 0
        and 1 per class) or "lists" (a cell with several labels)
    box : the four columns of a box; sides : the last two are width and height
    flags : the columns that are classes, as they are called; labels : what the classes are called
    """

    kind: str
    box: tuple[str, ...] = ()
    sides: bool = False
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def layout_of(table: Table, options: ImportOptions) -> Layout:
    """What a table is. One of ours is `single` unless it has boxes or `labels`: see own_tables."""
    box, sides = box_columns(list(table.columns))
    if box:
        return Layout("boxes", box, sides)
    if is_own(table.columns):
        return Layout("lists" if "label" not in table.columns else "single")
    label = options.label_column or _label_column(list(table.columns))
    if label:
        if options.label_delimiter or _are_lists(table, label):
            return Layout("lists")
        return Layout("one" if options.task == "multi-label" else "single", notes=_hint(table, label))
    return _flags(table, options)


def box_columns(columns: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The four columns of a box and whether they are corner and sides; () if there are none."""
    names = {fold_name(name).removeprefix("bbox") or "bbox": name for name in reversed(columns)}
    names |= {fold_name(name): name for name in reversed(columns)}
    for sides, sets in ((False, CORNERS), (True, SIDES)):
        for wanted in sets:
            if all(name in names for name in wanted):
                return tuple(names[name] for name in wanted), sides
    return (), False


def _label_column(columns: Sequence[str]) -> str:
    """A column that is called like one of labels, "" for none; which of several, `find_columns` will ask."""
    for names in LABEL_NAMES:
        for column in columns:
            if fold_name(column) in (*names.split(), *_SEVERAL.split()):
                return column
    return ""


def _are_lists(table: Table, label: str) -> bool:
    """Whether every cell that says something is a list of texts: `["cat", "dog"]`."""
    cells = {cell for cell in table.columns.get(label, ()) if cell.strip()}
    return bool(cells) and all(cell.lstrip().startswith("[") and _parse_list(cell) is not None for cell in cells)


def read_labels(cell: str, delimiter: str, place: str) -> list[str]:
    """The labels in a cell: a JSON list, or text between delimiters without the blanks around it.

    Raises
    ------
    LabelParseError : a list that is none, or has thousands of entries; names file and line.
    """
    if not cell.strip():
        return []
    found = None
    if not delimiter or cell.lstrip().startswith("["):
        found = _parse_list(cell)
    if found is None and delimiter:
        found = [part.strip() for part in cell.split(delimiter)]
        found = [part for part in found if part]
    if found is None:
        raise LabelParseError(f"{place}: {shown(cell)} is no list of labels; is the delimiter another one?")
    if len(found) > MOST_LABELS:
        raise LabelParseError(f"{place}: {len(found):,} labels in one cell; more than {MOST_LABELS:,} are no labels.")
    return found


def _parse_list(cell: str) -> list[str] | None:
    """A list of texts as JSON or Python writes it, None for anything else; numbers stay as they stand."""
    if len(cell) > 64 * MOST_LABELS:
        return None
    for parse in (_json_list, ast.literal_eval):
        try:
            value = parse(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
            return value
    return None


def _json_list(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)


def _hint(table: Table, label: str) -> list[str]:
    """A sentence where labels look as if they were several in one cell; nobody is guessed to mean that."""
    cells = table.columns.get(label, ())
    for mark in ("|", ";", ","):
        row = next((row for row, cell in enumerate(cells) if mark in cell), None)
        if row is not None:
            return [
                f"The label {shown(cells[row])} ({table.place(row)}) is one label; if it is several, say "
                f"--label-delimiter {mark!r}."
            ]
    return []


def _flags(table: Table, options: ImportOptions) -> Layout:
    """A table of 0 and 1, with a column per class; "single" where there are no two such columns."""
    named = {options.image_column, options.split_column, options.group_column}
    roles = " ".join([*IMAGE_NAMES, *SPLIT_NAMES, *GROUP_NAMES]).split()
    columns = [name for name in table.columns if name not in named and fold_name(name) not in roles]
    flags, odd = [], []
    for name in columns:
        cells = set(table.columns[name])
        wrong = {cell for cell in cells if cell.strip().lower() not in _TRUE | _FALSE}
        if not wrong:
            flags.append(name)
        elif len(wrong) < len(cells) and cells - wrong - {""}:
            odd.append(name)
    if len(flags) < (1 if options.task == "multi-label" else 2):
        return Layout("single")
    notes = []
    if odd:
        name = odd[0]
        row = next(row for row, cell in enumerate(table.columns[name]) if cell.strip().lower() not in _TRUE | _FALSE)
        cell = table.columns[name][row]
        notes.append(f"The column {shown(name)} is no class: {table.place(row)} says {shown(cell)}, not 0 or 1.")
    labels = [name[1:] for name in flags] if all(name.startswith(" ") for name in flags) else flags
    return Layout("flags", flags=tuple(flags), labels=tuple(labels), notes=notes)


def flagged(columns: Mapping[str, Sequence[str]], layout: Layout, row: int) -> list[str]:
    """The classes whose column says 1 in a row."""
    both = zip(layout.flags, layout.labels, strict=True)
    return [label for name, label in both if columns[name][row].strip().lower() in _TRUE]
