"""Files that could not be read as pictures; nothing is dropped silently."""

from __future__ import annotations

import pandas as pd

from curation.detectors.contract import Detector, Inputs, build_table

NAME = "unreadable"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per file of `inputs.unreadable`, score 0; the evidence has its path and the reason.

    The columns `annotation_id` and `label` are used where `inputs.unreadable` has them.
    """
    files = inputs.unreadable
    count = len(files)
    blank = [""] * count
    evidence = [
        {"path": str(path), "reason": str(reason)} for path, reason in zip(files["path"], files["reason"], strict=True)
    ]
    return build_table(
        NAME,
        sample_id=files["sample_id"],
        annotation_id=files.get("annotation_id", blank),
        score=[0.0] * count,
        is_issue=[True] * count,
        given_label=files.get("label", blank),
        suggestion=["exclude"] * count,
        evidence=evidence,
    )


DETECTOR = Detector(name=NAME, needs=("unreadable",), find=find, title="cannot be read", priority=70)
