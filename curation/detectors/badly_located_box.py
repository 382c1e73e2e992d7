"""Boxes that do not fit their object: a detector that did not see the picture puts the same class elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.scoring.isolation import FEWEST

NAME = "badly_located_box"
# In spreads below the overlap that is usual in this set: how exactly a detector finds edges differs.
FLAG_AT = 4.0
MOST_THRESHOLD, LEAST_THRESHOLD = 0.75, 0.4
LIST_ABOVE = 0.1


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per box that is unlike the predicted one of its class.

    Raw measurement: overlap with the prediction that the box has to itself (curation.scoring.box_quality). Score: 0.5
    at the threshold, towards 0 below. That prediction is `proposed` in the evidence, x, y, w, h in pixels.
    """
    assert inputs.box_quality is not None
    place = inputs.box_quality.place
    known = place[place < 1.0]
    if len(known) < FEWEST:
        return issue_table(NAME, inputs, np.zeros(0), np.zeros(0), np.zeros(0), [])
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    threshold = float(np.clip(middle - FLAG_AT * spread, LEAST_THRESHOLD, MOST_THRESHOLD))
    rows = np.flatnonzero(place < min(threshold + LIST_ABOVE, 1.0))
    score = np.where(place < threshold, 0.5 * place / threshold, 0.5 + 0.5 * (place - threshold) / (1 - threshold))
    predictions = inputs.box_quality.predictions
    proposed = predictions[["x", "y", "w", "h"]].to_numpy(dtype=np.float64)[inputs.box_quality.partner[rows]]
    evidence = [
        {
            "measured": "iou",
            "value": round(float(place[row]), 4),
            "threshold": round(threshold, 4),
            "usual": round(middle, 4),
            "proposed": [round(value, 2) for value in box],
        }
        for row, box in zip(rows.tolist(), proposed.tolist(), strict=True)
    ]
    return issue_table(NAME, inputs, rows, score[rows], place[rows] < threshold, evidence)


DETECTOR = Detector(name=NAME, needs=("boxes", "box_quality"), find=find, title="box in the wrong place", priority=15)
