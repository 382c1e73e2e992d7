"""An export of curate, of whatever format: samples, labels, splits and groups as in the version it came from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from curation.decoding.sources import split_member
from curation.errors import SourceError
from curation.export_table import NAME, ExportTable, read_table
from curation.importers.assemble import class_notes, rejected_as_text, shown
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.progress import Progress
from curation.records import ANNOTATION_COLUMNS, SAMPLE_COLUMNS, Records, empty_samples, path_to_text

_ELSEWHERE = f"{NAME} does not list it; read the folder as it is with --format folder"


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read what `curate export` wrote, by its curate-export.json; sample and annotation ids are those of then.

    Raises
    ------
    SourceError : no such file, damaged or changed by hand, or an export of links, which lead out of the folder.
    """
    root = real_folder(source)
    table = read_table(root)
    facts = table.facts
    if facts["images"] == "symlink":
        raise SourceError(
            f"{shown(str(root), limit=300)} was exported with --symlink: its pictures are links to another folder, and "
            f"are not followed. Score that folder, or export with --link or --copy."
        )
    samples, annotations = _tables(table, root)
    with progress.stage("Making tables", len(samples), "rows") as advance:
        listed = set(samples["path"].tolist())
        listing = list_source(root, workspace, progress)
        own = {NAME, "README.md", *map(str, facts["files"])}
        extra = [(path, _ELSEWHERE) for path in listing.images if path_to_text(path) not in listed]
        others = [(path, why) for path, why in listing.rejected if path_to_text(path) not in own]
        advance(len(samples))
    notes = [
        f"It is an export of {shown(facts['dataset'])} {shown(facts['version'])} ({shown(facts['exporter'])}); "
        f"samples keep the ids that they have there.",
        *class_notes(annotations["label"]),
    ]
    if facts["exporter"] in ("hdf5", "npz"):
        notes.append("Pictures are as the export has them, decoded and perhaps resized.")
    rejected = pd.DataFrame(rejected_as_text([*extra, *others]), columns=["path", "reason"], dtype="str")
    if len(extra):
        notes.append(f"{len(extra):,} pictures in it are not part of the export, and are left out.")
    known = {name: facts[name] for name in ("dataset", "version", "manifest_hash")}
    return Records(
        samples,
        annotations,
        root,
        "exported",
        task=facts.get("task", "single-label"),
        notes=tuple(notes),
        rejected=rejected,
        settings={"exported_from": known},
        classes=tuple(facts.get("class_details", ())),
        about=facts.get("about", {}),
    )


def _tables(table: ExportTable, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples, sorted by path, and annotations of an export.

    Raises
    ------
    SourceError : what it says contradicts itself.
    """
    rows = table.rows
    first = rows.drop_duplicates("sample_id").sort_values("path", kind="stable").reset_index(drop=True)
    named = rows[rows["annotation_id"] != ""]
    wrong = ""
    if (rows["sample_id"] == "").any() or (rows["path"] == "").any():
        wrong = "a sample without id or path"
    elif first["path"].duplicated().any():
        wrong = "two samples at one path"
    elif named["annotation_id"].duplicated().any():
        wrong = "two annotations of one id"
    elif len(rows.drop_duplicates(["sample_id", "path", "split", "group"])) > len(first):
        wrong = "a sample that is in two places"
    elif (named["label"] == "").any():
        wrong = "an annotation without a label"
    elif any(_leads_out(path) for path in first["path"].tolist()):
        wrong = "a path that leads out of the folder"
    if wrong:
        raise SourceError(f"{shown(str(root / NAME), limit=300)} is damaged: it has {wrong}. Export again.")
    samples = empty_samples(len(first))
    for name in ("sample_id", "path", "split", "group", "sample_attributes"):
        samples[name] = first[name]
    samples["status"] = pd.Series(np.full(len(first), "ok", dtype=object), dtype="str")
    place = pd.Index(first["sample_id"]).get_indexer(named["sample_id"])
    annotations = named.iloc[np.argsort(place, kind="stable")][list(ANNOTATION_COLUMNS)].reset_index(drop=True)
    return samples[list(SAMPLE_COLUMNS)], annotations


def _leads_out(path: str) -> bool:
    file = (split_member(path) or (path,))[0]
    return os.path.isabs(file) or ".." in file.split("/") or "\0" in file
