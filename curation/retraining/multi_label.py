"""A network for use that says yes or no to each class of a picture, with a threshold per class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.pixels import Pixels
from curation.progress import Progress
from curation.proving.compare import compare_sets
from curation.proving.contract import Material
from curation.proving.holdout import draw_parts
from curation.proving.multi_label import check_learnable, truth_of
from curation.proving.versions import AFTER
from curation.retraining.contract import Kind, Learnt, Model
from curation.retraining.single_label import assemble, logits_of, normalisation
from curation.training.label_sets import trainable
from curation.training.set_scale import SetScale

# A column of probabilities is called so, and then as its class: that may be called `path`, too.
PROBABILITY = "probability "


def learn(material: Material, folder: Path) -> Learnt:
    """Train on all that may be learnt. Probabilities and thresholds are those of a first network, which learns four
    fifths of it, on the last fifth.

    Raises
    ------
    SettingsError : no class is in some pictures and not in others; or training failed.
    """
    from curation.training.holdout import answers, ask_sets, pictures_per_trial, prepare, train

    versions, holdout, plan, seed = material.versions, material.holdout, material.plan, material.settings.seed
    labels = np.where(material.learnable[:, None], material.labels[AFTER], -1).astype(np.int8)
    check_learnable(labels, f"{material.settings.after}")
    tuning = draw_parts(labels, material.units(np.arange(len(labels))), seed) == 0
    images, count = material.pixels.gather(material.rows), int(trainable(labels).sum())
    trials = prepare(images, holdout.rows, len(versions.classes), plan, folder, material.progress)
    total = 2 * pictures_per_trial(trials, count)
    with material.progress.stage("Training", total, "views of pictures") as advance:
        _, scale = ask_sets(trials, labels, tuning, seed, advance)
        trained = train(trials, labels, seed, advance)
    measured = None
    if len(holdout.rows):
        logits = answers(trained, images, holdout.rows, plan, material.progress)
        said = [(scale.probabilities(logits), scale.threshold)]
        measured = compare_sets(truth_of(versions, holdout), said, said, material.units(holdout.rows))
    scaled = {"slope": scale.slope, "offset": scale.offset.tolist(), "threshold": scale.threshold.tolist()}
    return Learnt(trained.net.state_dict(), count, measured, {**normalisation(trained), "scale": scaled})


def predict(model: Model, pixels: Pixels, progress: Progress) -> pd.DataFrame:
    """path, `labels` (a JSON list of the classes whose probability reaches its threshold), a column of probabilities
    for each class, reason; a picture that cannot be read has no list and no probability."""
    said = model.facts["scale"]
    scale = SetScale(said["slope"], *(np.asarray(said[name], dtype=np.float32) for name in ("offset", "threshold")))
    readable, logits = logits_of(model, pixels, progress)
    probs = np.full((len(pixels.samples), len(model.facts["classes"])), np.nan, dtype=np.float32)
    probs[readable] = scale.probabilities(logits)
    table = pd.DataFrame({"path": pixels.samples["path"].to_numpy()})
    lists = np.full(len(table), "", dtype=object)
    for row in readable.tolist():
        there = np.flatnonzero(probs[row] >= scale.threshold)
        lists[row] = json.dumps([model.facts["classes"][k] for k in there], ensure_ascii=False)
    named: dict[str, Any] = {PROBABILITY + name: probs[:, k] for k, name in enumerate(model.facts["classes"])}
    table = pd.concat([table.assign(labels=pd.Series(lists, dtype="str")), pd.DataFrame(named)], axis=1)
    return table.assign(reason=pixels.samples["reason"].to_numpy(dtype=object))


KIND = Kind("Classifier of several labels", learn, assemble, predict)
