"""Whether one way to label gives better networks than another: paired trials -> differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 2_000
# Average precision takes a pass over all ranks for each of them; their variance is known well enough from fewer.
RANKED_RESAMPLES = 500
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

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "before": self.before, "after": self.after, "low": self.low, "high": self.high,
            "change": self.change, "proven": self.proven,
        }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What two arms differ by.

    measures : by name, see MEASURES; the first one decides what is claimed
    class_measure : name of the measure in `by_class`, which is by class id, of the classes that the hold-out has
    """

    measures: dict[str, Change]
    class_measure: str
    by_class: dict[int, Change]

    @property
    def main(self) -> Change:
        """The measure that decides."""
        return next(iter(self.measures.values()))


# Measures as people read them.
MEASURES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "mean_average_precision": "mAP",
    "ap": "AP50-95",
    "ap50": "AP50",
    "recall": "share of each class that is recognised",
    "average_precision": "average precision of each class",
    "class_ap50": "AP50 of each class",
}


def compare(truth: np.ndarray, before: np.ndarray, after: np.ndarray, cluster: np.ndarray, seed: int = 0) -> Comparison:
    """Compare two arms that name one class for each of m pictures (or boxes) of one hold-out.

    Two sources of chance: which pictures are in the hold-out (a bootstrap over them, duplicates drawn together), and
    which networks came out of the seeds (their spread). Variances add up; Student's t with as many degrees of freedom
    as that mixture has (Welch-Satterthwaite) gives the interval, so that two seeds are trusted less than twenty. The
    seeds' spread on one hold-out holds a part of the pictures' chance, too: intervals are a little too wide, never
    too narrow by that.

    Parameters
    ----------
    truth : (m,) int64 class ids of the hold-out
    before, after : (S, m) int64 predictions; row s of both was trained with the same seed
    cluster : (m,) int64, duplicates in the hold-out share one, and boxes of one picture

    References
    ----------
    Bouthillier et al. (2021), Accounting for variance in machine learning benchmarks: paired seeds, both sources.
    Welch (1947), The generalization of Student's problem when several different population variances are involved.
    """
    classes = np.unique(truth)
    weights = resampled(cluster, RESAMPLES, seed)
    measured = [_measure(truth, classes, arm, weights) for arm in (before, after)]
    changes = [change_of(*(values[name] for values in measured)) for name in range(2 + len(classes))]
    by_class = dict(zip(classes.tolist(), changes[2:], strict=True))
    return Comparison({"accuracy": changes[0], "macro_f1": changes[1]}, "recall", by_class)


def compare_sets(
    truth: np.ndarray,
    before: Sequence[tuple[np.ndarray, np.ndarray]],
    after: Sequence[tuple[np.ndarray, np.ndarray]],
    cluster: np.ndarray,
    seed: int = 0,
) -> Comparison:
    """Compare two arms that say yes or no to each class, as `compare` does.

    Parameters
    ----------
    truth : (m, K) 0 or 1
    before, after : of each seed, probabilities (m, K) and the thresholds (K,) that turn them into yes or no
    cluster : (m,) int64

    Returns
    -------
    mean average precision over the classes that the hold-out has and lacks somewhere; macro and micro F1 over the
    classes that it has; average precision by class.
    """
    weights = resampled(cluster, RANKED_RESAMPLES, seed)
    there = truth > 0
    ranked = np.flatnonzero(there.any(axis=0) & ~there.all(axis=0))
    used = np.flatnonzero(there.any(axis=0))
    measured: list[tuple[dict[str, np.ndarray], dict[int, np.ndarray]]] = []
    for arm in (before, after):
        by_class = {
            int(k): np.column_stack([ranked_precision(there[:, k], probs[:, k], weights) for probs, _ in arm])
            for k in ranked
        }
        f1 = [_set_f1(there[:, used], (probs >= thresholds)[:, used], weights) for probs, thresholds in arm]
        whole = {"mean_average_precision": mean_of_classes(list(by_class.values()))} if by_class else {}
        whole["macro_f1"], whole["micro_f1"] = (np.column_stack(part) for part in zip(*f1, strict=True))
        measured.append((whole, by_class))
    (whole_before, classes_before), (whole_after, classes_after) = measured
    return Comparison(
        {name: change_of(whole_before[name], whole_after[name]) for name in whole_before},
        "average_precision",
        {k: change_of(classes_before[k], classes_after[k]) for k in classes_before},
    )


def mean_of_classes(by_class: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of arrays of one shape; a class that a resample lacks (NaN) says nothing there."""
    values = np.stack(by_class)
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def resampled(cluster: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(1 + count, m) how often each picture counts: first as they are, then in samples drawn with replacement."""
    _, unit = np.unique(cluster, return_inverse=True)
    units = int(unit.max(initial=-1)) + 1
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=count)
    return np.concatenate([np.ones((1, len(cluster))), drawn[:, unit]]).astype(np.float32)


def ranked_precision(there: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) average precision of finding what is `there` (m,) by `score` (m,), by resample; NaN where there is none.

    Equal scores are one step, as in scikit-learn.
    """
    order = np.argsort(-score, kind="stable")
    ordered, hits, drawn = score[order], there[order], weights[:, order]
    last = np.searchsorted(-ordered, -ordered, side="right") - 1
    found = np.cumsum(drawn * hits, axis=1)
    precision = (found / np.maximum(np.cumsum(drawn, axis=1), 1e-9))[:, last[hits]]
    total = found[:, -1]
    summed = (precision * drawn[:, hits]).sum(axis=1)
    return np.where(total > 0, summed / np.maximum(total, 1e-9), np.nan)


def _set_f1(there: np.ndarray, said: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Macro and micro F1, (B,) each, of yes or no (m, K)."""
    hits, given, claimed = (weights @ part.astype(np.float32) for part in (there & said, there, said))
    macro = (2 * hits / np.maximum(given + claimed, 1e-9)).mean(axis=1)
    sums = [part.sum(axis=1) for part in (hits, given, claimed)]
    return macro, 2 * sums[0] / np.maximum(sums[1] + sums[2], 1e-9)


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


def change_of(before: np.ndarray, after: np.ndarray) -> Change:
    """before, after : (B, S) a measure by resample and seed; resample 0 is the hold-out itself"""
    from scipy.stats import t

    difference = after - before
    by_seed, seeds = difference[0], difference.shape[1]
    resamples = difference[1:].mean(axis=1)
    resamples = resamples[np.isfinite(resamples)]
    of_pictures = float(resamples.var()) if len(resamples) else 0.0
    of_seeds = float(by_seed.var(ddof=1)) / seeds if seeds > 1 else 0.0
    spread = of_pictures + of_seeds
    freedom = (seeds - 1) * (spread / of_seeds) ** 2 if of_seeds > 0 else np.inf
    half = float(t.ppf(0.5 + LEVEL / 2, freedom)) * spread**0.5 if spread > 0 else 0.0
    middle = float(by_seed.mean())
    return Change(float(before[0].mean()), float(after[0].mean()), middle - half, middle + half)
