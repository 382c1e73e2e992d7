"""What the exporters of boxes share: the annotations of each picture, and numbers as people write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation.exporters.contract import Content


@dataclass(frozen=True)
class Mark:
    """One annotation: class, box (x, y, w, h in pixels; None = of the whole picture), and what else the source says."""

    label: str
    class_id: int
    box: tuple[float, float, float, float] | None
    attributes: dict[str, Any]


def marks_of(content: Content) -> Iterator[list[Mark]]:
    """The annotations of each of `content.samples`, [] for one without any.

    They are in the order in which the source had them, that of the numbers in their ids.
    """
    rows = content.rows
    number = {label: k for k, label in enumerate(content.classes)}
    ids = rows["annotation_id"].tolist()
    labels, attributes = rows["label"].tolist(), rows["attributes"].tolist()
    boxes = rows[["x", "y", "w", "h"]].to_numpy(np.float64)
    boxed = (~np.isnan(boxes).any(axis=1)).tolist()
    values = boxes.tolist()
    first = np.flatnonzero(~rows["sample_id"].duplicated().to_numpy())
    for start, end in zip(first.tolist(), [*first[1:].tolist(), len(rows)], strict=True):
        yield [
            Mark(labels[k], number[labels[k]], tuple(values[k]) if boxed[k] else None, as_object(attributes[k]))
            for k in sorted(range(start, end), key=lambda k: (len(ids[k]), ids[k]))
            if labels[k] != ""
        ]


def counts_of(content: Content) -> np.ndarray:
    """(N, K) int64: how many annotations of each class each of `content.samples` has."""
    rows = content.rows[content.rows["label"] != ""]
    found = np.zeros((len(content.samples), len(content.classes)), dtype=np.int64)
    row = pd.Index(content.samples["sample_id"]).get_indexer(rows["sample_id"])
    np.add.at(found, (row, pd.Index(content.classes).get_indexer(rows["label"])), 1)
    return found


def sample_facts(content: Content) -> list[dict[str, Any]]:
    """What the source said of each of `content.samples`, in order."""
    texts = content.rows.drop_duplicates("sample_id")["sample_attributes"].tolist()
    return [as_object(text) for text in texts]


def as_object(text: str) -> dict[str, Any]:
    """An attribute text as an object; {} for "", and for what is none."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def plain(value: float) -> int | float:
    """A whole number without a point."""
    return int(value) if float(value).is_integer() else float(value)


def class_numbers(details: Sequence[Mapping[str, Any]], first: int) -> list[int]:
    """A number for each class: its own where it has one, no other class has it, and it is an integer; else the next
    free one above all, counting from `first`."""
    taken: set[int] = set()
    own: list[int | None] = []
    for one in details:
        value = one.get("id")
        if isinstance(value, int) and not isinstance(value, bool) and value not in taken:
            own.append(value)
            taken.add(value)
        else:
            own.append(None)
    free = max([first - 1, *taken]) + 1
    numbers = []
    for known in own:
        numbers.append(free if known is None else known)
        free += known is None
    return numbers
