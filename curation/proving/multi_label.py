"""Several labels per picture: a network says yes or no to each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from curation.errors import SettingsError
from curation.progress import Progress
from curation.proving.arms import Arms, count_rows, without_flagged
from curation.proving.compare import Comparison, compare_sets
from curation.proving.contract import Answer, Ask, Contest, Material, Prover
from curation.proving.holdout import HoldOut, draw_parts
from curation.proving.naming import network_of
from curation.proving.versions import AFTER, BEFORE, Versions
from curation.scoring.label_sets import label_sets
from curation.training.label_sets import trainable

SUSPECTS = ("wrong_label", "missing_label")


def picture_labels(versions: Versions, name: str) -> np.ndarray:
    """(N, K) int8, 1 = labelled so, 0 = not, -1 = unknown or not in that version (the whole row).

    As for `score`, a picture without a label shows none of the classes, unless its whole split has none.
    """
    there = versions.present[name]
    found = np.full((len(there), len(versions.classes)), -1, dtype=np.int8)
    samples = versions.samples[there].reset_index(drop=True)
    found[there] = label_sets(versions.annotations[name], samples, versions.classes).given
    return found


def contest(material: Material) -> Contest:
    """Networks with a yes or no per class. Thresholds are chosen on a fifth of what is trained on, which is the same
    in all arms and kept from the network; never on the hold-out."""
    versions, plan, holdout = material.versions, material.plan, material.holdout
    learnable = material.learnable[:, None]
    before, after = (np.where(learnable, material.labels[name], -1).astype(np.int8) for name in (BEFORE, AFTER))
    arms = make_arms(before, after, without_flagged(before, versions.samples, material.flagged, SUSPECTS))
    for name in arms.names:
        check_learnable(arms.labels(name, material.settings.seed), f"the arm '{name}'")
    truth, units = truth_of(versions, holdout), material.units(holdout.rows)
    known = np.where(trainable(before)[:, None], before, after)

    def begin(folder: Path, progress: Progress) -> Ask:
        from curation.training.holdout import ask_sets, prepare

        images = material.pixels.gather(material.rows)
        trials = prepare(images, holdout.rows, len(versions.classes), plan, folder, progress)

        def ask(name: str, seed: int, advance: Callable[[int], None]) -> Answer:
            tuning = draw_parts(known, material.units(np.arange(len(known))), seed) == 0
            probs, scale = ask_sets(trials, arms.labels(name, seed), tuning, seed, advance)
            return {"probability": probs, "threshold": scale.threshold}

        return ask

    def compared(before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
        one, other = ([(answer["probability"], answer["threshold"]) for answer in arm] for arm in (before, after))
        return compare_sets(truth, one, other, units)

    def taught(labels: np.ndarray) -> set[int]:
        return set(np.flatnonzero((labels > 0).any(axis=0)).tolist())

    return Contest(
        names=arms.names,
        lesson=lambda name, seed: [arms.labels(name, seed)],
        views=lambda name, seed: plan.epochs * int(trainable(arms.labels(name, seed)).sum()),
        begin=begin,
        compare=compared,
        asked=[holdout.rows, truth],
        trained_on={name: int(trainable(arms.labels(name, material.settings.seed)).sum()) for name in arms.names},
        changes=arms.changes,
        taught={BEFORE: taught(before), AFTER: taught(after)},
        network=network_of(plan),
        epochs=plan.epochs,
        asked_about=ASKED,
    )


ASKED = (
    "Mean average precision (mAP) asks how well each class's pictures are ranked; F1 counts yes and no at a threshold "
    "per class, chosen on a fifth of what is trained on, that the network does not learn."
)


def check_learnable(labels: np.ndarray, what: str) -> None:
    """Refuse labels (N, K) of which no class is there in one picture and absent from another.

    Raises
    ------
    SettingsError
    """
    known = labels[trainable(labels)]
    if not ((known > 0).any(axis=0) & (known == 0).any(axis=0)).any():
        raise SettingsError(f"There is nothing to learn in {what}: no class is in some pictures and not in others.")


def truth_of(versions: Versions, holdout: HoldOut) -> np.ndarray:
    """(n, K) int8, 0 or 1, of the hold-out's pictures."""
    samples = versions.samples["sample_id"].iloc[holdout.rows]
    truth = np.zeros((len(samples), len(versions.classes)), dtype=np.int8)
    rows = pd.Index(samples).get_indexer(holdout.annotations["sample_id"])
    classes = pd.Index(versions.classes).get_indexer(holdout.annotations["label"])
    truth[rows, classes] = 1
    return truth


def make_arms(before: np.ndarray, after: np.ndarray, pruned: np.ndarray | None) -> Arms:
    """Arms of yes and no (N, K), a row of -1 = not trained on."""
    both = trainable(before) & trainable(after)
    flips = {
        "removed": int(((before > 0) & (after == 0))[both].sum()),
        "given": int(((before == 0) & (after > 0))[both].sum()),
    }
    return Arms(before, after, pruned, partial(placebo, before, after), {**flips, **count_rows(before, after)})


def placebo(before: np.ndarray, after: np.ndarray, seed: int) -> np.ndarray:
    """(N, K) `before` with as many labels of each class taken away and given, and as many pictures dropped, as in
    `after`, but others, drawn by lot."""
    rng = np.random.default_rng([seed, 1])
    labels = before.copy()
    both = trainable(before) & trainable(after)
    same = both & (before == after).all(axis=1)
    dropped = int((trainable(before) & ~trainable(after)).sum())
    labels[rng.permutation(np.flatnonzero(same))[:dropped]] = -1
    for k in range(labels.shape[1]):
        for value in (0, 1):
            count = int((both & (before[:, k] == value) & (after[:, k] == 1 - value)).sum())
            others = np.flatnonzero(both & (before[:, k] == value) & (after[:, k] == value) & trainable(labels))
            labels[rng.permutation(others)[:count], k] = 1 - value
    return labels


PROVER = Prover(picture_labels, contest)
