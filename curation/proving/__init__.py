"""Does cleaning help? The same recipe trained on two versions, with paired seeds, and asked about one hold-out.

two versions --read_versions--> pictures and labels --choose_holdout--> hold-out --contest (one file per task)--> arms
--answers_of--> answers by arm and seed --compare--> changes with intervals --> proof.json, proof.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curation.datasets import Dataset
from curation.duplicates import find_duplicates
from curation.errors import SettingsError
from curation.files import write_json
from curation.manifest.history import task_of
from curation.pixels import Pixels, decode
from curation.progress import SILENT, Progress
from curation.proving import boxes, detectors, multi_label, single_label
from curation.proving.contract import PLACEBO as PLACEBO
from curation.proving.contract import Material, Prover
from curation.proving.contract import ProofSettings as ProofSettings
from curation.proving.holdout import choose_holdout, learnable_rows
from curation.proving.proof import Proof as Proof
from curation.proving.proof import check_size, class_notes, notes_of
from curation.proving.trials import answers_of, proof_id
from curation.proving.versions import AFTER, BEFORE, Versions, flagged_issues, read_versions
from curation.proving.versions import records_of as records_of
from curation.status import source_root
from curation.training.folds import combine_groups
from curation.training.label_sets import trainable
from curation.training.planning import plan_for

PROVERS: dict[str, Prover] = {
    "single-label": single_label.PROVER,
    "multi-label": multi_label.PROVER,
    "detection": boxes.PROVER,
}


def prove(workspace: Path, dataset: Dataset, settings: ProofSettings, progress: Progress = SILENT) -> Proof:
    """Train on both versions, on the first without its suspects, and on a placebo; compare on one hold-out.

    Asked again with the same settings, what was trained is read; a killed proof goes on where it was.

    Raises
    ------
    NotFoundError : a version, split, table or picture that is not there.
    SettingsError : the hold-out overlaps what is trained on, or is too small; or settings that cannot be.
    WorkspaceError : the source is gone, or the workspace cannot be written.
    """
    if settings.seeds < 1:
        raise SettingsError(f"--seeds {settings.seeds}: at least one network per arm is needed; five are usual.")
    check_task(dataset, settings.before, settings.after)
    versions = read_versions(dataset, settings.before, settings.after)
    prover = prover_of(versions.task, settings.detector_epochs)
    cache = workspace / ".curate" / "cache"
    records = versions.records(source_root(workspace, dataset))
    plan = plan_for(settings, records, workspace)
    decoded = decode(records, plan.size_px, cache, progress)
    versions, readable = with_units(versions, decoded, cache, progress)
    labels = {name: prover.picture_labels(versions, name) for name in (BEFORE, AFTER)}
    holdout = choose_holdout(versions, settings.holdout, labels[AFTER], settings.seed)
    trained = trainable(labels[BEFORE]) | trainable(labels[AFTER])
    learnable, notes = learnable_rows(versions, holdout, trained, settings.drop_overlap)
    check_size(holdout)
    flagged = flagged_issues(workspace, dataset, settings.before)
    contest = prover.contest(
        Material(
            versions, labels, holdout, learnable, flagged, decoded, readable, plan, settings, cache, progress
        )
    )  # fmt: skip
    notes += class_notes(contest.taught, versions.classes, settings)
    folder = workspace / ".curate" / "proofs" / proof_id(contest, settings, plan, versions)
    answers = answers_of(contest, settings, folder, progress)
    proof = Proof(
        folder=folder,
        settings=settings,
        task=versions.task,
        plan=plan,
        classes=versions.classes,
        holdout=holdout,
        contest=contest,
        arms={name: contest.compare(answers[BEFORE], answers[name]) for name in contest.names if name != BEFORE},
        notes=[*notes, *notes_of(contest, holdout, settings, flagged is not None)],
    )
    write_json(folder / "proof.json", proof.facts(), "proof")
    return proof


def prover_of(task: str, detector_epochs: int) -> Prover:
    """How a task is proven.

    Raises
    ------
    SettingsError : a detector for what has no boxes.
    """
    if not detector_epochs:
        return PROVERS[task]
    if task != "detection":
        raise SettingsError(f"--detector is for sets of boxes; this is a {task} set.")
    return detectors.PROVER


def check_task(dataset: Dataset, *versions: str) -> None:
    """Refuse versions whose task no network is trained for.

    Raises
    ------
    SettingsError, NotFoundError
    """
    for version in versions:
        task = task_of(dataset.folder, version)
        if task not in PROVERS:
            raise SettingsError(
                f"{version} of {dataset.name} is a {task} set; no network is trained for these so far. "
                "Export it, and train with the code that you use for it: curate export."
            )


def with_units(
    versions: Versions, decoded: Pixels, cache: Path, progress: Progress = SILENT
) -> tuple[Versions, np.ndarray]:
    """The versions of readable pictures alone, with a column `unit` that copies and members of one group share; and
    their rows in `decoded`."""
    cluster = find_duplicates(decoded, cache, progress).cluster
    readable = np.flatnonzero((decoded.samples["status"] == "ok").to_numpy())
    kept = versions.take(readable)
    kept.samples["unit"] = combine_groups(cluster[readable], kept.samples["group"].to_numpy(dtype=object))
    return kept, readable
