"""What a network is to learn of each picture of a version, as arrays: its class, or classes, how many, or boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from curation.exporters.contract import Content


def class_ids(content: Content) -> list[int]:
    """The class of each picture, -1 = none."""
    found: list[int] = content.samples["class_id"].tolist()
    return found


def label_sets(content: Content) -> np.ndarray:
    """(N, K) float32, 1 where a picture has the class, as binary cross entropy wants it."""
    return (counts(content) > 0).astype(np.float32)


def counts(content: Content) -> np.ndarray:
    """(N, K) int64, how many of each class are in each picture."""
    found = np.zeros((len(content.samples), len(content.classes)), dtype=np.int64)
    picture, class_id, _ = _annotations(content, boxed=False)
    np.add.at(found, (picture, class_id), 1)
    return found


def boxes(content: Content) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each picture its boxes (M, 4) float32, left, top, right, bottom in its pixels, and their classes (M,) int64.

    Boxes are clipped to the picture; one of which nothing is left cannot be learnt, and is left out.
    """
    picture, class_id, place = _annotations(content, boxed=True)
    size = content.samples[["width_px", "height_px"]].to_numpy(np.float64)[picture]
    first = np.clip(place[:, :2], 0, size)
    last = np.clip(place[:, :2] + place[:, 2:], 0, size)
    there = (last > first).all(axis=1)
    corners = np.concatenate([first, last], axis=1).astype(np.float32)[there]
    picture, class_id = picture[there], class_id[there]
    ends = np.searchsorted(picture, np.arange(1, len(content.samples)))
    return list(zip(np.split(corners, ends), np.split(class_id, ends), strict=True))


def _annotations(content: Content, boxed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture (A,), class (A,) and box (A, 4) x, y, w, h of all labelled rows, by picture; those with a box only."""
    rows = content.rows
    wanted = (rows["label"] != "").to_numpy() & (rows["x"].notna().to_numpy() | (not boxed))
    rows = rows[wanted]
    place = {label: k for k, label in enumerate(content.classes)}
    row_of = {sample: row for row, sample in enumerate(content.samples["sample_id"].tolist())}
    picture = np.array([row_of[sample] for sample in rows["sample_id"].tolist()], dtype=np.int64)
    class_id = np.array([place[label] for label in rows["label"].tolist()], dtype=np.int64)
    order = np.argsort(picture, kind="stable")
    numbers = rows[["x", "y", "w", "h"]].to_numpy(np.float64)
    return picture[order], class_id[order], numbers[order]


# By task, something that gives the target of picture i as [i].
TARGETS: dict[str, Callable[[Content], Any]] = {
    "single-label": class_ids,
    "multi-label": label_sets,
    "counts": counts,
    "detection": boxes,
}
