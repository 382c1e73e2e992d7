"""The same picture twice with different boxes: needs no model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.detectors.twins import EXACT, best_twins, twin_evidence

NAME = "conflicting_boxes"
NEAR_SCORE = 0.55


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture that has a twin with another number of boxes of some class.

    Score: 0 where the twin is pixel-identical; near twins are listed without a flag, for a part of a picture, or the
    next one of a burst, may well show fewer objects.
    """
    assert inputs.duplicate_pairs is not None
    assert inputs.box_counts is not None
    counts = inputs.box_counts
    twins = best_twins(inputs.duplicate_pairs, lambda row, twin: (counts[row] != counts[twin]).any(axis=1))
    rows, score = twins["row"].to_numpy(dtype=np.int64), np.where(twins["kind"] == EXACT, 0.0, NEAR_SCORE)
    evidence: list[dict[str, Any]] = []
    for pair in twins.itertuples():
        theirs = counts[[int(str(pair.row)), int(str(pair.twin))]]
        differ = [
            [str(inputs.class_names[int(k)]), *theirs[:, k].tolist()] for k in np.flatnonzero(theirs[0] != theirs[1])
        ]
        evidence.append({**twin_evidence(inputs, pair), "counts": differ})
    return issue_table(NAME, inputs, rows, score, score < 0.5, evidence)


DETECTOR = Detector(
    name=NAME,
    needs=("duplicate_pairs", "box_counts"),
    find=find,
    title="same picture, different boxes",
    priority=1,
)
