"""Pictures too dark, too bright, blurred, empty, grey among coloured ones, or of an odd size or shape.

Each detector compares one measurement of curation.pixels with an absolute limit, and with the rest of the set: a
picture is an issue when it is beyond the limit and also unusual in its set, so that night photos or X-rays are not
all flagged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.scoring.isolation import FEWEST

# Beyond the limit and this many robust standard deviations from the median of the set ...
UNUSUAL_Z = 3.0
# ... or beyond the limit in a set where no more than this share of the pictures is.
RARE_SHARE = 0.02
# A set counts as coloured when more than this share of its pictures is.
COLOURED_SHARE = 0.8


@dataclass(frozen=True)
class Limit:
    """Where a measurement becomes an issue.

    column : of `Inputs.samples`
    value : the limit, in the unit of the column
    worst : the value at which the score is 0; below the limit for too little, above it for too much
    log : compare with the rest of the set on a log scale (for what varies by factors)
    """

    column: str
    value: float
    worst: float
    log: bool = False


# Limits of dark, bright and low_information are those of CleanVision 0.3 (99th percentile of brightness below 0.32, 5th
# above 0.95, entropy below 3 bits); it measures sharpness otherwise, so that limit is our own.
LIMITS = {
    "dark": Limit("brightness_p99", 0.32, worst=0.0),
    "bright": Limit("brightness_p05", 0.95, worst=1.0),
    "low_information": Limit("entropy_bits", 3.0, worst=0.0),
    "blurry": Limit("sharpness", 10.0, worst=0.0, log=True),
}
# A picture without colour: 99 % of its pixels differ less than this between channels (JPEG rounds grey to about 0.01).
GREY_LIMIT = 0.02


def find(inputs: Inputs, name: str) -> pd.DataFrame:
    """One row per picture beyond the limit `LIMITS[name]`; score 0.5 at the limit, falling to 0 at the worst value."""
    limit = LIMITS[name]
    value = inputs.samples[limit.column].to_numpy(dtype=np.float64)
    sign = 1.0 if limit.worst < limit.value else -1.0
    beyond = sign * value < sign * limit.value  # False for NaN: not measured
    z = -sign * robust_z(np.log(np.maximum(value, 1e-3)) if limit.log else value)
    rare = len(value) < FEWEST or beyond.mean() <= RARE_SHARE
    rows = np.flatnonzero(beyond & (rare | (z > UNUSUAL_Z)))
    score = np.clip(0.5 * (value[rows] - limit.worst) / (limit.value - limit.worst), 0.0, 0.5)
    return _table(name, inputs, rows, score, limit.column, value, limit.value)


def find_grey(inputs: Inputs) -> pd.DataFrame:
    """One row per picture without colour in a set where most have some; score 0.5 times saturation over its limit."""
    value = inputs.samples["saturation_p99"].to_numpy(dtype=np.float64)
    grey = value < GREY_LIMIT
    mixed = len(value) > 0 and np.mean(~grey) > COLOURED_SHARE
    rows = np.flatnonzero(grey) if mixed else np.zeros(0, dtype=np.int64)
    return _table(
        "grey", inputs, rows, np.clip(0.5 * value[rows] / GREY_LIMIT, 0.0, 0.5), "saturation", value, GREY_LIMIT
    )


def find_odd_size(inputs: Inputs) -> pd.DataFrame:
    """One row per picture that is far smaller or larger than the others.

    Raw measurement: square root of the number of pixels. An issue at ten times more or less than the median of the set.
    """
    side_px = np.sqrt(_pixels(inputs))
    return _odd("odd_size", inputs, side_px, "side_px", 10.0)


def find_odd_aspect_ratio(inputs: Inputs) -> pd.DataFrame:
    """One row per picture whose width over height differs threefold from the median of the set."""
    width = inputs.samples["width_px"].to_numpy(dtype=np.float64)
    height = inputs.samples["height_px"].to_numpy(dtype=np.float64)
    return _odd("odd_aspect_ratio", inputs, width / np.maximum(height, 1.0), "aspect_ratio", 3.0)


def _odd(name: str, inputs: Inputs, value: np.ndarray, measured: str, factor: float) -> pd.DataFrame:
    """Rows whose `value` differs from the median of the set by `factor` or more; score 0.5 at the limit, towards 0."""
    middle = float(np.median(value)) if len(value) else 1.0
    away = np.maximum(value, 1e-9) / max(middle, 1e-9)
    away = np.maximum(away, 1 / away)
    rows = np.flatnonzero(away >= factor)
    limit = np.where(value >= middle, middle * factor, middle / factor)
    return _table(name, inputs, rows, np.clip(0.5 * factor / away[rows], 0.0, 0.5), measured, value, limit)


def _pixels(inputs: Inputs) -> np.ndarray:
    samples = inputs.samples
    return samples["width_px"].to_numpy(dtype=np.float64) * samples["height_px"].to_numpy(dtype=np.float64)


def _table(
    name: str,
    inputs: Inputs,
    rows: np.ndarray,
    score: np.ndarray,
    measured: str,
    value: np.ndarray,
    limit: float | np.ndarray,
) -> pd.DataFrame:
    limits = np.broadcast_to(limit, value.shape)
    evidence = [
        {"measured": measured, "value": round(float(value[row]), 5), "threshold": round(float(limits[row]), 5)}
        for row in rows
    ]
    return issue_table(name, inputs, rows, score, np.ones(len(rows), bool), evidence)


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


def _detector(name: str, column: str, title: str, search: Callable[[Inputs], pd.DataFrame]) -> Detector:
    return Detector(name=name, needs=("samples." + column,), find=search, title=title, priority=60)


def _limited(name: str, title: str) -> Detector:
    return _detector(name, LIMITS[name].column, title, partial(find, name=name))


DARK = _limited("dark", "too dark")
BRIGHT = _limited("bright", "too bright")
BLURRY = _limited("blurry", "blurred")
LOW_INFORMATION = _limited("low_information", "nearly empty")
GREY = _detector("grey", "saturation_p99", "grey among coloured pictures", find_grey)
ODD_SIZE = _detector("odd_size", "width_px", "far larger or smaller than the others", find_odd_size)
ODD_ASPECT_RATIO = _detector(
    "odd_aspect_ratio", "width_px", "far wider or taller than the others", find_odd_aspect_ratio
)
