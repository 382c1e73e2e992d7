"""Objects without a box: a detector that did not see the picture is sure of one where none is given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, build_table

NAME = "missing_box"
FLAG_AT = 0.5
LIST_AT = 0.9


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per predicted box that has no given one in its place; its own box is `proposed` in the evidence.

    Score: 1 - the belief in the prediction, less where a given box is partly there. The suggestion is its class.
    """
    assert inputs.box_quality is not None
    table = inputs.box_quality.predictions
    table = table[table["missing"] < LIST_AT]
    score = table["missing"].to_numpy(dtype=np.float64)
    evidence = [
        {
            "measured": "belief",
            "value": round(row["belief"], 4),
            "threshold": FLAG_AT,
            "overlap": round(row["overlap"], 4),
            "score": round(row["score"], 4),
            "proposed": [round(row[name], 2) for name in "xywh"],
        }
        for row in table.to_dict("records")
    ]
    blank = [""] * len(table)
    return build_table(
        NAME,
        sample_id=table["sample_id"],
        annotation_id=blank,
        score=score,
        is_issue=score < FLAG_AT,
        given_label=blank,
        suggestion=table["label"],
        evidence=evidence,
    )


DETECTOR = Detector(
    name=NAME, needs=("boxes", "box_quality"), find=find, title="object without a box", priority=13, suggests_label=True
)
