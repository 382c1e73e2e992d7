"""Which pictures may be near duplicates: a search that no mirroring or turning can escape, by low frequencies.

A fingerprint is the 8 x 8 block of lowest DCT frequencies of the 64 x 64 luma, without the mean, weighted by frequency
and scaled to length 1. Mirroring changes signs of its entries, turning swaps entries (u, v) and (v, u): so the larger
and the smaller of |c_uv| and |c_vu| are the same for all eight positions of a picture. These 64 numbers are the search
vector, and since taking magnitudes and sorting never increase a distance, a pair that is near in any position is near
here: one search instead of eight misses nothing.

A crop moves everything. Each picture therefore also asks with nine windows of itself, 93 % wide and high.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from curation.progress import Advance

FREQUENCIES = 8
RADIUS = 0.40  # holds 99 % of random 3-10 % crops of three kinds of pictures, and about 0.1 others per photo and window
NEAREST = 8  # candidates kept per picture and window, the nearest in their best position ...
SEARCHED = 32  # ... among so many that are nearest whatever their position
FLAT_LEVELS = 4.0  # standard deviation of luma (0..255) below which a picture has nothing to compare
WINDOW_LIMIT = 200_000  # pictures; above this only whole pictures ask, since nine more searches would take hours
_WINDOW = 0.07
_ROWS, _COLUMNS = 512, 4096  # of a block of distances: 8 MB, about what a core's cache holds
_MERGED_AT = 2**20  # candidates, 36 MB

_PLACES = (0.0, _WINDOW / 2, _WINDOW)

# (top, bottom, left, right) in parts of the picture: all of it, then three by three places of a smaller window
WINDOWS = np.array(
    [(0, 1, 0, 1)] + [(top, top + 1 - _WINDOW, left, left + 1 - _WINDOW) for top in _PLACES for left in _PLACES],
    dtype=np.float32,
)

# Position of b when a is upright: (transpose, upside down, left-right), done in this order.
TRANSFORMS: dict[str, tuple[bool, bool, bool]] = {
    "same": (False, False, False),
    "mirrored": (False, False, True),
    "flipped": (False, True, False),
    "rotated 180": (False, True, True),
    "transposed": (True, False, False),
    "rotated 270": (True, True, False),
    "rotated 90": (True, False, True),
    "transversed": (True, True, True),
}


def turn(pictures: np.ndarray, transform: int) -> np.ndarray:
    """(..., S, S) arrays put in position `transform` (a number in TRANSFORMS); rotations are clockwise."""
    transpose, upside_down, mirrored = list(TRANSFORMS.values())[transform]
    if transpose:
        pictures = pictures.swapaxes(-1, -2)
    if upside_down:
        pictures = pictures[..., ::-1, :]
    return pictures[..., ::-1] if mirrored else pictures


def interpolation(low: np.ndarray, high: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n, size, size) that stretch the part low..high of an axis to all of it, and which rows are inside."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    place = (low[:, None] + centre * (high - low)[:, None]) * size - 0.5
    inside = (place > -1) & (place < size)
    weight = np.clip(place, 0, size - 1)[:, :, None] - np.arange(size, dtype=np.float32)
    np.abs(weight, out=weight)
    np.maximum(np.subtract(1, weight, out=weight), 0, out=weight)
    return weight, inside.astype(np.float32)


def coefficients(grey: np.ndarray, window: np.ndarray = WINDOWS[0]) -> np.ndarray:
    """(n, 8, 8) float32 fingerprints of a window of (n, 64, 64) uint8 luma; zero for a picture without contrast."""
    blocks = [window_coefficients(grey[start : start + 1024], window[None]) for start in range(0, len(grey), 1024)]
    return np.concatenate(blocks, axis=1)[0] if blocks else np.zeros((0, FREQUENCIES, FREQUENCIES), np.float32)


def window_coefficients(grey: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(w, n, 8, 8) float32 fingerprints of w windows of n pictures; what windows share is computed once."""
    size = grey.shape[1]
    centre = (np.arange(size) + 0.5) / size
    cosines = np.cos(np.pi * centre * np.arange(FREQUENCIES)[:, None]).astype(np.float32)
    rows, row_of = np.unique(windows[:, :2], axis=0, return_inverse=True)
    columns, column_of = np.unique(windows[:, 2:], axis=0, return_inverse=True)
    down, across = (cosines @ interpolation(low, high, size)[0] for low, high in (rows.T, columns.T))
    frequency = np.arange(FREQUENCIES)
    weight = np.hypot(frequency[:, None], frequency).astype(np.float32)  # nature's spectra fall as 1 / frequency
    found = np.empty((len(windows), len(grey), FREQUENCIES, FREQUENCIES), np.float32)
    half = (down.reshape(-1, size) @ grey.astype(np.float32)).reshape(len(grey), len(rows), FREQUENCIES, size)
    for number in range(len(windows)):
        found[number] = half[:, row_of[number]] @ across[column_of[number]].T * weight
    return found / (np.linalg.norm(found, axis=(2, 3), keepdims=True) + 1e-6)


def invariants(fingerprints: np.ndarray) -> np.ndarray:
    """(n, 64) float32 search vectors, equal for all eight positions of a picture."""
    size = np.abs(fingerprints)
    swapped = size.swapaxes(1, 2)
    upper, diagonal = np.triu_indices(FREQUENCIES, 1), np.arange(FREQUENCIES)
    pairs = [np.maximum(size, swapped)[:, *upper], np.minimum(size, swapped)[:, *upper]]
    return np.concatenate([*pairs, size[:, diagonal, diagonal]], axis=1)


@dataclass(frozen=True)
class Candidates:
    """Pairs to verify: window `window` of picture `a` looks like picture `b` when put in position `transform`.

    distance : between the fingerprints, in [0, 2]
    """

    a: np.ndarray
    b: np.ndarray
    window: np.ndarray
    transform: np.ndarray
    distance: np.ndarray

    def take(self, places: np.ndarray) -> Candidates:
        return Candidates(*(values[places] for values in vars(self).values()))


def find_candidates(grey: np.ndarray, base: np.ndarray, advance: Advance, threads: int = 1) -> Candidates:
    """Candidate pairs among (n, 64, 64) luma pictures, each pair once, from the side and window where it is nearest.

    `base` are the pictures' `coefficients`. Exact within RADIUS but for the limits SEARCHED and NEAREST per picture.
    Time grows with n squared, memory with n. `advance` is called with 1 for each of `count_blocks(n)` blocks.
    """
    search = _Search(grey, base, WINDOWS if len(grey) <= WINDOW_LIMIT else WINDOWS[:1])
    found = [_merged([])]
    with ThreadPoolExecutor(threads) as pool:
        for block in pool.map(search.block, range(0, len(grey), _ROWS)):
            found.append(block)
            if sum(len(candidates.a) for candidates in found[1:]) > _MERGED_AT:
                found = [_merged(found)]
            advance(1)
    return _merged(found)


def count_blocks(count: int) -> int:
    """How many times `find_candidates` advances for `count` pictures."""
    return -(-count // _ROWS)


def _merged(found: list[Candidates]) -> Candidates:
    """All of them, each unordered pair once, where its distance is least."""
    if not found:
        whole = np.zeros(0, np.int64)
        return Candidates(whole, whole, whole, whole, np.zeros(0, np.float32))
    every = Candidates(*(np.concatenate(parts) for parts in zip(*(vars(f).values() for f in found), strict=True)))
    low, high = np.minimum(every.a, every.b), np.maximum(every.a, every.b)
    order = np.lexsort((every.a, every.window, every.distance, high, low))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    return every.take(order[first])


def _principal_axes(vectors: np.ndarray, count: int = 40) -> np.ndarray:
    """(64, count) orthonormal axes along which the vectors differ most; distances along them are a lower bound."""
    sample = vectors[:: max(1, len(vectors) // 20_000)]
    _, axes = np.linalg.eigh(np.cov(sample.T) if len(sample) > 1 else np.eye(vectors.shape[1]))
    return np.ascontiguousarray(axes[:, ::-1][:, :count], dtype=np.float32)


class _Search:
    """Questions of some windows of pictures against all pictures, a block of pictures at a time."""

    def __init__(self, grey: np.ndarray, base: np.ndarray, windows: np.ndarray) -> None:
        self.grey, self.base, self.windows = grey, base, windows
        self.vectors = invariants(base)
        self.axes = _principal_axes(self.vectors)
        # One product gives squared distances: |q|^2 + |v|^2 - 2 qv, with the norms as two further columns.
        short = self.vectors @ self.axes
        norm = np.sum(short**2, axis=1, keepdims=True)
        self.right = np.ascontiguousarray(np.concatenate([short, norm, np.ones_like(norm)], axis=1).T)

    def block(self, first: int) -> Candidates:
        """Candidates that the pictures first..first + _ROWS ask for."""
        asking = window_coefficients(self.grey[first : first + _ROWS], self.windows)
        pairs = [self.near_pairs(first, invariants(fingerprints)) for fingerprints in asking]
        window = np.repeat(np.arange(len(asking)), [len(a) for a, _ in pairs])
        a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return _merged([_best_position(asking[window, a - first], self.base, a, b, window)])

    def near_pairs(self, first: int, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(a, b) with question a - first within RADIUS of vector b, a != b, at most SEARCHED per a."""
        limit = np.float32(RADIUS**2)
        short = questions @ self.axes
        norm = np.sum(short**2, axis=1, keepdims=True)
        left = np.concatenate([-2 * short, np.ones_like(norm), norm], axis=1)
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(self.vectors), _COLUMNS):
            near = np.flatnonzero(left @ self.right[:, start : start + _COLUMNS] < limit)
            row, column = np.divmod(near, min(_COLUMNS, len(self.vectors) - start))
            found.append((row + first, column + start))
        a, b = (np.concatenate(side) for side in zip(*found, strict=True))
        a, b = a[a != b], b[a != b]
        exact = np.empty(len(a), np.float32)
        for start in range(0, len(a), 65_536):
            part = slice(start, start + 65_536)
            exact[part] = np.sum((questions[a[part] - first] - self.vectors[b[part]]) ** 2, axis=1)
        near_enough = np.flatnonzero(exact < limit)
        kept = near_enough[_nearest(a[near_enough], b[near_enough], exact[near_enough], SEARCHED)]
        return a[kept], b[kept]


def _nearest(a: np.ndarray, b: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` nearest b of each a; the lower b on a tie."""
    order = np.lexsort((b, distance, a))
    sorted_a = a[order]
    return order[np.arange(len(a)) - np.searchsorted(sorted_a, sorted_a) < count]


def _best_position(
    asking: np.ndarray, base: np.ndarray, a: np.ndarray, b: np.ndarray, window: np.ndarray
) -> Candidates:
    """The position of b in which its fingerprint is nearest to `asking`, that of a's window; those beyond RADIUS go."""
    cosine = position_cosines(asking, base[b])
    best = cosine.argmax(axis=0) if len(a) else np.zeros(0, np.int64)
    distance = np.sqrt(np.maximum(0, 2 - 2 * cosine[best, np.arange(len(a))]))
    near = np.flatnonzero(distance < RADIUS)
    near = near[_nearest(a[near] * len(WINDOWS) + window[near], b[near], distance[near], NEAREST)]
    return Candidates(a[near], b[near], window[near], best[near], distance[near])


def position_cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(8, n) cosines of n pairs of fingerprints, the first in each of the eight positions."""
    return np.stack([np.einsum("nuv,nuv->n", turn_fingerprints(first, t), second) for t in range(len(TRANSFORMS))])


def turn_fingerprints(fingerprints: np.ndarray, transform: int) -> np.ndarray:
    """(n, 8, 8) fingerprints of pictures after `turn`, from those before it."""
    transpose, upside_down, mirrored = list(TRANSFORMS.values())[transform]
    alternating = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)
    if transpose:
        fingerprints = fingerprints.swapaxes(-1, -2)
    if upside_down:
        fingerprints = fingerprints * alternating[:, None]
    return fingerprints * alternating if mirrored else fingerprints
