"""What differs between two lists of rows, as lines that a person can read; and back: lines applied.

A line says what happened to one sample or annotation: `{"change": "relabel", "sample_id": ..., "annotation_id": ...,
"path": ..., "from": "cat", "to": "dog"}`. docs/formats.md lists the kinds. `apply(a, diff(a, b))` is b, exactly.

Tables of a million rows are only compared column by column; what differs is then a few samples, and for those plain
Python is fast enough: a `Sample` is one sample with its annotations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from curation.errors import WorkspaceError
from curation.manifest import COLUMNS, EXCLUDED, sorted_rows
from curation.progress import SILENT, Progress
from curation.records import ANNOTATION_COLUMNS

LABELS, HARD = "curate:labels", "curate:hard"  # keys of `attributes`: what a review says beside the label
BOX = ("x", "y", "w", "h")
ANNOTATION = tuple(name for name in ANNOTATION_COLUMNS if name not in ("annotation_id", "sample_id"))
SAMPLE = tuple(name for name in COLUMNS if name not in (*ANNOTATION, "annotation_id", "sample_id"))
PICTURE = ("content_hash", "pixel_hash", "width_px", "height_px", "format")
STATUS = ("status", "reason")
# Lines that tell something and change no row.
SILENT_KINDS = ("import", "confirm", "conflict")
_ORDER = {
    kind: place
    for place, kind in enumerate(
        ("add", "drop", "rename", "edit", "split", "group", "exclude", "include", "relabel", "box", "ambiguous",
         "attributes", "confirm", "conflict")
    )
}  # fmt: skip


class Sample(NamedTuple):
    """One sample: `columns` as in SAMPLE, `annotations` by id with columns as in ANNOTATION; None for no box."""

    columns: dict[str, Any]
    annotations: dict[str, dict[str, Any]]


# --- tables and samples ------------------------------------------------------------------------------------------


def changed_samples(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Ids of the samples that are not exactly the same in two lists of rows, sorted."""
    keys = ["sample_id", "annotation_id"]
    if len(old) == len(new) and not _differs(old, new, keys).any():
        return sorted(set(old["sample_id"].to_numpy(object)[_differs(old, new, [*COLUMNS])]))
    # NUL in between: no id can imitate another pair of ids with it.
    at = pd.Index(new["sample_id"] + "\0" + new["annotation_id"]).get_indexer(
        pd.Index(old["sample_id"] + "\0" + old["annotation_id"])
    )
    both = np.flatnonzero(at >= 0)
    fresh = np.ones(len(new), bool)
    fresh[at[both]] = False
    left, right = old.take(both), new.take(at[both])
    gone, added = old["sample_id"].to_numpy(object)[at < 0], new["sample_id"].to_numpy(object)[fresh]
    return sorted({*gone, *added, *left["sample_id"].to_numpy(object)[_differs(left, right, [*COLUMNS])]})


def _differs(left: pd.DataFrame, right: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """(N,) bool: rows of equally long tables that differ in one of the columns; no box equals no box."""
    found = np.zeros(len(left), bool)
    for name in columns:
        a, b = left[name].array, right[name].array
        differ = np.asarray(a != b, dtype=bool)
        if COLUMNS[name] == "float64":
            differ &= ~(np.isnan(np.asarray(a)) & np.isnan(np.asarray(b)))
        found |= differ
    return found


def samples_of(rows: pd.DataFrame, ids: Iterable[str]) -> dict[str, Sample]:
    """The samples of these ids; those that the rows do not have are left out."""
    some = rows[rows["sample_id"].isin(list(ids))]
    columns = {name: some[name].to_numpy(object).tolist() for name in COLUMNS}
    of_sample = zip(*(columns[name] for name in SAMPLE), strict=True)
    of_annotation = zip(*(columns[name] for name in ANNOTATION), strict=True)
    found: dict[str, Sample] = {}
    keys = zip(columns["sample_id"], columns["annotation_id"], of_sample, of_annotation, strict=True)
    for sample_id, annotation_id, facts, said in keys:
        sample = found.get(sample_id)
        if sample is None:
            sample = found[sample_id] = Sample(dict(zip(SAMPLE, facts, strict=True)), {})
        if annotation_id:
            values = (None if value != value else value for value in said)
            sample.annotations[annotation_id] = dict(zip(ANNOTATION, values, strict=True))
    return found


def replace_samples(rows: pd.DataFrame, samples: Mapping[str, Sample | None]) -> pd.DataFrame:
    """Rows with these samples instead of what they have under their ids (None: without them), sorted."""
    if not samples:
        return rows
    there = rows["sample_id"].isin(list(samples)).to_numpy()
    parts = [_as_rows(sample_id, sample) for sample_id, sample in sorted(samples.items()) if sample is not None]
    flat = [row for part in parts for row in part]
    new = pd.DataFrame({name: pd.Series([row[name] for row in flat], dtype=COLUMNS[name]) for name in COLUMNS})
    old = rows[there]
    joined = pd.concat([rows, new], ignore_index=True)
    same_keys = len(old) == len(new) and not _differs(old, new, ["sample_id", "annotation_id"]).any()
    if same_keys:  # their places are known, so that a million rows need not be sorted again
        order = np.arange(len(rows))
        order[there] = np.arange(len(rows), len(joined))
        return joined.take(order).reset_index(drop=True)
    return sorted_rows(joined.take(np.flatnonzero(np.append(~there, np.ones(len(new), bool)))).reset_index(drop=True))


def _as_rows(sample_id: str, sample: Sample) -> list[dict[str, Any]]:
    nothing = {name: "" if COLUMNS[name] == "str" else None for name in ANNOTATION}
    annotations = sample.annotations or {"": nothing}
    return [
        {"sample_id": sample_id, "annotation_id": annotation_id, **sample.columns, **annotations[annotation_id]}
        for annotation_id in sorted(annotations)
    ]


# --- difference --------------------------------------------------------------------------------------------------


def diff(old: pd.DataFrame, new: pd.DataFrame, progress: Progress = SILENT) -> list[dict[str, Any]]:
    """What leads from one list of rows to another: one line per change, sorted by path.

    old, new : columns COLUMNS, sorted as curation.manifest.read gives them
    """
    ids = changed_samples(old, new)
    with progress.stage("Comparing", len(ids), "samples"):
        before, after = samples_of(old, ids), samples_of(new, ids)
        return in_order(line for name in ids for line in describe(name, before.get(name), after.get(name)))


def in_order(changes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lines sorted by path, sample, annotation and kind."""
    return sorted(
        (dict(change) for change in changes),
        key=lambda c: (c["path"], c["sample_id"], c["annotation_id"], _ORDER.get(c["change"], 99)),
    )


def describe(sample_id: str, old: Sample | None, new: Sample | None) -> list[dict[str, Any]]:
    """The lines that lead from one state of a sample to another; None: it does not exist."""
    path = (new or old or Sample({"path": ""}, {})).columns["path"]

    def line(kind: str, before: Any, after: Any, annotation_id: str = "") -> dict[str, Any]:
        return {"change": kind, "sample_id": sample_id, "annotation_id": annotation_id, "path": path,
                "from": before, "to": after}  # fmt: skip

    if old is None:
        return [line("add", None, _whole(new))] if new is not None else []
    if new is None:
        return [line("drop", _whole(old), None)]
    found = [
        line(kind, old.columns[name], new.columns[name])
        for kind, name in (("rename", "path"), ("split", "split"), ("group", "group"))
        if old.columns[name] != new.columns[name]
    ]
    was, now = old.columns["sample_attributes"], new.columns["sample_attributes"]
    if was != now:
        found.append(line("attributes", _readable(was), _readable(now)))
    edited, status = _unequal(PICTURE, old, new), _unequal(STATUS, old, new)
    if status and EXCLUDED in (old.columns["status"], new.columns["status"]):
        kind = "exclude" if new.columns["status"] == EXCLUDED else "include"
        found.append(line(kind, _filled(old.columns, STATUS), _filled(new.columns, STATUS)))
        status = ()
    if edited or status:
        names = (*edited, *status)
        found.append(line("edit", {n: old.columns[n] for n in names}, {n: new.columns[n] for n in names}))
    for key in sorted({*old.annotations, *new.annotations}):
        before, after = old.annotations.get(key), new.annotations.get(key)
        if before is None or after is None:
            kind = "add" if before is None else "drop"
            found.append(line(kind, before and _annotation(before), after and _annotation(after), key))
            continue
        if before["label"] != after["label"]:
            found.append(line("relabel", before["label"], after["label"], key))
        if any(before[n] != after[n] for n in BOX):
            found.append(line("box", [before[n] for n in BOX], [after[n] for n in BOX], key))
        if before["attributes"] != after["attributes"]:
            was, now = before["attributes"], after["attributes"]
            several = read_attributes(was).get(LABELS) != read_attributes(now).get(LABELS)
            found.append(line("ambiguous" if several else "attributes", _readable(was), _readable(now), key))
    return found


def _unequal(names: Sequence[str], old: Sample, new: Sample) -> tuple[str, ...]:
    return tuple(name for name in names if old.columns[name] != new.columns[name])


def _filled(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those that are not empty; 0 is what an unreadable picture's size is."""
    return {name: values[name] for name in names if values[name] not in ("", None, 0)}


def _annotation(values: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation as an object, without what is empty."""
    found: dict[str, Any] = {"label": values["label"]}
    if any(values[name] is not None for name in BOX):
        found["box"] = [values[name] for name in BOX]
    if values["attributes"]:
        found["attributes"] = _readable(values["attributes"])
    return found


def _whole(sample: Sample) -> dict[str, Any]:
    annotations = [{"annotation_id": key, **_annotation(sample.annotations[key])} for key in sorted(sample.annotations)]
    return {**_filled(sample.columns, SAMPLE[1:]), "annotations": annotations}


def _readable(attributes: str) -> Any:
    """Attributes as an object where that gives the same text again, else the text itself."""
    try:
        value = json.loads(attributes)
        return value if isinstance(value, dict) and attributes_text(value) == attributes else attributes
    except (ValueError, RecursionError):
        return attributes


def attributes_text(value: Mapping[str, Any]) -> str:
    """Attributes as the text that a row has; "" for none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) if value else ""


def read_attributes(text: str) -> dict[str, Any]:
    """A row's attributes; none where they are not an object that could be written again (NaN could not)."""
    try:
        value = json.loads(text, parse_constant=_refuse) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(constant)


# --- application -------------------------------------------------------------------------------------------------


def apply(rows: pd.DataFrame, changes: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows after these changes; lines of SILENT_KINDS change nothing.

    Raises
    ------
    WorkspaceError : a line does not fit: what it changes is not there, or is not what it says.
    """
    lines = [change for change in changes if change["change"] not in SILENT_KINDS]
    ids = {str(change["sample_id"]) for change in lines}
    samples: dict[str, Sample | None] = {**dict.fromkeys(ids), **samples_of(rows, ids)}
    for change in lines:
        name = str(change["sample_id"])
        try:
            samples[name] = apply_line(samples[name], change)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise WorkspaceError(f"The change {json.dumps(change)[:300]} does not fit the rows ({error}).") from error
    return replace_samples(rows, samples)


def apply_line(sample: Sample | None, change: Mapping[str, Any]) -> Sample | None:
    """A sample after one change.

    Raises
    ------
    KeyError, TypeError, ValueError : it does not fit.
    """
    kind, key = str(change["change"]), str(change["annotation_id"])
    if kind in ("add", "drop") and not key:
        expected = None if kind == "add" else _from_whole(change["path"], change["from"])
        _expect(sample, expected)
        return _from_whole(change["path"], change["to"]) if kind == "add" else None
    if sample is None:
        raise ValueError("there is no such sample")
    columns, annotations = dict(sample.columns), dict(sample.annotations)
    if not key:
        for name, (before, after) in _columns_of(kind, change["from"], change["to"]).items():
            column = "sample_attributes" if name == "attributes" else name
            _expect(columns[column], before)
            columns[column] = after
    elif kind in ("add", "drop"):
        _expect(annotations.pop(key, None), change["from"] and _from_annotation(change["from"]))
        if kind == "add":
            annotations[key] = _from_annotation(change["to"])
    else:
        values = dict(annotations[key])
        for name, (before, after) in _columns_of(kind, change["from"], change["to"]).items():
            _expect(values[name], before)
            values[name] = after
        annotations[key] = values
    return Sample(columns, annotations)


def inverse(change: Mapping[str, Any]) -> dict[str, Any]:
    """The line that takes a change back."""
    opposite = {"add": "drop", "drop": "add", "exclude": "include", "include": "exclude"}
    kind = str(change["change"])
    if kind == "exclude" and change["from"]["status"] == EXCLUDED:  # only the reason had changed
        opposite = {}
    path = change["from"] if kind == "rename" else change["path"]
    return {**change, "change": opposite.get(kind, kind), "path": path, "from": change["to"], "to": change["from"]}


def _expect(found: Any, expected: Any) -> None:
    if found != expected:
        raise ValueError(f"it is {str(found)[:100]!r} there")


_ONE_COLUMN: dict[str, Callable[[Any], dict[str, Any]]] = {
    "rename": lambda value: {"path": value},
    "split": lambda value: {"split": value},
    "group": lambda value: {"group": value},
    "relabel": lambda value: {"label": value},
    "box": lambda value: dict(zip(BOX, value, strict=True)),
    "attributes": lambda value: {"attributes": value if isinstance(value, str) else attributes_text(value)},
    "edit": dict,
    "exclude": lambda value: {"reason": "", **value},
}
_ONE_COLUMN["include"], _ONE_COLUMN["ambiguous"] = _ONE_COLUMN["exclude"], _ONE_COLUMN["attributes"]


def _columns_of(kind: str, before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Column -> its value before and after a change of that kind."""
    old, new = _ONE_COLUMN[kind](before), _ONE_COLUMN[kind](after)
    return {name: (old[name], new[name]) for name in {**old, **new}}


def _from_annotation(value: Mapping[str, Any]) -> dict[str, Any]:
    box = value.get("box") or [None] * 4
    attributes = _ONE_COLUMN["attributes"](value.get("attributes", ""))
    return {"label": value["label"], **dict(zip(BOX, box, strict=True)), **attributes}


def _from_whole(path: str, value: Mapping[str, Any]) -> Sample:
    columns = {name: value.get(name, 0 if COLUMNS[name] == "int32" else "") for name in SAMPLE}
    return Sample({**columns, "path": path}, {a["annotation_id"]: _from_annotation(a) for a in value["annotations"]})
