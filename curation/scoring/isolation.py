"""How alone each picture is: the distance to its k-th nearest, on a scale that is measured in the set itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Distances are measured to at most this many pictures, evenly drawn: being alone does not need all of them.
REFERENCES = 5_000
# A group smaller than this (or than half of the class that it is filed under) is alone, however close its members are.
LARGEST_GROUP, SMALLEST_GROUP = 50, 5
# The smallest set in which "unlike the rest" has meaning.
FEWEST = 20
# The share of pictures above which the upper tail begins, and where it lies in a normal distribution.
TAIL, TAIL_Z = 0.975, 1.96
BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class Isolation:
    """Of N pictures.

    z : (N,) log of the distance in spreads above the median, high = alone; 0 where nothing can be said
    distance : (N,) to the k-th nearest picture that is no duplicate, NaN where there are not so many
    usual : its median
    spread : of its log: the robust standard deviation, or that of the upper tail where it is longer
    """

    z: np.ndarray
    distance: np.ndarray
    usual: float
    spread: float


def isolation(space: np.ndarray, labels: np.ndarray, cluster: np.ndarray, seed: int = 0) -> Isolation:
    """Measure how alone each picture is.

    The k-th neighbour, not the nearest: a handful of foreign pictures are often close to each other. k is 50, but half
    of the class that a picture is filed under where that is less: a small class is not foreign.

    Parameters
    ----------
    space : (N, D) float32, where Euclidean distance means unlikeness
    labels : (N,) int64, -1 = no label
    cluster : (N,) int64, duplicates share one; they do not count as neighbours
    """
    count = len(space)
    if count < FEWEST:
        return Isolation(np.zeros(count), np.full(count, np.nan), np.nan, 0.0)
    references = np.sort(np.random.default_rng(seed).permutation(count)[:REFERENCES])
    group = np.clip(np.bincount(labels + 1)[labels + 1] // 2, SMALLEST_GROUP, LARGEST_GROUP)
    k = np.clip(np.round(group * len(references) / count), SMALLEST_GROUP, len(references) - 1).astype(np.int64)
    distance = _distances(space, references, cluster, k)
    log_distance = np.log(np.maximum(distance, 1e-9))
    middle, spread = _centre_and_spread(log_distance[np.isfinite(log_distance)])
    # Spread 0: more than half are equally far (all pictures identical); then there is no scale to be odd by.
    z = (log_distance - middle) / spread if spread > 0 else np.zeros(count)
    return Isolation(np.nan_to_num(z, nan=0.0), distance, float(np.exp(middle)), spread)


def _distances(space: np.ndarray, references: np.ndarray, cluster: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(N,) distance to the k-th nearest of `references` outside the own cluster; NaN where there is none."""
    found, most = np.empty(len(space)), int(k.max())
    others, theirs = space[references], cluster[references]
    length = (others**2).sum(axis=1)
    block = max(1, BLOCK_BYTES // (4 * len(references)))
    for start in range(0, len(space), block):
        part = slice(start, start + block)
        squared = (space[part] ** 2).sum(axis=1)[:, None] + length - 2 * (space[part] @ others.T)
        squared[cluster[part][:, None] == theirs] = np.inf
        nearest = np.sort(np.partition(squared, most - 1, axis=1)[:, :most], axis=1)
        found[part] = np.sqrt(np.maximum(nearest[np.arange(len(nearest)), k[part] - 1], 0))
    found[~np.isfinite(found)] = np.nan
    return found


def _centre_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Median, and robust standard deviation or that of the upper tail, whichever is larger.

    Varied photos have a long upper tail without one of them being foreign.
    """
    if len(values) < FEWEST:
        return np.nan, 0.0
    middle = float(np.median(values))
    robust = 1.4826 * float(np.median(np.abs(values - middle)))
    if robust <= 1e-9:
        return middle, 0.0
    return middle, max(robust, (float(np.quantile(values, TAIL)) - middle) / TAIL_Z)


def whitened_directions(embeddings: np.ndarray, size: int = 64) -> np.ndarray:
    """(N, size) float32 of length 1: the leading principal components of the directions of embeddings, equally wide.

    For a frozen backbone, whose features follow what is common in its own training set; whitened, every direction in
    which this set differs counts the same.
    """
    projected, variance = _principal(_unit(embeddings), size)
    return _unit(projected / np.sqrt(np.maximum(variance, 1e-12)))


def shrunk_directions(embeddings: np.ndarray, size: int = 128) -> np.ndarray:
    """(N, size) float32: the same with each component divided by the root of its variance plus the mean variance.

    For features that were trained on this set: they vary in about as many directions as there are classes, and
    whitening all others would blow up noise.
    """
    projected, variance = _principal(_unit(embeddings), size)
    return projected / np.sqrt(variance + max(float(variance.mean()), 1e-12))


def principal_components(features: np.ndarray, size: int = 128) -> np.ndarray:
    """(N, size) float32: the leading principal components as they are."""
    return _principal(np.asarray(features, dtype=np.float32), size)[0]


def _principal(features: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, size) leading components and their variances (size,), fitted on at most REFERENCES rows."""
    from scipy.linalg import eigh

    sample = features[:: max(1, len(features) // REFERENCES)]
    mean = sample.mean(axis=0)
    centred = (sample - mean).astype(np.float64)
    width = features.shape[1]
    covariance = centred.T @ centred / max(len(sample), 1)
    variance, directions = eigh(covariance, subset_by_index=[max(0, width - size), width - 1])
    return (features - mean) @ directions.astype(np.float32), np.maximum(variance, 0).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.nan_to_num(np.asarray(rows, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    # By the largest entry first: squares of very large or very small values leave the range of float32.
    rows = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
