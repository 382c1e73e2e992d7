"""Where a data set stands: its newest version, what waits to be published, and whether its source has changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from curation.datasets import Dataset
from curation.errors import CurationError, NotFoundError
from curation.importers import ImportOptions, load
from curation.manifest.changes import BOX
from curation.manifest.history import branches, last_import, open_conflicts
from curation.manifest.publish import Proposal, propose
from curation.manifest.reimport import source_rows
from curation.manifest.version_files import MAIN, pointers, read_header
from curation.pixels import content_hashes
from curation.progress import SILENT, Progress
from curation.runs import Run, list_runs


@dataclass(frozen=True)
class SourceState:
    """changed : None where it cannot be said, `words` says why; else whether and how."""

    place: str
    changed: bool | None
    words: str


@dataclass(frozen=True)
class Status:
    """head : header of the newest version of `branch`; proposal : None where there is no review store."""

    dataset: str
    branch: str
    head: dict[str, Any]
    branches: dict[str, str]
    tags: dict[str, str]
    proposal: Proposal | None
    open_conflicts: list[dict[str, Any]]
    source: SourceState


def status(
    workspace: Path, dataset: Dataset, engine: Engine | None, branch: str = MAIN, progress: Progress = SILENT
) -> Status:
    """Where a data set stands. Nothing is changed.

    Raises
    ------
    NotFoundError : no version, or no such branch.
    WorkspaceError : a version or the store is damaged.
    """
    known = branches(dataset.folder)
    if branch not in known:
        raise NotFoundError(
            f"There is no branch {branch!r} of {dataset.name}; there are: {', '.join(known) or 'none'}."
        )
    newest = known[branch]
    return Status(
        dataset.name,
        branch,
        read_header(dataset.folder, newest),
        known,
        {name: str(tag["version"]) for name, tag in pointers(dataset.folder, "tags").items()},
        propose(dataset.folder, engine, dataset.name, branch) if engine is not None else None,
        open_conflicts(dataset.folder, newest),
        source_state(workspace, dataset, newest, progress),
    )


def source_state(workspace: Path, dataset: Dataset, version: str, progress: Progress = SILENT) -> SourceState:
    """Whether the source is still what the last import read; files are read only where their times have changed."""
    run = _latest_run(workspace, dataset.name)
    if run is None:
        return SourceState("", None, "no run in this workspace says where it is")
    place = str(run.info.get("source", ""))
    if place.startswith("torchvision:"):
        return SourceState(place, False, "a data set of torchvision does not change")
    known = run.info.get("import") or {}
    options = {name: known[name] for name in ImportOptions.__dataclass_fields__ if name in known}
    try:
        records = load(place, format=run.info.get("source_format"), options=options, workspace=workspace)
    except CurationError as error:
        return SourceState(place, None, f"it cannot be read: {error}")
    before = source_rows(dataset.folder, last_import(dataset.folder, version))
    paths = records.samples["path"].tolist()
    now = dict(zip(paths, content_hashes(records.root, paths, workspace / ".curate" / "cache", progress), strict=True))
    then = dict(zip(before["path"].tolist(), before["content_hash"].tolist(), strict=True))
    both = [path for path in paths if path in then]
    said = dict(zip(records.samples["sample_id"].tolist(), paths, strict=True))
    labels = _annotations(records.annotations["sample_id"].map(said), records.annotations)
    labelled = before[before["annotation_id"] != ""]
    earlier = _annotations(labelled["path"], labelled)
    what = "other labels" if records.task == "single-label" else "other labels or boxes"
    counts = {
        "new or renamed files": len(paths) - len(both),
        "gone or renamed": len(then) - len(both),
        "other bytes": sum(now[path] not in ("", then[path]) for path in both),
        what: sum(sorted(labels.get(path, [])) != sorted(earlier.get(path, [])) for path in both),
    }
    words = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return SourceState(place, bool(words), words or "nothing has changed")


def _annotations(paths: pd.Series, table: pd.DataFrame) -> dict[str, list[tuple[str, ...]]]:
    """Label and box of each annotation, as text, by the path of its picture."""
    columns = [table["label"].tolist(), *(table[name].map(repr).tolist() for name in BOX if table[name].notna().any())]
    found: dict[str, list[tuple[str, ...]]] = {}
    for path, *said in zip(paths.tolist(), *columns, strict=True):
        found.setdefault(path, []).append(tuple(said))
    return found


def _latest_run(workspace: Path, dataset: str) -> Run | None:
    try:
        found = [run for run in list_runs(workspace) if run.info.get("dataset") == dataset]
    except CurationError:
        return None
    return found[-1] if found else None


def source_root(workspace: Path, dataset: Dataset) -> Path:
    """The folder that the paths of a data set are relative to, as its latest run found it.

    Raises
    ------
    NotFoundError : no run in the workspace says so.
    """
    run = _latest_run(workspace, dataset.name)
    if run is None:
        raise NotFoundError(f"No run in {workspace} says where the pictures of {dataset.name} are.")
    return Path(str(run.info["root"]))
