"""What of a picture's annotations a reviewer saw, so that anybody can later say which of them are still the same. Pure.

It is remembered as a text: for every annotation a digest of its label and one of its box. Attributes are not in it.

Who has looked at some annotations only (all boxes of one class, say) has seen those, and what was `absent`: what
somebody thought to be missing. Such a *part* says nothing about the rest of the picture; it `waits` for somebody who
looks at the whole, or is `enough`, because nothing else about the picture was in doubt.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np


class Facts(NamedTuple):
    """Digests of what an annotation says, 8 hex digits each."""

    label: str
    box: str


Seen = dict[str, Facts]  # by annotation_id
PART, ABSENT = "part", "absent-"  # keys of what was seen that are no annotation
WAITS, ENOUGH = "waits", "enough"


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
