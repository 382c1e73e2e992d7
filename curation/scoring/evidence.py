"""All evidence for or against each given label as one number: log-odds of the given class against its best rival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.scoring.statistics import Statistics

# Pseudo-count of each class in a vote of neighbours (Krichevsky-Trofimov).
VOTE_PRIOR = 0.5
# Weights are fitted on at most this many samples, evenly spread: they are two or three numbers.
FIT_ROWS = 20_000
# Pseudo-count, per class, of uniform confusion in the table of who is called what, and how far to go in undoing it: all
# the way would take the model's own mistakes for habits of the labellers, and amplify the table's sampling noise.
CONFUSION_PRIOR = 200.0
EM_STEPS = 3
# Log-odds are cut off here: beyond, they only tell saturated networks apart.
LARGEST = 12.0
BLOCK = 1 << 16


@dataclass(frozen=True)
class LogOdds:
    """Evidence on R samples.

    log_odds : (R,) float64, of the given class against its rivals; low = suspicious
    against_best : (R,) float64, the same against the best rival alone; negative = that one fits better
    other_class : (R,) int64, that best rival, -1 where there is none
    disagrees : (R,) bool, the label-blind views (model, neighbours) put another class first
    confidence : (R,) float64, the model's probability of its first choice, whatever label was given
    """

    log_odds: np.ndarray
    against_best: np.ndarray
    other_class: np.ndarray
    disagrees: np.ndarray
    confidence: np.ndarray


def log_odds(
    statistics: Statistics, labels: np.ndarray, classes: int, neighbours: np.ndarray | None, rows: np.ndarray
) -> LogOdds:
    """Fuse out-of-fold probabilities, labels of neighbours and training margins of the samples `rows`.

    1. The views that have not seen the label (probabilities, votes of neighbours) become one posterior by a conditional
       logit whose two weights make the given labels most likely: a view that predicts labels badly gets little weight.
    2. Classes that are habitually called something else (a truck called car) are corrected for: the posterior of the
       given label becomes one of the true class by a few steps of expectation maximisation against the table of
       first choice by given label.
    3. The rivals of the given class count together, by the 2-norm of their probabilities: between the best rival alone
       (normalised margin, better for strong models) and all of them (self-confidence, better for weak ones).
    4. The training margin, whose unit means nothing, is put on the scale of the log-odds by its ranks, and the mean of
       both is taken: both come from one kind of network, so their sum would count the same evidence twice.
    """
    given = labels[rows]
    candidate, prob = candidates(statistics, given, rows)
    # Column 0 is the given class, the last one stands for each of the classes that are no candidates.
    unlisted = classes - (candidate >= 0).sum(axis=1)
    rest = np.maximum(1 - prob.sum(axis=1), 0.0) / np.maximum(unlisted, 1)
    views = [np.log(np.maximum(np.column_stack([prob, rest]), 1e-7))]
    if neighbours is not None and neighbours.shape[1]:
        views.append(_vote_logs(candidate, neighbours[rows], labels, classes))
    posterior = _fit_posterior(views, candidate, unlisted)
    disagrees = posterior[:, 0] < posterior[:, 1:].max(axis=1, initial=0.0)
    # Of the network alone and of all classes: the candidates hold the given one, so their posterior is not label-blind.
    confidence = statistics.top_prob[rows, 0].astype(np.float64)
    first = candidate[np.arange(len(rows)), posterior.argmax(axis=1)]
    true = _undo_confusion(posterior, candidate, first, given, classes)
    best = true[:, 1:].argmax(axis=1)
    index = np.arange(len(rows))
    margin = statistics.margin[rows]
    odds = with_margin(_odds_against(true, np.sqrt((true[:, 1:] ** 2).sum(axis=1))), margin)
    against_best = with_margin(_odds_against(true, true[index, best + 1]), margin)
    return LogOdds(odds, against_best, candidate[index, best + 1], disagrees, confidence)


def candidates(statistics: Statistics, given: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The given class, then the most probable others: (R, T + 1) class ids, -1 = none, and their probabilities."""
    top_class, top_prob = statistics.top_class[rows].astype(np.int64), statistics.top_prob[rows].astype(np.float64)
    is_given = top_class == given[:, None]
    order = np.argsort(is_given, axis=1, kind="stable")  # the given class, where listed, goes last
    others = np.where(np.take_along_axis(is_given, order, axis=1), -1, np.take_along_axis(top_class, order, axis=1))
    probs = np.where(others < 0, 0.0, np.take_along_axis(top_prob, order, axis=1))
    own = statistics.self_confidence[rows].astype(np.float64)
    return np.column_stack([given, others]), np.column_stack([own, probs])


def _vote_logs(candidate: np.ndarray, near: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(R, T + 2) log of the smoothed share of neighbours that carry each candidate class; last, one without votes."""
    near_label = np.where(near >= 0, labels[near], -2)
    votes = np.zeros((len(candidate), candidate.shape[1] + 1))
    for column in range(near.shape[1]):
        votes[:, :-1] += candidate == near_label[:, column : column + 1]
    voters = (near_label >= 0).sum(axis=1, keepdims=True)
    return np.log((votes + VOTE_PRIOR) / (voters + VOTE_PRIOR * classes))


def _fit_posterior(views: list[np.ndarray], candidate: np.ndarray, unlisted: np.ndarray) -> np.ndarray:
    """(R, T + 1) softmax over the candidates of the weighted sum of views, weights by maximum likelihood.

    The given class is column 0. Weights lie in [0.05, 5], those of further views in [0, 5]: however overconfident a
    network is, its order of classes stays. A weak pull towards (1, 0, ...) decides where the data cannot.
    """
    from scipy.optimize import minimize

    with np.errstate(divide="ignore"):
        offset = np.column_stack([np.where(candidate < 0, -np.inf, 0.0), np.log(unlisted)])
    step = max(1, len(candidate) // FIT_ROWS)
    sample, absent = [view[::step] for view in views], offset[::step]
    start = np.array([1.0] + [0.0] * (len(views) - 1))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logit = absent + sum(w * view for w, view in zip(weights, sample, strict=True))
        prob, log_norm = _softmax(logit)
        gradient = [((prob * view).sum(axis=1) - view[:, 0]).mean() for view in sample]
        pull = 1.0 / len(absent)
        value = (log_norm - logit[:, 0]).mean() + 0.5 * pull * ((weights - start) ** 2).sum()
        return float(value), np.array(gradient) + pull * (weights - start)

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.05, 5.0)] + [(0.0, 5.0)] * (len(views) - 1))
    logit = offset + sum(w * view for w, view in zip(found.x, views, strict=True))
    return _softmax(logit[:, :-1])[0]


def _softmax(logit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of probabilities, and the log of what each row was divided by."""
    largest = logit.max(axis=1, keepdims=True)
    power = np.exp(logit - largest)
    total = power.sum(axis=1, keepdims=True)
    return power / total, (largest + np.log(total))[:, 0]


def _undo_confusion(
    posterior: np.ndarray, candidate: np.ndarray, first: np.ndarray, given: np.ndarray, classes: int
) -> np.ndarray:
    """(R, T + 1) posterior of the true class, from that of the given label and P(given | true) between candidates.

    P(given | true) is the share of given labels among the samples whose first choice is a class, pulled towards a
    uniform error rate by CONFUSION_PRIOR pseudo-samples.
    """
    from scipy.sparse import coo_matrix

    if classes < 2:
        return posterior
    counts = coo_matrix((np.ones(len(first)), (first, given)), shape=(classes, classes)).tocsr()
    size = np.bincount(first, minlength=classes).astype(np.float64)
    error = float(np.clip((first != given).mean(), 1 / (len(first) + 1), 0.9))
    true = np.empty_like(posterior)
    for start in range(0, len(posterior), BLOCK):
        part = slice(start, start + BLOCK)
        options = candidate[part]
        width = options.shape[1]
        present = options >= 0
        a = np.repeat(np.maximum(options, 0), width, axis=1).ravel()
        b = np.tile(np.maximum(options, 0), (1, width)).ravel()
        prior = np.where(a == b, 1 - error, error / (classes - 1))
        rate = (np.asarray(counts[a, b]).ravel() + CONFUSION_PRIOR * prior) / (size[a] + CONFUSION_PRIOR)
        rate = rate.reshape(-1, width, width)  # [sample, true, given]
        guess = present / present.sum(axis=1, keepdims=True)
        for _ in range(EM_STEPS):
            seen = np.maximum(np.einsum("rt,rtg->rg", guess, rate), 1e-12)
            guess = guess * np.einsum("rg,rtg->rt", posterior[part] / seen, rate)
            guess /= np.maximum(guess.sum(axis=1, keepdims=True), 1e-12)
        true[part] = guess
    return true


def _odds_against(true: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """(R,) log-odds of the given class, column 0, against `rivals`, cut off at LARGEST."""
    odds = np.log(np.maximum(true[:, 0], 1e-9)) - np.log(np.maximum(rivals, 1e-9))
    return np.clip(odds, -LARGEST, LARGEST)


def with_margin(odds: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """(R,) mean of the log-odds and the training margins, these mapped to the distribution of those by rank.

    Equal margins get the mean of their ranks' values; where there is no margin, the log-odds stay as they are.
    """
    from scipy.stats import rankdata

    measured = np.flatnonzero(np.isfinite(margin))
    if len(measured) < 2 or np.ptp(margin[measured]) == 0:
        return odds
    place = rankdata(margin[measured]) - 1
    mapped = np.interp(place, np.arange(len(measured)), np.sort(odds[measured]))
    fused = odds.copy()
    fused[measured] = (odds[measured] + mapped) / 2
    return fused
