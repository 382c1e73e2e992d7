"""Edits of several annotations become a version: each annotation by itself, whoever said it, and back again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.edits import check_edits
from curation.manifest import canonical_hash
from curation.manifest.changes import Sample, apply, diff, samples_of
from curation.manifest.publish import Plan, plan
from curation.seen import seen_text
from tests.manifest.test_changes import make_rows, same
from tests.manifest.test_publish import COLUMNS, Reviews

BOXES = [
    {"label": "cat", "x": 0.0, "y": 0.0, "w": 10.0, "h": 10.0, "attributes": '{"pose":"left"}'},
    {"label": "dog", "x": 20.0, "y": 0.0, "w": 10.0, "h": 10.0},
    {"label": "cat", "x": 40.0, "y": 0.0, "w": 10.0, "h": 10.0},
]
HEAD = make_rows({"id": "a", "annotations": BOXES}, {"id": "b", "labels": ["cat", "eel"]})


class Edits(Reviews):
    """Decisions on the annotations of one picture as it is in some rows."""

    def on(
        self,
        rows: pd.DataFrame,
        verdict: str = "edit",
        *lines: tuple[Any, ...],
        by: str = "ann",
        name: str = "a",
        **more: Any,
    ) -> int:
        sample = samples_of(rows, [name])[name]
        made = check_edits(name, [full(sample, line) for line in lines], lambda label: None)
        text = json.dumps(made) if made else ""
        return self.say(name, verdict, by=by, given="", edits=text, seen=seen_text(name, sample.annotations), **more)

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(self.rows, columns=[*COLUMNS, "edits", "seen"]).fillna("")
        texts = {name: "str" for name in table if name not in ("decision_id", "seconds")}
        return table.astype({**texts, "decision_id": "int64", "seconds": "float64"})


def full(sample: Sample, line: tuple[Any, ...]) -> dict[str, Any]:
    """(relabel, id, label), (box, id, box), (drop, id) or (add, id, label, box) with what is there as `from`."""
    kind, key, *to = line
    there = sample.annotations.get(key)
    box = [there[side] for side in "xywh"] if there and there["x"] is not None else None
    before = None if there is None else {"relabel": there["label"], "box": box or [None] * 4}.get(
        kind, {"label": there["label"], "box": box, "attributes": there["attributes"]}
    )  # fmt: skip
    after = {"label": to[0], "box": to[1]} if kind == "add" else None if kind == "drop" else to[0]
    return {"change": kind, "annotation_id": key, "from": before, "to": after}


def planned(said: Reviews, head: pd.DataFrame = HEAD, published: Any = (), needed: int = 1, **states: str) -> Plan:
    return plan(head, said.table(), states, published, lambda item: needed)


def has(rows: pd.DataFrame, name: str = "a") -> dict[str, tuple[str, Any]]:
    sample = samples_of(rows, [name])[name]
    return {
        key.removeprefix(name): (a["label"], None if a["x"] is None else (a["x"], a["y"], a["w"], a["h"]))
        for key, a in sample.annotations.items()
    }


def kinds(found: Plan) -> list[tuple[Any, ...]]:
    return [(c["change"], c["annotation_id"], c["reviewer"]) for c in found.changes]


def test_each_line_does_what_it_says_and_the_lines_are_the_difference() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), ("box", "a-1", [21, 0, 10, 10]), ("drop", "a-2"),
            ("add", "a-nx", "eel", [5, 5, 3, 3]), comment="four")  # fmt: skip
    found = planned(said)
    assert has(found.rows) == {
        "-0": ("dog", (0, 0, 10, 10)), "-1": ("dog", (21, 0, 10, 10)), "-nx": ("eel", (5, 5, 3, 3)),
    }  # fmt: skip
    assert kinds(found) == [
        ("relabel", "a-0", "ann"),
        ("box", "a-1", "ann"),
        ("drop", "a-2", "ann"),
        ("add", "a-nx", "ann"),
    ]
    assert same(apply(HEAD, found.changes), found.rows)
    bare = [{k: c[k] for k in ("change", "sample_id", "annotation_id", "path", "from", "to")} for c in found.changes]
    assert bare == diff(HEAD, found.rows)
    assert (found.decision_ids, found.conflicts, found.waiting) == ((1,), [], [])


def test_what_is_all_right_as_it_is_is_confirmed() -> None:
    said = Edits()
    said.on(HEAD, "keep")
    said.on(HEAD, "keep", name="b")
    found = planned(said)
    assert [(c["change"], c["sample_id"]) for c in found.changes] == [("confirm", "a"), ("confirm", "b")]
    assert same(found.rows, HEAD)
    assert found.decision_ids == (1, 2)


def test_hard_marks_all_annotations_and_is_taken_back() -> None:
    said = Edits()
    first = said.on(HEAD, "hard")
    found = planned(said)
    marks = [json.loads(text) for text in found.rows.loc[found.rows["sample_id"] == "a", "attributes"]]
    assert marks == [{"pose": "left", "curate:hard": True}, {"curate:hard": True}, {"curate:hard": True}]
    said.undo(first)
    back = planned(said, found.rows, found.decision_ids)
    assert {c["verdict"] for c in back.changes} == {"undo"}
    assert "curate:hard" not in "".join(back.rows["attributes"])


def test_two_people_who_change_different_annotations_are_both_right() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="ann")
    said.on(HEAD, "edit", ("drop", "a-2"), by="bob")
    found = planned(said)
    assert has(found.rows) == {"-0": ("dog", (0, 0, 10, 10)), "-1": ("dog", (20, 0, 10, 10))}
    assert kinds(found) == [("relabel", "a-0", "ann"), ("drop", "a-2", "bob")]
    assert found.decision_ids == (1, 2)


@pytest.mark.parametrize("first", [1, 2])
def test_also_where_one_of_them_was_published_before(first: int) -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="ann")
    said.on(HEAD, "edit", ("box", "a-0", [1, 1, 20, 20]), ("drop", "a-2"), by="bob")
    alone = Edits()
    alone.rows = [row for row in said.rows if row["decision_id"] == first]
    one = planned(alone)
    two = planned(said, one.rows, one.decision_ids)
    assert canonical_hash(two.rows) == canonical_hash(planned(said).rows)
    assert two.conflicts == []
    assert len(two.decision_ids) == 1


def test_opposite_opinions_of_one_annotation_wait_and_a_third_settles_them() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="ann")
    said.on(HEAD, "keep", by="bob")
    found = planned(said)
    assert [w["state"] for w in found.waiting] == ["disagreement"]
    assert same(found.rows, HEAD)
    said.on(HEAD, "edit", ("relabel", "a-0", "eel"), ("drop", "a-1"), by="cy")
    found = planned(said)
    assert has(found.rows) == {"-0": ("eel", (0, 0, 10, 10)), "-2": ("cat", (40, 0, 10, 10))}
    assert found.decision_ids == (3,)


def test_a_majority_is_taken_annotation_by_annotation() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="ann")
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), ("drop", "a-1"), by="bob")
    said.on(HEAD, "edit", ("relabel", "a-0", "eel"), by="cy")
    assert has(planned(said, a="done").rows) == {"-0": ("dog", (0, 0, 10, 10)), "-2": ("cat", (40, 0, 10, 10))}
    # Where two opinions are wanted, who changes one thing says that the others are right.
    assert has(planned(said, needed=2, a="done").rows)["-1"] == ("dog", (20, 0, 10, 10))


def test_boxes_that_overlap_enough_are_one_and_nobody_gets_a_box_that_nobody_drew() -> None:
    drawn = {"ann": [0.0, 0.0, 20.0, 20.0], "bob": [0.5, 0.0, 20.0, 20.0], "cy": [1.0, 0.0, 20.0, 20.0]}
    for order in (["ann", "bob", "cy"], ["cy", "bob", "ann"], ["bob", "cy", "ann"]):
        said = Edits()
        for by in order:
            said.on(HEAD, "edit", ("box", "a-0", drawn[by]), ("add", f"a-n{by}", "eel", drawn[by]), by=by)
        found = planned(said)
        assert has(found.rows)["-0"] == ("cat", tuple(drawn["bob"]))
        assert has(found.rows)["-nbob"] == ("eel", tuple(drawn["bob"]))
        assert len(has(found.rows)) == 4
        assert found.decision_ids == (1, 2, 3)


def test_one_new_box_under_two_labels_is_a_disagreement() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("add", "a-n1", "eel", [0, 20, 9, 9]), by="ann")
    said.on(HEAD, "edit", ("add", "a-n2", "cat", [0, 20, 9, 9]), by="bob")
    assert [w["state"] for w in planned(said).waiting] == ["disagreement"]


def test_what_an_import_brought_meanwhile_is_not_added_twice() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("add", "a-n1", "eel", [0, 20, 9, 9]))
    said.on(HEAD, "edit", ("add", "b-n1", "dog", None), name="b")
    more = [*BOXES, {"label": "eel", "x": 0.0, "y": 20.0, "w": 9.0, "h": 9.0}]
    head = make_rows({"id": "a", "annotations": more}, {"id": "b", "labels": ["cat", "eel", "dog"]})
    found = planned(said, head)
    assert same(found.rows, head)
    assert [c["change"] for c in found.changes] == ["confirm", "confirm"]


# --- older versions


def test_a_decision_on_an_older_version_applies_where_its_annotations_are_unchanged() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"))
    other = [BOXES[0], {**BOXES[1], "label": "eel"}]  # one relabelled, one gone: not those that were decided about
    found = planned(said, make_rows({"id": "a", "annotations": other}))
    assert has(found.rows) == {"-0": ("dog", (0, 0, 10, 10)), "-1": ("eel", (20, 0, 10, 10))}


@pytest.mark.parametrize(
    ("lines", "now", "why"),
    [
        ([("relabel", "a-0", "dog")], [{**BOXES[0], "label": "eel"}],
         "its label was 'cat' when it was decided, and is 'eel' now"),
        ([("relabel", "a-1", "cat")], BOXES[:1], "the annotation 'dog' that was decided about is not there any more"),
        ([("box", "a-1", [1, 1, 1, 1])], BOXES[:1], "the box that was decided about is not there any more"),
        ([("box", "a-0", [1, 1, 1, 1])], [{**BOXES[0], "x": 3.0}],
         "the box of 'cat' is another one than when it was decided"),
        ([("drop", "a-0")], [{**BOXES[0], "x": 3.0}], "the box of 'cat' is another one than when it was decided"),
        ([("drop", "a-0"), ("drop", "a-1")], [{**BOXES[0], "x": 3.0}, {**BOXES[1], "label": "eel"}],
         "since it was decided, 1 has another label ('eel'), 1 has another box ('cat')"),
    ],
)  # fmt: skip
def test_a_conflict_says_what_has_changed(lines: Any, now: Any, why: str) -> None:
    said = Edits()
    said.on(HEAD, "edit", *lines)
    found = planned(said, make_rows({"id": "a", "annotations": now}))
    assert [c["why"] for c in found.conflicts] == [why]
    assert found.changes == []
    assert found.decision_ids == ()


def test_who_said_that_all_is_right_has_to_look_again_when_it_changed() -> None:
    said = Edits()
    said.on(HEAD, "keep")
    head = make_rows({"id": "a", "annotations": [BOXES[0], {**BOXES[1], "label": "eel"}, BOXES[2], {"label": "ant"}]})
    found = planned(said, head)
    assert [c["why"] for c in found.conflicts] == [
        "since it was decided, 1 annotation was added ('ant'), 1 has another label ('eel')"
    ]
    said.on(head, "keep", by="bob")
    found = planned(said, head)
    assert (found.conflicts, found.decision_ids) == ([], (2,))


def test_one_conflict_does_not_hold_up_what_another_says() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="ann")
    said.on(HEAD, "edit", ("drop", "a-2"), by="bob")
    head = make_rows({"id": "a", "annotations": [{**BOXES[0], "label": "eel"}, *BOXES[1:]]})
    found = planned(said, head)
    assert list(has(found.rows)) == ["-0", "-1"]
    assert [(c["reviewer"], c["edits"][0]["annotation_id"]) for c in found.conflicts] == [("ann", "a-0")]
    assert found.decision_ids == (2,)
    assert found.pending == {("edit", "ann"): 1, ("edit", "bob"): 1}


# --- back again


def test_what_was_published_is_taken_back_exactly() -> None:
    said = Edits()
    first = said.on(HEAD, "edit", ("relabel", "a-0", "dog"), ("box", "a-1", [1, 1, 1, 1]), ("drop", "a-2"),
                    ("add", "a-nx", "eel", [5, 5, 3, 3]))  # fmt: skip
    found = planned(said)
    undo = said.undo(first)
    back = planned(said, found.rows, found.decision_ids)
    assert same(back.rows, HEAD)
    assert {(c["verdict"], tuple(c["decision"])) for c in back.changes} == {("undo", (first, undo))}
    assert back.decision_ids == (undo,)


def test_what_another_still_says_stays_when_one_takes_his_back() -> None:
    said = Edits()
    first = said.on(HEAD, "edit", ("relabel", "a-0", "dog"), ("drop", "a-2"), by="ann")
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="bob")
    found = planned(said)
    said.undo(first)
    back = planned(said, found.rows, found.decision_ids)
    assert has(back.rows) == {**has(HEAD), "-0": ("dog", (0, 0, 10, 10))}
    assert [(c["change"], c["annotation_id"], c["verdict"]) for c in back.changes] == [("add", "a-2", "undo")]


def test_excluding_and_taking_that_back_leaves_the_annotations_alone() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"))
    one = planned(said)
    out = said.say("a", "exclude", reason="broken", given="")
    two = planned(said, one.rows, one.decision_ids)
    assert set(two.rows.loc[two.rows["sample_id"] == "a", "status"]) == {"excluded"}
    assert has(two.rows)["-0"][0] == "dog"
    said.undo(out)
    three = planned(said, two.rows, one.decision_ids + two.decision_ids)
    assert set(three.rows["status"]) == {"ok"} or "unreadable" in set(three.rows["status"])
    assert has(three.rows)["-0"][0] == "dog"


def test_what_curate_revert_took_back_is_not_applied_again() -> None:
    said = Edits()
    said.on(HEAD, "edit", ("relabel", "a-0", "dog"), by="ann")
    one = planned(said)
    said.on(HEAD, "edit", ("drop", "a-2"), by="bob")
    again = planned(said, HEAD, one.decision_ids)  # HEAD: somebody reverted
    assert has(again.rows)["-0"][0] == "cat"
    assert "-2" not in has(again.rows)


# --- in general


def some_lines(by: str) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    of_one = st.sampled_from(["a-0", "a-1", "a-2"])
    line = st.one_of(
        st.tuples(st.just("relabel"), of_one, st.sampled_from(["dog", "eel", "fox"])),
        st.tuples(st.just("box"), of_one, st.sampled_from([[0, 0, 11, 11], [0, 0, 11, 12], [50, 50, 5, 5]])),
        st.tuples(st.just("drop"), of_one),
        st.tuples(st.just("add"), st.just(f"a-n{by}"), st.sampled_from(["cat", "eel"]), st.just([70, 0, 9, 9])),
    )
    return st.lists(line, min_size=1, max_size=3, unique_by=lambda one: one[1])


REVIEWERS = ("ann", "bob", "cy")


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({by: some_lines(by) for by in REVIEWERS}), st.permutations(REVIEWERS), st.booleans())
def test_whoever_publishes_first_the_version_is_the_same(said: Mapping[str, Any], order: Any, between: bool) -> None:
    """Where no two of them contradict each other, so that a third could settle it."""

    def after(names: Any, between: bool) -> tuple[pd.DataFrame, bool]:
        made, rows, ids = Edits(), HEAD, ()
        agree = True
        for place, by in enumerate(names):
            made.on(HEAD, "edit", *said[by], by=by)
            if between or place == len(names) - 1:
                found = planned(made, rows, ids)
                assert same(apply(rows, found.changes), found.rows)
                rows, ids = found.rows, (*ids, *found.decision_ids)
                agree = not found.waiting and not found.conflicts
        return rows, agree

    if all(after(pair, False)[1] for pair in combinations(REVIEWERS, 2)):
        together, agree = after(REVIEWERS, False)
        other, too = after(order, between)
        assert agree
        assert too
        assert canonical_hash(other) == canonical_hash(together)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({by: some_lines(by) for by in REVIEWERS}), st.permutations(REVIEWERS), st.booleans())
def test_edits_that_are_undone_leave_the_rows_as_they_were(said: Mapping[str, Any], order: Any, slowly: bool) -> None:
    made, rows, ids = Edits(), HEAD, ()
    numbers = {by: made.on(HEAD, "edit", *said[by], by=by) for by in REVIEWERS}
    found = planned(made, rows, ids)
    rows, ids = found.rows, found.decision_ids
    for by in order:
        made.undo(numbers[by], by=by)
        if slowly:
            found = planned(made, rows, ids)
            assert same(apply(rows, found.changes), found.rows)
            rows, ids = found.rows, (*ids, *found.decision_ids)
    found = planned(made, rows, ids)
    assert same(found.rows, HEAD)
