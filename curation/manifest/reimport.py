"""A source that is imported again: what changed in it since the last import, on top of what reviewers changed.

base (what the source said then), ours (the newest version), theirs (what it says now) --three_way--> the next version

What the source said at an import is that version's rows with its `v0003.source.jsonl` applied: the lines where a review
had said otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.decoding.thumbnails import cached_thumbnails
from curation.errors import WorkspaceError
from curation.manifest import (
    EXCLUDED,
    MEASURED,
    NewVersion,
    build_rows,
    canonical_hash,
    count_words,
    read,
    write_version,
)
from curation.manifest.changes import Sample, apply, apply_line, diff, in_order, replace_samples, samples_of
from curation.manifest.history import last_import, row_changes
from curation.manifest.identity import Look, Matches, match_samples, with_ids
from curation.manifest.three_way import three_way
from curation.manifest.version_files import MAIN, head, headers, read_header, read_lines, tidy, versions
from curation.records import ANNOTATION_COLUMNS, SAMPLE_COLUMNS
from curation.wording import counted

_ATTEMPTS = 3  # at writing, while somebody else publishes


@dataclass(frozen=True)
class Ensured:
    """The version that describes a source, and the two tables as that version has them.

    version : name of the newest version
    changed : whether it was written because the source had changed; `notes` says how
    kept : (K,) int64, the rows of the source's samples that are in it; the others were excluded or dropped by people
    samples : those, in the order of the source; ids, split, group and status as in the version
    annotations : of those, as in the version: with the labels that reviewers gave
    """

    version: str
    changed: bool
    kept: np.ndarray
    samples: pd.DataFrame
    annotations: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Earlier:
    """What is known of samples and ids that the last import did not have.

    dropped : sample id -> the change line that dropped it last, and the version that did
    """

    dropped: dict[str, tuple[dict[str, Any], str]]
    sample_ids: set[str]
    annotation_ids: set[str]


def ensure_version(
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    folder: Path,
    *,
    author: str,
    message: str,
    source: Mapping[str, Any] | None = None,
    dataset: str = "",
    cache: Path | None = None,
) -> Ensured:
    """The version that a source has: the first one is written, or the next one where the source has changed.

    A change of the source is taken over where no reviewer changed the same; where both did, the reviewed value stays,
    and a `conflict` line makes it an item to look at again. Samples keep their ids (see curation.manifest.identity); a
    picture that comes back after it was gone gets back its id and what reviewers said of it.

    Parameters
    ----------
    samples, annotations : the two tables of curation.records, measured columns filled
    message : of the first version; later ones say what was added, removed ...
    cache : of curation.pixels.decode, where thumbnails of earlier pictures are; None: without them

    Raises
    ------
    WorkspaceError : it cannot be written, or the folder belongs to another data set (not one picture is the same).
    """
    tidy(folder)
    rows = build_rows(samples, annotations)
    digest = canonical_hash(rows)
    if not versions(folder):
        lines = [{"change": "import", "samples": len(samples), "annotations": len(annotations)}]
        first = NewVersion(None, "import", author, message, lines, source=source, source_hash=digest, dataset=dataset)
        try:
            return _ensured(write_version(rows, first, folder), rows, samples["sample_id"].tolist(), samples)
        except WorkspaceError:
            if not versions(folder):  # else another process was first, which is as good
                raise
    look = None if cache is None else partial(cached_thumbnails, cache)
    for attempt in range(1, _ATTEMPTS + 1):
        newest = head(folder)
        assert newest is not None, "there is a version, and the first one is on the main branch"
        ours = read(folder, newest)
        ids = _unchanged(folder, newest, samples, digest)
        if ids is not None:
            return _ensured(newest, ours, ids, samples)
        found = _compare(samples, annotations, folder, newest, ours, look)
        if not found.changes:
            return _ensured(newest, ours, found.sample_ids, samples)
        words = count_words(Counter(str(line["change"]) for line in found.changes))
        new = NewVersion(newest, "import", author, f"The source has changed: {words}", found.changes, MAIN,
                         source=source, source_changes=found.source_changes, source_hash=digest,
                         dataset=dataset)  # fmt: skip
        try:
            version = write_version(found.rows, new, folder)
        except WorkspaceError:
            if head(folder) == newest or attempt == _ATTEMPTS:
                raise
            continue
        notes = (f"The source has changed since {newest}: {words}. It is version {version} now.", *found.notes)
        return _ensured(version, found.rows, found.sample_ids, samples, notes, changed=True)
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class _Found:
    """What a source has become: the next version's rows and lines, and the id of each sample of the source."""

    rows: pd.DataFrame
    changes: list[dict[str, Any]]
    source_changes: list[dict[str, Any]]
    sample_ids: list[str]
    notes: tuple[str, ...]


def _compare(
    samples: pd.DataFrame, annotations: pd.DataFrame, folder: Path, newest: str, ours: pd.DataFrame, look: Look | None
) -> _Found:
    base = source_rows(folder, last_import(folder, newest))
    earlier = _earlier(folder)
    old = base.drop_duplicates("sample_id")
    taken = earlier.sample_ids | set(ours["sample_id"])
    matches = _match(old, samples, earlier, taken, look)
    if set(matches.kinds) == {"new"}:
        raise WorkspaceError(
            f"{folder} holds another data set: not one of its {len(old)} pictures is in this source. "
            f"Choose another name with --name."
        )
    known_ids = earlier.annotation_ids | set(ours["annotation_id"])
    restored = {name: earlier.dropped[name] for name in set(matches.sample_ids) & set(earlier.dropped)}
    restored = {name: at for name, at in restored.items() if name not in set(old["sample_id"])}
    base, ours_then = _as_they_were(folder, base, ours, restored)
    theirs = build_rows(*with_ids(samples, annotations, matches.sample_ids, base, known_ids))
    theirs = _measured_once(base, theirs)
    if not diff(base, theirs):
        return _Found(ours, [], [], matches.sample_ids, ())
    rows, conflicts = three_way(base, ours_then, theirs)
    gone = [line["sample_id"] for line in conflicts if line["field"] == "sample" and line["to"] is None]
    rows = replace_samples(rows, dict.fromkeys(gone))
    conflicts = [line for line in conflicts if line["sample_id"] not in gone]
    conflicts += _other_pictures(base, ours_then, theirs, matches)
    notes = _notes(len(gone), conflicts)
    return _Found(rows, in_order([*diff(ours, rows), *conflicts]), diff(rows, theirs), matches.sample_ids, tuple(notes))


def _unchanged(folder: Path, newest: str, samples: pd.DataFrame, digest: str) -> list[str] | None:
    """The id of each sample of a source that is exactly what the last import read; None where it is not."""
    version = last_import(folder, newest)
    header = read_header(folder, version)
    if (header.get("source_hash") or header["hash"]) != digest:
        return None
    then = read(folder, version).drop_duplicates("sample_id")
    at = pd.Index(then["path"]).get_indexer(samples["path"])
    if (at < 0).any():  # a picture that people had dropped
        return None
    found: list[str] = then["sample_id"].to_numpy(object)[at].tolist()
    return found


def source_rows(folder: Path, version: str) -> pd.DataFrame:
    """What the source said when an import was made: the version's rows without what reviewers had changed."""
    return apply(read(folder, version), read_lines(folder / f"{version}.source.jsonl"))


# --- identity ----------------------------------------------------------------------------------------------------


def _earlier(folder: Path) -> _Earlier:
    """Samples and ids that some version added or dropped; every id that was ever given is here or in the newest."""
    dropped: dict[str, tuple[dict[str, Any], str]] = {}
    sample_ids: set[str] = set()
    annotation_ids: set[str] = set()
    for version, header in headers(folder).items():
        if not {"add", "drop"} & set(header["changes"]):
            continue
        for line in row_changes(folder, version):
            if line["change"] not in ("add", "drop"):
                continue
            sample_ids.add(line["sample_id"])
            whole = line["to"] or line["from"]
            annotation_ids.update(a["annotation_id"] for a in whole.get("annotations", []))
            annotation_ids.update([line["annotation_id"]] if line["annotation_id"] else [])
            if line["change"] == "drop" and not line["annotation_id"]:
                dropped[line["sample_id"]] = (line, version)
    return _Earlier(dropped, sample_ids, annotation_ids)


def _match(old: pd.DataFrame, samples: pd.DataFrame, earlier: _Earlier, taken: set[str], look: Look | None) -> Matches:
    """As match_samples; what is new may also be a picture that was dropped by some version, by its pixels or bytes."""
    found = match_samples(old, samples, look, taken)
    present = set(found.sample_ids)
    away = {
        key: name
        for name, (line, _) in earlier.dropped.items()
        if name not in present
        for key in (line["from"].get("pixel_hash"), line["from"].get("content_hash"))
        if key
    }
    ids, kinds = list(found.sample_ids), list(found.kinds)
    new = [row for row, kind in enumerate(kinds) if kind == "new"] if away else []
    for row in new:
        keys = samples["pixel_hash"].iloc[row], samples["content_hash"].iloc[row]
        name = next((away[key] for key in keys if key in away), None)
        if name is not None and name not in present:
            ids[row], kinds[row] = name, "renamed"
            present.add(name)
    return Matches(ids, kinds, found.doubtful)


def _as_they_were(
    folder: Path, base: pd.DataFrame, ours: pd.DataFrame, restored: Mapping[str, tuple[dict[str, Any], str]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Base and ours with the samples that have come back, as they were when they went: their review still counts."""
    then: dict[str, Sample | None] = {}
    said: dict[str, Sample | None] = {}
    for version in sorted({version for _, version in restored.values()}):
        parent = read_header(folder, version)["parent"]
        names = [name for name, (_, at) in restored.items() if at == version]
        then |= samples_of(source_rows(folder, last_import(folder, parent)), names)
        for name in names:
            line = restored[name][0]
            said[name] = apply_line(None, {**line, "change": "add", "from": None, "to": line["from"]})
    both = then.keys() & said.keys()
    return (replace_samples(base, {n: then[n] for n in both}), replace_samples(ours, {n: said[n] for n in both}))


def _measured_once(base: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """The same bytes keep the measurements that they have: another decoder is no change of the source."""
    columns = [name for name in MEASURED if name != "reason"]
    known = base[base["content_hash"] != ""].drop_duplicates("sample_id").set_index("sample_id")
    at = known.index.get_indexer(theirs["sample_id"])
    same = (at >= 0) & (known["content_hash"].to_numpy(object)[at] == theirs["content_hash"].to_numpy(object))
    rows = np.flatnonzero(same)
    theirs = theirs.copy()
    for name in columns:
        values = theirs[name].to_numpy(object)
        values[rows] = known[name].to_numpy(object)[at[rows]]
        theirs[name] = pd.Series(values, dtype=theirs[name].dtype)
    alike = same & (known["status"].to_numpy(object)[at] == theirs["status"].to_numpy(object))
    reasons = theirs["reason"].to_numpy(object)
    reasons[alike] = known["reason"].to_numpy(object)[at[alike]]
    return theirs.assign(reason=pd.Series(reasons, dtype="str"))


# --- what people have to know ------------------------------------------------------------------------------------


def _other_pictures(
    base: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame, matches: Matches
) -> list[dict[str, Any]]:
    """Conflict lines for samples that were reviewed, and whose file now holds another picture, for all we know."""
    names = [matches.sample_ids[row] for row in sorted(matches.doubtful)]
    was, mine, now = (samples_of(rows, names) for rows in (base, ours, theirs))
    found = []
    for name in names:
        if name not in mine or name not in was or _review_of(mine[name]) == _review_of(was[name]):
            continue
        before, after = was[name].columns["content_hash"], now[name].columns["content_hash"]
        found.append(
            {"change": "conflict", "sample_id": name, "annotation_id": "", "path": now[name].columns["path"],
             "field": "picture", "base": before, "from": before, "to": after}
        )  # fmt: skip
    return found


def _review_of(sample: Sample) -> tuple[Any, bool]:
    return sample.annotations, sample.columns["status"] == EXCLUDED


def _notes(gone: int, conflicts: list[dict[str, Any]]) -> list[str]:
    notes = []
    if gone:
        notes.append(
            f"{counted(gone, 'picture that is gone', 'pictures that are gone')} had been reviewed; what comes back "
            f"gets its review back."
        )
    pictures = sum(line["field"] == "picture" for line in conflicts)
    others = len(conflicts) - pictures
    if others:
        notes.append(
            f"{counted(others, 'change')} of the source contradicted what reviewers had changed; the reviewed values "
            f"stay, to be looked at again (curate status)."
        )
    if pictures:
        notes.append(
            f"{counted(pictures, 'file')} that had been reviewed may hold another picture now, to be looked at again "
            f"(curate status)."
        )
    return notes


def _ensured(
    version: str,
    rows: pd.DataFrame,
    sample_ids: list[str],
    samples: pd.DataFrame,
    notes: tuple[str, ...] = (),
    changed: bool = False,
) -> Ensured:
    first = rows.drop_duplicates("sample_id").set_index("sample_id")
    at = first.index.get_indexer(sample_ids)
    excluded = (at >= 0) & (first["status"].to_numpy(object)[at] == EXCLUDED)
    kept = np.flatnonzero((at >= 0) & ~excluded)
    ids = pd.Series(sample_ids, dtype="str").take(kept).reset_index(drop=True)
    said = first.take(at[kept])
    table = samples.take(kept).reset_index(drop=True).assign(sample_id=ids)
    table = table.assign(**{name: said[name].to_numpy(object) for name in ("split", "group")})
    inside = pd.Index(ids).get_indexer(rows["sample_id"]) >= 0  # isin is slow where the list is long
    mine = rows[(rows["annotation_id"] != "") & inside]
    out, missing = int(excluded.sum()), int((at < 0).sum())
    if out:
        notes += (f"{counted(out, 'picture is', 'pictures are')} left out, as reviewers excluded them.",)
    if missing:
        left = counted(missing, "picture is", "pictures are")
        notes += (f"{left} left out, as {version} does not have them any more.",)
    return Ensured(
        version,
        changed,
        kept,
        table.astype({name: dtype for name, dtype in SAMPLE_COLUMNS.items() if name in table}),
        mine[list(ANNOTATION_COLUMNS)].reset_index(drop=True),
        notes,
    )
