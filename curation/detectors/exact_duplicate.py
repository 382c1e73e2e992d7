"""Pictures whose pixels are identical, whatever their file names and formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table, label_name
from curation.detectors.twins import LISTED_MEMBERS, exact_clusters, members_by_cluster
from curation.duplicates.keeping import keep_order

NAME = "exact_duplicate"


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per member of each cluster of pixel-identical pictures; score 0.

    The suggestion is "exclude" for every member but the one worth keeping (curation.duplicates.keeping).
    """
    assert inputs.duplicate_pairs is not None
    ids = inputs.samples["sample_id"].to_numpy()
    assert inputs.cluster is not None
    place = keep_order(inputs.samples, inputs.labels >= 0, inputs.cluster)
    rows: list[int] = []
    suggestion: list[str] = []
    evidence: list[dict[str, Any]] = []
    for members in members_by_cluster(exact_clusters(inputs.duplicate_pairs, len(inputs.samples))):
        keep = int(members[place[members].argmin()])
        listed = [[str(ids[m]), label_name(inputs, m)] for m in members[:LISTED_MEMBERS]]
        for row in members.tolist():
            twin = keep if row != keep else int(members[members != keep][0])
            rows.append(row)
            suggestion.append("" if row == keep else "exclude")
            evidence.append(
                {
                    "twin": str(ids[twin]),
                    "twin_label": label_name(inputs, twin),
                    "twin_split": str(inputs.samples["split"].iat[twin]),
                    "kind": "exact",
                    "distance": 0.0,
                    "keep": str(ids[keep]),
                    "members": listed,
                    "member_count": len(members),
                }
            )
    count = len(rows)
    return issue_table(NAME, inputs, np.array(rows), np.zeros(count), np.ones(count, bool), evidence, suggestion)


DETECTOR = Detector(name=NAME, needs=("duplicate_pairs", "cluster"), find=find, title="identical pictures", priority=30)
