"""What an import or a merge left open becomes items of the review queue, in front of all others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from curation.explain import Conflict, Side, explain_conflict, explain_pieces
from curation.manifest import EXCLUDED
from curation.manifest.history import changes_of, open_conflicts
from curation.manifest.version_files import ancestors, read_header
from curation.review.annotations import Annotations, words_of
from curation.review.cards import Card
from curation.review.label_cards import SUGGESTIONS

ISSUE = "import_conflict"
PRIORITY = 1.0  # the best finding of a run has 0 at most
_REVIEWS = ("publish", "revert")  # kinds of versions in which people said something


# --- the queue ---------------------------------------------------------------------------------------------------


def with_conflicts(
    items: pd.DataFrame, folder: Path, version: str, rows: pd.DataFrame, sample_ids: Collection[str]
) -> pd.DataFrame:
    """The items of a queue, the open conflicts of a version before them, one per sample.

    Each has an id of its own, so that it is new to everybody: also to those who decided the sample before. A decision
    on it counts for the sample; publishing it closes the conflict.

    Parameters
    ----------
    items : columns of curation.review.ITEM_COLUMNS
    version, rows : under review
    sample_ids : that the run has; conflicts about others cannot be shown
    """
    here = rows[rows["status"] != EXCLUDED].drop_duplicates("sample_id").set_index("sample_id")
    in_run = set(sample_ids)
    known = Annotations(rows) if "seen" in items else None  # several labels, or boxes
    found = []
    for name, lines in _open_lines(folder, version).items():
        if name not in here.index or name not in in_run:
            continue
        row = here.loc[name]
        wanted = (label for line in lines if (label := _wanted_label(line)))
        found.append(
            {
                "item_id": conflict_id(name, str(lines[0]["version"])),
                "kind": "sample",
                "members": json.dumps([name]),
                "issue": ISSUE,
                "issues": ISSUE,
                "priority": PRIORITY,
                "given_label": words_of(known.of(name)) if known else row["label"],
                "suggestion": next(wanted, ""),
                "split": row["split"],
                "path": row["path"],
                "score": 0.0,
            }
        )
    if not found:
        return items
    more = pd.DataFrame(found, columns=list(items)).fillna("").astype(items.dtypes.to_dict())
    return pd.concat([more, items], ignore_index=True)


def conflict_id(sample_id: str, version: str) -> str:
    """The item_id of a conflict: `c` and 16 hex digits of the sample and the version that found it."""
    return "c" + hashlib.blake2b(f"{sample_id}\n{version}".encode(), digest_size=8).hexdigest()


def _open_lines(folder: Path, version: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of the open conflicts by sample, newest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in open_conflicts(folder, version):
        found.setdefault(str(line["sample_id"]), []).append(line)
    return found


def _wanted_label(line: Mapping[str, Any]) -> str:
    """The label that the other side has, "" where the conflict is about something else."""
    if line.get("field") != "label":
        return ""
    value = line.get("to")
    label = value.get("label") if isinstance(value, dict) else value
    return label if isinstance(label, str) else ""


# --- the card ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)  # a version never changes
def conflicts(folder: Path, version: str) -> dict[str, tuple[Conflict, ...]]:
    """The open conflicts of a version by item_id, with who said what when, as far as the change lists know."""
    lines = _open_lines(folder, version)
    said: dict[str, tuple[_Said, _Said]] = {}
    found: dict[str, tuple[Conflict, ...]] = {}
    for at in {str(line["version"]) for group in lines.values() for line in group}:
        said[at] = _who_said(folder, at, {name for name, group in lines.items() if _has(group, at)})
    for name, group in lines.items():
        item_id = conflict_id(name, str(group[0]["version"]))
        found[item_id] = tuple(_conflict(folder, line, said[str(line["version"])]) for line in group)
    return found


def explained(cards: Sequence[Card], known: Mapping[str, tuple[Conflict, ...]]) -> list[Card]:
    """The cards; those of conflicts say what each side says, and offer the other side's label first."""
    return [_explained(card, known[card.item_id]) if card.item_id in known else card for card in cards]


def _explained(card: Card, about: Sequence[Conflict]) -> Card:
    parts = tuple(tuple(explain_conflict(conflict)) for conflict in about)
    chances = dict(card.suggestions)
    theirs = {c.wanted: c.theirs.name for c in reversed(about) if c.wanted and c.wanted != card.given_label}
    names = dict.fromkeys([*theirs, *chances])
    ours = next((c.ours.words for c in about if c.field == "label"), "")
    one_label = card.task == "single-label"
    return replace(
        card,
        suggestions=tuple((name, chances.get(name, 0.0)) for name in names)[:SUGGESTIONS] if one_label else (),
        said_by={**theirs, **({card.given_label: ours} if ours else {})},
        issues=(ISSUE, *card.issues),
        why=(*(explain_pieces(pieces) for pieces in parts), *card.why),
        why_parts=(*parts, *card.why_parts),
    )


@dataclass(frozen=True)
class _Said:
    """One side of the conflicts that a version found: what it is called, and who changed each sample last, and when."""

    name: str
    by: dict[str, tuple[str, str]]


def _has(lines: Sequence[Mapping[str, Any]], version: str) -> bool:
    return any(line["version"] == version for line in lines)


def _conflict(folder: Path, line: Mapping[str, Any], said: tuple[_Said, _Said]) -> Conflict:
    name = str(line["sample_id"])
    ours, theirs = (Side(side.name, *side.by.get(name, ("", ""))) for side in said)
    header = read_header(folder, str(line["version"]))
    return Conflict(
        field=str(line.get("field", "")),
        base=line.get("base"),
        here=line.get("from"),
        there=line.get("to"),
        wanted=_wanted_label(line),
        ours=ours,
        theirs=theirs,
        merged=header["kind"] == "merge",
        found=str(header["created"]),
    )


def _who_said(folder: Path, version: str, names: set[str]) -> tuple[_Said, _Said]:
    """Our side and theirs, of the conflicts about some samples that an import or a merge found."""
    header = read_header(folder, version)
    ours = ancestors(folder, str(header["parent"]))
    if header["kind"] != "merge":
        return _Said("the review", _last_said(folder, ours, names)), _Said("the source", {})
    theirs = ancestors(folder, str(header["merged"]))
    common = set(ours) & set(theirs)
    branches = (str(header["branch"]), str(read_header(folder, str(header["merged"]))["branch"]))
    own = ([at for at in side if at not in common] for side in (ours, theirs))
    first, second = (
        _Said(f"branch {name}", _last_said(folder, side, names)) for name, side in zip(branches, own, strict=True)
    )
    return first, second


def _last_said(folder: Path, versions: Sequence[str], names: set[str]) -> dict[str, tuple[str, str]]:
    """Who changed each sample last in these versions (newest first), and when."""
    found: dict[str, tuple[str, str]] = {}
    for at in versions:
        if len(found) == len(names):
            break
        header = read_header(folder, at)
        if header["kind"] not in _REVIEWS:
            continue
        for line in changes_of(folder, at):
            name = str(line.get("sample_id", ""))
            if name in names and name not in found:
                who, when = line.get("reviewer") or header["author"], line.get("decided") or header["created"]
                found[name] = (str(who), str(when))
    return found
