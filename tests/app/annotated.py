"""Workspaces whose pictures have boxes, or several labels: a finished run, its first version, nothing decided."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from curation import manifest, runs
from curation.detectors import ISSUE_COLUMNS
from curation.records import ANNOTATION_COLUMNS, SAMPLE_COLUMNS, empty_samples, make_annotation_id, make_sample_id

DATASET = "shelf"
SIZE = (200, 150)
CLASSES = ("bottle", "cup", "plate")
PATHS = ("doubled.png", "fine.png", "swapped.png")
IDS = {path.removesuffix(".png"): make_sample_id(path) for path in PATHS}
BOXES = {
    "doubled": [("bottle", (20, 20, 50, 90)), ("bottle", (22, 22, 50, 88)), ("cup", (120, 60, 40, 40))],
    "fine": [("plate", (30, 40, 80, 60))],
    "swapped": [("bottle", (60, 30, 70, 70))],
}
COUNTED = {"doubled": {"bottle": 1, "cup": 2}, "fine": {"plate": 1}, "swapped": {"cup": 4, "plate": 1}}
TAGS = {"doubled": ["bottle", "cup"], "fine": ["plate"], "swapped": ["bottle", "plate"]}


def make_boxed_workspace(
    folder: Path, names: Mapping[str, str] | None = None, more: Sequence[dict[str, Any]] = ()
) -> Path:  # fmt: skip
    """Three pictures: a box drawn twice, a box of the wrong class, and one without a finding.

    names : what classes are called instead; more : findings after these
    """
    names = names or {}
    bottle, cup = (names.get(label, label) for label in ("bottle", "cup"))
    annotations = [
        (name, place, names.get(label, label), box)
        for name, boxes in BOXES.items()
        for place, (label, box) in enumerate(boxes)
    ]
    twin = {
        "value": 0.9,
        "threshold": 0.6,
        "other": f"{IDS['doubled']}-0",
        "other_label": bottle,
        "other_box": [1] * 4,
    }
    belief = {"p_given": 0.02, "top3": [[cup, 0.95]], "neighbours": [], "judged": True}
    findings = [
        finding("doubled", 1, "duplicate_box", bottle, "remove", twin),
        finding("swapped", 0, "label_error", bottle, cup, belief),
        *more,
    ]
    return _make(folder, "detection", annotations, findings)


def make_tagged_workspace(folder: Path) -> Path:
    """Three pictures: a class that is missing, a class too much, and one without a finding."""
    annotations = [(name, place, label, None) for name, labels in TAGS.items() for place, label in enumerate(labels)]
    facts = {"p_there": 0.97, "judged": True}
    findings = [
        finding("doubled", None, "missing_label", "", "plate", {**facts, "class": "plate", "labels": TAGS["doubled"]}),
        finding("swapped", 1, "wrong_label", "plate", "remove", {**facts, "class": "plate", "labels": TAGS["swapped"]}),
    ]
    return _make(folder, "multi-label", annotations, findings)


def make_counted_workspace(folder: Path) -> Path:
    """Three pictures: one bottle too few, three cups too many, and one without a finding."""
    annotations = [
        (name, place, label, None)
        for name, labels in COUNTED.items()
        for place, label in enumerate(label for label, count in labels.items() for _ in range(count))
    ]
    facts = {"at_least": False, "expected": 2.1, "p_given": 0.01, "p_likely": 0.9, "threshold": 0.7}
    findings = [
        finding("doubled", None, "odd_count", "1 x bottle", "3 x bottle",
                {**facts, "class": "bottle", "given": 1, "likely": 3}),
        finding("swapped", None, "odd_count", "4 x cup", "1 x cup", {**facts, "class": "cup", "given": 4, "likely": 1}),
    ]  # fmt: skip
    return _make(folder, "counts", annotations, findings)


def finding(
    name: str, place: int | None, issue: str, given: str, suggestion: str, evidence: Mapping[str, Any]
) -> dict[str, Any]:
    key = "" if place is None else make_annotation_id(IDS[name], place)
    return {"sample_id": IDS[name], "annotation_id": key, "issue": issue, "score": 0.1, "is_issue": True,
            "given_label": given, "suggestion": suggestion, "evidence": json.dumps(evidence)}  # fmt: skip


def _make(folder: Path, task: str, annotations: Sequence[tuple[Any, ...]], findings: list[dict[str, Any]]) -> Path:
    root = folder / "pictures"
    root.mkdir(parents=True)
    for path in PATHS:
        picture = Image.new("RGB", SIZE, (230, 225, 210))
        for label, (x, y, w, h) in BOXES[path.removesuffix(".png")]:
            colour = {"bottle": (40, 120, 60), "cup": (170, 60, 60), "plate": (70, 90, 170)}[label]
            ImageDraw.Draw(picture).ellipse((x, y, x + w, y + h), fill=colour)
        picture.save(root / path)
    samples = empty_samples(len(PATHS))
    samples["sample_id"], samples["path"] = [make_sample_id(path) for path in PATHS], list(PATHS)
    samples["content_hash"] = [f"{number:032x}" for number in range(len(PATHS))]
    samples["status"], samples["format"] = "ok", "PNG"
    samples["width_px"], samples["height_px"] = SIZE
    samples = samples.astype(SAMPLE_COLUMNS)
    table = pd.DataFrame(
        [
            {"annotation_id": make_annotation_id(IDS[name], place), "sample_id": IDS[name], "label": label,
             **dict(zip("xywh", box or [float("nan")] * 4, strict=True)), "attributes": ""}
            for name, place, label, box in annotations
        ]
    ).astype(ANNOTATION_COLUMNS)  # fmt: skip
    source = {"format": "test", "task": task}
    manifest.write_first(samples, table, manifest.manifest_folder(folder, DATASET), author="test", message="made",
                         source=source)  # fmt: skip
    issues = pd.DataFrame(findings).assign(rank=range(1, len(findings) + 1))
    texts = {name: "str" for name in ISSUE_COLUMNS if name not in ("score", "is_issue", "rank")}
    facts = {
        "dataset": DATASET, "root": str(root), "classes": list(CLASSES), "manifest_version": "v0001", "task": task,
        "samples": len(PATHS), "issues": issues["issue"].value_counts().to_dict(),
    }  # fmt: skip
    with runs.open_partial(folder, f"{DATASET}-0") as partial:
        partial.write_table("samples", samples.assign(given_label="", cluster=range(len(PATHS)), sharpness=5.0))
        partial.write_table(
            "issues", issues[list(ISSUE_COLUMNS)].astype({**texts, "score": "float64", "rank": "int64"})
        )
        if task == "detection":
            partial.write_table("boxes", table.drop(columns="attributes").assign(fold=0))
            partial.write_array("box_neighbours", _others(table["sample_id"].tolist()))
        runs.finish(partial, facts)
    return folder


def _others(owners: Sequence[str]) -> np.ndarray:
    """Of each box two in other pictures, as its nearest ones."""
    return np.array([[row for row, name in enumerate(owners) if name != own][:2] for own in owners], dtype=np.int64)
