"""Taking back and bringing together where pictures have several annotations: annotation by annotation, fact by fact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.manifest import NewVersion, canonical_hash, read, write_version
from curation.manifest.changes import Sample, apply, diff, replace_samples, samples_of
from curation.manifest.history import changes_of, start_branch
from curation.manifest.merge import merge
from curation.manifest.revert import revert_reviewer, revert_sample, revert_version
from curation.manifest.three_way import three_way
from tests.manifest.test_changes import make_rows, same
from tests.manifest.test_publish_edits import BOXES, has

BASE = make_rows({"id": "a", "annotations": BOXES}, {"id": "b", "labels": ["cat", "eel"]}, {"id": "c", "labels": []})


def changed(rows: pd.DataFrame, *lines: tuple[Any, ...], name: str = "a") -> pd.DataFrame:
    """Rows with (relabel, n, label), (box, n, box), (drop, n), (add, id, label, box) done to a picture."""
    sample = samples_of(rows, [name])[name]
    annotations = dict(sample.annotations)
    for kind, place, *to in lines:
        key = f"{name}-{place}"
        if kind == "drop":
            annotations.pop(key, None)
        elif kind == "add":
            box = dict(zip("xywh", to[1] or [None] * 4, strict=True))
            annotations[key] = {"label": to[0], **box, "attributes": ""}
        elif key in annotations:
            change = {"label": to[0]} if kind == "relabel" else dict(zip("xywh", to[0], strict=True))
            annotations[key] = {**annotations[key], **change}
    return replace_samples(rows, {name: Sample(sample.columns, annotations)})


def write(folder: Path, rows: pd.DataFrame, branch: str = "main", parent: str = "", **line: Any) -> str:
    """The next version, each change with `line` beside it."""
    before = read(folder, parent) if parent else None
    changes = [] if before is None else [{**one, **line} for one in diff(before, rows)]
    new = NewVersion(parent or None, "publish", "me", "text", changes, branch, dataset="set",
                     source={"task": "detection"})  # fmt: skip
    return write_version(rows, new, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "set", BASE)
    return tmp_path / "set"


# --- three ways


def test_what_both_sides_did_to_different_annotations_is_in_the_result() -> None:
    ours = changed(BASE, ("relabel", 0, "dog"), ("drop", 1))
    theirs = changed(BASE, ("box", 0, [1, 1, 8, 8]), ("relabel", 2, "eel"), ("add", "new", "fox", [5, 5, 5, 5]))
    rows, conflicts = three_way(BASE, ours, theirs)
    assert conflicts == []
    assert has(rows) == {
        "-0": ("dog", (1, 1, 8, 8)), "-2": ("eel", (40, 0, 10, 10)), "-new": ("fox", (5, 5, 5, 5)),
    }  # fmt: skip
    assert samples_of(rows, ["a"])["a"].annotations["a-0"]["attributes"] == BOXES[0]["attributes"]


@pytest.mark.parametrize(
    ("ours", "theirs", "field", "sides"),
    [
        (("relabel", 0, "dog"), ("relabel", 0, "eel"), "label", ("cat", "dog", "eel")),
        (("box", 1, [1, 1, 1, 1]), ("box", 1, [2, 2, 2, 2]), "box",
         ([20, 0, 10, 10], [1, 1, 1, 1], [2, 2, 2, 2])),
        (("drop", 2), ("relabel", 2, "eel"), "annotation", ("present", None, "present")),
        (("relabel", 2, "eel"), ("drop", 2), "annotation", ("present", "present", None)),
        (("add", "new", "fox", [1, 1, 9, 9]), ("add", "new", "owl", [1, 1, 9, 9]), "label", (None, "fox", "owl")),
    ],
)  # fmt: skip
def test_what_both_did_to_one_fact_is_a_conflict_of_that_annotation_and_ours_stays(
    ours: Any, theirs: Any, field: str, sides: Any
) -> None:
    mine = changed(BASE, ours)
    rows, (conflict,) = three_way(BASE, mine, changed(BASE, theirs))
    key = f"a-{ours[1]}"
    assert (conflict["field"], conflict["annotation_id"]) == (field, key)
    assert tuple(conflict[side] for side in ("base", "from", "to")) == sides
    assert same(rows, mine)


def test_a_conflict_of_one_annotation_does_not_hold_up_the_others() -> None:
    ours = changed(BASE, ("relabel", 0, "dog"))
    theirs = changed(BASE, ("relabel", 0, "eel"), ("drop", 1), ("box", 2, [1, 2, 3, 4]))
    rows, conflicts = three_way(BASE, ours, theirs)
    assert len(conflicts) == 1
    assert has(rows) == {"-0": ("dog", (0, 0, 10, 10)), "-2": ("cat", (1, 2, 3, 4))}


def test_a_picture_that_loses_its_last_annotation_stays_and_one_without_any_gets_one() -> None:
    ours = changed(changed(BASE, ("drop", 0), ("drop", 1), name="b"), ("relabel", 0, "dog"))
    theirs = changed(BASE, ("add", "n", "cat", None), name="c")
    for rows in (three_way(BASE, ours, theirs)[0], three_way(BASE, theirs, ours)[0]):
        assert (has(rows, "b"), has(rows, "c")) == ({}, {"-n": ("cat", None)})
        assert (rows["sample_id"] == "b").sum() == 1
        assert has(rows)["-0"][0] == "dog"


# --- versions


def test_reverting_a_version_takes_each_annotation_back_unless_it_changed_again(folder: Path) -> None:
    second = write(folder, changed(BASE, ("relabel", 0, "dog"), ("drop", 1), ("add", "n", "fox", [1, 1, 9, 9])),
                   parent="v0001")  # fmt: skip
    write(folder, changed(read(folder, second), ("relabel", 0, "eel"), ("box", 2, [9, 9, 9, 9])), parent=second)
    done = revert_version(folder, second, "me")
    assert [(c["field"], c["annotation_id"], c["from"], c["to"]) for c in done.conflicts] == [
        ("label", "a-0", "eel", "cat")
    ]
    assert has(read(folder, done.version)) == {
        "-0": ("eel", (0, 0, 10, 10)), "-1": ("dog", (20, 0, 10, 10)), "-2": ("cat", (9, 9, 9, 9)),
    }  # fmt: skip


def test_reverting_a_reviewer_leaves_the_other_boxes_of_the_picture(folder: Path) -> None:
    second = write(folder, changed(BASE, ("relabel", 0, "dog"), ("drop", 1)), parent="v0001", reviewer="ann",
                   decided="2026-11-21T10:00:00Z")  # fmt: skip
    third = write(folder, changed(read(folder, second), ("box", 2, [9, 9, 9, 9])), parent=second, reviewer="bob",
                  decided="2026-11-21T11:00:00Z")  # fmt: skip
    done = revert_reviewer(folder, "ann", "", "me")
    assert done.conflicts == []
    assert has(read(folder, done.version)) == {**has(BASE), "-2": ("cat", (9, 9, 9, 9))}
    assert {line["annotation_id"] for line in changes_of(folder, third)} == {"a-2"}


def test_reverting_a_sample_takes_back_all_of_its_last_change_and_brings_it_back(folder: Path) -> None:
    new = changed(BASE, ("relabel", 0, "dog"), ("drop", 1), ("add", "n", "fox", [1, 1, 9, 9]), ("box", 2, [3, 3, 3, 3]))
    write(folder, new, parent="v0001")
    back = revert_sample(folder, "a", "me")
    assert same(read(folder, back.version), BASE)
    again = revert_sample(folder, "a", "me")
    assert same(read(folder, again.version), new)


def test_a_branch_with_other_boxes_is_brought_in(folder: Path) -> None:
    start_branch(folder, "other", "v0001", "me")
    write(folder, changed(BASE, ("relabel", 0, "dog"), ("drop", 1)), parent="v0001")
    write(folder, changed(BASE, ("box", 2, [9, 9, 9, 9]), ("relabel", 0, "eel")), "other", "v0001")
    done = merge(folder, "other", "me")
    assert [(c["change"], c["annotation_id"]) for c in done.changes] == [("box", "a-2")]
    assert [(c["field"], c["annotation_id"]) for c in done.conflicts] == [("label", "a-0")]
    assert has(read(folder, done.version)) == {"-0": ("dog", (0, 0, 10, 10)), "-2": ("cat", (9, 9, 9, 9))}


# --- whatever was done

PLACE = st.sampled_from([0, 1, 2])
LABEL = st.sampled_from(["cat", "dog", "eel"])
BOX = st.sampled_from([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 8.0, 8.0], [30.0, 5.0, 4.0, 4.0]])
LINE = st.one_of(
    st.tuples(st.just("relabel"), PLACE, LABEL),
    st.tuples(st.just("box"), PLACE, BOX),
    st.tuples(st.just("drop"), PLACE),
    st.tuples(st.just("add"), st.sampled_from(["n", "m"]), LABEL, BOX),
)
EDIT = st.lists(LINE, max_size=4)


@settings(deadline=None)
@given(ours=EDIT, theirs=EDIT)
def test_sides_can_be_swapped_and_nothing_is_lost_that_only_one_did(ours: Any, theirs: Any) -> None:
    mine, other = changed(BASE, *ours), changed(BASE, *theirs)
    rows, conflicts = three_way(BASE, mine, other)
    back, swapped = three_way(BASE, other, mine)
    assert [{**c, "from": c["to"], "to": c["from"]} for c in conflicts] == swapped
    if not conflicts:
        assert canonical_hash(rows) == canonical_hash(back)
    disputed = {c["annotation_id"] for c in conflicts}
    for side in (mine, other):
        for line in diff(BASE, side):
            if line["annotation_id"] not in disputed:
                there = has(rows).get(line["annotation_id"].removeprefix("a"))
                if line["change"] == "drop":
                    assert there is None
                elif there is None or line["change"] not in ("relabel", "box"):
                    assert there == has(side).get(line["annotation_id"].removeprefix("a"))
                else:
                    assert line["to"] == (there[0] if line["change"] == "relabel" else list(there[1]))


@settings(deadline=None)
@given(lines=EDIT)
def test_three_ways_with_an_unchanged_side_give_the_other(lines: Any) -> None:
    side = changed(BASE, *lines)
    assert same(three_way(BASE, side, BASE)[0], side)
    assert same(three_way(BASE, BASE, side)[0], side)
    assert same(three_way(BASE, side, side)[0], side)
    assert same(apply(BASE, diff(BASE, side)), side)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(first=EDIT, second=EDIT)
def test_a_revert_of_a_version_keeps_what_came_after_it(
    tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any
) -> None:
    folder = tmp_path_factory.mktemp("versions") / "set"
    write(folder, BASE)
    new = changed(BASE, *first)
    if same(new, BASE):
        return
    two = write(folder, new, parent="v0001")
    later = changed(new, *second)
    last = write(folder, later, parent=two) if not same(later, new) else two
    done = revert_version(folder, two, "me")
    rows = read(folder, done.version) if done.version else read(folder, last)
    if last == two:
        assert same(rows, BASE)
    disputed = {c["annotation_id"] for c in done.conflicts}
    untouched = {line["annotation_id"] for line in diff(BASE, new)} - {
        line["annotation_id"] for line in diff(new, later)
    }
    for key in untouched - disputed:
        short = key.removeprefix("a")
        assert has(rows).get(short) == has(BASE).get(short)
