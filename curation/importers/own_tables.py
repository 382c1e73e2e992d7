"""The tables that the exporter `csv` writes, told by their columns, and how to read them back exactly.

Text in them that a spreadsheet would run as a formula has an apostrophe in front, and so has text that begins with one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curation.errors import LabelParseError, SourceError
from curation.importers.table_file import Table, read_table

_COMMON = ("split", "group", "hard", "sample_id", "attributes")
SINGLE = ("file_name", "label", "class_id", "split", "group", "hard", "labels", "sample_id", "attributes")
SEVERAL = ("file_name", "labels", "class_ids", *_COMMON)  # labels, class_ids, attributes: JSON lists
BOXES = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", *_COMMON)
COUNTED = ("file_name", "split", "group", "hard", "sample_id")  # then FACTS, and a column with a number per class
FACTS = "sample_attributes"  # a column more, where there are such
CLASSES = "classes.csv"
CLASS_COLUMNS = ("class_id", "label", "details")


def is_own(columns: Iterable[str]) -> bool:
    """Whether a table has the columns of one of ours."""
    names = tuple(name for name in columns if name != FACTS)
    return names in (SINGLE, SEVERAL, BOXES) or is_counted(names)


def is_counted(columns: Iterable[str]) -> bool:
    """Whether it is ours with a number per class."""
    names = tuple(columns)
    return names[: len(COUNTED)] == COUNTED and len(names) > len(COUNTED)


def count_columns(columns: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of classes in such a table, and what the classes are called."""
    found = columns[len(COUNTED) :]
    found = found[1:] if found[0] == FACTS else found
    names = _plain(found)
    return tuple(found), tuple(name[1:] for name in names) if are_set_off(names) else tuple(names)


def count_names(classes: Sequence[str]) -> list[str]:
    """The names of columns for classes; all with a blank in front where one would be taken for another column."""
    clash = are_set_off(classes) or set(classes) & {*COUNTED, FACTS}
    return [f" {name}" for name in classes] if clash else list(classes)


def are_set_off(names: Sequence[str]) -> bool:
    """Whether all columns of classes have a blank in front, which is not of their names then."""
    return bool(names) and all(name.startswith(" ") for name in names)


def restored(table: Table) -> Table:
    """One of our tables with its text as it was before it left."""
    return replace(table, columns={name: _plain(cells) for name, cells in table.columns.items()})


def _plain(cells: Sequence[str]) -> list[str]:
    return [cell[1:] if cell.startswith("'") else cell for cell in cells]


def read_classes(folder: Path) -> list[dict[str, Any]]:
    """The classes of `classes.csv` beside one of our tables, in their order; [] where there is none.

    Raises
    ------
    LabelParseError : it is damaged; names file and line.
    """
    file = folder / CLASSES
    if not file.is_file() or file.is_symlink():
        return []
    try:
        table = restored(read_table(file))
        rows = zip(*(table.columns[name] for name in CLASS_COLUMNS), strict=True)
        found = [{"name": label, **json.loads(details or "{}")} for _, label, details in rows]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise LabelParseError(f"{CLASSES} is damaged ({str(error)[:80]}); export again, or take it away.") from error
    except SourceError:
        raise
    return found
