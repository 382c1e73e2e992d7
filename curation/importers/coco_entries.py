"""One annotation of a COCO file, made small as soon as it is read: outlines are most of a large file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from curation.errors import LabelParseError
from curation.importers.json_file import to_json

OWN = ("image_id", "category_id", "bbox")  # what becomes columns
_OUTLINED = {"image_id", "category_id", "segmentation"}


class Small(dict[str, Any]):
    """`id` and OWN of an annotation; `more` is the JSON text of all else, `around` whether the box is its outline's."""

    __slots__ = ("around", "more")

    def __init__(self, facts: Mapping[str, Any], more: str, around: bool = False) -> None:
        super().__init__(facts)
        self.more, self.around = more, around


def shrunk(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of a file, made small where it is an annotation with an outline."""
    if not entry.keys() >= _OUTLINED or "file_name" in entry:
        return entry
    with contextlib.suppress(LabelParseError):  # whoever knows its number will say so
        return small(entry, "")
    return entry


def small(entry: dict[str, Any], where: str) -> Small:
    """The annotation, made small.

    An area that is the box's, and `iscrowd` 0, say nothing: they are written again, of the box as it then is.

    Raises
    ------
    LabelParseError : nested too deeply; names `where`.
    """
    if isinstance(entry, Small):
        return entry
    box = entry.get("bbox") or None
    around = bounds(entry["segmentation"]) if box is None and entry.get("segmentation") else None
    facts = {name: entry[name] for name in ("id", *OWN) if name in entry}
    if around is not None:
        facts["bbox"] = around
    return Small(facts, to_json(_more(entry, box or around), where), around is not None)


def bounds(segmentation: Any) -> list[float] | None:
    """x, y, width, height around polygons; None for a mask, or what is neither."""
    if not isinstance(segmentation, list):
        return None
    try:
        points = [float(one) for polygon in segmentation for one in polygon]
    except (TypeError, ValueError, OverflowError):
        return None
    xs, ys = points[::2], points[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)] if ys and len(xs) == len(ys) else None


def _more(entry: Mapping[str, Any], box: Any) -> dict[str, Any]:
    more = {name: one for name, one in entry.items() if name not in OWN}
    if more.get("iscrowd") == 0:
        del more["iscrowd"]
    if "area" in more and isinstance(box, list) and len(box) == 4:
        with contextlib.suppress(TypeError, OverflowError):  # the box is no box, and is rejected
            if more["area"] == box[2] * box[3]:
                del more["area"]
    return more
