"""What is kept of out-of-fold probabilities in memory: a few numbers per sample, however many classes there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.progress import SILENT, Progress

# How many of the most probable classes are kept per sample.
TOP = 4


@dataclass(frozen=True)
class Statistics:
    """What is kept of (N, K) out-of-fold probabilities in memory: a few 1-D arrays, whatever K is.

    self_confidence : (N,) float32 in [0, 1], probability of the given label
    top_class : (N, T) int32, the T most probable classes, most probable first; T = min(4, K)
    top_prob : (N, T) float32, their probabilities
    margin : (N,) float32, mean training margin: logit of the given label minus the best other, averaged over the
        epochs after warm-up and the folds in which the sample was trained on; low = suspicious, NaN = not measured
    judged : (N,) bool, False where no model that could know the label has judged the sample (a class that lives in one
        fold only)
    """

    self_confidence: np.ndarray
    top_class: np.ndarray
    top_prob: np.ndarray
    margin: np.ndarray
    judged: np.ndarray


def statistics_from_probs(
    pred_probs: np.ndarray,
    labels: np.ndarray,
    margin: np.ndarray | None = None,
    judged: np.ndarray | None = None,
    block: int = 8192,
    progress: Progress = SILENT,
) -> Statistics:
    """Reduce (N, K) out-of-fold probabilities to a few 1-D arrays, reading `block` rows at a time.

    Parameters
    ----------
    pred_probs : (N, K) float, out-of-fold; a memory map is read once, from front to end
    labels : (N,) int64, -1 = no label
    margin : (N,) training margins, NaN = not measured; None = none were
    judged : (N,) bool, see Statistics; None = all. Rows that are not finite count as not judged.

    Equal probabilities rank by class id, as argmax does.
    """
    count, classes = pred_probs.shape
    top = min(TOP, classes)
    top_class = np.zeros((count, top), dtype=np.int32)
    top_prob = np.zeros((count, top), dtype=np.float32)
    self_confidence = np.zeros(count, dtype=np.float32)
    finite = np.ones(count, dtype=bool)
    with progress.stage("Comparing probabilities", count) as advance:
        for start in range(0, count, block):
            part = np.array(pred_probs[start : start + block], dtype=np.float32)
            rows = slice(start, start + len(part))
            finite[rows] = np.isfinite(part.sum(axis=1))
            part[~finite[rows]] = 0.0
            index = np.arange(len(part))
            self_confidence[rows] = np.where(labels[rows] >= 0, part[index, np.maximum(labels[rows], 0)], 0.0)
            # A few argmax passes beat a partial sort (vectorised), and break ties by class id.
            for place in range(top):
                best = part.argmax(axis=1)
                top_class[rows, place] = best
                top_prob[rows, place] = part[index, best]
                part[index, best] = -np.inf
            advance(len(part))
    return Statistics(
        self_confidence=np.clip(self_confidence, 0.0, 1.0),
        top_class=top_class,
        top_prob=np.clip(top_prob, 0.0, 1.0),
        margin=np.full(count, np.nan, np.float32) if margin is None else np.asarray(margin, dtype=np.float32),
        judged=finite if judged is None else finite & judged,
    )


def normalized_margin(statistics: Statistics, labels: np.ndarray) -> np.ndarray:
    """(N,) float32 in [0, 1]: cleanlab's normalised margin, (p(given) - max p(other) + 1) / 2."""
    return (statistics.self_confidence - other_prob(statistics, labels) + 1) / 2


def other_prob(statistics: Statistics, labels: np.ndarray) -> np.ndarray:
    """(N,) float32: probability of the most probable class other than the given one; 0 with a single class."""
    own_first = statistics.top_class[:, 0] == labels
    if statistics.top_prob.shape[1] < 2:
        return np.where(own_first, 0.0, statistics.top_prob[:, 0]).astype(np.float32)
    return np.where(own_first, statistics.top_prob[:, 1], statistics.top_prob[:, 0])


def other_class(statistics: Statistics, labels: np.ndarray) -> np.ndarray:
    """(N,) int64: the most probable class other than the given one; -1 with a single class."""
    own_first = statistics.top_class[:, 0] == labels
    if statistics.top_prob.shape[1] < 2:
        return np.where(own_first, -1, statistics.top_class[:, 0]).astype(np.int64)
    return np.where(own_first, statistics.top_class[:, 1], statistics.top_class[:, 0]).astype(np.int64)
