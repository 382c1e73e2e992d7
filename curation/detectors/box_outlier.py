"""Boxes whose size, shape or place is far from what is usual for their class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.scoring.isolation import FEWEST, TAIL, TAIL_Z

NAME = "box_outlier"
# In spreads from the median of the class; what comes close to the flag is listed, too.
FLAG_AT = 5.0
LIST_AT = 3.5


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per box that is far from its class in one respect at least, the worst one being named.

    Raw measurements: root of its share of the picture's area, width over height (both compared as factors), and where
    its middle lies, in shares of the picture. Score: 0.5 at the threshold, towards 0 beyond. A class of fewer than 20
    boxes is compared with all boxes of the set. Boxes without area are left to `box_geometry`.
    """
    assert inputs.boxes is not None
    measured = _measure(inputs)
    z = np.zeros((len(measured), len(inputs.boxes)))
    middle, limit = np.zeros_like(z), np.zeros_like(z)
    size = np.bincount(inputs.labels + 1, minlength=len(inputs.class_names) + 1)[1:]
    small = (inputs.labels < 0) | (np.append(size, 0)[inputs.labels] < FEWEST)
    for k in [-1, *np.flatnonzero(size >= FEWEST).tolist()]:
        mine = small if k < 0 else inputs.labels == k
        usual = np.ones(len(mine), bool) if k < 0 else mine
        for row, (values, as_factor) in enumerate(measured.values()):
            z[row, mine], middle[row, mine], limit[row, mine] = _away(values, usual, mine, as_factor)
    names, worst = list(measured), np.abs(z).argmax(axis=0)
    away = np.abs(z).max(axis=0, initial=0.0)
    rows = np.flatnonzero(away > LIST_AT)
    evidence = [
        {
            "measured": names[worst[row]],
            "value": round(float(measured[names[worst[row]]][0][row]), 4),
            "usual": round(float(middle[worst[row], row]), 4),
            "threshold": round(float(limit[worst[row], row]), 4),
            "robust_z": round(float(z[worst[row], row]), 2),
            "threshold_z": FLAG_AT,
        }
        for row in rows
    ]
    return issue_table(NAME, inputs, rows, FLAG_AT / (FLAG_AT + away[rows]), away[rows] > FLAG_AT, evidence)


def _measure(inputs: Inputs) -> dict[str, tuple[np.ndarray, bool]]:
    """Name -> (values (B,), NaN where the box has no area; whether they vary by factors)."""
    assert inputs.boxes is not None
    x, y, w, h = inputs.boxes.T
    width = np.maximum(inputs.samples["picture_width_px"].to_numpy(dtype=np.float64), 1.0)
    height = np.maximum(inputs.samples["picture_height_px"].to_numpy(dtype=np.float64), 1.0)
    real = (w > 0) & (h > 0)
    w, h = np.where(real, w, np.nan), np.where(real, h, np.nan)
    return {
        "size": (np.sqrt(w * h / (width * height)), True),
        "aspect_ratio": (w / h, True),
        "place_x": ((x + w / 2) / width, False),
        "place_y": ((y + h / 2) / height, False),
    }


def _away(
    values: np.ndarray, usual: np.ndarray, mine: np.ndarray, as_factor: bool
) -> tuple[np.ndarray, float, np.ndarray]:
    """Of `values[mine]`: distance from the median of `values[usual]` in spreads of that side, the median, and the value
    at FLAG_AT on its side. The spread is the robust standard deviation, or that of the longer tail."""
    scaled = np.log(values) if as_factor else values
    known = scaled[usual & np.isfinite(scaled)]
    if len(known) < FEWEST:
        return np.zeros(int(mine.sum())), 0.0, np.zeros(int(mine.sum()))
    middle = float(np.median(known))
    robust = 1.4826 * float(np.median(np.abs(known - middle)))
    # Robust spread 0: more than half are equal, and there is no scale to be odd by.
    low, high = (max(robust, abs(float(np.quantile(known, q)) - middle) / TAIL_Z) for q in (1 - TAIL, TAIL))
    there = scaled[mine]
    spread = np.where(there < middle, low, high)
    z = np.nan_to_num((there - middle) / spread, nan=0.0) if robust > 1e-9 else np.zeros(len(there))
    limit = middle + np.where(there < middle, -1, 1) * FLAG_AT * spread
    return z, float(np.exp(middle)) if as_factor else middle, np.exp(np.minimum(limit, 50.0)) if as_factor else limit


DETECTOR = Detector(name=NAME, needs=("boxes",), find=find, title="box unlike those of its class", priority=45)
