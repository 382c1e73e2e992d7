"""Several labels per picture: one yes or no per class, and the losses, margins and calibration that go with it.

Where one label per picture is an array (N,) of class ids, several are an array (N, K): 1 = labelled so, 0 = not, and -1
in the whole row of a picture whose labels are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Pseudo-pictures, one half of them with the class, in the share of pictures that have it.
PRIOR_COUNT = 1.0
# How strongly each class's offset is pulled to that of all: as by so many pictures.
OFFSET_PULL = 4.0
# Calibration reads at most this many rows.
FIT_ROWS = 20_000


def trainable(labels: np.ndarray) -> np.ndarray:
    """(N,) bool: the pictures whose label (N,) or labels (N, K) are known."""
    return labels >= 0 if labels.ndim == 1 else labels[:, 0] >= 0


def prior_log_odds(labels: np.ndarray) -> np.ndarray:
    """(K,) float32 log-odds of each class among the known rows of `labels` (N, K); finite."""
    known = labels[trainable(labels)]
    share = ((known > 0).sum(axis=0) + PRIOR_COUNT / 2) / (len(known) + PRIOR_COUNT)
    return np.log(share / (1 - share)).astype(np.float32)


def set_loss(labels: np.ndarray) -> Callable[[Tensor, Tensor], Tensor]:
    """Logits (B, K) and labels (B, K) in {0, 1} to the binary cross entropy of each picture (B,), summed over classes.

    Logits count from each class's share among all of `labels` (N, K) on: a network that knows nothing says that share,
    and a rare class need not first be unlearned. Robust kin (the generalised cross entropy of each yes or no) found
    fewer wrong labels, see docs/decisions.md: with it, a rare class hardly pulls.
    """
    import torch

    return partial(_binary_cross_entropy, prior=torch.from_numpy(prior_log_odds(labels)))


def _binary_cross_entropy(logits: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
    import torch.nn.functional as F

    sign = 2.0 * labels.float() - 1.0
    return F.softplus(-sign * (logits + prior.to(logits.device))).sum(dim=1)


def set_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(..., B, K) the logit of what was given, there or not; low = suspicious."""
    return (2.0 * labels.float() - 1.0) * logits


def known_sets(labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(N, K) bool: pictures with and without the class are known outside of the sample's own fold, so that its judge
    could know the class."""
    n_folds = int(fold.max(initial=0)) + 1
    known = trainable(labels)
    judged = np.zeros(labels.shape, dtype=bool)
    with_class, without = (
        np.stack([(labels[known & (fold == f)] == value).sum(axis=0) for f in range(n_folds)]) for value in (1, 0)
    )
    for f in range(n_folds):
        elsewhere = ((with_class.sum(axis=0) - with_class[f]) > 0) & ((without.sum(axis=0) - without[f]) > 0)
        judged[known & (fold == f)] = elsewhere
    return judged


def calibrate(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """One slope in [0.05, 20] and an offset (K,) per class under which the given labels are most likely:
    p = sigmoid(slope * logits + offset).

    Offsets are pulled towards each class's share of all pictures (an offset that the data cannot decide stays there).
    Platt (1999), Probabilistic outputs for support vector machines, with one slope for all classes: a rare class has
    too few pictures for one of its own.
    """
    from scipy.optimize import minimize

    prior = prior_log_odds(labels).astype(np.float64)
    rows = np.flatnonzero(trainable(labels))
    rows = rows[:: max(1, len(rows) // FIT_ROWS)]
    if len(rows) == 0:
        return 1.0, prior
    z = np.asarray(logits[rows], dtype=np.float64)
    given = labels[rows] > 0

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = np.exp(parameters[0]), parameters[1:]
        score = slope * z + offset
        residual = 1 / (1 + np.exp(-np.clip(score, -60, 60))) - given
        value = (np.logaddexp(0, score) - given * score).sum() + OFFSET_PULL / 2 * ((offset - prior) ** 2).sum()
        gradient = np.concatenate(
            [[(residual * z).sum() * slope], residual.sum(axis=0) + OFFSET_PULL * (offset - prior)]
        )
        return float(value) / len(rows), gradient / len(rows)

    bounds = [(np.log(0.05), np.log(20.0)), *[(-20.0, 20.0)] * len(prior)]
    found = minimize(loss, np.concatenate([[0.0], prior]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), found.x[1:]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float32 in (0, 1)."""
    return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
