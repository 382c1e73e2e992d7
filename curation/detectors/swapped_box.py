"""Boxes in whose place a detector that did not see the picture is sure of another class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table

NAME = "swapped_box"
FLAG_AT = 0.5
LIST_AT = 0.8


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per box that is like a sure prediction of another class.

    Score: cleanlab's, 1 - similarity. The suggestion is that class, "" where it is none of the set's.
    """
    assert inputs.box_quality is not None
    label = inputs.box_quality.label
    rows = np.flatnonzero(label < LIST_AT)
    evidence = [
        {"measured": "similarity", "value": round(float(1 - label[row]), 4), "threshold": 1 - FLAG_AT} for row in rows
    ]
    names = np.asarray([*inputs.class_names, ""], dtype=object)
    suggested = names[inputs.box_quality.other_class[rows]].tolist()
    return issue_table(NAME, inputs, rows, label[rows], label[rows] < FLAG_AT, evidence, suggested)


DETECTOR = Detector(
    name=NAME, needs=("boxes", "box_quality"), find=find, title="box of another class", priority=12, suggests_label=True
)
