"""MAIN PATH, read this first: from a labelled image data set to ranked, explained label issues, one call per arrow.

source --load--> records --decode--> pixels --ensure_version--> manifest version
--find_duplicates--> clusters --judge (folds, out-of-fold probabilities, embeddings, neighbours; by task)--> inputs
--find_issues--> issues --finish--> run folder
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation import runs
from curation.detectors import find_issues
from curation.duplicates import find_duplicates
from curation.errors import SettingsError
from curation.files import check_workspace
from curation.importers import ImportOptions, load
from curation.importers.predictions import Predictions, read_predictions
from curation.judging import judge
from curation.judging.pictures import picture_inputs, samples_table, unreadable_class_notes
from curation.judging.work import Clock, Work
from curation.manifest import manifest_folder
from curation.manifest.history import task_of
from curation.manifest.reimport import Ensured, ensure_version
from curation.manifest.version_files import head
from curation.pixels import Pixels, decode
from curation.progress import SILENT, Progress
from curation.records import Records, source_facts
from curation.run_key import code_version, make_run_id, package_versions, run_key
from curation.scoring.health import health
from curation.training.plan import Plan, TrainingSettings
from curation.training.planning import plan_for
from curation.wording import as_sentence

# So many of what a source holds or lists and is no sample are named in run.json; rejected.parquet has all of them.
NAMED_REJECTED = 1000


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(TrainingSettings):
    """What a user can choose, beside what is said of training.

    name : of the data set, None = that of the source
    detector_epochs : of a set of boxes: passes of a detector that is trained per fold, 0 = none is
    """

    folds: int = 5
    detector_epochs: int = 0
    name: str | None = None


def score(
    source: str | Path,
    settings: ScoreSettings = ScoreSettings(),
    workspace: Path = Path(),
    import_options: ImportOptions | None = None,
    format: str | None = None,
    progress: Progress = SILENT,
    predictions: Path | None = None,
) -> runs.Run:
    """Find probably wrong labels, duplicates, leaks, outliers and broken files in a labelled image data set.

    The same source and settings again give the finished run back; a killed run goes on where it was. The first import
    of a source also writes manifest version v0001, and a source that has changed the next one; labels are those of the
    newest version, so that what reviewers corrected is not found again.

    Parameters
    ----------
    source : folder, table, array file, `torchvision:NAME` or `fiftyone:NAME`; see curation.importers
    predictions : COCO results of a detector that did not see the pictures it judged, for a set of boxes
    workspace : where `.curate/` and `data_manifest/` are; the source is never written to

    Raises
    ------
    CurationError : anything that the user can put right; see curation.errors.
    """
    workspace = Path(workspace)
    check_workspace(workspace)
    if settings.folds < 2:
        raise SettingsError(f"--folds {settings.folds}: cross-validation needs at least 2 folds.")
    clock = Clock()
    with clock.stage("import"):
        records = load(source, format=format, options=import_options, workspace=workspace, progress=progress)
        name = settings.name or _default_name(source)
        _check_task(records.task, name, workspace)
        plan = plan_for(settings, records, workspace)
        _check_network(plan, workspace)
        predicted = _predictions(predictions, records, settings)
    with clock.stage("decode"):
        pixels = decode(records, plan.size_px, workspace / ".curate" / "cache", progress)
    with clock.stage("manifest"):
        version, pixels = _describe(pixels, records, name, workspace)
    decides = _decides(settings, plan, records, predicted)
    run_id = make_run_id(name, run_key(version.samples, version.annotations, decides))
    done = runs.find_run(workspace, run_id)
    if done is not None:
        progress.message(f"Nothing has changed since run {run_id}; this is its result.")
        runs.mark_latest(workspace, run_id)
        return done
    for why in plan.why:
        progress.message(as_sentence(why))
    with runs.open_partial(workspace, run_id) as partial:
        with clock.stage("duplicates"):
            duplicates = find_duplicates(pixels, workspace / ".curate" / "cache", progress)
        pictures, readable = picture_inputs(pixels, version.annotations, duplicates)
        found = predicted.table if predicted else None
        work = Work(
            plan, settings.folds, settings.seed, partial, workspace, clock, progress, found, settings.detector_epochs
        )
        judged = judge(records.task, work, pixels, pictures, readable, version.annotations)
        with clock.stage("issues"):
            issues, skipped = find_issues(*judged.levels, progress=progress)
        with clock.stage("write"):
            partial.write_table("samples", samples_table(judged.pictures))
            partial.write_table("issues", issues)
            partial.write_table("rejected", records.rejected)
        facts = {
            **_asked_for(name, source, settings, plan, records),
            "manifest_version": version.version,
            "samples": len(pixels.samples),
            "unreadable": len(pictures.unreadable),
            "classes": list(judged.labelled.class_names),
            "notes": [
                *records.notes,
                *(predicted.notes if predicted else ()),
                *version.notes,
                *judged.notes,
                *unreadable_class_notes(pictures),
            ],
            "issues": issues.loc[issues["is_issue"], "issue"].value_counts().to_dict(),
            "skipped_detectors": skipped,
            "health": health(judged.labelled, issues),
            "accuracy": judged.labelled.extra.get("accuracy"),
            "versions": {"curate": code_version(), **package_versions()},
            "hardware": _hardware(plan.device),
            "seconds": clock.seconds,
            **judged.facts,
        }
        runs.finish(partial, facts)
    return runs.read_run(workspace, run_id)


def _decides(settings: ScoreSettings, plan: Plan, records: Records, predicted: Predictions | None) -> dict[str, Any]:
    """What decides the result, beside the pictures, their labels and the code."""
    found = {**plan.as_settings(), "folds": settings.folds, "seed": settings.seed}
    if records.task != "single-label":
        found["task"] = records.task
    if predicted is not None:
        found["predictions"] = predicted.key
    if settings.detector_epochs:
        found["detector_epochs"] = settings.detector_epochs
    return found


def _asked_for(name: str, source: str | Path, settings: ScoreSettings, plan: Plan, records: Records) -> dict[str, Any]:
    """Facts of a run that are known before it begins: what was read, and what will be done with it."""
    return {
        "dataset": name,
        "source": str(source),
        "root": str(records.root),
        "source_format": records.source_format,
        "settings": asdict(settings),
        "import": records.settings,
        "plan": {**asdict(plan), "why": list(plan.why)},
        "seed": settings.seed,
        "rejected": records.rejected.head(NAMED_REJECTED).to_dict("records"),
        "rejected_count": len(records.rejected),
    }


def _describe(pixels: Pixels, records: Records, name: str, workspace: Path) -> tuple[Ensured, Pixels]:
    """The manifest version of a source, and the pictures that are in it."""
    version = ensure_version(
        pixels.samples[list(records.samples)],
        records.annotations,
        manifest_folder(workspace, name),
        author="curate score",
        message=f"First import of {name}",
        source=source_facts(records),
        dataset=name,
        cache=workspace / ".curate" / "cache",
    )
    return version, pixels.keep(version.kept, version.samples[["sample_id", "split", "group"]])


def _check_task(task: str, name: str, workspace: Path) -> None:
    """Refuse to make one data set of two: what is read as counts has no boxes, and would take them from those that are
    there."""
    folder = manifest_folder(workspace, name)
    newest = head(folder)
    before = task_of(folder, newest) if newest else task
    if before != task and {"detection", "counts"} & {before, task}:
        raise SettingsError(
            f"{name} is of the task {before} here ({newest}), and is now read as {task}. Keep them apart, with "
            f"--name {name}-{task}; or read it as before, with --task {before}."
        )


def _check_network(plan: Plan, workspace: Path) -> None:
    """Refuse a network that cannot be had before anything is decoded. One that made a run is known to work: a run that
    is there already is given back without loading torchvision."""
    if plan.mode != "compact" and not runs.was_made_with(workspace, plan.as_settings()):
        from curation.training.model import check_network

        check_network(plan)


def _predictions(file: Path | None, records: Records, settings: ScoreSettings) -> Predictions | None:
    option = "--predictions" if file is not None else "--detector" if settings.detector_epochs else ""
    if option and records.task != "detection":
        raise SettingsError(f"{option} is for sets of boxes; this one is read as {records.task}.")
    if file is not None and settings.detector_epochs:
        raise SettingsError(
            "--predictions and --detector do not go together: choose whose predictions to compare with."
        )
    return None if file is None else read_predictions(file, records)


def _hardware(device: str) -> dict[str, Any]:
    facts = {"device": device, "machine": platform.machine(), "cores": os.cpu_count()}
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _default_name(source: str | Path) -> str:
    text = str(source)
    return text.partition(":")[2] if text.startswith("torchvision:") else Path(text).resolve().stem or "dataset"
