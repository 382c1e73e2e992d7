"""Whether an export is what it says it is, and what the version says that it came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from curation.decoding.sources import is_bundle, split_member
from curation.decoding.stored import load_stored
from curation.errors import CurationError, UnreadableError
from curation.export_table import COLUMNS, ExportTable, read_table
from curation.exporters.content import make_content
from curation.exporters.place import strangers
from curation.importers.assemble import shown
from curation.manifest import read
from curation.manifest.history import source_of
from curation.manifest.version_files import file_hash, read_header, versions
from curation.progress import SILENT, Progress

_COMPARED = ("path", "split", "group", "label", "x", "y", "w", "h", "attributes", "sample_attributes", "content_hash")


def verify_export(place: Path, progress: Progress = SILENT) -> list[str]:
    """What is wrong with the files of an export, a sentence each: missing, changed, or not part of it.

    Raises
    ------
    SourceError : it is no export, or its curate-export.json is damaged.
    """
    table = read_table(place)
    samples = table.rows.drop_duplicates("sample_id").sort_values("path", kind="stable")
    expected = dict(zip(samples["path"].tolist(), _hashes(samples), strict=True))
    problems: list[str] = []
    wrong: set[str] = set()
    with progress.stage("Verifying files", len(expected) + len(table.facts["files"]), "files") as advance:
        for name, known in table.facts["files"].items():
            found = _check(place, str(name), lambda path: file_hash(Path(path)), str(known))
            wrong.update([str(name)] if found else [])
            problems += found
            advance(1)
        for name, known in expected.items():
            member = split_member(name)
            if member is None:
                problems += _check(place, name, _picture_hash, known)
            elif member[0] not in wrong:  # one sentence per damaged file, not one per picture in it
                problems += _check_member(place, name, known)
            advance(1)
    problems += [f"{shown(name, limit=200)} is not part of the export." for name in strangers(place)]
    return problems


def compare_with_version(place: Path, folder: Path) -> tuple[list[str], str]:
    """What an export says otherwise than its version, a sentence each; and why they were not compared, else "".

    folder : of the data set's versions

    Raises
    ------
    SourceError : it is no export.
    """
    table = read_table(place)
    version = table.facts["version"]
    if version not in versions(folder):
        return [], f"{shown(version)} of {shown(table.facts['dataset'])} is not in this workspace"
    if read_header(folder, version)["hash"] != table.facts["manifest_hash"]:
        return [f"The {version} that is here is another one than the one that was exported."], ""
    settings = table.facts["settings"]
    source = source_of(folder, version)
    content = make_content(read(folder, version), Path(), tuple(settings.get("splits") or ()), source)
    problems = []
    if content.classes != table.facts["classes"]:
        problems.append("The class list is not that of the version.")
    return problems + _differences(table, content.rows, settings.get("resplit") is not None), ""


def _differences(table: ExportTable, rows: pd.DataFrame, resplit: bool) -> list[str]:
    keys = ["sample_id", "annotation_id"]
    said = table.rows[[name for name in COLUMNS if name != "path"]].rename(columns={"source_path": "path"})
    both = said.merge(rows, on=keys, how="outer", suffixes=("", "_then"), indicator=True)
    problems = []
    for side, what in (("left_only", "is in the export and not in the version"), ("right_only", "is missing in it")):
        names = both.loc[both["_merge"] == side, "sample_id"].tolist()
        problems += [f"Sample {shown(name)} {what}." for name in names[:20]]
    both = both[both["_merge"] == "both"]
    for name in _COMPARED:
        if name == "split" and resplit:
            continue
        left, right = both[name], both[f"{name}_then"]
        differ = (left != right) & ~(left.isna() & right.isna())
        some = both.loc[differ, "sample_id"].tolist()
        problems += [f"Sample {shown(sample)} has another {name} than in the version." for sample in some[:20]]
    return problems


def _hashes(samples: pd.DataFrame) -> list[str]:
    both = zip(samples["file_hash"].tolist(), samples["content_hash"].tolist(), strict=True)
    return [own or content for own, content in both]


def _picture_hash(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _check_member(place: Path, name: str, expected: str) -> list[str]:
    """A sentence if a picture in a table or archive is missing or another one; of arrays, which hold decoded pixels,
    if it is missing."""
    file = (split_member(name) or ("",))[0]
    try:
        found = load_stored(place, name)
    except UnreadableError as error:
        return [f"{shown(name, limit=200)} cannot be read: {error}."]
    if is_bundle(file) and found.content.hex() != expected:
        return [f"{shown(name, limit=200)} is another picture than the one that was exported."]
    return []


def _check(place: Path, name: str, digest: Callable[[str], str], expected: str) -> list[str]:
    """A sentence if a file is missing or has other bytes."""
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        return [f"{shown(name, limit=200)} leads out of the export."]
    path = os.path.join(place, name)
    try:
        if not os.path.isfile(path):
            return [f"{shown(name, limit=200)} is missing."]
        found = digest(path)
    except (OSError, CurationError) as error:
        return [f"{shown(name, limit=200)} cannot be read: {error}."]
    return [] if found == expected else [f"{shown(name, limit=200)} has other bytes than when it was exported."]
