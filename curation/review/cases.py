"""Clusters of duplicates as cases: which pictures belong to one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.decisions import case_id


def members_of_cases(samples: pd.DataFrame, open_rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Case id -> row numbers of its members, ascending; two or more members each.

    samples : samples.parquet of a run; without a column `cluster` there are no cases
    open_rows : (N,) bool, the rows that count; None = all
    """
    if "cluster" not in samples or not len(samples):
        return {}
    cluster = samples["cluster"].to_numpy(dtype=np.int64)
    rows = np.flatnonzero((cluster >= 0) if open_rows is None else (cluster >= 0) & open_rows)
    size = np.bincount(cluster[rows], minlength=1)
    rows = rows[size[cluster[rows]] > 1]
    rows = rows[np.argsort(cluster[rows], kind="stable")]
    ids = samples["sample_id"].to_numpy(dtype=object)
    groups = np.split(rows, np.flatnonzero(np.diff(cluster[rows])) + 1) if len(rows) else []
    return {case_id(ids[group].tolist()): group for group in groups}
