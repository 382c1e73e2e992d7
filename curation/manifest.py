"""Manifest versions: immutable lists of samples and labels, one Parquet file, one change list and one header each.

    data_manifest/<dataset>/v0001.parquet         all rows: each sample joined with its annotations
    data_manifest/<dataset>/v0001.changes.jsonl   what changed since the parent, one line each
    data_manifest/<dataset>/v0001.json            the header, written last: a version without it does not exist

The bytes are described in docs/formats.md.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

import curation
from curation.errors import NotFoundError, WorkspaceError
from curation.files import failpoint, sync_folder, workspace_errors, write_atomic, write_json
from curation.identity import Matches, match_samples, with_ids
from curation.records import ANNOTATION_COLUMNS, SAMPLE_COLUMNS

COLUMNS: dict[str, str] = {"sample_id": "str", "annotation_id": "str", "path": "str", "split": "str", "group": "str"}
COLUMNS |= {name: dtype for name, dtype in ANNOTATION_COLUMNS.items() if name not in COLUMNS}
COLUMNS |= {name: dtype for name, dtype in SAMPLE_COLUMNS.items() if name not in COLUMNS}

# What a decoder measures may differ with its version; everything else decides whether two manifests are the same.
MEASURED = ("pixel_hash", "width_px", "height_px", "format", "reason")
HASHED = tuple(name for name in COLUMNS if name not in MEASURED)

_VERSION = re.compile(r"v(\d{4,9})\.json")
_BATCH = 50_000  # rows encoded at a time
_NAME_BYTES = 100
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def manifest_folder(workspace: Path, dataset: str) -> Path:
    """Where the versions of a data set are: `data_manifest/<safe name>` in the workspace."""
    return workspace / "data_manifest" / dataset_folder_name(dataset)


def dataset_folder_name(name: str) -> str:
    """A folder name for a data set's name, safe on every file system: letters, digits, `.`, `_` and `-`.

    A name that had to be changed gets six hex digits of its hash, so that different names never share a folder.
    """
    text = unicodedata.normalize("NFC", name)
    safe = "".join(char if char.isalnum() or char in "._-" else "-" for char in text).strip(".-")
    if safe.split(".")[0].lower() in _RESERVED:
        safe = f"set-{safe}"
    if safe and safe == name and len(safe.encode()) <= _NAME_BYTES:
        return safe
    mark = "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    while len((safe + mark).encode()) > _NAME_BYTES:
        safe = safe[:-1]
    return (safe or "dataset") + mark


def versions(folder: Path) -> list[str]:
    """Names of the complete versions in a data set's folder, oldest first; none for a folder that is not there."""
    try:
        found = [match for match in map(_VERSION.fullmatch, os.listdir(folder)) if match]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be read: {error.strerror or error}.") from error
    return [f"v{match[1]}" for match in sorted(found, key=lambda match: int(match[1]))]


def read_header(folder: Path, version: str) -> dict[str, Any]:
    """The header of a version.

    Raises
    ------
    NotFoundError : there is no such version; lists those that exist.
    WorkspaceError : the header is damaged.
    """
    known = versions(folder)
    if version not in known:
        raise NotFoundError(f"There is no version {version!r} in {folder}; there are: {', '.join(known) or 'none'}.")
    try:
        header = json.loads((folder / f"{version}.json").read_text("utf-8"))
        if not isinstance(header, dict) or not {"rows", "hash", "parent"} <= set(header):
            raise ValueError("fields are missing")
    except (OSError, ValueError, RecursionError) as error:
        raise WorkspaceError(
            f"{folder / version}.json is damaged ({error}); restore it from a backup or git."
        ) from error
    return header


def read(folder: Path, version: str) -> pd.DataFrame:
    """All rows of a version: columns COLUMNS, sorted by sample_id and annotation_id; "" and NaN where there is nothing.

    Raises
    ------
    NotFoundError : there is no such version.
    WorkspaceError : its files are damaged, or do not belong together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = read_header(folder, version)
    file = folder / f"{version}.parquet"
    try:
        with pq.ParquetFile(file) as source:
            rows = source.read(columns=list(COLUMNS)).to_pandas()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise WorkspaceError(f"{file} is damaged ({str(error)[:200]}); restore it from a backup or git.") from error
    if len(rows) != header["rows"] or list(rows.columns) != list(COLUMNS):
        raise WorkspaceError(f"{file} does not belong to its header: {len(rows)} rows, not {header['rows']}.")
    return rows.astype(COLUMNS)


def build_rows(samples: pd.DataFrame, annotations: pd.DataFrame) -> pd.DataFrame:
    """Manifest rows: every sample with each of its annotations (one row without a label if it has none), sorted."""
    owner = pd.Index(samples["sample_id"]).get_indexer(annotations["sample_id"])
    assert (owner >= 0).all(), "an annotation of a sample that does not exist"
    bare = np.flatnonzero(np.bincount(owner, minlength=len(samples)) == 0)
    left = samples.take(np.concatenate([owner, bare])).reset_index(drop=True)
    right = annotations.drop(columns="sample_id").reset_index(drop=True).reindex(range(len(left)))
    for name in ("annotation_id", "label", "attributes"):
        right[name] = right[name].fillna("")
    return _sorted(pd.concat([left, right], axis=1)[list(COLUMNS)].astype(COLUMNS))


def canonical_hash(rows: pd.DataFrame) -> str:
    """`sha256:` and 64 hex digits: the same for the same rows in any order, on any machine; see docs/formats.md.

    The columns HASHED count, those that a decoder measured (MEASURED) do not.
    """
    rows = _sorted(rows)
    digest = hashlib.sha256(b'{"format":"curate-manifest-1","columns":')
    digest.update(json.dumps(HASHED, separators=(",", ":")).encode() + b',"rows":[')
    for start in range(0, len(rows), _BATCH):
        block = rows.iloc[start : start + _BATCH]
        columns = [_plain(block[name]) for name in HASHED]
        text = json.dumps(list(zip(*columns, strict=True)), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        digest.update((b"," if start else b"") + text[1:-1].encode())
    digest.update(b"]}")
    return f"sha256:{digest.hexdigest()}"


def write_first(
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    folder: Path,
    *,
    author: str,
    message: str,
    source: Mapping[str, Any] | None = None,
    created: str = "",
) -> str:
    """Write version v0001 of a data set and return its name; all or nothing.

    Parameters
    ----------
    samples, annotations : the two tables of curation.records, measured columns filled
    folder : of the data set, see `manifest_folder`
    source : what the header should say about where it came from (JSON values)
    created : time as ISO 8601; "" = now, UTC

    Raises
    ------
    WorkspaceError : there is a version already, the folder cannot be written, or the disk is full; nothing has changed.
    """
    return _write_version(build_rows(samples, annotations), folder, author, message, source, created)


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
    _remove_late_leftovers(folder)
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


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """One publisher at a time; the operating system lets go of the lock when its holder dies.

    Yields False on a file system without locks: there, the exclusive header still lets only one of two publishers win.
    """
    with workspace_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            locked = True
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _write_version(
    rows: pd.DataFrame, folder: Path, author: str, message: str, source: Mapping[str, Any] | None, created: str
) -> str:
    """The first version; under the lock, what a killed publisher left behind is ours to replace."""
    version = "v0001"
    header = {
        "format": "curate-manifest-1",
        "version": version,
        "parent": None,
        "created": created or datetime.now(UTC).isoformat(timespec="seconds"),
        "author": author,
        "message": message,
        "hash": canonical_hash(rows),
        **count_rows(rows),
        "source": dict(source or {}),
        "curate": curation.__version__,
    }
    change = {"change": "import", "samples": header["samples"], "annotations": header["annotations"]}
    with _lock(folder) as locked:
        if versions(folder):
            raise WorkspaceError(
                f"{folder} has a first version already, written meanwhile; run the same command again."
            )
        if locked:
            _remove_leftovers(folder)
        write_atomic(folder / f"{version}.parquet", lambda stream: _write_parquet(rows, stream), "manifest.rows")
        write_json_lines(folder / f"{version}.changes.jsonl", [change], "manifest.changes")
        _write_header(folder / f"{version}.json", header)
    return version


def _write_header(path: Path, header: dict[str, Any]) -> None:
    """Write a header under its final name only if nobody has: from here on, the version exists."""
    prepared = path.with_name(f".{path.name}.new.tmp")
    write_json(prepared, header, "manifest.header")
    with workspace_errors(path):
        failpoint("manifest.before_link")
        try:
            os.link(prepared, path)
        except FileExistsError as error:
            prepared.unlink()
            raise WorkspaceError(
                f"{path} was written by somebody else meanwhile; run the same command again."
            ) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            os.rename(prepared, path)  # a file system without hard links
        failpoint("manifest.after_link")
        sync_folder(path.parent)
        prepared.unlink(missing_ok=True)


def count_rows(rows: pd.DataFrame) -> dict[str, Any]:
    """The counts of a header: rows, samples, annotations, unlabelled, unreadable, and samples by class and split."""
    first = ~rows["sample_id"].duplicated()
    labelled = rows["annotation_id"] != ""
    return {
        "rows": len(rows),
        "samples": int(first.sum()),
        "annotations": int(labelled.sum()),
        "unlabelled": int((first & ~labelled).sum()),
        "unreadable": int((first & (rows["status"] == "unreadable")).sum()),
        "classes": _counts(rows.loc[labelled, "label"]),
        "splits": _counts(rows.loc[first, "split"]),
    }


def write_json_lines(path: Path, values: list[dict[str, Any]], name: str) -> None:
    """One JSON object per line, UTF-8, atomically."""
    text = "".join(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" for value in values)
    write_atomic(path, lambda stream: stream.write(text.encode("utf-8", "backslashreplace")), name)


def _write_parquet(rows: pd.DataFrame, stream: BinaryIO) -> None:
    """Plain columns without pandas' metadata, so that the bytes depend on the rows and pyarrow's version alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"str": pa.string(), "int32": pa.int32(), "float64": pa.float64()}
    schema = pa.schema([pa.field(name, types[dtype], nullable=dtype == "float64") for name, dtype in COLUMNS.items()])
    table = pa.table(
        [pa.array(rows[name], type=types[dtype], from_pandas=True) for name, dtype in COLUMNS.items()], schema
    )
    pq.write_table(table, stream, compression="zstd", row_group_size=_BATCH * 4, store_schema=False)


def _remove_leftovers(folder: Path) -> None:
    """Temporary files of publishers that were killed; we hold the lock, so nobody else is writing."""
    for file in folder.glob(".*.tmp"):
        file.unlink(missing_ok=True)


def _remove_late_leftovers(folder: Path) -> None:
    """What a publisher left that was killed when its version existed already; nothing where we may not write."""
    if any(folder.glob(".*.tmp")):
        with suppress(OSError, WorkspaceError), _lock(folder) as locked:
            if locked:
                _remove_leftovers(folder)


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by sample_id and annotation_id, in the order of their code points (which is that of their UTF-8 bytes)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pa.table({name: pa.array(rows[name], type=pa.string()) for name in ("sample_id", "annotation_id")})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]).to_numpy()
    if (order[1:] > order[:-1]).all():
        return rows
    return rows.take(order).reset_index(drop=True)


def _plain(column: pd.Series) -> list[Any]:
    """Values as JSON has them: text, whole numbers without a point, null for NaN."""
    if column.dtype.kind != "f":
        return column.to_numpy(object).tolist()
    if column.isna().all():
        return [None] * len(column)
    return [None if v != v else int(v) if v.is_integer() and abs(v) < 2**53 else v for v in column.tolist()]


def _counts(column: pd.Series) -> dict[str, int]:
    counts = column.value_counts()
    return dict(sorted(zip(counts.index.tolist(), counts.tolist(), strict=True)))
