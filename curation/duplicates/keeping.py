"""Which of several copies of a picture is worth keeping, and why, in words: one rule for detectors and reviewers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

LARGER, SHARPER, LESS_COMPRESSED = 1.02, 1.05, 1.05  # a difference below this factor is none
GREY, COLOURED = 0.02, 0.04  # mean saturation of a picture made grey, and of its coloured twin
# A leak is settled in favour of the split that results are compared on.
_MEASURED_ON = ("test", "val")
_LOSSY = ("JPEG", "WEBP", "AVIF", "MPO")


@dataclass(frozen=True)
class Proposal:
    """Which of several copies to keep: its place among them, and why, as one sentence."""

    place: int
    why: str


@dataclass(frozen=True)
class _Criterion:
    """rank : (n,) of the copies, low = keep; say : what makes copy a better than copy b, as a sentence."""

    rank: np.ndarray
    say: Callable[[int, int], str]


def propose_keep(copies: pd.DataFrame, favoured: str = "") -> Proposal:
    """The copy to keep: measured on, not trained on; larger, coloured, sharper, less compressed, labelled, by path.

    copies : rows of samples.parquet with a column `label`; columns that are missing do not decide.
    favoured : the label that is probably right, where copies disagree; "" = nothing favours one

    One criterion after the other: the first that tells the two best copies apart is the reason given. A team can
    defend that; a weighted sum of measurements it cannot.
    """
    criteria = _criteria({str(name): copies[name].to_numpy() for name in copies}, len(copies), favoured)
    order = _order(criteria)
    best = int(order[0])
    if len(order) == 1:
        return Proposal(best, "It is the only one.")
    second = int(order[1])
    for criterion in criteria:
        if criterion.rank[best] != criterion.rank[second]:
            return Proposal(best, criterion.say(best, second))
    return Proposal(best, _ALIKE)


def keep_order(samples: pd.DataFrame, has_label: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """(N,) int64: place of each picture among its copies in the order of `propose_keep`, 0 = keep.

    samples : N rows of SAMPLE_COLUMNS and measurements; has_label : (N,) bool; cluster : (N,) int64, copies share one
    """
    columns = {name: samples[name].to_numpy() for name in _LOOKED_AT if name in samples}
    columns["label"] = np.where(has_label, "labelled", "")
    place = np.zeros(len(samples), dtype=np.int64)
    _, of, size = np.unique(cluster, return_inverse=True, return_counts=True)
    copies = np.flatnonzero(size[of] > 1)
    copies = copies[np.argsort(of[copies], kind="stable")]
    for rows in np.split(copies, np.flatnonzero(np.diff(of[copies])) + 1) if len(copies) else ():
        mine = {name: values[rows] for name, values in columns.items()}
        place[rows[_order(_criteria(mine, len(rows)))]] = np.arange(len(rows))
    return place


def _order(criteria: list[_Criterion]) -> np.ndarray:
    return np.lexsort([criterion.rank for criterion in reversed(criteria)])


_ALIKE = "No copy is of better quality; the first by name is proposed."
_LOOKED_AT = ("split", "width_px", "height_px", "format", "saturation", "sharpness", "file_bytes", "path")


def _criteria(copies: dict[str, np.ndarray], count: int, favoured: str = "") -> list[_Criterion]:
    """What tells copies apart, the weightiest first; `copies` has (n,) values by column."""
    nothing = np.full(count, np.nan)
    split, label, path, kind = (copies.get(name, np.full(count, "")) for name in ("split", "label", "path", "format"))
    width, height = copies.get("width_px", nothing), copies.get("height_px", nothing)
    saturation, sharp, size = (
        np.asarray(copies.get(name, nothing), dtype=np.float64) for name in ("saturation", "sharpness", "file_bytes")
    )
    measured = np.array([_MEASURED_ON.index(s) if s in _MEASURED_ON else len(_MEASURED_ON) for s in split])
    made_grey = (saturation < GREY) & (np.nanmax(saturation, initial=0.0) >= COLOURED)
    # Of formats that lose nothing, more bytes are only a worse encoder.
    comparable = kind[0] in _LOSSY and bool((kind == kind[0]).all())
    none = np.zeros(count)
    return [
        _Criterion(
            measured,
            lambda a, b: f"It is in '{split[a]}', which results are compared on; the copy in '{split[b]}' should go.",
        ),
        _Criterion(
            _steps(np.asarray(width, dtype=np.float64) * np.asarray(height, dtype=np.float64), LARGER),
            lambda a, b: (
                f"It is larger: {width[a]:.0f} x {height[a]:.0f} pixels, not {width[b]:.0f} x {height[b]:.0f}."
            ),
        ),
        _Criterion(made_grey, lambda a, b: "It has its colours; the other one was made grey."),
        _Criterion(_steps(sharp, SHARPER), lambda a, b: f"It is sharper: {sharp[a]:.3g} against {sharp[b]:.3g}."),
        _Criterion(
            _steps(size, LESS_COMPRESSED) if comparable else none,
            lambda a, b: f"It is less compressed: {_kilobytes(float(size[a]))} against {_kilobytes(float(size[b]))}.",
        ),
        _Criterion(label == "", lambda a, b: "It has a label; the other one has none."),
        _Criterion(
            label != favoured if favoured else none,
            lambda a, b: "No copy is of better quality; this one has the label that is favoured.",
        ),
        _Criterion(np.argsort(np.argsort(path.astype(str), kind="stable")), lambda a, b: _ALIKE),
    ]


def _steps(values: np.ndarray, factor: float) -> np.ndarray:
    """(n,) rank from 0 = largest; values closer than `factor` to the largest of their step share a rank; NaN last."""
    values = np.nan_to_num(values, nan=0.0)
    rank = np.zeros(len(values), dtype=np.int64)
    step, top = -1, np.inf
    for place in np.argsort(-values, kind="stable").tolist():
        if values[place] * factor < top:
            step, top = step + 1, values[place]
        rank[place] = step
    return rank


def _kilobytes(size: float) -> str:
    return f"{size:.0f} bytes" if size < 1000 else f"{size / 1000:,.0f} KB"
