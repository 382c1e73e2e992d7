"""The same picture in two splits: what is measured on the test split is then partly remembered, not learned."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.detectors.twins import EXACT, best_twins, twin_evidence

NAME = "split_leak"
EXACT_SCORE, NEAR_SCORE = 0.0, 0.1


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture that has a twin in another split; score 0 for a pixel-identical twin, 0.1 for a near one.

    Only direct pairs count: a chain of near twins is no proof that its ends show the same. The suggestion is "exclude"
    for the picture in the larger split (as a rule the training split: the test split should stay comparable).
    """
    assert inputs.duplicate_pairs is not None
    split = inputs.samples["split"].to_numpy(dtype=object).astype(str)
    names, code, size = np.unique(split, return_inverse=True, return_counts=True)
    named = names[code] != ""
    twins = best_twins(inputs.duplicate_pairs, lambda row, twin: named[row] & named[twin] & (code[row] != code[twin]))
    rows = twins["row"].to_numpy(dtype=np.int64)
    other = twins["twin"].to_numpy(dtype=np.int64)
    evidence = [
        {**twin_evidence(inputs, pair), "split": str(split[row])}
        for pair, row in zip(twins.itertuples(), rows.tolist(), strict=True)
    ]
    # Equal sizes: the later name loses, so that exactly one side of a pair is told to go.
    larger = (size[code[rows]] > size[code[other]]) | (
        (size[code[rows]] == size[code[other]]) & (code[rows] > code[other])
    )
    score = np.where(twins["kind"].to_numpy(dtype=object) == EXACT, EXACT_SCORE, NEAR_SCORE)
    return issue_table(
        NAME, inputs, rows, score, np.ones(len(rows), bool), evidence, np.where(larger, "exclude", "").tolist()
    )


DETECTOR = Detector(name=NAME, needs=("duplicate_pairs",), find=find, title="same picture in two splits", priority=20)
