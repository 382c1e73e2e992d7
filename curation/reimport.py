"""A source that is imported again: the version that describes it, written where something has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curation.errors import WorkspaceError
from curation.identity import Matches, match_samples, with_ids
from curation.manifest import build_rows, canonical_hash, read, write_first
from curation.manifest_files import read_header, tidy, versions


@dataclass(frozen=True)
class Ensured:
    """A version that describes a source, and the source's two tables with the ids that they have there.

    version : name of the latest version
    changed : whether the source differs from that version; `notes` says how
    """

    version: str
    changed: bool
    samples: pd.DataFrame
    annotations: pd.DataFrame
    notes: tuple[str, ...] = ()


def ensure_first(
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    folder: Path,
    *,
    author: str,
    message: str,
    source: Mapping[str, Any] | None = None,
) -> Ensured:
    """The version that a source has: v0001 is written if there is none, else the latest is compared with it.

    A source that has changed since keeps the version as it is; its samples get the ids that they had (see
    curation.identity), and a note counts what differs.

    Raises
    ------
    WorkspaceError : it cannot be written, or the folder belongs to another data set (not one picture is the same).
    """
    if not versions(folder):
        try:
            version = write_first(samples, annotations, folder, author=author, message=message, source=source)
            return Ensured(version, False, samples, annotations)
        except WorkspaceError:
            if not versions(folder):  # else another process was first, which is as good
                raise
    tidy(folder)
    version = versions(folder)[-1]
    if canonical_hash(build_rows(samples, annotations)) == read_header(folder, version)["hash"]:
        return Ensured(version, False, samples, annotations)
    old = read(folder, version)
    matches = match_samples(old.drop_duplicates("sample_id"), samples)
    if "same" not in matches.kinds and "renamed" not in matches.kinds and "edited" not in matches.kinds:
        raise WorkspaceError(
            f"{folder} holds another data set: not one of its {old['sample_id'].nunique()} pictures is in this source. "
            f"Choose another name with --name."
        )
    samples, annotations = with_ids(samples, annotations, matches.sample_ids, old)
    differences = _differences(old, build_rows(samples, annotations), matches)
    if not differences:  # only what a decoder measures, or the source has its ids from an earlier name
        return Ensured(version, False, samples, annotations)
    note = f"The source is not what version {version} has: {', '.join(differences)}. The version was left as it is."
    return Ensured(version, True, samples, annotations, (note,))


def _differences(old: pd.DataFrame, new: pd.DataFrame, matches: Matches) -> list[str]:
    """What changed between two lists of rows, in words with counts; empty if they are the same."""
    kinds = Counter(matches.kinds)
    old_ids, new_ids = pd.Index(old["sample_id"].unique()), pd.Index(new["sample_id"].unique())
    both = old_ids.intersection(new_ids)
    found = {
        "pictures added": kinds["new"],
        "removed": len(old_ids) - len(both),
        "renamed": kinds["renamed"],
        "edited in place": kinds["edited"],
        "with another label": _count_changed(old, new, both, ["label", "x", "y", "w", "h"]),
        "in another split or group": _count_changed(old, new, both, ["split", "group"]),
        "with other attributes or status": _count_changed(old, new, both, ["attributes", "status"]),
    }
    return [f"{count} {words}" for words, count in found.items() if count]


def _count_changed(old: pd.DataFrame, new: pd.DataFrame, ids: pd.Index, columns: list[str]) -> int:
    before, after = _fingerprints(old, columns).reindex(ids), _fingerprints(new, columns).reindex(ids)
    return int((before != after).sum())


def _fingerprints(rows: pd.DataFrame, columns: list[str]) -> pd.Series:
    """One number per sample that stands for the contents of `columns` in all its rows, in whatever order."""
    hashes = pd.util.hash_pandas_object(rows[columns], index=False)
    return hashes.groupby(rows["sample_id"]).sum()
