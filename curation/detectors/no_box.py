"""Pictures without a single box: background on purpose, or forgotten."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table

NAME = "no_box"
# More than this share of the pictures, and empty ones are there on purpose: they are listed, not flagged.
HABIT = 0.1


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture without a box. Score: 0.5 where a tenth of the pictures have none, less where fewer have."""
    assert inputs.box_counts is not None
    empty = inputs.box_counts.sum(axis=1) == 0
    rows = np.flatnonzero(empty)
    share = float(empty.mean()) if len(empty) else 0.0
    score = np.full(len(rows), 0.1 + 0.4 * share / HABIT if share <= HABIT else 0.5 + 0.5 * share)
    flagged = np.full(len(rows), share <= HABIT)
    evidence = [{"measured": "share_without_boxes", "value": round(share, 5), "threshold": HABIT}] * len(rows)
    return issue_table(NAME, inputs, rows, score, flagged, evidence)


DETECTOR = Detector(name=NAME, needs=("box_counts",), find=find, title="no box at all", priority=47)
