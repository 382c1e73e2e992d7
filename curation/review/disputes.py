"""Pictures of which reviewers say different things: what nobody disputes is taken, the rest is shown side by side.

Reviewers of several annotations are compared one annotation at a time (curation.agreement), so that as a rule most of
what two of them said is undisputed; who settles the disagreement is asked about the rest only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from curation.decisions import Decision
from curation.edits import Line, same_box
from curation.explain import explain_pieces
from curation.review.annotations import by_id
from curation.review.cards import Card
from curation.review.earlier import did_edits
from curation.review.findings import Finding, Opinion
from curation.seen import facts_of
from curation.store.earlier import Said

ISSUE = "disagreement"
Stance = tuple[Line, ...]  # what somebody would change of one thing; () = it is right as it is


def with_disputes(
    cards: Sequence[Card], said: Mapping[str, Sequence[Said]], needed: Callable[[str], int]
) -> list[Card]:
    """The cards; those of pictures on which reviewers disagree begin with what is not disputed (`Card.said`), and ask
    about the rest.

    Parameters
    ----------
    said : what each reviewer says of an item at present, by item_id; only of those that are disagreed about
    needed : how many opinions an item wants: from two on, who left something alone has found it right
    """
    return [_with(card, said[card.item_id], needed(card.item_id)) if card.item_id in said else card for card in cards]


def _with(card: Card, said: Sequence[Said], needed: int) -> Card:
    made = [(one.reviewer, decision) for one in said for decision in one.decisions]
    made = [(who, d) for who, d in made if d.about_annotations and d.sample_id == card.sample_id]
    if card.kind != "sample" or len(made) < 2:
        return card
    agreed: list[Line] = []
    disputes: list[Finding] = []
    for subject in _subjects(made):
        stances = {who: stance for who, d in made if (stance := _stance(d, subject, needed)) is not None}
        different = _different(list(stances.values()))
        if len(different) == 1:
            agreed += different[0]
        elif different:
            disputes.append(_finding(card, subject, stances))
    return replace(card, said=tuple(agreed), findings=(*disputes,), why=(), why_parts=()) if disputes else card


def _subjects(made: Sequence[tuple[str, Decision]]) -> list[Line]:
    """One line for each thing that anybody would change: an annotation, or a place where one is to be added."""
    found: list[Line] = []
    for line in (line for _, decision in made for line in decision.edits):
        if not any(_same_subject(line, other) for other in found):
            found.append(line)
    return found


def _same_subject(one: Line, other: Line) -> bool:
    added = [line["to"] for line in (one, other) if line["change"] == "add"]
    if len(added) == 1:
        return False
    if not added:
        return bool(one["annotation_id"] == other["annotation_id"])
    first, second = added
    place = first.get("box") is not None and same_box(first.get("box"), second.get("box"))
    return place or (first["label"] == second["label"] and same_box(first.get("box"), second.get("box")))


def _stance(decision: Decision, subject: Line, needed: int) -> Stance | None:
    """What somebody would do about a thing; None where nothing was said of it."""
    claims = decision.claims
    lines = tuple(line for line in claims.lines if _same_subject(line, subject))
    if lines:
        return lines
    added = subject["to"] if subject["change"] == "add" else None
    if claims.part:
        absent = added is not None and facts_of(added["label"], added.get("box")) in claims.absent
        return () if absent or subject["annotation_id"] in (claims.seen or {}) else None
    spoke = claims.whole or needed > 1
    return () if spoke and (added is not None or subject["annotation_id"] in (claims.seen or {})) else None


def _different(stances: Sequence[Stance]) -> list[Stance]:
    """The different ones, the one that most share first."""
    found: list[list[Any]] = []
    for stance in stances:
        like = next((one for one in found if _alike(one[0], stance)), None)
        if like is None:
            found.append([stance, 1])
        else:
            like[1] += 1
    return [stance for stance, _ in sorted(found, key=lambda one: -one[1])]


def _alike(one: Stance, other: Stance) -> bool:
    if len(one) != len(other):
        return False
    return all(any(_says_the_same(line, twin) for twin in other) for line in one)


def _says_the_same(one: Line, other: Line) -> bool:
    if one["change"] != other["change"]:
        return False
    if one["change"] == "box":
        return same_box(one["to"], other["to"])
    if one["change"] == "add":
        return bool(one["to"]["label"] == other["to"]["label"]) and same_box(
            one["to"].get("box"), other["to"].get("box")
        )
    return bool(one["to"] == other["to"])


def _finding(card: Card, subject: Line, stances: Mapping[str, Stance]) -> Finding:
    key = "" if subject["change"] == "add" else str(subject["annotation_id"])
    there = by_id(card.annotations).get(key)
    opinions = tuple(Opinion(who, tuple(_words(stance, there is None)), stance) for who, stance in stances.items())
    parts: list[str] = []
    for one in opinions:
        parts += ["; " if parts else "", f"{one.who} ", *one.words]
    return Finding(
        card.sample_id, ISSUE, key, there.label if there else "", "", 0.0, True, explain_pieces(parts), tuple(parts),
        box=there.box if there else None, shown_parts=tuple(parts), opinions=opinions,
    )  # fmt: skip


def _words(stance: Stance, is_new: bool) -> list[str]:
    if not stance:
        return ["found nothing missing there"] if is_new else ["found it right"]
    return did_edits(stance)
