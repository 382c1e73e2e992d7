"""Edits: what a reviewer changes about the annotations of one picture, and what of it he or she saw. Pure.

An edit is a tuple of change lines as in curation.manifest.changes, without what every line of a picture shares:

    {"change": "relabel", "annotation_id": "s1-0", "from": "cat", "to": "dog"}
    {"change": "box", "annotation_id": "s1-0", "from": [x, y, w, h], "to": [x, y, w, h]}
    {"change": "add", "annotation_id": "s1-n...", "from": None, "to": {"label": "cat", "box": [x, y, w, h]}}
    {"change": "drop", "annotation_id": "s1-1", "from": {"label": ..., "box": ..., "attributes": ...}, "to": None}

`from` is what was seen. What else was seen is remembered as a text (`seen_text`): for every annotation a digest of its
label and one of its box, so that later anybody can say which of them are still the same. Attributes are not in it.

Who has looked at some annotations only (all boxes of one class, say) has seen those, and what was `absent`: what
somebody thought to be missing. Such a *part* says nothing about the rest of the picture; it `waits` for somebody who
looks at the whole, or is `enough`, because nothing else about the picture was in doubt.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

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


class Facts(NamedTuple):
    """Digests of what an annotation says, 8 hex digits each."""

    label: str
    box: str


Seen = dict[str, Facts]  # by annotation_id
PART, ABSENT = "part", "absent-"  # keys of what was seen that are no annotation
WAITS, ENOUGH = "waits", "enough"


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


# --- what was seen -----------------------------------------------------------------------------------------------


_WORD = 2**64 - 1


@lru_cache(maxsize=10_000)
def label_digest(label: str) -> str:
    """8 hex digits that stand for a label."""
    return hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def box_digests(boxes: np.ndarray) -> list[str]:
    """8 hex digits that stand for each box; boxes : (n, 4) float64, NaN where there is none."""
    numbers = np.ascontiguousarray(np.where(np.isnan(boxes), np.nan, boxes + 0.0), dtype=np.float64).view(np.uint64)
    found = np.zeros(len(numbers), dtype=np.uint64)
    for column in numbers.T:  # splitmix64, see Steele, Lea & Flood (2014), Fast splittable pseudorandom generators
        found += column + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return [f"{number:08x}" for number in (found >> np.uint64(32)).tolist()]


def box_digest(box: Sequence[float | None] | None) -> str:
    """The same of one box; None, or four None, for none. In plain integers, which is quicker for few numbers."""
    numbers = [math.nan if n is None or n != n else n + 0.0 for n in ([None] * 4 if box is None else box)]
    found = 0
    for number in struct.unpack("<4Q", struct.pack("<4d", *numbers)):
        found = (found + number + 0x9E3779B97F4A7C15) & _WORD
        found = ((found ^ (found >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        found = ((found ^ (found >> 27)) * 0x94D049BB133111EB) & _WORD
        found ^= found >> 31
    return f"{found >> 32:08x}"


def facts_of(label: str, box: Sequence[float | None] | None) -> Facts:
    """What is remembered of an annotation."""
    return Facts(label_digest(label), box_digest(box))


def write_seen(sample_id: str, seen: Mapping[str, Facts], part: str = "", absent: Iterable[Facts] = ()) -> str:
    """What was seen as JSON, `{"-0": "<digest of the label><digest of the box>"}`; ids without that of the sample.

    part : WAITS or ENOUGH where only these were looked at; absent : what is not there, and was thought to be
    """
    short = {_short(sample_id, key): seen[key].label + seen[key].box for key in sorted(seen)}
    short |= {f"{ABSENT}{at}": one.label + one.box for at, one in enumerate(sorted(absent))}
    return json.dumps({**short, **({PART: part} if part else {})}, separators=(",", ":"))


def seen_of_members(texts: Mapping[str, str]) -> str:
    """What there is to be seen of each copy of a case, by sample id; "" where nothing is known of any."""
    return json.dumps({name: json.loads(text) for name, text in texts.items()}, separators=(",", ":")) if texts else ""


def read_members(text: str) -> dict[str, str]:
    """What `seen_of_members` wrote."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    members = value.items() if isinstance(value, dict) else ()
    return {name: json.dumps(seen, separators=(",", ":")) for name, seen in members if isinstance(seen, dict)}


def read_seen(sample_id: str, text: str) -> Seen:
    """What `write_seen` wrote; nothing where it is damaged.

    A picture without annotations has `{}`; "" says that nothing is known.
    """
    return {
        sample_id + key if key.startswith("-") else key[1:]: Facts(found[:8], found[8:])
        for key, found in _read(text).items()
        if key[:1] in ("-", "=")
    }


def read_part(text: str) -> str:
    """WAITS or ENOUGH where only a part of a picture's annotations was looked at, else ""."""
    return _read(text).get(PART, "") if f'"{PART}":' in text else ""


def read_absent(text: str) -> tuple[Facts, ...]:
    """What was seen not to be there."""
    if f'"{ABSENT}' not in text:
        return ()
    return tuple(Facts(found[:8], found[8:]) for key, found in _read(text).items() if key.startswith(ABSENT))


def _read(text: str) -> dict[str, str]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return {key: found for key, found in value.items() if isinstance(found, str)} if isinstance(value, dict) else {}


def _short(sample_id: str, annotation_id: str) -> str:
    return annotation_id[len(sample_id) :] if annotation_id.startswith(f"{sample_id}-") else f"={annotation_id}"


def seen_facts(annotations: Mapping[str, Mapping[str, Any]]) -> Seen:
    """What there is to be seen; annotations : by id, with `label`, `x`, `y`, `w`, `h`, as manifest.changes has them."""
    boxes = np.array([[a["x"], a["y"], a["w"], a["h"]] for a in annotations.values()], dtype=np.float64).reshape(-1, 4)
    digests = box_digests(boxes)
    return {
        key: Facts(label_digest(annotations[key]["label"]), box) for key, box in zip(annotations, digests, strict=True)
    }


def seen_text(sample_id: str, annotations: Mapping[str, Mapping[str, Any]]) -> str:
    """`write_seen` of `seen_facts`."""
    return write_seen(sample_id, seen_facts(annotations))


# --- whether it is still so --------------------------------------------------------------------------------------


class Late(NamedTuple):
    """Something that is no longer as it was seen; kind : label, box, gone (the annotation), new (one was added)."""

    kind: str
    annotation_id: str


def late_facts(
    edits: Sequence[Mapping[str, Any]],
    seen: Seen | None,
    present: Seen,
    since: Iterable[Mapping[str, Any]] = (),
    part: bool = False,
) -> tuple[Late, ...]:
    """What has changed of that on which a decision was made; () = it can be applied.

    Parameters
    ----------
    edits : the lines of the decision; () = it says that all is right as it was `seen`
    present : as it is now
    since : lines of other decisions: what they made of the same state is no reason to refuse, they are to be compared
    part : whether nothing is said of what was not seen
    """
    changed = [_Change(line) for line in since]
    if edits:
        return tuple(late for line in edits for late in _late_line(_Change(line), present, changed))
    if seen is None:
        return ()
    found = []
    for key in sorted(seen if part else {*seen, *present}):
        was, now = seen.get(key), present.get(key)
        if now is None:
            if not any(c.kind == "drop" and c.key == key and c.before == was for c in changed):
                found.append(Late("gone", key))
        elif was is None:
            if not any(c.kind == "add" and c.key == key for c in changed):
                found.append(Late("new", key))
        else:
            for kind, before, after in (("label", was.label, now.label), ("box", was.box, now.box)):
                if before != after and not _made_by(changed, key, kind, before, after):
                    found.append(Late(kind, key))
    return tuple(found)


class _Change:
    """A line in digests: `before` and `after` of its `label`, its `box`, or as Facts of the whole annotation."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        self.change, self.key = str(line["change"]), str(line["annotation_id"])
        self.kind = {"relabel": "label"}.get(self.change, self.change)
        self.before, self.after = (_digest(self.change, line[side]) for side in ("from", "to"))


def _digest(change: str, value: Any) -> Any:
    if value is None:
        return None
    if change == "relabel":
        return label_digest(value)
    return box_digest(value) if change == "box" else facts_of(value["label"], value.get("box"))


def _made_by(changed: Sequence[_Change], key: str, kind: str, before: str, after: str) -> bool:
    return any((c.kind, c.key, c.before, c.after) == (kind, key, before, after) for c in changed)


def _late_line(line: _Change, present: Seen, changed: Sequence[_Change]) -> list[Late]:
    now = present.get(line.key)
    if line.change == "add" or (line.change == "drop" and now is None):
        return []
    if now is None:
        dropped = (c.before for c in changed if c.change == "drop" and c.key == line.key)
        return [] if any(getattr(was, line.kind) == line.before for was in dropped) else [Late("gone", line.key)]
    if line.change == "drop":
        pairs = [("label", line.before.label, now.label), ("box", line.before.box, now.box)]
    else:
        pairs = [(line.kind, line.before, getattr(now, line.kind))]
    return [
        Late(kind, line.key)
        for kind, before, after in pairs
        if after not in (before, line.after) and not _made_by(changed, line.key, kind, before, after)
    ]
