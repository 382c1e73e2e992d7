"""JSON of others: what is wrong with it is named with its place, and nothing can blow up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation.errors import LabelParseError, SourceError
from curation.importers.json_file import MAX_DEPTH, read_json, to_json


def written(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "a.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"a": 1,\n "b": }', "line 2 column 7"),
        ('{"a": [1, 2]} and more', "line 1 column 15"),
        ("", "line 1 column 1"),
        (b'{"a":\n "\xff"}', "line 2 column 3: the byte 0xff is not UTF-8"),
        ('{"a": 1,\n "b": {"x": 1, "x": 2}}', "object at line 2 column 7: the key 'x' stands twice"),
        ('[1,\n{"id": ' + "9" * 5000 + "}]", "line 2 column 1: a number in here has thousands of digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=["broken", "trailing", "empty", "not UTF-8", "duplicate key", "huge integer", "nested"],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, data: bytes | str, words: str) -> None:
    with pytest.raises(LabelParseError, match=r"a\.json") as caught:
        read_json(written(tmp_path, data))
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_no_json_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_json(tmp_path / "no.json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    assert read_json(written(tmp_path, '{"ü": 1}'.encode(encoding))) == {"ü": 1}


def test_large_integers_stay_exact_and_nan_is_no_number(tmp_path: Path) -> None:
    value = read_json(written(tmp_path, f'{{"id": {2**63 + 1}, "x": NaN, "y": 1e999}}'))
    assert value["id"] == 2**63 + 1
    assert to_json(value) == f'{{"id": {2**63 + 1}, "x": null, "y": null}}'


def test_attributes_are_bounded_and_always_utf8() -> None:
    assert to_json({}) == ""
    deep: list[object] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    with pytest.raises(LabelParseError, match="nested deeper"):
        to_json({"a": deep}, "x.json annotation 3")
    text = to_json({"half": "\ud800", "ü": 1})
    text.encode()
    assert json.loads(text) == {"half": "\ud800", "ü": 1}
