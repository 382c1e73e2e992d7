"""Annotations as FiftyOne's documents say them, and back. Plain dictionaries: the library is not needed.

A label is `{"_cls": "Detection", "label": ..., "bounding_box": [x, y, w, h], ...}`, the box in shares of the picture.
Whatever else a source says of an annotation is a key of its own where that can be one, else in REST as JSON text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curation.exporters.marks import as_object

GROUND_TRUTH = "ground_truth"  # the field with the labels
OF_PICTURE = "picture_labels"  # of a detection set: labels without a box
ID = "curate_id"  # of a sample, of a label
REST = "curate_attributes"
FOUND = ("curate_issues", "curate_score", "curate_suggestion", "curate_reason")  # keys of a label that was flagged
OURS = (ID, REST, *FOUND)

KINDS = {"single-label": "Classification", "multi-label": "Classifications", "detection": "Detections"}
LISTS = {"Classifications": "classifications", "Detections": "detections"}

Box = tuple[float, float, float, float]

# What a label has by itself, attributes and methods: no key of a source may be called so.
_TAKEN = frozenset(
    [
        "STRICT",
        "attributes",
        "bounding_box",
        "clean",
        "clear_field",
        "confidence",
        "copy",
        "delete_attribute",
        "export_mask",
        "fancy_repr",
        "field_names",
        "field_to_mongo",
        "field_to_python",
        "from_dict",
        "from_json",
        "from_mask",
        "get_attribute_value",
        "get_field",
        "get_mask",
        "get_text_score",
        "has_attribute",
        "has_field",
        "has_mask",
        "id",
        "import_mask",
        "index",
        "instance",
        "instance_id",
        "iter_attributes",
        "iter_fields",
        "label",
        "logits",
        "mask",
        "mask_path",
        "merge",
        "my_metaclass",
        "set_attribute_value",
        "set_field",
        "tags",
        "to_dict",
        "to_json",
        "to_mongo",
        "to_polyline",
        "to_segmentation",
        "to_shapely",
        "validate",
    ]
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_INT64 = 2**63
_PLAIN_DEPTH = 20


class Annotation(NamedTuple):
    """One annotation; box in pixels, None = of the whole picture."""

    annotation_id: str
    label: str
    box: Box | None
    attributes: dict[str, Any]


class Label(NamedTuple):
    """One label as FiftyOne has it: box in shares of the picture, `annotation_id` "" where it is not from us."""

    annotation_id: str
    label: Any
    box: Any
    attributes: dict[str, Any]


def annotations_of(rows: pd.DataFrame) -> dict[str, list[Annotation]]:
    """The annotations of each sample of a version's rows, in the order in which the source had them."""
    boxes = rows[["x", "y", "w", "h"]].to_numpy(np.float64)
    boxed = (~np.isnan(boxes).any(axis=1)).tolist()
    columns = (rows[name].tolist() for name in ("sample_id", "annotation_id", "label", "attributes"))
    found: dict[str, list[Annotation]] = {}
    for sample_id, key, label, text, box, has in zip(*columns, boxes.tolist(), boxed, strict=True):
        here = found.setdefault(sample_id, [])
        if key:
            here.append(Annotation(key, label, tuple(box) if has else None, as_object(text)))
    for here in found.values():
        here.sort(key=lambda one: (len(one.annotation_id), one.annotation_id))
    return found


# --- out ---------------------------------------------------------------------------------------------------------


def label_document(one: Annotation, size: tuple[int, int]) -> dict[str, Any]:
    """An annotation of a picture of that size, (width, height), as a label."""
    own, rest = _split(one.attributes)
    found: dict[str, Any] = {"_cls": "Detection" if one.box is not None else "Classification", "tags": []}
    found["label"] = one.label
    if one.box is not None:
        found["attributes"] = {}
        found["bounding_box"] = list(relative(one.box, size))
    found |= own
    found[ID] = one.annotation_id
    if rest:
        found[REST] = json.dumps(rest, allow_nan=False)
    return found


def field_document(labels: Sequence[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """The labels of a picture as the value of a field of that kind (a value of KINDS); None where there are none."""
    if kind == "Classification":
        return labels[0] if labels else None
    return {"_cls": kind, LISTS[kind]: list(labels)} if labels else None


def relative(box: Box, size: tuple[int, int]) -> Box:
    """A box in pixels as shares of a picture of that size."""
    x, y, w, h = box
    return x / size[0], y / size[1], w / size[0], h / size[1]


def pixels(box: Sequence[float], size: tuple[int, int]) -> Box:
    """A box in shares of a picture of that size as pixels."""
    x, y, w, h = box
    return x * size[0], y * size[1], w * size[0], h * size[1]


def _split(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What can be a key of a label, and what cannot."""
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in attributes.items():
        if key.startswith("curate:"):
            continue
        fits = _is_kept(key, value) or (is_key(key) and key not in _TAKEN and is_plain(value))
        (own if fits else rest)[key] = value
    return own, rest


def is_key(name: str) -> bool:
    """Whether a text can be the name of a field."""
    return bool(_NAME.fullmatch(name)) and not name.startswith("curate_")


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a JSON value can be kept in MongoDB as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return -_INT64 <= value < _INT64
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    if depth > _PLAIN_DEPTH:
        return False
    if isinstance(value, dict):
        return all(
            key and "." not in key and "\0" not in key and not key.startswith("$") and is_plain(key)
            and is_plain(one, depth + 1) for key, one in value.items()
        )  # fmt: skip
    if isinstance(value, list):
        return all(is_plain(one, depth + 1) for one in value)
    return value is None or isinstance(value, bool | float)


def _is_kept(key: str, value: Any) -> bool:
    """Whether it is one of FiftyOne's own keys with a value of its kind: from a data set of FiftyOne."""
    if key == "confidence":
        return isinstance(value, float) or type(value) is int
    if key == "index":
        return type(value) is int and abs(value) < _INT64
    return key == "tags" and isinstance(value, list) and all(isinstance(one, str) and is_plain(one) for one in value)


# --- and back ----------------------------------------------------------------------------------------------------


def labels_in(value: Any) -> list[Label] | None:
    """The labels of a field of a sample; None where it is no field of labels that are read here."""
    if not isinstance(value, Mapping):
        return None
    kind = value.get("_cls")
    if kind in ("Classification", "Detection"):
        return [_label(value)]
    inside = value.get(LISTS.get(str(kind), ""))
    if kind not in LISTS or not isinstance(inside, list):
        return None if kind not in LISTS else []
    return [_label(one) for one in inside if isinstance(one, Mapping)]


def _label(value: Mapping[str, Any]) -> Label:
    rest = value.get(REST)
    attributes = {
        key: one
        for key, one in value.items()
        if key not in ("_id", "id", "_cls", "label", "bounding_box", *OURS) and one not in (None, [], {})
    }
    attributes |= as_object(rest) if isinstance(rest, str) else {}
    key = value.get(ID)
    return Label(key if isinstance(key, str) else "", value.get("label"), value.get("bounding_box"), attributes)


def is_box(value: Any) -> bool:
    """Whether it is four numbers that are finite."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 4
        and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in value)
    )
