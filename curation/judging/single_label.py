"""One label per picture: a network for each fold, neighbours, and what the folds could not tell."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs
from curation.judging.work import Work
from curation.pixels import Pixels
from curation.scoring.health import accuracy
from curation.scoring.neighbours import nearest
from curation.scoring.statistics import statistics_from_probs
from curation.training.appearance import describe
from curation.training.folds import CrossValidation, assign_folds, combine_groups, ungroup_folds
from curation.wording import counted

NEIGHBOURS = 10
# Fewer labelled pictures than this teach a network nothing.
MIN_LABELLED = 10


def judge(work: Work, pixels: Pixels, inputs: Inputs, readable: np.ndarray) -> tuple[Inputs, list[str]]:
    """Inputs with out-of-fold probabilities, embeddings, training margins and neighbours, where a model can be trained;
    and notes. The arrays are written to the run's folder.

    inputs, readable : as curation.judging.pictures.picture_inputs gives them

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    assert inputs.cluster is not None
    plan, clock, partial, progress = work.plan, work.clock, work.partial, work.progress
    groups = combine_groups(inputs.cluster, inputs.samples["group"].to_numpy(object))
    n_classes, n_folds = len(inputs.class_names), min(work.folds, len(np.unique(groups[inputs.labels >= 0])))
    reason = why_untrainable(inputs.labels, groups)
    if reason:
        return inputs, [f"No model was trained: {reason}."]
    fold = assign_folds(inputs.labels, groups, n_folds, work.seed)
    from curation.training.crossval import out_of_fold  # torch, not needed when the run is there already

    with clock.stage("train"):
        images = pixels.gather(readable)
        judged = out_of_fold(
            CrossValidation(
                images, inputs.labels, fold, n_classes, plan, work.seed, partial.checkpoints, progress,
                ungroup_folds(fold, inputs.labels, groups, work.seed),
            )
        )  # fmt: skip
    with clock.stage("neighbours"):
        neighbours, distances = nearest(judged.embeddings, NEIGHBOURS, inputs.cluster, progress)
    # Embeddings that were trained on these labels are blind to some of what does not belong here at all.
    appearance = describe(images) if plan.mode == "compact" else None
    statistics = statistics_from_probs(judged.pred_probs, inputs.labels, judged.margin, judged.judged)
    with clock.stage("write"):
        os.replace(partial.checkpoints / "pred_probs.npy", partial.folder / "pred_probs.npy")
        arrays = {"training_margin": judged.margin, "embeddings": judged.embeddings, "fold": fold,
                  "neighbours": neighbours, "neighbour_distances": distances}  # fmt: skip
        for name, array in arrays.items():
            partial.write_array(name, array)
    inputs = replace(
        inputs, fold=fold, statistics=statistics, embeddings=judged.embeddings, pred_probs=judged.pred_probs,
        appearance=appearance,
        neighbours=neighbours, neighbour_distances=distances, blind_neighbours=plan.mode == "probe",
    )  # fmt: skip
    inputs = replace(inputs, extra={"accuracy": accuracy(inputs, groups, judged.ungrouped_choice)})
    return inputs, fold_notes(inputs, n_folds, work.folds)


def why_untrainable(labels: np.ndarray, groups: np.ndarray, many: str = "pictures") -> str:
    """Why no model could judge a single label (N,) of pictures (or of what `many` says) in `groups` (N,), "" where one
    can."""
    known = np.flatnonzero(labels >= 0)
    pairs = pd.DataFrame({"label": labels[known], "group": groups[known]}).drop_duplicates()
    if not len(known):
        return "there are no labels"
    if pairs["label"].nunique() == 1:
        return "there is one class only"
    if len(known) < MIN_LABELLED:
        return f"there are too few labelled {many} ({len(known)}; {MIN_LABELLED} are the least)"
    if pairs["group"].nunique() == 1:
        return f"all labelled {many} are copies of each other, or in one group"
    if not pairs["label"].duplicated().any():
        return f"no class has two {many} that are independent of each other"
    return ""


def fold_notes(inputs: Inputs, n_folds: int, asked: int) -> list[str]:
    """What the folds say about how far the judgement goes."""
    notes = [f"{n_folds} folds, not {asked}: there are no more independent pictures."] if n_folds < asked else []
    size = np.bincount(inputs.labels[inputs.labels >= 0], minlength=len(inputs.class_names))
    small = [inputs.class_names[int(k)] for k in np.flatnonzero(size < n_folds)]
    if small:
        named = ", ".join(repr(name) for name in small[:5]) + " ..." * (len(small) > 5)
        notes.append(
            f"{len(small):,} of {counted(len(size), 'class has', 'classes have')} fewer pictures than there are folds "
            f"({n_folds}), so their labels are judged on thin evidence: {named}."
        )
    assert inputs.statistics is not None
    measured = inputs.extra["accuracy"]
    if measured["in_groups"] and measured["optimism"] is None:
        grouped = counted(
            measured["in_groups"], "labelled picture has copies or shares", "labelled pictures have copies or share"
        )
        notes.append(f"{grouped} a group: no picture was judged by a model that saw one of its copies or its group.")
    unjudged = int(((inputs.labels >= 0) & ~inputs.statistics.judged).sum())
    if unjudged:
        notes.append(
            f"{counted(unjudged, 'label')} could not be judged: all pictures of such a class are in one group, so that "
            f"no model that had learned the class saw them."
        )
    return notes
