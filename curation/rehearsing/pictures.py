"""A rehearsal where pictures have several labels, or boxes: what is planted, judged and reviewed is the picture.

believe_pictures --plant--> copies of all annotations, with errors --judge, find_issues (as `score` does)--> queues
--expect--> share of all errors, and of each kind, found by reviewing so many pictures
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from curation.datasets import Dataset
from curation.detectors import find_issues
from curation.duplicates import Duplicates, find_duplicates
from curation.errors import SettingsError
from curation.files import write_atomic, write_json
from curation.importers.predictions import Predictions, read_predictions
from curation.judging import judge
from curation.judging.pictures import picture_inputs
from curation.judging.work import Clock, Work
from curation.manifest.changes import BOX
from curation.pixels import Pixels, decode
from curation.progress import SILENT, Progress
from curation.rehearsing.believe_pictures import Copy, PictureBasis, believe_pictures
from curation.rehearsing.outcome import (
    LEAST_PLANTED,
    MOST_EXTRA,
    Rehearsal,
    RehearsalSettings,
    check_readable,
    outcome_of,
    points_of,
    rehearsal_id,
    settings_of,
)
from curation.rehearsing.planting import SURENESS
from curation.rehearsing.recall import Trial
from curation.rehearsing.trials import read_scores
from curation.review.audit_pictures import ANNOTATION_ISSUES
from curation.runs import scratch
from curation.training.plan import Plan
from curation.training.planning import plan_for
from curation.wording import counted

FLAGGED = 0.5  # scores of pictures with a flagged finding lie below


def rehearse_pictures(
    workspace: Path, dataset: Dataset, settings: RehearsalSettings, engine: Engine | None, progress: Progress = SILENT
) -> Rehearsal:
    """As `rehearse`, where pictures have several labels, or boxes.

    Raises
    ------
    NotFoundError, SettingsError : see `believe_pictures`. SourceError, LabelParseError : the predictions are none.
    """
    basis = believe_pictures(workspace, dataset, engine, settings.rate, settings.predictions is not None)
    if settings.predictions is not None and basis.task != "detection":
        raise SettingsError(f"--predictions is for sets of boxes; {dataset.name} is of the task {basis.task}.")
    predicted = read_predictions(settings.predictions, basis.records) if settings.predictions is not None else None
    chosen = settings.recipes or ("",)
    plans = [plan_for(settings_of(recipe, basis.run.info, settings), basis.records, workspace) for recipe in chosen]
    planted = max(basis.rate * basis.labels, min(LEAST_PLANTED, MOST_EXTRA * basis.labels))
    copies = [
        basis.plant(round(planted), settings.seed + trial, SURENESS[trial % len(SURENESS)])
        for trial in range(settings.seeds)
    ]
    ids = basis.records.samples["sample_id"]
    folder = workspace / ".curate" / "rehearsals" / rehearsal_id(dataset, basis.run, ids, basis.run.info["classes"])
    folder.mkdir(parents=True, exist_ok=True)
    made = float(np.mean([sum(one.sum() for one in errors.values()) for _, errors in copies]))
    weight = basis.rate * basis.labels / max(made, 1.0)
    span = (basis.rate_range[0] / basis.rate, basis.rate_range[1] / basis.rate)
    outcomes = []
    for plan in plans:
        scores = _scores(workspace, basis, copies, plan, settings.seed, predicted, folder, progress)
        trials = [_trial(score, errors) for score, (_, errors) in zip(scores, copies, strict=True)]
        flagged = float(np.mean([(score < FLAGGED).sum() for score in scores]))
        outcome = outcome_of(plan, trials, basis.rate * basis.labels, weight, span, flagged)
        kinds = {
            name: points_of(
                [_trial(score, errors, name) for score, (_, errors) in zip(scores, copies, strict=True)],
                weight * float(np.mean([errors[name].sum() for _, errors in copies])), weight, span,
            )
            for name in copies[0][1]
        }  # fmt: skip
        outcomes.append(replace(outcome, kinds=kinds))
    notes = _notes(basis, settings, made, predicted)
    found = Rehearsal(
        folder, dataset.name, basis.run.run_id, settings, basis.labels, basis.rate, basis.rate_range, basis.rate_from,
        basis.reviewed, made, weight, _flagged(basis), outcomes, notes, len(ids),
    )  # fmt: skip
    write_json(folder / "rehearsal.json", found.facts(), "rehearsal")
    return found


def _trial(score: np.ndarray, errors: dict[str, np.ndarray], kind: str = "") -> Trial:
    """One repetition, with the errors of one kind or of all."""
    every = np.sum(list(errors.values()), axis=0)
    mine = errors[kind] if kind else every
    return Trial(score.astype(np.float64), mine > 0, mine, every > 0)


def _flagged(basis: PictureBasis) -> int:
    """Pictures that the run has flagged for a label or box."""
    issues = basis.run.issues()
    mine = issues[issues["is_issue"] & issues["issue"].isin(ANNOTATION_ISSUES)]["sample_id"]
    return int(basis.records.samples["sample_id"].isin(mine).sum())


def _notes(
    basis: PictureBasis, settings: RehearsalSettings, made: float, predicted: Predictions | None
) -> list[str]:  # fmt: skip
    notes = [*basis.notes, *(predicted.notes if predicted else ())]
    if predicted is not None:
        notes.append(
            "How many errors of each kind there are is only the detector's word, and its mistakes look like errors: "
            "where few boxes are wrong, trust the figures of each kind rather than those of all together."
        )
    if settings.seeds < len(SURENESS):
        notes.append(
            f"{counted(settings.seeds, 'repetition shows', 'repetitions show')} too little of how much depends on the "
            f"guess at what is right: the intervals are too narrow; {len(SURENESS)} are usual."
        )
    if made > 1.5 * basis.rate * basis.labels:
        notes.append(
            f"{made:,.0f} errors were planted where about {basis.rate * basis.labels:,.0f} are believed in: the places "
            "in the queue are counted as if there were that many."
        )
    if not (basis.rate_from.startswith("as you") or basis.rate_from.startswith("as the audit")):
        notes.append(
            "Nobody has audited these pictures, so the number of errors is the model's own guess, and the intervals "
            "are wide: `curate audit` narrows them, and --rate takes what you know."
        )
    return notes


# --- the pipeline of `score` on copies -------------------------------------------------------------------------------


def _scores(
    workspace: Path, basis: PictureBasis, copies: Sequence[Copy], plan: Plan, seed: int,
    predicted: Predictions | None, folder: Path, progress: Progress,
) -> list[np.ndarray]:  # fmt: skip
    """(N,) float32 for each copy: place of each picture in the queue; what an earlier try has finished is read."""
    files = [
        folder / _file_name(plan, basis, seed + trial, table, predicted) for trial, (table, _) in enumerate(copies)
    ]
    found = [read_scores(file, len(basis.records.samples)) for file in files]
    if all(score is not None for score in found):
        return [score for score in found if score is not None]
    pixels = decode(basis.records, plan.size_px, workspace / ".curate" / "cache", progress)
    check_readable(pixels)
    duplicates = find_duplicates(pixels, workspace / ".curate" / "cache", progress)
    for trial, (table, _) in enumerate(copies):
        if found[trial] is None:
            progress.message(f"Rehearsing {plan.mode}: copy {trial + 1} of {len(copies)}")
            place = files[trial].with_suffix(".unfinished")
            made = _judge(workspace, basis, pixels, duplicates, table, plan, seed + trial, predicted, place, progress)
            _write(files[trial], made)
            found[trial] = made
    return [score for score in found if score is not None]


def _judge(
    workspace: Path, basis: PictureBasis, pixels: Pixels, duplicates: Duplicates, annotations: pd.DataFrame,
    plan: Plan, seed: int, predicted: Predictions | None, unfinished: Path, progress: Progress,
) -> np.ndarray:  # fmt: skip
    """(N,) float32 in [0, 1): the place of each picture in the queue that `score` makes of these annotations.

    unfinished : folder for what a killed process can go on from; removed in the end
    """
    pictures, readable = picture_inputs(pixels, annotations, duplicates)
    folds = int(basis.run.info["settings"].get("folds", 5))
    with scratch(workspace, unfinished) as partial:
        table = predicted.table if predicted else None
        work = Work(plan, folds, seed, partial, workspace, Clock(), progress, table)
        judged = judge(basis.task, work, pixels, pictures, readable, annotations)
        issues, _ = find_issues(*judged.levels, names=ANNOTATION_ISSUES, progress=progress)
    shutil.rmtree(unfinished, ignore_errors=True)
    return queue_places(issues, basis.records.samples["sample_id"])


def queue_places(issues: pd.DataFrame, sample_ids: pd.Series) -> np.ndarray:
    """(N,) float32 in [0, 1): where each picture is in a queue, by the best rank of its findings, below FLAGGED where
    that is flagged; those without any come last."""
    best = issues.drop_duplicates("sample_id").set_index("sample_id").reindex(sample_ids)
    rank = best["rank"].to_numpy(dtype=np.float64)
    order = np.argsort(np.where(np.isnan(rank), np.inf, rank), kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order)) / max(len(order), 1)
    flagged = (best["is_issue"] == True).to_numpy(dtype=bool)  # noqa: E712 - NaN where there is no finding
    return np.asarray(FLAGGED * place + np.where(flagged, 0.0, FLAGGED), dtype=np.float32)


def _write(file: Path, scores: np.ndarray) -> None:
    write_atomic(file, lambda stream: np.save(stream, scores, allow_pickle=False), "scores")


def _file_name(
    plan: Plan, basis: PictureBasis, seed: int, annotations: pd.DataFrame, predicted: Predictions | None
) -> str:
    """Equal names, equal scores."""
    digest = hashlib.blake2b(digest_size=6)
    asked = [plan.as_settings(), basis.run.info["settings"].get("folds", 5), predicted.key if predicted else ""]
    digest.update(json.dumps(asked, sort_keys=True).encode())
    for name in ("annotation_id", "label"):
        digest.update("\n".join(annotations[name]).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(annotations[list(BOX)].to_numpy(dtype=np.float64)).tobytes())
    return f"{plan.mode}-{seed}-{digest.hexdigest()}.npy"
