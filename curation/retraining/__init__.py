"""One network for use, trained on a version, written with what it needs; and asked about new pictures.

DIR/weights.safetensors   the network's tensors          DIR/model.json   what they are, classes in order, measurements
DIR/README.md             a model card                   model.json is written last: it says "complete"

What is trained, and what it says, is in one file per task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curation
from curation.datasets import Dataset
from curation.errors import SettingsError, WeightsError
from curation.manifest.version_files import read_header
from curation.pixels import decode
from curation.progress import SILENT, Progress
from curation.proving import check_task, prover_of, with_units
from curation.proving.contract import Material, ProofSettings
from curation.proving.holdout import HoldOut, choose_holdout, overlapping
from curation.proving.versions import AFTER, BEFORE, Versions, read_versions
from curation.records import Records, empty_annotations, empty_samples, make_sample_id
from curation.retraining import boxes, multi_label, single_label
from curation.retraining.contract import Kind, Learnt
from curation.retraining.contract import Model as Model
from curation.retraining.files import FORMAT, check_output, read_model, write_model
from curation.run_key import plain
from curation.status import source_root
from curation.training.label_sets import trainable
from curation.training.plan import Plan, TrainingSettings
from curation.training.planning import plan_for

KINDS: dict[str, Kind] = {
    "single-label": single_label.KIND,
    "multi-label": multi_label.KIND,
    "detection": boxes.KIND,
}


@dataclass(frozen=True)
class RetrainSettings(TrainingSettings):
    """version : what to learn; holdout : what to measure on, see curation.proving.holdout ("none" = learn everything);
    detector_epochs : of boxes: passes of the detector; the others as for `score`."""

    version: str
    holdout: str = ""
    detector_epochs: int = 0


def retrain(
    workspace: Path, dataset: Dataset, settings: RetrainSettings, output: Path, progress: Progress = SILENT
) -> dict[str, Any]:
    """Train one network on a version and write it into the folder `output`; gives what model.json says.

    Raises
    ------
    NotFoundError : no such version, split or file.
    SettingsError : the hold-out overlaps what is trained on, or `output` holds something else.
    WorkspaceError : the source is gone, or `output` cannot be written.
    """
    check_output(output)
    check_task(dataset, settings.version)
    versions = read_versions(dataset, settings.version, settings.version)
    prover = prover_of(versions.task, settings.detector_epochs)
    cache = workspace / ".curate" / "cache"
    records = versions.records(source_root(workspace, dataset))
    plan = plan_for(settings, records, workspace)
    pixels = decode(records, plan.size_px, cache, progress)
    versions, readable = with_units(versions, pixels, cache, progress)
    labels = prover.picture_labels(versions, AFTER)
    holdout = _holdout(versions, labels, settings)
    learnable = np.ones(len(readable), dtype=bool)
    learnable[holdout.rows] = False
    _refuse_overlap(versions, trainable(labels), holdout)
    said = ProofSettings(
        settings.version, settings.version, holdout=settings.holdout, seeds=1, seed=settings.seed,
        detector_epochs=settings.detector_epochs,
    )  # fmt: skip
    both = {BEFORE: labels, AFTER: labels}
    material = Material(versions, both, holdout, learnable, None, pixels, readable, plan, said, cache, progress)
    folder = workspace / ".curate" / "proofs" / f"features-{plan.mode}"
    folder.mkdir(parents=True, exist_ok=True)
    kind = KINDS[versions.task]
    learnt = kind.learn(material, folder)
    facts: dict[str, Any] = plain(
        {
            "format": FORMAT,
            "task": versions.task,
            "dataset": dataset.name,
            "version": settings.version,
            "version_hash": read_header(dataset.folder, settings.version)["hash"],
            "classes": versions.classes,
            "plan": _plan_facts(plan),
            **learnt.facts,
            "seed": settings.seed,
            "trained_on": learnt.trained_on,
            "metrics": _metrics(versions.classes, holdout, learnt),
            "curate": curation.__version__,
        }
    )
    write_model(output, learnt.state, facts, kind.what)
    return facts


def _plan_facts(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan), "why": list(plan.why), "weights": plan.weights if not plan.weights_hash else "file"}


def _holdout(versions: Versions, labels: np.ndarray, settings: RetrainSettings) -> HoldOut:
    """What is measured on; unlike a proof, nothing is taken out of the training where there is no such split."""
    splits = set(versions.samples["split"])
    if settings.holdout == "none" or (not settings.holdout and not splits & {"test", "val"}):
        return HoldOut(np.zeros(0, dtype=np.int64), versions.annotations[AFTER][:0], "none")
    return choose_holdout(versions, settings.holdout, labels, settings.seed)


def _refuse_overlap(versions: Versions, trained: np.ndarray, holdout: HoldOut) -> None:
    both = overlapping(holdout, trained, versions.samples["unit"].to_numpy(dtype=np.int64))
    if len(both):
        raise SettingsError(
            f"The hold-out ({holdout.name}) overlaps the training data: {len(both):,} pictures that would be trained "
            f"on are copies of pictures in it, the first is {versions.samples['path'].iat[int(both[0])]!r}. Settle "
            "those duplicates, or measure nothing: --holdout none."
        )


def _metrics(classes: list[str], holdout: HoldOut, learnt: Learnt) -> dict[str, Any] | None:
    found = learnt.measured
    if found is None:
        return None
    return {
        "holdout": holdout.name,
        "pictures": len(holdout.rows),
        **{name: change.after for name, change in found.measures.items()},
        found.class_measure: {classes[k]: change.after for k, change in found.by_class.items()},
    }


def open_model(folder: Path, device: str = "auto") -> Model:
    """Read a model; nothing in it is ever unpickled.

    Raises
    ------
    NotFoundError : there is none.
    WeightsError : it is damaged, or of another format.
    """

    def assemble(facts: dict[str, Any], plan: Plan, tensors: dict[str, Any]) -> Any:
        return _kind_of(facts).assemble(facts, plan, tensors)

    network, facts, plan = read_model(folder, device, assemble)
    return Model(network, facts, plan)


def _kind_of(facts: dict[str, Any]) -> Kind:
    task = str(facts.get("task", "single-label"))  # models of before there were others do not say
    if task not in KINDS:
        raise WeightsError(f"This is a model for {task[:50]!r}, which this version of curate does not know.")
    return KINDS[task]


def predict(
    model: Model, root: Path, paths: Sequence[str], workspace: Path, progress: Progress = SILENT
) -> pd.DataFrame:
    """What a model sees in pictures.

    Parameters
    ----------
    paths : relative to `root`, in text form (curation.records.path_to_text)

    Returns
    -------
    path, what is seen (see `predict` in the task's file), and `reason`, why a picture could not be read.
    """
    ids = [make_sample_id(path) for path in paths]
    samples = empty_samples(len(paths)).assign(sample_id=pd.Series(ids, dtype="str"), status="ok")
    samples["path"] = pd.Series(list(paths), dtype="str")
    records = Records(samples, empty_annotations(), root, "pictures")
    pixels = decode(records, model.plan.size_px, workspace / ".curate" / "cache", progress)
    return _kind_of(model.facts).predict(model, pixels, progress)
