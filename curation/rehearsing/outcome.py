"""What a rehearsal is asked for, and what it tells; the same whatever is planted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.pixels import Pixels
from curation.records import Records, empty_annotations, empty_samples
from curation.rehearsing.recall import DRAWN, Expected, Trial, average_precision, expect, ranking
from curation.run_key import code_version, plain
from curation.runs import Run
from curation.training.plan import Plan, TrainingSettings
from curation.wording import counted

# Errors to plant at least, where that is no more than the share: fewer tell little, and `weight` makes up for it.
LEAST_PLANTED, MOST_EXTRA = 60, 0.03


@dataclass(frozen=True, kw_only=True)
class RehearsalSettings:
    """What a user can choose.

    recipes : MODE[:MODEL[:WEIGHTS]] each, see `settings_of`; () = that of the newest run
    rate : share of wrong labels, None = as estimated
    seeds : repetitions, each with other errors, folds, networks, and another guess at what is right; from `seed` on
    epochs, flip : None = as in the run where the recipe is the run's
    predictions : of boxes: what a detector found in pictures that it did not learn from (COCO results json)
    """

    recipes: tuple[str, ...] = ()
    rate: float | None = None
    seeds: int = 3
    seed: int = 0
    device: str = "auto"
    epochs: int | None = None
    flip: bool | None = None
    predictions: Path | None = None


USUAL = RehearsalSettings()


@dataclass(frozen=True)
class Outcome:
    """One recipe: what it found in the copies.

    name : for people; points : at recall.SHARES; curve : recall at recall.DRAWN
    average_precision : mean, least and most over the repetitions
    flagged : mean number of flagged labels, or pictures, in a copy
    kinds : of pictures with several labels or boxes, `points` of each kind of error
    """

    name: str
    plan: Plan
    points: list[Expected]
    curve: list[float]
    average_precision: tuple[float, float, float]
    flagged: float
    kinds: dict[str, list[Expected]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rehearsal:
    """What came out, by recipe in the order asked for.

    labels : how many were rehearsed; pictures : what is reviewed, where that is not the label; 0 = it is
    rate : believed share of wrong ones, in which range, and where that is from
    planted : mean number of planted errors; weight : see recall.ranking
    flagged : how many of these labels the run flagged
    notes : sentences that belong to the result
    """

    folder: Path
    dataset: str
    run_id: str
    settings: RehearsalSettings
    labels: int
    rate: float
    rate_range: tuple[float, float]
    rate_from: str
    reviewed: int
    planted: float
    weight: float
    flagged: int
    outcomes: list[Outcome]
    notes: list[str] = field(default_factory=list)
    pictures: int = 0

    @property
    def unit(self) -> str:
        """What is reviewed one by one."""
        return "picture" if self.pictures else "label"

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        outcomes = [
            {
                "name": found.name,
                "plan": found.plan.as_settings(),
                "average_precision": dict(zip(("mean", "least", "most"), found.average_precision, strict=True)),
                "expected": [{**asdict(point), "by_lot": point.share} for point in found.points],
                "curve": {"share": DRAWN, "recall": found.curve},
                "flagged": found.flagged,
                **(
                    {"kinds": {name: list(map(asdict, points)) for name, points in found.kinds.items()}}
                    if found.kinds
                    else {}
                ),
            }
            for found in self.outcomes
        ]
        numbers = {
            name: getattr(self, name) for name in ("labels", "rate", "rate_range", "rate_from", "reviewed", "planted")
        }
        found: dict[str, Any] = plain(
            {
                "dataset": self.dataset,
                "run_id": self.run_id,
                "seeds": self.settings.seeds,
                "unit": self.unit,
                **({"pictures": self.pictures} if self.pictures else {}),
                **numbers,
                "flagged_by_the_run": self.flagged,
                "recipes": outcomes,
                "notes": self.notes,
                "folder": str(self.folder),
            }
        )
        return found


def settings_of(recipe: str, run: dict[str, Any], settings: RehearsalSettings) -> TrainingSettings:
    """What a recipe says of training; "" is that of the run (its run.json), whose network another recipe of the same
    mode takes as well where it names none.

    Raises
    ------
    SettingsError : an empty part, as in `probe:`.
    """
    plan = run["plan"]
    parts = recipe.split(":", 2) if recipe else [str(plan["mode"])]
    if not all(parts):
        raise SettingsError(f"--mode {recipe}: a part of it is empty; it is MODE[:MODEL[:WEIGHTS]].")
    mode = parts[0]
    model, weights = (*parts[1:], None, None)[:2]
    more: dict[str, Any] = {"epochs": settings.epochs}
    if mode == plan["mode"] and model in (None, plan["model"]) and weights is None:
        model, weights = (None, None) if mode == "compact" else (plan["model"], plan["weights"])
        more = {"epochs": settings.epochs or plan["epochs"], "size_px": plan["size_px"]}
    flip = bool(plan["flip"]) if settings.flip is None else settings.flip
    return TrainingSettings(
        mode=mode, model=model, weights=weights, seed=settings.seed, device=settings.device, flip=flip, **more
    )


def outcome_of(
    plan: Plan, trials: Sequence[Trial], errors: float, weight: float, span: tuple[float, float], flagged: float
) -> Outcome:
    """span : what the number of errors may have to be multiplied by; the intervals hold for both ends of it."""
    precision = [average_precision(trial, weight) for trial in trials]
    curve = np.mean([ranking(trial, DRAWN, weight)[0] for trial in trials], axis=0)
    name = plan.mode if plan.mode == "compact" else f"{plan.mode}, {plan.model}"
    spread = (float(np.mean(precision)), min(precision), max(precision))
    return Outcome(name, plan, points_of(trials, errors, weight, span), curve.tolist(), spread, flagged)


def points_of(trials: Sequence[Trial], errors: float, weight: float, span: tuple[float, float]) -> list[Expected]:
    """What to expect of a set with `errors` errors, the interval as wide as it is for any number within `span`."""
    points = expect(trials, errors, weight)
    for factor in span:
        others = expect(trials, errors * factor, weight * factor)
        points = [
            replace(point, low=min(point.low, other.low), high=max(point.high, other.high))
            for point, other in zip(points, others, strict=True)
        ]
    return points


def records_of(samples: pd.DataFrame, root: Path) -> Records:
    """What decoding needs to know of pictures: sample_id, path, split and group of `samples`."""
    known = {name: samples[name] for name in ("sample_id", "path", "split", "group")}
    return Records(empty_samples(len(samples)).assign(status="ok", **known), empty_annotations(), root, "manifest")


def check_readable(pixels: Pixels) -> None:
    lost = pixels.samples[pixels.samples["status"] != "ok"]
    if len(lost):
        raise SettingsError(
            f"{counted(len(lost), 'picture')} that the run has judged cannot be read any more, the first is "
            f"{lost['path'].iloc[0]!r}: {lost['reason'].iloc[0]}. Score the data set again."
        )


def rehearsal_id(dataset: Dataset, run: Run, sample_ids: Iterable[str], classes: Sequence[str]) -> str:
    """Of the pictures and the code: what else decides a result is in the names of the files."""
    digest = hashlib.blake2b(digest_size=5)
    digest.update(json.dumps([run.run_id, code_version(), list(classes)]).encode())
    digest.update("\n".join(sample_ids).encode())
    return f"{dataset.folder.name}-{digest.hexdigest()}"


def same_network(plan: Plan, run: dict[str, Any]) -> bool:
    return all(run.get(name) == getattr(plan, name) for name in ("mode", "model", "weights_hash"))
