"""How well a detector finds boxes: average precision as COCO counts it, also for samples drawn with replacement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.scoring.overlap import iou

# Overlaps from which on a box is found, as in COCO; of each picture and class the surest predictions count.
OVERLAPS = np.linspace(0.5, 0.95, 10)
MOST_PREDICTIONS = 100
RECALLS = np.linspace(0.0, 1.0, 101)
BLOCK = 1 << 24


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector predicts of one class, surest first, and which of it is right.

    picture : (D,) int64; right : (len(OVERLAPS), D) bool
    there : (P,) int64, how many boxes of the class each picture has
    """

    picture: np.ndarray
    right: np.ndarray
    there: np.ndarray


def match(truth: pd.DataFrame, predictions: pd.DataFrame, n_pictures: int, class_id: int) -> Found:
    """Boxes of one class against predictions of it.

    In each picture, predictions choose in the order of their score among the boxes that no surer one has taken the one
    that they overlap most, if by enough. Boxes of crowds (COCO's iscrowd) are boxes like others here.

    truth : columns row (picture, 0..n_pictures-1), class_id, x, y, w, h; predictions : the same and score
    """
    mine = truth[truth["class_id"] == class_id]
    there = np.bincount(mine["row"], minlength=n_pictures)
    said = predictions[predictions["class_id"] == class_id].sort_values("score", ascending=False, kind="stable")
    said = said[(said.groupby("row").cumcount() < MOST_PREDICTIONS).to_numpy()]
    # Equal scores: in the order of pictures, as in COCO's own code.
    order = np.lexsort([np.arange(len(said)), said["row"].to_numpy(), -said["score"].to_numpy()])
    said = said.iloc[order]
    right = np.zeros((len(OVERLAPS), len(said)), dtype=bool)
    boxes = {row: part[["x", "y", "w", "h"]].to_numpy(np.float64) for row, part in mine.groupby("row")}
    place = np.arange(len(said))
    for row, members in pd.Series(place).groupby(said["row"].to_numpy()):
        if row in boxes:
            at = members.to_numpy()
            right[:, at] = _match_picture(said[["x", "y", "w", "h"]].to_numpy(np.float64)[at], boxes[row])
    return Found(said["row"].to_numpy(dtype=np.int64), right, there)


def _match_picture(said: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(len(OVERLAPS), D) bool: which predictions (D, 4), surest first, find one of `boxes` (G, 4)."""
    shared = iou(said, boxes)
    right = np.zeros((len(OVERLAPS), len(said)), dtype=bool)
    taken = np.zeros((len(OVERLAPS), len(boxes)), dtype=bool)
    every = np.arange(len(OVERLAPS))
    for d in np.flatnonzero(shared.max(axis=1) >= OVERLAPS[0]):
        free = np.where(taken, -1.0, shared[d])
        best = free.shape[1] - 1 - free[:, ::-1].argmax(axis=1)  # the last of equal ones, as in COCO's own code
        right[:, d] = free[every, best] >= OVERLAPS
        taken[every[right[:, d]], best[right[:, d]]] = True
    return right


def average_precision(found: Found, weights: np.ndarray) -> np.ndarray:
    """(len(OVERLAPS), B) average precision in [0, 1], interpolated at RECALLS; NaN where no box is drawn.

    weights : (B, P) how often each picture counts
    """
    total = (weights @ found.there).astype(np.float64)
    result = np.zeros((len(OVERLAPS), len(weights)))
    step = max(1, BLOCK // max(len(found.picture), 1))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        drawn = weights[part][:, found.picture].astype(np.float64)
        said = np.cumsum(drawn, axis=1)
        for level, right in enumerate(found.right):
            hits = np.cumsum(drawn * right, axis=1)
            precision = hits / np.maximum(said, 1e-9)
            precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recall = hits / np.maximum(total[part], 1e-9)[:, None]
            for b in range(len(recall)):
                at = np.searchsorted(recall[b], RECALLS, side="left")
                there = at < len(recall[b])
                result[level, start + b] = precision[b, at[there]].sum() / len(RECALLS)
    return np.where(total > 0, result, np.nan)
