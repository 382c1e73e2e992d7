"""How many of each class: a yes or no for each "at least j" by each fold's network, and what follows of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs
from curation.judging.multi_label import cross_validate, why_untrainable
from curation.judging.work import Judged, Work
from curation.pixels import Pixels
from curation.scoring.count_health import count_accuracy
from curation.scoring.counts import Counts, count_labels, judge_counts
from curation.training.folds import combine_groups
from curation.training.set_folds import assign_set_folds
from curation.wording import counted


def judge(work: Work, pixels: Pixels, pictures: Inputs, readable: np.ndarray, annotations: pd.DataFrame) -> Judged:
    """Inputs with counts and, where a model can be trained, out-of-fold probabilities of each step of their ladder
    (see curation.scoring.counts), what is concluded from them, embeddings and neighbours. The arrays are written to the
    run's folder.

    pictures, readable : as curation.judging.pictures.picture_inputs gives them

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    assert pictures.cluster is not None
    counts = count_labels(annotations, pictures.samples, list(pictures.class_names))
    no_label, no_id = np.full(len(counts.given), -1, dtype=np.int64), np.full(len(counts.given), "", dtype=object)
    inputs = replace(pictures, labels=no_label, annotation_id=no_id, counts=counts)
    groups = combine_groups(pictures.cluster, pictures.samples["group"].to_numpy(object))
    ladder, notes = counts.ladder(), _notes(counts)
    facts: dict[str, Any] = {"task": "counts", "count_steps": counts.steps.tolist()}
    reason = why_untrainable(ladder, groups)
    if reason:
        return Judged(inputs, inputs, [*notes, f"No model was trained: {reason}."], facts)
    n_folds = min(work.folds, len(np.unique(groups[counts.known])))
    fold = assign_set_folds(ladder, groups, n_folds, work.seed)
    if n_folds < work.folds:
        notes.append(f"{n_folds} folds, not {work.folds}: there are no more independent pictures.")
    found, inputs = cross_validate(work, inputs, pixels.gather(readable), ladder, fold)
    with work.clock.stage("issues"):
        quality = judge_counts(found.pred_probs, counts, found.judged)
    samples = inputs.samples.assign(label_score=np.where(counts.known, quality.picture_score, np.nan))
    inputs = replace(
        inputs, samples=samples, count_quality=quality, extra={"accuracy": count_accuracy(counts, quality)}
    )
    return Judged(inputs, inputs, [*notes, *_judged_notes(inputs, counts)], facts)


def _notes(counts: Counts) -> list[str]:
    """What was made of pictures in which nothing was counted."""
    notes = []
    empty = int((counts.given == 0).all(axis=1).sum()) if counts.given.shape[1] else 0
    if empty:
        notes.append(f"{counted(empty, 'picture has', 'pictures have')} no label: taken to show none of the classes.")
    unknown = int((~counts.known).sum())
    if unknown:
        notes.append(f"{counted(unknown, 'picture')} not judged: no picture of its split has any label.")
    return notes


def _judged_notes(inputs: Inputs, counts: Counts) -> list[str]:
    """How far the judgement goes."""
    assert inputs.count_quality is not None
    notes = []
    over = np.flatnonzero((counts.given > counts.steps).any(axis=0)).tolist()
    if over:
        some = ", ".join(f"{inputs.class_names[k]!r} {counts.steps[k]}" for k in over[:5])
        notes.append(
            f"So many or more of a class are one answer to the model, so that it cannot tell larger counts apart: "
            f"{some}{' ...' if len(over) > 5 else ''}."
        )
    blind = np.flatnonzero(~inputs.count_quality.judged.any(axis=0)).tolist()
    if blind:
        some = ", ".join(repr(inputs.class_names[k]) for k in blind[:5]) + " ..." * (len(blind) > 5)
        notes.append(
            f"{counted(len(blind), 'class', 'classes')} could not be judged, being in all pictures alike or in too few "
            f"that are independent of each other: {some}."
        )
    return notes
