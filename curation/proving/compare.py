"""Whether one way to label gives better networks than another: paired trials -> differences with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Change:
    """A measure before and after, in [0, 1], means over the seeds; and the change with its interval.

    proven : whether the interval lies above 0 (gain) or below (loss); "" where it holds 0
    """

    before: float
    after: float
    low: float
    high: float

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def proven(self) -> str:
        return "gain" if self.low > 0 else "loss" if self.high < 0 else ""


@dataclass(frozen=True)
class Comparison:
    """accuracy, macro_f1 : overall; recall : by class, (K,) of those that the hold-out has, by class id"""

    accuracy: Change
    macro_f1: Change
    recall: dict[int, Change]


def compare(truth: np.ndarray, before: np.ndarray, after: np.ndarray, cluster: np.ndarray, seed: int = 0) -> Comparison:
    """Compare two arms on one hold-out.

    Two sources of chance: which pictures are in the hold-out (a bootstrap over them, duplicates drawn together), and
    which networks came out of the seeds (their spread). Variances add up; Student's t with as many degrees of freedom
    as that mixture has (Welch-Satterthwaite) gives the interval, so that two seeds are trusted less than twenty. The
    seeds' spread on one hold-out holds a part of the pictures' chance, too: intervals are a little too wide, never
    too narrow by that.

    Parameters
    ----------
    truth : (m,) int64 class ids of the hold-out
    before, after : (S, m) int64 predictions; row s of both was trained with the same seed
    cluster : (m,) int64, duplicates in the hold-out share one

    References
    ----------
    Bouthillier et al. (2021), Accounting for variance in machine learning benchmarks: paired seeds, both sources.
    Welch (1947), The generalization of Student's problem when several different population variances are involved.
    """
    classes = np.unique(truth)
    weights = _resampled(cluster, np.random.default_rng(seed))
    measured = [_measure(truth, classes, arm, weights) for arm in (before, after)]
    changes = [_change(*(values[name] for values in measured)) for name in range(2 + len(classes))]
    return Comparison(changes[0], changes[1], dict(zip(classes.tolist(), changes[2:], strict=True)))


def _resampled(cluster: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(1 + RESAMPLES, m) how often each picture counts: first as they are, then in samples drawn with replacement."""
    _, unit = np.unique(cluster, return_inverse=True)
    units = int(unit.max(initial=-1)) + 1
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=RESAMPLES)
    return np.concatenate([np.ones((1, len(cluster))), drawn[:, unit]]).astype(np.float32)


def _measure(truth: np.ndarray, classes: np.ndarray, arm: np.ndarray, weights: np.ndarray) -> dict[int, np.ndarray]:
    """Accuracy (0), macro F1 (1) and recall of each class (2 ...): (B, S) each."""
    right = (arm == truth).astype(np.float32)
    total = weights.sum(axis=1, keepdims=True)
    found = {0: weights @ right.T / total}
    f1 = np.zeros_like(found[0])
    for place, k in enumerate(classes.tolist(), 2):
        is_k = (truth == k).astype(np.float32)
        there = weights @ is_k[:, None]
        hits = weights @ (right * is_k).T
        said = weights @ (arm == k).T.astype(np.float32)
        f1 += 2 * hits / np.maximum(there + said, 1e-9)
        # A resample without the class says nothing about it: it is left out where variances are taken.
        found[place] = np.where(there > 0, hits / np.maximum(there, 1e-9), np.nan)
    found[1] = f1 / len(classes)
    return found


def _change(before: np.ndarray, after: np.ndarray) -> Change:
    """before, after : (B, S) a measure by resample and seed; resample 0 is the hold-out itself"""
    from scipy.stats import t

    difference = after - before
    by_seed, seeds = difference[0], difference.shape[1]
    resampled = difference[1:].mean(axis=1)
    resampled = resampled[np.isfinite(resampled)]
    of_pictures = float(resampled.var()) if len(resampled) else 0.0
    of_seeds = float(by_seed.var(ddof=1)) / seeds if seeds > 1 else 0.0
    spread = of_pictures + of_seeds
    freedom = (seeds - 1) * (spread / of_seeds) ** 2 if of_seeds > 0 else np.inf
    half = float(t.ppf(0.5 + LEVEL / 2, freedom)) * spread**0.5 if spread > 0 else 0.0
    middle = float(by_seed.mean())
    return Change(float(before[0].mean()), float(after[0].mean()), middle - half, middle + half)
