"""What a network is to learn of each picture of a version, as arrays: its class, or classes, how many, or boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from curation.exporters.contract import Content
from curation.exporters.marks import counts_of


def class_ids(content: Content) -> list[int]:
    """The class of each picture, -1 = none."""
    found: list[int] = content.samples["class_id"].tolist()
    return found


def label_sets(content: Content) -> np.ndarray:
    """(N, K) float32, 1 where a picture has the class, as binary cross entropy wants it."""
    return (counts_of(content) > 0).astype(np.float32)


def boxes(content: Content) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each picture its boxes (M, 4) float32, left, top, right, bottom in its pixels, and their classes (M,) int64.

    Boxes are clipped to the picture; one of which nothing is left cannot be learnt, and is left out.
    """
    rows = content.rows[(content.rows["label"] != "") & content.rows["x"].notna()]
    picture = pd.Index(content.samples["sample_id"]).get_indexer(rows["sample_id"])
    order = np.argsort(picture, kind="stable")
    rows, picture = rows.iloc[order], picture[order]
    class_id = pd.Index(content.classes).get_indexer(rows["label"]).astype(np.int64)
    place = rows[["x", "y", "w", "h"]].to_numpy(np.float64)
    size = content.samples[["width_px", "height_px"]].to_numpy(np.float64)[picture]
    first = np.clip(place[:, :2], 0, size)
    last = np.clip(place[:, :2] + place[:, 2:], 0, size)
    there = (last > first).all(axis=1)
    corners = np.concatenate([first, last], axis=1).astype(np.float32)[there]
    picture, class_id = picture[there], class_id[there]
    ends = np.searchsorted(picture, np.arange(1, len(content.samples)))
    return list(zip(np.split(corners, ends), np.split(class_id, ends), strict=True))


# By task, something that gives the target of picture i as [i].
TARGETS: dict[str, Callable[[Content], Any]] = {
    "single-label": class_ids,
    "multi-label": label_sets,
    "counts": counts_of,
    "detection": boxes,
}
