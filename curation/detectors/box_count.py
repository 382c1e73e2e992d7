"""Pictures with far more or fewer boxes of a class than is usual: forgotten, or drawn twice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.scoring.isolation import FEWEST

NAME = "box_count"
FLAG_AT = 4.0
LIST_AT = 3.0
# A class that is missing in no more than this share of the pictures is missed where it is not.
ALWAYS = 0.02


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture whose number of boxes of one class is odd, the oddest class being named.

    Raw measurement: the count. Compared as roots, in which counts spread alike whatever their size (Anscombe 1948), in
    units of that spread or of the set's own where it is larger. Score: 0.5 at the threshold, towards 0 beyond. Pictures
    without any box are left to `no_box`.
    """
    assert inputs.box_counts is not None
    counts = inputs.box_counts
    pictures = counts.sum(axis=1) > 0
    if pictures.sum() < FEWEST or counts.shape[1] == 0:
        return issue_table(NAME, inputs, np.zeros(0), np.zeros(0), np.zeros(0), [])
    root = 2 * np.sqrt(counts + 0.375)
    middle = np.median(root[pictures], axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(root[pictures] - middle), axis=0), 1.0)
    z = (root - middle) / spread
    missing = (counts[pictures] == 0).mean(axis=0)
    always = (counts == 0) & (missing > 0) & (missing <= ALWAYS) & (pictures.sum() >= 1 / ALWAYS)
    z = np.where(always, np.minimum(z, -FLAG_AT - 1e-3), z)
    worst = np.abs(z).argmax(axis=1)
    mine = np.arange(len(counts)), worst
    away = np.where(pictures, np.abs(z[mine]), 0.0)
    rows = np.flatnonzero(away > LIST_AT)
    limit = np.maximum((middle[worst] + np.sign(z[mine]) * FLAG_AT * spread[worst]) / 2, 0) ** 2 - 0.375
    evidence = [
        {
            "measured": "boxes",
            "class": str(inputs.class_names[int(worst[row])]),
            "value": int(counts[row, worst[row]]),
            "usual": round(float(np.median(counts[pictures, worst[row]])), 1),
            "threshold": 1 if always[row, worst[row]] else round(max(float(limit[row]), 0.0), 1),
            "missing_in_share": round(float(missing[worst[row]]), 4),
            "robust_z": round(float(z[row, worst[row]]), 2),
        }
        for row in rows
    ]
    return issue_table(NAME, inputs, rows, FLAG_AT / (FLAG_AT + away[rows]), away[rows] > FLAG_AT, evidence)


DETECTOR = Detector(name=NAME, needs=("box_counts",), find=find, title="odd number of boxes", priority=46)
