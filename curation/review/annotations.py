"""The annotations of pictures that have several, or boxes, as a version has them: of one picture at once, or of all.

Whether a data set is of that kind is a matter of its task (`several`), not of one picture: a picture with a single box
is decided like its neighbours.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from curation.edits import Box
from curation.manifest import COLUMNS
from curation.manifest.changes import BOX
from curation.runs import Run
from curation.seen import box_digests, facts_of, label_digest, write_seen

LABELS_SHOWN = 200  # characters


@dataclass(frozen=True)
class Annotation:
    """One label on a picture; box : x, y, w, h in pixels of the upright picture, None where there is none.

    attributes : JSON text as the manifest has it, "" = none
    """

    annotation_id: str
    label: str
    box: Box | None = None
    attributes: str = ""

    @property
    def as_value(self) -> dict[str, Any]:
        """As a change line has it: `label`, `box` and `attributes`, without what there is not."""
        box = {} if self.box is None else {"box": list(self.box)}
        return {"label": self.label, **box, **({"attributes": self.attributes} if self.attributes else {})}


def several(run: Run) -> bool:
    """Whether the pictures of a run have several labels, or boxes."""
    return str(run.info.get("task", "single-label")) != "single-label"


def words_of(annotations: Sequence[Annotation]) -> str:
    """The labels of a picture in one text, see in_words."""
    return in_words([one.label for one in annotations], any(one.box is not None for one in annotations))


def in_words(labels: Sequence[str], boxed: bool = True) -> str:
    """The different labels of a picture in one text, sorted: `cat, dog`; a long one is cut.

    boxed : whether any of them has a box; without one, a label that is there several times was counted: `3 x cat`
    """
    counts = Counter(label for label in labels if label)
    counted = not boxed and any(count > 1 for count in counts.values())
    text = ", ".join(f"{counts[label]} x {label}" if counted else label for label in sorted(counts))
    return text if len(text) <= LABELS_SHOWN else f"{text[: LABELS_SHOWN - 1]}…"


def seen_of(sample_id: str, annotations: Sequence[Annotation]) -> str:
    """What a reviewer has seen who saw these, see curation.seen.write_seen."""
    return write_seen(sample_id, {a.annotation_id: facts_of(a.label, a.box) for a in annotations})


@dataclass(frozen=True)
class Annotations:
    """Those of all pictures of a version; rows : as curation.manifest.read gives them, sorted by sample_id."""

    rows: pd.DataFrame

    @staticmethod
    def of_nothing() -> Annotations:
        """Where no version is known."""
        return Annotations(pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in COLUMNS.items()}))

    @cached_property
    def _ids(self) -> np.ndarray:
        return self.rows["sample_id"].to_numpy(dtype=object)

    def of(self, sample_id: str) -> tuple[Annotation, ...]:
        """Those of one picture, by annotation_id; () where it has none, or is not there."""
        first, last = bisect_left(self._ids, sample_id), bisect_right(self._ids, sample_id)
        if first == last:
            return ()
        keys, labels, attributes, *numbers = (column[first:last].tolist() for column in self._columns)
        return tuple(
            Annotation(key, label, None if x != x else (x, y, w, h), text)
            for key, label, text, x, y, w, h in zip(keys, labels, attributes, *numbers, strict=True)
            if key
        )

    @cached_property
    def _columns(self) -> tuple[Any, ...]:
        return tuple(self.rows[name].array for name in ("annotation_id", "label", "attributes", *BOX))

    def summaries(self) -> pd.DataFrame:
        """Index sample_id; `labels` as `in_words`, and `seen` as `seen_of`, of every picture."""
        rows = self.rows
        there = np.flatnonzero((rows["annotation_id"] != "").to_numpy())
        keys = rows["annotation_id"].to_numpy(dtype=object)[there].tolist()
        labels = rows["label"].to_numpy(dtype=object)[there]
        codes, names = pd.factorize(labels)
        label_digests = [label_digest(str(name)) for name in names]
        values = rows[list(BOX)].to_numpy(dtype=np.float64)[there]
        boxes, boxed = box_digests(values), ~np.isnan(values[:, 0])
        owners = self._ids[there].tolist()
        entries = [
            f'{_quoted(owner, key)}:"{label_digests[code]}{box}"'
            for owner, key, code, box in zip(owners, keys, codes.tolist(), boxes, strict=True)
        ]
        ids = self._ids[there]
        bounds = [*np.flatnonzero(np.append([True] * (len(ids) > 0), ids[1:] != ids[:-1])).tolist(), len(ids)]
        found: dict[str, tuple[str, str]] = {}
        for start, end in pairwise(bounds):
            words = in_words(labels[start:end].tolist(), bool(boxed[start:end].any()))
            found[owners[start]] = words, "{" + ",".join(entries[start:end]) + "}"
        names = pd.Index(rows["sample_id"]).unique()
        table = [found.get(name, ("", "{}")) for name in names]
        return pd.DataFrame(table, index=names, columns=["labels", "seen"]).astype("str")


def _quoted(sample_id: str, annotation_id: str) -> str:
    short = annotation_id[len(sample_id) :] if annotation_id.startswith(f"{sample_id}-") else f"={annotation_id}"
    return (
        f'"{short}"' if short.isascii() and short.isprintable() and not {'"', "\\"} & set(short) else json.dumps(short)
    )


def by_id(annotations: Sequence[Annotation]) -> Mapping[str, Annotation]:
    """Annotations by their id."""
    return {annotation.annotation_id: annotation for annotation in annotations}
