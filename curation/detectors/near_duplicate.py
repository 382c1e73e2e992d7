"""Pictures that show the same shot: resized, re-compressed, cropped a little, mirrored, turned or made grey."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.detectors.twins import EXACT, best_twins, twin_evidence
from curation.duplicates.keeping import keep_order

NAME = "near_duplicate"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture that has a verified near twin; score grows with the distance to the nearest of them.

    Score: d / (1 + d), so that 0 is a perfect copy and the order is that of the distance, whatever its scale.
    The suggestion is "exclude" for every picture of a cluster but the best (curation.duplicates.keeping).
    """
    assert inputs.duplicate_pairs is not None
    assert inputs.cluster is not None
    near = inputs.duplicate_pairs[inputs.duplicate_pairs["kind"] != EXACT]
    twins = best_twins(near, lambda row, twin: row != twin)
    distance = np.maximum(twins["distance"].to_numpy(dtype=np.float64), 0.0)
    rows = twins["row"].to_numpy(dtype=np.int64)
    best = np.flatnonzero(keep_order(inputs.samples, inputs.labels >= 0, inputs.cluster) == 0)
    best_of = pd.Series(best, index=inputs.cluster[best])
    kept = best_of[inputs.cluster[rows]].tolist()
    evidence = [
        {**twin_evidence(inputs, pair), "keep": str(inputs.samples["sample_id"].iat[keep])}
        for pair, keep in zip(twins.itertuples(), kept, strict=True)
    ]
    suggestion = ["" if row == keep else "exclude" for row, keep in zip(rows.tolist(), kept, strict=True)]
    return issue_table(NAME, inputs, rows, distance / (1 + distance), np.ones(len(rows), bool), evidence, suggestion)


DETECTOR = Detector(
    name=NAME, needs=("duplicate_pairs", "cluster"), find=find, title="nearly the same picture", priority=40
)
