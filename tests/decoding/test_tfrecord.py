"""TFRecord framing and tf.train.Example without TensorFlow: exact bytes, and files that lie."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from curation.decoding.sources import is_bundle, open_picture, split_member
from curation.decoding.tf_example import picture_of, read_example, read_label_map, write_example, write_label_map
from curation.decoding.tfrecord import masked_crc, read_record, read_records, record_places, write_record
from curation.errors import UnreadableError
from tests.importers.box_sets import SIZE, example, picture, record_file, write


def test_the_checksum_is_the_one_of_the_format() -> None:
    # CRC-32C of "123456789" is 0xE3069283 (RFC 3720, appendix B.4); the mask is rotation by 15 and a constant.
    rotated = ((0xE3069283 >> 15) | (0xE3069283 << 17)) & 0xFFFFFFFF
    assert masked_crc(b"123456789") == (rotated + 0xA282EAD8) % 2**32


def test_records_come_back(tmp_path: Path) -> None:
    contents = [b"", b"a", b"x" * 100_000]
    file = record_file(tmp_path / "a.record", *contents)
    assert list(read_records(file)) == contents
    assert read_record(file, 2) == contents[2]
    assert record_places(file).shape == (3, 2)
    with pytest.raises(UnreadableError, match="3 records, none with the number 3"):
        read_record(file, 3)


def whole(*contents: bytes) -> bytes:
    stream = io.BytesIO()
    for content in contents:
        write_record(stream, content)
    return stream.getvalue()


def head(length: int) -> bytes:
    data = struct.pack("<Q", length)
    return data + struct.pack("<I", masked_crc(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not a record file at all", "it is no TFRecord file"),
        (whole(b"first", b"second")[:-1], "record 2 says that it has 6 bytes, but the file ends before"),
        (whole(b"first") + b"\0\0\0", "record 2 is cut off"),
        (whole(b"first") + b"\7" * 12, "record 2 is damaged: the checksum of its length"),
        (head(2**62) + b"x" * 100, "4,611,686,018,427,387,904 bytes, but the file ends before"),
        (head(2**64 - 1) + b"x" * 100, "but the file ends before"),
        (whole(b"first")[:-1] + b"\0", "record 1 is damaged: its checksum"),
        (whole(b"first").replace(b"first", b"fir5t"), "record 1 is damaged: its checksum"),
    ],
)
def test_a_damaged_file_is_said(tmp_path: Path, data: bytes, reason: str) -> None:
    file = write(tmp_path / "a.record", data)
    with pytest.raises(UnreadableError) as raised:
        list(read_records(file))
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a/b.record#17", ("a/b.record", "", 17)),
        ("b.tfrecord#000003", ("b.tfrecord", "", 3)),
        ("B.TFRECORDS#1", ("B.TFRECORDS", "", 1)),
        ("coco_train.record-00001-of-00100#5", ("coco_train.record-00001-of-00100", "", 5)),
        ("a.record#1.png", None),
        ("a.records#1", None),
    ],
)
def test_pictures_inside_are_addressed_by_number(path: str, found: tuple[str, str, int] | None) -> None:
    assert split_member(path) == found
    if found:
        assert is_bundle(found[0])


def test_a_picture_inside_is_decoded(tmp_path: Path) -> None:
    data = picture(tmp_path / "1.png").read_bytes()
    record_file(tmp_path / "a.record", example("cat", (0, 0, 1, 1), data), write_example({"image/encoded": [b""]}))
    assert open_picture(tmp_path, "a.record#000000").rgb.size == SIZE
    for member, reason in (("a.record#1", "no picture|not a picture|empty"), ("a.record#2", "none with the number 2")):
        with pytest.raises(UnreadableError, match=reason):
            open_picture(tmp_path, member)


def test_examples_come_back_and_the_same_features_give_the_same_bytes() -> None:
    features = {"i": [1, -(2**63), 2**63 - 1], "f": [0.5, -1.0], "b": [b"", b"\xff\0"], "none": []}
    data = write_example(features)
    assert read_example(data) == features
    assert write_example(dict(reversed(features.items()))) == data


@pytest.mark.parametrize("data", [b"\x0a\xff", b"\xff" * 40, b"\x0a\x05\x0a\x10\x00\x00\x00"])
def test_what_is_no_example_is_said(data: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"no tf\.train\.Example|has no picture"):
        picture_of(data)


def test_label_maps_come_back() -> None:
    items = [{"name": 'a\n"b" \u2028', "id": 7, "display_name": "A"}, {"name": "c", "id": 2}]
    assert read_label_map(write_label_map(items)) == items
    assert read_label_map("item { name: 'x', id: 1 }\nitem{\n id:3\n unknown: 5 }") == [
        {"name": "x", "id": 1},
        {"id": 3},
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("item {\n  id: 'x'\n}", 2),
        ("item {\n  id: 1\n", 1),
        ("\n\nnonsense: {" * 500, 3),
        ("item { id: 99999999999 }", 1),
    ],
)
def test_a_broken_label_map_names_the_line(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=r"^line \d+: ") as raised:
        read_label_map(text)
    assert len(str(raised.value)) < 300
    del line
