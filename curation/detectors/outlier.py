"""Pictures unlike all others: posters among shoes, screenshots, empty frames."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table

NAME = "outlier"
# How many nearest pictures the distance is averaged over, and the smallest set in which "unlike the rest" has meaning.
NEIGHBOURS = 5
FEWEST = 20
# A picture is an outlier when the log of its distance lies this many robust standard deviations above the median.
FLAG_AT = 4.0


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture whose nearest pictures are unusually far away in embedding space.

    Raw measurement: mean cosine distance to the 5 nearest pictures that are no duplicates. It is compared with the rest
    of the set on a log scale (distances are skewed) by median and median absolute deviation. Score: 1 at the median,
    0.5 at the threshold, towards 0 beyond; only flagged rows are listed.
    """
    assert inputs.neighbours is not None
    assert inputs.neighbour_distances is not None
    distance = mean_distance(inputs.neighbours, inputs.neighbour_distances)
    z = robust_z(np.log(np.maximum(distance, 1e-6)))
    flagged = np.flatnonzero(z > FLAG_AT)
    threshold = float(np.min(distance[flagged], initial=np.inf))
    evidence = [
        {
            "mean_distance": round(float(distance[row]), 5),
            "median_distance": round(float(np.nanmedian(distance)), 5),
            "robust_z": round(float(z[row]), 2),
            "threshold_z": FLAG_AT,
            "threshold": round(threshold, 5),
        }
        for row in flagged
    ]
    return issue_table(NAME, inputs, flagged, FLAG_AT / (FLAG_AT + z[flagged]), np.ones(len(flagged), bool), evidence)


def mean_distance(neighbours: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """(N,) mean distance to the nearest NEIGHBOURS pictures; NaN where a picture has none."""
    near = np.where(neighbours[:, :NEIGHBOURS] >= 0, distances[:, :NEIGHBOURS], np.nan).astype(np.float64)
    count = np.isfinite(near).sum(axis=1)
    return np.where(count > 0, np.nansum(near, axis=1) / np.maximum(count, 1), np.nan)


def robust_z(values: np.ndarray) -> np.ndarray:
    """Distance from the median in robust standard deviations; 0 for NaN, and for all in a set that is too small."""
    measured = values[np.isfinite(values)]
    if len(measured) < FEWEST:
        return np.zeros(len(values))
    middle = np.median(measured)
    spread = 1.4826 * np.median(np.abs(measured - middle))
    # Spread 0: more than half are equal (all pictures identical); then there is no scale to call anything odd by.
    if spread <= 1e-9:
        return np.zeros(len(values))
    return np.nan_to_num((values - middle) / spread, nan=0.0, posinf=0.0, neginf=0.0)


DETECTOR = Detector(
    name=NAME, needs=("neighbours", "neighbour_distances"), find=find, title="unlike all other pictures", priority=50
)
