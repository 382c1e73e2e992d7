"""How many of each class a picture has: counts as a ladder of yes or noes, and how far each count can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.scoring.set_quality import flag_below

# A class has one step, "at least j", for each j up to this percentile of its counts, and at most so many steps.
PERCENTILE, MOST_STEPS = 99.0, 32
# Counts above 0 this near to each other, as a share of the spread of all counts of the class, the model tells of
# together: each step is judged by itself, so that their differences jump from one count to the next. Whether there is
# any it knows better than how many.
BLUR, LEAST_BLUR = 0.7, 0.2
# How a miscount falls: so much likelier by one than by two, and so on; this share anywhere; this share twice or half
# as many, or none.
NEARER, ANYWHERE, DOUBLED = 2.0, 0.2, 0.1
# What is believed of miscounts before one was seen: log-odds, their spread over data sets, and over classes of one.
ERROR_ODDS, ERROR_SPREAD, CLASS_SPREAD = -3.5, 1.0, 0.1
FIT_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Counts:
    """The counts of N pictures, K classes.

    given : (N, K) int64, -1 = unknown (the whole row)
    steps : (K,) int64, the largest j of "at least j" of each class, 1 or more; larger counts are one outcome
    """

    given: np.ndarray
    steps: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(N,) bool: the counts of the picture are known."""
        return self.given[:, 0] >= 0 if self.given.shape[1] else np.zeros(len(self.given), dtype=bool)

    @property
    def ends(self) -> np.ndarray:
        """(K + 1,) where each class begins in the columns of the ladder, and the end."""
        return np.concatenate([[0], np.cumsum(self.steps)])

    def ladder(self) -> np.ndarray:
        """(N, sum of steps) int8: class by class, for j = 1, 2 ... whether a picture has at least j; -1 = unknown.

        Frank & Hall (2001), A simple approach to ordinal classification.
        """
        asked = np.concatenate([np.arange(1, steps + 1) for steps in self.steps]) if len(self.steps) else np.empty(0)
        found = (np.repeat(self.given, self.steps, axis=1) >= asked).astype(np.int8)
        found[~self.known] = -1
        return found


@dataclass(frozen=True)
class CountQuality:
    """What is concluded about the counts of N pictures, K classes.

    score : (N, K) float32 in [0, 1], probability that the count is right; low = suspicious; 1 where it is unknown or no
        model could judge it
    is_issue, judged : (N, K) bool
    threshold : counts whose score lies below it are flagged
    likely : (N, K) int64, the most likely count if the given one is wrong; never the given one
    expected : (N, K) float32, the mean count by the model (larger counts than the class has steps as that many)
    p_given, p_likely : (N, K) float32, probability of the given and of the likely count by the model alone
    picture_score : (N,) float64 in [0, 1], probability that all counts of the picture are right
    wrong_rate : (K,) float64, how often a count of the class is wrong
    """

    score: np.ndarray
    is_issue: np.ndarray
    judged: np.ndarray
    threshold: float
    likely: np.ndarray
    expected: np.ndarray
    p_given: np.ndarray
    p_likely: np.ndarray
    picture_score: np.ndarray
    wrong_rate: np.ndarray


def count_labels(annotations: pd.DataFrame, samples: pd.DataFrame, class_names: list[str]) -> Counts:
    """The counts of `samples`, in their order: of each class as many as the picture has annotations of it.

    A picture without annotations has none of any class, but where no picture of its split has one, none of that split
    has been counted.

    annotations : curation.records.ANNOTATION_COLUMNS; those of other samples and boxes' places are not looked at
    class_names : all labels of these samples
    """
    row = pd.Series(np.arange(len(samples)), index=samples["sample_id"].to_numpy())
    mine = annotations[annotations["sample_id"].isin(row.index)]
    at = row.loc[mine["sample_id"].to_numpy()].to_numpy(dtype=np.int64)
    given = np.zeros((len(samples), len(class_names)), dtype=np.int64)
    np.add.at(given, (at, pd.Categorical(mine["label"], categories=class_names).codes.astype(np.int64)), 1)
    counted = pd.Series(given.any(axis=1)).groupby(samples["split"].to_numpy()).transform("any").to_numpy(dtype=bool)
    given[~counted] = -1
    known = given[counted]
    top = np.percentile(known, PERCENTILE, axis=0) if len(known) else np.ones(len(class_names))
    return Counts(given, np.clip(np.ceil(top), 1, MOST_STEPS).astype(np.int64))


def judge_counts(pred_probs: np.ndarray, counts: Counts, judged: np.ndarray) -> CountQuality:
    """Score and flag each count.

    What the model says of every step of the ladder makes a probability of every count. How sharp it is, and how often
    the counts of each class are wrong, is found so that the given counts are most likely, a miscount being nearly
    always a near one. A count that is improbable by itself is then no suspect where the model cannot tell it from its
    neighbours, and one that is far off is one however wide the model spreads.

    Parameters
    ----------
    pred_probs : (N, sum of steps) float, out-of-fold, of each step of `counts.ladder()` by itself
    judged : (N, sum of steps) bool, whether a model that could know the step judged the picture
    """
    shape, ends = counts.given.shape, counts.ends
    use = np.zeros(shape, dtype=bool)
    for k in range(shape[1]):
        use[:, k] = judged[:, ends[k] : ends[k + 1]].any(axis=1) & counts.known
    score, likely = np.ones(shape, np.float32), np.maximum(counts.given, 0)
    expected, p_given, p_likely = (np.zeros(shape, np.float32) for _ in range(3))
    rates = np.full(shape[1], _sigmoid(ERROR_ODDS))
    if use.any():
        rows = np.flatnonzero(use.any(axis=1))
        picked = rows[:: max(1, len(rows) // FIT_ROWS)]
        sharpness, rates = _fit(
            [_logs(pred_probs, counts, k, picked[use[picked, k]]) for k in range(shape[1])],
            [np.minimum(counts.given[picked[use[picked, k]], k], counts.steps[k]) for k in range(shape[1])],
            counts.steps,
        )
        for k in range(shape[1]):
            mine = np.flatnonzero(use[:, k])
            prob = _sharpened(sharpness, _logs(pred_probs, counts, k, mine))
            given = np.minimum(counts.given[mine, k], counts.steps[k])
            right = (1 - rates[k]) * prob[np.arange(len(mine)), given]
            wrong = rates[k] * prob * _miscounts(int(counts.steps[k]))[:, given].T
            score[mine, k] = right / (right + wrong.sum(axis=1))
            likely[mine, k] = wrong.argmax(axis=1)
            expected[mine, k] = prob @ np.arange(counts.steps[k] + 1)
            p_given[mine, k] = prob[np.arange(len(mine)), given]
            p_likely[mine, k] = prob[np.arange(len(mine)), likely[mine, k]]
    picture = np.exp(np.log(np.maximum(score, 1e-6), dtype=np.float64).sum(axis=1))
    threshold = flag_below(score)
    return CountQuality(score, score < threshold, use, threshold, likely, expected, p_given, p_likely, picture, rates)


def _logs(pred_probs: np.ndarray, counts: Counts, k: int, rows: np.ndarray) -> np.ndarray:
    """(R, steps + 1) log-probabilities of 0, 1, ... "steps or more" of class k by the model.

    The steps come from models of their own and need not fall: the mean of the running minimum and, from behind, the
    running maximum does, kept below the first step as it is.
    """
    start, end = counts.ends[k : k + 2]
    at_least = np.asarray(pred_probs[rows, start:end], dtype=np.float64)
    low = np.minimum.accumulate(at_least, axis=1)
    high = np.maximum.accumulate(at_least[:, ::-1], axis=1)[:, ::-1]
    edge = np.ones((len(rows), 1))
    falling = np.minimum((low + high) / 2, at_least[:, :1])
    falling[:, 0] = at_least[:, 0]
    prob = -np.diff(np.concatenate([edge, falling, 0 * edge], axis=1), axis=1)
    steps = int(counts.steps[k])
    width = max(BLUR * float(np.minimum(counts.given[counts.known, k], steps).std()), LEAST_BLUR)
    count = np.arange(steps + 1)
    blur = np.exp(-0.5 * ((count[:, None] - count) / width) ** 2)
    blur[0, 1:] = blur[1:, 0] = 0.0
    return np.log(np.maximum(prob @ (blur / blur.sum(axis=1, keepdims=True)), 1e-7))


def _miscounts(steps: int) -> np.ndarray:
    """(steps + 1, steps + 1), rows sum to 1, zero on the diagonal: what is given where the right count is another."""
    count = np.arange(steps + 1)
    near = NEARER ** -np.abs(count[:, None] - count).astype(np.float64)
    double = np.zeros_like(near)
    for other in (np.minimum(2 * count, steps), count // 2, 0 * count):
        double[count, other] = 1.0
    parts = []
    for part in (near, np.ones_like(near), double):
        np.fill_diagonal(part, 0.0)
        parts.append(part / np.maximum(part.sum(axis=1, keepdims=True), 1e-12))
    found = (1 - ANYWHERE - DOUBLED) * parts[0] + ANYWHERE * parts[1] + DOUBLED * parts[2]
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _sharpened(sharpness: float, logs: np.ndarray) -> np.ndarray:
    """(R, steps + 1) probabilities, rows sum to 1, in proportion to their power."""
    logit = sharpness * logs
    prob = np.exp(logit - logit.max(axis=1, keepdims=True))
    return np.asarray(prob / prob.sum(axis=1, keepdims=True))


def _fit(logs: list[np.ndarray], given: list[np.ndarray], steps: np.ndarray) -> tuple[float, np.ndarray]:
    """The sharpness, and the rates of miscounts (K,), under which the given counts are most likely.

    logs, given : of each class, of the pictures that are judged, (R, steps + 1) and (R,)
    """
    from scipy.optimize import minimize

    classes = len(steps)
    start = np.concatenate([[1.0, ERROR_ODDS], np.zeros(classes)])
    spread = np.concatenate([[np.inf, ERROR_SPREAD], np.full(classes, CLASS_SPREAD)])
    moved = [_miscounts(int(steps[k]))[:, given[k]].T for k in range(classes)]
    total = max(map(len, given))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = 0.0, np.zeros_like(parameters)
        for k in range(classes):
            at = np.arange(len(given[k])), given[k]
            prob, rate = _sharpened(parameters[0], logs[k]), _sigmoid(parameters[1] + parameters[2 + k])
            away = prob * moved[k]  # by the right count, that the given one is a miscount of it
            told = np.maximum((1 - rate) * prob[at] + rate * away.sum(axis=1), 1e-12)
            value -= float(np.log(told).sum())
            centred = logs[k] - (prob * logs[k]).sum(axis=1, keepdims=True)
            slope = (1 - rate) * prob[at] * centred[at] + rate * (away * centred).sum(axis=1)
            gradient[0] -= float((slope / told).sum())
            by_rate = float(((away.sum(axis=1) - prob[at]) / told).sum()) * rate * (1 - rate)
            gradient[1] -= by_rate
            gradient[2 + k] -= by_rate
        off = (parameters - start) / spread
        return (value + 0.5 * float((off**2).sum())) / total, (gradient + off / spread) / total

    bounds = [(0.2, 5.0), (-9.0, -0.5), *[(-4.0, 4.0)] * classes]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}).x
    return float(found[0]), np.minimum(_sigmoid(found[1] + found[2:]), 0.45)


def _sigmoid(x: float | np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
