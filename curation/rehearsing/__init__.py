"""A rehearsal of the review: errors like those of the user's data are planted in a copy of its labels, and looked for.

run, versions, verdicts --believe--> belief --draw_truth, plant--> labels with known errors
--folds, out_of_fold, judge_labels (as `score` does)--> scores by recipe and seed --expect--> recall to expect

Nothing is written but a folder `.curate/rehearsals/<id>`. What is reviewed is the queue of `label_error`, as the run
ranks it. Copies under two labels are found without a model, so all copies of a picture get the same planted error; that
the queue learns from verdicts is not rehearsed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.files import check_workspace, write_json
from curation.pixels import Pixels, decode
from curation.progress import SILENT, Progress
from curation.proving import records_of
from curation.rehearsing.belief import THE_RUN, Basis, believe
from curation.rehearsing.planting import SURENESS, at_rate, draw_confusions, draw_truth, plant
from curation.rehearsing.recall import DRAWN, Expected, Trial, average_precision, expect, ranking
from curation.rehearsing.trials import scores_of
from curation.run_key import code_version, plain
from curation.scoring.label_quality import SCORE_AT_THRESHOLD
from curation.status import source_root
from curation.training.plan import Plan, TrainingSettings
from curation.training.planning import plan_for
from curation.wording import counted

# Errors to plant at least, where that is no more than the share: fewer tell little, and `weight` makes up for it.
LEAST_PLANTED, MOST_EXTRA = 60, 0.03
# Copies in which so many times more or fewer labels are flagged than in the data are not like the data.
UNLIKE = 1.5
# An estimate is corrected by no more than this factor.
MOST_OFF = 2.0


@dataclass(frozen=True, kw_only=True)
class RehearsalSettings:
    """What a user can choose.

    recipes : MODE[:MODEL[:WEIGHTS]] each, see `settings_of`; () = that of the newest run
    rate : share of wrong labels, None = as estimated
    seeds : repetitions, each with other errors, folds, networks, and another guess at what is right; from `seed` on
    epochs, flip : None = as in the run where the recipe is the run's
    """

    recipes: tuple[str, ...] = ()
    rate: float | None = None
    seeds: int = 3
    seed: int = 0
    device: str = "auto"
    epochs: int | None = None
    flip: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """One recipe: what it found in the copies.

    name : for people; points : at recall.SHARES; curve : recall at recall.DRAWN
    average_precision : mean, least and most over the repetitions
    flagged : mean number of flagged labels in a copy
    """

    name: str
    plan: Plan
    points: list[Expected]
    curve: list[float]
    average_precision: tuple[float, float, float]
    flagged: float


@dataclass(frozen=True)
class Rehearsal:
    """What came out, by recipe in the order asked for.

    labels : how many were rehearsed; rate : believed share of wrong ones, in which range, and where that is from
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
            }
            for found in self.outcomes
        ]
        numbers = {
            name: getattr(self, name) for name in ("labels", "rate", "rate_range", "rate_from", "reviewed", "planted")
        }
        return plain(
            {
                "dataset": self.dataset,
                "run_id": self.run_id,
                "seeds": self.settings.seeds,
                **numbers,
                "flagged_by_the_run": self.flagged,
                "recipes": outcomes,
                "notes": self.notes,
                "folder": str(self.folder),
            }
        )  # type: ignore[no-any-return]


def rehearse(
    workspace: Path,
    dataset: Dataset,
    settings: RehearsalSettings = RehearsalSettings(),
    engine: Engine | None = None,
    progress: Progress = SILENT,
) -> Rehearsal:
    """Plant known errors in copies of the labels, run the pipeline on them, and say what share of them it finds.

    The recall is that of errors of the kind that the run and its reviewers have seen, at the rate that they believe in.
    Errors that no model could doubt are in nobody's estimate: what is told is more likely too good than too bad.
    Asked again with the same settings, what was trained is read; a killed rehearsal goes on where it was.

    Raises
    ------
    NotFoundError, SettingsError : see `belief.believe`; or settings that cannot be.
    WorkspaceError : the source is gone, or the workspace cannot be written.
    """
    workspace = Path(workspace)
    check_workspace(workspace)
    if settings.seeds < 1:
        raise SettingsError(f"--seeds {settings.seeds}: at least one repetition is needed; three are usual.")
    if settings.rate is not None and not 0 < settings.rate <= 0.5:
        raise SettingsError(f"--rate {settings.rate:g}: the share of wrong labels lies above 0 and is at most 0.5.")
    basis = believe(workspace, dataset, engine, settings.rate)
    records = records_of(basis.samples, source_root(workspace, dataset))
    chosen = settings.recipes or ("",)
    plans = [plan_for(settings_of(recipe, basis.run.info, settings), records, workspace) for recipe in chosen]
    errors = basis.rate * len(basis.samples)
    planted = max(errors, min(LEAST_PLANTED, MOST_EXTRA * len(basis.samples)))
    copies = [
        _copy(basis, round(planted), settings.seed + trial, SURENESS[trial % len(SURENESS)])
        for trial in range(settings.seeds)
    ]
    folder = workspace / ".curate" / "rehearsals" / _rehearsal_id(dataset, basis)
    folder.mkdir(parents=True, exist_ok=True)
    made = float(np.mean([int(wrong.sum()) for _, wrong in copies]))
    tried: list[tuple[Plan, list[Trial]]] = []
    for plan in plans:
        pixels = decode(records, plan.size_px, workspace / ".curate" / "cache", progress)
        _check_readable(pixels)
        scores = scores_of(pixels, basis, [labels for labels, _ in copies], plan, settings.seed, folder, progress)
        tried.append((plan, [Trial(score, wrong) for score, (_, wrong) in zip(scores, copies, strict=True)]))
    rate, rate_from = _corrected(basis, tried, made)
    errors = rate * len(basis.samples)
    weight = errors / max(made, 1.0)
    span = (min(basis.rate_range[0], rate) / rate, max(basis.rate_range[1], rate) / rate)
    outcomes = [_outcome(plan, trials, errors, weight, span) for plan, trials in tried]
    flagged = int(_flagged(basis).sum())
    facts = (
        len(basis.samples),
        rate,
        (rate * span[0], rate * span[1]),
        rate_from,
        basis.reviewed,
        made,
        weight,
        flagged,
    )
    found = Rehearsal(folder, dataset.name, basis.run.run_id, settings, *facts, outcomes)
    found = replace(found, notes=_notes(found, basis))
    write_json(folder / "rehearsal.json", found.facts(), "rehearsal")
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


def _copy(basis: Basis, planted: int, seed: int, sureness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels (R,) with planted errors, and which of them are wrong (R,) bool; the same for all recipes."""
    rng = np.random.default_rng(seed)
    known = basis.belief.known >= 0
    doubts = at_rate(basis.belief.wrong_prob, basis.rate, known, sureness)
    belief = replace(basis.belief, wrong_prob=doubts)
    truth = draw_truth(belief, rng, sureness)
    # Copies of one picture are wrong together: of clusters, as many fewer are drawn.
    share = len(np.unique(belief.cluster)) / len(truth)
    confusions = draw_confusions(belief, truth, max(1, round(planted * share)), rng)
    given = plant(belief, truth, confusions, rng)
    return given, given != truth


def _flagged(basis: Basis) -> np.ndarray:
    """(R,) bool: what the run flagged as a label error."""
    issues = basis.run.issues()
    flagged = issues.loc[(issues["issue"] == "label_error") & issues["is_issue"], "sample_id"]
    return np.asarray(basis.samples["sample_id"].isin(flagged))


def _check_readable(pixels: Pixels) -> None:
    lost = pixels.samples[pixels.samples["status"] != "ok"]
    if len(lost):
        raise SettingsError(
            f"{counted(len(lost), 'picture')} that the run has judged cannot be read any more, the first is "
            f"{lost['path'].iloc[0]!r}: {lost['reason'].iloc[0]}. Score the data set again."
        )


def _rehearsal_id(dataset: Dataset, basis: Basis) -> str:
    """Of the pictures and the code: what else decides a result is in the names of the files."""
    digest = hashlib.blake2b(digest_size=5)
    digest.update(json.dumps([basis.run.run_id, code_version(), basis.classes]).encode())
    digest.update("\n".join(basis.samples["sample_id"]).encode())
    return f"{dataset.folder.name}-{digest.hexdigest()}"


# --- what came out ---------------------------------------------------------------------------------------------------


def _corrected(basis: Basis, tried: Sequence[tuple[Plan, list[Trial]]], made: float) -> tuple[float, str]:
    """The believed rate and who says so; where that is the run, corrected by how far the same network is off in the
    copies, whose errors are counted (a bootstrap estimate of its bias: Efron & Tibshirani 1993, chapter 10)."""
    own = next((trials for plan, trials in tried if _same_network(plan, basis.run.info["plan"])), None)
    if basis.rate_from != THE_RUN or own is None:
        return basis.rate, basis.rate_from
    says = float(np.mean([(1 - trial.score).sum() for trial in own]))
    factor = float(np.clip(made / max(says, 1.0), 1 / MOST_OFF, MOST_OFF))
    return basis.rate * factor, f"{THE_RUN}, less its usual error in copies"


def _outcome(plan: Plan, trials: Sequence[Trial], errors: float, weight: float, span: tuple[float, float]) -> Outcome:
    """span : what the number of errors may have to be multiplied by; the intervals hold for both ends of it."""
    precision = [average_precision(trial, weight) for trial in trials]
    curve = np.mean([ranking(trial, DRAWN, weight)[0] for trial in trials], axis=0)
    flagged = float(np.mean([(trial.score < SCORE_AT_THRESHOLD).sum() for trial in trials]))
    name = plan.mode if plan.mode == "compact" else f"{plan.mode}, {plan.model}"
    spread = (float(np.mean(precision)), min(precision), max(precision))
    points = expect(trials, errors, weight)
    for factor in span:
        others = expect(trials, errors * factor, weight * factor)
        points = [
            replace(point, low=min(point.low, other.low), high=max(point.high, other.high))
            for point, other in zip(points, others, strict=True)
        ]
    return Outcome(name, plan, points, curve.tolist(), spread, flagged)


def _notes(found: Rehearsal, basis: Basis) -> list[str]:
    notes = [f"{counted(number, 'label')} left out: {why}." for why, number in basis.left_out.items()]
    if found.settings.seeds < len(SURENESS):
        notes.append(
            f"{counted(found.settings.seeds, 'repetition shows', 'repetitions show')} too little of how much depends "
            f"on the guess at what is right: the intervals are too narrow; {len(SURENESS)} are usual."
        )
    if found.weight < 1 / UNLIKE:
        notes.append(
            f"{found.planted:,.0f} errors were planted where about {found.rate * found.labels:,.0f} are believed in: "
            "the places in the queue are counted as if there were that many."
        )
    if found.rate_from.startswith(THE_RUN):
        notes.append(
            "Nobody has audited these labels, so the number of errors is the model's own guess, and the intervals are "
            "wide: `curate audit` narrows them, and --rate takes what you know."
        )
    like_the_run = next((o for o in found.outcomes if _same_network(o.plan, basis.run.info["plan"])), None)
    if like_the_run and found.flagged and not 1 / UNLIKE < like_the_run.flagged / found.flagged < UNLIKE:
        notes.append(
            f"The run flagged {found.flagged:,} of these labels, and in the copies about {like_the_run.flagged:,.0f} "
            "were flagged: the real errors are of another number or kind than the planted ones. Trust this less."
        )
    return notes


def _same_network(plan: Plan, run: dict[str, Any]) -> bool:
    return all(run.get(name) == getattr(plan, name) for name in ("mode", "model", "weights_hash"))
