"""What several reviewers' edits of one picture amount to: a vote on every annotation, not on the picture. Pure.

Each reviewer claims something about some facts: whether an annotation is there, its label, its box, whether the picture
is hard. A fact goes to the claim that all make who say anything about it, or a strict majority of at least two. So two
people who changed different annotations of one picture are both right, and who says that all is right as it is (`keep`)
contradicts every change of what he or she saw. Where the picture wants more than one opinion, an edit says of all else
that was seen that it is right, too. Who looked at a part of the annotations says so of each that was seen, and nothing
of the others.

Two drawn boxes count as one from an overlap (intersection over union) of SAME_BOX on. That is no equivalence: A may be
like B, and B like C, while A is not like C. What is counted as one are the connected groups among the boxes that are
compared, which does not depend on the order in which they came. The box that a group stands for is the one that
overlaps most with the others, of equals the smallest by its numbers; nobody gets a box that nobody drew.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from curation.edits import Line, overlap, same_box
from curation.seen import Facts, Seen, box_digest, label_digest

THERE, LABEL, BOX, HARD = "there", "label", "box", "hard"


class Claims(NamedTuple):
    """What one reviewer says of the annotations of a picture.

    lines : of an edit; seen : what there was, None = not known
    whole : whether all that was seen is right as it is (`keep`, `hard`); hard : whether it is hard to see
    part : whether what was seen is all that is spoken of; absent : what was thought to be missing, and is not
    """

    lines: tuple[Line, ...] = ()
    seen: Seen | None = None
    whole: bool = False
    hard: bool = False
    part: bool = False
    absent: tuple[Facts, ...] = ()


class Held(NamedTuple):
    """A fact that is agreed on.

    kind : THERE, LABEL, BOX or HARD; annotation_id : "" for HARD
    value : whether it is there, or hard; the label or the box, None where all say that it is right as it was seen
    voters : places, in the list of claims, of those who say so; the last is the one whose box it is
    digest : of the label or box
    added : of THERE, the line that adds it; instead : ids that others gave to the same new annotation
    """

    kind: str
    annotation_id: str
    value: Any
    voters: tuple[int, ...]
    digest: str = ""
    added: Line | None = None
    instead: tuple[str, ...] = ()


class _Vote(NamedTuple):
    voter: int
    digest: Hashable
    value: Any = None  # the label or box itself, None where only its digest is known


def vote(claims: Sequence[Claims], silence_counts: bool, umpire: int | None = None) -> list[Held] | None:
    """The facts that are agreed on, those about which anybody says something else than what was seen; None if the
    claims contradict each other.

    Parameters
    ----------
    claims : of each reviewer one, in any order
    silence_counts : whether an edit says of all that it leaves alone that it is right
    umpire : place of the one who settled a disagreement: what he or she says holds, of the rest what is not disputed
    """
    subjects = _subjects(claims)
    votes = _votes(claims, subjects, silence_counts)
    held: list[Held] = []
    for (kind, subject), given in sorted(votes.items(), key=lambda pair: (pair[0][1], _ORDER[pair[0][0]])):
        there = None
        if kind in (LABEL, BOX):
            there = next((h for h in held if h.kind == THERE and subjects[h.annotation_id] == subject), None)
            if there is None or not there.value:
                continue
            given = [one for one in given if one.voter in there.voters]
        winners = _winners(given, umpire)
        if winners is None and umpire is None:
            return None
        if winners:
            name = there.annotation_id if there is not None else subject
            held.append(_held(kind, name, winners, claims, subjects))
    return held if umpire is not None or not _two_for_one(held, claims) else None


_ORDER = {THERE: 0, LABEL: 1, BOX: 2, HARD: 3}


def _subjects(claims: Sequence[Claims]) -> dict[str, str]:
    """What each annotation id stands for: itself, or the first of the ids that several gave to one new annotation."""
    added = [(voter, line) for voter, one in enumerate(claims) for line in one.lines if line["change"] == "add"]
    added.sort(key=lambda pair: _text(pair[1]))
    subject = {line["annotation_id"]: line["annotation_id"] for _, line in added}

    def root(key: str) -> str:
        while subject[key] != key:
            key = subject[key]
        return key

    times = _times(added)
    for place, (voter, line) in enumerate(added):
        for at, (other, earlier) in enumerate(added[:place]):
            if voter != other and times[at] == times[place] and _same_thing(line["to"], earlier["to"]):
                one, two = sorted((root(line["annotation_id"]), root(earlier["annotation_id"])))
                subject[two] = one
    found = {key: root(key) for key in subject}
    named = {line["annotation_id"] for one in claims for line in one.lines}
    return {**{key: key for key in named}, **found, "": ""}


def _times(added: Sequence[tuple[int, Line]]) -> list[int]:
    """How often each voter has added the label without a box before: of counts, the second one of one reviewer is the
    second one of another."""
    before: dict[tuple[int, str], int] = {}
    found = []
    for voter, line in added:
        whole = line["to"].get("box") is None
        key = voter, line["to"]["label"]
        found.append(before.get(key, 0) if whole else 0)
        before[key] = before.get(key, 0) + whole
    return found


def _same_thing(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one["label"] == other["label"] and same_box(one.get("box"), other.get("box"))


def _votes(
    claims: Sequence[Claims], subjects: Mapping[str, str], silence_counts: bool
) -> dict[tuple[str, str], list[_Vote]]:
    """All votes on the facts that somebody's line is about."""
    ids: dict[str, set[str]] = {}
    for key, subject in subjects.items():
        ids.setdefault(subject, set()).add(key)
    new: dict[str, set[Facts]] = {}
    for line in (line for one in claims for line in one.lines if line["change"] == "add"):
        new.setdefault(subjects[line["annotation_id"]], set()).add(_facts_of_added(line))
    votes: dict[tuple[str, str], list[_Vote]] = {}
    for voter, one in enumerate(claims):
        own: dict[tuple[str, str], _Vote] = {}
        for line in one.lines:
            own |= _said(voter, line, subjects[line["annotation_id"]])
        if one.seen is not None and (one.whole or one.part or silence_counts):
            for subject in ids.keys() - {""}:
                facts = new.get(subject, set())
                missing = bool(facts & set(one.absent)) if one.part else bool(facts)
                for fact, silent in _silent(voter, one.seen, subject, ids[subject], missing).items():
                    dropped = own.get((THERE, subject))
                    if fact not in own and not (dropped is not None and dropped.digest is False):
                        own[fact] = silent
        if one.whole and not one.part:
            own[HARD, ""] = _Vote(voter, one.hard, one.hard)
        for fact, mine in own.items():
            votes.setdefault(fact, []).append(mine)
    wanted = {subjects[line["annotation_id"]] for one in claims for line in one.lines}
    return {fact: given for fact, given in votes.items() if fact[1] in wanted or fact[0] == HARD}


def _facts_of_added(line: Line) -> Facts:
    return Facts(label_digest(line["to"]["label"]), box_digest(line["to"].get("box")))


def _said(voter: int, line: Line, subject: str) -> dict[tuple[str, str], _Vote]:
    kind, to = line["change"], line["to"]
    if kind == "drop":
        return {(THERE, subject): _Vote(voter, False, False)}
    found = {(THERE, subject): _Vote(voter, True, True)}
    if kind in ("relabel", "add"):
        label = to if kind == "relabel" else to["label"]
        found[LABEL, subject] = _Vote(voter, label_digest(label), label)
    if kind in ("box", "add"):
        box = to if kind == "box" else to.get("box")
        found[BOX, subject] = _Vote(voter, box_digest(box), None if box is None else tuple(box))
    return found


def _silent(voter: int, seen: Seen, subject: str, ids: set[str], missing: bool) -> dict[tuple[str, str], _Vote]:
    """What somebody who left it alone says of a subject; missing : whether that there is nothing such, if it is new."""
    facts = next((seen[key] for key in sorted(ids) if key in seen), None)
    if facts is None:  # nothing there that was missing; or an annotation of another time, about which nothing is said
        return {(THERE, subject): _Vote(voter, False, False)} if missing else {}
    return {
        (THERE, subject): _Vote(voter, True, True),
        (LABEL, subject): _Vote(voter, facts.label),
        (BOX, subject): _Vote(voter, facts.box),
    }


def _winners(given: Sequence[_Vote], umpire: int | None) -> list[_Vote] | None:
    """The votes that agree on what holds; None if there is nothing that they agree on, [] if nobody says anything."""
    groups = _groups(given)
    for group in groups:
        if umpire is not None and any(one.voter == umpire for one in group):
            return group
    if not groups:
        return []
    best = max(groups, key=len)
    return best if len(groups) == 1 or (len(best) >= 2 and 2 * len(best) > len(given)) else None


def _groups(given: Sequence[_Vote]) -> list[list[_Vote]]:
    """Votes that say the same, boxes that overlap enough included."""
    groups: list[list[_Vote]] = []
    for one in given:
        like = [group for group in groups if any(_alike(one, other) for other in group)]
        groups = [group for group in groups if not any(group is other for other in like)]
        groups.append([*(member for group in like for member in group), one])
    return groups


def _alike(one: _Vote, other: _Vote) -> bool:
    if one.digest == other.digest:
        return True
    return isinstance(one.value, tuple) and isinstance(other.value, tuple) and same_box(one.value, other.value)


def _held(
    kind: str, name: str, winners: Sequence[_Vote], claims: Sequence[Claims], subjects: Mapping[str, str]
) -> Held:
    """The fact that `winners` agree on; name : annotation id."""
    known = [one for one in winners if one.value is not None]
    chosen = _middle(known) if kind == BOX and known else (known or winners)[-1]
    voters = (*(one.voter for one in winners if one.voter != chosen.voter), chosen.voter)
    if kind != THERE:
        return Held(kind, name, chosen.value, voters, str(chosen.digest))
    added = [
        line
        for voter in voters
        for line in claims[voter].lines
        if line["change"] == "add" and subjects[line["annotation_id"]] == name
    ]
    if not added or not chosen.value:
        return Held(kind, name, chosen.value, voters)
    line = _middle_line(added)
    others = {key for key, other in subjects.items() if other == name} - {line["annotation_id"]}
    return Held(kind, line["annotation_id"], True, voters, added=line, instead=tuple(sorted(others)))


def _middle(votes: Sequence[_Vote]) -> _Vote:
    boxes = [one.value for one in votes]
    return min(votes, key=lambda one: (-_closeness(one.value, boxes), one.value, one.voter))


def _middle_line(lines: Sequence[Line]) -> Line:
    boxes = [line["to"].get("box") for line in lines]
    return min(
        lines, key=lambda line: (-_closeness(line["to"].get("box"), boxes), line["to"].get("box") or [], *_text(line))
    )


def _closeness(box: Sequence[float] | None, boxes: Sequence[Sequence[float] | None]) -> float:
    """How much a box overlaps with all of them, rounded so that ties are ties on every machine."""
    return round(sum(overlap(box, other) for other in boxes if box is not None and other is not None), 9)


def _text(line: Line) -> tuple[str, str]:
    return json.dumps(line["to"], sort_keys=True), line["annotation_id"]


def supports(place: int, claims: Sequence[Claims], held: Sequence[Held]) -> bool:
    """Whether what holds is what the reviewer at this place of the claims says, or, of an edit, some of it."""
    own = claims[place]
    if not own.whole:
        return any(place in one.voters for one in held)
    seen = own.seen or {}
    wider = not own.part
    about = (
        one for one in held if (wider and (one.kind == HARD or one.added is not None)) or one.annotation_id in seen
    )
    return all(place in one.voters for one in about)


def _two_for_one(held: Sequence[Held], claims: Sequence[Claims]) -> bool:
    """Whether two people added the same thing under different labels, so that one of them must be wrong."""
    added = [one for one in held if one.added is not None]
    for place, one in enumerate(added):
        for other in added[:place]:
            first, second = (h.added["to"] for h in (one, other) if h.added is not None)
            if first.get("box") is None or not same_box(first.get("box"), second.get("box")):
                continue
            if not set(one.voters) & set(other.voters):
                return True
    return False
