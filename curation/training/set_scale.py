"""From logits to yes and no, where pictures have several labels: probabilities, and a threshold per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.training.label_sets import calibrate, sigmoid


@dataclass(frozen=True, eq=False)
class SetScale:
    """p = sigmoid(slope * logits + offset), and a class is said to be there from p = threshold on.

    offset, threshold : (K,) float32
    """

    slope: float
    offset: np.ndarray
    threshold: np.ndarray

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(n, K) float32 of logits (n, K)."""
        return sigmoid(self.slope * logits + self.offset)


def scale_of(logits: np.ndarray, labels: np.ndarray) -> SetScale:
    """The scale under which labels (n, K) that a network has not learnt fit its logits (n, K).

    Each threshold is where F1 is best that can be expected if the probabilities are right. The best F1 on the labels
    themselves would hang on a handful of pictures where a class is rare.

    References
    ----------
    Lipton, Elkan & Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1 measure.
    """
    slope, offset = calibrate(logits, labels)
    probs = sigmoid(slope * logits + offset)
    threshold = np.array([_best_threshold(column) for column in probs.T.astype(np.float64)], dtype=np.float32)
    return SetScale(slope, offset.astype(np.float32), threshold)


def _best_threshold(probs: np.ndarray) -> float:
    """Between the last probability that is to be a yes and the first that is not; 0.5 where there are none."""
    if not len(probs):
        return 0.5
    ordered = np.sort(probs)[::-1]
    expected = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
    last = int(expected.argmax())
    below = ordered[last + 1] if last + 1 < len(ordered) else 0.0
    return float((ordered[last] + below) / 2)
