"""Versions of data sets of boxes, and what they say, for tests of the formats that hold them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from curation.datasets import Dataset
from curation.export import ExportSettings, export
from curation.export_table import NAME
from curation.importers import load
from curation.manifest import manifest_folder, write_first
from curation.pixels import decode
from curation.records import Records, source_facts

SHARED = Path(__file__).parents[2] / "shared" / "data"


def version_of(records: Records, workspace: Path) -> Dataset:
    """A data set whose first version is these records, decoded."""
    pixels = decode(records, 16, workspace / ".curate" / "cache")
    dataset = Dataset("set", manifest_folder(workspace, "set"))
    samples = pixels.samples[list(records.samples)]
    write_first(
        samples, records.annotations, dataset.folder, source=source_facts(records),
        author="me", message="first", dataset="set",
    )  # fmt: skip
    return dataset


def export_plain(dataset: Dataset, format_name: str, dest: Path, workspace: Path, source: Path) -> Path:
    """Export, and take away what tells our own exports: the format's own reader has to make do."""
    export(dest, ExportSettings(format_name, source=source), workspace, dataset)
    os.unlink(dest / NAME)
    return dest


def there_and_back(records: Records, format_name: str, folder: Path) -> Records:
    """Records -> version -> export -> import by the format's own importer."""
    dataset = version_of(records, folder / "workspace")
    dest = export_plain(dataset, format_name, folder / f"out-{format_name}", folder / "workspace", records.root)
    return load(dest)


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
