"""From append-only decisions to what they make of one sample of the newest version. Pure: no store, no files.

What a version says it has, and what was taken back by `curate revert` since, is never applied again: only fresh
decisions, and fresh undos, change anything. Decisions about all annotations of a picture are settled one by one, in
curation.manifest.settling_edits; this file is about the one label.
"""

from __future__ import annotations

from typing import Any

from curation.decisions import Decision
from curation.manifest import EXCLUDED
from curation.manifest.changes import HARD, LABELS, Sample
from curation.manifest.histories import Given, History, Outcome, histories
from curation.manifest.marks import excluded, included, marked
from curation.manifest.settling_edits import settle_edits
from curation.records import make_annotation_id

__all__ = ["Given", "History", "Outcome", "histories", "settle"]

WAITING = ("second", "disagreement")  # states of an item that publishing waits for


def settle(history: History, sample: Sample | None, state: str, needed: int = 1) -> Outcome:
    """What the decisions on a sample make of it.

    sample : as the newest version has it, None where it has none
    state : the least settled state of the items that they are about
    needed : how many opinions the sample wants
    """
    if state in WAITING:
        return Outcome(sample, waits=True)
    current = history.current()
    if state == "open" and needed > 1 and any(g.decision.waits for g in current):
        return Outcome(sample, waits=True)  # nobody has looked at the whole picture, and two are to
    fresh = [g for g in current if g.decision_id not in history.published]
    if sample is None:
        return Outcome(None, tuple(fresh[-1:]), "the picture is not in the data set any more" if fresh else "")
    if any(g.decision.about_annotations for g in history.given):
        found = settle_edits(history, sample, needed)
        if found is not None:
            return found
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
        return Outcome(excluded(base, decision.reason), now)
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
    values["attributes"] = marked(values["attributes"], marks)
    values["label"] = decision.outcome
    return Sample(sample.columns, {**sample.annotations, key: values})


def _again(sample: Sample, decision: Decision) -> Sample:
    """With what an earlier decision had made of it, where its label is still what that one had seen."""
    if decision.verdict == "exclude":
        return excluded(sample, decision.reason)
    key, problem = _annotation_of(decision, sample)
    same = key in sample.annotations and sample.annotations[key]["label"] == decision.given_label
    return sample if problem or not same else _labelled(sample, key, decision)


def _taken_back(sample: Sample, undone: Decision, stays: Decision | None) -> Sample:
    """Without what a decision did that was published and undone since, as far as it is still there.

    stays : an earlier decision on the sample that holds again
    """
    if undone.about_annotations:
        return sample
    if undone.verdict == "exclude":
        same = (sample.columns["status"], sample.columns["reason"]) == (EXCLUDED, undone.reason)
        return included(sample) if same else sample
    key, problem = _annotation_of(undone, sample)
    there = sample.annotations.get(key)
    if problem or there is None or there["label"] != undone.outcome:
        return sample
    if not undone.given_label and undone.labels:  # the label itself was the review's
        return Sample(sample.columns, {name: a for name, a in sample.annotations.items() if name != key})
    marks: dict[str, Any] = {HARD: True} if stays is not None and stays.verdict == "hard" else {}
    if stays is not None and stays.verdict == "ambiguous" and stays.outcome == undone.given_label:
        marks = {LABELS: list(stays.labels)}
    attributes = marked(there["attributes"], marks)
    return Sample(
        sample.columns, {**sample.annotations, key: {**there, "label": undone.given_label, "attributes": attributes}}
    )
