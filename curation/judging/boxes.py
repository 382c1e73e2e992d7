"""Boxes: each one is a small picture with a label, judged as a picture is; all boxes of a picture share its fold."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from curation.crops import Crops, cut_crops
from curation.detectors.contract import Inputs
from curation.judging.crop_twins import crop_twins
from curation.judging.single_label import NEIGHBOURS, why_untrainable
from curation.judging.work import Judged, Work
from curation.pixels import Pixels
from curation.progress import Counting
from curation.records import empty_samples
from curation.scoring.box_quality import BoxQuality, judge_boxes
from curation.scoring.health import accuracy
from curation.scoring.neighbours import nearest
from curation.scoring.statistics import statistics_from_probs
from curation.training.appearance import describe
from curation.training.folds import CrossValidation, assign_folds, combine_groups
from curation.wording import counted

# What is measured inside of a box, and the shorter side in pixels from which on it means something. How sharp a box is
# says nothing: small ones always look blurred, and what lies out of focus may still be labelled right.
MEASURED = ("brightness_p05", "brightness_p99", "entropy_bits")
MEASURED_SIDE_PX = 16.0


def judge(work: Work, pixels: Pixels, pictures: Inputs, readable: np.ndarray, annotations: pd.DataFrame) -> Judged:
    """Inputs of the pictures, with how many boxes they have, and of the boxes, with out-of-fold probabilities,
    embeddings and neighbours in other pictures, where a model can be trained on their crops.

    boxes.parquet and the arrays box_*.npy of the run, aligned with it, are written here. A box of which nothing lies in
    its picture, or without a size, has no crop: it is a row like the others, and is not judged.
    """
    place = pd.Series(np.arange(len(pictures.samples)), index=pictures.samples["sample_id"])
    boxes = annotations[annotations["x"].notna() & annotations["sample_id"].isin(place.index)]
    picture = place[boxes["sample_id"]].to_numpy(dtype=np.int64)
    order = np.argsort(picture, kind="stable")
    boxes, picture = boxes.iloc[order].reset_index(drop=True), picture[order]
    inputs = box_inputs(pictures, boxes, picture)
    predictions = work.predictions
    if work.detector_epochs and len(boxes):
        with work.clock.stage("detector"):
            predictions = _detect(work, pixels, pictures, inputs, picture)
    if predictions is not None:
        with work.clock.stage("predictions"):
            inputs = replace(inputs, box_quality=_compare(pictures, inputs, picture, predictions))
    pictures = replace(pictures, box_counts=_counts(inputs, picture, len(pictures.samples)))
    groups = combine_groups(_clusters(pictures), pictures.samples["group"].to_numpy(object))[picture]
    notes, facts = _notes(annotations, boxes), {"task": "detection", "boxes": len(boxes)}
    fold = np.full(len(boxes), -1, dtype=np.int64)
    reason = why_untrainable(inputs.labels, groups, "boxes")
    if reason:
        notes.append(f"No model was trained: {reason}.")
    else:
        with work.clock.stage("crops"):
            cache = work.workspace / ".curate" / "cache"
            crops = cut_crops(pixels, readable[picture], _numbers(boxes), work.plan.size_px, cache, work.progress)
        inputs = _measured(inputs, crops)
        reason = why_untrainable(np.where(crops.there, inputs.labels, -1), groups, "boxes that lie in their picture")
        if reason:
            notes.append(f"No model was trained: {reason}.")
        else:
            inputs = _train(work, inputs, crops, groups, _clusters(pictures)[picture])
            inputs, note = _with_twins(work, inputs, crops, picture, pixels.root)
            notes += [note] if note else []
            assert inputs.fold is not None
            fold = inputs.fold
            notes += _fold_notes(inputs, groups, crops.there, work.folds)
    with work.clock.stage("write"):
        work.partial.write_table("boxes", boxes.drop(columns="attributes", errors="ignore").assign(fold=fold))
    return Judged(_with_folds(pictures, picture, fold), inputs, notes, facts)


def box_inputs(pictures: Inputs, boxes: pd.DataFrame, picture: np.ndarray) -> Inputs:
    """Inputs with one row per box, without a model.

    boxes : ANNOTATION_COLUMNS, all with a box; picture : (B,) row number in `pictures` of each
    """
    theirs = pictures.samples.iloc[picture]
    samples = theirs[["sample_id", "path", "split", "group"]].reset_index(drop=True)
    # Not under their own names: a detector of odd pictures must not take each box for a picture of that size.
    samples["picture_width_px"] = theirs["width_px"].to_numpy()
    samples["picture_height_px"] = theirs["height_px"].to_numpy()
    return Inputs(
        samples=samples,
        annotation_id=boxes["annotation_id"].to_numpy(object),
        labels=pd.Categorical(boxes["label"], categories=list(pictures.class_names)).codes.astype(np.int64),
        class_names=pictures.class_names,
        unreadable=empty_samples(0),
        boxes=_numbers(boxes),
    )


def _detect(work: Work, pixels: Pixels, pictures: Inputs, inputs: Inputs, picture: np.ndarray) -> pd.DataFrame:
    """What a detector finds in pictures that it did not learn from: columns of curation.importers.predictions."""
    from curation.training.detector import DetectorTask, predict_out_of_fold

    assert inputs.boxes is not None
    samples = pictures.samples
    groups = combine_groups(_clusters(pictures), samples["group"].to_numpy(object))
    # Folds of pictures, by their most frequent class: those of the boxes need more than one class.
    counts = _counts(inputs, picture, len(samples))
    kind = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    fold = assign_folds(kind, groups, max(min(work.folds, len(np.unique(groups))), 2), work.seed)
    found = predict_out_of_fold(
        DetectorTask(
            pixels.root, samples["path"].tolist(), samples[["width_px", "height_px"]].to_numpy(), fold, picture,
            inputs.boxes, inputs.labels, len(inputs.class_names), work.plan, work.detector_epochs, work.seed,
            work.partial.checkpoints, work.progress,
        )
    )  # fmt: skip
    names = np.asarray(inputs.class_names, dtype=object)
    return found.assign(
        path=pd.Series(samples["path"].to_numpy()[found["row"]], dtype="str"),
        label=pd.Series(names[found["class_id"]], dtype="str"),
    )


def _compare(pictures: Inputs, inputs: Inputs, picture: np.ndarray, predictions: pd.DataFrame) -> BoxQuality:
    """What a detector's predictions for the readable pictures say of the boxes."""
    assert inputs.boxes is not None
    row_of = pd.Series(np.arange(len(pictures.samples)), index=pictures.samples["path"])
    mine = predictions[predictions["path"].isin(row_of.index)]
    rows = row_of[mine["path"]].to_numpy(dtype=np.int64)
    codes = pd.Categorical(mine["label"], categories=list(inputs.class_names)).codes.astype(np.int64)
    ids = pictures.samples["sample_id"].to_numpy()[rows]
    table = mine.assign(row=rows, class_id=codes, sample_id=pd.Series(ids, dtype="str", index=mine.index))
    return judge_boxes(picture, inputs.boxes, inputs.labels, table.reset_index(drop=True))


def _numbers(boxes: pd.DataFrame) -> np.ndarray:
    return boxes[["x", "y", "w", "h"]].to_numpy(dtype=np.float64)


def _clusters(pictures: Inputs) -> np.ndarray:
    assert pictures.cluster is not None
    return pictures.cluster


def _counts(inputs: Inputs, picture: np.ndarray, n_pictures: int) -> np.ndarray:
    """(N, K) int64: boxes of each class in each picture."""
    counts = np.zeros((n_pictures, len(inputs.class_names)), dtype=np.int64)
    np.add.at(counts, (picture, inputs.labels), 1)
    return counts


def _measured(inputs: Inputs, crops: Crops) -> Inputs:
    """With what was measured inside of the boxes that are large enough for it, NaN elsewhere."""
    assert inputs.boxes is not None
    large = inputs.boxes[:, 2:].min(axis=1, initial=np.inf) >= MEASURED_SIDE_PX
    return replace(
        inputs,
        samples=inputs.samples.assign(**{name: np.where(large, crops.column(name), np.nan) for name in MEASURED}),
    )


def _train(work: Work, inputs: Inputs, crops: Crops, groups: np.ndarray, cluster: np.ndarray) -> Inputs:
    """Out-of-fold probabilities, embeddings, margins and neighbours of the boxes; their arrays are written.

    cluster : (B,) duplicate cluster of each box's picture, so that neighbours come from elsewhere
    """
    from curation.training.crossval import out_of_fold  # torch, not needed when the run is there already

    plan, clock, partial, progress = work.plan, work.clock, work.partial, Counting(work.progress, "boxes")
    learnt = np.where(crops.there, inputs.labels, -1)
    fold = assign_folds(learnt, groups, min(work.folds, len(np.unique(groups[learnt >= 0]))), work.seed)
    with clock.stage("train"):
        images = crops.gather()
        found = out_of_fold(
            CrossValidation(
                images, learnt, fold, len(inputs.class_names), plan, work.seed, partial.checkpoints, progress
            )
        )
    with clock.stage("neighbours"):
        neighbours, distances = nearest(found.embeddings, NEIGHBOURS, cluster, progress)
    appearance = describe(images) if plan.mode == "compact" else None
    statistics = statistics_from_probs(found.pred_probs, inputs.labels, found.margin, found.judged & crops.there)
    with clock.stage("write"):
        os.replace(partial.checkpoints / "pred_probs.npy", partial.folder / "box_pred_probs.npy")
        arrays = {"training_margin": found.margin, "embeddings": found.embeddings, "neighbours": neighbours,
                  "neighbour_distances": distances}  # fmt: skip
        for name, array in arrays.items():
            partial.write_array(f"box_{name}", array)
    inputs = replace(
        inputs, fold=fold, statistics=statistics, embeddings=found.embeddings, pred_probs=found.pred_probs,
        appearance=appearance, cluster=cluster, neighbours=neighbours, neighbour_distances=distances,
        blind_neighbours=plan.mode == "probe",
    )  # fmt: skip
    return replace(inputs, extra={"accuracy": accuracy(inputs, groups, None)})


def _with_folds(pictures: Inputs, picture: np.ndarray, fold: np.ndarray) -> Inputs:
    """With the fold of each picture that has boxes, -1 for the others."""
    folds = np.full(len(pictures.samples), -1, dtype=np.int64)
    folds[picture] = fold
    return replace(pictures, fold=folds)


def _with_twins(work: Work, inputs: Inputs, crops: Crops, picture: np.ndarray, root: Path) -> tuple[Inputs, str]:
    """With the pairs of boxes that look the same; and a sentence if none were looked for."""
    assert inputs.boxes is not None
    assert inputs.neighbours is not None
    near = np.where(inputs.neighbours >= 0, inputs.labels[inputs.neighbours], inputs.labels[:, None])
    doubtful = (near != inputs.labels[:, None]).any(axis=1)
    with work.clock.stage("duplicate boxes"):
        cache = work.workspace / ".curate" / "cache"
        pairs, note = crop_twins(crops, inputs.boxes, picture, doubtful, root, cache, work.progress)
    return replace(inputs, crop_pairs=pairs), note


def _notes(annotations: pd.DataFrame, boxes: pd.DataFrame) -> list[str]:
    whole = int(annotations["x"].isna().sum())
    found = []
    if whole:
        found.append(
            f"{counted(whole, 'label is', 'labels are')} of a whole picture, without a box, and not judged here; "
            "--task multi-label judges which classes are in a picture."
        )
    if not len(boxes):
        found.append("There is no box in any picture that can be read.")
    return found


def _fold_notes(inputs: Inputs, groups: np.ndarray, there: np.ndarray, asked: int) -> list[str]:
    """What the folds say about how far the judgement goes."""
    assert inputs.statistics is not None
    assert inputs.fold is not None
    n_folds, found = len(np.unique(inputs.fold)), []
    if n_folds < asked:
        found.append(f"{n_folds} folds, not {asked}: there are no more pictures with boxes that are independent.")
    pairs = pd.DataFrame({"label": inputs.labels, "group": groups})[there].drop_duplicates()
    size = np.bincount(pairs["label"], minlength=len(inputs.class_names))
    small = [inputs.class_names[int(k)] for k in np.flatnonzero((size > 0) & (size < n_folds))]
    if small:
        named = ", ".join(repr(name) for name in small[:5]) + " ..." * (len(small) > 5)
        found.append(
            f"{counted(len(small), 'class is', 'classes are')} in fewer pictures than there are folds ({n_folds}), so "
            f"their labels are judged on thin evidence: {named}."
        )
    without = int((~there).sum())
    if without:
        found.append(
            f"{counted(without, 'box', 'boxes')} could not be judged: nothing of such a box lies in its picture."
        )
    unjudged = int((there & ~inputs.statistics.judged).sum())
    if unjudged:
        found.append(
            f"{counted(unjudged, 'box', 'boxes')} could not be judged: all boxes of such a class are in one picture or "
            "group, so that no model that had learned the class saw them."
        )
    return found
