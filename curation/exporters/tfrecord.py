"""TFRecords of tf.train.Example, as TensorFlow's Object Detection API reads them, and `label_map.pbtxt`."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.decoding.tf_example import PICTURE, write_example, write_label_map
from curation.decoding.tfrecord import write_record
from curation.exporters.annotations import all_marks, dense_numbers, sizes_of
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, sample_facts
from curation.exporters.names import word_names
from curation.exporters.pictures import encoded, new_hash, picture_names
from curation.files import failpoint
from curation.importers.tfrecord import CORNERS, DERIVED, DIGITS, IDS, OBJECT, TEXTS, WHOLE_IDS, WHOLE_TEXTS
from curation.progress import Progress

LABEL_MAP = "label_map.pbtxt"
_WHOLE_NUMBERS = ("difficult", "truncated", "is_crowd", "group_of", "occluded", "depiction")  # whatever they came as
_INT64 = 2**63


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write one file per split, `train.record`, the pictures inside as they came."""
    samples = content.samples
    paths, hashes, files = [""] * len(samples), [""] * len(samples), []
    numbers = dense_numbers(content, 1)  # 0 is the background
    formats, names = samples["format"].tolist(), picture_names(content)
    marks, facts, sizes = all_marks(content), sample_facts(content), sizes_of(content)
    whole = content.task != "detection"
    with progress.stage("Exporting", len(paths)) as advance:
        for split, word in zip(content.splits, word_names(content.splits, "data"), strict=True):
            rows = np.flatnonzero(samples["split"].to_numpy(object) == split).tolist()
            name = f"{word}.record"
            with open(folder / name, "xb") as stream:
                for at, (row, data) in enumerate(zip(rows, encoded(content, rows), strict=True)):
                    hashes[row] = new_hash(formats[row], data)
                    paths[row] = f"{name}#{at:0{DIGITS}d}"
                    about = _picture(data, names[row], formats[row], sizes[row], facts[row])
                    said = _classes(marks[row], numbers) if whole else _objects(marks[row], numbers, sizes[row])
                    write_record(stream, write_example({**about, **said}))
                    failpoint("export.after_picture")
                    advance(1)
            files.append(name)
    items = [{**entry, "id": number} for entry, number in zip(content.class_details, numbers, strict=True)]
    (folder / LABEL_MAP).write_text(write_label_map(items), encoding="utf-8", newline="")
    notes = ["Corners are shares of the upright picture, as 32-bit numbers; class numbers begin with 1."]
    others = sorted(set(formats) - {"JPEG", "PNG", "GIF", "BMP", "ARRAY"})
    if others:
        notes.append(f"TensorFlow does not decode all of the pictures: {', '.join(others)}.")
    return Saved(paths, hashes, [*files, LABEL_MAP], notes=notes)


def _picture(
    data: bytes, name: str, format_name: str, size: tuple[int, int], facts: Mapping[str, Any]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"image/filename": [name.encode()], "image/source_id": [name.encode()]}
    for key, value in facts.items():
        values = _values(value if isinstance(value, list) else [value])
        if key.startswith("image/") and key not in DERIVED and not key.startswith(OBJECT) and values:
            found[key] = values
    return {
        **found,
        PICTURE: [data],
        "image/format": [b"png" if format_name == "ARRAY" else format_name.lower().encode()],
        "image/key/sha256": [hashlib.sha256(data).hexdigest().encode()],
        "image/width": [size[0]],
        "image/height": [size[1]],
    }


def _classes(marks: Sequence[Mark], numbers: Sequence[int]) -> dict[str, list[Any]]:
    if not marks:
        return {}
    return {
        WHOLE_TEXTS: [mark.label.encode() for mark in marks],
        WHOLE_IDS: [numbers[mark.class_id] for mark in marks],
    }


def _objects(marks: Sequence[Mark], numbers: Sequence[int], size: tuple[int, int]) -> dict[str, list[Any]]:
    boxed = [(mark, mark.box) for mark in marks if mark.box is not None]
    if not boxed:
        return {}
    width, height = size
    edges = [(x / width, y / height, (x + w) / width, (y + h) / height) for _, (x, y, w, h) in boxed]
    found: dict[str, list[Any]] = {key: [edge[at] for edge in edges] for at, key in enumerate(CORNERS)}
    found[TEXTS] = [mark.label.encode() for mark, _ in boxed]
    found[IDS] = [numbers[mark.class_id] for mark, _ in boxed]
    attributes = [mark.attributes for mark, _ in boxed]
    for key in sorted({key for own in attributes for key in own}):
        values = _column(key, attributes)
        if values:
            found.setdefault(OBJECT + key, values)
    return found


def _column(key: str, attributes: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One value per object, all of one kind; [] where there is none such."""
    if key in _WHOLE_NUMBERS:
        texts = [str(own.get(key, "0")).strip() for own in attributes]
        return [int(text) for text in texts] if all(text in ("0", "1") for text in texts) else []
    if not all(key in own for own in attributes):
        return []
    return _values([own[key] for own in attributes])


def _values(values: Sequence[Any]) -> list[Any]:
    """As a feature can hold them, all of one kind, or []."""
    if all(type(value) is int and -_INT64 <= value < _INT64 for value in values):
        return list(values)
    if all(type(value) in (int, float) for value in values):
        return [float(value) for value in values]
    if all(isinstance(value, str | dict) for value in values):
        found = [value.encode() if isinstance(value, str) else _bytes(value) for value in values]
        return [] if None in found else found
    return []


def _bytes(value: Mapping[str, Any]) -> bytes | None:
    text = value.get("base64")
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) and len(value) == 1 else None
    except binascii.Error:
        return None


EXPORTER = Exporter(
    save=save,
    images=("inside",),
    sized=False,
    reading="import tensorflow as tf\n\ndata = tf.data.TFRecordDataset('DEST/train.record')",
    tasks=("detection", "multi-label", "single-label"),
)
