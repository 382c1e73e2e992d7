"""The same object labelled twice: two boxes of one picture that overlap far more than boxes of this set usually do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table, label_name
from curation.scoring.overlap import SAME_PLACE, overlapping_pairs, usual_overlap

NAME = "duplicate_box"
# Crowded cells overlap by half, and there the threshold lies higher than among scattered objects: a margin above what
# is usual in the set.
MARGIN = 0.05
LEAST_THRESHOLD, MOST_THRESHOLD = 0.5, SAME_PLACE
# What comes so close to the threshold is listed, too.
LISTED_BELOW = 0.15
# Boxes of two classes lie on each other on purpose (a person and a face, a car and a vehicle) where more than this
# share of the boxes of the rarer one do, and at least so many.
HABIT_SHARE, HABIT_PAIRS = 0.2, 5


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per box that should go, because another one is in its place.

    Raw measurement: intersection over union. Score: 0 where both are the same, 0.5 at the threshold, towards 1 below.
    Of two boxes the one whose label the model believes less is named; the later one without a model.
    """
    assert inputs.boxes is not None
    picture = pd.factorize(inputs.samples["sample_id"])[0]
    a, b, overlap = overlapping_pairs(picture, inputs.boxes)
    usual = usual_overlap(len(picture), a, b, overlap)
    threshold = float(np.clip(usual + MARGIN, LEAST_THRESHOLD, MOST_THRESHOLD))
    near = overlap >= threshold - LISTED_BELOW
    a, b, overlap = a[near], b[near], overlap[near]
    habit = _habits(inputs, a, b, overlap >= threshold)
    keep, drop = _preferred(inputs, a, b)
    # A box that lies on several others is named once, with the one that it overlaps most.
    order = np.lexsort((keep, -overlap, drop))
    first = order[np.diff(drop[order], prepend=-1) != 0] if len(order) else order
    above = 0.5 * (1 - overlap) / (1 - threshold)
    score = np.where(overlap >= threshold, above, 0.5 + 0.5 * (threshold - overlap) / threshold)
    flagged = (overlap >= threshold) & ~habit
    evidence = [_evidence(inputs, keep[i], overlap[i], threshold, usual, bool(habit[i])) for i in first]
    return issue_table(
        NAME,
        inputs,
        drop[first],
        np.clip(np.where(habit, np.maximum(score, 0.5), score), 0.0, 1.0)[first],
        flagged[first],
        evidence,
        np.where(flagged[first], "remove", "").tolist(),
    )


def _habits(inputs: Inputs, a: np.ndarray, b: np.ndarray, same_place: np.ndarray) -> np.ndarray:
    """(P,) bool: pairs of two classes whose boxes lie on each other too often for a mistake."""
    labels, classes = inputs.labels + 1, len(inputs.class_names) + 1  # 0: a box without a label
    low, high = (edge(labels[a], labels[b]) for edge in (np.minimum, np.maximum))
    size = np.bincount(labels, minlength=classes)
    kinds, place = np.unique(low * classes + high, return_inverse=True)
    count = np.bincount(place, weights=same_place, minlength=len(kinds))
    rarer = np.minimum(size[kinds // classes], size[kinds % classes])
    habitual = (kinds // classes != kinds % classes) & (count >= HABIT_PAIRS) & (count > HABIT_SHARE * rarer)
    return np.asarray(habitual[place])


def _preferred(inputs: Inputs, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each pair, the box to keep and the one to drop; one order of all boxes decides, so that of several on one
    place exactly one stays."""
    if inputs.statistics is None:
        return a, b
    belief = np.where(inputs.statistics.judged, np.round(inputs.statistics.self_confidence, 3), 0.0)
    swap = belief[b] > belief[a]
    return np.where(swap, b, a), np.where(swap, a, b)


def _evidence(inputs: Inputs, twin: int, overlap: float, threshold: float, usual: float, habit: bool) -> dict[str, Any]:
    assert inputs.boxes is not None
    found: dict[str, Any] = {
        "measured": "iou",
        "value": round(float(overlap), 4),
        "threshold": round(threshold, 4),
        "usual": round(usual, 4),
        "other": str(inputs.annotation_id[twin]),
        "other_label": label_name(inputs, int(twin)),
        "other_box": [round(float(value), 2) for value in inputs.boxes[twin]],
    }
    return {**found, "habit": True} if habit else found


DETECTOR = Detector(name=NAME, needs=("boxes",), find=find, title="same object labelled twice", priority=6)
