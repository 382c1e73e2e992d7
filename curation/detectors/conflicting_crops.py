"""Boxes of two pictures that look the same under two labels: one object twice, or two that nobody can tell apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table, label_name
from curation.detectors.twins import EXACT, best_twins

NAME = "conflicting_crops"
# Equal pixels cannot have two labels; of near twins a person should still see that they are alike.
EXACT_SCORE, NEAR_SCORE = 0.0, 0.1


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per box with a twin under another label in another picture; of the two, the one whose label the model
    believes less, with the other's label as the suggestion; both, and no suggestion, where no model judged them.

    Score: 0 where the twin has equal pixels, from 0.1 on, with 1 - correlation, where it nearly has.
    """
    assert inputs.crop_pairs is not None
    labels, belief = inputs.labels, _belief(inputs)
    twins = best_twins(
        inputs.crop_pairs,
        lambda row, twin: (
            (labels[row] >= 0)
            & (labels[twin] >= 0)
            & (labels[row] != labels[twin])
            & ~(belief[row] > belief[twin])  # NaN, not judged: neither is believed more
        ),
    )
    rows, other = (twins[name].to_numpy(dtype=np.int64) for name in ("row", "twin"))
    distance = np.clip(twins["distance"].to_numpy(dtype=np.float64), 0.0, 1.0)
    score = np.where(twins["kind"] == EXACT, EXACT_SCORE, NEAR_SCORE + (0.5 - NEAR_SCORE) * distance)
    names = np.asarray([*inputs.class_names, ""], dtype=object)
    evidence = [
        {
            "other": str(inputs.annotation_id[twin]),
            "other_label": label_name(inputs, twin),
            "other_sample": str(inputs.samples["sample_id"].iat[twin]),
            "kind": str(pair.kind),
            "distance": round(float(pair.distance), 4),
        }
        for pair, twin in zip(twins.itertuples(), other.tolist(), strict=True)
    ]
    suggestion = names[np.where(belief[other] > belief[rows], labels[other], -1)].tolist()
    return issue_table(NAME, inputs, rows, score, np.ones(len(rows), bool), evidence, suggestion)


def _belief(inputs: Inputs) -> np.ndarray:
    """(B,) probability of the given label by the model, NaN where there is none."""
    if inputs.statistics is None:
        return np.full(len(inputs.labels), np.nan)
    return np.where(inputs.statistics.judged, np.round(inputs.statistics.self_confidence, 3), np.nan)


DETECTOR = Detector(
    name=NAME,
    needs=("boxes", "crop_pairs"),
    find=find,
    title="boxes alike, different labels",
    priority=1,
    suggests_label=True,
)
