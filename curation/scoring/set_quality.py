"""Several labels per picture: how far each yes or no can be trusted, and all of a picture together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.scoring.evidence import with_margin

# Log-odds are cut off here, as in curation.scoring.evidence.
LARGEST = 12.0
# Pseudo-neighbours, that carry each class as often as all pictures do, in a vote.
VOTE_PRIOR = 2.0
# The model of labels and errors is fitted on at most this many pictures, evenly spread, and as many yes or noes.
FIT_ROWS, FIT_ENTRIES = 20_000, 400_000
# What is believed before a label was seen: the usual log-odds of an error and their spread, over data sets and over the
# classes of one; and the spread of the offsets of classes.
ERROR_ODDS, ERROR_SPREAD, CLASS_SPREAD, OFFSET_SPREAD = -3.5, 1.5, 0.1, 0.2
# An entry is flagged below a probability of being right between these: where more are found, more has to speak for one.
# The upper one matters where little data say little: with .75, some small sets with a tenth of errors had no flag at
# all; with .9, a set without errors had twice as many as with this. Chosen on made-up pictures, bccd not among them.
THRESHOLDS = (0.6, 0.85)
# Labels that are missing and labels that are wrong are about as likely, each where there can be one, unless the data
# say otherwise: spread of the difference of their log-odds. A class that nearly all pictures have tells of one kind.
GAP_SPREAD = 1.0
# A rare class is given by mistake less often than a common one, and a common one forgotten less often where it is. How
# the log-odds of an error follow those of the class: 0 = not at all, 1 = as errors fall that only move labels about.
TILT = 0.25
BLOCK = 1 << 14


@dataclass(frozen=True)
class SetQuality:
    """What is concluded about N pictures and K classes.

    score : (N, K) float32 in [0, 1], probability that what is said of the class (there or not) is right; low =
        suspicious; 1 where the labels are unknown, or no model that could know the class judged one that is not given;
        one that is given has the mean score of all that are, then
    is_issue : (N, K) bool
    judged : (N, K) bool, whether a model that could know the class judged the picture, and its labels are known
    threshold : entries whose score lies below it are flagged
    picture_score : (N,) float64 in [0, 1], probability that all that is said of the picture is right
    wrong_rate, missing_rate : (K,) float64, how often the class is given where it is not, and not given where it is
    """

    score: np.ndarray
    is_issue: np.ndarray
    judged: np.ndarray
    threshold: float
    picture_score: np.ndarray
    wrong_rate: np.ndarray
    missing_rate: np.ndarray


def judge_sets(
    pred_probs: np.ndarray,
    labels: np.ndarray,
    judged: np.ndarray | None = None,
    neighbours: np.ndarray | None = None,
    margin: np.ndarray | None = None,
) -> SetQuality:
    """Score and flag each class of each picture.

    The log-odds of a class being there are a weighted sum of what the model says and of how many of the nearest
    pictures carry it, plus an offset per class; what is given differs from what is there at two rates per class. All
    of it is fitted at once so that the given labels are most likely (label-noise logistic regression), the rates and
    offsets of small classes pulled to those of all. A class that few pictures have then needs more than a probability
    that is low by itself: one that is low for a picture with that label.

    Parameters
    ----------
    pred_probs : (N, K) float, out-of-fold, each entry a probability of its own
    labels : (N, K) int, 1 = labelled so, 0 = not, -1 = unknown (the whole row)
    judged : (N, K) bool, whether a model that could know the class judged the picture; None = all
    neighbours : (N, k) int64 row numbers of the nearest pictures, -1 = none, in a space that has not seen the labels
    margin : (N, K) mean training margins, NaN = not measured. Their unit means nothing: those of a class that were
        given, and those that were not, are put on the scale of the log-odds by their ranks, and the mean of both counts

    References
    ----------
    Bootkrajang & Kaban (2012), Label-noise robust logistic regression and its applications.
    """
    count, classes = labels.shape
    known = labels[:, 0] >= 0 if classes else np.zeros(count, dtype=bool)
    use = np.broadcast_to(known[:, None], labels.shape) if judged is None else judged & known[:, None]
    score = np.ones((count, classes), dtype=np.float32)
    share = np.asarray((labels > 0).sum(axis=0) + 0.5) / (known.sum() + 1)
    rates = np.full((2, classes), 1 / (1 + np.exp(-ERROR_ODDS)))
    if use.any():
        rows = np.flatnonzero(use.any(axis=1))
        step = max(1, len(rows) // FIT_ROWS, len(rows) * classes // FIT_ENTRIES)
        picked = rows[::step]
        found = _fit(_views(pred_probs, labels, neighbours, share, picked), labels[picked] > 0, use[picked], share)
        rates = found.rates
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            score[part] = _odds_right(found, _views(pred_probs, labels, neighbours, share, part), labels[part] > 0)
        for k in range(classes):
            odds = score[:, k]
            if margin is not None:
                for value in (0, 1):
                    mine = np.flatnonzero(use[:, k] & (labels[:, k] == value))
                    odds[mine] = with_margin(odds[mine], margin[mine, k])
            score[:, k] = np.where(use[:, k], _sigmoid(odds), 1.0)
    picture = np.exp(np.log(np.maximum(score, 1e-6), dtype=np.float64).sum(axis=1))
    threshold = flag_below(score)
    is_issue = score < threshold
    given = labels > 0
    score[given & ~use] = score[given & use].mean() if (given & use).any() else 0.5
    return SetQuality(score, is_issue, use, threshold, picture, wrong_rate=rates[0], missing_rate=rates[1])


def flag_below(score: np.ndarray) -> float:
    """The score below which flags have the best F1 that can be expected if the scores are right, within THRESHOLDS.

    That is where the probability of being wrong is half of that F1: Lipton et al. (2014), Optimal thresholding of
    classifiers to maximize F1 measure.
    """
    lowest, highest = THRESHOLDS
    wrong = 1.0 - score.astype(np.float64)
    doubtful = np.sort(wrong[wrong > 1 - highest])[::-1]
    if len(doubtful) == 0:
        return lowest
    expected = 2 * np.cumsum(doubtful) / (np.arange(1, len(doubtful) + 1) + wrong.sum())
    return float(np.clip(1 - expected.max() / 2, lowest, highest))


@dataclass(frozen=True)
class _Fitted:
    """weights : (V,) of the views; offset : (K,); rates : (2, K), of given where it is not, not given where it is."""

    weights: np.ndarray
    offset: np.ndarray
    rates: np.ndarray


def _views(
    pred_probs: np.ndarray, labels: np.ndarray, neighbours: np.ndarray | None, share: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """(V, R, K) log-odds of each class by each view: the model, and the neighbours beyond what their share says."""
    prob = np.clip(np.nan_to_num(np.asarray(pred_probs[rows], dtype=np.float64), nan=0.5), 1e-6, 1 - 1e-6)
    views = [np.clip(np.log(prob / (1 - prob)), -LARGEST, LARGEST)]
    if neighbours is not None and neighbours.shape[1]:
        near = neighbours[rows]
        votes, voters = np.zeros(prob.shape), np.zeros((len(rows), 1))
        for column in near.T:
            given = labels[np.maximum(column, 0)]
            counts = (column >= 0) & (given[:, 0] >= 0)
            votes += (given > 0) & counts[:, None]
            voters += counts[:, None]
        smooth = (votes + VOTE_PRIOR * share) / (voters + VOTE_PRIOR)
        views.append(np.log(smooth / (1 - smooth)) - np.log(share / (1 - share)))
    return np.stack(views)


def _fit(views: np.ndarray, given: np.ndarray, use: np.ndarray, share: np.ndarray) -> _Fitted:
    """The weights, offsets and error rates under which what was given (R, K) is most likely, priors included."""
    from scipy.optimize import minimize

    n_views, classes = len(views), given.shape[1]
    commonness = np.log(share / (1 - share)) - np.log(share / (1 - share)).mean()
    tilt = TILT * np.stack([commonness, -commonness])
    start = np.concatenate([[1.0], np.zeros(n_views - 1), np.zeros(classes), [ERROR_ODDS] * 2, np.zeros(2 * classes)])
    spread = np.concatenate(
        [[np.inf] * n_views, [OFFSET_SPREAD] * classes, [ERROR_SPREAD] * 2, [CLASS_SPREAD] * 2 * classes]
    )

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offset, usual, odds = _unpack(parameters, n_views, classes)
        there = _sigmoid(np.tensordot(weights, views, 1) + offset)
        rate = _sigmoid(usual[:, None] + tilt + odds)
        told = there * (1 - rate[1]) + (1 - there) * rate[0]  # probability of being given
        told = np.clip(told, 1e-12, 1 - 1e-12)
        value = -np.where(use, np.where(given, np.log(told), np.log1p(-told)), 0.0).sum()
        slope = np.where(use, (told - given) / (told * (1 - told)), 0.0)
        logit = slope * (1 - rate[1] - rate[0]) * there * (1 - there)
        by_rate = np.stack([(slope * (1 - there)).sum(axis=0), -(slope * there).sum(axis=0)]) * rate * (1 - rate)
        gradient = np.concatenate(
            [[(logit * view).sum() for view in views], logit.sum(axis=0), by_rate.sum(axis=1), by_rate.ravel()]
        )
        away = (parameters - start) / spread
        pull = away / spread
        gap = (usual[0] - usual[1]) / GAP_SPREAD
        pull[n_views + classes : n_views + classes + 2] += np.array([gap, -gap]) / GAP_SPREAD
        return (value + 0.5 * ((away**2).sum() + gap**2)) / len(given), (gradient + pull) / len(given)

    bounds = [(0.05, 5.0), *[(0.0, 5.0)] * (n_views - 1), *[(-5.0, 5.0)] * classes]
    bounds += [(-9.0, -0.5)] * 2 + [(-4.0, 4.0)] * (2 * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200})
    weights, offset, usual, odds = _unpack(found.x, n_views, classes)
    return _Fitted(weights, offset, np.minimum(_sigmoid(usual[:, None] + tilt + odds), 0.45))


def _unpack(
    parameters: np.ndarray, n_views: int, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights (V,), offsets (K,), usual log-odds of the two errors (2,), and those of each class beyond (2, K)."""
    weights, offset, usual, odds = np.split(parameters, np.cumsum([n_views, classes, 2]))
    return weights, offset, usual, odds.reshape(2, classes)


def _odds_right(found: _Fitted, views: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(R, K) log-odds that what was given is so."""
    logit = np.tensordot(found.weights, views, 1) + found.offset
    wrong_rate, missing_rate = found.rates
    there = logit + np.log1p(-missing_rate) - np.log(wrong_rate)  # where it was given
    absent = -logit + np.log1p(-wrong_rate) - np.log(missing_rate)  # where it was not
    return np.where(given, there, absent)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
