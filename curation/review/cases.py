"""Clusters of duplicates as cases: which pictures belong to one, and which of them to keep, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.decisions import case_id

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


def propose_keep(copies: pd.DataFrame, favoured: str = "") -> Proposal:
    """The copy to keep: measured on, not trained on; larger, coloured, sharper, less compressed, labelled, by path.

    copies : rows of samples.parquet with a column `label`; columns that are missing do not decide.
    favoured : the label that is probably right, where copies disagree; "" = nothing favours one

    One criterion after the other: the first that tells the two best copies apart is the reason given. A team can
    defend that; a weighted sum of measurements it cannot.
    """
    ranks = _criteria(copies, favoured)
    keys = pd.DataFrame({name: values for name, (values, _) in ranks.items()}).reset_index(drop=True)
    order = keys.sort_values(list(keys.columns), kind="stable").index.to_numpy()
    best = int(order[0])
    if len(order) == 1:
        return Proposal(best, "It is the only one.")
    second = int(order[1])
    for values, say in ranks.values():
        if values[best] != values[second]:
            return Proposal(best, say(best, second))
    return Proposal(best, "The copies are alike in everything measured; the first by name is proposed.")


def _criteria(copies: pd.DataFrame, favoured: str):  # type: ignore[no-untyped-def]  # name -> ((n,) rank, low = keep; sentence)
    split = copies["split"].to_numpy(dtype=object) if "split" in copies else np.full(len(copies), "", dtype=object)
    label = copies["label"].to_numpy(dtype=object) if "label" in copies else np.full(len(copies), "", dtype=object)
    width, height = _numbers(copies, "width_px"), _numbers(copies, "height_px")
    saturation, sharp, size = (_numbers(copies, name) for name in ("saturation", "sharpness", "file_bytes"))
    pixels = width * height
    # Of formats that lose nothing, more bytes are only a worse encoder.
    comparable = "format" in copies and copies["format"].nunique() == 1 and copies["format"].iat[0] in _LOSSY
    measured = np.array([_MEASURED_ON.index(s) if s in _MEASURED_ON else len(_MEASURED_ON) for s in split])
    made_grey = (saturation < GREY) & (np.nanmax(saturation, initial=0.0) >= COLOURED)
    return {
        "split": (
            measured,
            lambda a, b: f"It is in '{split[a]}', which results are compared on; the copy in '{split[b]}' should go.",
        ),
        "pixels": (
            _steps(pixels, LARGER),
            lambda a, b: (
                f"It is larger: {width[a]:.0f} x {height[a]:.0f} pixels, not {width[b]:.0f} x {height[b]:.0f}."
            ),
        ),
        "colour": (made_grey.astype(int), lambda a, b: "It has its colours; the other one was made grey."),
        "sharpness": (
            _steps(sharp, SHARPER),
            lambda a, b: f"It is sharper: {sharp[a]:.3g} against {sharp[b]:.3g}.",
        ),
        "bytes": (
            _steps(size, LESS_COMPRESSED) if comparable else np.zeros(len(copies)),
            lambda a, b: f"It is less compressed: {_kilobytes(float(size[a]))} against {_kilobytes(float(size[b]))}.",
        ),
        "labelled": ((label == "").astype(int), lambda a, b: "It has a label; the other one has none."),
        "favoured": (
            (label != favoured).astype(int) if favoured else np.zeros(len(copies)),
            lambda a, b: "The copies are alike in everything measured; this one has the label that is favoured.",
        ),
        "path": (
            np.argsort(np.argsort(copies["path"].to_numpy(dtype=object).astype(str), kind="stable")),
            lambda a, b: "The copies are alike in everything measured; the first by name is proposed.",
        ),
    }


def _numbers(copies: pd.DataFrame, name: str) -> np.ndarray:
    return copies[name].to_numpy(dtype=np.float64) if name in copies else np.full(len(copies), np.nan)


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
