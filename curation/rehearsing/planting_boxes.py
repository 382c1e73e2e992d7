"""Planted errors in boxes: another class, drawn twice; and, where a detector looks at them, dropped or shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.manifest.changes import BOX
from curation.rehearsing.planting import MADE_UP, SURENESS, Belief, at_rate, draw_confusions, draw_truth, plant

SWAPPED, DOUBLED, DROPPED, SHIFTED = "box of another class", "box drawn twice", "box missing", "box in the wrong place"
JITTER = 0.06  # of its size, by which a second box of the same object differs
SHIFT = 1 / 3  # of its size, by which a box lies beside its object


@dataclass(frozen=True)
class BoxBelief:
    """What is believed of B boxes.

    boxes : B rows, ANNOTATION_COLUMNS and `picture`, the row number of its picture
    labels : what is believed of their labels, of those in `judged`; copies of a picture are not looked for
    judged : (J,) row numbers of `boxes` that the run has judged
    spare : (B,) probability that a box is one too many; 0 where that is settled
    missed : boxes that the run proposes: columns of `boxes` and `prob`
    expected : how many errors of each kind that can be planted are believed in
    """

    boxes: pd.DataFrame
    labels: Belief
    judged: np.ndarray
    spare: np.ndarray
    missed: pd.DataFrame
    expected: dict[str, float]
    classes: list[str]


def plant_boxes(
    belief: BoxBelief, pictures: int, rate: float, count: int, seed: int, sureness: float = SURENESS[0]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Boxes with errors, columns as `belief.boxes`, and how many of each kind there are in each picture, (N,) float64.

    pictures : N; rate, count, sureness : as in planting_sets
    """
    rng = np.random.default_rng(seed)
    numbers = _numbers(belief.expected, count)
    truth = belief.labels.given.copy()
    share = rate * belief.expected.get(SWAPPED, 0.0) / max(sum(belief.expected.values()), 1e-9)
    known = belief.labels.known >= 0
    labels = Belief(
        belief.labels.given, at_rate(belief.labels.wrong_prob, float(np.clip(share, 1e-4, 0.5)), known, sureness),
        belief.labels.known, belief.labels.pred_probs, belief.labels.rows, belief.labels.cluster,
    )  # fmt: skip
    truth = draw_truth(labels, rng, sureness)
    given = plant(labels, truth, draw_confusions(labels, truth, numbers[SWAPPED], rng), rng)
    table = belief.boxes.copy()
    names = np.asarray(belief.classes, dtype=object)
    label = table["label"].to_numpy(dtype=object).copy()
    label[belief.judged] = names[given]
    table["label"] = pd.Series(label, index=table.index, dtype="str")
    # Where fewer errors are believed in than the run finds, fewer of its boxes are taken to be too many, or missing.
    fewer = min(1.0, rate * len(table) / max(sum(belief.expected.values()), 1e-9))
    there = rng.random(len(table)) >= fewer * belief.spare
    errors = {SWAPPED: _by_picture(table["picture"].to_numpy()[belief.judged][(given != truth) & there[belief.judged]],
                                   pictures)}  # fmt: skip
    free = belief.judged[(given == truth) & there[belief.judged]]
    free = free[rng.permutation(len(free))]
    chosen: dict[str, np.ndarray] = {}
    for kind in (DOUBLED, DROPPED, SHIFTED):
        chosen[kind], free = np.split(free, [numbers.get(kind, 0)])
        if kind in numbers:
            errors[kind] = _by_picture(table["picture"].to_numpy()[chosen[kind]], pictures)
    second = _second(table.iloc[chosen[DOUBLED]], belief.classes, rng)
    moved = table.iloc[chosen[SHIFTED]]
    angle = rng.uniform(0, 2 * np.pi, len(moved))
    for side, size, part in (("x", "w", np.cos(angle)), ("y", "h", np.sin(angle))):
        table.loc[moved.index, side] = moved[side] + SHIFT * part * moved[size]
    there[chosen[DROPPED]] = False
    found = belief.missed[rng.random(len(belief.missed)) < fewer * belief.missed["prob"]][list(table)]
    return pd.concat([table[there], found, second], ignore_index=True), errors


def _numbers(expected: dict[str, float], count: int) -> dict[str, int]:
    """How many of each kind to plant: as they are believed to be, and MADE_UP more of each, so that each is tried."""
    total = sum(expected.values()) + MADE_UP * len(expected)
    return {kind: max(1, round(count * (value + MADE_UP) / total)) for kind, value in expected.items()}


def _by_picture(rows: np.ndarray, pictures: int) -> np.ndarray:
    return np.bincount(rows, minlength=pictures).astype(np.float64)


def _second(boxes: pd.DataFrame, classes: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Second boxes of the same objects, a little different, every other one of them under another class."""
    size = boxes[["w", "h", "w", "h"]].to_numpy(dtype=np.float64)
    numbers = boxes[list(BOX)].to_numpy(dtype=np.float64) + rng.normal(0, JITTER, size.shape) * size
    numbers[:, 2:] = np.maximum(numbers[:, 2:], 1.0)
    place = pd.Categorical(boxes["label"], categories=classes).codes.astype(np.int64)
    if len(classes) > 1:
        place[::2] = (place[::2] + rng.integers(1, len(classes), len(place[::2]))) % len(classes)
    label = pd.Series(np.asarray(classes, dtype=object)[place], index=boxes.index, dtype="str")
    ids = (boxes["annotation_id"] + "-second").astype("str")
    return boxes.assign(**dict(zip(BOX, numbers.T, strict=True)), label=label, annotation_id=ids)
