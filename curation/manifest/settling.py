"""From append-only decisions to what they make of one sample of the newest version. Pure: no store, no files.

A decision is *fresh* until some version says that it is in it. What a version says it has, and what was taken back by
`curate revert` since, is never applied again: only fresh decisions, and fresh undos, change anything.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from curation.decisions import UNDO, Decision, Opinion, agreed, opinions_of
from curation.manifest import EXCLUDED
from curation.manifest.changes import HARD, LABELS, Sample, attributes_text, read_attributes
from curation.records import make_annotation_id

WAITING = ("second", "disagreement")  # states of an item that publishing waits for


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
    """

    sample: Sample | None
    because: tuple[Given, ...] = ()
    problem: str = ""
    waits: bool = False
    undone: bool = False


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

    def opinions(self) -> list[Opinion]:
        """The current opinions on the sample, as the store would have them."""
        return _opinions(g for g in self.given if g.undo is None)

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
    decision = Decision(**{name: row[name] for name in names}, labels=tuple(json.loads(row["labels"])))
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


def _opinions(given: Iterable[Given]) -> list[Opinion]:
    # How many opinions an item needs does not matter here: it decides when an item waits, not who is right.
    about = [g for g in given if g.decision.about_sample]
    return opinions_of([Opinion(g.reviewer, (g.decision,), g.decision_id) for g in about], needed=1)


def settle(history: History, sample: Sample | None, state: str) -> Outcome:
    """What the decisions on a sample make of it.

    sample : as the newest version has it, None where it has none
    state : the least settled state of the items that they are about
    """
    if state in WAITING:
        return Outcome(sample, waits=True)
    current = history.current()
    fresh = [g for g in current if g.decision_id not in history.published]
    if sample is None:
        return Outcome(None, tuple(fresh[-1:]), "the picture is not in the data set any more" if fresh else "")
    before = history.held()
    stale = [g for g in current if g.decision.verdict != "unsure" and not _fits(g.decision, history, sample)]
    now = history.holding(without={g.reviewer for g in stale})
    if not now:
        if before and all(g.undo is not None for g in before):
            return Outcome(_taken_back(sample, before[-1].decision, None), before, undone=True)
        late = [g for g in fresh if g in stale]
        if late:
            return Outcome(sample, (late[-1],), _stale(late[-1].decision, sample))
        return Outcome(sample, waits=bool(fresh))
    holds = now[-1]
    if holds.decision_id not in history.published:
        return _applied(sample, now, before)
    if before and before[-1].decision_id != holds.decision_id and before[-1].undo is not None:
        back = _taken_back(sample, before[-1].decision, holds.decision)
        if holds.version == before[-1].version:  # else somebody may have reverted it in between
            back = _again(back, holds.decision)
        return Outcome(back, before, undone=True)
    return Outcome(sample)


# --- whether a decision can be applied ---------------------------------------------------------------------------


def _fits(decision: Decision, history: History, sample: Sample) -> bool:
    """Whether the label is still what the reviewer saw, or what he or she made of it, or what an earlier decision on
    the same label made of it, which this one replaces."""
    if decision.verdict == "exclude" and not decision.annotation_id and len(sample.annotations) > 1:
        return True  # about the picture, whatever its labels are
    label = _label(decision, sample)
    if label is None or label in (decision.given_label, decision.outcome):
        return True
    earlier = [g.decision for g in history.given if g.decision_id in history.published]
    return any(e.given_label == decision.given_label and e.outcome == label for e in earlier)


def _stale(decision: Decision, sample: Sample) -> str:
    return f"its label was {decision.given_label!r} when it was decided, and is {_label(decision, sample)!r} now"


def _label(decision: Decision, sample: Sample) -> str | None:
    """The label that a decision is about, "" if there is none; None where that cannot be said."""
    key, problem = _annotation_of(decision, sample)
    return None if problem else sample.annotations[key]["label"] if key in sample.annotations else ""


def _annotation_of(decision: Decision, sample: Sample) -> tuple[str, str]:
    """The id of the annotation that a decision is about, a new one where there is none; and what is wrong with it."""
    there = sample.annotations
    if decision.annotation_id in there:
        return decision.annotation_id, ""
    if decision.annotation_id and there:
        return "", "the label that was decided about is not there any more"
    if len(there) > 1:
        if decision.verdict == "exclude":
            return "", ""
        return "", "it has several labels, and the decision does not say about which"
    if there:
        return next(iter(there)), ""
    return make_annotation_id(decision.sample_id), ""


# --- what it becomes ---------------------------------------------------------------------------------------------


def _applied(sample: Sample, now: tuple[Given, ...], before: tuple[Given, ...]) -> Outcome:
    decision = now[-1].decision
    key, problem = _annotation_of(decision, sample)
    base = sample
    if before and before[-1].decision.given_label == decision.given_label:
        # It replaces what was published: the result is the same as if that had never been.
        base = _taken_back(sample, before[-1].decision, None)
    if base.columns["status"] == EXCLUDED and decision.verdict != "exclude":
        problem = problem or "it was excluded meanwhile, by somebody who did not know of this decision"
    if problem:
        return Outcome(sample, now, problem)
    if decision.verdict == "exclude":
        return Outcome(_excluded(base, decision.reason), now)
    return Outcome(_labelled(base, key, decision), now)


def _labelled(sample: Sample, key: str, decision: Decision) -> Sample:
    """With the label that a decision wants, and what it says beside it."""
    there = sample.annotations.get(key)
    if there is None and not decision.outcome:
        return sample
    values = dict(there or {"label": "", "x": None, "y": None, "w": None, "h": None, "attributes": ""})
    marks: dict[str, Any] = {HARD: True} if decision.verdict == "hard" else {}
    if decision.verdict == "ambiguous":
        marks = {LABELS: list(decision.labels)}
    values["attributes"] = _marked(values["attributes"], marks)
    values["label"] = decision.outcome
    return Sample(sample.columns, {**sample.annotations, key: values})


def _marked(attributes: str, marks: dict[str, Any]) -> str:
    """Attributes with these marks of a review and no others; their text stays as it is where nothing changes."""
    known = read_attributes(attributes)
    if {key: known[key] for key in (HARD, LABELS) if key in known} == marks:
        return attributes
    if attributes and not known and attributes.strip() != "{}":
        known = {"curate:text": attributes}  # what a source has here is JSON; anything else is kept as it is
    return attributes_text({**{key: value for key, value in known.items() if key not in (HARD, LABELS)}, **marks})


def _excluded(sample: Sample, reason: str) -> Sample:
    return Sample({**sample.columns, "status": EXCLUDED, "reason": reason}, sample.annotations)


def _included(sample: Sample) -> Sample:
    """In the data set again. Why an unreadable picture was unreadable is said by the next import."""
    status = "ok" if sample.columns["pixel_hash"] or sample.columns["width_px"] else "unreadable"
    return Sample({**sample.columns, "status": status, "reason": ""}, sample.annotations)


def _again(sample: Sample, decision: Decision) -> Sample:
    """With what an earlier decision had made of it, where its label is still what that one had seen."""
    if decision.verdict == "exclude":
        return _excluded(sample, decision.reason)
    key, problem = _annotation_of(decision, sample)
    same = key in sample.annotations and sample.annotations[key]["label"] == decision.given_label
    return sample if problem or not same else _labelled(sample, key, decision)


def _taken_back(sample: Sample, undone: Decision, stays: Decision | None) -> Sample:
    """Without what a decision did that was published and undone since, as far as it is still there.

    stays : an earlier decision on the sample that holds again
    """
    if undone.verdict == "exclude":
        same = (sample.columns["status"], sample.columns["reason"]) == (EXCLUDED, undone.reason)
        return _included(sample) if same else sample
    key, problem = _annotation_of(undone, sample)
    there = sample.annotations.get(key)
    if problem or there is None or there["label"] != undone.outcome:
        return sample
    if not undone.given_label and undone.labels:  # the label itself was the review's
        return Sample(sample.columns, {name: a for name, a in sample.annotations.items() if name != key})
    marks: dict[str, Any] = {HARD: True} if stays is not None and stays.verdict == "hard" else {}
    if stays is not None and stays.verdict == "ambiguous" and stays.outcome == undone.given_label:
        marks = {LABELS: list(stays.labels)}
    attributes = _marked(there["attributes"], marks)
    return Sample(
        sample.columns, {**sample.annotations, key: {**there, "label": undone.given_label, "attributes": attributes}}
    )
