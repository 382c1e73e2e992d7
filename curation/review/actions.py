"""From what a reviewer does to what is recorded: names of actions, and the decisions that each one makes of a card."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from curation.decisions import REASONS, Action, Decision
from curation.errors import SettingsError
from curation.review.cards import Card, Member


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
    sample_id : of `keep_one`, the copy to keep; "" = the one that the card proposes
    """

    labels: tuple[str, ...] = ()
    sample_id: str = ""


def verdict_action(
    cards: Card | Sequence[Card],
    name: str,
    context: Context,
    *,
    label: str = "",
    labels: Sequence[str] = (),
    sample_id: str = "",
    seconds: float = 0.0,
    suggestion_shown: bool = True,
    comment: str = "",
    action_id: str = "",
) -> Action:
    """What one key press means: the action to record.

    Parameters
    ----------
    cards : the item, or the items of a grid that are decided with one key (and undone with one)
    name : one of ACTIONS
    label : of `pick` and `settle_label`; "" for `settle_label` = the label that the card proposes
    labels : of `ambiguous`
    sample_id : of `keep_one`; "" = the copy that the card proposes
    action_id : made by the client when the key was pressed, so that sending it twice records it once; "" = a new one

    Raises
    ------
    SettingsError : no such action, no such suggestion, or one that does not fit the item.
    """
    make = ACTIONS.get(name)
    if make is None:
        raise SettingsError(f"There is no action '{name}'. There are: {', '.join(ACTIONS)}.")
    choice = Choice(tuple(labels) or ((label,) if label else ()), sample_id)
    chosen = [cards] if isinstance(cards, Card) else list(cards)
    return Action(
        action_id=action_id or uuid.uuid4().hex,
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
    return Decision(
        card.item_id, member.sample_id, verdict, labels, reason, member.annotation_id, member.label, card.advice
    )


def _same_for_all(verdict: str, reason: str = "") -> Callable[[Card, Choice], list[Decision]]:
    return lambda card, _: [_decision(card, member, verdict, reason=reason) for member in card.members]


def _accept(place: int) -> Callable[[Card, Choice], list[Decision]]:
    def make(card: Card, _: Choice) -> list[Decision]:
        if place >= len(card.suggestions):
            raise SettingsError(f"There is no suggestion {place + 1} for this picture.")
        return _relabel_all(card, card.suggestions[place][0])

    return make


def _pick(card: Card, choice: Choice) -> list[Decision]:
    if len(choice.labels) != 1:
        raise SettingsError("Choose one class for this picture.")
    return _relabel_all(card, choice.labels[0])


def _relabel_all(card: Card, label: str) -> list[Decision]:
    return [
        _decision(card, member, "keep")
        if member.label == label
        else _decision(card, member, "relabel", (label,))
        for member in card.members
    ]  # fmt: skip


def _ambiguous(card: Card, choice: Choice) -> list[Decision]:
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
            decisions.append(_decision(card, member, "relabel", choice.labels[:1]))
        else:
            decisions.append(_decision(card, member, "keep"))
    return decisions


def _settle_label(card: Card, choice: Choice) -> list[Decision]:
    """All copies stay, under one label."""
    _refuse_unless_case(card)
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
