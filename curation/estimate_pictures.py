"""How many pictures with several labels, or boxes, have an error, and how many errors there are in all of them.

    PictureEvidence (pictures as labels are in curation.estimate, counts, classes) --estimate_pictures--> Estimate

A picture is right or wrong as a whole: that is what is drawn, looked at and decided. Two more totals come from the same
draws, by the same bets: errors, each picture's as a share of `bound`, the most that is counted in one; and pictures in
which a class is wrong or missing. Both are bounded, so the intervals hold, whatever is believed beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from curation.confidence import Draws, Interval
from curation.estimate import (
    CLASS_DRAWS,
    AnnotationEstimate,
    ClassEstimate,
    Estimate,
    Evidence,
    answered_prefix,
    estimate,
    is_telling,
    recalibrated,
    sequence,
    total,
)
from curation.estimate_advice import PICTURE

LEAST_EXPECTED = 0.01  # errors that are expected in any picture, so that none is taken to be right for sure
MOST_COUNTED = 5  # errors in a picture; the wider the bound, the wider the interval, whatever is found
KNOWN_WORTH = 5.0  # errors that the run's own count is worth, when it is put right by those that reviewers found


@dataclass(frozen=True)
class ClassEvidence:
    """What is known of one class in N pictures.

    pictures : how many had it at the start
    wrong_prob : (N,) the run's probability that it is wrong or missing; wrong : (N,) bool, reviewers say so
    there : (N,) bool, pictures that had it
    """

    name: str
    wrong_prob: np.ndarray
    wrong: np.ndarray
    there: np.ndarray


@dataclass(frozen=True)
class PictureEvidence:
    """What is known of N pictures.

    pictures : right or wrong, and the draws
    expected : (N,) errors in each as the run has it; found : (N,) as reviewers have it, 0 where they settled nothing
    bound : the most errors that are counted in a picture
    classes : those that may be listed
    """

    pictures: Evidence
    expected: np.ndarray
    found: np.ndarray
    bound: int
    classes: tuple[ClassEvidence, ...] = ()


def estimate_pictures(evidence: PictureEvidence, seed: int = 0) -> Estimate:
    """What the evidence says, counted in pictures; seed : as for `estimate`."""
    found = estimate(evidence.pictures, seed, PICTURE)
    return replace(found, annotations=_annotations(evidence), classes=_classes(evidence))


def _annotations(evidence: PictureEvidence) -> AnnotationEstimate:
    """Errors in all pictures, as shares of the bound."""
    bound, settled = evidence.bound, evidence.pictures.settled
    counted = np.minimum(evidence.found, bound)
    shares = replace(
        evidence.pictures,
        wrong_prob=as_share(evidence.expected, bound),
        least=np.where(settled, counted / bound, 0.0),
        most=np.where(settled, counted / bound, 1.0),
    )
    start = total(shares, sequence_of_shares(shares, bound), scaled(shares.wrong_prob, settled, shares.least))
    whole = Interval(bound * start.estimate, bound * start.low, bound * start.high)
    return AnnotationEstimate(whole, int(counted[settled].sum()), bound)


def sequence_of_shares(shares: Evidence, bound: int) -> Draws:
    """`sequence` of numbers of errors, as shares of the bound: they vary as a count does, not as a yes or no."""
    draws = sequence(shares, scaled)
    return replace(draws, spread=draws.spread / math.sqrt(bound))


def most_counted(annotations: pd.Series) -> int:
    """The bound for pictures with so many annotations each; one with more errors counts as if it had that many."""
    return int(min(MOST_COUNTED, max(2, annotations.max()))) if len(annotations) else 2


def as_share(expected: np.ndarray, bound: int) -> np.ndarray:
    """(N,) numbers of errors as shares of `bound`, within (0, 1)."""
    return np.clip(expected, LEAST_EXPECTED, bound - LEAST_EXPECTED) / bound


def scaled(share: np.ndarray, known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(N,) shares times the one factor that makes them fit those that are known."""
    worth = KNOWN_WORTH * share.mean() if len(share) else 0.0
    factor = (found[known].sum() + worth) / (share[known].sum() + worth) if known.any() else 1.0
    return np.clip(share * factor, share.min(initial=1.0), 1 - share.min(initial=1.0))


def _classes(evidence: PictureEvidence) -> tuple[ClassEstimate, ...]:
    """Classes with enough data, most errors first; each interval holds by itself, not all of them at once."""
    pictures = evidence.pictures
    settled, drawn = pictures.settled, pictures.draws[: answered_prefix(pictures)]
    found = []
    for one in evidence.classes:
        if (one.there | one.wrong)[drawn].sum() < CLASS_DRAWS:
            continue
        wrong = (one.wrong & settled).astype(np.float64)
        part = replace(pictures, wrong_prob=one.wrong_prob, least=wrong, most=np.where(settled, wrong, 1.0))
        draws = sequence(part)
        start = total(part, draws, recalibrated(one.wrong_prob, settled, wrong))
        if is_telling(start):
            found.append(ClassEstimate(one.name, int(one.there.sum()), len(draws), start, int(wrong.sum())))
    return tuple(sorted(found, key=lambda line: -line.start.estimate))
