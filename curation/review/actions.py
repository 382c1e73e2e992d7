"""From what a reviewer does to what is recorded: names of actions, and the decisions that each one makes of a card."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.decisions import REASONS, Action, Decision
from curation.edits import Line, new_annotation_id, refuse_doubled, same_box
from curation.errors import SettingsError
from curation.review.annotations import by_id
from curation.review.cards import Card, Member
from curation.review.findings import Finding


@dataclass(frozen=True)
class Context:
    """Who decides, on what; the same for a whole session.

    session : the tab or process; its leases end with the decision
    """

    dataset: str
    reviewer: str
    session: str = ""
    run_id: str = ""
    manifest_version: str = ""


@dataclass(frozen=True)
class Choice:
    """What goes with an action.

    labels : of `pick` and `settle_label` one (none: what the card proposes), of `ambiguous` two or more
    sample_id : of `keep_one`, the copy to keep; "" = the one that the card proposes; of `edit`, the copy of a case
    edits : of `edit`: `change`, `annotation_id` and `to` of each line; what it was is on the card
    action_id : of the action, from which new annotations get their ids
    """

    labels: tuple[str, ...] = ()
    sample_id: str = ""
    edits: tuple[Mapping[str, Any], ...] = ()
    action_id: str = ""


def verdict_action(
    cards: Card | Sequence[Card],
    name: str,
    context: Context,
    *,
    label: str = "",
    labels: Sequence[str] = (),
    sample_id: str = "",
    edits: Sequence[Mapping[str, Any]] = (),
    seconds: float = 0.0,
    suggestion_shown: bool = True,
    comment: str = "",
    action_id: str = "",
) -> Action:
    """What one key press means: the action to record.

    Parameters
    ----------
    cards : the item, or the items of a grid that are decided with one key (and undone with one)
    name : one of ACTIONS; of pictures with several labels or boxes also of EDITING, and `accept`, `accept_2` and
        `accept_3` take what the first, second and third finding propose
    label : of `pick` and `settle_label`; "" for `settle_label` = the label that the card proposes
    labels : of `ambiguous`
    sample_id : of `keep_one`; "" = the copy that the card proposes
    edits : of `edit`, see Choice
    action_id : made by the client when the key was pressed, so that sending it twice records it once; "" = a new one

    Raises
    ------
    SettingsError : no such action, no such suggestion, or one that does not fit the item.
    """
    make = ACTIONS.get(name) or EDITING.get(name)
    if make is None:
        raise SettingsError(f"There is no action '{name}'. There are: {', '.join([*ACTIONS, *EDITING])}.")
    action_id = action_id or uuid.uuid4().hex
    choice = Choice(tuple(labels) or ((label,) if label else ()), sample_id, tuple(edits), action_id)
    chosen = [cards] if isinstance(cards, Card) else list(cards)
    return Action(
        action_id=action_id,
        dataset=context.dataset,
        reviewer=context.reviewer,
        decisions=tuple(decision for card in chosen for decision in make(card, choice)),
        seconds=seconds,
        run_id=context.run_id,
        manifest_version=context.manifest_version,
        suggestion_shown=suggestion_shown,
        comment=comment,
        session=context.session,
    )


def _decision(card: Card, member: Member, verdict: str, labels: tuple[str, ...] = (), reason: str = "") -> Decision:
    seen = member.seen if verdict in ("keep", "hard") else ""
    return Decision(
        card.item_id, member.sample_id, verdict, labels, reason, member.annotation_id, member.label, card.advice,
        seen=seen,
    )  # fmt: skip


def _same_for_all(verdict: str, reason: str = "") -> Callable[[Card, Choice], list[Decision]]:
    return lambda card, _: [_decision(card, member, verdict, reason=reason) for member in card.members]


def _accept(place: int) -> Callable[[Card, Choice], list[Decision]]:
    def make(card: Card, choice: Choice) -> list[Decision]:
        if card.task != "single-label":
            found = [finding for finding in card.findings if finding.proposal]
            if place >= len(found):
                raise SettingsError(f"There is no proposal {place + 1} for this picture.")
            return _accepted(card, found[place : place + 1], choice)
        if place >= len(card.suggestions):
            raise SettingsError(f"There is no suggestion {place + 1} for this picture.")
        return _relabel_all(card, card.suggestions[place][0])

    return make


def _pick(card: Card, choice: Choice) -> list[Decision]:
    if len(choice.labels) != 1:
        raise SettingsError("Choose one class for this picture.")
    return _relabel_all(card, choice.labels[0])


def _relabel_all(card: Card, label: str) -> list[Decision]:
    _refuse_several(card)
    return [
        _decision(card, member, "keep")
        if member.label == label
        else _decision(card, member, "relabel", (label,))
        for member in card.members
    ]  # fmt: skip


def _ambiguous(card: Card, choice: Choice) -> list[Decision]:
    _refuse_several(card)
    return [_decision(card, member, "ambiguous", choice.labels) for member in card.members]


def _keep_one(card: Card, choice: Choice) -> list[Decision]:
    """One copy stays, with its label or the one chosen; the others go as duplicates."""
    _refuse_unless_case(card)
    chosen = choice.sample_id or next((m.sample_id for m in card.members if m.proposed_keep), "")
    if chosen not in [member.sample_id for member in card.members]:
        raise SettingsError("The copy to keep is not one of this case.")
    decisions = []
    for member in card.members:
        if member.sample_id != chosen:
            decisions.append(_decision(card, member, "exclude", reason="duplicate"))
        elif choice.labels and choice.labels[0] != member.label:
            _refuse_several(card)
            decisions.append(_decision(card, member, "relabel", choice.labels[:1]))
        else:
            decisions.append(_decision(card, member, "keep"))
    return decisions


def _settle_label(card: Card, choice: Choice) -> list[Decision]:
    """All copies stay, under one label."""
    _refuse_unless_case(card)
    _refuse_several(card)
    label = choice.labels[0] if choice.labels else card.settle_label
    if not label:
        raise SettingsError("Nothing favours one label for these copies; choose one.")
    return _relabel_all(card, label)


def _distinct(card: Card, _: Choice) -> list[Decision]:
    _refuse_unless_case(card)
    return [_decision(card, member, "distinct") for member in card.members]


def _refuse_unless_case(card: Card) -> None:
    if card.kind != "duplicates":
        raise SettingsError("This picture has no copies to settle.")


def _refuse_several(card: Card) -> None:
    if card.task != "single-label":
        raise SettingsError("This picture has several labels or boxes: say which one to change.")


# --- several labels, or boxes ----------------------------------------------------------------------------------------


def _edit(card: Card, choice: Choice) -> list[Decision]:
    """What the reviewer changed, line by line."""
    if card.task == "single-label":
        raise SettingsError("This picture has one label; say which one is right.")
    member = _member(card, choice.sample_id or card.sample_id)
    lines = [_full_line(card, member, line, place, choice) for place, line in enumerate(choice.edits)]
    if card.task != "counts":
        refuse_doubled(lines)
    return _edited(card, {member.sample_id: lines})


def _accept_all(card: Card, choice: Choice) -> list[Decision]:
    """All that flagged findings propose, of two that contradict each other the first."""
    found = [finding for finding in card.findings if finding.proposal and finding.is_issue]
    if not found:
        raise SettingsError("Nothing is proposed for this picture.")
    return _accepted(card, found, choice)


def _accepted(card: Card, findings: Sequence[Finding], choice: Choice) -> list[Decision]:
    lines: dict[str, list[Line]] = {card.sample_id: list(card.said)} if card.said else {}
    for place, finding in enumerate(findings):
        mine = lines.setdefault(finding.sample_id, [])
        own: list[Line] = []  # a finding's lines go together, as several more of one class
        for line in finding.proposal:
            new = line["change"] == "add"
            number = place if len(finding.proposal) == 1 else f"{place}-{len(own)}"
            key = new_annotation_id(finding.sample_id, choice.action_id, number) if new else line["annotation_id"]
            if not any(_collide(line, other) for other in mine):
                own.append({**line, "annotation_id": key})
        mine += own
    return _edited(card, lines)


def _collide(line: Line, other: Line) -> bool:
    if line["change"] == "add" or other["change"] == "add":
        both = line["change"] == other["change"] and line["to"]["label"] == other["to"]["label"]
        return both and same_box(line["to"].get("box"), other["to"].get("box"))
    same = line["annotation_id"] == other["annotation_id"]
    return same and (line["change"] == other["change"] or "drop" in (line["change"], other["change"]))


def _edited(card: Card, lines: Mapping[str, Sequence[Line]]) -> list[Decision]:
    """The edit of some members of an item; its others are right as they are."""
    return [
        Decision(card.item_id, m.sample_id, "edit", given_label=m.label, suggestion=card.advice, seen=m.seen,
                 edits=tuple(lines[m.sample_id]))
        if lines.get(m.sample_id)
        else _decision(card, m, "keep")
        for m in card.members
    ]  # fmt: skip


def _member(card: Card, sample_id: str) -> Member:
    for member in card.members:
        if member.sample_id == sample_id:
            return member
    raise SettingsError("The picture to change is not one of this item.")


def _full_line(card: Card, member: Member, line: Mapping[str, Any], place: int, choice: Choice) -> Line:
    """A line as it is recorded: with what the card says that there was, and with the id of what is new."""
    kind, key, to = str(line.get("change")), str(line.get("annotation_id") or ""), line.get("to")
    if kind == "add":
        key = new_annotation_id(member.sample_id, choice.action_id, place)
        boxed = isinstance(to, Mapping) and to.get("box") is not None
        if boxed != (card.task == "detection"):
            raise SettingsError("A new box needs its place." if not boxed else "Labels of this data set have no boxes.")
        return {"change": kind, "annotation_id": key, "from": None, "to": to}
    there = by_id(member.annotations).get(key)
    if there is None:
        raise SettingsError(f"The picture has no annotation {key[:100]!r}.")
    if kind == "box" and there.box is None:
        raise SettingsError("Labels of this data set have no boxes.")
    before = {"relabel": there.label, "box": list(there.box or ())}.get(kind, there.as_value)
    return {"change": kind, "annotation_id": key, "from": before, "to": None if kind == "drop" else to}


ACTIONS: Mapping[str, Callable[[Card, Choice], list[Decision]]] = {
    "keep": _same_for_all("keep"),
    "hard": _same_for_all("hard"),
    "accept": _accept(0),
    "accept_2": _accept(1),
    "accept_3": _accept(2),
    "pick": _pick,
    "ambiguous": _ambiguous,
    **{reason: _same_for_all("exclude", reason) for reason in REASONS},
    "unsure": _same_for_all("unsure"),
    "keep_one": _keep_one,
    "settle_label": _settle_label,
    "distinct": _distinct,
}

# Of pictures with several labels, or boxes, beside those that fit.
EDITING: Mapping[str, Callable[[Card, Choice], list[Decision]]] = {"edit": _edit, "accept_all": _accept_all}
