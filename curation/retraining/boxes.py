"""A detector for use: where objects are in pictures, and what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.errors import SettingsError
from curation.pixels import Pixels
from curation.progress import Progress
from curation.proving.box_arms import SIDES, box_table, version_lesson
from curation.proving.contract import Answer, Material
from curation.proving.detectors import ask_about, compare_boxes, detector_task
from curation.proving.versions import AFTER
from curation.retraining.contract import Kind, Learnt, Model
from curation.training.plan import Plan


def learn(material: Material, folder: Path) -> Learnt:
    """Train a detector on the boxes of all that may be learnt, background included.

    Raises
    ------
    SettingsError : there are no boxes, or the number of passes was not said.
    """
    from curation.training.detector import backbone_of, learn

    settings, holdout = material.settings, material.holdout
    if not settings.detector_epochs:
        raise SettingsError(
            "Pictures with boxes are learnt by a detector; say how many passes it shall make: --detector EPOCHS. (One "
            "that only names what is in a given box would be of no use on new pictures.)"
        )
    lesson = version_lesson(material, AFTER)
    if lesson.boxes.empty:
        raise SettingsError(f"{settings.after} has no boxes in what can be learnt.")
    sizes = material.pixels.samples[["width_px", "height_px"]].to_numpy(dtype=np.float64)[material.rows]
    task = detector_task(material, lesson, sizes, settings.seed)
    count = int(lesson.pictures.sum())
    total = settings.detector_epochs * count + len(holdout.rows)
    with material.progress.stage("Training", total, "views of pictures") as advance:
        net = learn(task, np.flatnonzero(lesson.pictures), settings.seed, advance)
        measured = None
        if len(holdout.rows):
            truth = box_table(holdout.annotations, material.versions)
            truth = truth.assign(row=np.searchsorted(holdout.rows, truth["row"]))
            said: list[Answer] = [ask_about(task, net, holdout.rows, advance)]
            measured = compare_boxes(truth, said, said, material.units(holdout.rows))
    facts = {"backbone": backbone_of(material.plan)[0], "detector_epochs": settings.detector_epochs}
    return Learnt(net.state_dict(), count, measured, facts)


def assemble(facts: dict[str, Any], plan: Plan, tensors: dict[str, Any]) -> Any:
    """The detector with its weights."""
    from curation.training.detector import empty_detector

    net = empty_detector(facts["backbone"], "none", len(facts["classes"]))
    net.load_state_dict(tensors)
    return net.to(plan.device)


def predict(model: Model, pixels: Pixels, progress: Progress) -> pd.DataFrame:
    """A row per box: path, label, x, y, w, h in pixels of the upright picture, score in [0, 1], reason. A picture in
    which nothing is found, or that cannot be read, has one row without a label."""
    from curation.training.detector import DetectorTask, look

    samples, none = pixels.samples, np.zeros(0, dtype=np.int64)
    task = DetectorTask(
        pixels.root, samples["path"].tolist(), samples[["width_px", "height_px"]].to_numpy(np.float64), none, none,
        np.zeros((0, 4)), none, len(model.facts["classes"]), model.plan, 0, 0, Path(), progress,
    )  # fmt: skip
    readable = np.flatnonzero((samples["status"] == "ok").to_numpy())
    with progress.stage("Looking", len(readable), "pictures") as advance:
        found = look(task, model.network, readable, advance)
    names = np.asarray(model.facts["classes"], dtype=object)
    found = found.assign(label=pd.Series(names[found["class_id"].to_numpy()], dtype="str"))
    every = pd.DataFrame({"row": np.arange(len(samples))}).merge(found, on="row", how="left")
    every["label"] = every["label"].fillna("")
    every["path"], every["reason"] = (samples[name].to_numpy()[every["row"]] for name in ("path", "reason"))
    return every[["path", "label", *SIDES, "score", "reason"]]


def coco_results(found: pd.DataFrame) -> list[dict[str, Any]]:
    """What `predict` gives in the format of COCO's results, which `curate score --predictions` reads: pictures and
    classes by their names."""
    boxes = found[found["label"] != ""]
    return [
        {
            "image_id": row["path"],
            "category_id": row["label"],
            "bbox": [round(float(row[name]), 3) for name in SIDES],
            "score": round(float(row["score"]), 6),
        }
        for row in boxes.to_dict("records")
    ]


KIND = Kind("Detector", learn, assemble, predict)
