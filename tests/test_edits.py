"""What can be an edit, what was seen, and what several edits amount to."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.agreement import Claims, vote
from curation.decisions import Decision, Opinion, agreed, check_decision, item_state
from curation.edits import MOST_LINES, check_edits, new_annotation_id, overlap, refuse_doubled, same_box
from curation.errors import SettingsError
from curation.seen import Late, box_digest, box_digests, facts_of, label_digest, late_facts, read_seen, write_seen

BOX = [0.0, 0.0, 10.0, 10.0]


def relabel(key: str = "s-0", to: Any = "dog", was: Any = "cat") -> dict[str, Any]:
    return {"change": "relabel", "annotation_id": key, "from": was, "to": to}


def drop(key: str = "s-0", label: str = "cat") -> dict[str, Any]:
    return {"change": "drop", "annotation_id": key, "from": {"label": label}, "to": None}


def add(key: str = "s-n1", label: Any = "dog", box: Any = None) -> dict[str, Any]:
    return {"change": "add", "annotation_id": key, "from": None, "to": {"label": label, "box": box}}


def move(key: str = "s-0", to: Any = None, was: Any = None) -> dict[str, Any]:
    return {"change": "box", "annotation_id": key, "from": was or BOX, "to": to or [1, 1, 9, 9]}


def known(label: str) -> None:
    if label not in ("cat", "dog"):
        raise SettingsError(f"no label {label}")


def test_lines_have_one_form_and_one_order() -> None:
    lines = [add("s-n1", "dog", (1, 2, 3, 4)), relabel("s-1"), move(), relabel()]
    made = check_edits("s", lines, known)
    assert [(line["change"], line["annotation_id"]) for line in made] == [
        ("relabel", "s-0"), ("box", "s-0"), ("relabel", "s-1"), ("add", "s-n1"),
    ]  # fmt: skip
    assert made[3]["to"] == {"label": "dog", "box": [1.0, 2.0, 3.0, 4.0]}
    assert check_edits("s", [*reversed(made)], known) == made
    assert check_edits("s", [relabel(to="cat"), move(to=BOX)], known) == ()
    assert check_edits("s", [move(was=[None] * 4)], known)[0]["from"] == [None] * 4


@pytest.mark.parametrize(
    "lines",
    [
        [relabel(to="eel")], [relabel(to=7)], [relabel(key="")], [relabel(key=7)], [relabel(key="s" * 300)],
        [relabel(key="s-\n")], [{**relabel(), "change": "rename"}], [{"change": "relabel"}], ["relabel"],
        [relabel(), relabel(to="cat", was="dog")], [relabel(), drop()], [move(), drop()], [drop(), drop()],
        [add("t-n1")], [add(label="eel")], [add(label=None)], [{**add(), "to": None}], [{**drop(), "from": None}],
        [add("s-n1", "dog", BOX), add("s-n2", "dog", [0, 0, 10, 9])],
        [move(to=[1, 1, 0, 5])], [move(to=[1, 1, -1, 5])], [move(to=[1, 1, 5])], [move(to=[1, 1, 5, float("nan")])],
        [move(to=[1, 1, 5, float("inf")])], [move(to=[1e7, 1, 5, 5])], [move(to="1234")], [move(to=[1, 1, 5, True])],
        [{**add(), "to": {"label": "dog", "attributes": 7}}],
        [{**add(), "to": {"label": "dog", "attributes": {"a": {1}}}}],
        [{**drop(), "from": {"label": "cat", "attributes": "x" * 1_000_001}}],
        [relabel(f"s-{number}") for number in range(MOST_LINES + 1)],
    ],
)  # fmt: skip
def test_what_is_no_edit_is_refused(lines: list[Any]) -> None:
    with pytest.raises(SettingsError):
        check_edits("s", lines, known)


def test_a_label_without_a_place_can_be_added_twice_only_where_it_is_counted() -> None:
    twice = [add("s-n1"), add("s-n2")]
    assert len(check_edits("s", twice, known)) == 2
    with pytest.raises(SettingsError, match="'dog' is added twice"):
        refuse_doubled(twice)
    refuse_doubled([add("s-n1"), add("s-n2", "cat"), add("s-n3", "dog", BOX), add("s-n4", "dog", BOX)])


def test_an_edit_goes_with_its_verdict_and_one_of_nothing_is_a_keep() -> None:
    edit = Decision("s", "s", "edit", edits=(relabel(to="cat"),), seen="{}")
    assert check_decision(edit, {"cat"}).verdict == "keep"
    for wrong in (Decision("s", "s", "edit"), Decision("s", "s", "keep", edits=(relabel(),))):
        with pytest.raises(SettingsError, match="needs changes"):
            check_decision(wrong, {"cat", "dog"})
    with pytest.raises(SettingsError, match="no label 'eel'"):
        check_decision(Decision("s", "s", "edit", edits=(relabel(to="eel"),)), {"cat", "dog"})


def test_new_ids_are_those_of_the_action() -> None:
    one = new_annotation_id("s", "a", 0)
    assert one == new_annotation_id("s", "a", 0)
    assert (
        len({one, new_annotation_id("s", "a", 1), new_annotation_id("s", "b", 0), new_annotation_id("t", "a", 0)}) == 4
    )


def test_what_was_seen_is_remembered_by_digests() -> None:
    seen = {"s-0": facts_of("cat", None), "s-n1": facts_of("\udce9\0", BOX), 'foreign "id': facts_of("", BOX)}
    assert read_seen("s", write_seen("s", seen)) == seen
    assert read_seen("s", "broken {") == {}
    assert write_seen("s", {}) == "{}"
    boxes = np.array([BOX, [np.nan] * 4, [0.5, 0, 10, 10]])
    assert box_digests(boxes) == [box_digest(BOX), box_digest(None), box_digest([0.5, 0, 10, 10])]
    assert box_digest([-0.0, 0.0, 10, 10]) == box_digest(BOX)
    assert (label_digest("cat"), box_digest(BOX)) == ("6a8b12bb", "0a9b2550")  # stores are full of them: never another


def test_only_what_a_decision_is_about_makes_it_late() -> None:
    now = {"s-0": facts_of("cat", None), "s-1": facts_of("eel", None)}
    was = {"s-0": facts_of("cat", None), "s-1": facts_of("dog", None)}
    assert late_facts((relabel(),), was, now) == ()
    assert late_facts((), was, now) == (Late("label", "s-1"),)
    assert late_facts((relabel("s-1", "cat", "dog"),), was, now) == (Late("label", "s-1"),)
    assert late_facts((relabel("s-1", "eel", "dog"),), was, now) == ()  # it is what was wanted
    since = [relabel("s-1", "eel", "dog")]
    assert late_facts((relabel("s-1", "cat", "dog"),), was, now, since) == ()  # to be compared with that
    assert late_facts((), was, {}) == (Late("gone", "s-0"), Late("gone", "s-1"))


def test_boxes_that_are_one() -> None:
    assert overlap(BOX, BOX) == 1
    assert overlap(BOX, [10, 0, 5, 5]) == 0
    assert overlap(BOX, [0, 0, 10, 8]) == pytest.approx(0.8)
    assert same_box(BOX, [0, 0, 10, 8])
    assert not same_box(BOX, [0, 0, 10, 7.9])
    assert same_box(None, None)
    assert not same_box(BOX, None)


def test_what_holds_does_not_depend_on_the_order() -> None:
    drawn = [Claims((move(to=[shift, 0.0, 20.0, 20.0]),)) for shift in (0.0, 1.0, 2.0, 40.0)]
    found = set()
    for order in permutations(drawn):
        held = vote(order, silence_counts=False)
        assert held is not None
        found |= {(one.kind, one.annotation_id, str(one.value)) for one in held}
    assert found == {("there", "s-0", "True"), ("box", "s-0", "(1.0, 0.0, 20.0, 20.0)")}


def test_silence_counts_only_where_two_opinions_are_wanted() -> None:
    seen = {"s-0": facts_of("cat", None), "s-1": facts_of("cat", None)}
    both = [Claims((relabel("s-0"),), seen), Claims((relabel("s-0"), drop("s-1")), seen)]
    assert vote(both, silence_counts=True) is None
    held = vote(both, silence_counts=False)
    assert held is not None
    assert [(one.kind, one.annotation_id, one.value) for one in held] == [
        ("there", "s-0", True), ("label", "s-0", "dog"), ("there", "s-1", False),
    ]  # fmt: skip


def test_states_of_items_with_edits() -> None:
    def says(by: str, *lines: Any, number: int = 0, adjudicates: bool = False) -> Opinion:
        seen = write_seen("s", {"s-0": facts_of("cat", None), "s-1": facts_of("cat", None)})
        verdict = "edit" if lines else "keep"
        return Opinion(by, (Decision("s", "s", verdict, edits=lines, seen=seen),), number, adjudicates)

    one, two, keep = says("ann", relabel(), number=1), says("bob", drop("s-1"), number=2), says("cy", number=3)
    assert item_state([one, two], needed=1) == "done"
    assert item_state([one, two], needed=2) == "disagreement"
    assert item_state([one], needed=2) == "second"
    assert item_state([one, keep], needed=1) == "disagreement"
    assert agreed([one, two]) is two
    assert agreed([one, keep]) is None
    last = says("dan", drop("s-0"), number=4, adjudicates=True)
    assert agreed([one, keep, last]) is last
    out = Opinion("eve", (Decision("s", "s", "exclude", reason="broken"),), 5)
    assert item_state([one, out], needed=1) == "disagreement"
    assert agreed([one, two, out]) is two


ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1e308, 5e-324])


@settings(deadline=None)
@given(st.lists(st.tuples(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER), max_size=5))
def test_the_digest_of_one_box_is_that_among_many(boxes: list[tuple[float, float, float, float]]) -> None:
    many = box_digests(np.array(boxes, dtype=np.float64).reshape(-1, 4))
    assert [box_digest(box) for box in boxes] == many
    assert box_digest(None) == box_digest([None] * 4) == box_digest([float("nan")] * 4)
