"""A network for use that names one class of each picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curation.pixels import Pixels
from curation.progress import Progress
from curation.proving.compare import compare
from curation.proving.contract import Material
from curation.proving.single_label import truth_of
from curation.proving.versions import AFTER, need_two_classes
from curation.retraining.contract import Kind, Learnt, Model
from curation.training.plan import Plan

if TYPE_CHECKING:
    from curation.training.holdout import Trained

SUGGESTED = 3


def learn(material: Material, folder: Path) -> Learnt:
    """Train on the first label of each picture.

    Raises
    ------
    SettingsError : there is one class only; or training failed.
    """
    from curation.training.holdout import answers, pictures_per_trial, prepare, train

    versions, holdout, plan, seed = material.versions, material.holdout, material.plan, material.settings.seed
    need_two_classes(versions.classes, material.settings.before, material.settings.after)
    labels = np.where(material.learnable, material.labels[AFTER], -1)
    images, count = material.pixels.gather(material.rows), int((labels >= 0).sum())
    trials = prepare(images, holdout.rows, len(versions.classes), plan, folder, material.progress)
    with material.progress.stage("Training", pictures_per_trial(trials, count), "views of pictures") as advance:
        trained = train(trials, labels, seed, advance)
    measured = None
    if len(holdout.rows):
        said = answers(trained, images, holdout.rows, plan, material.progress).argmax(axis=1)[None]
        measured = compare(truth_of(versions, holdout), said, said, material.units(holdout.rows))
    return Learnt(trained.net.state_dict(), count, measured, normalisation(trained))


def normalisation(trained: Trained) -> dict[str, Any]:
    """What model.json says of how pictures are prepared."""
    return {"mean": trained.mean.tolist(), "std": trained.std.tolist()}


def assemble(facts: dict[str, Any], plan: Plan, tensors: dict[str, Any]) -> Trained:
    """The network with its weights."""
    import torch

    from curation.training.holdout import Trained, empty_network

    net = empty_network(plan, len(facts["classes"]))
    net.load_state_dict(tensors)
    mean, std = (torch.tensor(facts[name], device=plan.device) for name in ("mean", "std"))
    return Trained(net.to(plan.device), mean, std)


def logits_of(model: Model, pixels: Pixels, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Which pictures could be read (n,), and the logits (n, K) of these."""
    from curation.training.holdout import answers

    readable = np.flatnonzero((pixels.samples["status"] == "ok").to_numpy())
    images = pixels.gather(readable)
    return readable, answers(model.network, images, np.arange(len(readable)), model.plan, progress)


def predict(model: Model, pixels: Pixels, progress: Progress) -> pd.DataFrame:
    """path, label, probability in [0, 1], label_2, probability_2, label_3, probability_3, reason; a picture that cannot
    be read has no label."""
    readable, logits = logits_of(model, pixels, progress)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    names = np.asarray(model.facts["classes"], dtype=object)
    order = np.argsort(-probs, axis=1, kind="stable")[:, :SUGGESTED]
    table = pd.DataFrame({"path": pixels.samples["path"].to_numpy()})
    for place in range(min(SUGGESTED, len(names))):
        mark = f"_{place + 1}" if place else ""
        label, share = np.full(len(table), "", dtype=object), np.full(len(table), np.nan)
        label[readable] = names[order[:, place]]
        share[readable] = probs[np.arange(len(order)), order[:, place]]
        table[f"label{mark}"], table[f"probability{mark}"] = pd.Series(label, dtype="str"), share
    return table.assign(reason=pixels.samples["reason"].to_numpy(dtype=object))


KIND = Kind("Classifier", learn, assemble, predict)
