"""Reviewers who say different things of one picture: what nobody disputes is taken, the rest is shown side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curation import store
from curation.review import Card, Context, verdict_action
from curation.review.disputes import with_disputes
from curation.review.sheet import lay_sheet
from curation.store.earlier import said_of
from tests.app.annotated import DATASET, IDS, make_boxed_workspace
from tests.review.test_several import Place

DOUBLED = IDS["doubled"]


def line(change: str, number: int, to: Any = None) -> dict[str, Any]:
    return {"change": change, "annotation_id": f"{DOUBLED}-{number}" if change != "add" else "", "to": to}


def added(label: str, *box: float) -> dict[str, Any]:
    return line("add", 0, {"label": label, "box": list(box)})


@pytest.fixture
def boxed(tmp_path: Path) -> Place:
    return Place(make_boxed_workspace(tmp_path / "workspace"))


def disputed(place: Place, needed: int = 1, **edits: list[dict[str, Any]] | None) -> Card:
    """The card of the picture after each of these has said so; None = all is right."""
    for who, lines in edits.items():
        place.press(DOUBLED, "keep" if lines is None else "edit", by=who, **({} if lines is None else {"edits": lines}))
    said = said_of(place.engine, DATASET, [DOUBLED])
    (card,) = with_disputes([place.card(DOUBLED)], said, lambda _: needed)
    return card


def told(card: Card) -> list[list[tuple[str, str, int]]]:
    return [[(o.who, "".join(o.words), len(o.lines)) for o in found.opinions] for found in card.findings]


def test_what_both_say_and_what_only_one_has_looked_at_is_taken(boxed: Place) -> None:
    both = line("drop", 1)
    card = disputed(boxed, ann=[both, line("relabel", 2, "plate")], bob=[both, line("relabel", 2, "bottle")])
    assert [(one["change"], one["annotation_id"][-2:]) for one in card.said] == [("drop", "-1")]
    assert told(card) == [[("ann", "changed cup to plate", 1), ("bob", "changed cup to bottle", 1)]]
    assert card.findings[0].annotation_id == f"{DOUBLED}-2"
    sheet = lay_sheet(card, True)
    assert [one["who"] for one in sheet["findings"][0]["opinions"]] == ["ann", "bob"]
    assert [one["annotation_id"] for one in sheet["said"]] == [f"{DOUBLED}-1"]


def test_who_found_all_right_disputes_every_change(boxed: Place) -> None:
    card = disputed(boxed, ann=[line("drop", 1), added("plate", 150, 10, 30, 30)], bob=None)
    assert card.said == ()
    assert told(card) == [
        [("ann", "removed bottle", 1), ("bob", "found it right", 0)],
        [("ann", "added plate", 1), ("bob", "found nothing missing there", 0)],
    ]


@pytest.mark.parametrize(("needed", "taken"), [(1, 1), (2, 0)])
def test_who_left_it_alone_found_it_right_only_where_two_are_to_look(boxed: Place, needed: int, taken: int) -> None:
    clash = ([line("relabel", 0, "plate")], [line("relabel", 0, "cup")])
    card = disputed(boxed, needed, ann=[*clash[0], line("drop", 1)], bob=clash[1])
    assert len(card.said) == taken
    assert len(card.findings) == 2 - taken


def test_boxes_that_are_nearly_the_same_are_one_and_two_labels_for_one_place_a_dispute(boxed: Place) -> None:
    card = disputed(
        boxed,
        ann=[line("box", 2, [118, 58, 42, 42]), added("plate", 150, 10, 30, 30), line("relabel", 0, "cup")],
        bob=[line("box", 2, [119, 58, 42, 42]), added("cup", 151, 10, 30, 30), line("relabel", 0, "cup")],
    )
    assert sorted(one["change"] for one in card.said) == ["box", "relabel"]
    assert told(card) == [[("ann", "added plate", 1), ("bob", "added cup", 1)]]


def test_who_settles_it_starts_from_what_is_undisputed(boxed: Place) -> None:
    both = line("drop", 1)
    card = disputed(boxed, ann=[both, line("relabel", 2, "plate")], bob=[both, line("relabel", 2, "bottle")])
    chosen = [*card.said, *card.findings[0].opinions[1].lines]
    lines = [{name: one[name] for name in ("change", "annotation_id", "to")} for one in chosen]
    action = verdict_action(card, "edit", Context(DATASET, "eve"), edits=lines)
    assert store.record(boxed.engine, action).states == {DOUBLED: "done"}
    assert boxed.publish()["doubled"] == [("bottle", (20, 20, 50, 90)), ("bottle", (120, 60, 40, 40))]


def test_what_is_not_disputed_is_left_as_it_is(boxed: Place) -> None:
    boxed.press(DOUBLED, "accept")
    card = boxed.card(DOUBLED)
    assert with_disputes([card], said_of(boxed.engine, DATASET, [DOUBLED]), lambda _: 1) == [card]
    assert with_disputes([card], {}, lambda _: 1) == [card]
