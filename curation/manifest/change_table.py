"""Changes between versions as a table for people: what, before, after, by whom; safe to show, not for computing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from curation.explain import visible
from curation.manifest import count_words

COLUMNS = ("sample_id", "path", "change", "before", "after", "reviewer", "decided", "verdict", "comment")


def change_table(changes: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per change line, columns COLUMNS, all text; invisible characters are shown, nothing is markup yet.

    Where pictures have several annotations, `change` says which one: `relabel #2` is about the third.
    """
    several = any(_which(line) not in ("", " #0") for line in changes)
    rows = [
        {
            "sample_id": str(line.get("sample_id", "")),
            "path": visible(str(line.get("path", "")), 300),
            "change": _SAID.get(_kind(line), _kind(line)) + (_which(line) if several else ""),
            "before": _value(line, "from"),
            "after": _value(line, "to"),
            "reviewer": visible(", ".join(line.get("reviewers") or [str(line.get("reviewer", ""))])),
            "decided": str(line.get("decided", ""))[:16].replace("T", " "),
            "verdict": str(line.get("verdict", "")),
            "comment": visible(str(line.get("comment", "")), 300, False),
        }
        for line in changes
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype("str")


# What reviewers call it; `confirm` is what the files do.
_SAID = {"confirm": "keep", "box": "box moved"}


def _which(line: Mapping[str, Any]) -> str:
    """` #2` for the third annotation that a picture had when it was imported; nothing of one that a review added."""
    key, sample = str(line.get("annotation_id", "")), str(line.get("sample_id", ""))
    place = key.removeprefix(f"{sample}-")
    return f" #{place}" if place != key and place.isascii() and place.isdigit() else ""


def count_changes(changes: Sequence[Mapping[str, Any]]) -> str:
    """`12 relabelled, 3 excluded, 20 kept`; "nothing" where there is no line."""
    return count_words(Counter(_kind(line) for line in changes))


def _kind(line: Mapping[str, Any]) -> str:
    """What a line changes; `hard` or `not hard` where an attribute of ours says no more than that, and of what is added
    or removed whether it is a picture, a label or a box."""
    kind = str(line.get("change", ""))
    if kind in ("add", "drop") and line.get("annotation_id"):
        value = line.get("to") if kind == "add" else line.get("from")
        what = "box" if isinstance(value, Mapping) and value.get("box") else "label"
        return f"{what} added" if kind == "add" else f"{what} removed"
    if kind != "attributes":
        return kind
    before, after = (dict(line[side]) if isinstance(line.get(side), Mapping) else {} for side in ("from", "to"))
    was, now = before.pop("curate:hard", False), after.pop("curate:hard", False)
    texts = any(isinstance(line.get(side), str) and line[side] for side in ("from", "to"))
    if texts or before != after or was == now:
        return kind
    return "hard" if now else "not hard"


def _value(line: Mapping[str, Any], side: str) -> str:
    """One side of a change in few words."""
    value, kind = line.get(side), _kind(line)
    if value is None or kind in ("hard", "not hard"):
        return ""
    if isinstance(value, str):
        return visible(value, 200)
    if isinstance(value, Mapping):
        if isinstance(value.get("annotations"), list):
            return ", ".join(visible(str(each.get("label", "")), 60) for each in value["annotations"][:20])
        several = value.get("curate:labels")
        if isinstance(several, list):
            return ", ".join(visible(str(label), 60) for label in several)
        if kind in ("exclude", "include"):
            return visible(
                str(value.get("reason") or ("" if value.get("status") == "ok" else value.get("status"))), 200
            )
        if "label" in value:
            return visible(str(value["label"]), 200)
    if kind == "box" and isinstance(value, list):
        return ", ".join("" if number is None else f"{number:.0f}" for number in value)
    return visible(json.dumps(value, ensure_ascii=False), 200)
