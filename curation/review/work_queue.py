"""The queue of a workspace, brought up to date: what a run found, judged against the newest version of the data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from curation import manifest, review, store
from curation.edits import labels_of
from curation.errors import NotFoundError
from curation.manifest.history import task_of
from curation.manifest.version_files import head
from curation.progress import SILENT, Progress
from curation.review.audit import mix_in
from curation.review.conflict_items import with_conflicts
from curation.review.deciding import Subject
from curation.review.taken_back import with_taken_back
from curation.runs import Run


@dataclass(frozen=True)
class WorkQueue:
    """What the queue was filled with.

    version, rows : the newest version of the data set and its rows; "" and None where there is none yet
    items : columns of curation.review.ITEM_COLUMNS, in the queue's static order
    changed : present label by sample_id where it is not the run's
    annotations : of every picture as that version has them, for `review.cards`
    decided : the store's `decisions` at that time
    """

    version: str
    rows: pd.DataFrame | None
    items: pd.DataFrame
    changed: dict[str, str]
    decided: pd.DataFrame
    annotations: review.Annotations


def refill(engine: Engine, run: Run, folder: Path, progress: Progress = SILENT) -> WorkQueue:
    """Fill the store's queue from a run; the same run and version change nothing.

    folder : of the data set's versions; without one, the data is taken as the run saw it
    """
    dataset = str(run.info["dataset"])
    version = head(folder) or ""
    rows = manifest.read(folder, version) if version else None
    decided = store.decisions(engine, dataset)
    opinions = store.verdicts(engine, dataset)
    waiting = opinions.loc[opinions["state"] != "done", "item_id"]  # for a second opinion, or for an agreement
    items = review.build_items(run, rows, decided[~decided["item_id"].isin(waiting)])
    if rows is not None:
        items = with_taken_back(items, folder, version)
        items = with_conflicts(items, folder, version, rows, review.open_index(run).samples["sample_id"])
    store.fill(engine, dataset, run.run_id, version, items, progress)
    mix_in(engine, dataset)
    changed = {} if rows is None else review.changed_labels(run, rows)
    known = review.Annotations.of_nothing() if rows is None else review.Annotations(rows)
    return WorkQueue(version, rows, items, changed, decided, known)


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
    given = labels_given(store.decisions(engine, dataset))
    return Subject(dataset, version, rows, frozenset(set(rows["label"]) - {""} | given), task_of(folder, version))


def labels_given(decided: pd.DataFrame) -> set[str]:
    """All labels that decisions name: the store's `decisions` or `effective`."""
    given = {label for text in decided["labels"].unique() for label in json.loads(text)}
    edits = decided["edits"].unique() if "edits" in decided else []
    return given | {label for text in edits if text for label in labels_of(json.loads(text))}
