"""Whether every version is what it says it is: files against hashes, rows against changes, names against versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from curation.decoding.stored import load_stored
from curation.errors import CurationError, UnreadableError
from curation.manifest import canonical_hash, count_rows, read
from curation.manifest.changes import apply, diff
from curation.manifest.history import changes_of, row_changes
from curation.manifest.version_files import (
    number,
    pointers,
    read_header,
    read_lines,
    unfinished,
    versions,
)
from curation.manifest.wholeness import damage
from curation.progress import SILENT, Progress


def verify(folder: Path, progress: Progress = SILENT) -> list[str]:
    """What is wrong with the versions of a data set, a sentence each; nothing if all is well. Nothing is changed.

    For each version: its header can be read, its files have the hashes that the header says, its rows have the
    canonical hash and the counts, its parents are there and have the hash that it remembers, and its change list is
    exactly what leads from the parent to it. Every tag and branch names a version that has not changed since.
    """
    names = versions(folder)
    problems: list[str] = []
    previous: tuple[str, pd.DataFrame] | None = None
    with progress.stage("Verifying versions", len(names), "versions") as advance:
        for name in names:
            try:
                previous = (name, _version(folder, name, previous, problems))
            except CurationError as error:
                problems.append(str(error))
                previous = None
            advance(1)
    problems += [f"{folder.name}: {text}" for text in _gaps(names)]
    problems += [text for text in _pointers(folder) if text not in problems]
    problems += [
        f"{folder / name} belongs to no version: it was left by a killed publisher." for name in unfinished(folder)
    ]
    return problems


def _version(folder: Path, name: str, previous: tuple[str, pd.DataFrame] | None, problems: list[str]) -> pd.DataFrame:
    """The rows of a version; what is wrong with it is added to `problems`."""
    header = read_header(folder, name)
    problems += damage(folder, name)
    rows = read(folder, name)
    if canonical_hash(rows) != header["hash"]:
        problems.append(f"The rows of {folder / name}.parquet do not have the hash that the header says.")
    counts = count_rows(rows)
    wrong = [key for key, value in counts.items() if key in header and header[key] != value]
    if wrong:
        problems.append(f"{folder / name}.json counts wrongly: {', '.join(wrong)}.")
    lines = changes_of(folder, name)
    kinds = Counter(str(line["change"]) for line in lines)
    if header["changes"] and dict(kinds) != header["changes"]:
        problems.append(f"{folder / name}.changes.jsonl has not the lines that the header counts.")
    apply(rows, read_lines(folder / f"{name}.source.jsonl"))
    if header["parent"] is not None:
        problems += _parent(folder, name, header["parent"], header.get("parent_hash"), rows, previous)
    if header["merged"] is not None and header["merged"] not in versions(folder):
        problems.append(f"{name} of {folder.name} was merged from {header['merged']}, which is missing.")
    return rows


def _parent(
    folder: Path,
    name: str,
    parent: str,
    parent_hash: str | None,
    rows: pd.DataFrame,
    previous: tuple[str, pd.DataFrame] | None,
) -> list[str]:
    if parent not in versions(folder) or number(parent) >= number(name):
        return [f"{name} of {folder.name} was made from {parent}, which is missing."]
    problems = []
    if parent_hash not in (None, read_header(folder, parent)["hash"]):
        problems.append(f"{name} of {folder.name} was made from another {parent} than the one that is there.")
    before = previous[1] if previous is not None and previous[0] == parent else read(folder, parent)
    expected = diff(before, rows)
    keys = expected[0].keys() if expected else ()
    if [{key: line.get(key) for key in keys} for line in row_changes(folder, name)] != expected:
        problems.append(f"{folder / name}.changes.jsonl does not say what differs between {parent} and {name}.")
    return problems


def _gaps(names: list[str]) -> Iterator[str]:
    present = {number(name) for name in names}
    missing = [f"v{at:04d}" for at in range(1, max(present, default=0) + 1) if at not in present]
    if missing:
        yield f"{len(missing)} versions are missing: {', '.join(missing[:5])}."


def _pointers(folder: Path) -> list[str]:
    problems = []
    for kind in ("tags", "branches"):
        try:
            found = pointers(folder, kind)
        except CurationError as error:
            problems.append(str(error))
            continue
        for name, value in found.items():
            version, path = value.get("version"), folder / kind / f"{name}.json"
            try:
                if version not in versions(folder):
                    problems.append(f"{path} names {version!r}, which is not there.")
                elif value.get("hash") != read_header(folder, str(version))["hash"]:
                    problems.append(f"{path} names another {version} than the one that is there.")
            except CurationError as error:
                problems.append(str(error))
    return problems


def verify_pictures(root: Path, rows: pd.DataFrame, progress: Progress = SILENT) -> list[str]:
    """Which pictures of a version are not in the source with the bytes that the version has; a sentence each.

    root : folder that `path` is relative to
    rows : of a version
    """
    samples = rows.drop_duplicates("sample_id")
    samples = samples[(samples["content_hash"] != "") & (samples["status"] != "excluded")]
    samples = samples.sort_values("path", kind="stable")  # members of one file one after the other
    problems = []
    with progress.stage("Verifying pictures", len(samples)) as advance:
        for path, expected in zip(samples["path"].tolist(), samples["content_hash"].tolist(), strict=True):
            advance(1)
            try:
                found = load_stored(root, path).content.hex()
            except UnreadableError as error:
                problems.append(f"{path}: {error}.")
                continue
            if found != expected:
                problems.append(f"{path} has other bytes than in the version.")
    return problems
