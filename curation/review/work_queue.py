"""The queue of a workspace, brought up to date: what a run found, judged against the newest version of the data set."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import Engine

from curation import manifest, review, store
from curation.errors import NotFoundError
from curation.manifest.version_files import head
from curation.progress import SILENT, Progress
from curation.review.deciding import Subject
from curation.runs import Run


def refill(engine: Engine, run: Run, folder: Path, progress: Progress = SILENT) -> store.Filled:
    """Fill the store's queue from a run, as the app does when it opens; the same run and version change nothing.

    folder : of the data set's versions; without one, the data is taken as the run saw it
    """
    dataset = str(run.info["dataset"])
    version = head(folder) or ""
    rows = manifest.read(folder, version) if version else None
    items = review.build_items(run, rows, store.decisions(engine, dataset))
    return store.fill(engine, dataset, run.run_id, version, items, progress)


def open_subject(engine: Engine, dataset: str, folder: Path) -> Subject:
    """What can be decided on: the newest version, and the labels that it or a reviewer has.

    Raises
    ------
    NotFoundError : there is no version yet.
    """
    version = head(folder)
    if not version:
        raise NotFoundError(f"There is no version of {dataset} in {folder}. Make the first with: curate score SOURCE")
    rows = manifest.read(folder, version)
    rows = rows[rows["status"] != manifest.EXCLUDED].reset_index(drop=True)
    given = {label for text in store.decisions(engine, dataset)["labels"].unique() for label in json.loads(text)}
    return Subject(dataset, version, rows, frozenset(set(rows["label"]) - {""} | given))
