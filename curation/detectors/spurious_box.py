"""Boxes around nothing: a detector that did not see the picture finds no object of any class there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table

NAME = "spurious_box"
# Flagged below this share of the support that boxes of the class usually have, where the detector finds most of them.
FLAG_AT = 0.2
FOUND = 0.5
LIST_AT = 0.8


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per box with little support. Score: its support over the usual one of its class."""
    assert inputs.box_quality is not None
    quality = inputs.box_quality
    known = quality.usual_support >= FOUND
    score = np.clip(quality.support / np.maximum(quality.usual_support, 1e-9), 0.0, 1.0)
    rows = np.flatnonzero(known & (score < LIST_AT))
    evidence = [
        {
            "measured": "support",
            "value": round(float(quality.support[row]), 4),
            "usual": round(float(quality.usual_support[row]), 4),
            "threshold": round(FLAG_AT * float(quality.usual_support[row]), 4),
        }
        for row in rows
    ]
    flagged = score[rows] < FLAG_AT
    action = np.where(flagged, "remove", "").tolist()
    return issue_table(NAME, inputs, rows, score[rows], flagged, evidence, action)


DETECTOR = Detector(name=NAME, needs=("boxes", "box_quality"), find=find, title="box around nothing", priority=14)
