"""The queue learns: verdicts re-order what is left, from the run's own order on, and back to it where they say nothing.

P(reviewing an item changes something) is a logistic regression, refitted from all verdicts whenever some arrived:

    logit = a + b * prior + scores * w + second look * v + effect(detector) + effect(given class)
            + effect(suggested class) + effect(pair of the two)

`prior` is the log-odds that the run's order implies, and every coefficient has a Gaussian prior that is centred on
that order alone (a = 0, b = 1, all others 0). So the queue starts in the static order, and leaves it as far as the
verdicts make up for the prior. The effects of classes and pairs are shrunk error rates; the second look is what a ridge
classifier on the embeddings, taught the labels as they are now, says of the given label against the suggested one.

Nothing is trained here that takes longer than a few milliseconds: a few thousand items at the head of the queue are
looked at, the others keep their places.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation.decisions import CHANGES
from curation.review.run_index import RunIndex, open_index
from curation.review.second_look import SecondLook, class_numbers, preference, second_look
from curation.runs import Run

LIMIT = 20_000  # items at the head of the queue that are looked at
TOP = 1_000  # of these, how many get a place of their own
# Standard deviations of the Gaussian priors, chosen on data sets other than those whose gain is reported.
# The intercept is free: how sure the run is says nothing about the order, and must not be made up for by effects.
FREE, SCALE, SCORES, SECOND_LOOK = 5.0, 0.3, 0.1, 0.5
LEAST_SCALE = 0.2
# For counting: no label is surer to be wrong than 95 %; intercept and slope are held.
SUREST, COUNT_SHIFT, COUNT_SCALE = 3.0, 0.5, 0.2
EFFECTS = {"issue": 1.0, "given": 0.4, "suggestion": 0.4, "pair": 0.4}
# A verdict is taken for right this often: one slip at the head of the queue must not turn it around.
TRUST = 0.95
UNDECIDED = ("unsure", "undo")
LARGEST = 8.0  # log-odds beyond this are cut off


@dataclass(frozen=True)
class Features:
    """What is known before any verdict about M items, in the static order.

    ids : (M,) item ids; priority : (M,) static priority
    prior : (M,) float64 log-odds that reviewing the item changes something; never rises along the order
    scores : (M, F) float64, mean 0, about unit spread; 0 where something is not measured
    codes : effect name -> (M,) int64; equal codes share an effect, -1 has none
    given, suggested : (M,) int64 class of the run, -1 = none
    look : what the second look is made of; None where the run has no embeddings
    """

    ids: np.ndarray
    priority: np.ndarray
    prior: np.ndarray
    scores: np.ndarray
    codes: dict[str, np.ndarray]
    given: np.ndarray
    suggested: np.ndarray
    look: SecondLook | None
    classes: tuple[str, ...]


def worth_knowing(items: pd.DataFrame, decided: Collection[str], times: int = 4) -> pd.DataFrame:
    """The part of the queue that `features` may come to look at while a workspace stays open: of the decided items the
    first LIMIT, of the others the first `times` LIMIT, in the static order."""
    order = np.argsort(-items["priority"].to_numpy(dtype=np.float64), kind="stable")
    known = items["item_id"].isin(list(decided)).to_numpy()[order]
    use = np.where(known, np.cumsum(known) <= LIMIT, np.cumsum(~known) <= times * LIMIT)
    return items.iloc[order[use]].reset_index(drop=True)


def off_because(run: Run) -> str:
    """Why the queue of a run does not learn, a sentence for the screen; "" where it does.

    What is learned is when one label is wrong; of several, or of boxes, the order stays that of the run.
    """
    if str(run.info.get("task") or "single-label") == "single-label":
        return ""
    return "The order of this queue stays as it was scored: it learns only where every picture has one label."


def features(run: Run, items: pd.DataFrame, limit: int = LIMIT, decided: Collection[str] = ()) -> Features:
    """What the model looks at: the first `limit` items of the static order.

    Parameters
    ----------
    items : as `review.build_items` gives them (the store's priorities may have been learned already: not those)
    decided : items with a verdict; of these the first `limit` come along to learn from, and take no other's place

    Nothing where the queue does not learn, see `off_because`: then no order changes.
    """
    index = open_index(run)
    if off_because(run):
        items = items[:0]
    order = np.argsort(-items["priority"].to_numpy(dtype=np.float64), kind="stable")
    known = items["item_id"].isin(list(decided)).to_numpy()[order]
    place = np.where(known, np.cumsum(known), np.cumsum(~known))
    head = items.iloc[order[place <= limit]].reset_index(drop=True)
    row = index.rows(_first_member(head))
    number = {name: k for k, name in enumerate(index.classes)}
    given = class_numbers(head["given_label"], number)
    suggested = _suggested(index, head, row, given, number)
    return Features(
        ids=head["item_id"].to_numpy(dtype=object),
        priority=head["priority"].to_numpy(dtype=np.float64),
        prior=_prior(head),
        scores=_scores(index, row, given, suggested),
        codes={
            "issue": pd.factorize(head["issue"])[0].astype(np.int64),
            "given": given,
            "suggestion": suggested,
            "pair": np.where((given >= 0) & (suggested >= 0), given * len(number) + suggested, -1),
        },
        given=given,
        suggested=suggested,
        look=second_look(index, row, given, suggested, number),
        classes=tuple(index.classes),
    )


def fit(known: Features, verdicts: pd.DataFrame) -> np.ndarray:
    """(M,) float64: log-odds that reviewing each item changes something, after `verdicts`; the prior without any.

    verdicts : the store's `verdicts`: one row per reviewer and item, with item_id, sample_id, verdict, labels (JSON)
    """
    at, changed = _outcomes(known, verdicts)
    if not len(at):
        return known.prior.copy()
    terms = [_Term(np.ones(len(known.ids)), 0.0, FREE), _Term(known.prior, 1.0, SCALE, LEAST_SCALE)]
    terms += [_Term(column, 0.0, SCORES) for column in known.scores.T]
    if known.look is not None:
        look = preference(known.look, known.given, known.suggested, _labels_now(known, verdicts))
        terms.append(_Term(look, 0.0, SECOND_LOOK, 0.0))
    matrix = np.column_stack([term.values for term in terms])
    weights, effects = _most_probable(terms, matrix[at], changed, {name: known.codes[name][at] for name in EFFECTS})
    odds = matrix @ weights
    for name, (codes, values) in effects.items():
        place = np.searchsorted(codes, known.codes[name]).clip(0, len(codes) - 1)
        odds += np.where(codes[place] == known.codes[name], values[place], 0.0)
    return odds


def calibrated(known: Features, verdicts: pd.DataFrame) -> np.ndarray:
    """(M,) float64: log-odds as `fit`, but to count with: how many changes are to be expected among what is left.

    `fit` asks which item comes first, and may shift all of them alike; here intercept and slope stay close to what the
    run says of itself until verdicts tell otherwise. Verdicts come from the head of the queue, so that this remains an
    extrapolation until the review has passed the flags: an estimate that can be trusted needs a random sample.
    """
    at, changed = _outcomes(known, verdicts, 1.0)
    capped = np.minimum(known.prior, SUREST)
    if not len(at):
        return capped
    terms = [_Term(np.ones(len(capped)), 0.0, COUNT_SHIFT), _Term(capped, 1.0, COUNT_SCALE, LEAST_SCALE)]
    matrix = np.column_stack([term.values for term in terms])
    weights, _ = _most_probable(terms, matrix[at], changed, {})
    return matrix @ weights


def reorder(
    known: Features, verdicts: pd.DataFrame, before: Mapping[str, float] | None = None, top: int = TOP
) -> dict[str, float]:
    """New priorities, of those items only whose priority changes.

    Parameters
    ----------
    before : the priorities that earlier calls gave and that are still in force
    top : so many undecided items get the priorities top, top - 1 ... 1; static ones are below 0

    Returns
    -------
    priority by item id. Items that `before` names and that no longer belong to the head get their static one back.
    """
    before = before or {}
    odds = fit(known, verdicts)
    decided = set(verdicts["item_id"][~verdicts["verdict"].isin(UNDECIDED)]) if len(verdicts) else set()
    open_rows = np.flatnonzero([item_id not in decided for item_id in known.ids]) if decided else np.arange(len(odds))
    first = open_rows[np.argsort(-odds[open_rows], kind="stable")][:top]
    now = {str(known.ids[row]): float(top - place) for place, row in enumerate(first.tolist())}
    static = dict(zip(known.ids, known.priority.tolist(), strict=True))
    back = {item_id: static[item_id] for item_id in before if item_id not in now and item_id in static}
    return {item_id: priority for item_id, priority in {**now, **back}.items() if before.get(item_id) != priority}


# --- before any verdict --------------------------------------------------------------------------------------------


def _first_member(items: pd.DataFrame) -> np.ndarray:
    """(M,) sample_id of the first picture of each item."""
    first = items["item_id"].to_numpy(dtype=object).copy()
    named = (items["kind"] == "sample").to_numpy() & items["item_id"].str.startswith("s").to_numpy(dtype=bool)
    for place in np.flatnonzero(~named).tolist():
        first[place] = json.loads(items["members"].iat[place])[0]
    return first


def _prior(items: pd.DataFrame) -> np.ndarray:
    """(M,) log-odds implied by the order: of a doubted label 1 - score; what else stands between gets a value between.

    So the static order is the order of the prior, whatever kinds of findings are in the queue.
    """
    count = len(items)
    is_label = (items["issue"] == "label_error").to_numpy()
    score = np.clip(items["score"].to_numpy(dtype=np.float64), 1e-9, 1 - 1e-9)
    odds = np.clip(np.log1p(-score) - np.log(score), -LARGEST, LARGEST)
    place = np.arange(count, dtype=np.float64)
    odds = np.interp(place, place[is_label], odds[is_label]) if is_label.any() else -place / max(count, 1)
    # A last resort against ties and rises, far below anything that counts.
    return np.minimum.accumulate(odds) - 1e-9 * place


def _suggested(
    index: RunIndex, items: pd.DataFrame, row: np.ndarray, given: np.ndarray, number: Mapping[str, int]
) -> np.ndarray:
    """(M,) class that the label might have to be: what the item suggests, else the likeliest other; -1 = unknown."""
    suggested = class_numbers(items["suggestion"], number)
    probs = index.arrays.get("pred_probs")
    if probs is None or probs.shape[1] < 2:
        return suggested
    todo = np.flatnonzero((suggested < 0) & (row >= 0) & (row < len(probs)))
    for start in range(0, len(todo), 4096):
        part = todo[start : start + 4096]
        block = np.array(probs[row[part]], dtype=np.float32)
        block[np.arange(len(part)), np.maximum(given[part], 0)] -= 2.0 * (given[part] >= 0)
        suggested[part] = block.argmax(axis=1)
    return suggested


def _scores(index: RunIndex, row: np.ndarray, given: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """(M, 3): improbability of the given class, probability of the suggested one, low training margin."""
    columns = []
    probs, margin = index.arrays.get("pred_probs"), index.arrays.get("training_margin")
    if probs is not None:
        there = (row >= 0) & (row < len(probs))
        for classes, sign in ((given, -1.0), (suggested, 1.0)):
            value = np.full(len(row), np.nan)
            use = np.flatnonzero(there & (classes >= 0))
            value[use] = sign * probs[row[use], classes[use]]
            columns.append(_by_rank(value))
    if margin is not None:
        value = np.full(len(row), np.nan)
        use = np.flatnonzero((row >= 0) & (row < len(margin)))
        value[use] = -margin[row[use]]
        columns.append(_by_rank(value))
    return np.column_stack(columns) if columns else np.zeros((len(row), 0))


def _by_rank(values: np.ndarray) -> np.ndarray:
    """Values as quantiles of a normal distribution, ties shared; 0 where a value is missing."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    found = np.flatnonzero(np.isfinite(values))
    out = np.zeros(len(values))
    if len(found):
        out[found] = ndtri((rankdata(values[found]) - 0.5) / len(found))
    return out


def _labels_now(known: Features, verdicts: pd.DataFrame) -> np.ndarray:
    """(T,) labels of the taught pictures as reviewers see them; -1 for one that they excluded."""
    assert known.look is not None
    labels = known.look.labels.copy()
    number = {name: k for k, name in enumerate(known.classes)}
    said = verdicts[verdicts["verdict"].isin(CHANGES)]
    for sample_id, verdict, text in zip(said["sample_id"], said["verdict"], said["labels"], strict=True):
        place = known.look.sample.get(sample_id)
        if place is not None:
            names: Any = [] if verdict == "exclude" else json.loads(text) if isinstance(text, str) else text
            labels[place] = number.get(names[0], -1) if len(names) else -1
    return labels


# --- the fit ---------------------------------------------------------------------------------------------------------


def _outcomes(known: Features, verdicts: pd.DataFrame, trust: float = TRUST) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `known` that were decided, and the share of reviewers who changed something, softened by `trust`."""
    said = verdicts[~verdicts["verdict"].isin(UNDECIDED)]
    if "decided_as" in said:  # what a settled case says of its members was found on the case
        said = said[said["decided_as"] == said["item_id"]]
    share = said["verdict"].isin(CHANGES).groupby(said["item_id"]).mean()
    at = pd.Index(known.ids).get_indexer(share.index)
    there = at >= 0
    order = np.argsort(at[there], kind="stable")
    return at[there][order], ((1 - trust) + (2 * trust - 1) * share.to_numpy(dtype=np.float64))[there][order]


@dataclass(frozen=True)
class _Term:
    """A column of the regression: its values (M,), centre and standard deviation of its coefficient's prior, and the
    least that the coefficient may be: evidence may turn out to say little, but not the opposite of what it says."""

    values: np.ndarray
    centre: float
    spread: float
    least: float = -np.inf


def _most_probable(
    terms: Sequence[_Term], matrix: np.ndarray, changed: np.ndarray, codes: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """MAP coefficients: (F,) of the terms, and by effect the codes that occur with their values.

    matrix : (R, F) values of the terms, changed : (R,) and codes : (R,) by effect, of the decided items
    """
    from scipy.optimize import minimize

    seen = {name: np.unique(values[values >= 0], return_inverse=True) for name, values in codes.items()}
    rows = {name: np.flatnonzero(values >= 0) for name, values in codes.items()}
    width = len(terms)
    ends = np.cumsum([width, *(len(found) for found, _ in seen.values())])
    parts = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(seen)}
    centre = np.array([term.centre for term in terms] + [0.0] * (ends[-1] - width))
    spread = np.concatenate([[term.spread for term in terms], *(np.full(len(seen[n][0]), EFFECTS[n]) for n in seen)])
    precision = spread**-2.0
    bounds = [(term.least, np.inf) for term in terms] + [(-np.inf, np.inf)] * (ends[-1] - width)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        odds = matrix @ weights[:width]
        for name, part in parts.items():
            odds[rows[name]] += weights[part][seen[name][1]]
        away = weights - centre
        value = (np.logaddexp(0, odds) - changed * odds).sum() + 0.5 * (precision * away**2).sum()
        error = 1 / (1 + np.exp(-odds)) - changed
        gradient = precision * away
        gradient[:width] += matrix.T @ error
        for name, part in parts.items():
            gradient[part] += np.bincount(seen[name][1], error[rows[name]], minlength=len(seen[name][0]))
        return float(value), gradient

    found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200, "maxcor": 20})
    return found.x[:width], {name: (seen[name][0], found.x[part]) for name, part in parts.items() if len(seen[name][0])}
