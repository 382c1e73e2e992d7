"""Planted errors where pictures have several labels: classes that are given and not there, or there and not given.

The same as in curation.rehearsing.planting, with a yes or no per picture and class instead of one class per picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.rehearsing.planting import BY_DOUBT, MADE_UP, at_rate

WRONG, MISSING = "label too many", "label missing"


@dataclass(frozen=True)
class SetBelief:
    """What is believed of N pictures and K classes.

    given : (N, K) int8, 1 = labelled so, 0 = not
    wrong_prob : (N, K) float64 in [0, 1], that what is given is wrong; 0 where it is settled
    settled : (N, K) bool
    pred_probs : (N, K) out-of-fold probability that the class is there
    cluster : (N,) int64, copies of one picture share a number
    """

    given: np.ndarray
    wrong_prob: np.ndarray
    settled: np.ndarray
    pred_probs: np.ndarray
    cluster: np.ndarray

    @property
    def expected(self) -> dict[str, float]:
        """How many errors of each kind are believed in."""
        return {
            WRONG: float(self.wrong_prob[self.given > 0].sum()),
            MISSING: float(self.wrong_prob[self.given == 0].sum()),
        }


def plant_sets(
    belief: SetBelief, rate: float, count: int, seed: int, sureness: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels (N, K) int8 with errors, and how many of each kind there are in each picture, (N,) float64.

    rate : errors per given label that are believed in; count : of errors to plant; sureness : see planting.SURENESS
    """
    rng = np.random.default_rng(seed)
    _, first, unit = np.unique(belief.cluster, return_index=True, return_inverse=True)
    given, settled = belief.given[first], belief.settled[first]
    share = rate * (belief.given > 0).sum() / max(belief.given.size, 1)
    wrong = at_rate(belief.wrong_prob[first].ravel(), share, settled.ravel(), sureness).reshape(given.shape)
    flipped = (rng.random(given.shape) < wrong) & ~settled
    truth = np.where(flipped, 1 - given, given)
    probs = np.asarray(belief.pred_probs)[first].astype(np.float64)
    # Copies of one picture are wrong together: of clusters, as many fewer are drawn.
    cells = _cells(truth, flipped, max(1, round(count * len(first) / len(unit))), rng)
    planted = truth.copy()
    for (k, there), number in zip(*np.unique(cells, axis=0, return_counts=True), strict=True):
        options = np.flatnonzero(truth[:, k] == there)
        doubt = 1 - probs[options, k] if there else probs[options, k]
        chosen = _choose(options, np.maximum(np.nan_to_num(doubt), 1e-9), min(int(number), len(options) - 1), rng)
        planted[chosen, k] = 1 - there
    copies = planted[unit]
    right = truth[unit]
    errors = {WRONG: (copies > right).sum(axis=1), MISSING: (copies < right).sum(axis=1)}
    return copies, {name: values.astype(np.float64) for name, values in errors.items()}


def _cells(truth: np.ndarray, flipped: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2) int64: class, and 1 where it is there and will not be given: as the errors that are believed in, and
    MADE_UP others, half of either kind, of a class as frequent as in the pictures."""
    rows, classes = np.nonzero(flipped)
    seen = np.column_stack([classes, truth[rows, classes]])
    made_up = rng.random(count) < MADE_UP / (MADE_UP + len(seen))
    drawn = np.empty((count, 2), dtype=np.int64)
    if len(seen):
        drawn[~made_up] = seen[rng.integers(len(seen), size=int((~made_up).sum()))]
    size = (truth > 0).sum(axis=0) + 1.0
    drawn[made_up, 0] = rng.choice(len(size), size=int(made_up.sum()), p=size / size.sum())
    drawn[made_up, 1] = rng.integers(2, size=int(made_up.sum()))
    return drawn


def _choose(options: np.ndarray, doubt: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """So many of `options`, part of the choice by doubt and part by lot, as in planting.plant."""
    if number < 1:
        return options[:0]
    weight = (1 - BY_DOUBT) / len(options) + BY_DOUBT * doubt / doubt.sum()
    return options[np.argsort(-(np.log(weight) + rng.gumbel(size=len(options))), kind="stable")[:number]]
