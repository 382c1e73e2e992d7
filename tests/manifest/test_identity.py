"""Ids that outlive renames, swaps and edits."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.manifest.identity import match_samples, with_ids
from curation.records import empty_annotations, empty_samples, make_sample_id


def samples(**pictures: str) -> pd.DataFrame:
    """A samples table; keyword = path, value = which picture is there."""
    table = empty_samples(len(pictures))
    table["path"] = pd.Series(list(pictures), dtype="str")
    table["pixel_hash"] = pd.Series(list(pictures.values()), dtype="str")
    table["sample_id"] = pd.Series([make_sample_id(path) for path in pictures], dtype="str")
    return table


def matched(old: dict[str, str], new: dict[str, str]) -> dict[str, tuple[str, str]]:
    """New path -> (old path that it was, "" for none; how it was recognised)."""
    before = samples(**old)
    found = match_samples(before, samples(**new))
    origin = dict(zip(before["sample_id"], old, strict=True))
    return {path: (origin.get(i, ""), kind) for path, i, kind in zip(new, found.sample_ids, found.kinds, strict=True)}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": "1"}, {"a": "1"}, {"a": ("a", "same")}),
        ({"a": "1"}, {"b": "1"}, {"b": ("a", "renamed")}),
        ({"a": "1"}, {"a": "2"}, {"a": ("a", "edited")}),
        ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": ("b", "renamed"), "b": ("a", "renamed")}),
        ({"a": "1"}, {"a": "2", "b": "1"}, {"a": ("", "new"), "b": ("a", "renamed")}),
        ({"a": "1"}, {"a": "1", "b": "1"}, {"a": ("a", "same"), "b": ("", "new")}),
        ({"a": "1", "b": "1"}, {"c": "1", "d": "1"}, {"c": ("a", "renamed"), "d": ("b", "renamed")}),
        ({"a": ""}, {"a": ""}, {"a": ("a", "same")}),
        ({"a": ""}, {"b": ""}, {"b": ("", "new")}),
    ],
)
def test_how_samples_are_recognised(
    old: dict[str, str], new: dict[str, str], expected: dict[str, tuple[str, str]]
) -> None:
    assert matched(old, new) == expected


def test_a_new_picture_at_a_path_that_was_left_gets_an_id_of_its_own() -> None:
    found = match_samples(samples(a="1"), samples(a="2", b="1"))
    assert found.sample_ids == [make_sample_id("a", 1), make_sample_id("a")]


sets = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3", ""]), max_size=6)


@settings(max_examples=200, deadline=None)
@given(sets, sets)
def test_ids_are_unique_and_never_given_to_a_second_picture(old: dict[str, str], new: dict[str, str]) -> None:
    found = match_samples(samples(**old), samples(**new))
    assert len(set(found.sample_ids)) == len(new)
    known = {make_sample_id(path) for path in old}
    for sample_id, kind in zip(found.sample_ids, found.kinds, strict=True):
        assert (sample_id in known) == (kind != "new")


def test_annotation_ids_are_kept_by_position() -> None:
    before = empty_annotations(2).assign(sample_id=make_sample_id("a"), annotation_id=["kept-7", "kept-9"], label="cat")
    now = empty_annotations(3).assign(sample_id=make_sample_id("b"), annotation_id=["x", "y", "z"], label="cat")
    moved, annotations = with_ids(samples(b="1"), now, [make_sample_id("a")], before)
    assert list(moved["sample_id"]) == [make_sample_id("a")]
    assert list(annotations["annotation_id"]) == ["kept-7", "kept-9", f"{make_sample_id('a')}-0"]
    assert set(annotations["sample_id"]) == {make_sample_id("a")}


def boxes(sample: str, *labels: str, first: int = 0) -> pd.DataFrame:
    """Annotations of one sample, each with a box of its own."""
    count = len(labels)
    table = empty_annotations(count).assign(sample_id=sample, label=list(labels))
    table["annotation_id"] = [f"{sample}-{place + first}" for place in range(count)]
    places = [float(sum(map(ord, label))) for label in labels]
    return table.assign(x=places, y=1.0, w=2.0, h=3.0).astype({"sample_id": "str", "label": "str"})


def test_an_annotation_put_in_front_moves_no_ids() -> None:
    sample = make_sample_id("a")
    before = boxes(sample, "cat", "dog")
    _, now = with_ids(samples(a="1"), boxes(sample, "new", "cat", "dog"), [sample], before)
    ids = dict(zip(now["label"], now["annotation_id"], strict=True))
    assert (ids["cat"], ids["dog"]) == (f"{sample}-0", f"{sample}-1")
    assert ids["new"] not in (f"{sample}-0", f"{sample}-1")


def test_a_relabelled_annotation_among_several_keeps_its_id() -> None:
    sample = make_sample_id("a")
    _, now = with_ids(samples(a="1"), boxes(sample, "cat", "eel"), [sample], boxes(sample, "cat", "dog"))
    assert now["annotation_id"].tolist() == [f"{sample}-0", f"{sample}-1"]


@pytest.mark.parametrize("several", [False, True])
def test_ids_that_were_given_once_are_not_given_again(several: bool) -> None:
    sample, other = make_sample_id("a"), make_sample_id("b")
    labels = ["cat", "dog"] if several else ["cat"]
    taken = {f"{sample}-0", f"{sample}-1"}
    _, now = with_ids(samples(a="1"), boxes(sample, *labels), [sample], boxes(other, "cat"), taken)
    assert not taken & set(now["annotation_id"])
    assert now["annotation_id"].is_unique
    found = match_samples(samples(b="2"), samples(a="1"), taken={sample})
    assert found.sample_ids == [make_sample_id("a", 1)]


def test_the_same_bytes_are_the_same_picture_whatever_the_decoder_made_of_them() -> None:
    old, new = samples(a="1"), samples(b="other decoder")
    for table in (old, new):
        table["content_hash"] = "same bytes"
    assert match_samples(old, new).kinds == ["renamed"]


def test_where_too_many_files_changed_paths_have_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.manifest.identity.LOOK_LIMIT", 1)

    def refuse(contents: object) -> dict[str, object]:
        raise AssertionError("nothing is to be looked at")

    old, new = samples(a="1", b="2"), samples(a="3", b="4")
    for table, mark in ((old, "then"), (new, "now")):
        table["content_hash"] = pd.Series([f"{mark} {path}" for path in table["path"]], dtype="str")
    found = match_samples(old, new, refuse)  # type: ignore[arg-type]
    assert (found.kinds, found.doubtful) == (["edited", "edited"], {0, 1})
