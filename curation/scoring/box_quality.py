"""Boxes against the predictions of a detector that did not see their picture: missing, spurious, misplaced, swapped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.scoring.overlap import iou, members_of, overlapping_pairs, usual_overlap

# From this overlap on, a predicted and a given box are of the same object.
SAME = 0.5
# Least overlap of a prediction and a given box that may be about one object: a box that was shifted by a third of its
# size in both directions still overlaps by more.
SIMILAR = 0.25
# Over how much more overlap than is usual a prediction without a box of its own loses its meaning.
LEAST_FADE = 0.25
# Least belief in a prediction for it to speak about the place, and about the class, of a given box.
LEAST_BELIEF_PLACE, LEAST_BELIEF_CLASS = 0.3, 0.5
# cleanlab's weight of overlap against distance in the similarity of two boxes.
ALPHA = 0.9


@dataclass(frozen=True)
class BoxQuality:
    """What the predictions say of B given boxes; all scores in [0, 1], low = suspicious.

    predictions : `row` (of the picture), `label`, `class_id` (-1 = never given), x, y, w, h, `score`, and

        belief : how often a prediction of such a score is where a box of its class is given
        overlap : with the best given box of any class
        missing : low where an object is likely that has no box
    support : (B,) belief in the best prediction of any class in the place of the box
    usual_support : (B,) its median among the boxes of the class
    place : (B,) overlap with the prediction of its own, where that is of the same class; 1 where there is none
    partner : (B,) int64, row of that prediction in `predictions`, -1 where there is none
    label : (B,) cleanlab's score: 1 - how like the most like sure prediction of another class is; 1 where there is none
    other_class : (B,) int64, class of the sure prediction of another class that overlaps most, -1 where there is none
    """

    predictions: pd.DataFrame
    support: np.ndarray
    usual_support: np.ndarray
    place: np.ndarray
    partner: np.ndarray
    label: np.ndarray
    other_class: np.ndarray


def judge_boxes(picture: np.ndarray, boxes: np.ndarray, labels: np.ndarray, predictions: pd.DataFrame) -> BoxQuality:
    """Compare given boxes with predicted ones.

    Parameters
    ----------
    picture : (B,) row number of each box's picture; boxes : (B, 4) x, y, w, h; labels : (B,) class ids
    predictions : columns `row`, `class_id`, x, y, w, h, `score` and `label`
    """
    theirs = predictions["row"].to_numpy(dtype=np.int64)
    found = predictions[["x", "y", "w", "h"]].to_numpy(dtype=np.float64)
    class_id = predictions["class_id"].to_numpy(dtype=np.int64)
    by_picture = {int(picture[rows[0]]): rows for rows in members_of(picture)}
    none = np.zeros(0, np.int64)
    matched = np.zeros(len(found), bool)
    overlap = np.zeros(len(found))
    score = predictions["score"].to_numpy(dtype=np.float64)
    pairs = [(by_picture.get(int(theirs[rows[0]]), none), rows) for rows in members_of(theirs)]
    for given, rows in pairs:
        shared = iou(found[rows], boxes[given])
        overlap[rows] = shared.max(axis=1, initial=0.0)
        matched[rows] = _matched(shared, class_id[rows][:, None] == labels[given], score[rows])
    belief = _belief(score, matched)
    support, explained = np.zeros(len(boxes)), np.zeros(len(found), bool)
    place, label = np.ones(len(boxes)), np.ones(len(boxes))
    own, other = np.full((2, len(boxes)), -1, dtype=np.int64)
    for given, rows in pairs:
        if len(given):
            shared = iou(boxes[given], found[rows])
            support[given] = (np.minimum(shared / SAME, 1.0) * belief[rows]).max(axis=1, initial=0.0)
            differs = (class_id[rows] != labels[given][:, None]) & (belief[rows] > LEAST_BELIEF_CLASS)
            rival = np.where(differs, shared, 0.0)
            other[given] = np.where(rival.max(axis=1) > 0, class_id[rows][rival.argmax(axis=1)], -1)
            label[given] = _by_cleanlab(boxes[given], labels[given], found[rows], class_id[rows], belief[rows])
            partner = _partners(np.where(belief[rows] >= LEAST_BELIEF_PLACE, shared, 0.0))
            mine = np.flatnonzero(partner >= 0)
            explained[rows[partner[mine]]] = True
            same = mine[class_id[rows[partner[mine]]] == labels[given[mine]]]
            place[given[same]] = shared[same, partner[same]]
            own[given[same]] = rows[partner[same]]
    # What overlaps a box that has a prediction of its own is another object, or the same one found twice: that depends
    # on how far objects of this set overlap.
    usual = usual_overlap(len(boxes), *overlapping_pairs(picture, boxes))
    alone = np.clip(1.0 - (overlap - usual) / max(SAME - usual, LEAST_FADE), 0.0, 1.0)
    missing = 1.0 - belief * alone * ~explained
    missing = np.where(_repeated(theirs, found, belief), 1.0, missing)
    usual_support = pd.Series(support).groupby(labels).transform("median").to_numpy()
    table = predictions.assign(belief=belief, overlap=overlap, missing=missing)
    return BoxQuality(table, support, usual_support, place, own, label, other)


def _matched(overlap: np.ndarray, same_class: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(P,) bool: predictions (P, G overlaps) that are the surest one on a given box of their class, each box once."""
    free = np.ones(overlap.shape[1], bool)
    matched = np.zeros(len(overlap), bool)
    for row in np.argsort(-score, kind="stable") if overlap.shape[1] else []:
        fitting = np.where(same_class[row] & free, overlap[row], 0.0)
        best = int(fitting.argmax())
        if fitting[best] >= SAME:
            matched[row], free[best] = True, False
    return matched


def _partners(overlap: np.ndarray) -> np.ndarray:
    """(G,) the prediction that each given box has to itself, those that overlap most first; -1 where there is none.

    overlap : (G, P) of given and predicted boxes
    """
    partner = np.full(len(overlap), -1, dtype=np.int64)
    free = np.ones(overlap.shape[1], bool)
    rows, columns = np.nonzero(overlap >= SIMILAR)
    for at in np.argsort(-overlap[rows, columns], kind="stable"):
        if partner[rows[at]] < 0 and free[columns[at]]:
            partner[rows[at]], free[columns[at]] = columns[at], False
    return partner


def _belief(score: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """(P,) share of matched predictions around each score, never falling: what a detector's confidence is worth."""
    if not len(score):
        return np.zeros(0)
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(score, matched.astype(np.float64))
    # Steps hide which of two is surer: within one, the detector's own order counts.
    return np.clip(0.98 * fitted.predict(score) + 0.02 * score, 0.0, 1.0)


def _repeated(picture: np.ndarray, boxes: np.ndarray, belief: np.ndarray) -> np.ndarray:
    """(P,) bool: predictions that lie on a surer one of the same picture: one missing box is to be proposed once."""
    repeated = np.zeros(len(boxes), bool)
    for rows in members_of(picture):
        order = rows[np.argsort(-belief[rows], kind="stable")]
        shared = np.triu(iou(boxes[order], boxes[order]), 1) >= SAME
        for at in range(len(order)):
            repeated[order[at]] = bool((shared[:at, at] & ~repeated[order[:at]]).any())
    return repeated


def _by_cleanlab(
    boxes: np.ndarray, labels: np.ndarray, found: np.ndarray, class_id: np.ndarray, belief: np.ndarray
) -> np.ndarray:
    """cleanlab's scores of the labels of one picture; probabilities are the calibrated beliefs."""
    from cleanlab.object_detection import rank

    kinds = int(max(labels.max(), class_id.max(initial=-1))) + 2  # the last one: classes that are never given
    ids = np.where(class_id < 0, kinds - 1, class_id)
    predicted = np.empty(kinds, dtype=object)
    for k in range(kinds):
        mine = ids == k
        predicted[k] = np.column_stack([_corners(found[mine]), belief[mine]])
    given = [{"bboxes": _corners(boxes), "labels": labels}]
    label = rank.compute_swap_box_scores(
        labels=given, predictions=[predicted], alpha=ALPHA, high_probability_threshold=LEAST_BELIEF_CLASS,
        overlapping_label_check=False,  # two boxes in one place are found by `duplicate_box`
    )[0]  # fmt: skip
    return np.asarray(np.nan_to_num(label, nan=1.0).clip(0, 1))


def _corners(boxes: np.ndarray) -> np.ndarray:
    """x1, y1, x2, y2."""
    return np.column_stack([boxes[:, :2], boxes[:, :2] + np.maximum(boxes[:, 2:], 0.0)])
