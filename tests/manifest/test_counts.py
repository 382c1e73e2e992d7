"""Counts in versions: several annotations of a class that cannot be told apart, agreed on, imported again, merged."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from curation.explain import Conflict, Side, explain_conflict, explain_pieces
from curation.manifest.changes import apply, diff, samples_of
from curation.manifest.three_way import three_way
from tests.manifest.test_changes import make_rows, same
from tests.manifest.test_publish_edits import Edits, planned
from tests.manifest.test_several_annotations import changed

THREE = make_rows({"id": "a", "labels": ["cup", "cup", "cup", "plate"]}, {"id": "b", "labels": ["cup"]})


def more(number: int, by: str, label: str = "cup") -> list[tuple[Any, ...]]:
    """Lines that add so many, with ids of one reviewer."""
    return [("add", f"a-n{by}{k}", label, None) for k in range(number)]


def added(number: int, by: str) -> list[tuple[Any, ...]]:
    return [("add", f"n{by}{k}", "cup", None) for k in range(number)]


def counts(rows: Any, name: str = "a") -> Counter[str]:
    return Counter(one["label"] for one in samples_of(rows, [name])[name].annotations.values())


def test_one_reviewer_adds_two_of_a_class_that_is_there_already() -> None:
    said = Edits()
    said.on(THREE, "edit", *more(2, "ann"))
    found = planned(said, THREE)
    assert counts(found.rows) == {"cup": 5, "plate": 1}
    assert same(apply(THREE, diff(THREE, found.rows)), found.rows)


@pytest.mark.parametrize("needed", [1, 2])
def test_two_reviewers_who_say_the_same_number_are_not_added_up(needed: int) -> None:
    said = Edits()
    said.on(THREE, "edit", *more(2, "ann"), by="ann")
    said.on(THREE, "edit", *more(2, "bob"), by="bob")
    assert counts(planned(said, THREE, needed=needed).rows) == {"cup": 5, "plate": 1}
    less = Edits()
    less.on(THREE, "edit", ("drop", "a-2"), by="ann")
    less.on(THREE, "edit", ("drop", "a-2"), by="bob")
    assert counts(planned(less, THREE, needed=needed).rows) == {"cup": 2, "plate": 1}


def test_two_who_say_different_numbers_disagree_and_a_third_settles_it() -> None:
    said = Edits()
    said.on(THREE, "edit", *more(1, "ann"), by="ann")
    said.on(THREE, "edit", *more(2, "bob"), by="bob")
    assert counts(planned(said, THREE, needed=2).rows) == counts(THREE)
    said.on(THREE, "edit", *more(2, "eve"), by="eve")
    assert counts(planned(said, THREE, needed=2).rows) == {"cup": 5, "plate": 1}


def test_one_more_that_an_import_brought_meanwhile_is_not_added_again() -> None:
    said = Edits()
    said.on(THREE, "edit", *more(1, "ann"))
    now = changed(THREE, ("add", 4, "cup", None))
    assert counts(planned(said, now).rows) == {"cup": 4, "plate": 1}
    two = Edits()
    two.on(THREE, "edit", *more(2, "ann"))
    assert counts(planned(two, now).rows) == {"cup": 5, "plate": 1}


def test_what_was_published_is_taken_back_exactly() -> None:
    said = Edits()
    one = said.on(THREE, "edit", *more(2, "ann"), ("drop", "a-3"))
    head = planned(said, THREE).rows
    assert counts(head) == {"cup": 5}
    said.undo(one)
    assert same(planned(said, head, published=[one]).rows, THREE)


# --- merged


def both_ways(ours: Any, theirs: Any) -> tuple[Counter[str], Counter[str], list[Any]]:
    """What becomes of a picture from either side, and the conflicts."""
    one, conflicts = three_way(THREE, ours, theirs)
    other, turned = three_way(THREE, theirs, ours)
    assert len(conflicts) == len(turned)
    return counts(one), counts(other), conflicts


@pytest.mark.parametrize("number", [1, 2, 3])
def test_sides_that_both_count_more_alike_are_not_added_up(number: int) -> None:
    sides = changed(THREE, *added(number, "x")), changed(THREE, *added(number, "y"))
    one, other, conflicts = both_ways(*sides)
    assert one == other == {"cup": 3 + number, "plate": 1}
    assert not conflicts
    rows, mirrored = three_way(THREE, *sides)[0], three_way(THREE, *reversed(sides))[0]
    assert same(rows, mirrored)


def test_sides_that_take_different_ones_away_take_one() -> None:
    for first, second in permutations(range(3), 2):
        one, other, conflicts = both_ways(changed(THREE, ("drop", first)), changed(THREE, ("drop", second)))
        assert one == other == {"cup": 2, "plate": 1}
        assert not conflicts


@pytest.mark.parametrize(
    ("ours", "theirs", "here", "there"),
    [
        (added(1, "x"), added(2, "y"), 4, 5),
        (added(1, "x"), [("drop", 2)], 4, 2),
        ([("drop", 2)], [("drop", 1), ("drop", 2)], 2, 1),
    ],
)
def test_sides_that_count_differently_conflict_and_ours_stays(ours: Any, theirs: Any, here: int, there: int) -> None:
    one, other, (conflict,) = both_ways(changed(THREE, *ours), changed(THREE, *theirs))
    assert (one["cup"], other["cup"]) == (here, there)
    assert conflict["field"] == "count"
    assert conflict["base"] == {"label": "cup", "count": 3}
    assert (conflict["from"]["count"], conflict["to"]["count"]) == (here, there)
    said = Conflict("count", conflict["base"], conflict["from"], conflict["to"], "", Side("branch a"),
                    Side("branch b"), True, "2026-11-21")  # fmt: skip
    words = explain_pieces(explain_conflict(said))
    assert words.startswith("How many of this class there are. Two branches disagree: branch a says ")
    assert f"says {here} x “cup”, branch b says {there} x “cup”" in words


def test_what_only_one_side_counts_and_other_classes_are_taken() -> None:
    one, other, conflicts = both_ways(
        changed(THREE, *added(2, "x")), changed(THREE, ("drop", 3), ("add", "ny", "fork", None))
    )
    assert one == other == {"cup": 5, "fork": 1}
    assert not conflicts
