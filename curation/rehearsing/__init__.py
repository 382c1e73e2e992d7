"""A rehearsal of the review: errors like those of the user's data are planted in a copy of its labels, and looked for.

run, versions, verdicts --believe--> belief --draw_truth, plant--> labels with known errors
--folds, out_of_fold, judge_labels (as `score` does)--> scores by recipe and seed --expect--> recall to expect

Nothing is written but a folder `.curate/rehearsals/<id>`. What is reviewed is the queue of `label_error`, as the run
ranks it. Copies under two labels are found without a model, so all copies of a picture get the same planted error; that
the queue learns from verdicts is not rehearsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.files import check_workspace, write_json
from curation.manifest.history import task_of
from curation.manifest.version_files import MAIN, head
from curation.pixels import decode
from curation.progress import SILENT, Progress
from curation.rehearsing.belief import THE_RUN, Basis, believe
from curation.rehearsing.outcome import (
    LEAST_PLANTED,
    MOST_EXTRA,
    USUAL,
    check_readable,
    outcome_of,
    records_of,
    rehearsal_id,
    same_network,
    settings_of,
)
from curation.rehearsing.outcome import Rehearsal as Rehearsal
from curation.rehearsing.outcome import RehearsalSettings as RehearsalSettings
from curation.rehearsing.pictures import rehearse_pictures
from curation.rehearsing.planting import SURENESS, at_rate, draw_confusions, draw_truth, plant
from curation.rehearsing.recall import Trial
from curation.rehearsing.trials import scores_of
from curation.scoring.label_quality import SCORE_AT_THRESHOLD
from curation.status import source_root
from curation.training.plan import Plan
from curation.training.planning import plan_for
from curation.wording import counted

# Copies in which so many times more or fewer labels are flagged than in the data are not like the data.
UNLIKE = 1.5
# An estimate is corrected by no more than this factor.
MOST_OFF = 2.0


def rehearse(
    workspace: Path,
    dataset: Dataset,
    settings: RehearsalSettings = USUAL,
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
    if task_of(dataset.folder, str(head(dataset.folder, MAIN))) != "single-label":
        return rehearse_pictures(workspace, dataset, settings, engine, progress)
    if settings.predictions is not None:
        raise SettingsError(f"--predictions is for sets of boxes; {dataset.name} has one label per picture.")
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
    folder = (
        workspace
        / ".curate"
        / "rehearsals"
        / rehearsal_id(dataset, basis.run, basis.samples["sample_id"], basis.classes)
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = float(np.mean([int(wrong.sum()) for _, wrong in copies]))
    tried: list[tuple[Plan, list[Trial]]] = []
    for plan in plans:
        pixels = decode(records, plan.size_px, workspace / ".curate" / "cache", progress)
        check_readable(pixels)
        scores = scores_of(pixels, basis, [labels for labels, _ in copies], plan, settings.seed, folder, progress)
        tried.append((plan, [Trial(score, wrong) for score, (_, wrong) in zip(scores, copies, strict=True)]))
    rate, rate_from = _corrected(basis, tried, made)
    errors = rate * len(basis.samples)
    weight = errors / max(made, 1.0)
    span = (min(basis.rate_range[0], rate) / rate, max(basis.rate_range[1], rate) / rate)
    outcomes = [outcome_of(plan, trials, errors, weight, span, _flagged_in(trials)) for plan, trials in tried]
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


def _flagged_in(trials: Sequence[Trial]) -> float:
    """Mean number of flagged labels in copies."""
    return float(np.mean([(trial.score < SCORE_AT_THRESHOLD).sum() for trial in trials]))


def _flagged(basis: Basis) -> np.ndarray:
    """(R,) bool: what the run flagged as a label error."""
    issues = basis.run.issues()
    flagged = issues.loc[(issues["issue"] == "label_error") & issues["is_issue"], "sample_id"]
    return np.asarray(basis.samples["sample_id"].isin(flagged))


# --- what came out ---------------------------------------------------------------------------------------------------


def _corrected(basis: Basis, tried: Sequence[tuple[Plan, list[Trial]]], made: float) -> tuple[float, str]:
    """The believed rate and who says so; where that is the run, corrected by how far the same network is off in the
    copies, whose errors are counted (a bootstrap estimate of its bias: Efron & Tibshirani 1993, chapter 10)."""
    own = next((trials for plan, trials in tried if same_network(plan, basis.run.info["plan"])), None)
    if basis.rate_from != THE_RUN or own is None:
        return basis.rate, basis.rate_from
    says = float(np.mean([(1 - trial.score).sum() for trial in own]))
    factor = float(np.clip(made / max(says, 1.0), 1 / MOST_OFF, MOST_OFF))
    return basis.rate * factor, f"{THE_RUN}, less its usual error in copies"


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
    like_the_run = next((o for o in found.outcomes if same_network(o.plan, basis.run.info["plan"])), None)
    if like_the_run and found.flagged and not 1 / UNLIKE < like_the_run.flagged / found.flagged < UNLIKE:
        notes.append(
            f"The run flagged {found.flagged:,} of these labels, and in the copies about {like_the_run.flagged:,.0f} "
            "were flagged: the real errors are of another number or kind than the planted ones. Trust this less."
        )
    return notes
