"""What decisions on several annotations make of one picture of the newest version: each annotation settled by itself.

A decision is applied as a whole where everything that it says something about is as it was seen, or as another decision
has made it of that; else all of it is a conflict. What others say of other annotations is applied all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from curation.agreement import BOX, HARD, LABEL, THERE, Held
from curation.decisions import Decision
from curation.edits import Line, same_box
from curation.manifest import EXCLUDED
from curation.manifest import changes as lines_of
from curation.manifest.changes import LABELS, Sample, apply_line, inverse, read_attributes
from curation.manifest.histories import Given, History, Outcome
from curation.manifest.marks import excluded, included, marked
from curation.seen import Late, box_digest, facts_of, label_digest, late_facts, seen_facts
from curation.wording import counted

_LISTED = 3
_FACT = {"relabel": LABEL, "box": BOX, "add": THERE, "drop": THERE}
Causes = dict[tuple[str, str], tuple[tuple[Given, ...], bool]]


def settle_edits(history: History, sample: Sample, needed: int) -> Outcome | None:
    """What the decisions on a picture with several annotations make of it; None where what holds is about one label.

    needed : how many opinions the picture wants
    """
    current = [g for g in history.current() if g.decision.verdict != "unsure"]
    fresh = [g for g in history.current() if g.decision_id not in history.published]
    late = {g: missed for g in current if (missed := _missed(g.decision, history, sample))}
    without = {g.reviewer for g in late}
    agreed = history.agreement(without, needed)
    if agreed is None and any(g.reviewer not in without for g in current):
        return Outcome(sample, waits=bool(fresh))
    by_id = {g.decision_id: g for g in history.given}
    said = tuple(by_id[opinion.decision_id] for opinion in agreed.opinions) if agreed else ()
    if said and not said[-1].decision.about_annotations and said[-1].decision.verdict != "exclude":
        return None
    conflicts = tuple(
        (g, _sentence(g.decision, missed, sample))
        for g, missed in late.items()
        if g in fresh and not _looked_again(g, missed, current, late)
    )
    held = [] if agreed is None else next(iter(agreed.held.values()), [])
    voters = [] if agreed is None else next(iter(agreed.of.values()), [])
    new, causes = _included_again(history, sample, said)
    if new.columns["status"] == EXCLUDED and held and any(g.decision_id not in history.published for g in said):
        return Outcome(sample, said, "it was excluded meanwhile, by somebody who did not know of this decision")
    new = _without_undone(history, new, held, causes)
    met: set[str] = set()
    for fact in held:
        because = tuple(by_id[voters[place].decision_id] for place in fact.voters)
        if any(g.decision_id not in history.published for g in because) or _was_touched(fact, history):
            new = _with_fact(history, new, fact, because, causes, met)
    if said and not held and said[-1].decision_id not in history.published:
        new = excluded(new, said[-1].decision.reason)
        causes["exclude", ""] = (said, False)
    if said:
        return Outcome(new, said, causes=causes, late=conflicts)
    undone = tuple(history.taken_back())
    if undone:
        return Outcome(new, undone, undone=True, causes=causes, late=conflicts)
    if conflicts:
        return Outcome(sample, (conflicts[-1][0],), conflicts[-1][1], late=conflicts[:-1])
    return Outcome(sample, waits=bool(fresh) and not late)


# --- whether a decision can be applied ---------------------------------------------------------------------------


def _missed(decision: Decision, history: History, sample: Sample) -> tuple[Late, ...]:
    """What has changed of that on which a decision about annotations was made."""
    if not decision.about_annotations:
        return ()
    present, since = seen_facts(sample.annotations), history.lines_there()
    return late_facts(decision.edits, decision.claims.seen, present, since, decision.is_part)


def _looked_again(
    given: Given, missed: Sequence[Late], current: Sequence[Given], late: Collection[Given]
) -> bool:  # fmt: skip
    """Whether somebody has said something since of that which a decision had missed."""
    wanted = {one.annotation_id for one in missed}
    for other in current:
        if other.decision_id > given.decision_id and other not in late:
            claims = other.decision.claims
            whole = (claims.whole and not claims.part) or other.decision.verdict == "exclude"
            seen = set(claims.seen or ()) if claims.part else set()
            if whole or wanted <= {line["annotation_id"] for line in other.decision.edits} | seen:
                return True
    return False


def _sentence(decision: Decision, missed: Sequence[Late], sample: Sample) -> str:
    """What has changed, without the end of the sentence."""
    if decision.verdict == "edit" and len(missed) == 1:
        return _one_thing(decision, missed[0], sample)
    found = []
    for kinds, one, several in (
        (("new",), "annotation was added", "annotations were added"),
        (("gone",), "was removed", "were removed"),
        (("label",), "has another label", "have another label"),
        (("box",), "has another box", "have another box"),
    ):
        ids = sorted({late.annotation_id for late in missed if late.kind in kinds})
        if ids:
            names = [repr(sample.annotations[key]["label"]) for key in ids if key in sample.annotations]
            listed = f" ({', '.join(names[:_LISTED])}{' ...' if len(names) > _LISTED else ''})" if names else ""
            found.append(f"{counted(len(ids), one, several)}{listed}")
    return f"since it was decided, {', '.join(found)}"


def _one_thing(decision: Decision, late: Late, sample: Sample) -> str:
    line = next(line for line in decision.edits if line["annotation_id"] == late.annotation_id)
    there = sample.annotations.get(late.annotation_id)
    was = line["from"] if line["change"] == "relabel" else ""
    if line["change"] == "drop":
        was = line["from"]["label"]
    if there is None:
        what = f"the annotation {was!r}" if was else "the box"
        return f"{what} that was decided about is not there any more"
    if late.kind == "label":
        return f"its label was {was!r} when it was decided, and is {there['label']!r} now"
    return f"the box of {there['label']!r} is another one than when it was decided"


# --- what it becomes ---------------------------------------------------------------------------------------------


def _included_again(history: History, sample: Sample, said: Sequence[Given]) -> tuple[Sample, Causes]:
    """Without an exclusion that was undone, or whose reviewer says something else by now."""
    if sample.columns["status"] != EXCLUDED:
        return sample, {}
    there = history.published - history.undone_there
    mine = [g for g in history.given if g.decision_id in there and g.decision.verdict == "exclude"]
    mine = [g for g in mine if g.decision.reason == sample.columns["reason"]]
    undone = tuple(g for g in mine if g.undo is not None)
    if mine and not any(g in said for g in mine):
        if undone:
            return included(sample), {("include", ""): (undone, True)}
        if any(g.reviewer == other.reviewer for g in mine for other in said):
            return included(sample), {("include", ""): (tuple(said), False)}
    return sample, {}


def _without_undone(history: History, sample: Sample, held: Sequence[Held], causes: Causes) -> Sample:
    """Without what edits did that were published and undone since, where it is still there and nobody else says so."""
    undone = history.taken_back()
    for given in reversed(undone):
        for line in reversed(given.decision.edits):
            if any(_concerns(fact, line) for fact in held):
                continue
            new = _back(sample, line)
            if new is not sample:
                _note(causes, line, tuple(g for g in undone if _has(g, line)))
                sample = new
    hard = tuple(g for g in undone if g.decision.verdict == "hard" and g.decision.about_annotations)
    return _hard(sample, False, hard, True, causes) if hard and not any(fact.kind == HARD for fact in held) else sample


def _concerns(fact: Held, line: Line) -> bool:
    mine = line["annotation_id"] in (fact.annotation_id, *fact.instead)
    return mine and (fact.kind == _FACT[line["change"]] or (fact.kind == THERE and not fact.value))


def _has(given: Given, line: Line) -> bool:
    kinds = (line["change"], line["annotation_id"])
    return any((own["change"], own["annotation_id"]) == kinds for own in given.decision.edits)


def _note(causes: Causes, line: Line, undone: tuple[Given, ...]) -> None:
    back = inverse({**line, "path": ""})
    causes[back["change"], line["annotation_id"]] = (undone, True)


def _back(sample: Sample, line: Line) -> Sample:
    """The sample without the effect of a line; the same object where that is not there."""
    key, there = line["annotation_id"], sample.annotations.get(line["annotation_id"])
    if line["change"] == "add":  # a mark that a review set since is no reason to leave it
        if there is None or _facts(there) != facts_of(line["to"]["label"], line["to"].get("box")):
            return sample
        return Sample(sample.columns, {name: a for name, a in sample.annotations.items() if name != key})
    return _applied(sample, inverse({**line, "path": ""}))


def _applied(sample: Sample, line: Mapping[str, Any]) -> Sample:
    try:
        return apply_line(sample, line) or sample
    except (KeyError, TypeError, ValueError):
        return sample


def _facts(annotation: Mapping[str, Any]) -> Any:
    return facts_of(annotation["label"], [annotation[name] for name in lines_of.BOX])


def _was_touched(fact: Held, history: History) -> bool:
    """Whether a version has a decision on the same fact that was undone since."""
    undone = history.taken_back()
    if fact.kind == HARD:
        return any(g.decision.verdict == "hard" for g in undone)
    return any(_concerns(fact, line) for g in undone for line in g.decision.edits)


def _with_fact(
    history: History, sample: Sample, fact: Held, because: tuple[Given, ...], causes: Causes, met: set[str]
) -> Sample:
    """The sample as a fact says that it is; met : ids of what was added, or found to be there, for other facts."""
    key, there = fact.annotation_id, sample.annotations.get(fact.annotation_id)
    if fact.kind == HARD:
        return _hard(sample, bool(fact.value), because, False, causes)
    if fact.kind == THERE:
        return _with_or_without(history, sample, fact, because, causes, met)
    if there is None:
        return sample
    name = "relabel" if fact.kind == LABEL else "box"
    now: Any = there["label"] if name == "relabel" else [there[side] for side in lines_of.BOX]
    digest = label_digest(now) if name == "relabel" else box_digest(now)
    wanted = fact.value if fact.value is not None else _remembered(history, name, fact.digest)
    if digest == fact.digest or wanted is None:
        return sample
    causes[name, key] = (because, False)
    return _applied(sample, {"change": name, "annotation_id": key, "from": now, "to": wanted})


def _with_or_without(
    history: History, sample: Sample, fact: Held, because: tuple[Given, ...], causes: Causes, met: set[str]
) -> Sample:
    annotations = dict(sample.annotations)
    for other in fact.instead:
        if annotations.pop(other, None) is not None:
            causes["drop", other] = (because, False)
    key = fact.annotation_id
    if not fact.value and annotations.pop(key, None) is not None:
        causes["drop", key] = (because, False)
    new = Sample(sample.columns, annotations)
    if not fact.value or key in annotations:
        return new
    wanted = fact.added["to"] if fact.added is not None else _dropped(history, key)
    seen = because[-1].decision.claims.seen or {} if because else {}
    if wanted is None or (fact.added is not None and _is_there(new, wanted, seen, met)):
        return new
    causes["add", key] = (because, False)
    met.add(key)
    return _applied(new, {"change": "add", "annotation_id": key, "from": None, "to": wanted})


def _is_there(sample: Sample, wanted: Mapping[str, Any], seen: Collection[str], met: set[str]) -> bool:
    """Whether there is such an annotation by now: a source that was imported again has it, too.

    Of a label without a box there can be several, where they are counted: one that was `seen` when another was added is
    not that one, and each is only one. What is found is added to `met`.
    """
    for key, there in sample.annotations.items():
        box = [there[name] for name in lines_of.BOX]
        place = None if None in box else box
        if there["label"] != wanted["label"] or not same_box(place, wanted.get("box")):
            continue
        if place is None and (key in seen or key in met):
            continue
        met.add(key)
        return True
    return False


def _dropped(history: History, key: str) -> Any:
    """The annotation that a published edit removed and that has to come back."""
    lines = (line for line in reversed(history.lines_there()) if line["change"] == "drop")
    return next((line["from"] for line in lines if line["annotation_id"] == key), None)


def _remembered(history: History, kind: str, digest: str) -> Any:
    """The label or box that a digest stands for: what it is not any more, some line has replaced."""
    of = label_digest if kind == "relabel" else box_digest
    values = (line[side] for g in history.given for line in g.decision.edits if line["change"] == kind
              for side in ("from", "to"))  # fmt: skip
    return next((value for value in values if of(value) == digest), None)


def _hard(sample: Sample, hard: bool, because: tuple[Given, ...], undone: bool, causes: Causes) -> Sample:
    """With the mark of a picture that is hard to see on all its annotations, or on none."""
    annotations = {}
    for key, there in sample.annotations.items():
        known = read_attributes(there["attributes"])
        marks = {name: known[name] for name in (LABELS,) if name in known}
        text = marked(there["attributes"], marks | ({lines_of.HARD: True} if hard else {}))
        annotations[key] = {**there, "attributes": text}
        if text != there["attributes"]:
            causes["attributes", key] = (because, undone)
    return Sample(sample.columns, annotations)
