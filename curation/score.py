"""MAIN PATH, read this first: from a labelled image data set to ranked, explained label issues, one call per arrow.

source --load--> records --decode--> pixels --ensure_version--> manifest version
--find_duplicates--> clusters --assign_folds--> folds --out_of_fold--> pred_probs, embeddings, training margins
--nearest--> neighbours --find_issues--> issues --finish--> run folder
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation import runs
from curation.detectors import find_issues
from curation.detectors.contract import Inputs
from curation.duplicates import Duplicates, find_duplicates
from curation.errors import SettingsError
from curation.files import check_workspace
from curation.importers import ImportOptions, load
from curation.manifest import manifest_folder
from curation.manifest.reimport import Ensured, ensure_version
from curation.pixels import Pixels, decode
from curation.progress import SILENT, Progress
from curation.records import Records, source_facts
from curation.run_key import code_version, make_run_id, package_versions, run_key
from curation.scoring.health import accuracy, health
from curation.scoring.neighbours import nearest
from curation.scoring.statistics import statistics_from_probs
from curation.training.appearance import describe
from curation.training.folds import CrossValidation, assign_folds, combine_groups, ungroup_folds
from curation.training.plan import Plan, TrainingSettings
from curation.training.planning import plan_for
from curation.wording import as_sentence, counted

NEIGHBOURS = 10
# Fewer labelled pictures than this teach a network nothing.
MIN_LABELLED = 10
# So many of what a source holds or lists and is no sample are named in run.json; rejected.parquet has all of them.
NAMED_REJECTED = 1000


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(TrainingSettings):
    """What a user can choose, beside what is said of training; name : of the data set, None = that of the source."""

    folds: int = 5
    name: str | None = None


def score(
    source: str | Path,
    settings: ScoreSettings = ScoreSettings(),
    workspace: Path = Path(),
    import_options: ImportOptions | None = None,
    format: str | None = None,
    progress: Progress = SILENT,
) -> runs.Run:
    """Find probably wrong labels, duplicates, leaks, outliers and broken files in a labelled image data set.

    The same source and settings again give the finished run back; a killed run goes on where it was. The first import
    of a source also writes manifest version v0001, and a source that has changed the next one; labels are those of the
    newest version, so that what reviewers corrected is not found again.

    Parameters
    ----------
    source : folder, table, array file or `torchvision:NAME`; see curation.importers
    workspace : where `.curate/` and `data_manifest/` are; the source is never written to

    Raises
    ------
    CurationError : anything that the user can put right; see curation.errors.
    """
    workspace = Path(workspace)
    check_workspace(workspace)
    if settings.folds < 2:
        raise SettingsError(f"--folds {settings.folds}: cross-validation needs at least 2 folds.")
    clock = _Clock()
    with clock.stage("import"):
        records = load(source, format=format, options=import_options, workspace=workspace, progress=progress)
        plan = plan_for(settings, records, workspace)
        _check_network(plan, workspace)
    with clock.stage("decode"):
        pixels = decode(records, plan.size_px, workspace / ".curate" / "cache", progress)
    with clock.stage("manifest"):
        name = settings.name or _default_name(source)
        version, pixels = _describe(pixels, records, name, workspace)
    decides = {**plan.as_settings(), "folds": settings.folds, "seed": settings.seed}
    run_id = make_run_id(name, run_key(version.samples, version.annotations, decides))
    done = runs.find_run(workspace, run_id)
    if done is not None:
        progress.message(f"Nothing has changed since run {run_id}; this is its result.")
        runs.mark_latest(workspace, run_id)
        return done
    for why in plan.why:
        progress.message(as_sentence(why))
    with runs.open_partial(workspace, run_id) as partial:
        inputs, notes = _find_evidence(pixels, version, plan, settings, partial, workspace, clock, progress)
        notes += _unreadable_class_notes(inputs)
        with clock.stage("issues"):
            issues, skipped = find_issues(inputs, progress=progress)
        with clock.stage("write"):
            partial.write_table("samples", _samples_table(pixels, inputs))
            partial.write_table("issues", issues)
            partial.write_table("rejected", records.rejected)
        facts = {
            "dataset": name,
            "source": str(source),
            "root": str(records.root),
            "source_format": records.source_format,
            "settings": asdict(settings),
            "import": records.settings,
            "plan": {**asdict(plan), "why": list(plan.why)},
            "seed": settings.seed,
            "manifest_version": version.version,
            "samples": len(pixels.samples),
            "unreadable": len(inputs.unreadable),
            "rejected": records.rejected.head(NAMED_REJECTED).to_dict("records"),
            "rejected_count": len(records.rejected),
            "classes": list(inputs.class_names),
            "notes": [*records.notes, *version.notes, *notes],
            "issues": issues.loc[issues["is_issue"], "issue"].value_counts().to_dict(),
            "skipped_detectors": skipped,
            "health": health(inputs, issues),
            "accuracy": inputs.extra.get("accuracy"),
            "versions": {"curate": code_version(), **package_versions()},
            "hardware": _hardware(plan.device),
            "seconds": clock.seconds,
        }
        runs.finish(partial, facts)
    return runs.read_run(workspace, run_id)


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


def _check_network(plan: Plan, workspace: Path) -> None:
    """Refuse a network that cannot be had before anything is decoded. One that made a run is known to work: a run that
    is there already is given back without loading torchvision."""
    if plan.mode != "compact" and not runs.was_made_with(workspace, plan.as_settings()):
        from curation.training.model import check_network

        check_network(plan)


def _find_evidence(
    pixels: Pixels,
    version: Ensured,
    plan: Plan,
    settings: ScoreSettings,
    partial: runs.Partial,
    workspace: Path,
    clock: _Clock,
    progress: Progress,
) -> tuple[Inputs, list[str]]:
    """Everything that detectors look at: duplicates, folds, out-of-fold probabilities, neighbours; and notes on it."""
    with clock.stage("duplicates"):
        duplicates = find_duplicates(pixels, workspace / ".curate" / "cache", progress)
    inputs, readable = _bare_inputs(pixels, version, duplicates)
    assert inputs.cluster is not None
    groups = combine_groups(inputs.cluster, inputs.samples["group"].to_numpy(object))
    n_classes, n_folds = len(inputs.class_names), min(settings.folds, len(np.unique(groups[inputs.labels >= 0])))
    reason = _why_untrainable(inputs.labels, groups)
    if reason:
        return inputs, [f"No model was trained: {reason}."]
    fold = assign_folds(inputs.labels, groups, n_folds, settings.seed)
    from curation.training.crossval import out_of_fold  # torch, not needed when the run is there already

    with clock.stage("train"):
        images = pixels.gather(readable)
        judged = out_of_fold(
            CrossValidation(
                images, inputs.labels, fold, n_classes, plan, settings.seed, partial.checkpoints, progress,
                ungroup_folds(fold, inputs.labels, groups, settings.seed),
            )
        )  # fmt: skip
    with clock.stage("neighbours"):
        neighbours, distances = nearest(judged.embeddings, NEIGHBOURS, inputs.cluster, progress)
    # Embeddings that were trained on these labels are blind to some of what does not belong here at all.
    appearance = describe(images) if plan.mode == "compact" else None
    statistics = statistics_from_probs(judged.pred_probs, inputs.labels, judged.margin, judged.judged)
    with clock.stage("write"):
        os.replace(partial.checkpoints / "pred_probs.npy", partial.folder / "pred_probs.npy")
        arrays = {"training_margin": judged.margin, "embeddings": judged.embeddings, "fold": fold,
                  "neighbours": neighbours, "neighbour_distances": distances}  # fmt: skip
        for name, array in arrays.items():
            partial.write_array(name, array)
    inputs = replace(
        inputs, fold=fold, statistics=statistics, embeddings=judged.embeddings, pred_probs=judged.pred_probs,
        appearance=appearance,
        neighbours=neighbours, neighbour_distances=distances, blind_neighbours=plan.mode == "probe",
    )  # fmt: skip
    inputs = replace(inputs, extra={"accuracy": accuracy(inputs, groups, judged.ungrouped_choice)})
    return inputs, _fold_notes(inputs, n_folds, settings.folds)


def _why_untrainable(labels: np.ndarray, groups: np.ndarray) -> str:
    """Why no model could judge a single label (N,) of pictures in `groups` (N,), "" where one can."""
    known = np.flatnonzero(labels >= 0)
    pairs = pd.DataFrame({"label": labels[known], "group": groups[known]}).drop_duplicates()
    if not len(known):
        return "there are no labels"
    if pairs["label"].nunique() == 1:
        return "there is one class only"
    if len(known) < MIN_LABELLED:
        return f"there are too few labelled pictures ({len(known)}; {MIN_LABELLED} are the least)"
    if pairs["group"].nunique() == 1:
        return "all labelled pictures are copies of each other, or in one group"
    if not pairs["label"].duplicated().any():
        return "no class has two pictures that are independent of each other"
    return ""


def _bare_inputs(pixels: Pixels, version: Ensured, duplicates: Duplicates) -> tuple[Inputs, np.ndarray]:
    """Inputs without a model, and the rows (N,) of `pixels` that they consist of: the readable pictures."""
    ok = (pixels.samples["status"] == "ok").to_numpy()
    readable = np.flatnonzero(ok)
    samples = pixels.samples[ok].reset_index(drop=True)
    position = np.full(len(ok), -1, dtype=np.int64)
    position[readable] = np.arange(len(readable))
    # Single-label: one annotation per labelled sample.
    by_sample = version.annotations.set_index("sample_id")[["annotation_id", "label"]].reindex(samples["sample_id"])
    has_label = by_sample["label"].notna().to_numpy()
    class_names = sorted(by_sample["label"].dropna().unique())
    codes = pd.Categorical(by_sample["label"], categories=class_names).codes.astype(np.int64)
    pairs = duplicates.pairs
    unreadable = pixels.samples[~ok].reset_index(drop=True)
    theirs = version.annotations.set_index("sample_id")[["annotation_id", "label"]].reindex(unreadable["sample_id"])
    for column in theirs:
        unreadable[column] = pd.Series(theirs[column].fillna("").tolist(), dtype="str")
    inputs = Inputs(
        samples=samples,
        annotation_id=np.where(has_label, by_sample["annotation_id"].to_numpy(object), ""),
        labels=codes,
        class_names=class_names,
        unreadable=unreadable,
        duplicate_pairs=pairs.assign(a=position[pairs["a"].to_numpy()], b=position[pairs["b"].to_numpy()]),
        cluster=pd.factorize(duplicates.cluster[readable])[0].astype(np.int64),
    )
    return inputs, readable


def _samples_table(pixels: Pixels, inputs: Inputs) -> pd.DataFrame:
    """samples.parquet: the readable pictures, aligned with the arrays, then the unreadable ones."""
    names = np.asarray([*inputs.class_names, ""], dtype=object)
    readable = inputs.samples.assign(given_label=pd.Series(names[inputs.labels], dtype="str"), cluster=inputs.cluster)
    readable["fold"] = -1 if inputs.fold is None else inputs.fold
    unreadable = inputs.unreadable.rename(columns={"label": "given_label"}).drop(columns="annotation_id")
    unreadable = unreadable.assign(cluster=-1, fold=-1)
    return pd.concat([readable, unreadable], ignore_index=True) if len(unreadable) else readable


def _unreadable_class_notes(inputs: Inputs) -> list[str]:
    lost = sorted(set(inputs.unreadable["label"]) - {"", *inputs.class_names})
    named = ", ".join(repr(name) for name in lost[:5]) + " ..." * (len(lost) > 5)
    return [f"{counted(len(lost), 'class has', 'classes have')} no picture that can be read: {named}."] if lost else []


def _fold_notes(inputs: Inputs, n_folds: int, asked: int) -> list[str]:
    notes = [f"{n_folds} folds, not {asked}: there are no more independent pictures."] if n_folds < asked else []
    size = np.bincount(inputs.labels[inputs.labels >= 0], minlength=len(inputs.class_names))
    small = [inputs.class_names[int(k)] for k in np.flatnonzero(size < n_folds)]
    if small:
        named = ", ".join(repr(name) for name in small[:5]) + " ..." * (len(small) > 5)
        notes.append(
            f"{len(small):,} of {counted(len(size), 'class has', 'classes have')} fewer pictures than there are folds "
            f"({n_folds}), so their labels are judged on thin evidence: {named}."
        )
    assert inputs.statistics is not None
    measured = inputs.extra["accuracy"]
    if measured["in_groups"] and measured["optimism"] is None:
        grouped = counted(
            measured["in_groups"], "labelled picture has copies or shares", "labelled pictures have copies or share"
        )
        notes.append(f"{grouped} a group: no picture was judged by a model that saw one of its copies or its group.")
    unjudged = int(((inputs.labels >= 0) & ~inputs.statistics.judged).sum())
    if unjudged:
        notes.append(
            f"{counted(unjudged, 'label')} could not be judged: all pictures of such a class are in one group, so that "
            f"no model that had learned the class saw them."
        )
    return notes


def _hardware(device: str) -> dict[str, Any]:
    facts = {"device": device, "machine": platform.machine(), "cores": os.cpu_count()}
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _default_name(source: str | Path) -> str:
    text = str(source)
    return text.partition(":")[2] if text.startswith("torchvision:") else Path(text).resolve().stem or "dataset"


class _Clock:
    """Seconds by stage, kept with the run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)
