"""One network for use, trained on a version, written with what it needs; and asked about new pictures.

DIR/weights.safetensors   the network's tensors          DIR/model.json   what they are, classes in order, measurements
DIR/README.md             a model card                   model.json is written last: it says "complete"
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curation
from curation.datasets import Dataset
from curation.errors import NotFoundError, SettingsError, WeightsError
from curation.explain import visible
from curation.files import write_atomic, write_json
from curation.manifest.version_files import read_header
from curation.pixels import Pixels, decode
from curation.progress import SILENT, Progress
from curation.proving import PROVERS, check_task, with_units
from curation.proving.compare import compare
from curation.proving.holdout import HoldOut, choose_holdout, overlapping
from curation.proving.single_label import truth_of
from curation.proving.versions import AFTER, Versions, read_versions
from curation.records import Records, empty_annotations, empty_samples, make_sample_id
from curation.run_key import plain
from curation.status import source_root
from curation.training.plan import Plan, TrainingSettings, choose_plan
from curation.training.planning import plan_for

FORMAT = "curate-model-1"
SUGGESTED = 3


@dataclass(frozen=True)
class RetrainSettings(TrainingSettings):
    """version : what to learn; holdout : what to measure on, see curation.proving.holdout ("none" = learn everything);
    the others as for `score`."""

    version: str
    holdout: str = ""


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
    from curation.training.holdout import answers, pictures_per_trial, prepare, train

    _check_output(output)
    check_task(dataset, settings.version)
    versions = read_versions(dataset, settings.version, settings.version)
    cache = workspace / ".curate" / "cache"
    records = versions.records(source_root(workspace, dataset))
    plan = plan_for(settings, records, workspace)
    pixels = decode(records, plan.size_px, cache, progress)
    versions, readable = with_units(versions, pixels, cache, progress)
    samples, classes = versions.samples, versions.classes
    labels = PROVERS[versions.task].picture_labels(versions, AFTER)
    holdout = _holdout(versions, labels, settings)
    labels[holdout.rows] = -1
    _refuse_overlap(samples, labels, holdout)

    folder = workspace / ".curate" / "proofs" / f"features-{plan.mode}"
    folder.mkdir(parents=True, exist_ok=True)
    images = pixels.gather(readable)
    trials = prepare(images, holdout.rows, len(classes), plan, folder, progress)
    count = int((labels >= 0).sum())
    with progress.stage("Training", pictures_per_trial(trials, count)) as advance:
        trained = train(trials, labels, settings.seed, advance)
    said = answers(trained, images, holdout.rows, plan, progress).argmax(axis=1)
    facts = {
        "format": FORMAT,
        "dataset": dataset.name,
        "version": settings.version,
        "version_hash": read_header(dataset.folder, settings.version)["hash"],
        "classes": classes,
        "plan": {**asdict(plan), "why": list(plan.why), "weights": plan.weights if not plan.weights_hash else "file"},
        "mean": trained.mean.tolist(),
        "std": trained.std.tolist(),
        "seed": settings.seed,
        "trained_on": count,
        "metrics": _metrics(versions, holdout, said),
        "curate": curation.__version__,
    }
    _write(output, trained.net.state_dict(), plain(facts))
    return plain(facts)  # type: ignore[no-any-return]


def _holdout(versions: Versions, labels: np.ndarray, settings: RetrainSettings) -> HoldOut:
    """What is measured on; unlike a proof, nothing is taken out of the training where there is no such split."""
    splits = set(versions.samples["split"])
    if settings.holdout == "none" or (not settings.holdout and not splits & {"test", "val"}):
        return HoldOut(np.zeros(0, dtype=np.int64), versions.annotations[AFTER][:0], "none")
    return choose_holdout(versions, settings.holdout, labels, settings.seed)


def _refuse_overlap(samples: pd.DataFrame, labels: np.ndarray, holdout: HoldOut) -> None:
    both = overlapping(holdout, labels >= 0, samples["unit"].to_numpy(dtype=np.int64))
    if len(both):
        raise SettingsError(
            f"The hold-out ({holdout.name}) overlaps the training data: {len(both):,} pictures that would be trained "
            f"on are copies of pictures in it, the first is {samples['path'].iat[int(both[0])]!r}. Settle those "
            "duplicates, or measure nothing: --holdout none."
        )


def _metrics(versions: Versions, holdout: HoldOut, said: np.ndarray) -> dict[str, Any] | None:
    if not len(holdout.rows):
        return None
    units = versions.samples["unit"].to_numpy(dtype=np.int64)[holdout.rows]
    found = compare(truth_of(versions, holdout), said[None], said[None], units)
    return {
        "holdout": holdout.name,
        "pictures": len(holdout.rows),
        **{name: change.after for name, change in found.measures.items()},
        found.class_measure: {versions.classes[k]: change.after for k, change in found.by_class.items()},
    }


def _check_output(output: Path) -> None:
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / "model.json").exists())):
        raise SettingsError(f"{output} is there already and no model of curate: choose another --output.")


def _write(output: Path, state: dict[str, Any], facts: dict[str, Any]) -> None:
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    (output / "model.json").unlink(missing_ok=True)  # from here on until it is written again, nothing is complete
    content = save(tensors, {"format": FORMAT})
    option = "--output DIR"
    write_atomic(output / "weights.safetensors", lambda stream: stream.write(content), "weights", option=option)
    card = _card(facts).encode()
    write_atomic(output / "README.md", lambda stream: stream.write(card), "card", option=option)
    write_json(output / "model.json", facts, "model")


def _card(facts: dict[str, Any]) -> str:
    """The model card, in Markdown; names from outside are code, so that nothing in them is markup."""
    plan, metrics = facts["plan"], facts["metrics"]
    lines = [
        f"# Classifier of {_code(facts['dataset'])}",
        "",
        f"Trained by curate {facts['curate']} on version {_code(facts['version'])} of {_code(facts['dataset'])} "
        f"(`{facts['version_hash']}`): {facts['trained_on']:,} pictures, {len(facts['classes']):,} classes, seed "
        f"{facts['seed']}.",
        "",
        f"- mode {_code(plan['mode'])}, network {_code(plan['model'])}, {plan['epochs']} passes, pictures of "
        f"{plan['size_px']} x {plan['size_px']} px",
        "- `weights.safetensors`: the tensors; `model.json`: everything needed to use them; `curate predict` does",
        "- labels are those of the version: what is wrong there was learnt, too",
        "",
        "## Measured",
        "",
    ]
    if metrics is None:
        lines.append("Nothing: there was no hold-out.")
    else:
        lines += [
            f"On {metrics['pictures']:,} pictures ({_code(metrics['holdout'])}), of which nothing was trained on: "
            f"accuracy {metrics['accuracy']:.1%}, macro F1 {metrics['macro_f1']:.1%}.",
            "",
            "| class | recognised |",
            "|---|---|",
            *(f"| {_code(name)} | {share:.1%} |" for name, share in metrics["recall"].items()),
        ]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Text as Markdown code, whatever is in it."""
    safe = visible(text, 200).replace("|", "\u2223").replace("`", "\u02cb")
    return f"`{safe or ' '}`"


# --- use -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Model:
    """A network that `retrain` wrote, with its facts (model.json)."""

    network: Any
    facts: dict[str, Any]
    plan: Plan


def open_model(folder: Path, device: str = "auto") -> Model:
    """Read a model; nothing in it is ever unpickled.

    Raises
    ------
    NotFoundError : there is none.
    WeightsError : it is damaged, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from curation.training.holdout import Trained, empty_network

    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise WeightsError(f"{folder} is a model of format {str(facts['format'])[:50]!r}, not {FORMAT}.")
        fields = {name: facts["plan"][name] for name in Plan.__dataclass_fields__}
        chosen = choose_plan("compact", device=device).device
        plan = Plan(**{**fields, "device": chosen, "weights": "none", "why": ()})
        import torch

        net = empty_network(plan, len(facts["classes"]))
        net.load_state_dict(load_file(folder / "weights.safetensors"))
        trained = Trained(net.to(chosen), *(torch.tensor(facts[name], device=chosen) for name in ("mean", "std")))
    except FileNotFoundError as error:
        raise NotFoundError(f"{folder} holds no model; make one with: curate retrain --output DIR") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"The model in {folder} is damaged: {str(error).splitlines()[0][:200]}") from error
    return Model(trained, facts, plan)


def predict(
    model: Model, root: Path, paths: Sequence[str], workspace: Path, progress: Progress = SILENT
) -> pd.DataFrame:
    """What a model sees in pictures.

    Parameters
    ----------
    paths : relative to `root`, in text form (curation.records.path_to_text)

    Returns
    -------
    path, label, probability in [0, 1], label_2, probability_2, label_3, probability_3; a picture that cannot be read
    has no label, and `reason` says why.
    """
    from curation.training.holdout import answers

    ids = [make_sample_id(path) for path in paths]
    samples = empty_samples(len(paths)).assign(sample_id=pd.Series(ids, dtype="str"), status="ok")
    samples["path"] = pd.Series(list(paths), dtype="str")
    records = Records(samples, empty_annotations(), root, "pictures")
    pixels: Pixels = decode(records, model.plan.size_px, workspace / ".curate" / "cache", progress)
    readable = np.flatnonzero((pixels.samples["status"] == "ok").to_numpy())
    images = pixels.gather(readable)
    logits = answers(model.network, images, np.arange(len(images)), model.plan, progress)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    names = np.asarray(model.facts["classes"], dtype=object)
    order = np.argsort(-probs, axis=1, kind="stable")[:, :SUGGESTED]
    table = pd.DataFrame({"path": list(paths)})
    for place in range(min(SUGGESTED, len(names))):
        mark = f"_{place + 1}" if place else ""
        label, share = np.full(len(paths), "", dtype=object), np.full(len(paths), np.nan)
        label[readable] = names[order[:, place]]
        share[readable] = probs[np.arange(len(order)), order[:, place]]
        table[f"label{mark}"], table[f"probability{mark}"] = pd.Series(label, dtype="str"), share
    table["reason"] = pixels.samples["reason"].to_numpy(dtype=object)
    return table
