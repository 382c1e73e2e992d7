"""What a browser may say, what is recorded of it, and what it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curation.decisions import Action
from curation.errors import NotFoundError, SettingsError, WorkspaceError
from curation.review.actions import Context
from curation.review.cards import Card, Member
from curation.review.desk import Outcome, record_all
from curation.review.messages import Pressed, identity_of, read_message

TAB, KEY = "a" * 32, "b" * 32


def card(item_id: str = "s1") -> Card:
    member = Member(item_id, "p.png", "cat", f"{item_id}-0", "train", 10, 10, "PNG")
    return Card(
        item_id=item_id, kind="sample", sample_id=item_id, path="p.png", split="train", given_label="cat", p_given=0.1,
        suggestions=(("dog", 0.9),), why=(), why_parts=(), issues=("label_error",), score=0.1, neighbours=(),
        members=(member,), keep_why="", settle_label="", measurements={}, status="ok", reason="",
        advice="dog",
    )  # fmt: skip


def record(*pressed: Pressed, fails: dict[str, Exception] | None = None) -> tuple[Outcome, list[Action]]:
    """Outcome of recording, and what was recorded; `fails` by action id."""
    made: list[Action] = []

    def keep(action: Action, known: Any) -> None:
        if action.action_id in (fails or {}):
            raise (fails or {})[action.action_id]
        made.append(action)

    def take_back(target: str, undo_id: str) -> None:
        return None

    context = Context("pets", "ann", TAB)
    return record_all(pressed, context, {"cat", "dog"}, card, keep, take_back), made


def press(action_id: str, name: str = "keep", *items: str, **more: Any) -> Pressed:
    return Pressed(action_id, items=items or ("s1",), name=name, **more)


@pytest.mark.parametrize(
    "value",
    [None, 7, "x", [], {}, {"tab": "short"}, {"tab": "A" * 32}, {"tab": TAB, "actions": [None]},
     {"tab": TAB, "actions": [{"action_id": "1"}]}, {"tab": TAB + "\n"}],
)  # fmt: skip
def test_what_is_no_message_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="reload the page"):
        read_message(value)


def test_fields_of_other_types_and_lengths_become_harmless() -> None:
    action = {
        "action_id": KEY,
        "items": "s1",
        "name": {},
        "labels": [None, "dog"],
        "seconds": -5,
        "comment": "x" * 20_000,
    }
    odd = {"tab": TAB, "reviewer": 7, "want": 10**9, "have": [1, "s1", None], "group": ["x"], "aside": {}}
    message = read_message({**odd, "actions": [action]})
    assert (message.reviewer, message.have, message.group, message.aside) == ("", {"s1"}, "", frozenset())
    assert message.want <= 60
    (pressed,) = message.pressed
    assert (pressed.items, pressed.name, pressed.labels, pressed.seconds) == ((), "", ("dog",), 0.0)
    assert len(pressed.comment) == 10_000


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300, 10**400, True])
def test_seconds_are_always_a_plain_number(seconds: float) -> None:
    message = read_message({"tab": TAB, "actions": [{"action_id": KEY, "items": ["s1"], "seconds": seconds}]})
    assert 0 <= message.pressed[0].seconds <= 86_400


def test_actions_are_recorded_in_order_and_refused_ones_do_not_stop_the_others() -> None:
    outcome, made = record(press("1"), press("2", "no such key"), press("3", "accept"), press("4", "keep", *[]))
    assert outcome.settled == ("1", "3", "4")
    assert [action_id for action_id, _ in outcome.refused] == ["2"]
    assert [action.action_id for action in made] == ["1", "3", "4"]


def test_an_action_that_cannot_be_saved_now_stops_those_after_it() -> None:
    outcome, made = record(press("1"), press("2"), press("3"), fails={"2": WorkspaceError("the disk is full")})
    assert (outcome.settled, outcome.refused, outcome.error) == (("1",), (), "the disk is full")
    assert [action.action_id for action in made] == ["1"]


def test_an_item_that_is_gone_is_refused_not_tried_for_ever() -> None:
    outcome, _ = record(press("1"), fails={"1": NotFoundError("no item")})
    assert outcome.refused == (("1", "no item"),)


def test_a_grid_is_one_action() -> None:
    outcome, (action,) = record(press("1", "pick", "s1", "s2", "s2", labels=("dog",)))
    assert [(d.item_id, d.verdict, d.labels) for d in action.decisions] == [
        ("s1", "relabel", ("dog",)), ("s2", "relabel", ("dog",)),
    ]  # fmt: skip
    assert outcome.settled == ("1",)


def test_undo_with_nothing_to_take_back_says_so_and_is_settled() -> None:
    outcome, _ = record(Pressed("1", undo=True))
    assert outcome.settled == ("1",)
    assert outcome.notice


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"email": "ann@x.org", "name": "Ann", "sub": "1"}, "ann@x.org"),
        ({"email": "ann@x.org", "email_verified": True}, "ann@x.org"),
        ({}, ""),
        ({"name": "Ann"}, ""),
        ({"email": None, "name": None, "sub": None}, ""),
    ],
)
def test_a_signed_in_user_is_known_by_the_address(claims: dict[str, Any], expected: str) -> None:
    assert identity_of(claims) == expected


def test_two_accounts_with_the_same_name_are_two_reviewers() -> None:
    one, other = identity_of({"name": "Ann", "sub": "1"}), identity_of({"name": "Ann", "sub": "2"})
    assert one != other
    assert one.startswith("Ann (")
    assert identity_of({"name": "Ann", "sub": "1", "email": "boss@x.org", "email_verified": False}) == one


def test_messages_survive_json() -> None:
    message = {"tab": TAB, "actions": [{"action_id": KEY, "items": ["s1"], "labels": ["\udce9"], "name": "pick"}]}
    assert read_message(json.loads(json.dumps(message))).pressed[0].labels == ("\udce9",)
