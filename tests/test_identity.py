"""Ids that outlive renames, swaps and edits."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.identity import match_samples, with_ids
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
