"""Labels of one picture that (nearly) never go together, or one without what it always goes with; needs no model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, build_table, set_names
from curation.detectors.set_evidence import odd_by_entry

NAME = "odd_combination"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture whose labels are an odd combination, for its oddest label; see scoring.label_sets.

    Score: pictures like this one over those expected by chance, at most 0.1. The suggestion is the class that is
    missing where a label always goes with it; of two that never go together either can be wrong, and none is suggested.
    """
    assert inputs.label_sets is not None
    lines = inputs.label_sets.combinations
    worst = lines.assign(share=lines["pictures"] / lines["expected"])
    if inputs.set_quality is not None:
        worst["doubt"] = inputs.set_quality.score[worst["row"].to_numpy(int), worst["label"].to_numpy(int)]
    else:
        worst["doubt"] = 0.0
    worst = worst.sort_values(["row", "chance", "share", "doubt", "label", "other"], kind="stable")
    worst = worst.drop_duplicates("row", ignore_index=True)
    rows, classes = worst["row"].to_numpy(np.int64), worst["label"].to_numpy(np.int64)
    odd, names = odd_by_entry(inputs), np.asarray([*inputs.class_names, ""], dtype=object)
    others = np.where(worst["kind"] == "always", worst["other"].to_numpy(np.int64), -1)
    evidence = [
        {**odd[row, k], "class": str(inputs.class_names[k]), "labels": set_names(inputs, row)}
        for row, k in zip(rows.tolist(), classes.tolist(), strict=True)
    ]
    return build_table(
        NAME,
        sample_id=inputs.samples["sample_id"].to_numpy()[rows],
        annotation_id=inputs.label_sets.ids(rows, classes),
        score=np.clip(worst["share"], 0.0, 1.0),
        is_issue=np.ones(len(rows), dtype=bool),
        given_label=names[classes],
        suggestion=names[others],
        evidence=evidence,
    )


DETECTOR = Detector(
    name=NAME,
    needs=("label_sets",),
    find=find,
    title="labels that do not go together",
    priority=12,
    suggests_label=True,
)
