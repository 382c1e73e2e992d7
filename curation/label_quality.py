"""How far each given label can be trusted: cleanlab's flags, one fused score, a calibrated flag, a count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.statistics import Statistics, normalized_margin, other_class

# cleanlab.internal.constants, cleanlab 2.9: part of what its flags are, so they are repeated, not imported.
CLEANLAB_TOLERANCE = 1e-6
CLEANLAB_LOWEST_THRESHOLD = 2e-6


@dataclass(frozen=True)
class LabelQuality:
    """What is concluded about N labels; samples without a label have score 1 and no flag.

    score : (N,) float64 in [0, 1], estimated probability that the given label is right; low = suspicious
    is_issue : (N,) bool
    threshold : labels whose score lies below it are flagged
    suggested_class : (N,) int64, the most probable class other than the given one, -1 where there is none
    cleanlab_score : (N,) float32, cleanlab's own label quality score (self-confidence)
    cleanlab_flag : (N,) bool, cleanlab's own flag, see `cleanlab_flags`
    estimated_wrong : how many labels are probably wrong
    """

    score: np.ndarray
    is_issue: np.ndarray
    threshold: float
    suggested_class: np.ndarray
    cleanlab_score: np.ndarray
    cleanlab_flag: np.ndarray
    estimated_wrong: float


def class_thresholds(statistics: Statistics, labels: np.ndarray, classes: int) -> np.ndarray:
    """(K,) mean self-confidence of the samples with each given label: cleanlab's confident thresholds."""
    known = labels >= 0
    total = np.bincount(labels[known], weights=statistics.self_confidence[known], minlength=classes)
    size = np.bincount(labels[known], minlength=classes)
    return np.maximum(total / np.maximum(size, 1), CLEANLAB_LOWEST_THRESHOLD)


def cleanlab_flags(statistics: Statistics, labels: np.ndarray, classes: int) -> np.ndarray:
    """(N,) bool: the flags of `cleanlab.experimental.label_issues_batched.find_label_issues_batched`, from statistics.

    That is cleanlab's filter for large sets: as many samples of lowest self-confidence as are confidently predicted to
    be of another class, less those whose given label is the model's first choice. (The default filter of
    `cleanlab.filter.find_label_issues` is another one, prune_by_noise_rate; it needs the whole matrix.) Ties in
    self-confidence are cut where cleanlab's own sort cuts them.
    """
    flags = np.zeros(len(labels), dtype=bool)
    rows = np.flatnonzero(labels >= 0)
    if len(rows) == 0:
        return flags
    given = labels[rows]
    first_class, first_prob = statistics.top_class[rows, 0], statistics.top_prob[rows, 0]
    own = statistics.self_confidence[rows]
    thresholds = class_thresholds(statistics, labels, classes)
    confident = first_prob >= (thresholds - CLEANLAB_TOLERANCE)[first_class]
    number = int((confident & (first_class != given)).sum())
    # The same call on the same dtype as in cleanlab, so that equal scores are cut alike.
    lowest = own.argsort()[:number]
    # cleanlab adds a tolerance to the given class and lets argmax decide; equal values go to the lower class id.
    lifted = own + np.float32(CLEANLAB_TOLERANCE)
    agrees = (first_class == given) | (lifted > first_prob) | ((lifted == first_prob) & (given < first_class))
    lowest = lowest[~agrees[lowest]]
    flags[rows[lowest]] = True
    return flags


def fused_score(
    statistics: Statistics,
    labels: np.ndarray,
    neighbours: np.ndarray | None = None,
    neighbour_distances: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) float64 in [0, 1], low = suspicious. PROVISIONAL: mean rank of the out-of-fold and the training margin."""
    score = np.ones(len(labels))
    rows = np.flatnonzero((labels >= 0) & statistics.judged)
    if len(rows) == 0:
        return score
    ranks = [_ranks(normalized_margin(statistics, labels)[rows])]
    margin = statistics.margin[rows]
    if np.isfinite(margin).any():
        ranks.append(np.where(np.isfinite(margin), _ranks(np.nan_to_num(margin, nan=np.inf)), ranks[0]))
    score[rows] = np.mean(ranks, axis=0)
    return score


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks in (0, 1), ties share their mean."""
    from scipy.stats import rankdata

    return (rankdata(values) - 0.5) / max(len(values), 1)


def judge_labels(
    statistics: Statistics,
    labels: np.ndarray,
    classes: int,
    neighbours: np.ndarray | None = None,
    neighbour_distances: np.ndarray | None = None,
) -> LabelQuality:
    """Score, flag and count; see LabelQuality."""
    score = fused_score(statistics, labels, neighbours, neighbour_distances)
    argmax_differs = (statistics.top_class[:, 0] != labels) & (labels >= 0) & statistics.judged
    number = int(argmax_differs.sum())
    threshold = float(np.partition(score, number)[number]) if number < len(score) else 1.0
    is_issue = (score < threshold) & (labels >= 0) & statistics.judged
    return LabelQuality(
        score=score,
        is_issue=is_issue,
        threshold=threshold,
        suggested_class=other_class(statistics, labels),
        cleanlab_score=statistics.self_confidence,
        cleanlab_flag=cleanlab_flags(statistics, labels, classes),
        estimated_wrong=float(is_issue.sum()),
    )
