"""Pictures that show the same shot: resized, re-compressed, cropped a little, mirrored, turned or made grey."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.detectors.twins import EXACT, best_twins, keep_order, twin_evidence

NAME = "near_duplicate"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture that has a verified near twin; score grows with the distance to the nearest of them.

    Score: d / (1 + d), so that 0 is a perfect copy and the order is that of the distance, whatever its scale.
    The suggestion is "exclude" for the lesser of the two pictures (fewer pixels, unlabelled, then by path).
    """
    assert inputs.duplicate_pairs is not None
    near = inputs.duplicate_pairs[inputs.duplicate_pairs["kind"] != EXACT]
    twins = best_twins(near, lambda row, twin: row != twin)
    distance = np.maximum(twins["distance"].to_numpy(dtype=np.float64), 0.0)
    rows = twins["row"].to_numpy(dtype=np.int64)
    other = twins["twin"].to_numpy(dtype=np.int64)
    place = keep_order(inputs)
    keep = np.where(place[rows] < place[other], rows, other).tolist()
    evidence = [
        {**twin_evidence(inputs, pair), "keep": str(inputs.samples["sample_id"].iat[best])}
        for pair, best in zip(twins.itertuples(), keep, strict=True)
    ]
    suggestion = ["" if row == best else "exclude" for row, best in zip(rows.tolist(), keep, strict=True)]
    return issue_table(NAME, inputs, rows, distance / (1 + distance), np.ones(len(rows), bool), evidence, suggestion)


DETECTOR = Detector(name=NAME, needs=("duplicate_pairs",), find=find, title="nearly the same picture", priority=40)
