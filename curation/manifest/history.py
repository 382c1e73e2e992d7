"""What happened to a data set: its versions, what each changed, who changed one sample and why, names for versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from curation.errors import NotFoundError, SettingsError
from curation.file_names import path_to_text
from curation.manifest import read
from curation.manifest.changes import SILENT_KINDS, diff
from curation.manifest.version_files import (
    MAIN,
    ancestors,
    head,
    headers,
    number,
    pointers,
    read_header,
    read_lines,
    resolve,
    versions,
    write_pointer,
)
from curation.progress import SILENT, Progress

_LISTED = 5


def log(folder: Path, branch: str = "") -> list[dict[str, Any]]:
    """The headers of all versions, newest first, each with its `tags`; of one branch and what it came from, if named.

    Raises
    ------
    NotFoundError : no version, or no such branch.
    """
    newest = _newest(folder, branch or MAIN)
    tags: dict[str, list[str]] = {}
    for name, tag in pointers(folder, "tags").items():
        tags.setdefault(str(tag["version"]), []).append(name)
    names = ancestors(folder, newest) if branch else reversed(versions(folder))
    return [{**read_header(folder, name), "tags": tags.get(name, [])} for name in names]


def changes_of(folder: Path, version: str) -> list[dict[str, Any]]:
    """The change list of a version, `confirm` and `conflict` lines included."""
    read_header(folder, version)
    return read_lines(folder / f"{version}.changes.jsonl")


def compare(folder: Path, old: str, new: str, progress: Progress = SILENT) -> list[dict[str, Any]]:
    """What leads from one version to another, whichever is older; see curation.manifest.changes.diff."""
    return diff(read(folder, old), read(folder, new), progress)


# --- what the source said of itself ---------------------------------------------------------------------------------


def source_of(folder: Path, version: str) -> dict[str, Any]:
    """What the header of the last import that a version is made from says of its source; {} = nothing.

    `format`, the options that it was read with, and, where they are not the default: `task` (one of
    curation.records.TASKS), `classes` and `about` as in `Records`.
    """
    found = read_header(folder, last_import(folder, version)).get("source")
    return found if isinstance(found, dict) else {}


def task_of(folder: Path, version: str) -> str:
    """The task of a data set, one of curation.records.TASKS."""
    return str(source_of(folder, version).get("task", "single-label"))


def class_list(folder: Path, version: str) -> list[dict[str, Any]]:
    """The class list of the source, in its order, each with `name`; [] where it has none."""
    found = source_of(folder, version).get("classes", [])
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("name"), str)]


# --- blame -------------------------------------------------------------------------------------------------------


def blame(folder: Path, sample: str, version: str = "") -> list[dict[str, Any]]:
    """Everything that happened to a sample up to a version, oldest first.

    sample : its id, its path in any version, or the end of its path where that fits one only
    version : "" = the newest of the main branch

    Returns
    -------
    one entry per change: `version`, `kind` (import, publish, revert, merge), `branch`, `created`, `author`, `message`,
    and the change line: `change`, `from`, `to`, and of a review `reviewer`, `decided`, `verdict`, `comment`, `run`,
    `suggestion` (what the model had said), `decision`.

    Raises
    ------
    NotFoundError : no such sample, or several that end so; names some.
    """
    newest = version or _newest(folder)
    name = find_sample(folder, sample, newest)
    found = []
    for at in reversed(ancestors(folder, newest)):
        header = read_header(folder, at)
        about = {key: header.get(key, "") for key in ("version", "kind", "branch", "created", "author", "message")}
        about["version"] = at
        if header["parent"] is None:
            found += [{**about, **line} for line in _first_lines(folder, at, name)]
        else:
            lines = read_lines(folder / f"{at}.changes.jsonl", json.dumps(name))
            found += [{**about, **line} for line in lines if line.get("sample_id") == name]
    return found


def _first_lines(folder: Path, version: str, sample_id: str) -> Iterator[dict[str, Any]]:
    rows = read(folder, version)
    for row in rows[rows["sample_id"] == sample_id].to_dict("records"):
        yield {"change": "import", "sample_id": sample_id, "annotation_id": row["annotation_id"],
               "path": row["path"], "from": None, "to": row["label"]}  # fmt: skip


def find_sample(folder: Path, text: str, version: str) -> str:
    """The id of the sample that a person means, see `blame`."""
    text = path_to_text(text)
    rows = read(folder, version)[["sample_id", "path"]].drop_duplicates("sample_id")
    for column in ("sample_id", "path"):
        exact = rows.loc[rows[column] == text, "sample_id"]
        if len(exact) == 1:
            return str(exact.iloc[0])
    ending = rows[("/" + rows["path"]).str.endswith("/" + text)] if text else rows[:0]
    if len(ending) == 1:
        return str(ending["sample_id"].iloc[0])
    earlier = _earlier_samples(folder, text, version)
    if ending.empty and len(earlier) == 1:
        return earlier[0]
    what = f"{len(ending):,} pictures end in {text!r}" if len(ending) else f"There is no picture {text!r} in {version}"
    some = ", ".join(repr(path) for path in (ending if len(ending) else _near(rows, text))["path"][:_LISTED])
    raise NotFoundError(f"{what}{'; there are ' + some if some else ''}. Give its sample_id, or all of its path.")


def _near(rows: pd.DataFrame, text: str) -> pd.DataFrame:
    part = text.rpartition("/")[2].lower()
    return rows[rows["path"].str.lower().str.contains(part, regex=False)] if part else rows[:0]


def _earlier_samples(folder: Path, text: str, version: str) -> list[str]:
    """Ids of samples that had this id or path in some version up to this one: dropped or renamed since."""
    found = set()
    for at in ancestors(folder, version):
        for line in read_lines(folder / f"{at}.changes.jsonl", json.dumps(text, ensure_ascii=False)[1:-1]):
            was = line.get("from") if line["change"] == "rename" else line.get("path")
            if text in (was, line.get("sample_id")):
                found.add(str(line["sample_id"]))
    return sorted(found)


def row_changes(folder: Path, version: str, containing: str = "") -> list[dict[str, Any]]:
    """The lines of a version's change list that changed a row."""
    lines = read_lines(folder / f"{version}.changes.jsonl", containing)
    return [line for line in lines if line["change"] not in SILENT_KINDS]


def open_conflicts(folder: Path, version: str = "") -> list[dict[str, Any]]:
    """Conflicts of imports and merges that nobody has decided since, as their lines with `version`, newest first.

    A conflict is closed when a later version says something about its sample: a change, or a `confirm`.
    """
    closed: set[str] = set()
    found: list[dict[str, Any]] = []
    for at in ancestors(folder, version or _newest(folder)):
        if read_header(folder, at)["kind"] in ("import", "merge"):
            lines = read_lines(folder / f"{at}.changes.jsonl", '"change": "conflict"')
            found += [{**line, "version": at} for line in lines if line["sample_id"] not in closed]
        closed.update(
            str(line["sample_id"])
            for line in read_lines(folder / f"{at}.changes.jsonl")
            if line["change"] not in ("conflict", "import")
        )
    return found


# --- names -------------------------------------------------------------------------------------------------------


def tag(folder: Path, name: str, version: str = "", author: str = "", message: str = "") -> dict[str, Any]:
    """Give a version a name for good; what was written.

    version : any name of one; "" = the newest of the main branch

    Raises
    ------
    SettingsError : the name is taken, or cannot be one.
    NotFoundError : no such version.
    """
    target = resolve(folder, version) if version else _newest(folder)
    return _point(folder, "tags", name, target, author, message)


def start_branch(folder: Path, name: str, version: str = "", author: str = "", message: str = "") -> dict[str, Any]:
    """Let a branch begin at a version: what is published on it leaves the main branch as it is.

    Raises
    ------
    SettingsError : the name is taken, or cannot be one.
    NotFoundError : no such version.
    """
    target = resolve(folder, version) if version else _newest(folder)
    return _point(folder, "branches", name, target, author, message)


def branches(folder: Path) -> dict[str, str]:
    """The newest version of each branch, the main one first."""
    return {name: str(head(folder, name)) for name in (MAIN, *pointers(folder, "branches")) if head(folder, name)}


def _point(folder: Path, kind: str, name: str, version: str, author: str, message: str) -> dict[str, Any]:
    value = {
        "name": name,
        "version": version,
        "hash": read_header(folder, version)["hash"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "author": author,
        "message": message,
    }
    write_pointer(folder, kind, name, value)
    return value


def _newest(folder: Path, branch: str = MAIN) -> str:
    found = head(folder, branch)
    if found is None:
        raise NotFoundError(f"There is no version of {folder.name} yet. Make the first one with: curate score SOURCE")
    return found


# --- common ancestors --------------------------------------------------------------------------------------------


def common_ancestor(folder: Path, one: str, other: str) -> str:
    """The newest version that both were made from.

    Raises
    ------
    SettingsError : there is none.
    """
    both = set(ancestors(folder, one)) & set(ancestors(folder, other))
    if not both:
        raise SettingsError(f"{one} and {other} have nothing in common.")
    return max(both, key=number)


def last_import(folder: Path, version: str) -> str:
    """The newest import among a version and its ancestors."""
    known = headers(folder)
    return next(name for name in ancestors(folder, version) if known[name]["kind"] == "import")
