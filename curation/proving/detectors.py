"""Boxes, with a detector: it learns where objects are and what they are, and is asked about whole pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curation.errors import SettingsError
from curation.progress import Progress
from curation.proving.box_arms import SIDES, BoxArms, Lesson, box_table, make_box_arms, picture_labels, version_lesson
from curation.proving.compare import RANKED_RESAMPLES, Comparison, change_of, mean_of_classes, resampled
from curation.proving.contract import Answer, Ask, Contest, Material, Prover
from curation.proving.versions import AFTER, BEFORE
from curation.scoring.box_precision import average_precision, match

if TYPE_CHECKING:
    from curation.training.detector import DetectorTask

# What makes a picture a doubtful lesson for a detector.
SUSPECTS = (
    "label_error", "swapped_box", "duplicate_box", "box_geometry", "missing_box", "spurious_box", "badly_located_box",
)  # fmt: skip
ASKED = (
    "Average precision as COCO counts it: of finding each object of the hold-out under its name, where the boxes share "
    "half of what they cover (AP50), or 50 to 95 % of it (the mean, AP50-95); the mean over the classes."
)


def contest(material: Material) -> Contest:
    """A detector per arm and seed, asked about the hold-out's pictures."""
    versions, settings, plan = material.versions, material.settings, material.plan
    sizes = material.pixels.samples[["width_px", "height_px"]].to_numpy(dtype=np.float64)[material.rows]
    arms = make_box_arms(material, _without_suspects(material), sizes)
    held = material.holdout.rows
    truth = box_table(material.holdout.annotations, versions)
    truth = truth.assign(row=np.searchsorted(held, truth["row"]))
    if truth.empty:
        raise SettingsError(f"The hold-out ({material.holdout.name}) has no boxes.")
    for name in arms.names:
        if arms.lesson(name, settings.seed).boxes.empty:
            raise SettingsError(f"There is nothing to learn in the arm '{name}': it has no boxes.")
    units = material.units(held)
    lessons = {name: arms.lesson(name, settings.seed) for name in arms.names}
    return Contest(
        names=arms.names,
        lesson=lambda name, seed: arms.lesson(name, seed).arrays(),
        views=lambda name, seed: settings.detector_epochs * int(arms.lesson(name, seed).pictures.sum()) + len(held),
        begin=lambda _, progress: _begin(material, arms, progress),
        compare=lambda before, after: compare_boxes(truth, before, after, units),
        asked=[held, truth[["row", "class_id"]].to_numpy(dtype=np.int64), truth[SIDES].to_numpy(dtype=np.float64)],
        trained_on={name: int(lesson.pictures.sum()) for name, lesson in lessons.items()},
        changes=arms.changes(),
        taught={name: set(lessons[name].boxes["class_id"].tolist()) for name in (BEFORE, AFTER)},
        network=f"detector on {plan.model if plan.mode != 'compact' else 'a network from scratch'}",
        asked_about=ASKED,
        epochs=settings.detector_epochs,
    )


def _begin(material: Material, arms: BoxArms, progress: Progress) -> Ask:
    from curation.training.detector import learn

    def ask(name: str, seed: int, advance: Callable[[int], None]) -> Answer:
        lesson = arms.lesson(name, seed)
        task = replace(detector_task(material, lesson, arms.sizes, seed), progress=progress)
        net = learn(task, np.flatnonzero(lesson.pictures), seed, advance)
        return ask_about(task, net, material.holdout.rows, advance)

    return ask


def detector_task(material: Material, lesson: Lesson, sizes: np.ndarray, seed: int) -> DetectorTask:
    """What a detector learns; sizes : (N, 2) width and height of the pictures in pixels."""
    from curation.training.detector import DetectorTask

    return DetectorTask(
        root=material.pixels.root,
        paths=material.versions.samples["path"].tolist(),
        sizes=sizes,
        fold=np.zeros(len(sizes), dtype=np.int64),
        picture=lesson.boxes["row"].to_numpy(dtype=np.int64),
        boxes=lesson.boxes[SIDES].to_numpy(dtype=np.float64),
        labels=lesson.boxes["class_id"].to_numpy(dtype=np.int64),
        n_classes=len(material.versions.classes),
        plan=material.plan,
        epochs=material.settings.detector_epochs,
        seed=seed,
        checkpoints=material.cache,
        progress=material.progress,
    )


def ask_about(task: DetectorTask, net: Any, held: np.ndarray, advance: Callable[[int], None]) -> Answer:
    """What a detector finds in the pictures `held` (n,), ascending; `row` counts among these."""
    from curation.training.detector import look

    found = look(task, net, held, advance)
    return {
        "row": np.searchsorted(held, found["row"].to_numpy()),
        "class_id": found["class_id"].to_numpy(dtype=np.int64),
        "box": found[SIDES].to_numpy(dtype=np.float64),
        "score": found["score"].to_numpy(dtype=np.float64),
    }


def _without_suspects(material: Material) -> Lesson | None:
    """The first version without the pictures of which a box, or the lack of one, is flagged; None where no run has
    looked. A box alone cannot be left out: its object would be taught as background."""
    if material.flagged is None:
        return None
    lesson = version_lesson(material, BEFORE)
    suspects = material.flagged.loc[material.flagged["issue"].isin(SUSPECTS), "sample_id"]
    kept = lesson.pictures & ~material.versions.samples["sample_id"].isin(suspects).to_numpy()
    return Lesson(lesson.boxes[kept[lesson.boxes["row"]]].reset_index(drop=True), kept)


def compare_boxes(
    truth: pd.DataFrame, before: Sequence[Answer], after: Sequence[Answer], units: np.ndarray, seed: int = 0
) -> Comparison:
    """Compare two arms that find boxes, as `curation.proving.compare.compare` does; pictures are drawn, not boxes.

    Parameters
    ----------
    truth : columns row (of the hold-out), class_id, x, y, w, h
    before, after : of each seed: row (D,), class_id (D,), box (D, 4), score (D,)
    units : (n,) int64 of the hold-out's pictures
    """
    weights = resampled(units, RANKED_RESAMPLES, seed)
    classes = sorted(set(truth["class_id"]))
    measured: list[tuple[np.ndarray, dict[int, np.ndarray]]] = []
    for arm in (before, after):
        tables = [_table(answer) for answer in arm]
        # (overlaps, B, S) of each class
        by_class = [
            np.stack([average_precision(match(truth, t, len(units), k), weights) for t in tables], axis=2)
            for k in classes
        ]
        mean = mean_of_classes(by_class)
        measured.append((mean, {k: values[0] for k, values in zip(classes, by_class, strict=True)}))
    (mean_before, classes_before), (mean_after, classes_after) = measured
    measures = {
        "ap50": change_of(mean_before[0], mean_after[0]),
        "ap": change_of(mean_before.mean(axis=0), mean_after.mean(axis=0)),
    }
    return Comparison(measures, "class_ap50", {k: change_of(classes_before[k], classes_after[k]) for k in classes})


def _table(answer: Answer) -> pd.DataFrame:
    found = pd.DataFrame(answer["box"], columns=SIDES)
    return found.assign(row=answer["row"], class_id=answer["class_id"], score=answer["score"])


PROVER = Prover(picture_labels, contest)
