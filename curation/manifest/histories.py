"""The decisions on each sample as publishing reads them: what was said, what a version has of it, what is still new.

A decision is *fresh* until some version says that it is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from curation.decisions import UNDO, Agreement, Decision, Opinion, agreed, agreement, opinions_of
from curation.edits import Line
from curation.manifest.changes import Sample


class Given(NamedTuple):
    """One recorded decision: what was said, by whom, when, and what takes it back (None: nothing)."""

    decision_id: int
    decision: Decision
    reviewer: str
    decided_at: str
    comment: str
    run_id: str
    undo: Undo | None
    version: str = ""  # of the manifest, that was looked at


class Undo(NamedTuple):
    decision_id: int
    reviewer: str
    decided_at: str


@dataclass(frozen=True)
class Outcome:
    """What the decisions on one sample amount to.

    sample : what it becomes
    because : the decisions that agree on it, the one that holds last; those that were taken back, if `undone`
    problem : why it stays as it is, a sentence without its end; "" where there is none
    waits : whether others have to say something first
    causes : of several annotations, why each changed: by (kind of change line, annotation_id) the decisions, and
        whether they were taken back; () : as `because`
    late : decisions that do not fit any more, and why, beside those that are applied
    """

    sample: Sample | None
    because: tuple[Given, ...] = ()
    problem: str = ""
    waits: bool = False
    undone: bool = False
    causes: Mapping[tuple[str, str], tuple[tuple[Given, ...], bool]] = field(default_factory=dict)
    late: tuple[tuple[Given, str], ...] = ()


@dataclass
class History:
    """All decisions on one sample, in the order in which they were recorded.

    published : those that are in a version; undone_there : those whose undo is, too
    """

    given: list[Given] = field(default_factory=list)
    published: set[int] = field(default_factory=set)
    undone_there: set[int] = field(default_factory=set)

    def current(self) -> list[Given]:
        """What each reviewer says of the sample at present, the latest last."""
        latest: dict[str, Given] = {}
        for given in self.given:
            if given.undo is None and given.decision.about_sample:
                latest.pop(given.reviewer, None)
                latest[given.reviewer] = given
        return list(latest.values())

    def holding(self, without: Collection[str] = ()) -> tuple[Given, ...]:
        """The decisions that agree on what holds now, the latest last; `without` what some reviewers said."""
        return _agreeing(g for g in self.given if g.undo is None and g.reviewer not in without)

    def opinions(self, without: Collection[str] = (), needed: int = 1) -> list[Opinion]:
        """The current opinions on the sample, as the store would have them; `without` those of some reviewers."""
        return _opinions((g for g in self.given if g.undo is None and g.reviewer not in without), needed)

    def agreement(self, without: Collection[str], needed: int) -> Agreement | None:
        """What holds now about the annotations of the sample, `without` what some reviewers said."""
        return agreement(self.opinions(without, needed), needed)

    def wanted(self, needed: Callable[[str], int] | None) -> int:
        """How many opinions the sample wants; needed : how many an item does, None: one."""
        items = {g.decision.item_id for g in self.given if g.undo is None and g.decision.about_sample}
        return max((needed(item) for item in items), default=1) if needed is not None else 1

    def taken_back(self) -> list[Given]:
        """What the newest version has, and was undone since."""
        return [g for g in self.given if g.undo is not None and g.decision_id in self.published - self.undone_there]

    def lines_there(self) -> list[Line]:
        """The lines of all edits that the newest version has."""
        there = self.published - self.undone_there
        return [line for g in self.given if g.decision_id in there for line in g.decision.edits]

    def held(self) -> tuple[Given, ...]:
        """The same as of the newest version: from what is in it, and was not taken back there."""
        return _agreeing(g for g in self.given if g.decision_id in self.published - self.undone_there)


def histories(decisions: pd.DataFrame, published_ids: Collection[int]) -> dict[str, History]:
    """The histories of all samples about which there is something fresh, by sample id.

    decisions : as curation.store.decisions gives them, undos included
    """
    published = set(published_ids)
    decisions = decisions.sort_values("decision_id")
    undos = decisions[decisions["verdict"] == UNDO]
    undo_of = {
        row.undoes: Undo(int(row.decision_id), row.reviewer, row.decided_at) for row in undos.itertuples(index=False)
    }
    made = decisions[decisions["verdict"] != UNDO]
    freshly_undone = [action for action, undo in undo_of.items() if undo.decision_id not in published]
    fresh = ~made["decision_id"].isin(published) | made["action_id"].isin(freshly_undone)
    wanted = made[made["sample_id"].isin(set(made.loc[fresh, "sample_id"]))]
    found: dict[str, History] = {}
    for row in wanted.to_dict("records"):
        history = found.setdefault(row["sample_id"], History())
        given = _given(row, undo_of.get(row["action_id"]))
        history.given.append(given)
        if given.decision_id in published:
            history.published.add(given.decision_id)
            if given.undo is not None and given.undo.decision_id in published:
                history.undone_there.add(given.decision_id)
    return found


def _given(row: Mapping[str, Any], undo: Undo | None) -> Given:
    names = ("item_id", "sample_id", "verdict", "reason", "annotation_id", "given_label", "suggestion")
    edits = tuple(json.loads(row["edits"])) if row.get("edits") else ()
    decision = Decision(
        **{name: row[name] for name in names},
        labels=tuple(json.loads(row["labels"])),
        edits=edits,
        seen=row.get("seen") or "",
    )
    told = (row["reviewer"], row["decided_at"], row["comment"], row["run_id"])
    return Given(int(row["decision_id"]), decision, *told, undo, row["manifest_version"])


def _agreeing(given: Iterable[Given]) -> tuple[Given, ...]:
    """The current decisions that say what the reviewers agree on, the latest last; none where they do not agree."""
    about = [g for g in given if g.decision.about_sample]
    current = _opinions(about)
    held = agreed(current)
    if held is None:
        return ()
    alike = {opinion.decision_id for opinion in current if opinion.content == held.content}
    return tuple(
        sorted((g for g in about if g.decision_id in alike), key=lambda g: (g.decision_id == held.decision_id, g))
    )


def _opinions(given: Iterable[Given], needed: int = 1) -> list[Opinion]:
    # Of single labels it does not matter how many opinions an item needs: that decides when it waits, not who is right.
    about = [g for g in given if g.decision.about_sample]
    return opinions_of([Opinion(g.reviewer, (g.decision,), g.decision_id) for g in about], needed)
