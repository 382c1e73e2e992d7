"""What differs between two lists of rows, applied, taken back and merged."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import WorkspaceError
from curation.manifest import COLUMNS, canonical_hash, count_rows, sorted_rows
from curation.manifest.changes import (
    ANNOTATION,
    SAMPLE,
    Sample,
    apply,
    changed_samples,
    diff,
    inverse,
    replace_samples,
    samples_of,
)
from curation.manifest.three_way import three_way

# --- building


def make_rows(*samples: dict[str, Any]) -> pd.DataFrame:
    """Rows of samples given by what is special about them: `id`, columns, and `labels` or `annotations`."""
    made: dict[str, Sample | None] = {}
    for sample in samples:
        name = sample["id"]
        columns = {n: sample.get(n, 0 if COLUMNS[n] == "int32" else "") for n in SAMPLE}
        columns |= {"path": sample.get("path", f"{name}.png"), "status": sample.get("status", "ok")}
        given = sample.get("annotations", [{"label": label} for label in sample.get("labels", ["cat"])])
        blank = {n: "" if COLUMNS[n] == "str" else None for n in ANNOTATION}
        made[name] = Sample(columns, {a.get("key", f"{name}-{i}"): {**blank, **_plain(a)} for i, a in enumerate(given)})
    empty = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in COLUMNS.items()})
    return replace_samples(empty, made)


def _plain(annotation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in annotation.items() if name != "key"}


def kinds(old: pd.DataFrame, new: pd.DataFrame) -> list[tuple[str, str, Any, Any]]:
    return [(c["change"], c["sample_id"], c["from"], c["to"]) for c in diff(old, new)]


def same(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    return left.reset_index(drop=True).equals(right.reset_index(drop=True)) and list(left.dtypes) == list(right.dtypes)


# --- each kind of change

BOXED = {"id": "a", "annotations": [{"label": "cat", "x": 1.0, "y": 2.0, "w": 3.5, "h": 4.0}]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"id": "a"}, {"id": "a", "labels": ["dog"]}, ("relabel", "cat", "dog")),
        ({"id": "a"}, {"id": "a", "path": "b.png"}, ("rename", "a.png", "b.png")),
        ({"id": "a", "split": "train"}, {"id": "a", "split": "test"}, ("split", "train", "test")),
        ({"id": "a"}, {"id": "a", "group": "g"}, ("group", "", "g")),
        ({"id": "a"}, {"id": "a", "content_hash": "f"}, ("edit", {"content_hash": ""}, {"content_hash": "f"})),
        (
            {"id": "a"},
            {"id": "a", "status": "excluded", "reason": "broken"},
            ("exclude", {"status": "ok"}, {"status": "excluded", "reason": "broken"}),
        ),
        (
            {"id": "a", "status": "excluded", "reason": "broken"},
            {"id": "a", "status": "unreadable", "reason": "cut off"},
            ("include", {"status": "excluded", "reason": "broken"}, {"status": "unreadable", "reason": "cut off"}),
        ),
        ({"id": "a"}, {"id": "a", "status": "unreadable"}, ("edit", {"status": "ok"}, {"status": "unreadable"})),
        (
            {"id": "a"},
            {"id": "a", "annotations": [{"label": "cat", "attributes": '{"curate:labels": ["cat", "dog"]}'}]},
            ("ambiguous", "", {"curate:labels": ["cat", "dog"]}),
        ),
        (
            {"id": "a"},
            {"id": "a", "annotations": [{"label": "cat", "attributes": '{"curate:hard":true}'}]},
            ("attributes", "", '{"curate:hard":true}'),
        ),
        (BOXED, {"id": "a"}, ("box", [1.0, 2.0, 3.5, 4.0], [None] * 4)),
        ({"id": "a", "labels": []}, {"id": "a"}, ("add", None, {"label": "cat"})),
        ({"id": "a", "labels": ["cat", "dog"]}, {"id": "a"}, ("drop", {"label": "dog"}, None)),
    ],
)
def test_each_kind_of_change_is_said_applied_and_taken_back(
    old: dict[str, Any], new: dict[str, Any], expected: tuple[str, Any, Any]
) -> None:
    before, after = make_rows(old, {"id": "other"}), make_rows(new, {"id": "other"})
    (change,) = diff(before, after)
    assert (change["change"], change["from"], change["to"]) == expected
    assert list(change) == ["change", "sample_id", "annotation_id", "path", "from", "to"]
    assert same(apply(before, [change]), after)
    assert same(apply(after, [inverse(change)]), before)
    assert [inverse(change)] == diff(after, before) or change["change"] == "rename"
    assert json.loads(json.dumps(change)) == change


def test_samples_that_come_and_go_are_kept_whole() -> None:
    one = {
        "id": "a",
        "split": "train",
        "width_px": 7,
        "content_hash": "f",
        **{k: v for k, v in BOXED.items() if k != "id"},
    }
    before, after = make_rows({"id": "b"}, one), make_rows({"id": "b"}, {"id": "c", "labels": []})
    changes = diff(before, after)
    assert [(c["change"], c["path"]) for c in changes] == [("drop", "a.png"), ("add", "c.png")]
    assert changes[0]["from"] == {
        "split": "train", "content_hash": "f", "width_px": 7, "status": "ok",
        "annotations": [{"annotation_id": "a-0", "label": "cat", "box": [1.0, 2.0, 3.5, 4.0]}],
    }  # fmt: skip
    assert same(apply(before, changes), after)
    assert same(apply(after, [inverse(change) for change in changes]), before)


def test_changes_are_sorted_by_path() -> None:
    before = make_rows({"id": "a", "path": "z"}, {"id": "b", "path": "é"}, {"id": "c", "path": "A"})
    after = make_rows(*({"id": n, "path": p, "labels": ["x"]} for n, p in (("a", "z"), ("b", "é"), ("c", "A"))))
    assert [change["path"] for change in diff(before, after)] == ["A", "z", "é"]


def test_nothing_differs_between_equal_rows() -> None:
    rows = make_rows(BOXED, {"id": "b", "labels": []})
    assert diff(rows, rows.copy()) == []
    assert same(apply(rows, []), rows)
    assert changed_samples(rows, rows.copy()) == []


@pytest.mark.parametrize("wrong", [{"sample_id": "x"}, {"annotation_id": "x"}, {"from": "eel"}, {"change": "jump"}])
def test_a_change_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    rows = make_rows({"id": "a"})
    line = {"change": "relabel", "sample_id": "a", "annotation_id": "a-0", "path": "a", "from": "cat", "to": "dog"}
    assert apply(rows, [line])["label"].tolist() == ["dog"]
    with pytest.raises(WorkspaceError, match="does not fit"):
        apply(rows, [{**line, **wrong}])


def test_lines_that_change_nothing_are_passed_over() -> None:
    rows = make_rows({"id": "a"})
    assert same(apply(rows, [{"change": kind, "sample_id": "a"} for kind in ("confirm", "conflict", "import")]), rows)


def test_why_a_sample_was_excluded_counts_in_the_hash_and_in_no_class() -> None:
    out = {"id": "a", "status": "excluded", "reason": "broken"}
    broken, twin, odd = (
        make_rows({**out, "reason": reason}, {"id": "b"}) for reason in ("broken", "duplicate", "off-topic")
    )
    assert len({canonical_hash(rows) for rows in (broken, twin, odd)}) == 3
    counts = count_rows(broken)
    assert (counts["samples"], counts["excluded"], counts["classes"]) == (2, 1, {"cat": 1})
    bad = make_rows({"id": "a", "status": "unreadable", "reason": "x"})
    assert canonical_hash(bad) == canonical_hash(bad.assign(reason="y").astype(COLUMNS))


# --- three lists


def test_three_way_takes_what_one_side_changed() -> None:
    base = make_rows({"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"})
    ours = make_rows({"id": "a", "labels": ["dog"]}, {"id": "b"}, {"id": "c"}, {"id": "e"}, {"id": "d"})
    theirs = make_rows({"id": "a", "path": "new.png"}, {"id": "b", "labels": ["eel"]}, {"id": "d"}, {"id": "f"})
    rows, conflicts = three_way(base, ours, theirs)
    assert conflicts == []
    expected = make_rows(
        {"id": "a", "path": "new.png", "labels": ["dog"]}, {"id": "b", "labels": ["eel"]}, {"id": "d"}, {"id": "e"},
        {"id": "f"},
    )  # fmt: skip
    assert same(rows, expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "conflict"),
    [
        ({"labels": ["dog"]}, {"labels": ["eel"]}, ("label", "cat", "dog", "eel")),
        ({"status": "excluded"}, None, ("sample", "present", "present", None)),
        (None, {"labels": ["dog"]}, ("sample", "present", None, "present")),
        ({"labels": []}, {"labels": ["dog"]}, ("annotation", "present", None, "present")),
        ({"split": "a"}, {"split": "b"}, ("split", "", "a", "b")),
        (
            {"annotations": [{"label": "cat", "attributes": '{"curate:hard": true}'}]},
            {"labels": ["dog"]},
            ("label", "cat", {"label": "cat", "curate:hard": True}, "dog"),
        ),
        (
            {"annotations": [{"label": "cat", "attributes": '{"n": 1, "k": 5}'}]},
            {"annotations": [{"label": "cat", "attributes": '{"n": 2}'}]},
            ("attributes.n", None, 1, 2),
        ),
        (
            {"annotations": [{"label": "cat", "attributes": "free text"}]},
            {"annotations": [{"label": "cat", "attributes": '{"n": 2}'}]},
            ("attributes", "", "free text", '{"n": 2}'),
        ),
    ],
)
def test_what_both_changed_is_a_conflict_and_ours_stays(
    ours: dict[str, Any] | None, theirs: dict[str, Any] | None, conflict: tuple[Any, ...]
) -> None:
    base = make_rows({"id": "a"}, {"id": "z"})
    mine, other = (
        make_rows(*([{"id": "a", **side}] if side is not None else []), {"id": "z"}) for side in (ours, theirs)
    )
    rows, conflicts = three_way(base, mine, other)
    assert same(rows, mine)
    assert [(c["field"], c["base"], c["from"], c["to"]) for c in conflicts] == [conflict]


def test_other_attributes_of_both_sides_are_kept() -> None:
    def one(attributes: str) -> pd.DataFrame:
        return make_rows({"id": "a", "annotations": [{"label": "cat", "attributes": attributes}]})

    rows, conflicts = three_way(one('{"n":1}'), one('{"n": 1, "curate:hard": true}'), one('{"n":2,"m":null}'))
    assert conflicts == []
    assert json.loads(rows["attributes"][0]) == {"n": 2, "m": None, "curate:hard": True}


def test_the_same_change_on_both_sides_is_none() -> None:
    base, both = make_rows({"id": "a"}, {"id": "b"}), make_rows({"id": "a", "labels": ["dog"]})
    assert three_way(base, both, both)[1] == []
    assert same(three_way(base, both, both)[0], both)


# --- properties

words = st.sampled_from(["cat", "dog", "a\nb", "\0", "\u202egnp", "=1", "", "é"])
attributes = st.sampled_from(
    ["", "{}", "[]", "nan", "text", '{"n": 1}', '{"curate:labels": ["cat", "dog"]}', '{"a":2}']
)
numbers = st.sampled_from([None, 0.0, 1.5, -2.0, 1e300])
annotation = st.builds(
    lambda label, x, y, w, h, attributes: {"label": label, "x": x, "y": y, "w": w, "h": h, "attributes": attributes},
    words, numbers, numbers, numbers, numbers, attributes,
)  # fmt: skip
status = st.sampled_from([("ok", ""), ("unreadable", "why"), ("excluded", "broken"), ("excluded", "duplicate")])


@st.composite
def one_sample(draw: st.DrawFn) -> Sample:
    texts = {name: draw(words) for name in ("path", "split", "group", "content_hash", "pixel_hash", "format")}
    size = {name: draw(st.sampled_from([0, 1, 640])) for name in ("width_px", "height_px")}
    columns = {**texts, **size, **dict(zip(("status", "reason"), draw(status), strict=True))}
    columns["sample_attributes"] = draw(attributes)
    return Sample(
        {name: columns[name] for name in SAMPLE},
        draw(st.dictionaries(st.sampled_from(["k-0", "k-1", "k-2"]), annotation, max_size=3)),
    )


EMPTY = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in COLUMNS.items()})
tables = st.dictionaries(st.sampled_from(["s1", "s2", "s3", "s4"]), one_sample(), max_size=4)


@settings(max_examples=150, deadline=None)
@given(tables, tables)
def test_applying_the_difference_gives_the_other_rows(old: Any, new: Any) -> None:
    before, after = replace_samples(EMPTY, old), replace_samples(EMPTY, new)
    changes = json.loads(json.dumps(diff(before, after)))
    assert same(apply(before, changes), after)
    assert same(apply(before, reversed(changes)), after), "in any order"
    assert same(apply(after, [inverse(change) for change in reversed(changes)]), before)
    assert canonical_hash(apply(before, changes)) == canonical_hash(after.sample(frac=1, random_state=1))


@settings(max_examples=100, deadline=None)
@given(tables)
def test_samples_and_rows_are_two_views_of_the_same(made: Any) -> None:
    rows = replace_samples(EMPTY, made)
    assert samples_of(rows, made) == made
    assert same(sorted_rows(rows), rows)


@settings(max_examples=150, deadline=None)
@given(tables, tables, tables)
def test_three_way_is_the_same_from_both_sides(base: Any, ours: Any, theirs: Any) -> None:
    was, mine, other = (replace_samples(EMPTY, made) for made in (base, ours, theirs))
    rows, conflicts = three_way(was, mine, other)
    mirrored, swapped = three_way(was, other, mine)
    key = ("sample_id", "annotation_id", "field")
    turned = {(*(c[k] for k in key), repr(c["to"]), repr(c["from"])) for c in swapped}
    assert {(*(c[k] for k in key), repr(c["from"]), repr(c["to"])) for c in conflicts} == turned
    if not conflicts:
        assert {n: _values(s) for n, s in samples_of(rows, ["s1", "s2", "s3", "s4"]).items()} == {
            n: _values(s) for n, s in samples_of(mirrored, ["s1", "s2", "s3", "s4"]).items()
        }
    assert same(three_way(was, was, other)[0], other)
    assert same(three_way(was, mine, was)[0], mine)
    assert same(three_way(was, mine, mine)[0], mine)


def _values(sample: Sample) -> Any:
    """A sample with its attributes as what they mean: the order of keys and blanks may come from either side."""

    def meaning(text: str) -> Any:
        try:
            return json.loads(text) or {}
        except ValueError:
            return text or {}

    return sample.columns, {k: {**a, "attributes": meaning(a["attributes"])} for k, a in sample.annotations.items()}
