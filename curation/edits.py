"""Edits: what a reviewer changes about the annotations of one picture. Pure.

An edit is a tuple of change lines as in curation.manifest.changes, without what every line of a picture shares:

    {"change": "relabel", "annotation_id": "s1-0", "from": "cat", "to": "dog"}
    {"change": "box", "annotation_id": "s1-0", "from": [x, y, w, h], "to": [x, y, w, h]}
    {"change": "add", "annotation_id": "s1-n...", "from": None, "to": {"label": "cat", "box": [x, y, w, h]}}
    {"change": "drop", "annotation_id": "s1-1", "from": {"label": ..., "box": ..., "attributes": ...}, "to": None}

`from` is what was seen; what else was seen is in curation.seen.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from curation.errors import SettingsError

KINDS = ("relabel", "box", "drop", "add")
MOST_LINES = 1_000
LONGEST_EDITS = 1_000_000  # characters of all lines as JSON: what is dropped takes its attributes along
LONGEST_ID = 200
FARTHEST_PX = 1e6  # that a box may reach, to any side
SAME_BOX = 0.8  # intersection over union from which two boxes are one
_KEYS = ("change", "annotation_id", "from", "to")

Line = dict[str, Any]
Box = tuple[float, float, float, float]


# --- ids -------------------------------------------------------------------------------------------------------------


def new_annotation_id(sample_id: str, action_id: str, number: int | str) -> str:
    """The id of the annotation that line `number` of an action adds to a picture.

    The same for the same action sent twice, another one for every other action; never one that an import gives.
    """
    text = f"{sample_id}\0{action_id}\0{number}"
    return f"{sample_id}-n{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


# --- checks ----------------------------------------------------------------------------------------------------------


def check_edits(
    sample_id: str, edits: Iterable[Mapping[str, Any]], check_label: Callable[[str], None]
) -> tuple[Line, ...]:
    """The lines in their one form and order, without those that change nothing.

    check_label : raises SettingsError for a label that cannot be given

    Raises
    ------
    SettingsError : too many, a line that is none, two that contradict each other.
    """
    given = list(edits)
    if len(given) > MOST_LINES:
        raise SettingsError(f"A decision changes {MOST_LINES:,} things at most, not {len(given):,}.")
    lines = [line for line in (_checked(sample_id, line, check_label) for line in given) if line["from"] != line["to"]]
    _refuse_contradictions(lines)
    try:
        size = len(json.dumps(lines, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise SettingsError("What a change says of an annotation is not text, numbers and lists of these.") from None
    if size > LONGEST_EDITS:
        raise SettingsError(f"The changes take {size:,} characters; {LONGEST_EDITS:,} are the most.")
    return tuple(sorted(lines, key=lambda line: (line["annotation_id"], KINDS.index(line["change"]))))


def _checked(sample_id: str, line: Any, check_label: Callable[[str], None]) -> Line:
    if not isinstance(line, Mapping) or not set(_KEYS) <= set(line):
        raise SettingsError(f"A change has {', '.join(_KEYS)}; this one has not: {str(line)[:200]}.")
    kind, key, before, after = (line[name] for name in _KEYS)
    if kind not in KINDS:
        raise SettingsError(f"There is no change {str(kind)[:100]!r} of an annotation. There are: {', '.join(KINDS)}.")
    check_id(sample_id, key, new=kind == "add")
    if (before is None) != (kind == "add") or (after is None) != (kind == "drop"):
        raise SettingsError(f"'{kind}' of {key!r} does not say what it was before and what it is to be.")
    if kind == "relabel":
        if not isinstance(before, str) or not isinstance(after, str):
            raise SettingsError(f"The labels of {key!r} are no texts.")
        if before != after:
            check_label(after)
    elif kind == "box":
        before = (
            _box(before, "It was a box", any_size=True) if any(n is not None for n in _four(before)) else [None] * 4
        )
        after = _box(after, f"The new box of {key!r}")
    elif kind == "drop":
        before = _annotation(before, key, any_size=True)
    else:
        after = _annotation(after, key)
        check_label(after["label"])
    return {"change": kind, "annotation_id": key, "from": before, "to": after}


def check_id(sample_id: str, annotation_id: Any, new: bool = False) -> None:
    """Refuse what cannot be the id of an annotation; a new one begins with the id of its sample.

    Raises
    ------
    SettingsError : says why.
    """
    if not isinstance(annotation_id, str) or not annotation_id or len(annotation_id) > LONGEST_ID:
        raise SettingsError(f"{str(annotation_id)[:100]!r} is no id of an annotation.")
    if not annotation_id.isprintable():
        raise SettingsError(f"The annotation id {annotation_id[:100]!r} has characters in it that cannot be seen.")
    if new and not annotation_id.startswith(f"{sample_id}-"):
        raise SettingsError(f"A new annotation of {sample_id} cannot have the id {annotation_id[:100]!r}.")


def _annotation(value: Any, key: str, any_size: bool = False) -> Line:
    if not isinstance(value, Mapping) or not isinstance(value.get("label"), str):
        raise SettingsError(f"What is added or removed as {key!r} has no label.")
    found: Line = {"label": value["label"]}
    box, attributes = value.get("box"), value.get("attributes")
    if box is not None:
        found["box"] = _box(box, f"The box of {key!r}", any_size)
    if attributes:
        if not isinstance(attributes, str | Mapping):
            raise SettingsError(f"The attributes of {key!r} are neither an object nor a text.")
        found["attributes"] = attributes if isinstance(attributes, str) else dict(attributes)
    return found


def _four(value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise SettingsError(f"A box is x, y, width and height, not {str(value)[:100]!r}.")
    found = list(value)
    if len(found) != 4:
        raise SettingsError(f"A box is x, y, width and height, not {str(value)[:100]!r}.")
    return found


def _box(value: Any, what: str, any_size: bool = False) -> list[float]:
    """Four floats; `any_size` for what a source had: without area, or far away."""
    numbers = _four(value)
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        raise SettingsError(f"{what} is not four numbers: {str(value)[:100]}.")
    x, y, w, h = (float(n) + 0.0 for n in numbers)  # no -0.0
    if not any_size:
        if w <= 0 or h <= 0:
            raise SettingsError(f"{what} has no area: width {w:g}, height {h:g}.")
        if max(abs(x), abs(y), abs(x + w), abs(y + h)) > FARTHEST_PX:
            raise SettingsError(f"{what} reaches further than {FARTHEST_PX:,.0f} pixels.")
    return [x, y, w, h]


def _refuse_contradictions(lines: Sequence[Line]) -> None:
    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(line["annotation_id"], []).append(line["change"])
    for key, found in kinds.items():
        if len(set(found)) < len(found) or (len(found) > 1 and {"add", "drop"} & set(found)):
            raise SettingsError(f"Two changes contradict each other: {' and '.join(sorted(found))} of {key!r}.")
    added = [line["to"] for line in lines if line["change"] == "add" and line["to"].get("box") is not None]
    for place, one in enumerate(added):
        if any(one["label"] == other["label"] and same_box(one["box"], other["box"]) for other in added[:place]):
            raise SettingsError(f"{one['label'][:100]!r} is added twice in the same place.")


def refuse_doubled(lines: Iterable[Mapping[str, Any]]) -> None:
    """Refuse what adds a label without a box twice, which is right of counts only.

    Raises
    ------
    SettingsError : names the label.
    """
    given = [line["to"] for line in lines if line["change"] == "add" and isinstance(line["to"], Mapping)]
    labels = [str(value.get("label")) for value in given if value.get("box") is None]
    twice = next((label for place, label in enumerate(labels) if label in labels[:place]), None)
    if twice is not None:
        raise SettingsError(f"{twice[:100]!r} is added twice.")


def labels_of(edits: Iterable[Mapping[str, Any]]) -> list[str]:
    """The labels that lines give."""
    given = {"relabel": lambda to: [to], "add": lambda to: [to["label"]]}
    return [label for line in edits if line["change"] in given for label in given[line["change"]](line["to"])]


# --- boxes -----------------------------------------------------------------------------------------------------------


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes `x, y, w, h`, in [0, 1]; 0 where one has no area."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (one[2] * one[3] + other[2] * other[3] - width * height)


def same_box(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    """Whether two drawn boxes are one: the same, or of an overlap of at least SAME_BOX; no box is like no box."""
    if one is None or other is None:
        return one is None and other is None
    return list(one) == list(other) or overlap(one, other) >= SAME_BOX
