"""Boxes, without a detector: a network names what is in each box, cut out with some of its surroundings.

It measures names, not places: a box that is missing, or lies wrong, hardly shows here. That is what
curation.proving.detectors is for.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from curation.crops import cut_crops
from curation.errors import SettingsError
from curation.proving.box_arms import SIDES, Lesson, box_table, make_box_arms, picture_labels, version_lesson
from curation.proving.contract import PLACEBO, Contest, Material, Prover
from curation.proving.naming import naming_contest
from curation.proving.versions import BEFORE

# What makes the name of a box doubtful.
SUSPECTS = ("label_error", "swapped_box")
_KEY = ["row", *SIDES, "copy"]
ASKED = (
    "The networks name what is in the boxes of the hold-out: this measures names, not places. Missing boxes and wrong "
    "places show with a detector: --detector EPOCHS."
)


def contest(material: Material) -> Contest:
    """Networks that learn and name the boxes, each as a small picture; whole pictures are held out."""
    versions, settings = material.versions, material.settings
    if len(versions.classes) < 2:
        raise SettingsError(
            f"The boxes of {settings.before} and {settings.after} have one class, so there is nothing to tell apart in "
            "them; whether they lie right is asked with --detector EPOCHS."
        )
    sizes = material.pixels.samples[["width_px", "height_px"]].to_numpy(dtype=np.float64)[material.rows]
    arms = make_box_arms(material, _without_suspects(material), sizes)
    held = _with_copies(box_table(material.holdout.annotations, versions))
    if held.empty:
        raise SettingsError(f"The hold-out ({material.holdout.name}) has no boxes.")
    seeds = range(settings.seed, settings.seed + settings.seeds)
    lessons = {(name, seed): _with_copies(arms.lesson(name, seed).boxes) for seed in seeds for name in arms.names}
    items = pd.concat([held[_KEY], *(table[_KEY] for table in lessons.values())]).drop_duplicates(ignore_index=True)
    place = pd.MultiIndex.from_frame(items)
    crops = cut_crops(
        material.pixels, material.rows[items["row"]], items[SIDES].to_numpy(np.float64), material.plan.size_px,
        material.cache, material.progress,
    )  # fmt: skip
    asked = crops.there[: len(held)].nonzero()[0]

    @cache
    def labels(name: str, seed: int) -> np.ndarray:
        # Only the placebo is another one for each seed.
        table = lessons[name, seed if name == PLACEBO else settings.seed]
        found = np.full(len(items), -1, dtype=np.int64)
        found[place.get_indexer(pd.MultiIndex.from_frame(table[_KEY]))] = table["class_id"].to_numpy(dtype=np.int64)
        return np.where(crops.there, found, -1)

    found = naming_contest(
        material,
        arms.names,
        labels,
        arms.changes(),
        crops.gather,
        asked,
        held["class_id"].to_numpy(dtype=np.int64)[asked],
        material.units(held["row"].to_numpy()[asked]),
        things="boxes",
        asked_about=ASKED,
    )
    # Not the classes of the items: of these there are more with more seeds, and it would be another proof.
    return replace(found, lesson=lambda name, seed: arms.lesson(name, seed).arrays())


def _without_suspects(material: Material) -> Lesson | None:
    """The first version without the boxes whose name is flagged; None where no run has looked."""
    if material.flagged is None:
        return None
    lesson = version_lesson(material, BEFORE)
    suspects = material.flagged.loc[material.flagged["issue"].isin(SUSPECTS), "annotation_id"]
    kept = ~lesson.boxes["annotation_id"].isin(suspects)
    return Lesson(lesson.boxes[kept].reset_index(drop=True), lesson.pictures)


def _with_copies(table: pd.DataFrame) -> pd.DataFrame:
    """With a column `copy` that tells boxes in one place apart: a doubled box may have two names."""
    return table.assign(copy=table.groupby(["row", *SIDES]).cumcount())


PROVER = Prover(picture_labels, contest)
