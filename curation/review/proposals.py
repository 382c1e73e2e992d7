"""What a finding on one of several annotations proposes to do about it: lines of an edit that one key can accept.

    suggestion (detector) + evidence + the annotations as they are now  -->  lines, and the same in words

What is proposed follows from the name of the finding and its suggestion: a class, or `remove` or `clip`, as its
detector says (`suggests_label`), since a class can be called `remove`; and from `proposed` in its evidence,
`[x, y, w, h]` in pixels of the upright picture.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from curation.detectors import suggests_label
from curation.edits import Box, Line, same_box
from curation.explain import Label
from curation.review.annotations import Annotation, by_id
from curation.review.counting import NO_ID, propose_count

REMOVE, CLIP = "remove", "clip"
ADDING = ("missing_label", "odd_combination", "missing_box")  # whose suggestion is a class that is not there
REMOVING = ("wrong_label", "duplicate_box", "spurious_box", "box_geometry")  # whose suggestion may be `remove`
RELABELLING = ("label_error", "swapped_box")  # whose suggestion is the class of an annotation that is there
COUNTING = "odd_count"  # whose evidence says how many there are likely to be


def propose(
    row: Mapping[str, Any], annotations: Sequence[Annotation], size: tuple[int, int], task: str
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """The lines that a finding proposes, and what they do in pieces (class names as explain.Label); () where nothing.

    Parameters
    ----------
    row : of the issue table, with its `evidence` (JSON text)
    annotations : of the picture, as they are now
    size : width and height of the picture in pixels, 0 where they are not known
    """
    issue, suggestion = str(row["issue"]), str(row["suggestion"])
    there = by_id(annotations).get(str(row["annotation_id"]))
    evidence = _evidence(row)
    if issue == COUNTING:
        return propose_count(evidence, annotations) if suggestion else ((), ())
    if issue in ADDING:
        box = _inside(_box(evidence.get("proposed")), size)
        return _adding(suggestion, box, annotations, task) if suggestion else ((), ())
    if there is None:
        return (), ()
    if suggestion == REMOVE and issue in REMOVING:
        return _removing(there)
    if suggestion == CLIP and issue == "box_geometry":
        return _moving(there, clipped(there.box, size), "cut the box of ", " at the edge of the picture")
    box = _inside(_box(evidence.get("proposed")), size)
    if box is not None:
        return _moving(there, box, "move the box of ", "")
    if suggestion not in ("", there.label) and issue in RELABELLING and suggests_label(issue):
        return _relabelling(there, suggestion, annotations, task)
    return (), ()


def _removing(there: Annotation) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    line = {"change": "drop", "annotation_id": there.annotation_id, "from": there.as_value, "to": None}
    return (line,), ("remove ", Label(there.label))


def _relabelling(
    there: Annotation, label: str, annotations: Sequence[Annotation], task: str
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    if task == "multi-label" and any(other.label == label for other in annotations):
        return _removing(there)  # it is there already
    line = {"change": "relabel", "annotation_id": there.annotation_id, "from": there.label, "to": label}
    return (line,), ("change ", Label(there.label), " to ", Label(label))


def _moving(
    there: Annotation, box: Box | None, before: str, after: str
) -> tuple[tuple[Line, ...], tuple[str, ...]]:  # fmt: skip
    if box is None or there.box is None or box == there.box:
        return (), ()
    line = {"change": "box", "annotation_id": there.annotation_id, "from": list(there.box), "to": list(box)}
    return (line,), (before, Label(there.label), after)


def _adding(
    label: str, box: Box | None, annotations: Sequence[Annotation], task: str
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    if task == "detection" and box is None:
        return (), ()
    box = None if task == "multi-label" else box
    if any(other.label == label and same_box(other.box, box) for other in annotations):
        return (), ()
    value: dict[str, Any] = {"label": label, **({} if box is None else {"box": list(box)})}
    return ({"change": "add", "annotation_id": NO_ID, "from": None, "to": value},), ("add ", Label(label))


def clipped(box: Box | None, size: tuple[int, int]) -> Box | None:
    """The part of a box that lies in the picture; None where nothing does, or the size is not known."""
    if box is None or min(size) <= 0:
        return None
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], float(size[0])), min(box[1] + box[3], float(size[1]))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _inside(box: Box | None, size: tuple[int, int]) -> Box | None:
    """A predicted box without what reaches beyond the picture, where its size is known."""
    return clipped(box, size) if min(size) > 0 else box


def _evidence(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(row["evidence"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _box(value: Any) -> Box | None:
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(n) for n in value):
        return None
    x, y, w, h = (float(n) for n in value)
    return (x, y, w, h) if w > 0 and h > 0 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
