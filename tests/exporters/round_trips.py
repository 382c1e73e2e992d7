"""From records to a published version, out in a format, and in again as a stranger would read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from curation.datasets import Dataset
from curation.export import ExportSettings, export
from curation.export_table import NAME
from curation.importers import load
from curation.manifest import manifest_folder, write_first
from curation.pixels import decode
from curation.records import Records, source_facts

SLACK_PX = 0.01


def publish(records: Records, workspace: Path) -> Dataset:
    """The first version of a data set."""
    dataset = Dataset("set", manifest_folder(workspace, "set"))
    samples = decode(records, 16, workspace / ".curate" / "cache").samples[list(records.samples)]
    write_first(
        samples,
        records.annotations,
        dataset.folder,
        author="me",
        message="",
        dataset="set",
        source=source_facts(records),
    )
    return dataset


def there_and_back(
    records: Records, name: str, folder: Path, dataset: Dataset | None = None, **options: Any
) -> Records:
    """Export in a format, take our own description away, and read what is left."""
    workspace = folder / "workspace"
    dataset = dataset or publish(records, workspace)
    place = folder / f"out-{name}"
    export(place, ExportSettings(name, source=records.root, **options), workspace, dataset)
    (place / NAME).unlink()
    single = name == "csv" and records.task == "single-label"
    return load(place / "labels.csv" if single else place, workspace=workspace)


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


def with_annotations(records: Records, rows: list[dict[str, Any]], task: str, classes: list[str]) -> Records:
    """`records` with other annotations: each row with `sample` (its number), `label`, and x, y, w, h where it has a
    box, perhaps `attributes`."""
    from dataclasses import replace

    from curation.records import empty_annotations, make_annotation_id

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
