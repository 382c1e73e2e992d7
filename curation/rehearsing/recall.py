"""How many of all errors are found when the most suspicious labels, or pictures, are reviewed first.

(scores, which labels are wrong) of each repetition --ranking--> curves --expect--> recall and precision to expect
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Shares of all labels that are reviewed: those that are told, and those that are drawn.
SHARES = (0.01, 0.02, 0.05, 0.10)
DRAWN = tuple((np.arange(81) / 400).tolist())
LEVEL = 0.95
# What is told is never surer than that errors had a fiftieth of their luck.
LEAST_LUCK = 0.02


@dataclass(frozen=True)
class Trial:
    """One repetition, with R labels; or R pictures, each of which may hold several errors.

    score : (R,) float64, low = suspicious
    wrong : (R,) bool, what is known to be wrong
    counts : (R,) float64, errors in each; None = one in what is wrong
    planted : (R,) bool, what holds an error of any kind, if `wrong` is of one kind only; None = the same
    """

    score: np.ndarray
    wrong: np.ndarray
    counts: np.ndarray | None = None
    planted: np.ndarray | None = None

    @property
    def errors(self) -> np.ndarray:
        """(R,) float64, how many there are in each."""
        return self.wrong.astype(np.float64) if self.counts is None else self.counts

    @property
    def apart(self) -> float:
        """Of so many errors one by itself tells as much: those of one picture are found together (Kish 1965)."""
        return float(self.errors.sum() / max((self.errors**2).sum(), 1e-9))


@dataclass(frozen=True)
class Expected:
    """What to expect once a share of the labels was reviewed; everything in [0, 1].

    recall : share of all wrong labels that were found; low, high : where it lies with 95 % chance
    precision : share of the reviewed labels that were wrong
    """

    share: float
    recall: float
    low: float
    high: float
    precision: float


def ranking(trial: Trial, shares: Sequence[float] | np.ndarray, weight: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Recall (S,) and precision (S,) after each of `shares` of the labels, the lowest scores first.

    weight : what a wrong label counts for in the queue. With more errors in a copy than the set is believed to hold,
        they are in each other's way as they would not be in the set: 1/3 where there are three times as many.
    """
    order = np.argsort(trial.score, kind="stable")
    wrong, planted = trial.wrong[order], (trial.wrong if trial.planted is None else trial.planted)[order]
    place = np.concatenate([[0.0], np.cumsum(np.where(planted, weight, 1.0))])
    found, hit = (np.concatenate([[0.0], np.cumsum(values)]) for values in (trial.errors[order], wrong))
    reviewed = np.asarray(shares) * place[-1]
    # Between two labels a line: a share of a small set is seldom a whole number of labels.
    precision = np.interp(reviewed, place, hit) * weight / np.maximum(reviewed, 1e-12)
    return np.interp(reviewed, place, found) / max(found[-1], 1.0), np.minimum(precision, 1.0)


def average_precision(trial: Trial, weight: float = 1.0) -> float:
    """Mean of the precision at every wrong label, in [0, 1]; 0 where there is none. `weight` as for `ranking`."""
    from sklearn.metrics import average_precision_score

    if not trial.wrong.any():
        return 0.0
    weights = np.where(trial.wrong, weight, 1.0)
    return float(average_precision_score(trial.wrong, -trial.score, sample_weight=weights))


def expect(trials: Sequence[Trial], errors: float, weight: float = 1.0) -> list[Expected]:
    """Mean recall and precision of the repetitions at SHARES, with the interval for one more set like these.

    Parameters
    ----------
    errors : how many wrong labels that set holds; few of them are found with more luck than many

    The interval covers the luck of which labels are wrong and of training: a beta distribution, Jeffreys' prior in it,
    worth as many errors as have that luck where the number reviewed is fixed (see `_luck`); where the
    repetitions differ by more than that, as many fewer count. It does not cover that the errors are of another kind
    than those that were planted.
    """
    measured = [ranking(trial, SHARES, weight) for trial in trials]
    recall = np.stack([found for found, _ in measured])
    precision = np.stack([correct for _, correct in measured])
    luck = np.mean([_luck(trial, weight) for trial in trials], axis=0)
    planted = np.array([max(trial.errors.sum() * trial.apart, 1.0) for trial in trials])
    errors = errors * float(np.mean([trial.apart for trial in trials]))
    told = []
    for place, share in enumerate(SHARES):
        mean = float(np.average(recall[:, place], weights=planted))
        low, high = _interval(recall[:, place], planted, errors, float(luck[place]))
        told.append(Expected(share, mean, low, high, float(precision[:, place].mean())))
    return told


def _luck(trial: Trial, weight: float) -> np.ndarray:
    """(S,) variance of the number found at SHARES, as a part of what errors found independently would have.

    With the number reviewed fixed, every error too many pushes out what stands last in line, which is an error with the
    probability m, the precision around that place: a review that meets nothing but errors finds as many as it looks at.
    Errors (A) and right labels (C) above a fixed score vary as binomials, and what is found as (1 - m) A - m C.
    """
    shares = np.asarray(SHARES)
    around = np.concatenate([shares * 0.8, shares * 1.2])
    recall, precision = ranking(trial, shares, weight)
    below, above = np.split(ranking(trial, around, weight)[0], 2)
    wrong = max(weight * trial.wrong.sum(), 1e-9)
    right = float((~trial.wrong).sum())
    last = np.clip((above - below) * wrong / (0.4 * shares * (wrong + right)), 0, 1)
    passed = np.clip(shares * (wrong + right) * (1 - precision) / max(right, 1), 0, 1)
    of_errors = wrong * recall * (1 - recall)
    found = (1 - last) ** 2 * of_errors + last**2 * right * passed * (1 - passed)
    return np.asarray(np.clip(found / np.maximum(of_errors, 1e-9), LEAST_LUCK, 1.0))


def _interval(recall: np.ndarray, planted: np.ndarray, errors: float, luck: float) -> tuple[float, float]:
    """Where the recall of one more set with so many errors lies, from that of the repetitions, (S,) each."""
    from scipy.stats import beta

    total = float(planted.sum())
    mean = float(np.average(recall, weights=planted))
    by_chance = luck * max(mean * (1 - mean), 1 / (4 * total)) / planted.mean()
    excess = max(1.0, float(recall.var(ddof=1)) / by_chance) if len(recall) > 1 else 1.0
    # As sure as so many errors that are found independently: those that are known, and those that there are.
    worth = 1 / (luck * excess * (1 / total + 1 / max(errors, 1.0)))
    law = beta(mean * worth + 0.5, (1 - mean) * worth + 0.5)
    low, high = (float(law.ppf(level)) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    half = 0.5 / max(errors, 1.0)  # whole errors are found: of fifteen, all are, not 97 %
    return max(min(low, mean) - half, 0.0), min(max(high, mean) + half, 1.0)
