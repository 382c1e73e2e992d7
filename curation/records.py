"""The two tables that every task is made of: samples (pictures) and annotations (labels on them)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from curation.errors import SourceError
from curation.file_names import path_to_text as path_to_text
from curation.file_names import text_to_path as text_to_path

# One row per picture. The importer fills sample_id, path, split, group; decoding fills the rest.
SAMPLE_COLUMNS: dict[str, str] = {
    "sample_id": "str",  # stable for ever: across versions, renames and re-encodes
    "path": "str",  # POSIX, relative to the root; `images.npz#17` is the 18th picture of a container file
    "split": "str",  # "train", "val", "test" ..., "" where the source has none
    "content_hash": "str",  # of the file's bytes
    "pixel_hash": "str",  # of the decoded, EXIF-upright RGB pixels
    "width_px": "int32",
    "height_px": "int32",
    "format": "str",  # "JPEG", "PNG" ... as found in the bytes, not in the name
    "group": "str",  # patient, burst, sender ...; "" where there is none
    "status": "str",  # "ok" or "unreadable"
    "reason": "str",  # why it is unreadable, "" where it is not
    "sample_attributes": "str",  # JSON: what the source says of the picture beside its labels, kept verbatim
}

# One row per label. Boxes are in pixels; NaN where there is no box.
ANNOTATION_COLUMNS: dict[str, str] = {
    "annotation_id": "str",
    "sample_id": "str",
    "label": "str",  # exactly as it came: never stripped, folded or parsed
    "x": "float64",
    "y": "float64",
    "w": "float64",
    "h": "float64",
    "attributes": "str",  # JSON, kept verbatim
}

# counts: how many of each class; of n, a picture has n annotations without a box, which one is which means nothing.
TASKS = ("single-label", "multi-label", "detection", "counts")


@dataclass(frozen=True)
class Records:
    """A data set: where its files are, and its two tables.

    samples : columns SAMPLE_COLUMNS, sorted by path, sample_id unique
    annotations : columns ANNOTATION_COLUMNS; for `single-label` exactly one per sample, none for an unlabelled one
    root : folder that `path` is relative to
    source_format : name of the importer that read it
    notes : sentences about the source that the user should see (classes that differ by case, rows left out and why)
    rejected : columns `path`, `reason`: what the source lists or holds that is not a sample (no picture, empty label)
    settings : what the importer was told (column names, forced format), kept with the run
    classes : the class list that the source itself has, in its order, classes without an annotation included: each an
        object with `name`, `id` where the source numbers them, and whatever else it says there; () = it has none
    about : what the source says of itself as a whole (COCO's `info` and `licenses` ...), for a later export
    """

    samples: pd.DataFrame
    annotations: pd.DataFrame
    root: Path
    source_format: str
    task: str = "single-label"
    notes: tuple[str, ...] = ()
    rejected: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"path": [], "reason": []}, dtype="str"))
    settings: dict[str, Any] = field(default_factory=dict)
    classes: tuple[dict[str, Any], ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


def source_facts(records: Records) -> dict[str, Any]:
    """What a manifest's header keeps of a source, JSON-able; see curation.manifest.history.task_of and class_list."""
    found: dict[str, Any] = {"format": records.source_format, **records.settings}
    if records.task != "single-label":
        found["task"] = records.task
    if records.classes:
        found["classes"] = list(records.classes)
    if records.about:
        found["about"] = records.about
    return found


def make_sample_id(path: str, taken: int = 0) -> str:
    """The id of a picture that is seen for the first time: `s` and 16 hex digits of its path.

    The letter in front keeps spreadsheets from reading an id as a number. `taken` counts earlier samples that had this
    path and now live elsewhere (another picture was put in its place), so that an id is never given twice.
    """
    text = f"{path}\0{taken}" if taken else path
    return "s" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def make_annotation_id(sample_id: str, position: int = 0) -> str:
    """The id of the annotation at `position` among those that its sample had when it was first imported."""
    return f"{sample_id}-{position}"


def empty_samples(count: int = 0) -> pd.DataFrame:
    """A samples table with `count` rows of empty strings and zeros, right columns and dtypes."""
    return pd.DataFrame({name: _blank(dtype, count) for name, dtype in SAMPLE_COLUMNS.items()})


def empty_annotations(count: int = 0) -> pd.DataFrame:
    """An annotations table with `count` rows of empty strings and NaN boxes, right columns and dtypes."""
    return pd.DataFrame({name: _blank(dtype, count) for name, dtype in ANNOTATION_COLUMNS.items()})


def _blank(dtype: str, count: int) -> pd.Series:
    value: Any = {"str": "", "int32": 0, "float64": float("nan")}[dtype]
    return pd.Series([value] * count, dtype=dtype)


def check_records(records: Records) -> Records:
    """Return `records` unchanged, or say what about them breaks the contract.

    Raises
    ------
    SourceError : no samples at all; names what was looked at.
    AssertionError : an importer broke the contract (our own fault).
    """
    if records.samples.empty:
        raise SourceError(f"No images were found in {records.root} (read as '{records.source_format}').")
    assert list(records.samples.columns) == list(SAMPLE_COLUMNS), list(records.samples.columns)
    assert list(records.annotations.columns) == list(ANNOTATION_COLUMNS), list(records.annotations.columns)
    assert records.samples["sample_id"].is_unique
    assert records.annotations["annotation_id"].is_unique
    assert records.annotations["sample_id"].isin(records.samples["sample_id"]).all()
    assert records.task in TASKS
    return records
