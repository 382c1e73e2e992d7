"""What speaks for and against one label among several of a picture, as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs, set_names

# Rows whose evidence is written at once: only one block of Python strings lives beside the compact column.
BLOCK = 1 << 16


def set_evidence(inputs: Inputs, rows: np.ndarray, classes: np.ndarray) -> pd.Series:
    """(R,) JSON texts: `class`, `p_there` (the model's probability that it is there), `labels` (all that the picture
    has), `neighbours_with` of `neighbours` nearest pictures have the class, `training_margin`, `judged`, `threshold`,
    and `combination` where the class is odd beside the others (see scoring.label_sets)."""
    odd = odd_by_entry(inputs)
    blocks = [
        pd.Series(_block(inputs, rows[start : start + BLOCK], classes[start : start + BLOCK], odd), dtype="str")
        for start in range(0, len(rows), BLOCK)
    ]
    return pd.concat(blocks, ignore_index=True) if blocks else pd.Series([], dtype="str")


def _block(
    inputs: Inputs, rows: np.ndarray, classes: np.ndarray, odd: dict[tuple[int, int], dict[str, Any]]
) -> list[str]:
    assert inputs.label_sets is not None
    assert inputs.set_quality is not None
    given, quality = inputs.label_sets.given, inputs.set_quality
    prob = np.full(len(rows), np.nan) if inputs.pred_probs is None else np.asarray(inputs.pred_probs)[rows, classes]
    near = np.zeros((len(rows), 0), dtype=np.int64) if inputs.neighbours is None else inputs.neighbours[rows]
    carries = (near >= 0) & (given[np.maximum(near, 0), classes[:, None]] > 0)
    margin = inputs.extra.get("set_margin")
    margins = np.full(len(rows), np.nan) if margin is None else margin[rows, classes]
    texts = []
    for i, (row, k) in enumerate(zip(rows.tolist(), classes.tolist(), strict=True)):
        facts: dict[str, Any] = {
            "class": str(inputs.class_names[k]),
            "p_there": _number(prob[i]),
            "labels": set_names(inputs, row),
            "neighbours_with": int(carries[i].sum()),
            "neighbours": int((near[i] >= 0).sum()),
            "training_margin": _number(margins[i]),
            "judged": bool(quality.judged[row, k]),
            "threshold": quality.threshold,
        }
        if (row, k) in odd:
            facts["combination"] = odd[row, k]
        texts.append(json.dumps(facts, allow_nan=False))
    return texts


def odd_by_entry(inputs: Inputs) -> dict[tuple[int, int], dict[str, Any]]:
    """(row, class) to what is oddest about that class beside the others: `kind`, `other`, `pictures`, `expected`,
    `chance`. Where a label is always with another that is not there, that other one has the same, as "missing"."""
    assert inputs.label_sets is not None
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for line in inputs.label_sets.combinations.itertuples(index=False):
        facts = {
            "kind": line.kind,
            "other": str(inputs.class_names[line.other]),
            "pictures": int(line.pictures),
            "expected": round(float(line.expected), 1),
            "chance": float(f"{line.chance:.3g}"),
        }
        found.setdefault((line.row, line.label), facts)
        if line.kind == "always":
            found.setdefault(
                (line.row, line.other), {**facts, "kind": "missing", "other": str(inputs.class_names[line.label])}
            )
    return found


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
