"""What reviewers have said of some annotations of a picture, without looking at all of it; and actions that say more.

    tiles (marked) + what the reviewer said before of those pictures  -->  one decision per picture

A decision replaces the earlier one of the same reviewer on the same picture, so that what is said of a second box has
what was said of the first in it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from curation.decisions import UNDO, Action, Decision
from curation.edits import Line, new_annotation_id, same_box
from curation.errors import SettingsError
from curation.review.actions import Context
from curation.review.annotations import Annotation, by_id
from curation.review.cards import Card
from curation.review.findings import Finding
from curation.review.tiles import Answered, ClassIndex, Tile
from curation.seen import ENOUGH, WAITS, Facts, Seen, facts_of, read_absent, read_part, read_seen, write_seen


@dataclass(frozen=True)
class Part:
    """What was said of some annotations of a picture.

    lines : what to change; seen : the annotations that were looked at, as they were, changed or not
    absent : what was thought to be missing, and is not
    """

    lines: tuple[Line, ...] = ()
    seen: Mapping[str, Facts] = field(default_factory=dict)
    absent: frozenset[Facts] = frozenset()

    def now(self, there: Sequence[Annotation]) -> Part:
        """What of it is still about something; what a version has by now is no line any more."""
        known = by_id(there)
        lines = tuple(line for line in self.lines if _applies(line, known))
        left = {line["annotation_id"] for line in lines}
        present = {key: facts_of(one.label, one.box) for key, one in known.items()}
        made = {key: facts for key, facts in _made(self.lines, self.seen).items() if key not in left}
        seen = {key: facts for key, facts in {**self.seen, **made}.items() if present.get(key) == facts}
        return Part(lines, seen, self.absent)

    def answers(self, found: Finding) -> bool:
        """Whether something was said of what a finding is about."""
        if found.annotation_id:
            return found.annotation_id in self.seen or found.annotation_id in {
                line["annotation_id"] for line in self.lines
            }
        wanted = [line["to"] for line in found.proposal if line["change"] == "add"]
        added = [line["to"] for line in self.lines if line["change"] == "add"]
        return bool(wanted) and all(
            facts_of(one["label"], one.get("box")) in self.absent
            or any(one["label"] == other["label"] and same_box(one.get("box"), other.get("box")) for other in added)
            for one in wanted
        )


def _applies(line: Line, known: Mapping[str, Annotation]) -> bool:
    there = known.get(line["annotation_id"])
    if line["change"] == "add":
        return there is None
    if there is None:
        return False
    if line["change"] == "relabel":
        return there.label == line["from"]
    if line["change"] == "box":
        return there.box is not None and list(there.box) == list(line["from"])
    return (there.label, there.box and list(there.box)) == (line["from"]["label"], line["from"].get("box"))


def _made(lines: Iterable[Line], seen: Mapping[str, Facts]) -> dict[str, Facts]:
    """What annotations that were changed say afterwards."""
    made: dict[str, Facts] = {}
    for line in lines:
        key, to = line["annotation_id"], line["to"]
        before = made.get(key) or seen.get(key)
        if line["change"] == "add":
            made[key] = facts_of(to["label"], to.get("box"))
        elif line["change"] == "relabel" and before is not None:
            made[key] = Facts(facts_of(to, None).label, before.box)
        elif line["change"] == "box" and before is not None:
            made[key] = Facts(before.label, facts_of("", to).box)
    return made


# --- what was said so far --------------------------------------------------------------------------------------------


class Said:
    """Decisions on pictures with several annotations, kept up to date row by row: `take` what the store has since."""

    def __init__(self) -> None:
        self.latest = 0  # decision_id
        self.decided: set[str] = set()  # samples about which somebody has said something as a whole
        self.parts: dict[str, list[Part]] = {}  # what was said of some annotations, by sample, of whoever
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        self._samples: dict[str, set[str]] = {}  # of each action
        self._undone: set[str] = set()

    def take(self, rows: pd.DataFrame) -> set[str]:
        """Take rows of the store's `decisions` after `latest`; the samples that they are about."""
        touched: set[str] = set()
        for row in rows.to_dict("records"):
            self.latest = max(self.latest, int(row["decision_id"]))
            if row["verdict"] == UNDO:
                self._undone.add(str(row["undoes"]))
                touched |= self._samples.get(str(row["undoes"]), set())
            elif row["verdict"] not in ("unsure", "distinct"):
                self._rows.setdefault(str(row["sample_id"]), []).append(row)
                self._samples.setdefault(str(row["action_id"]), set()).add(str(row["sample_id"]))
                touched.add(str(row["sample_id"]))
        for name in touched:
            current = self._current(name).values()
            self.decided.discard(name)
            self.decided |= {name} if any(not read_part(row["seen"]) for row in current) else set()
            self.parts[name] = [_part(row) for row in current if read_part(row["seen"])]
        return touched

    def _current(self, sample_id: str) -> dict[str, Mapping[str, Any]]:
        rows = (row for row in self._rows.get(sample_id, ()) if row["action_id"] not in self._undone)
        return {str(row["reviewer"]): row for row in rows}

    def part(self, sample_id: str, reviewer: str) -> Part | None:
        """What a reviewer has said of some annotations of a picture; None where it is nothing, or about all of it."""
        row = self._current(sample_id).get(reviewer)
        return _part(row) if row is not None and read_part(row["seen"]) else None


class Told:
    """What of the annotations of each class has an answer, kept up to date decision by decision."""

    def __init__(self, make: Callable[[], ClassIndex]) -> None:
        self._make, self.said = make, Said()
        self._fresh: set[str] = set()  # samples of which something was said since it was asked for
        self._of: dict[str, tuple[set[str], set[int]]] = {}  # annotations and findings, by sample
        self._lock = threading.Lock()

    @cached_property
    def classes(self) -> ClassIndex:
        """Made when it is needed first: of a million boxes that takes a moment."""
        return self._make()

    def update(self, read: Callable[[int], pd.DataFrame]) -> None:
        """Take what is new; read : the store's `decisions` after a decision_id."""
        with self._lock:
            self._fresh |= self.said.take(read(self.said.latest))

    def _work(self) -> None:
        names = sorted(self._fresh)
        self._fresh.clear()
        missing = self.classes.missing_findings([name for name in names if self.said.parts.get(name)])
        for name in names:
            there = self.classes.annotations.of(name)
            parts = [part.now(there) for part in self.said.parts[name]]
            keys = {key for part in parts for key in (*part.seen, *(line["annotation_id"] for line in part.lines))}
            answers = (at for at, found in missing.get(name, ()) for part in parts if part.answers(found))
            self._of[name] = (keys, set(answers))

    def answered(self) -> Answered:
        """All of it, as it is now."""
        with self._lock:
            return self._answered()

    def _answered(self) -> Answered:
        self._work()
        keys = (key for keys, _ in self._of.values() for key in keys)
        findings = (at for _, found in self._of.values() for at in found)
        return Answered(frozenset(self.said.decided), frozenset(keys), frozenset(findings))


def _part(row: Mapping[str, Any]) -> Part:
    lines = tuple(json.loads(row["edits"])) if row["edits"] else ()
    return Part(lines, read_seen(str(row["sample_id"]), row["seen"]), frozenset(read_absent(row["seen"])))


def with_part(cards: Sequence[Card], told: Told, reviewer: str) -> list[Card]:
    """The cards; of pictures of which a reviewer has looked at some annotations, with what was said of those, and
    without the findings that have an answer."""
    found = []
    for card in cards:
        part = told.said.part(card.sample_id, reviewer) if card.kind == "sample" else None
        if part is not None:
            part = part.now(card.annotations)
            left = tuple(one for one in card.findings if not part.answers(one))
            changed = {line["annotation_id"] for line in part.lines}
            card = replace(card, findings=left, said=part.lines, confirmed=tuple(sorted(set(part.seen) - changed)))
        found.append(card)
    return found


# --- saying more -----------------------------------------------------------------------------------------------------


def part_action(
    tiles: Sequence[Tile],
    name: str,
    context: Context,
    card_of: Callable[[str], Card],
    before: Callable[[str], Part | None],
    *,
    label: str = "",
    may_settle: bool = True,
    seconds: float = 0.0,
    comment: str = "",
    action_id: str,
) -> Action:
    """What one key says of some tiles: one decision for each of their pictures.

    Parameters
    ----------
    name : one of TILE_ACTIONS
    card_of : the card of a picture; before : what this reviewer has said of some of its annotations
    label : of `relabel`
    may_settle : whether a picture is decided when nothing flagged about it is left unsaid

    Raises
    ------
    SettingsError : no such action, or one that does not fit a tile.
    """
    if name not in TILE_ACTIONS:
        raise SettingsError(f"There is no action '{name}'. There are: {', '.join(TILE_ACTIONS)}.")
    by_sample: dict[str, list[Tile]] = {}
    for tile in tiles:
        by_sample.setdefault(tile.sample_id, []).append(tile)
    if not by_sample:
        raise SettingsError("The key press was about no picture.")
    decisions = []
    for sample_id, mine in by_sample.items():
        card = card_of(sample_id)
        part = before(sample_id) or Part()
        part = part.now(card.annotations)
        for place, tile in enumerate(mine):
            part = _with(part, tile, name, label, new_annotation_id(sample_id, action_id, place))
        decisions.append(_decision(card, part, may_settle))
    return Action(
        action_id, context.dataset, context.reviewer, tuple(decisions), seconds, context.run_id,
        context.manifest_version, comment=comment, session=context.session,
    )  # fmt: skip


def _with(part: Part, tile: Tile, name: str, label: str, new_id: str) -> Part:
    lines = TILE_ACTIONS[name](tile, label)
    if tile.annotation is None:
        wanted = tile.proposal[0]["to"]
        if not lines or lines[0]["to"]["label"] != wanted["label"]:
            part = replace(part, absent=part.absent | {facts_of(wanted["label"], wanted.get("box"))})
        if not lines or any(_is_added(line, lines[0]["to"]) for line in part.lines):
            return part
        return replace(part, lines=(*part.lines, {**lines[0], "annotation_id": new_id}))
    key = tile.annotation.annotation_id
    lines = tuple({**line, "annotation_id": new_id} if line["change"] == "add" else line for line in lines)
    others = tuple(line for line in part.lines if line["annotation_id"] != key)
    seen: Seen = {**part.seen, key: facts_of(tile.annotation.label, tile.annotation.box)}
    return replace(part, lines=(*others, *lines), seen=seen)


def _is_added(line: Line, wanted: Mapping[str, Any]) -> bool:
    if line["change"] != "add" or line["to"]["label"] != wanted["label"]:
        return False
    return same_box(line["to"].get("box"), wanted.get("box"))


def _decision(card: Card, part: Part, may_settle: bool) -> Decision:
    open_ones = [found for found in card.findings if found.is_issue and not part.answers(found)]
    flagged = any(found.is_issue for found in card.findings)
    kind = ENOUGH if may_settle and flagged and not open_ones else WAITS
    member = next(member for member in card.members if member.sample_id == card.sample_id)
    return Decision(
        card.item_id, card.sample_id, "edit" if part.lines else "keep", given_label=member.label,
        suggestion=card.advice, edits=part.lines, seen=write_seen(card.sample_id, part.seen, kind, part.absent),
    )  # fmt: skip


def _right(tile: Tile, label: str) -> tuple[Line, ...]:
    return ()


def _drop(tile: Tile, label: str) -> tuple[Line, ...]:
    one = _there(tile)
    return ({"change": "drop", "annotation_id": one.annotation_id, "from": one.as_value, "to": None},)


def _relabel(tile: Tile, label: str) -> tuple[Line, ...]:
    if not label:
        raise SettingsError("Choose one class.")
    one = tile.annotation
    if one is None:  # something is there, and it is another class than was thought
        return ({**tile.proposal[0], "to": {**tile.proposal[0]["to"], "label": label}},)
    if label == one.label:
        return ()
    return ({"change": "relabel", "annotation_id": one.annotation_id, "from": one.label, "to": label},)


def _accept(tile: Tile, label: str) -> tuple[Line, ...]:
    if not tile.proposal:
        raise SettingsError("Nothing is proposed for one of these.")
    return tile.proposal


def _there(tile: Tile) -> Annotation:
    if tile.annotation is None:
        raise SettingsError("There is nothing to remove: it is only thought to be missing.")
    return tile.annotation


# What can be said of a tile: that it is right as it is (or not missing), what the finding proposes, that it is to go,
# or that it is of another class.
TILE_ACTIONS: Mapping[str, Callable[[Tile, str], tuple[Line, ...]]] = {
    "right": _right,
    "accept": _accept,
    "drop": _drop,
    "relabel": _relabel,
}
