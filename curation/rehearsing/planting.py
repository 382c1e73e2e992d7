"""A copy of the user's labels with known errors in it, of the kind that the run and its reviewers have seen.

Belief (what the run thinks, what reviewers said) --draw_truth--> one guess of all right labels
--draw_confusions--> which class is called what --plant--> given labels, and where they are wrong

Why a draw and not the labels as they are: those hold the real errors, too, and planting on top of them would double the
noise and let real errors take the places of planted ones in the queue. Why not without suspects: right labels of hard
pictures are suspects as well, and a set without them is too easy. A draw keeps each doubtful label as often as it is
believed to be right (multiple imputation: Rubin 1987), so that hard pictures stay in, and the copy holds as many errors
as the set is believed to hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# So much of the choice of pictures goes by how probable the wrong class is for the picture, the rest is by lot. People
# err where pictures look like something else (Xia et al. 2020, Part-dependent label noise; Chen et al. 2021, Beyond
# class-conditional assumption), but not only there. By maximum likelihood the share is .46 and .90 for ResNet-18 and
# Swin-B on CIFAR-10N worst, .41 for `compact` on a fifth of it: weak networks doubt pictures that people do not.
BY_DOUBT = 0.5
# How sure the guess at right labels is, turn by turn: its log-odds are multiplied by this. Doubts that are drawn as
# they are make copies too hard or too easy to clean, as the run knows well or badly what it does not know; nobody can
# tell beforehand, so that the repetitions differ in it, and the interval covers it (docs/decisions.md).
SURENESS = (1.0, 0.6, 1 / 0.6)
# The confusions that are believed in are joined by so many made-up ones, of pictures drawn by lot with what the model
# thinks they could be: a handful of errors must not be all that can happen.
MADE_UP = 10.0


@dataclass(frozen=True)
class Belief:
    """What is believed of R labels of K classes.

    given : (R,) int64 class ids
    wrong_prob : (R,) float64 in [0, 1], that the given label is wrong; 0 or 1 where reviewers settled it
    known : (R,) int64, the right class where reviewers said so, else -1
    pred_probs : (N, K) out-of-fold probabilities of the given labels, possibly a memory map
    rows : (R,) int64, the row of `pred_probs` that belongs to each label
    cluster : (R,) int64, copies of one picture share a number
    """

    given: np.ndarray
    wrong_prob: np.ndarray
    known: np.ndarray
    pred_probs: np.ndarray
    rows: np.ndarray
    cluster: np.ndarray

    def probs(self, labels: np.ndarray) -> np.ndarray:
        """(n, K) float64 rows of `pred_probs`, in the order of `labels` (n,)."""
        # A memory map is read in ascending order.
        order = np.argsort(self.rows[labels], kind="stable")
        found = np.empty((len(labels), self.pred_probs.shape[1]))
        found[order] = self.pred_probs[self.rows[labels][order]]
        return found


def at_rate(wrong_prob: np.ndarray, rate: float, settled: np.ndarray, sureness: float = 1.0) -> np.ndarray:
    """`wrong_prob` (R,), its log-odds times `sureness` and shifted so that its mean is `rate`; `settled` (R,) stay.

    Where the settled ones alone are above the rate, the others are (nearly) all right.
    """
    free = ~settled
    if not free.any():
        return wrong_prob
    wanted = (rate * len(wrong_prob) - wrong_prob[settled].sum()) / free.sum()
    wanted = float(np.clip(wanted, 1e-4, 1 - 1e-4))
    prob = np.clip(wrong_prob[free], 1e-6, 1 - 1e-6)
    odds = sureness * np.log(prob / (1 - prob))
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-odds - middle))).mean() < wanted else (low, middle)
    shifted = wrong_prob.copy()
    shifted[free] = 1 / (1 + np.exp(-odds - (low + high) / 2))
    return shifted


def draw_truth(belief: Belief, rng: np.random.Generator, sureness: float = 1.0) -> np.ndarray:
    """(R,) int64: the right labels as they may be; copies of one picture have one.

    A label is kept with the probability that it is right; else it becomes another class, by the model's probabilities
    to the power of `sureness`.
    Of copies under different labels the most believable one speaks for all.
    """
    first, unit = units(belief)
    truth = belief.given[first].copy()
    wrong = rng.random(len(first)) < belief.wrong_prob[first]
    wrong &= belief.known[first] < 0
    truth[wrong] = _other_class(belief, first[wrong], truth[wrong], rng, sureness)
    known = belief.known[first] >= 0
    truth[known] = belief.known[first[known]]
    return np.asarray(truth[unit])


def units(belief: Belief) -> tuple[np.ndarray, np.ndarray]:
    """The label (U,) that speaks for each cluster (what reviewers settled, else the most believable), and the number
    of its cluster for each label (R,)."""
    doubt = np.where(belief.known >= 0, -1.0, belief.wrong_prob)
    order = np.lexsort((np.arange(len(doubt)), doubt, belief.cluster))
    _, place, unit = np.unique(belief.cluster[order], return_index=True, return_inverse=True)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = unit
    return order[place], back


def draw_confusions(belief: Belief, truth: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2) int64: right class and the wrong one that is given instead, of errors to plant.

    Drawn from the errors that the labels hold if `truth` (R,) is right, and from MADE_UP others.
    """
    first, _ = units(belief)
    seen = first[belief.given[first] != truth[first]]
    pairs = np.column_stack([truth[seen], belief.given[seen]])
    made_up = rng.random(count) < MADE_UP / (MADE_UP + len(seen))
    drawn = np.empty((count, 2), dtype=np.int64)
    if len(seen):
        drawn[~made_up] = pairs[rng.integers(len(seen), size=int((~made_up).sum()))]
    some = first[rng.integers(len(first), size=int(made_up.sum()))]
    drawn[made_up, 0] = truth[some]
    drawn[made_up, 1] = _other_class(belief, some, truth[some], rng)
    return drawn


def plant(belief: Belief, truth: np.ndarray, confusions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(R,) int64: given labels, wrong for one picture (with its copies) per confusion (C, 2), as far as there are some.

    Which picture of the right class gets the wrong label goes by BY_DOUBT. One picture of each class stays right.
    """
    first, unit = units(belief)
    given = truth[first].copy()
    free = np.ones(len(first), dtype=bool)
    of_class = _by_class(truth[first])
    cells, counts = np.unique(confusions, axis=0, return_counts=True)
    for place in rng.permutation(len(cells)):
        right, wrong = cells[place].tolist()
        options = of_class[right][free[of_class[right]]]
        take = min(int(counts[place]), len(options) - 1)
        if take < 1:
            continue
        doubt = np.asarray(belief.pred_probs[belief.rows[first[options]], wrong], dtype=np.float64)
        doubt = np.maximum(doubt, 1e-9)
        weight = (1 - BY_DOUBT) / len(options) + BY_DOUBT * doubt / doubt.sum()
        # The largest of log weight + Gumbel noise: a weighted draw without replacement (Efraimidis & Spirakis 2006).
        chosen = options[np.argsort(-(np.log(weight) + rng.gumbel(size=len(options))), kind="stable")[:take]]
        given[chosen] = wrong
        free[chosen] = False
    return np.asarray(given[unit])


def _by_class(classes: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(classes, kind="stable")
    values, starts = np.unique(classes[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))


def _other_class(
    belief: Belief, labels: np.ndarray, taken: np.ndarray, rng: np.random.Generator, sureness: float = 1.0
) -> np.ndarray:
    """(n,) int64: for each of `labels` (n,) a class that is not `taken` (n,), by the model's probabilities."""
    chosen = np.empty(len(labels), dtype=np.int64)
    for start in range(0, len(labels), 4096):
        part = slice(start, start + 4096)
        probs = np.maximum(belief.probs(labels[part]), 1e-9) ** sureness
        probs[np.arange(len(probs)), taken[part]] = 0.0
        limit = probs.cumsum(axis=1)
        chosen[part] = (limit < rng.random(len(probs))[:, None] * limit[:, -1:]).sum(axis=1)
    return chosen
