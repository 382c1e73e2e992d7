"""Bringing one branch into another: what only one of them changed is taken, the rest becomes items to look at again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import SettingsError
from curation.manifest import NewVersion, read, write_version
from curation.manifest.changes import diff, in_order
from curation.manifest.history import common_ancestor
from curation.manifest.three_way import three_way
from curation.manifest.version_files import MAIN, ancestors, head, read_header


@dataclass(frozen=True)
class Merged:
    """version : the new one, "" if there was nothing to bring over; conflicts : where `into` stays as it is."""

    version: str
    changes: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]


def merge(folder: Path, branch: str, author: str, message: str = "", into: str = MAIN) -> Merged:
    """Bring what was done on a branch into another, as a version with both as its parents.

    Raises
    ------
    NotFoundError : no such branch.
    SettingsError : a branch into itself.
    WorkspaceError : somebody else published meanwhile, or nothing can be written.
    """
    if branch == into:
        raise SettingsError(f"The branch {branch!r} cannot be merged into itself; name another one with --into.")
    mine, other = head(folder, into), head(folder, branch)
    if mine is None or other is None:
        raise SettingsError(f"{folder.name} has no version yet, so there is nothing to merge.")
    if other in ancestors(folder, mine):
        return Merged("", [], [])
    base = common_ancestor(folder, mine, other)
    ours = read(folder, mine)
    rows, conflicts = three_way(read(folder, base), ours, read(folder, other))
    changes = diff(ours, rows)
    told = message or f"Merge {branch} ({other}) into {into}"
    dataset = str(read_header(folder, mine).get("dataset", ""))
    new = NewVersion(mine, "merge", author, told, in_order([*changes, *conflicts]), into, merged=other, dataset=dataset)
    return Merged(write_version(rows, new, folder), changes, conflicts)
