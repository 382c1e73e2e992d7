"""Versions of data sets of boxes or labels, out in a format, and in again as a stranger would read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.datasets import Dataset
from curation.export import ExportSettings, export
from curation.export_table import NAME
from curation.importers import load
from curation.manifest import manifest_folder, write_first
from curation.pixels import decode
from curation.records import Records, empty_annotations, make_annotation_id, source_facts

SHARED = Path(__file__).parents[2] / "shared" / "data"
SLACK_PX = 0.01


def first_version(records: Records, workspace: Path) -> Dataset:
    """A data set whose first version is these records, decoded."""
    dataset = Dataset("set", manifest_folder(workspace, "set"))
    samples = decode(records, 16, workspace / ".curate" / "cache").samples[list(records.samples)]
    write_first(
        samples, records.annotations, dataset.folder, source=source_facts(records),
        author="me", message="first", dataset="set",
    )  # fmt: skip
    return dataset


def export_plain(dataset: Dataset, format_name: str, dest: Path, workspace: Path, source: Path, **options: Any) -> Path:
    """Export, and take away what tells our own exports: the format's own reader has to make do."""
    export(dest, ExportSettings(format_name, source=source, **options), workspace, dataset)
    (dest / NAME).unlink()
    return dest


def there_and_back(
    records: Records, name: str, folder: Path, dataset: Dataset | None = None, **options: Any
) -> Records:
    """Records -> version -> export -> import by the format's own importer."""
    workspace = folder / "workspace"
    dataset = dataset or first_version(records, workspace)
    dest = export_plain(dataset, name, folder / f"out-{name}", workspace, records.root, **options)
    single = name == "csv" and records.task == "single-label"
    return load(dest / "labels.csv" if single else dest, workspace=workspace)


# --- what is compared: files by their bytes, annotations in their order ---------------------------------------------


def said(records: Records, workspace: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Hash of the bytes -> (split, [(label, box or None)]) of each picture that has them."""
    samples = decode(records, 16, workspace / "cache-of-round-trips").samples
    assert (samples["status"] == "ok").all(), samples["reason"].tolist()
    of_sample: dict[str, list[tuple[Any, ...]]] = {}
    for row in records.annotations.itertuples():
        box = None if row.x != row.x else (row.x, row.y, row.w, row.h)
        of_sample.setdefault(str(row.sample_id), []).append((row.label, box))
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in samples.itertuples():
        marks = of_sample.get(str(row.sample_id), [])
        if any(box is None for _, box in marks):
            marks = sorted(marks, key=str)  # labels of a whole picture have no order
        found.setdefault(str(row.content_hash), []).append((row.split, marks))
    for rows in found.values():
        rows.sort(key=lambda one: (one[0], [(label, box and [round(v, 1) for v in box]) for label, box in one[1]]))
    return found


def assert_same(before: Mapping[str, Any], after: Mapping[str, Any], splits: bool = True) -> None:
    """Equal pictures with equal splits and labels, and boxes to SLACK_PX."""
    assert before.keys() == after.keys()
    for key, rows in before.items():
        assert len(rows) == len(after[key])
        for (split, marks), (other_split, other_marks) in zip(rows, after[key], strict=True):
            assert not splits or split == other_split
            assert [label for label, _ in marks] == [label for label, _ in other_marks]
            for (_, box), (_, other) in zip(marks, other_marks, strict=True):
                assert (box is None) == (other is None)
                if box is not None:
                    assert max(abs(a - b) for a, b in zip(box, other, strict=True)) < SLACK_PX, (box, other)


def attributes(records: Records) -> list[dict[str, Any]]:
    """The attributes of every annotation, in the order of pictures' bytes and of the annotations."""
    return [json.loads(text) if text else {} for text in records.annotations["attributes"]]


# --- or pictures by their pixels, annotations in any order, attributes ----------------------------------------------


def told(records: Records, cache: Path, without: tuple[str, ...] = ()) -> dict[str, tuple[Any, ...]]:
    """Pixel hash of each picture -> split, attributes, and its annotations as (label, box or None, attributes), sorted.

    without : keys of attributes that are left out, since a format numbers anew
    """
    pixels = decode(records, 16, cache)
    annotations: dict[str, list[Any]] = {}
    for row in records.annotations.to_dict("records"):
        box = None if np.isnan(row["x"]) else tuple(row[name] for name in "xywh")
        annotations.setdefault(row["sample_id"], []).append((row["label"], box, _facts(row["attributes"], without)))
    found: dict[str, tuple[Any, ...]] = {}
    for row in pixels.samples.to_dict("records"):
        assert row["status"] == "ok", row
        own = sorted(annotations.get(row["sample_id"], []), key=str)
        found.setdefault(row["pixel_hash"], (row["split"], _facts(row["sample_attributes"], without), own))
    return found


def same_boxes(one: dict[str, tuple[Any, ...]], other: dict[str, tuple[Any, ...]], px: float = 1e-6) -> bool:
    """Whether two of `told` say the same, boxes to `px` pixels, whatever the order and the attributes."""
    if one.keys() != other.keys():
        return False
    return all(
        one[key][0] == other[key][0]
        and len(one[key][2]) == len(other[key][2])
        and _matched([(mark[0], mark[1]) for mark in one[key][2]], [(mark[0], mark[1]) for mark in other[key][2]], px)
        for key in one
    )


def _facts(text: str, without: tuple[str, ...]) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return {key: one for key, one in value.items() if key not in without}


def _matched(ones: list[Any], others: list[Any], px: float) -> bool:
    """Whether each of `ones` has its own counterpart in `others`."""
    left = list(others)
    for label, box in ones:
        fits = (k for k, (name, twin) in enumerate(left) if name == label and _near(box, twin, px))
        found = next(fits, None)
        if found is None:
            return False
        del left[found]
    return True


def _near(box: Any, twin: Any, px: float) -> bool:
    if box is None or twin is None:
        return box is twin
    return max(abs(a - b) for a, b in zip(box, twin, strict=True)) <= px


# --- records ---------------------------------------------------------------------------------------------------------


def with_annotations(records: Records, rows: list[dict[str, Any]], task: str, classes: list[str]) -> Records:
    """`records` with other annotations: each row with `sample` (its number), `label`, and x, y, w, h where it has a
    box, perhaps `attributes`."""
    table = empty_annotations(len(rows))
    ids = records.samples["sample_id"].tolist()
    counts: dict[str, int] = {}
    names, owners = [], []
    for row in rows:
        owner = ids[row["sample"]]
        counts[owner] = counts.get(owner, -1) + 1
        owners.append(owner)
        names.append(make_annotation_id(owner, counts[owner]))
    table["sample_id"] = pd.Series(owners, dtype="str")
    table["annotation_id"] = pd.Series(names, dtype="str")
    table["label"] = pd.Series([row["label"] for row in rows], dtype="str")
    table["attributes"] = pd.Series([json.dumps(row.get("attributes", {})) for row in rows], dtype="str")
    for name in "xywh":
        table[name] = pd.Series([row.get(name, float("nan")) for row in rows], dtype="float64")
    return replace(records, annotations=table, task=task, classes=tuple({"name": label} for label in classes))
