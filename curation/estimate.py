"""How many labels, or pictures, are wrong: at the start, fixed, left; and whether to go on looking.

    Evidence (what the run thinks, what reviewers said, what was drawn at random) --estimate--> Estimate

Where pictures have several labels, or boxes, what is drawn, reviewed and counted is the picture
(curation.estimate_pictures); read "label" as "picture" then.

The interval comes from the audit alone: labels drawn at random, suspicious ones more often (`audit_weights`), reviewed
in the order of the draw. What reviewers said of other labels, suspects for instance, is taken as it is: those labels
are known, and the audit goes on among the rest. What the run thinks of every label is the control variate: the better
it is, the narrower the interval; however wrong it is, the interval holds. See curation.confidence for how, and for the
sources. Reviewers are taken to be right; labels on which they are not sure, or not of one mind, count as not known.

Why not a plain random sample: 500 labels of which 9 % are wrong give an interval of 39 % of the number to either side
that holds at any time (27 % at one time that was settled before), 23 % with the run's probabilities as control
variate, and 17 % if suspicious labels are drawn more often (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.confidence import Draws, draw_order, estimates, join, limits
from curation.confidence import Interval as Interval
from curation.estimate_advice import LABEL, Advice, Unit, advise

NEVER = np.iinfo(np.int64).max
DESIGN = 1  # of audit_weights; a sample is evaluated by the weights that it was drawn with

# The chance of being drawn: so much of it is equal for all labels, so that errors that the run does not see are found;
# the rest goes by how unsure the run is of a label, and by how wrong it thinks it. Chosen on made-up sets.
EQUAL, UNSURE, WRONG = 0.6, 0.28, 0.12
SUREST = 0.002  # no label is taken to be right or wrong for surer than this
LEARN_AGAIN = 1.25  # the guesses are recalibrated whenever so many times as many labels are known
LEAST_KNOWN = 20  # ... and from so many on
MODEL_WORTH = 10.0  # draws that the run's own count is worth in the point estimate
CLASS_DRAWS = 10  # a class with fewer draws is not listed
CLASS_WIDTH = 0.75  # nor one whose interval is wider to either side than this share of its estimate (or of 10 labels)
NEXT = 100  # reviews that are looked ahead

# (probability as the run has it, which are known, what they are), (N,) each -> (N,) what is to be expected now
Learn = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Evidence:
    """What is known of N labels, and of T draws.

    wrong_prob : (N,) the run's probability that the label is wrong
    weight : (N,) positive, chance of being drawn, as it was when the draws were made
    least, most : (N,) 0 or 1: whether the label is wrong; equal where reviewers settled it, else 0 and 1
    since : (N,) int64, when a reviewer first judged it (a number that grows with time), NEVER = not judged
    answered : (N,) bool: a reviewer has said something, if only that it cannot be said
    draws : (T,) rows in the order of the draw
    released : (T,) int64, what `since` was up to when the draw was handed out to reviewers; does not fall
    given : (N,) class of the label, int64, -1 = none
    classes : names of the classes
    """

    wrong_prob: np.ndarray
    weight: np.ndarray
    least: np.ndarray
    most: np.ndarray
    since: np.ndarray
    answered: np.ndarray
    draws: np.ndarray
    released: np.ndarray
    given: np.ndarray
    classes: tuple[str, ...] = ()

    @property
    def settled(self) -> np.ndarray:
        """(N,) bool: reviewers said whether it is wrong."""
        return self.least == self.most


@dataclass(frozen=True)
class ClassEstimate:
    """Wrong labels among those that had one label at the start; or the pictures in which a class is wrong or missing.

    labels : how many had it
    """

    name: str
    labels: int
    audited: int
    start: Interval
    fixed: int


@dataclass(frozen=True)
class AnnotationEstimate:
    """Wrong, missing or superfluous labels or boxes, in all pictures at the start; at most `bound` in each count."""

    start: Interval
    fixed: int
    bound: int


@dataclass(frozen=True)
class Estimate:
    """What `estimate` concludes.

    labels : N; reviewed : how many of them were judged; unsettled : how many of those count as not known
    audited : draws that count; waiting : draws that were judged before their turn, or that wait for a reviewer
    start : wrong labels at the start; without an audit its limits are only those that are sure
    fixed : of these, found by reviewers; left : start less fixed
    classes : those with enough data
    halve : further audited labels that would halve the interval, as far as can be foreseen; None = no audit yet, or
        the interval cannot be halved
    fixes : wrong labels to be expected among the `ahead` most suspicious ones that were not looked at
    advice : in a word; reasons : in sentences
    unit : what all this is counted in
    annotations : of pictures: the labels or boxes in them that are wrong, missing or too many
    """

    labels: int
    reviewed: int
    unsettled: int
    audited: int
    waiting: int
    start: Interval
    fixed: int
    left: Interval
    classes: tuple[ClassEstimate, ...]
    halve: int | None
    fixes: float
    ahead: int
    advice: Advice
    reasons: tuple[str, ...]
    unit: Unit = LABEL
    annotations: AnnotationEstimate | None = None

    @property
    def fixes_per_100(self) -> float:
        """Fixes to be expected per 100 further reviews of suspects."""
        return 100 * self.fixes / self.ahead if self.ahead else 0.0


def audit_weights(wrong_prob: np.ndarray) -> np.ndarray:
    """(N,) float64 with sum 1: how probable each label is to be drawn first.

    The least variance is where chances go with the spread sqrt(p (1 - p)) of what is not known (Neyman); the equal part
    bounds what a wrong label costs that the run took for right, and the part that goes with p bounds the reverse.
    """
    prob = np.clip(wrong_prob, SUREST / 2, 1 - SUREST / 2)
    spread = np.sqrt(prob * (1 - prob))
    return EQUAL / max(len(prob), 1) + UNSURE * spread / spread.sum() + WRONG * prob / prob.sum()


def estimate(evidence: Evidence, seed: int = 0, unit: Unit = LABEL) -> Estimate:
    """What the evidence says; seed : of the futures that `halve` is worked out from."""
    count = len(evidence.wrong_prob)
    settled = evidence.settled
    guess = recalibrated(evidence.wrong_prob, settled, evidence.least)
    draws = sequence(evidence)
    start = total(evidence, draws, guess)
    fixed = int(evidence.least[settled].sum())
    left = start.less(fixed)
    open_rows = np.flatnonzero(~settled & ~evidence.answered)
    ahead = min(NEXT, len(open_rows))
    fixes = float(np.sort(guess[open_rows])[::-1][:ahead].sum())
    advice, reasons = advise(count, len(draws), left, fixes, ahead, unit)
    return Estimate(
        labels=count,
        reviewed=int(evidence.answered.sum()),
        unsettled=int((evidence.answered & ~settled).sum()),
        audited=len(draws),
        waiting=_waiting(evidence),
        start=start,
        fixed=fixed,
        left=left,
        classes=_by_class(evidence, guess),
        halve=_draws_to_halve(evidence, draws, guess, start, seed),
        fixes=fixes,
        ahead=ahead,
        advice=advice,
        reasons=reasons,
        unit=unit,
    )


# --- the audit -------------------------------------------------------------------------------------------------------


def sequence(evidence: Evidence, learn: Learn | None = None) -> Draws:
    """The draws that count, as far as they are answered without a gap: their order is part of the proof.

    What is known before a draw is what was judged when it was released, and the draws before it. Guesses are learned
    from that, and from nothing later; learn : how, by default `recalibrated`.
    """
    learn = learn or recalibrated
    rows = evidence.draws[: answered_prefix(evidence)]
    number = len(rows)
    known_from = np.searchsorted(evidence.released[:number], evidence.since, side="left")
    known_from[rows] = np.minimum(known_from[rows], np.arange(number) + 1)
    known = np.cumsum(np.bincount(known_from, minlength=number + 1))
    parts: list[Draws] = []
    start = 0
    while start < number:
        learned = (known_from <= start) & evidence.settled
        guess = learn(evidence.wrong_prob, learned, evidence.least)
        again = max(LEAST_KNOWN, LEARN_AGAIN * known[start])
        end = min(number, max(start + 1, int(np.searchsorted(known, again))))
        parts.append(
            estimates(rows, known_from, evidence.weight, guess, evidence.least, evidence.most, start, end)
        )  # fmt: skip
        start = end
    return join(parts, len(evidence.wrong_prob))


def answered_prefix(evidence: Evidence) -> int:
    """How many draws have an answer before the first that has none."""
    missing = np.flatnonzero(~evidence.answered[evidence.draws])
    return int(missing[0]) if len(missing) else len(evidence.draws)


def _waiting(evidence: Evidence) -> int:
    return len(evidence.draws) - answered_prefix(evidence)


def recalibrated(wrong_prob: np.ndarray, known: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(N,) probabilities in the light of what is known: a logistic regression on their log-odds, shift and slope.

    Both have a Gaussian prior around "as it is". Which labels were looked at may depend on the probability.
    """
    prob = np.clip(wrong_prob, SUREST, 1 - SUREST)
    if known.sum() < LEAST_KNOWN:
        return prob
    odds = np.log(prob) - np.log1p(-prob)
    design = np.column_stack([np.ones(int(known.sum())), odds[known]])
    centre, precision = np.array([0.0, 1.0]), np.diag([1.0, 0.3**-2])
    weights = centre.copy()
    for _ in range(25):  # Newton's method; the loss is convex
        fitted = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (fitted - wrong[known]) + precision @ (weights - centre)
        hessian = (design * (fitted * (1 - fitted))[:, None]).T @ design + precision
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    return np.clip(1 / (1 + np.exp(-(weights[0] + weights[1] * odds))), SUREST, 1 - SUREST)


def total(evidence: Evidence, draws: Draws, guess: np.ndarray) -> Interval:
    """All wrong labels at the start: limits from the draws, and from what is known for sure."""
    settled = evidence.settled
    low, high = limits(draws, float(evidence.least.sum()), float(evidence.most.sum()))
    model = evidence.least[settled].sum() + guess[~settled].sum()
    if not len(draws):
        return Interval(float(model), low, high)
    precision = draws.spread**-2.0
    middle = (draws.z_least + draws.z_most) / 2
    prior = MODEL_WORTH * precision[0]
    mean = (prior * model + (precision * middle).sum()) / (prior + precision.sum())
    return Interval(float(np.clip(mean, low, high)), low, high)


# --- parts of the answer ---------------------------------------------------------------------------------------------


def _by_class(evidence: Evidence, guess: np.ndarray) -> tuple[ClassEstimate, ...]:
    """Classes with enough data, most wrong labels first; each interval holds by itself, not all of them at once."""
    drawn = evidence.draws[: answered_prefix(evidence)]
    found = []
    for number, draws in zip(*np.unique(evidence.given[drawn], return_counts=True), strict=True):
        if number < 0 or draws < CLASS_DRAWS:
            continue
        part, own_guess = _of_class(evidence, guess, int(number))
        counted = sequence(part)
        start = total(part, counted, own_guess)
        if len(counted) >= CLASS_DRAWS and is_telling(start):
            fixed = int(part.least[part.settled].sum())
            found.append(
                ClassEstimate(evidence.classes[number], len(part.wrong_prob), len(counted), start, fixed)
            )  # fmt: skip
    return tuple(sorted(found, key=lambda line: -line.start.estimate))


def is_telling(found: Interval) -> bool:
    """Whether the interval of a class is narrow enough to be listed."""
    return found.half_width <= CLASS_WIDTH * max(found.estimate, 10.0)


def _of_class(evidence: Evidence, guess: np.ndarray, number: int) -> tuple[Evidence, np.ndarray]:
    """The evidence on one class; draws from it alone are draws in proportion to the weights within it."""
    rows = np.flatnonzero(evidence.given == number)
    place = np.full(len(evidence.given), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    kept = np.flatnonzero(place[evidence.draws] >= 0)
    kept = kept[kept < answered_prefix(evidence)]
    names = ("weight", "least", "most", "since", "answered", "given")
    return (
        Evidence(
            # The classes share a calibration: what it has learned from all of them is not known before each draw.
            wrong_prob=evidence.wrong_prob[rows],
            draws=place[evidence.draws[kept]],
            released=evidence.released[kept],
            classes=evidence.classes,
            **{name: getattr(evidence, name)[rows] for name in names},
        ),
        guess[rows],
    )


FUTURES = 3
LOOKS = np.unique(np.geomspace(20, 20_000, 25).astype(np.int64))  # further draws at which the interval is looked at


def _draws_to_halve(
    evidence: Evidence, draws: Draws, guess: np.ndarray, start: Interval, seed: int
) -> int | None:  # fmt: skip
    """Further draws until the interval is half as wide, in the middle of a few futures that follow the guesses."""
    if not len(draws):
        return None
    random = np.random.default_rng(seed)
    known = evidence.answered.copy()
    open_rows = np.flatnonzero(~known)
    looks = LOOKS[len(open_rows) >= LOOKS]
    needed = []
    for future in range(FUTURES):
        wrong = np.where(known, evidence.least, random.random(len(known)) < guess)
        most = np.where(known, evidence.most, wrong)
        order = open_rows[draw_order(evidence.weight[open_rows], seed + future)][: looks.max(initial=0)]
        known_from = np.where(known, 0, len(order))
        known_from[order] = np.arange(len(order)) + 1
        later = estimates(order, known_from, evidence.weight, guess, wrong, most)
        both = join([draws, later], draws.count)
        needed.append(_first_half(both, len(draws), looks, wrong, most, known, order, start.half_width / 2))
    middle = sorted(needed)[FUTURES // 2]
    return None if middle == NEVER else int(middle)


def _first_half(
    draws: Draws, done: int, looks: np.ndarray, least: np.ndarray, most: np.ndarray, known: np.ndarray,
    order: np.ndarray, wanted: float,
) -> int:  # fmt: skip
    """The first of `looks` at which the half-width is `wanted`, by halving; NEVER = at none."""
    sure = (float(least[known].sum()), float(most[known].sum()))
    found = np.cumsum(least[order])
    low, high = 0, len(looks)
    while low < high:
        middle = (low + high) // 2
        further = int(looks[middle])
        wrong = float(found[further - 1])
        bounds = (sure[0] + wrong, sure[1] + wrong + float((~known).sum() - further))
        below, above = limits(draws.first(done + further), *bounds)
        if (above - below) / 2 <= wanted:
            high = middle
        else:
            low = middle + 1
    return int(looks[low]) if low < len(looks) else int(NEVER)
