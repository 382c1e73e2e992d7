"""Several labels per picture: one that was given and is probably not there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, build_table
from curation.detectors.set_evidence import set_evidence

NAME = "wrong_label"
# What is suggested: to take the label off the picture.
REMOVE = "remove"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per given label, flagged or not, so that the ranking goes on past the flags.

    Score: the probability that the class is there (see curation.scoring.set_quality).
    """
    assert inputs.label_sets is not None
    assert inputs.set_quality is not None
    rows, classes = np.nonzero(inputs.label_sets.given > 0)
    flagged = inputs.set_quality.is_issue[rows, classes]
    return build_table(
        NAME,
        sample_id=inputs.samples["sample_id"].to_numpy()[rows],
        annotation_id=inputs.label_sets.ids(rows, classes),
        score=inputs.set_quality.score[rows, classes],
        is_issue=flagged,
        given_label=np.asarray(inputs.class_names, dtype=object)[classes],
        suggestion=np.where(flagged, REMOVE, "").astype(object),
        evidence=set_evidence(inputs, rows, classes),
    )


DETECTOR = Detector(
    name=NAME, needs=("label_sets", "set_quality"), find=find, title="labelled, but probably not there", priority=10
)
