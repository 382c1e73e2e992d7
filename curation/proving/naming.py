"""A network that says one class of each thing, pictures or boxes: how it is trained, asked and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from curation.arrays import PixelArray
from curation.errors import SettingsError
from curation.progress import Progress
from curation.proving.compare import Comparison, compare
from curation.proving.contract import Answer, Ask, Contest, Material
from curation.proving.versions import AFTER, BEFORE
from curation.training.plan import Plan


def naming_contest(
    material: Material,
    names: list[str],
    labels: Callable[[str, int], np.ndarray],
    changes: dict[str, int],
    images: Callable[[], PixelArray],
    asked: np.ndarray,
    truth: np.ndarray,
    units: np.ndarray,
    things: str = "pictures",
    asked_about: str = "",
) -> Contest:
    """A contest over M things that have a class each.

    Parameters
    ----------
    labels : (arm, seed) -> (M,) class ids, -1 = not trained on
    images : -> (M, S, S, 3) uint8; called when something has to be trained
    asked : (n,) int64, which of the things are asked about; truth, units : (n,) their classes, and what goes together

    Raises
    ------
    SettingsError : an arm has fewer than two classes.
    """
    plan, seed = material.plan, material.settings.seed
    for name in names:
        if len(np.unique(labels(name, seed)[labels(name, seed) >= 0])) < 2:
            raise SettingsError(f"There is nothing to learn in the arm '{name}': it has fewer than two classes.")

    def begin(folder: Path, progress: Progress) -> Ask:
        from curation.training.holdout import ask, prepare

        trials = prepare(images(), asked, len(material.versions.classes), plan, folder, progress)
        return lambda name, seed, advance: {"class_id": ask(trials, labels(name, seed), seed, advance)}

    def compared(before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
        one, other = (np.stack([answer["class_id"] for answer in arm]) for arm in (before, after))
        return compare(truth, one, other, units)

    return Contest(
        names=names,
        lesson=lambda name, seed: [labels(name, seed)],
        views=lambda name, seed: plan.epochs * int((labels(name, seed) >= 0).sum()),
        begin=begin,
        compare=compared,
        asked=[asked, truth],
        trained_on={name: int((labels(name, seed) >= 0).sum()) for name in names},
        changes=changes,
        taught={name: set(np.unique(labels(name, seed)).tolist()) - {-1} for name in (BEFORE, AFTER)},
        network=network_of(plan),
        epochs=plan.epochs,
        things=things,
        asked_about=asked_about,
    )


def network_of(plan: Plan) -> str:
    """What is trained, for people."""
    return plan.mode if plan.model == plan.mode else f"{plan.mode}, {plan.model}"
