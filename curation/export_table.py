"""`curate-export.json`: what an export holds, written last; without it, an export is not complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from curation.errors import SourceError
from curation.records import TASKS

NAME = "curate-export.json"
FORMAT = "curate-export-1"
MAX_BYTES = 4 * 2**30
# One row per annotation, as in the manifest, and one for a sample without any. `path` is where the picture is in the
# export, `source_path` where it was; `file_hash` that of its image file, "" where it is `content_hash`, or pixels
# in an array.
COLUMNS: dict[str, str] = {
    **dict.fromkeys(("sample_id", "annotation_id", "path", "source_path", "split", "group", "label"), "str"),
    **dict.fromkeys("xywh", "float64"),
    **dict.fromkeys(("attributes", "content_hash", "file_hash", "sample_attributes"), "str"),
}
_EARLIER = list(COLUMNS)[:-1]  # of exports that were written before pictures had attributes
_TEXTS = ("exporter", "images", "dataset", "version", "manifest_hash", "curate")
_OBJECTS = ("settings", "counts", "left_out", "files")


@dataclass(frozen=True)
class ExportTable:
    """facts : everything but the rows; rows : columns COLUMNS"""

    facts: dict[str, Any]
    rows: pd.DataFrame


def write_table(stream: BinaryIO, facts: Mapping[str, Any], rows: pd.DataFrame) -> None:
    """Write the file: the facts, then one line per row, then the hash of both."""
    digest = hashlib.sha256()

    def put(text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        digest.update(data)
        stream.write(data)

    put("{\n")
    for name, value in {"format": FORMAT, **facts, "columns": list(COLUMNS)}.items():
        put(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)},\n")
    put('"rows": [\n')
    columns = [
        [None if value != value else value for value in rows[name].to_numpy(object).tolist()] for name in COLUMNS
    ]
    last = len(rows) - 1
    for at, row in enumerate(zip(*columns, strict=True)):
        put(json.dumps(row, ensure_ascii=False, allow_nan=False) + (",\n" if at < last else "\n"))
    put("],\n")
    stream.write(f'"hash": "sha256:{digest.hexdigest()}"\n}}\n'.encode())


def is_export(folder: Path) -> bool:
    """Whether a folder holds a complete export."""
    return os.path.isfile(folder / NAME) and not os.path.islink(folder / NAME)


def read_table(folder: Path) -> ExportTable:
    """What an export says it holds.

    Raises
    ------
    SourceError : there is no such file, or it is damaged, was changed by hand, or comes from a newer release.
    """
    path = folder / NAME
    try:
        if os.path.islink(path) or os.stat(path).st_size > MAX_BYTES:
            raise ValueError("a link, or too large")
        data = path.read_bytes()
        value = json.loads(data, parse_constant=_refuse)
    except FileNotFoundError as error:
        raise SourceError(f"{folder} is no export of curate: there is no {NAME} in it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} is damaged ({str(error)[:100]}); export again.") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        known = value.get("format") if isinstance(value, dict) else None
        what = "another release of curate wrote it" if isinstance(known, str) else "it does not say its format"
        raise SourceError(f"{path} cannot be read: {what}.")
    end = data.rfind(b'"hash": "sha256:')
    if end < 0 or value.get("hash") != f"sha256:{hashlib.sha256(data[:end]).hexdigest()}":
        raise SourceError(
            f"{path} was changed after it was written. Export again; or read the pictures as what they are, "
            f"without it: curate score --format folder."
        )
    return ExportTable({k: v for k, v in value.items() if k not in ("rows", "columns")}, _rows(value, path))


def _rows(value: dict[str, Any], path: Path) -> pd.DataFrame:
    wrong = next((name for name in _TEXTS if not isinstance(value.get(name), str)), "")
    wrong = wrong or next((name for name in _OBJECTS if not isinstance(value.get(name), dict)), "")
    classes, rows = value.get("classes"), value.get("rows")
    if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
        wrong = "classes"
    wrong = wrong or _wrong_about(value)
    if value.get("columns") == _EARLIER and isinstance(rows, list):
        rows = [[*row, ""] if isinstance(row, list) else row for row in rows]
    elif value.get("columns") != list(COLUMNS) or not isinstance(rows, list):
        wrong = "columns"
    kinds: list[type | tuple[type, ...]] = [
        str if dtype == "str" else (int, float, type(None)) for dtype in COLUMNS.values()
    ]
    if not wrong and not all(_is_row(row, kinds) for row in rows or ()):
        wrong = "rows"
    if wrong:
        raise SourceError(f"{path} is damaged (its {wrong} cannot be); export again.")
    columns = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
    return pd.DataFrame(
        {name: pd.Series(list(column), dtype=COLUMNS[name]) for name, column in zip(COLUMNS, columns, strict=True)}
    )


def _wrong_about(value: dict[str, Any]) -> str:
    """Which of the facts that earlier exports do not have cannot be."""
    details = value.get("class_details", [])
    if value.get("task", TASKS[0]) not in TASKS:
        return "task"
    if not isinstance(details, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in details
    ):
        return "class_details"
    return "" if isinstance(value.get("about", {}), dict) else "about"


def _is_row(row: Any, kinds: list[type | tuple[type, ...]]) -> bool:
    return isinstance(row, list) and len(row) == len(kinds) and all(map(isinstance, row, kinds))


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
