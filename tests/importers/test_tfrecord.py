"""TFRecords as a source: their own pictures, classes by text and by number, and damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.decoding.tf_example import write_example
from curation.errors import LabelParseError, SourceError
from curation.importers import load
from tests.importers.box_sets import (
    attributes_of,
    boxes_of,
    class_names,
    example,
    facts_of,
    picture,
    record_file,
    small_set,
    write,
)
from tests.importers.pictures import note_with, rejected_of, splits_of

BOX = (10, 2, 10, 10)  # of 40 x 20 pixels
CORNERS = (0.25, 0.1, 0.5, 0.6)
BBOX = "image/object/bbox/"


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return picture(tmp_path / "elsewhere/1.png").read_bytes()


def near(records: object) -> list[tuple[object, ...]]:
    """All boxes, rounded as 32-bit shares of small pictures allow."""
    return [(m[0], *(round(v, 4) for v in m[1:])) for own in boxes_of(records).values() for m in own]  # type: ignore[arg-type]


def test_boxes_are_shares_and_pictures_are_members(tmp_path: Path) -> None:
    records = load(small_set(tmp_path, "tfrecord"))
    assert list(boxes_of(records)) == ["train.record#000000"]
    assert near(records) == [("cat", *BOX)]
    assert list(splits_of(records).values()) == ["train"]
    assert records.classes == ({"name": "cat", "id": 1},)
    assert near(load(tmp_path / "train.record")) == near(records)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("coco_val.record-00000-of-00002", "val"),
        ("test.tfrecord", "test"),
        ("mine.record", ""),
        ("train/x.record", "train"),
    ],
)
def test_names_say_the_split(tmp_path: Path, data: bytes, name: str, split: str) -> None:
    record_file(tmp_path / "set" / name, example("cat", CORNERS, data))
    assert list(splits_of(load(tmp_path / "set")).values()) == [split]


def test_numbers_mean_what_the_label_map_says_with_gaps(tmp_path: Path, data: bytes) -> None:
    more = {"image/object/class/text": [], "image/object/class/label": [7]}
    record_file(tmp_path / "set/a.record", example("", CORNERS, data, **more))
    write(tmp_path / "set/label_map.pbtxt", "item { id: 7 name: 'dog' }\nitem { id: 90 name: 'cat' }\n")
    records = load(tmp_path / "set")
    assert near(records) == [("dog", *BOX)]
    assert [entry["id"] for entry in records.classes] == [7, 90]


def test_without_a_label_map_texts_count_then_numbers(tmp_path: Path, data: bytes) -> None:
    only_number = example("", CORNERS, data, **{"image/object/class/text": [], "image/object/class/label": [5]})
    record_file(tmp_path / "set/a.record", example("cat", CORNERS, data), only_number)
    assert [label for label, *_ in near(load(tmp_path / "set"))] == ["cat", "5"]


def test_maps_that_differ_are_said_and_texts_count(tmp_path: Path, data: bytes) -> None:
    for split, name in (("train", "cat"), ("test", "dog")):
        record_file(tmp_path / f"set/{split}/a.record", example("cat", CORNERS, data))
        write(tmp_path / f"set/{split}/label_map.pbtxt", f"item {{ id: 1 name: '{name}' }}")
    records = load(tmp_path / "set")
    assert [label for label, *_ in near(records)] == ["cat", "cat"]
    assert note_with(records, "test/label_map.pbtxt' and 'train/label_map.pbtxt")
    assert "calls it 'dog'" in note_with(records, "another number than its name")


def test_other_features_are_kept(tmp_path: Path, data: bytes) -> None:
    more = {
        "image/object/difficult": [1],
        "image/object/weight": [0.5],
        "image/object/mask": [b"\xff\x00"],
        "image/camera": [b"left"],
        "image/object/class/label": [1],
        "image/times": [1, 2],
    }
    record_file(tmp_path / "set/a.record", example("cat", CORNERS, data, **more))
    records = load(tmp_path / "set")
    assert attributes_of(records) == [{"difficult": 1, "weight": 0.5, "mask": {"base64": "/wA="}}]
    facts = facts_of(records)["a.record#000000"]
    assert (facts["image/camera"], facts["image/times"], facts["image/filename"]) == ("left", [1, 2], "1.png")


def test_records_of_a_classifier(tmp_path: Path, data: bytes) -> None:
    labels = [[b"cat"], [b"cat", b"dog"], []]
    made = [write_example({"image/encoded": [data], "image/class/text": label}) for label in labels]
    record_file(tmp_path / "set/a.record", *made)
    records = load(tmp_path / "set")
    assert records.task == "multi-label"
    assert list(boxes_of(records).values()) == [[("cat",)], [("cat",), ("dog",)], []]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"image/object/class/text": [b"a", b"b"]}, "its lists of corners and classes have 1, 2 entries"),
        ({f"{BBOX}xmin": [b"x"]}, "its corners are no numbers"),
        ({f"{BBOX}xmin": [float("nan")]}, "no place in a picture"),
        ({"image/object/class/text": [b""], "image/object/class/label": [0]}, "it has no class"),
        ({"image/object/class/text": [b"\xff"], "image/object/class/label": []}, "it has no class"),
    ],
)
def test_a_record_that_cannot_be_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, data: bytes, more: dict[str, list[object]], reason: str
) -> None:
    record_file(tmp_path / "set/a.record", example("cat", CORNERS, data, **more), example("cat", CORNERS, data))
    records = load(tmp_path / "set")
    assert len(records.samples) == 2
    assert near(records) == [("cat", *BOX)]
    said = rejected_of(records)["a.record#000000"]
    assert said.startswith("a.record record 1: ")
    assert reason in said


def test_a_damaged_file_refuses_the_import(tmp_path: Path, data: bytes) -> None:
    good = record_file(tmp_path / "set/a.record", example("cat", CORNERS, data), example("cat", CORNERS, data))
    whole = good.read_bytes()
    for broken, reason in (
        (whole[:-1], "a.record: record 2 says"),
        (whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], "a.record: record 1 is damaged: its checksum"),
        (b"\0" * 40, "a.record: it is no TFRecord file"),
    ):
        good.write_bytes(broken)
        with pytest.raises(LabelParseError) as raised:
            load(tmp_path / "set")
        assert reason in str(raised.value)


def test_a_record_of_another_kind_refuses_the_import(tmp_path: Path, data: bytes) -> None:
    record_file(tmp_path / "set/a.record", example("cat", CORNERS, data), b"\xff" * 30)
    with pytest.raises(LabelParseError, match=r"a\.record: record 2: it is no tf\.train\.Example"):
        load(tmp_path / "set")


def test_a_broken_label_map_refuses_the_import(tmp_path: Path) -> None:
    small_set(tmp_path, "tfrecord")
    write(tmp_path / "label_map.pbtxt", "item {\n id: x\n}")
    with pytest.raises(LabelParseError, match=r"label_map\.pbtxt, line 2: "):
        load(tmp_path)


def test_a_size_that_is_not_the_pictures_own_is_said(tmp_path: Path, data: bytes) -> None:
    record_file(tmp_path / "set/a.record", example("cat", CORNERS, data, **{"image/width": [20], "image/height": [40]}))
    records = load(tmp_path / "set")
    assert near(records) == [("cat", *BOX)]
    assert "EXIF" in note_with(records, "another size")


def test_a_picture_beside_an_empty_record_is_taken(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    record_file(tmp_path / "a.record", example("cat", CORNERS, b""))
    records = load(tmp_path)
    assert boxes_of(records).keys() == {"1.png"}
    assert near(records) == [("cat", *BOX)]


def test_nothing_of_the_format(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    with pytest.raises(SourceError, match="no TFRecord"):
        load(tmp_path, format="tfrecord")
    assert class_names(load(small_set(tmp_path, "tfrecord"))) == ["cat"]
