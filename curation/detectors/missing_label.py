"""Several labels per picture: a class that is probably there and was not given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, build_table
from curation.detectors.set_evidence import set_evidence

NAME = "missing_label"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture and class that is flagged, then the next ones, as many in all as there are labels: most of
    the many classes that a picture does not have are beyond doubt.

    Score: the probability that the class is not there (see curation.scoring.set_quality). The suggestion is the class.
    """
    assert inputs.label_sets is not None
    assert inputs.set_quality is not None
    given, quality = inputs.label_sets.given, inputs.set_quality
    absent = np.flatnonzero((given == 0) & (quality.score < 1))
    score = quality.score.ravel()[absent]
    listed = max(int((given > 0).sum()), int((score < quality.threshold).sum()))
    if listed < len(absent):
        # Up to a score, not a place: which of equal scores are listed must not depend on the order of the pictures.
        absent = absent[score <= np.partition(score, listed - 1)[listed - 1]] if listed else absent[:0]
    rows, classes = np.unravel_index(absent, given.shape)
    return build_table(
        NAME,
        sample_id=inputs.samples["sample_id"].to_numpy()[rows],
        annotation_id=np.full(len(rows), "", dtype=object),
        score=quality.score[rows, classes],
        is_issue=quality.is_issue[rows, classes],
        given_label=np.full(len(rows), "", dtype=object),
        suggestion=np.asarray(inputs.class_names, dtype=object)[classes],
        evidence=set_evidence(inputs, rows, classes),
    )


DETECTOR = Detector(
    name=NAME,
    needs=("label_sets", "set_quality"),
    find=find,
    title="there, but not labelled",
    priority=10,
    suggests_label=True,
)
