"""Two lists of rows that come from one, brought together: what one side changed is taken, what both did conflicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from curation.manifest.changes import (
    BOX,
    HARD,
    LABELS,
    PICTURE,
    STATUS,
    Sample,
    attributes_text,
    changed_samples,
    in_order,
    read_attributes,
    replace_samples,
    samples_of,
)
from curation.manifest.three_way_counts import level_counts

# What counts as one fact: changed on both sides to different values, it is a conflict.
_SAMPLE_FACTS = {
    "path": ("path",), "split": ("split",), "group": ("group",), "picture": PICTURE, "status": STATUS,
    "sample_attributes": ("sample_attributes",),
}  # fmt: skip
_KEY = "attributes."  # in front of a key of the attributes, as the name of a fact

Sides = tuple[Any, Any, Any]  # base, ours, theirs; None where it does not exist
Disagree = Callable[[str, Sides], Any]


def three_way(
    base: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Our rows with everything that they changed since `base` and we did not.

    One fact is a path, a split, a group, a picture, a status, what the source says of a picture, a box, a label
    together with what a review says beside it (`curate:labels`, `curate:hard`), or one other key of the attributes;
    also whether a sample or annotation exists; of labels without a place, how many of each there are.

    Returns
    -------
    rows : columns COLUMNS; of a conflict, ours
    conflicts : lines of kind `conflict`, sorted by path: `field`, `base`, `from` (ours, which stays) and `to` (theirs).
        With the sides swapped, they are the same with `from` and `to` swapped; without any, so are the rows.
    """
    ids = changed_samples(base, theirs)
    before, mine, other = (samples_of(rows, ids) for rows in (base, ours, theirs))
    conflicts: list[dict[str, Any]] = []
    merged = {name: _merge(name, (before.get(name), mine.get(name), other.get(name)), conflicts) for name in ids}
    for line in conflicts:
        sample = merged[line["sample_id"]]
        line["path"] = sample.columns["path"] if sample is not None else line["path"]
    changed = {name: sample for name, sample in merged.items() if sample != mine.get(name)}
    return replace_samples(ours, changed), in_order(conflicts)


def _merge(name: str, sides: Sides, conflicts: list[dict[str, Any]]) -> Sample | None:
    """One sample; what the sides disagree about is added to `conflicts`."""
    base, ours, theirs = sides

    def disagree(field: str, values: Sides, annotation_id: str = "") -> Any:
        was, our, their = (_shown(field, value) for value in values)
        path = next(side.columns["path"] for side in (ours, theirs, base) if side is not None)
        conflicts.append(
            {"change": "conflict", "sample_id": name, "annotation_id": annotation_id, "path": path, "field": field,
             "base": was, "from": our, "to": their}
        )  # fmt: skip
        return values[1]

    if ours is None or theirs is None or theirs in (base, ours) or ours == base:
        merged: Sample | None = _choose("sample", sides, disagree)
        return merged
    columns = dict(ours.columns)
    for field, names in _SAMPLE_FACTS.items():
        base_value, our_value, their_value = (side and {n: side.columns[n] for n in names} for side in sides)
        columns |= _choose(field, (base_value, our_value, their_value), disagree)
    before = base.annotations if base else {}
    mine, other = level_counts(before, ours.annotations, theirs.annotations, disagree)
    annotations = {}
    for key in sorted({*before, *mine, *other}):
        was, our, their = (side.get(key) for side in (before, mine, other))
        found = _merge_annotation((was, our, their), partial(disagree, annotation_id=key))
        if found is not None:
            annotations[key] = found
    return Sample(columns, annotations)


def _merge_annotation(sides: Sides, disagree: Disagree) -> dict[str, Any] | None:
    """One annotation, fact by fact."""
    base, ours, theirs = sides
    if ours is None or theirs is None or theirs in (base, ours) or ours == base:
        chosen: dict[str, Any] | None = _choose("annotation", sides, disagree)
        return chosen
    keyed = all(side is None or _is_object(side["attributes"]) for side in sides)
    was, our, their = ({} if side is None else _facts(side, keyed) for side in sides)
    merged: dict[str, Any] = {}
    for fact in dict.fromkeys([*was, *our, *their]):
        value = _choose(fact, (was.get(fact), our.get(fact), their.get(fact)), disagree)
        if value is not None:
            merged[fact] = value
    for side, facts in ((ours, our), (theirs, their)):
        if merged == facts:
            return dict(side)  # word for word, however its attributes were written
    text = merged.get("attributes", "")
    if keyed:
        attributes = {f.removeprefix(_KEY): json.loads(v) for f, v in merged.items() if f.startswith(_KEY)}
        review = {key: value for key, value in merged["label"].items() if key != "label"}
        text = _as_written({**attributes, **review}, sides)
    return {"label": merged["label"]["label"], **dict(zip(BOX, merged["box"], strict=True)), "attributes": text}


def _as_written(attributes: Mapping[str, Any], sides: Sides) -> str:
    """Attributes as a side has written them that says the same, rather the one that changed; else as we write them."""
    alike = [
        side["attributes"] for side in sides if side is not None and read_attributes(side["attributes"]) == attributes
    ]
    before = sides[0]["attributes"] if sides[0] is not None else None
    return min(alike, key=lambda text: (text == before, text)) if alike else attributes_text(attributes)


def _is_object(attributes: str) -> bool:
    return not attributes or bool(read_attributes(attributes)) or attributes.strip() == "{}"


def _facts(annotation: Mapping[str, Any], keyed: bool) -> dict[str, Any]:
    """The facts of an annotation: label, box, and each key of the attributes as JSON, or their text as a whole."""
    label = {"label": annotation["label"]}
    box = [annotation[name] for name in BOX]
    if not keyed:
        return {"label": label, "box": box, "attributes": annotation["attributes"]}
    attributes = read_attributes(annotation["attributes"])
    label |= {key: attributes.pop(key) for key in (LABELS, HARD) if key in attributes}
    return {"label": label, "box": box, **{_KEY + key: json.dumps(value) for key, value in attributes.items()}}


def _choose(field: str, sides: Sides, disagree: Disagree) -> Any:
    """The side that changed; ours where both did alike or neither did; what `disagree` says where both did."""
    base, ours, theirs = sides
    if theirs in (base, ours):
        return ours
    return theirs if ours == base else disagree(field, sides)


def _shown(field: str, value: Any) -> Any:
    """A side of a conflict as a line has it: a bare label or path, an object where there is more to it."""
    if value is None or field in ("sample", "annotation"):
        return None if value is None else "present"
    if field.startswith(_KEY):
        return json.loads(value)
    if isinstance(value, dict) and list(value) == [field]:
        return value[field]
    return value
