"""How far boxes of one picture overlap."""

from __future__ import annotations

import numpy as np

# Boxes of one picture that are compared with all others at once: a picture with 10,000 boxes needs no gigabyte.
BLOCK = 512
# From this overlap on, two boxes are in the same place beyond doubt.
SAME_PLACE = 0.75
# What one box in a hundred would reach, if overlaps thinned out beyond the upper tenth as they do below it. That
# hundredth itself is not looked at: where it lies is decided by objects that were labelled twice.
LOWER, UPPER, USUAL = 0.75, 0.90, 0.99


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(A, B) intersection over union of boxes (A, 4) and (B, 4) x, y, w, h; 0 where a box has no area."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    common = np.prod(np.maximum(opposite - corner, 0.0), axis=2)
    area = [np.prod(np.maximum(boxes[:, 2:], 0.0), axis=1) for boxes in (first, second)]
    together = area[0][:, None] + area[1][None] - common
    return np.asarray(common / np.where(together > 0, together, 1.0))


def members_of(picture: np.ndarray) -> list[np.ndarray]:
    """Row numbers of the boxes of each picture that has any, in ascending order."""
    order = np.argsort(picture, kind="stable")
    starts = np.flatnonzero(np.diff(picture[order], prepend=-1))
    return np.split(order, starts[1:]) if len(order) else []


def overlapping_pairs(
    picture: np.ndarray, boxes: np.ndarray, least: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of boxes of one picture that overlap by more than `least`: row numbers a < b (P,), and the overlap (P,).

    picture : (B,) int64, >= 0, the picture of each box; boxes : (B, 4) x, y, w, h
    """
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for members in members_of(picture):
        for start in range(0, len(members) if len(members) > 1 else 0, BLOCK):
            part = members[start : start + BLOCK]
            overlap = iou(boxes[part], boxes[members])
            a, b = np.nonzero(overlap > least)
            later = members[b] > part[a]
            a, b = a[later], b[later]
            found.append((part[a], members[b], overlap[a, b]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    first, second, overlap = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first, second, overlap


def usual_overlap(count: int, a: np.ndarray, b: np.ndarray, overlap: np.ndarray) -> float:
    """By how much objects of this set overlap at most, as a rule: about 0 where they are scattered, more in a crowd.

    count : of boxes; a, b, overlap : as `overlapping_pairs` gives them
    """
    if not count:
        return 0.0
    ordinary = overlap < SAME_PLACE
    largest = np.zeros(count)
    for end in (a, b):
        np.maximum.at(largest, end[ordinary], overlap[ordinary])
    low, high = np.quantile(largest, [LOWER, UPPER])
    return float(high + (high - low) * np.log((1 - UPPER) / (1 - USUAL)) / np.log((1 - LOWER) / (1 - UPPER)))
