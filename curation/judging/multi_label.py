"""Several labels per picture: a yes or no per class from each fold's network, neighbours, and odd combinations."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curation.arrays import PixelArray
from curation.detectors.contract import Inputs
from curation.judging.single_label import MIN_LABELLED, NEIGHBOURS
from curation.judging.work import Judged, Work
from curation.pixels import Pixels
from curation.scoring.label_sets import LabelSets, label_sets
from curation.scoring.neighbours import nearest
from curation.scoring.set_health import set_accuracy
from curation.scoring.set_quality import judge_sets
from curation.training.appearance import describe
from curation.training.folds import CrossValidation, combine_groups
from curation.training.set_folds import assign_set_folds
from curation.wording import counted

if TYPE_CHECKING:
    from curation.training.crossval import OutOfFold


def judge(work: Work, pixels: Pixels, pictures: Inputs, readable: np.ndarray, annotations: pd.DataFrame) -> Judged:
    """Inputs with label sets and, where a model can be trained, out-of-fold probabilities (N, K) whose rows do not sum
    to 1, what is concluded from them, embeddings and neighbours. The arrays are written to the run's folder.

    pictures, readable : as curation.judging.pictures.picture_inputs gives them

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    assert pictures.cluster is not None
    sets = label_sets(annotations, pictures.samples, list(pictures.class_names))
    no_label = np.full(len(sets.given), -1, dtype=np.int64)
    no_id = np.full(len(sets.given), "", dtype=object)
    inputs = replace(pictures, labels=no_label, annotation_id=no_id, label_sets=sets)
    groups = combine_groups(pictures.cluster, pictures.samples["group"].to_numpy(object))
    notes = _notes(sets, annotations, pictures)
    facts: dict[str, Any] = {"task": "multi-label"}
    reason = why_untrainable(sets.given, groups)
    if reason:
        return Judged(inputs, inputs, [*notes, f"No model was trained: {reason}."], facts)
    known = sets.given[:, 0] >= 0
    n_folds = min(work.folds, len(np.unique(groups[known])))
    fold = assign_set_folds(sets.given, groups, n_folds, work.seed)
    inputs = _train(work, inputs, pixels.gather(readable), fold)
    return Judged(inputs, inputs, [*notes, *_fold_notes(inputs, n_folds, work.folds)], facts)


def why_untrainable(given: np.ndarray, groups: np.ndarray) -> str:
    """Why no model could judge any class of (N, K) `given` for pictures in `groups` (N,), "" where one can."""
    known = given[:, 0] >= 0 if given.shape[1] else np.zeros(len(given), dtype=bool)
    if not (given > 0).any():
        return "there are no labels"
    if known.sum() < MIN_LABELLED:
        return f"there are too few labelled pictures ({known.sum()}; {MIN_LABELLED} are the least)"
    if len(np.unique(groups[known])) == 1:
        return "all labelled pictures are copies of each other, or in one group"
    for k in range(given.shape[1]):
        if all(len(np.unique(groups[known & (given[:, k] == value)])) > 1 for value in (0, 1)):
            return ""
    return "no class is in two pictures, and absent from two, that are independent of each other"


def _train(work: Work, inputs: Inputs, images: PixelArray, fold: np.ndarray) -> Inputs:
    """`inputs` with what the networks say; the arrays are written."""
    assert inputs.label_sets is not None
    sets, given = inputs.label_sets, inputs.label_sets.given
    found, inputs = cross_validate(work, inputs, images, given, fold)
    with work.clock.stage("issues"):
        voters = inputs.neighbours if inputs.blind_neighbours else None
        quality = judge_sets(found.pred_probs, given, found.judged, voters, found.margin)
    accuracy = set_accuracy(sets, quality, found.pred_probs)
    samples = inputs.samples.assign(label_score=np.where(given[:, 0] >= 0, quality.picture_score, np.nan))
    return replace(
        inputs, samples=samples, set_quality=quality, extra={"accuracy": accuracy, "set_margin": found.margin}
    )


def cross_validate(
    work: Work, inputs: Inputs, images: PixelArray, given: np.ndarray, fold: np.ndarray
) -> tuple[OutOfFold, Inputs]:
    """What networks that did not see a picture say of each yes or no of `given` (N, K), and `inputs` with it and with
    embeddings and neighbours; the arrays are written."""
    from curation.training.crossval import out_of_fold  # torch, not needed when the run is there already

    plan, clock, partial, progress = work.plan, work.clock, work.partial, work.progress
    with clock.stage("train"):
        found = out_of_fold(
            CrossValidation(images, given, fold, given.shape[1], plan, work.seed, partial.checkpoints, progress)
        )
    with clock.stage("neighbours"):
        neighbours, distances = nearest(found.embeddings, NEIGHBOURS, inputs.cluster, progress)
    appearance = describe(images) if plan.mode == "compact" else None
    with clock.stage("write"):
        os.replace(partial.checkpoints / "pred_probs.npy", partial.folder / "pred_probs.npy")
        arrays = {"training_margin": found.margin, "embeddings": found.embeddings, "fold": fold,
                  "neighbours": neighbours, "neighbour_distances": distances}  # fmt: skip
        for name, array in arrays.items():
            partial.write_array(name, array)
    return found, replace(
        inputs, fold=fold, embeddings=found.embeddings, pred_probs=found.pred_probs, appearance=appearance,
        neighbours=neighbours, neighbour_distances=distances, blind_neighbours=plan.mode == "probe",
    )  # fmt: skip


def _notes(sets: LabelSets, annotations: pd.DataFrame, pictures: Inputs) -> list[str]:
    """What was made of pictures without a label, and of labels that are there twice."""
    notes = []
    empty = int((sets.given == 0).all(axis=1).sum()) if sets.given.shape[1] else 0
    if empty:
        notes.append(f"{counted(empty, 'picture has', 'pictures have')} no label: taken to show none of the classes.")
    unknown = sets.given[:, :1].ravel() < 0
    if unknown.any():
        splits = sorted(set(pictures.samples["split"].to_numpy()[unknown]))
        where = " of split " + ", ".join(repr(name) for name in splits[:3]) if any(splits) else ""
        notes.append(f"{counted(int(unknown.sum()), 'picture')}{where} not judged: no picture there has any label.")
    mine = annotations["sample_id"].isin(pictures.samples["sample_id"])
    doubled = int(mine.sum()) - len(sets.key)
    if doubled:
        notes.append(f"{counted(doubled, 'label')} that a picture has twice or more often counted once.")
    return notes


def _fold_notes(inputs: Inputs, n_folds: int, asked: int) -> list[str]:
    """What the folds say about how far the judgement goes."""
    assert inputs.label_sets is not None
    assert inputs.set_quality is not None
    given = inputs.label_sets.given
    notes = [f"{n_folds} folds, not {asked}: there are no more independent pictures."] if n_folds < asked else []
    present, absent = (given > 0).sum(axis=0), (given == 0).sum(axis=0)
    for few, what in ((present < n_folds, "are in"), ((absent < n_folds) & (present >= n_folds), "are missing from")):
        names = [repr(inputs.class_names[int(k)]) for k in np.flatnonzero(few)]
        if names:
            notes.append(
                f"{len(names):,} of {counted(len(given[0]), 'class', 'classes')} {what} fewer pictures than there are "
                f"folds ({n_folds}), so they are judged on thin evidence: "
                + ", ".join(names[:5]) + " ..." * (len(names) > 5) + "."
            )  # fmt: skip
    unjudged = int(((given > 0) & ~inputs.set_quality.judged).sum())
    if unjudged:
        notes.append(
            f"{counted(unjudged, 'label')} could not be judged: all pictures with such a class, or without it, are in "
            "one group, so that no model that had learned the class saw them."
        )
    return notes
