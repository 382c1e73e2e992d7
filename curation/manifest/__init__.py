"""Manifest versions: immutable lists of samples and labels, read and written as a whole.

    rows (each sample joined with its annotations) + who, why, what changed  ->  data_manifest/<dataset>/v0002.*

The files are in curation.manifest.version_files, their bytes are described in docs/formats.md.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

import curation
from curation.errors import WorkspaceError
from curation.files import open_for_arrow
from curation.manifest.version_files import (
    FORMAT,
    MAIN,
    head,
    headers,
    json_lines_writer,
    lock,
    number,
    read_header,
    remove_unfinished,
    versions,
    write_files,
)
from curation.manifest.wholeness import check_whole
from curation.records import ANNOTATION_COLUMNS, SAMPLE_COLUMNS

COLUMNS: dict[str, str] = {"sample_id": "str", "annotation_id": "str", "path": "str", "split": "str", "group": "str"}
COLUMNS |= {name: dtype for name, dtype in ANNOTATION_COLUMNS.items() if name not in COLUMNS}
COLUMNS |= {name: dtype for name, dtype in SAMPLE_COLUMNS.items() if name not in COLUMNS}

EXCLUDED = "excluded"  # the status of a sample that a reviewer took out; `reason` says why
# What a decoder measures may differ with its version; everything else decides whether two manifests are the same.
MEASURED = ("pixel_hash", "width_px", "height_px", "format", "reason")
# Versions of before it was invented have no such column, and are what they were.
LATER = ("sample_attributes",)
HASHED = tuple(name for name in COLUMNS if name not in (*MEASURED, *LATER))

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
        with open_for_arrow(file) as stream, pq.ParquetFile(stream) as source:
            missing = set(LATER) - set(source.schema_arrow.names)
            rows = source.read(columns=[name for name in COLUMNS if name not in missing]).to_pandas()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise WorkspaceError(f"{file} is damaged ({str(error)[:200]}); restore it from a backup or git.") from error
    rows = rows.assign(**dict.fromkeys(missing, ""))[list(COLUMNS)] if missing else rows
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
    return sorted_rows(pd.concat([left, right], axis=1)[list(COLUMNS)].astype(COLUMNS))


def canonical_hash(rows: pd.DataFrame) -> str:
    """`sha256:` and 64 hex digits: the same for the same rows in any order, on any machine; see docs/formats.md.

    The columns HASHED count, those that a decoder measured (MEASURED) do not, and those of LATER where they say
    anything. Why a reviewer excluded a sample counts.
    """
    rows = sorted_rows(rows)
    hashed = [*HASHED, *(name for name in LATER if (rows[name] != "").any())]
    digest = hashlib.sha256(b'{"format":"curate-manifest-1","columns":')
    digest.update(json.dumps(hashed, separators=(",", ":")).encode() + b',"rows":[')
    for start in range(0, len(rows), _BATCH):
        block = rows.iloc[start : start + _BATCH]
        out = block["status"] == EXCLUDED
        if out.any():
            block = block.assign(status=block["status"].mask(out, EXCLUDED + ": " + block["reason"]))
        columns = [_plain(block[name]) for name in hashed]
        text = json.dumps(list(zip(*columns, strict=True)), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        digest.update((b"," if start else b"") + text[1:-1].encode())
    digest.update(b"]}")
    return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class NewVersion:
    """What a version is made of, apart from its rows.

    parent : the version that it was made from, the head of `branch` (or where the branch starts); None for the first
    kind : "import", "publish", "revert" or "merge"
    changes : lines for the change list, see docs/formats.md
    merged : the second parent of a merge
    source : what the header says about where an import came from (JSON values)
    source_changes : lines that lead from the rows to what the source says, where a review said otherwise
    source_hash : canonical hash of what an import read, with ids as if it were the first
    decisions : which decisions of which store are in it
    created : time as ISO 8601; "" = now, UTC
    """

    parent: str | None
    kind: str
    author: str
    message: str
    changes: Sequence[Mapping[str, Any]] = ()
    branch: str = MAIN
    merged: str | None = None
    source: Mapping[str, Any] | None = None
    source_changes: Sequence[Mapping[str, Any]] = ()
    source_hash: str = ""
    decisions: Mapping[str, Any] | None = None
    dataset: str = ""
    created: str = ""


def write_version(rows: pd.DataFrame, new: NewVersion, folder: Path) -> str:
    """Write the next version of a data set and return its name; all or nothing.

    rows : columns COLUMNS, in any order
    folder : of the data set, see `manifest_folder`

    Raises
    ------
    WorkspaceError : the branch has a newer version than `new.parent` (says who published what), a parent is not what it
        was published as, the folder cannot be written, or the disk is full; nothing has changed.
    """
    rows = sorted_rows(rows)
    facts = {"hash": canonical_hash(rows), **count_rows(rows)}
    with lock(folder) as locked:
        if head(folder, new.branch) != new.parent:
            raise overtaken(folder, new.parent, new.branch)
        for parent in filter(None, (new.parent, new.merged)):
            check_whole(folder, parent)
        if locked:
            remove_unfinished(folder)
        known = versions(folder)
        version = f"v{number(known[-1]) + 1 if known else 1:04d}"
        header = {
            "format": FORMAT,
            "version": version,
            "dataset": new.dataset or folder.name,
            "branch": new.branch,
            "kind": new.kind,
            "parent": new.parent,
            "parent_hash": read_header(folder, new.parent)["hash"] if new.parent else None,
            "merged": new.merged,
            "created": new.created or datetime.now(UTC).isoformat(timespec="seconds"),
            "author": new.author,
            "message": new.message,
            **facts,
            "changes": dict(sorted(Counter(str(change["change"]) for change in new.changes).items())),
            "decisions": dict(new.decisions) if new.decisions else None,
            "source": dict(new.source or {}),
            "source_hash": new.source_hash or None,
            "curate": curation.__version__,
        }
        parts: dict[str, Callable[[BinaryIO], object]] = {
            ".parquet": lambda stream: _write_parquet(rows, stream),
            ".changes.jsonl": json_lines_writer(new.changes),
        }
        if new.source_changes:
            parts[".source.jsonl"] = json_lines_writer(new.source_changes)
        try:
            write_files(folder, version, parts, header)
        except FileExistsError as error:  # only where the lock holds nobody back
            raise WorkspaceError(
                f"{folder} has another {version}, which somebody writes at this moment, or was killed while writing. "
                f"Run the same command again; if nobody else publishes, remove {folder / version}.* first."
            ) from error
    return version


def overtaken(folder: Path, parent: str | None, branch: str) -> WorkspaceError:
    """Somebody else made a version of the branch since `parent`: says who, and what changed."""
    since = [
        header
        for version, header in headers(folder).items()
        if header["branch"] == branch and (parent is None or number(version) > number(parent))
    ]
    words = "; ".join(
        f"{header['version']} by {header.get('author', '')} ({count_words(header['changes'])})" for header in since[-3:]
    )
    return WorkspaceError(
        f"Somebody else published first, since {parent or 'you began'}: {words or 'the branch has moved'}. Nothing of "
        f"yours was written or lost; publish again to put it on top of that."
    )


# What a kind of change is called after a count, in the order in which counts are said. `hard` and `not hard` are no
# kinds of their own, but what people call an `attributes` line that says no more than that.
CHANGE_WORDS = {
    "import": "first import",
    "add": "added",
    "drop": "removed",
    "label added": "labels added",
    "box added": "boxes added",
    "label removed": "labels removed",
    "box removed": "boxes removed",
    "rename": "renamed",
    "edit": "edited",
    "relabel": "relabelled",
    "box": "with another box",
    "exclude": "excluded",
    "include": "taken in again",
    "ambiguous": "with several labels",
    "hard": "marked as hard",
    "not hard": "no longer marked as hard",
    "attributes": "with other attributes",
    "split": "in another split",
    "group": "in another group",
    "confirm": "kept",
    "conflict": "in conflict",
}


def count_words(counts: Mapping[str, int]) -> str:
    """`12 relabelled, 1 excluded`; `nothing` for none."""
    known = [name for name in CHANGE_WORDS if counts.get(name)] + sorted(set(counts) - set(CHANGE_WORDS))
    one = ("label added", "box added", "label removed", "box removed")
    words = {name: name if counts[name] == 1 and name in one else CHANGE_WORDS.get(name, name) for name in known}
    return ", ".join(f"{counts[name]:,} {words[name]}" for name in known) or "nothing"


def write_first(
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    folder: Path,
    *,
    author: str,
    message: str,
    source: Mapping[str, Any] | None = None,
    dataset: str = "",
    created: str = "",
) -> str:
    """Write version v0001 of a data set and return its name; all or nothing.

    samples, annotations : the two tables of curation.records, measured columns filled

    Raises
    ------
    WorkspaceError : there is a version already, the folder cannot be written, or the disk is full; nothing has changed.
    """
    first = {"change": "import", "samples": len(samples), "annotations": len(annotations)}
    new = NewVersion(None, "import", author, message, [first], source=source, dataset=dataset, created=created)
    return write_version(build_rows(samples, annotations), new, folder)


def count_rows(rows: pd.DataFrame) -> dict[str, Any]:
    """The counts of a header: rows, samples, annotations, unlabelled, unreadable, excluded; classes and splits.

    What was excluded counts in `rows`, `samples` and `annotations`, but in no class and no split.
    """
    first = ~rows["sample_id"].duplicated()
    labelled, kept = rows["annotation_id"] != "", rows["status"] != EXCLUDED
    return {
        "rows": len(rows),
        "samples": int(first.sum()),
        "annotations": int(labelled.sum()),
        "unlabelled": int((first & ~labelled).sum()),
        "unreadable": int((first & (rows["status"] == "unreadable")).sum()),
        EXCLUDED: int((first & ~kept).sum()),
        "classes": _counts(rows.loc[labelled & kept, "label"]),
        "splits": _counts(rows.loc[first & kept, "split"]),
    }


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


def sorted_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by sample_id and annotation_id, by code point (which is the order of their UTF-8 bytes)."""
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
