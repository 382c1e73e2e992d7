"""Taking back: one version, what a reviewer decided since some time, or the last change of one sample.

A revert is a version of its own, so it can be taken back, too. What changed again since is left as it is, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from curation.errors import NotFoundError, SettingsError
from curation.manifest import NewVersion, read, write_version
from curation.manifest.changes import Sample, apply_line, diff, inverse, replace_samples, samples_of
from curation.manifest.history import find_sample, row_changes
from curation.manifest.three_way import three_way
from curation.manifest.version_files import MAIN, ancestors, head, read_header


@dataclass(frozen=True)
class Reverted:
    """version : the new one, "" if there was nothing to take back; conflicts : what had changed since, and stays."""

    version: str
    changes: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]


def revert_version(folder: Path, version: str, author: str, message: str = "", branch: str = MAIN) -> Reverted:
    """Take back what a version changed, wherever it has not been changed again since.

    Raises
    ------
    SettingsError : it is the first version, or not in the history of the branch.
    WorkspaceError : somebody else published meanwhile, or nothing can be written.
    """
    newest = _head(folder, branch)
    header = read_header(folder, version)
    if version not in ancestors(folder, newest):
        raise SettingsError(f"{version} is not in the history of the branch {branch!r}; it cannot be reverted there.")
    if header["parent"] is None:
        raise SettingsError(f"{version} is the first version; there is nothing before it to go back to.")
    ours = read(folder, newest)
    rows, conflicts = three_way(read(folder, version), ours, read(folder, str(header["parent"])))
    told = message or f"Revert {version}: {header.get('message', '')}".rstrip(": ")
    return _write(folder, branch, newest, ours, rows, conflicts, author, told, {"reverts": version})


def revert_reviewer(
    folder: Path, reviewer: str, since: str, author: str, message: str = "", branch: str = MAIN
) -> Reverted:
    """Take back what a reviewer alone decided at or after a time; what others agreed with stays.

    since : ISO 8601 date or time, UTC unless it says otherwise; "" = ever

    Raises
    ------
    SettingsError : `since` is no time.
    NotFoundError : no published change of that reviewer since then; names the reviewers that there are.
    """
    newest, start = _head(folder, branch), _time(since) if since else None
    lines = [line for version in reversed(ancestors(folder, newest)) for line in row_changes(folder, version)]
    standing = _standing(lines)
    alone: list[dict[str, Any]] = []
    shared: list[dict[str, Any]] = []
    for line in reversed(lines):
        agreed = _reviewers(line)
        if reviewer in agreed and not (start and _time(str(line.get("decided", ""))) < start):
            (alone if agreed == {reviewer} else shared).append(line)
    if not alone and not shared:
        known = ", ".join(repr(name) for name in sorted(set().union(*map(_reviewers, lines)))[:20]) or "nobody"
        raise NotFoundError(f"Nothing that {reviewer!r} decided since then was published. Decisions are by: {known}.")
    ours = read(folder, newest)
    rows, conflicts = _without(ours, [line for line in alone if id(line) in standing])
    conflicts += [{**line, "change": "conflict", "field": line["change"], "why": "others agreed"} for line in shared]
    told = message or f"Revert what {reviewer} decided{f' since {since}' if since else ''}"
    return _write(folder, branch, newest, ours, rows, conflicts, author, told, {"reverts_reviewer": reviewer})


def _reviewers(line: Mapping[str, Any]) -> set[str]:
    return {str(name) for name in (line.get("reviewers") or [line.get("reviewer", "")])} - {""}


# Kinds of changes that can take one another back.
_SAME_FACT = {"include": "exclude", "drop": "add", "ambiguous": "attributes"}


def _standing(lines: Iterable[Mapping[str, Any]]) -> set[int]:
    """The `id()` of the lines, which are oldest first, that no revert or undo has taken back since."""
    stacks: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        kind = str(line["change"])
        stack = stacks.setdefault((line["sample_id"], line["annotation_id"], _SAME_FACT.get(kind, kind)), [])
        takes_back = "reverts" in line or "reverts_reviewer" in line or line.get("verdict") == "undo"
        if takes_back and stack and stack[-1]["to"] == line["from"]:
            back = [place for place, earlier in enumerate(stack) if earlier["from"] == line["to"]]
            if back:
                del stack[back[-1] :]
                continue
        stack.append(line)
    return {id(line) for stack in stacks.values() for line in stack}


def revert_sample(folder: Path, sample: str, author: str, message: str = "", branch: str = MAIN) -> Reverted:
    """Take back the last change of a sample; once more brings it back.

    Raises
    ------
    NotFoundError : no such sample.
    SettingsError : it has not changed since it was imported.
    """
    newest = _head(folder, branch)
    name = find_sample(folder, sample, newest)
    for version in ancestors(folder, newest):
        lines = [line for line in row_changes(folder, version, name) if line["sample_id"] == name]
        if lines:
            break
    else:
        raise SettingsError(f"{sample!r} has not changed since it was imported.")
    if any(line["change"] == "add" and not line["annotation_id"] for line in lines):
        raise SettingsError(f"{sample!r} has not changed since {version} brought it into the data set.")
    ours = read(folder, newest)
    rows, conflicts = _without(ours, lines)
    told = message or f"Revert the last change of {lines[0]['path']}"
    return _write(folder, branch, newest, ours, rows, conflicts, author, told, {"reverts": version})


def _without(rows: pd.DataFrame, lines: Iterable[Mapping[str, Any]]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Rows without these changes, which are newest version first; and those that something else came after."""
    todo = list(lines)
    samples: dict[str, Sample | None] = {**dict.fromkeys(str(line["sample_id"]) for line in todo)}
    samples |= samples_of(rows, samples)
    before, conflicts = dict(samples), []
    for line in todo:
        name = str(line["sample_id"])
        if _fits(samples[name], inverse(line)):
            samples[name] = apply_line(samples[name], inverse(line))
        elif not _fits(samples[name], line):  # else it was taken back already
            conflicts.append({**line, "change": "conflict", "field": line["change"], "why": "changed again since"})
    return replace_samples(rows, {name: s for name, s in samples.items() if s != before[name]}), conflicts


def _fits(sample: Sample | None, line: Mapping[str, Any]) -> bool:
    try:
        apply_line(sample, line)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _write(
    folder: Path,
    branch: str,
    parent: str,
    ours: pd.DataFrame,
    rows: pd.DataFrame,
    conflicts: list[dict[str, Any]],
    author: str,
    message: str,
    reason: Mapping[str, Any],
) -> Reverted:
    changes = [{**line, **reason} for line in diff(ours, rows)]
    new = NewVersion(parent, "revert", author, message, changes, branch, dataset=_dataset(folder, parent))
    return Reverted(write_version(rows, new, folder) if changes else "", changes, conflicts)


def _dataset(folder: Path, version: str) -> str:
    return str(read_header(folder, version).get("dataset", ""))


def _head(folder: Path, branch: str) -> str:
    found = head(folder, branch)
    if found is None:
        raise NotFoundError(f"There is no version of {folder.name} yet. Make the first one with: curate score SOURCE")
    return found


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{text!r} is no time; write it as 2026-11-21 or 2026-11-21T14:30.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
