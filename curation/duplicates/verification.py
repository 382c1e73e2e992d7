"""Candidate pairs -> near duplicates, verified: what has to agree, and by how much.

A near duplicate is verified when, one laid over the other (see `curation.duplicates.alignment`), layout, details and
colours agree: resized, re-compressed, mirrored, turned, made grey, cropped by up to about 10 %. How much detail must
agree is not one number for all data sets: pictures with few degrees of freedom (8 x 8 digits) fit by chance. So
look-alikes that are not each other's nearest are measured in the data set at hand, and a duplicate has to stand far
outside of them (an a-contrario test).

References
----------
Desolneux, Moisan & Morel (2008), From Gestalt theory to image analysis: detection against a background model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.duplicates import fingerprints
from curation.duplicates.alignment import Likeness, compare, lay
from curation.duplicates.fingerprints import TRANSFORMS, WINDOWS, Candidates
from curation.pixels import Pixels

MIN_CORRELATION = 0.93
MIN_DETAIL16, MIN_DETAIL32, MIN_DETAILS = 0.5, 0.33, 1.25  # MIN_DETAILS: of their sum
FINE_PX, FINE_LEVELS = 96, 0.7  # both pictures have that many pixels a side, and so much detail at 64 pixels; then ...
MIN_FINE_DETAIL32, MIN_FINE_DETAIL64 = 0.6, 0.8  # ... more is asked: neighbouring shots of a series stay below this
MIN_CROPPED_DETAILS = 1.6  # of a cropped pair without fine detail: a fit may move small pictures until they agree
MIN_OVERLAP = 0.75
MAX_COLOUR = 12.0  # mean difference of Cb and Cr, in levels
GREY_SATURATION, COLOUR_SATURATION = 0.02, 0.04  # mean saturation of a picture made grey, and of its coloured twin
MAX_DETAIL = 0.999  # agreement above this counts as this
CROPPED = 0.025  # a window that leaves out more than this part of a side is a crop
BACKGROUND_PICTURES, BACKGROUND_RANKS, BACKGROUND_SPREADS = 256, (10, 20), 6.0

EVIDENCE = ("correlation", "detail16", "detail32", "detail64", "overlap")
PAIR_COLUMNS = {"a": "int64", "b": "int64", "kind": "str", "transform": "str", "distance": "float64"}


@dataclass(frozen=True)
class Study:
    """The pictures that near duplicates are looked for among: one per group of exact ones, without the flat ones.

    rows : (n,) ascending row numbers of pixels.samples; grey : (n, 64, 64)
    base : (n, 8, 8) their fingerprints; needed : see `background_detail`
    """

    pixels: Pixels
    rows: np.ndarray
    grey: np.ndarray
    base: np.ndarray
    needed: float = -np.inf


def pair_table(
    a: np.ndarray,
    b: np.ndarray,
    kind: np.ndarray,
    transform: np.ndarray,
    distance: np.ndarray,
    evidence: dict[str, np.ndarray],
) -> pd.DataFrame:
    values = {"a": a, "b": b, "kind": kind, "transform": transform, "distance": distance}
    table = {name: pd.Series(values[name]).astype(dtype) for name, dtype in PAIR_COLUMNS.items()}  # type: ignore[call-overload]
    return pd.DataFrame(table | {name: np.asarray(evidence[name], dtype=np.float64) for name in EVIDENCE})


def background_detail(grey: np.ndarray, base: np.ndarray) -> float:
    """How far the details of a pair must agree here, in Fisher's z, given how far they do among mere look-alikes.

    Look-alikes are pictures with their 10th to 20th nearest, so that even 10 copies of every picture do not count as
    background. The bound is the median plus BACKGROUND_SPREADS times the spread below the median (above it there may
    be duplicates). -inf where there are too few pictures to know.
    """
    low, high = BACKGROUND_RANKS
    if len(grey) < 2 * high:
        return -np.inf
    rng = np.random.default_rng(0)
    asking = np.sort(rng.permutation(len(grey))[:BACKGROUND_PICTURES])
    vectors = fingerprints.invariants(base)
    squared = np.sum(vectors**2, axis=1) - 2 * vectors[asking] @ vectors.T  # up to a constant per row
    ranked = np.argpartition(squared, high, axis=1)[:, : high + 1]
    ranked = np.take_along_axis(ranked, np.take_along_axis(squared, ranked, axis=1).argsort(axis=1), axis=1)
    other = ranked[np.arange(len(asking)), rng.integers(low, high + 1, len(asking))]
    position = fingerprints.position_cosines(base[asking], base[other]).argmax(axis=0)
    likeness = _compare(grey, asking, other, position, np.zeros(len(asking), np.int64), finest=32)
    z = _fisher(likeness)
    middle = float(np.median(z))
    return middle + BACKGROUND_SPREADS * max(middle - float(np.quantile(z, 0.16)), 0.02)


def _fisher(likeness: Likeness) -> np.ndarray:
    details = np.stack([likeness.detail16, likeness.detail32])
    return np.arctanh(np.clip(details, -MAX_DETAIL, MAX_DETAIL)).mean(axis=0)


def _compare(
    grey: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    transform: np.ndarray,
    window: np.ndarray,
    least_detail16: float = -1.0,
    finest: int = 64,
) -> Likeness:
    """Likeness of pictures `a`, put in position `transform`, with `b`; `window` numbers where the fit starts."""
    turned = np.empty((len(a), *grey.shape[1:]), np.uint8)
    edges = np.empty((len(a), 4), np.float32)
    for t in range(len(TRANSFORMS)):
        here = transform == t
        turned[here] = fingerprints.turn(grey[a[here]], t)
        edges[here] = _turned_window(WINDOWS[window[here]], t)
    return compare(turned, grey[b], edges, least_detail16, finest)


def _turned_window(window: np.ndarray, transform: int) -> np.ndarray:
    """Where a window (n, 4) of a picture lies after the picture was turned."""
    top, bottom, left, right = window.T
    transpose, upside_down, mirrored = list(TRANSFORMS.values())[transform]
    if transpose:
        top, bottom, left, right = left, right, top, bottom
    if upside_down:
        top, bottom = 1 - bottom, 1 - top
    if mirrored:
        left, right = 1 - right, 1 - left
    return np.stack([top, bottom, left, right], axis=1)


def verify(study: Study, candidates: Candidates) -> pd.DataFrame:
    """The candidates (numbers into `study.rows`) that are near duplicates, as a `pair_table`."""
    pixels, rows = study.pixels, study.rows
    a, b, transform = candidates.a, candidates.b, candidates.transform
    # The mean of two z has to reach `needed`: where the first is so low that no second can make up for it, stop there.
    within_reach = float(np.tanh(2 * study.needed - np.arctanh(MAX_DETAIL))) if np.isfinite(study.needed) else -1.0
    least_detail16 = max(MIN_DETAIL16, within_reach)
    likeness = _compare(study.grey, a, b, transform, candidates.window, least_detail16 - 1e-3)
    samples = pixels.samples
    side = np.minimum(samples["width_px"].to_numpy(), samples["height_px"].to_numpy())[rows]
    fine = (np.minimum(side[a], side[b]) >= FINE_PX) & (likeness.strength64 >= FINE_LEVELS)
    needed_details = np.where(_is_cropped(likeness.window) & ~fine, MIN_CROPPED_DETAILS, MIN_DETAILS)
    alike = (
        (likeness.correlation >= MIN_CORRELATION)
        & (likeness.detail16 >= MIN_DETAIL16)
        & (likeness.detail32 >= MIN_DETAIL32)
        & (likeness.detail16 + likeness.detail32 >= needed_details)
        & (~fine | (likeness.detail32 >= MIN_FINE_DETAIL32) & (likeness.detail64 >= MIN_FINE_DETAIL64))
        & (_overlap(likeness.window) >= MIN_OVERLAP)
        & (_fisher(likeness) >= study.needed)
    )
    kept = np.flatnonzero(alike)
    colour, made_grey = _colours(pixels, rows[a[kept]], rows[b[kept]], transform[kept], likeness.window[kept])
    right = (colour <= MAX_COLOUR) | made_grey
    kept, made_grey = kept[right], made_grey[right]
    return _near_table(rows[a[kept]], rows[b[kept]], transform[kept], made_grey, kept, likeness)


def _colours(
    pixels: Pixels, a: np.ndarray, b: np.ndarray, transform: np.ndarray, window: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean difference of the aligned chroma planes in levels, and whether one of the two is the other made grey."""
    if not len(a):
        return np.zeros(0), np.zeros(0, bool)
    first, second = pixels.chroma(a), pixels.chroma(b).astype(np.float32)
    for t in range(1, len(TRANSFORMS)):
        first[transform == t] = fingerprints.turn(first[transform == t], t)
    difference = np.zeros(len(a))
    for plane in range(2):
        laid, mask = lay(first[:, plane].astype(np.float32), window)
        difference += (np.abs(laid - second[:, plane]) * mask).sum(axis=(1, 2)) / mask.sum(axis=(1, 2)) / 2
    saturation = pixels.samples["saturation"].to_numpy()
    low, high = np.minimum(saturation[a], saturation[b]), np.maximum(saturation[a], saturation[b])
    return difference, (low <= GREY_SATURATION) & (high >= COLOUR_SATURATION)


_INVERSE = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}


def _near_table(
    a: np.ndarray, b: np.ndarray, transform: np.ndarray, made_grey: np.ndarray, kept: np.ndarray, likeness: Likeness
) -> pd.DataFrame:
    window = likeness.window[kept]
    cropped = _is_cropped(window)
    names = list(TRANSFORMS)
    words = []
    for at in range(len(kept)):
        name = names[transform[at]]
        name = _INVERSE.get(name, name) if a[at] > b[at] else name
        words.append(", ".join([name, *["cropped"] * bool(cropped[at]), *["grey"] * bool(made_grey[at])]))
    evidence = {name: getattr(likeness, name)[kept] for name in EVIDENCE[:-1]} | {"overlap": _overlap(window)}
    distance = np.maximum(0, 1 - evidence["correlation"])
    kind, texts = np.full(len(kept), "near"), np.array(words, dtype=object)
    return pair_table(np.minimum(a, b), np.maximum(a, b), kind, texts, distance, evidence)


def _is_cropped(window: np.ndarray) -> np.ndarray:
    return np.abs(window - np.array([0, 1, 0, 1])).max(axis=1, initial=0) > CROPPED


def _overlap(window: np.ndarray) -> np.ndarray:
    """The part of the larger of two pictures that the other shows, too, for windows (n, 4)."""
    shared = np.ones(len(window))
    for low, high in ((0, 1), (2, 3)):
        common = np.minimum(window[:, high], 1) - np.maximum(window[:, low], 0)
        shared *= common / np.maximum(1, window[:, high] - window[:, low])
    return shared
