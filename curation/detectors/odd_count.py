"""How many of each class: a count that is probably another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, build_table, count_words

NAME = "odd_count"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture and class that is flagged, then the next ones, as many in all as there are counts above 0:
    that most pictures show none of most classes is beyond doubt.

    Score: the probability that the count is right (see curation.scoring.counts). The suggestion, where it is flagged,
    is the most likely other count, as in `5 x cola`; the given label is written so, too.
    """
    assert inputs.counts is not None
    assert inputs.count_quality is not None
    given, quality = inputs.counts.given, inputs.count_quality
    entries = np.flatnonzero(quality.judged)
    score = quality.score.ravel()[entries]
    listed = max(int((given > 0).sum()), int(quality.is_issue.sum()))
    if listed < len(entries):
        # Up to a score, not a place: which of equal scores are listed must not depend on the order of the pictures.
        entries = entries[score <= np.partition(score, listed - 1)[listed - 1]] if listed else entries[:0]
    rows, classes = np.unravel_index(entries, given.shape)
    names = [str(inputs.class_names[k]) for k in classes.tolist()]
    flagged = quality.is_issue[rows, classes]
    counts, likely = given[rows, classes].tolist(), quality.likely[rows, classes].tolist()
    return build_table(
        NAME,
        sample_id=inputs.samples["sample_id"].to_numpy()[rows],
        annotation_id=np.full(len(rows), "", dtype=object),
        score=quality.score[rows, classes],
        is_issue=flagged,
        given_label=[count_words(count, name) for count, name in zip(counts, names, strict=True)],
        suggestion=[
            count_words(count, name) if is_flagged else ""
            for count, name, is_flagged in zip(likely, names, flagged.tolist(), strict=True)
        ],
        evidence=_evidence(inputs, rows, classes),
    )


def _evidence(inputs: Inputs, rows: np.ndarray, classes: np.ndarray) -> list[dict[str, Any]]:
    assert inputs.counts is not None
    assert inputs.count_quality is not None
    counts, quality = inputs.counts, inputs.count_quality
    found = []
    for row, k in zip(rows.tolist(), classes.tolist(), strict=True):
        facts: dict[str, Any] = {
            "class": str(inputs.class_names[k]),
            "given": int(counts.given[row, k]),
            "likely": int(quality.likely[row, k]),
            "at_least": bool(quality.likely[row, k] == counts.steps[k]),
            "expected": round(float(quality.expected[row, k]), 2),
            "p_given": float(f"{quality.p_given[row, k]:.4g}"),
            "p_likely": float(f"{quality.p_likely[row, k]:.4g}"),
            "threshold": quality.threshold,
        }
        if inputs.neighbours is not None:
            near = inputs.neighbours[row]
            theirs = counts.given[near[(near >= 0)], k]
            facts["neighbours"] = [int(count) for count in np.sort(theirs[theirs >= 0])]
        found.append(facts)
    return found


DETECTOR = Detector(name=NAME, needs=("counts", "count_quality"), find=find, title="odd count", priority=10)
