"""Ids, names as text, and the two tables' contract."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import SourceError
from curation.records import (
    ANNOTATION_COLUMNS,
    SAMPLE_COLUMNS,
    Records,
    check_records,
    empty_annotations,
    empty_samples,
    make_annotation_id,
    make_sample_id,
    path_to_text,
    text_to_path,
)


@pytest.mark.parametrize(
    "name", ["a.jpg", "é/e\u0301 x.jpg", "a\\b.jpg", "back\\slash", "\\u0041", "a\nb", "\u202e", "#1%2f"]
)
def test_ordinary_names_are_themselves(name: str) -> None:
    assert path_to_text(name) == name
    assert text_to_path(name) == name


@given(st.binary(max_size=30))
def test_any_bytes_of_a_name_come_back(data: bytes) -> None:
    name = os.fsdecode(data)
    text = path_to_text(name)
    text.encode("utf-8")
    assert os.fsencode(text_to_path(text)) == data


@given(
    st.lists(
        st.sampled_from(["\\", "u", "d", "c", "f", "0", "5", "\udcff", "\\udcff", "\\u005c", "x"]), max_size=12
    ).map("".join)
)
def test_names_that_look_escaped_come_back(name: str) -> None:
    assert text_to_path(path_to_text(name)) == name


def test_sample_ids_depend_on_the_path_alone_and_are_no_numbers() -> None:
    assert make_sample_id("cat/1.jpg") == make_sample_id("cat/1.jpg") == "s32018dafbde900d2"
    assert make_sample_id("cat/1.jpg", 1) != make_sample_id("cat/1.jpg")
    assert make_annotation_id("s1") == "s1-0"


@pytest.mark.parametrize("count", [0, 3])
def test_empty_tables_have_the_right_columns_and_types(count: int) -> None:
    for table, columns in ((empty_samples(count), SAMPLE_COLUMNS), (empty_annotations(count), ANNOTATION_COLUMNS)):
        assert len(table) == count
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == columns


def test_records_without_samples_are_the_users_mistake() -> None:
    with pytest.raises(SourceError, match="No images were found in /x"):
        check_records(Records(empty_samples(), empty_annotations(), Path("/x"), "folder"))


def test_records_that_break_the_contract_are_ours() -> None:
    samples = empty_samples(2)
    with pytest.raises(AssertionError):
        check_records(Records(samples, empty_annotations(), Path("/x"), "folder"))
    samples["sample_id"] = ["s1", "s2"]
    with pytest.raises(AssertionError):
        check_records(Records(samples, empty_annotations(1).assign(sample_id="s3"), Path("/x"), "folder"))
