"""What kind of table it is, from its columns and cells: one label a row, a box a row, several labels a row, or ours."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.importers.assemble import shown
from curation.importers.box_tables import number
from curation.importers.columns import COUNT_NAMES, GROUP_NAMES, IMAGE_NAMES, LABEL_NAMES, SPLIT_NAMES, fold_name
from curation.importers.options import ImportOptions
from curation.importers.own_tables import are_set_off, count_columns, is_counted, is_own
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
MOST_COUNTED = 10_000  # of one class in one picture


@dataclass
class Layout:
    """kind : "single", "one" (as single, but of rows of one picture all labels count), "boxes", "flags" (a column of 0
        and 1 per class), "counts" (a column with a number per class) or "lists" (a cell with several labels)
    box : the four columns of a box; sides : the last two are width and height
    flags : the columns that are classes, as they are called; labels : what the classes are called
    count : of "one", the column that says how many of the label there are
    """

    kind: str
    box: tuple[str, ...] = ()
    sides: bool = False
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    count: str = ""
    notes: list[str] = field(default_factory=list)


def layout_of(table: Table, options: ImportOptions) -> Layout:
    """What a table is. One of ours is `single` unless it has boxes or `labels`: see own_tables."""
    box, sides = box_columns(list(table.columns))
    if box:
        return Layout("boxes", box, sides)
    columns = list(table.columns)
    if is_counted(columns):
        flags, labels = count_columns(columns)
        return Layout("counts", flags=flags, labels=labels)
    if is_own(columns):
        return Layout("lists" if "label" not in columns else "single")
    label = options.label_column or _label_column(columns)
    if label:
        if options.label_delimiter or _are_lists(table, label):
            return Layout("lists")
        one = "one" if options.task in ("multi-label", "counts") else "single"
        return Layout(one, count=_count_column(table, options), notes=_hint(table, label))
    return _counts(table, options) if options.task == "counts" else _flags(table, options)


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
    columns = _without_role(table, options)
    flags, odd = [], []
    for name in columns:
        cells = set(table.columns[name])
        wrong = {cell for cell in cells if cell.strip().lower() not in _TRUE | _FALSE}
        if not wrong:
            flags.append(name)
        elif len(wrong) < len(cells) and cells - wrong - {""}:
            odd.append(name)
    if len(flags) < (1 if options.task == "multi-label" else 2):
        _refuse_counts(table, columns)
        return Layout("single")
    notes = []
    if odd:
        name = odd[0]
        row = next(row for row, cell in enumerate(table.columns[name]) if cell.strip().lower() not in _TRUE | _FALSE)
        cell = table.columns[name][row]
        more = f" {_SAY_COUNTS}" if _is_count(cell) else ""
        notes.append(f"The column {shown(name)} is no class: {table.place(row)} says {shown(cell)}, not 0 or 1.{more}")
    labels = [name[1:] for name in flags] if are_set_off(flags) else flags
    return Layout("flags", flags=tuple(flags), labels=tuple(labels), notes=notes)


_SAY_COUNTS = "If the numbers say how many of each class are in a picture, say --task counts."


def _without_role(table: Table, options: ImportOptions) -> list[str]:
    """The columns that are neither picture nor split nor group, as far as their names tell."""
    named = {options.image_column, options.split_column, options.group_column}
    roles = " ".join([*IMAGE_NAMES, *SPLIT_NAMES, *GROUP_NAMES]).split()
    return [name for name in table.columns if name not in named and fold_name(name) not in roles]


def _refuse_counts(table: Table, columns: Sequence[str]) -> None:
    """Say what a table without labels, but with whole numbers, may be.

    Raises
    ------
    SourceError : there are such columns; names some.
    """
    found = [name for name in columns if _share_of_counts(table, name) == 1]
    if found:
        some = ", ".join(map(shown, found[:3])) + (" ..." if len(found) > 3 else "")
        raise SourceError(
            f"{table.file.name} has no column of labels, nor columns of 0 and 1, but of whole numbers: {some}. "
            f"{_SAY_COUNTS}"
        )


def _counts(table: Table, options: ImportOptions) -> Layout:
    """A table with a number per class: all columns in which most of what is said are whole numbers.

    Raises
    ------
    SourceError : there is no such column; SettingsError : nor the one that was named.
    """
    if options.count_column:
        flags, odd = [_count_column(table, options)], []
    else:
        shares = {name: _share_of_counts(table, name) for name in _without_role(table, options)}
        flags = [name for name, share in shares.items() if share >= 0.5]
        odd = [name for name, share in shares.items() if 0 < share < 0.5]
    if not flags:
        raise SourceError(
            f"{table.file.name} has neither a column of labels nor one of whole numbers, so nothing is counted there. "
            f"Name the first with --label-column, or the second with --count-column."
        )
    notes = [f"The column {shown(odd[0])} is no class: most of its cells are no whole numbers."] if odd else []
    labels = [name[1:] for name in flags] if are_set_off(flags) else flags
    return Layout("counts", flags=tuple(flags), labels=tuple(labels), notes=notes)


def _count_column(table: Table, options: ImportOptions) -> str:
    """The column that says how many, "" where there is none."""
    if options.count_column:
        if options.count_column not in table.columns:
            some = ", ".join(map(shown, list(table.columns)[:20]))
            raise SettingsError(
                f"{table.file.name} has no column {shown(options.count_column)} (--count-column); it has {some}."
            )
        return options.count_column
    if options.task != "counts":
        return ""
    return next((name for name in table.columns if fold_name(name) in COUNT_NAMES.split()), "")


def _share_of_counts(table: Table, name: str) -> float:
    """Of the cells of a column that say something, how many are counts; 0 where none says anything."""
    cells = [cell for cell in table.columns[name] if cell.strip()]
    return sum(map(_is_count, cells)) / len(cells) if cells else 0.0


def _is_count(cell: str) -> bool:
    try:
        read_count(cell)
    except ValueError:
        return False
    return True


def read_count(cell: str) -> int:
    """How many a cell says: a whole number from 0 on, as `3` or `3.0`; an empty cell says 0.

    Raises
    ------
    ValueError : it says none, or more than MOST_COUNTED.
    """
    text = cell.strip().lower()
    if text in ("", "true", "false"):
        return int(text == "true")
    value = number(text)
    if value < 0 or value != int(value):
        raise ValueError(f"{shown(cell)} is no whole number from 0 on")
    if value > MOST_COUNTED:
        raise ValueError(f"{shown(cell)} is more than {MOST_COUNTED:,}, which nobody has counted")
    return int(value)


def counted_labels(columns: Mapping[str, Sequence[str]], layout: Layout, row: int) -> list[str]:
    """The classes of a row of numbers, each as often as its column says.

    Raises
    ------
    ValueError : a cell that is no count; names the column.
    """
    found: list[str] = []
    for name, label in zip(layout.flags, layout.labels, strict=True):
        try:
            found += [label] * read_count(columns[name][row])
        except ValueError as error:
            raise ValueError(f"column {shown(name)}: {error}") from error
    return found


def flagged(columns: Mapping[str, Sequence[str]], layout: Layout, row: int) -> list[str]:
    """The classes whose column says 1 in a row."""
    both = zip(layout.flags, layout.labels, strict=True)
    return [label for name, label in both if columns[name][row].strip().lower() in _TRUE]
