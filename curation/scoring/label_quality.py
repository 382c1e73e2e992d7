"""How far each given label can be trusted: cleanlab's flags, one fused score, a calibrated flag, a count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.scoring.evidence import LogOdds, log_odds
from curation.scoring.statistics import Statistics

# cleanlab.internal.constants, cleanlab 2.9: part of what its flags are, so they are repeated, not imported.
CLEANLAB_TOLERANCE = 1e-6
CLEANLAB_LOWEST_THRESHOLD = 2e-6


# Flags. A label is flagged when the log-odds against it outweigh the prior that most labels are right; the prior counts
# by this factor, because wrong labels gather where pictures are hard to tell apart, and there it says less.
PRIOR_WEIGHT = 0.6
# Log-odds that always have to be overcome: a rival that is a hair more probable is no evidence against a label.
LEAST_ODDS = 0.1
# The pictures that the model is surest of show what share of labels is wrong where the model itself is right. Over the
# whole set people err at most about this many times as often as there; a set without errors there has few elsewhere.
MOST_CONCENTRATED = 4.0
# Wrong labels that are always allowed for, so that the bound means something in a set of a dozen pictures.
ALWAYS_ALLOWED = 2
# Probability of being right at the flag threshold: F1 is best when labels are flagged from P(wrong) > F1 / 2 on, and
# F1 is about .8 (Lipton et al. 2014, Optimal thresholding of classifiers to maximize F1 measure).
SCORE_AT_THRESHOLD = 0.6
# How steeply the score rises with the log-odds around the threshold.
SCORE_SLOPE = 1.5


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
    classes: int,
    neighbours: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) float64 in [0, 1]: estimated probability that the given label is right; low = suspicious."""
    return judge_labels(statistics, labels, classes, neighbours).score


def judge_labels(
    statistics: Statistics,
    labels: np.ndarray,
    classes: int,
    neighbours: np.ndarray | None = None,
) -> LabelQuality:
    """Score, flag and count; see LabelQuality.

    Parameters
    ----------
    labels : (N,) int64, -1 = no label
    classes : K
    neighbours : (N, k) int64 row numbers of the nearest pictures, -1 = none. Their space must not have seen the labels
        (a frozen backbone): in one that was trained on them, wrong labels vote for themselves.

    Samples that no model could judge get the mean score of the others, and no flag.
    """
    count = len(labels)
    known = (labels >= 0) & statistics.judged
    rows = np.flatnonzero(known)
    score = np.ones(count)
    is_issue = np.zeros(count, dtype=bool)
    suggested = np.full(count, -1, dtype=np.int64)
    if len(rows):
        found = log_odds(statistics, labels, classes, neighbours, rows)
        number = _how_many(found)
        cut = float(np.partition(found.log_odds, number)[number]) if number < len(rows) else np.inf
        # All that are flagged lie below 0. The first that is not may lie far above, in a set without doubtful labels;
        # the score must not be counted from there, or all labels that are beyond doubt would get the threshold's.
        cut = min(cut, 0.0)
        shifted = SCORE_SLOPE * (found.log_odds - cut) + np.log(SCORE_AT_THRESHOLD / (1 - SCORE_AT_THRESHOLD))
        score[rows] = 1 / (1 + np.exp(-np.clip(shifted, -30, 30)))
        is_issue[rows] = found.log_odds < cut
        suggested[rows] = found.other_class
    score[(labels >= 0) & ~known] = score[rows].mean() if len(rows) else 0.5
    return LabelQuality(
        score=score,
        is_issue=is_issue,
        threshold=SCORE_AT_THRESHOLD,
        suggested_class=suggested,
        cleanlab_score=statistics.self_confidence,
        cleanlab_flag=cleanlab_flags(statistics, labels, classes),
        estimated_wrong=float((1 - score[labels >= 0]).sum()),
    )


def _how_many(found: LogOdds) -> int:
    """How many labels to flag, from nothing but the set itself.

    Two limits, the lower one counts. (1) The prior: with a share D of labels that the model would not have given, odds
    of (1 - D) / D speak for a label; weighted down by (1 - 2 D), because noise flattens the probabilities that a
    network learns, and with them the scale of the log-odds. (2) The confident quarter: see MOST_CONCENTRATED; it keeps
    a clean set of hard pictures, where the model is often wrong, from being flagged.
    """
    count = len(found.log_odds)
    share = float(np.clip(found.disagrees.mean(), 1 / (count + 1), 0.5))
    cut = -LEAST_ODDS - PRIOR_WEIGHT * np.log((1 - share) / share) * (1 - 2 * share)
    surest = _surest_quarter(found.confidence)
    most = int(MOST_CONCENTRATED * found.disagrees[surest].mean() * count) + ALWAYS_ALLOWED
    return min(int((found.against_best < cut).sum()), most)


def wrong_range(statistics: Statistics, labels: np.ndarray) -> tuple[float, float]:
    """Between which numbers the wrong labels lie, if two plain assumptions hold; far apart where the model is weak.

    At least: the share of labels that the model contradicts among the quarter of pictures that it is surest of, as if
    labels were no worse elsewhere (people err more often on hard pictures). At most: all labels that the model
    contradicts, as if it were always right where it does. No confidence interval: wrong labels that the model agrees
    with are in neither.
    """
    known = labels >= 0
    rows = np.flatnonzero(known & statistics.judged)
    if len(rows) == 0:
        return 0.0, float(known.sum())
    contradicted = statistics.top_class[rows, 0] != labels[rows]
    least = contradicted[_surest_quarter(statistics.top_prob[rows, 0])].mean()
    # Labels that no model could judge are taken to be like the others.
    return float(known.sum() * min(least, contradicted.mean())), float(known.sum() * contradicted.mean())


def _surest_quarter(confidence: np.ndarray) -> np.ndarray:
    """(N,) bool: the quarter of highest confidence, with all that equal its lowest."""
    quarter = max(len(confidence) // 4, 1)
    return np.asarray(confidence >= np.partition(confidence, -quarter)[-quarter])
