"""Boxes that cannot be right whatever they hold: without area, outside of the picture, or reaching beyond it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table

NAME = "box_geometry"
# Formats disagree on whether the last pixel is counted: a box may reach so far beyond the picture.
TOLERANCE_PX = 1.0
# A box this narrow is a slip of the mouse.
NARROW_PX = 2.0


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per impossible box.

    Score: 0 without area or outside of the picture, 0.1 for a sliver, and half of the share of the box that lies in the
    picture where it reaches beyond. The suggestion is "remove", or "clip" where most of the box is there.
    """
    assert inputs.boxes is not None
    x, y, w, h = inputs.boxes.T
    width = inputs.samples["picture_width_px"].to_numpy(dtype=np.float64)
    height = inputs.samples["picture_height_px"].to_numpy(dtype=np.float64)
    inside_w = np.minimum(x + w, width) - np.maximum(x, 0)
    inside_h = np.minimum(y + h, height) - np.maximum(y, 0)
    beyond = np.max([-x, -y, x + w - width, y + h - height], axis=0, initial=0.0)
    empty = (w <= 0) | (h <= 0)
    outside = ~empty & ((inside_w <= 0) | (inside_h <= 0))
    cut = ~empty & ~outside & (beyond > TOLERANCE_PX)
    sliver = ~empty & ~outside & ~cut & (np.minimum(w, h) < NARROW_PX)
    share = np.where(cut, inside_w * inside_h / np.where(empty, 1.0, w * h), 0.0)
    kinds = {
        "no area": (empty, np.zeros(len(x)), "shorter_side_px", np.minimum(w, h), 0.0),
        "outside of the picture": (outside, np.zeros(len(x)), "beyond_px", beyond, 0.0),
        "beyond the picture": (cut, 0.5 * share, "beyond_px", beyond, TOLERANCE_PX),
        "hardly a line": (sliver, np.full(len(x), 0.1), "shorter_side_px", np.minimum(w, h), NARROW_PX),
    }
    rows: list[int] = []
    score: list[float] = []
    suggestion: list[str] = []
    evidence: list[dict[str, Any]] = []
    for kind, (which, values, measured, value, limit) in kinds.items():
        for row in np.flatnonzero(which).tolist():
            rows.append(row)
            score.append(float(np.clip(values[row], 0.0, 0.5)))
            suggestion.append("clip" if share[row] >= 0.5 else "remove")
            evidence.append(
                {
                    "problem": kind,
                    "measured": measured,
                    "value": round(float(value[row]), 3),
                    "threshold": limit,
                    "picture": [int(width[row]), int(height[row])],
                }
            )
    return issue_table(NAME, inputs, np.array(rows), np.array(score), np.ones(len(rows), bool), evidence, suggestion)


DETECTOR = Detector(name=NAME, needs=("boxes",), find=find, title="impossible box", priority=5)
