"""Pascal VOC: every habit in which it comes, where corners begin, and files that are broken on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.errors import LabelParseError, SourceError
from curation.importers import load
from curation.importers.voc_xml import read_voc
from curation.importers.xml_file import read_xml
from tests.importers.box_sets import attributes_of, boxes_of, class_names, facts_of, picture, small_set, voc_xml, write
from tests.importers.pictures import note_with, rejected_of, splits_of

CHALLENGE = "<source><database>The VOC2007 Database</database></source>"


def test_the_layout_of_the_challenge(tmp_path: Path) -> None:
    records = load(small_set(tmp_path, "voc"))
    assert records.task == "detection"
    assert boxes_of(records) == {"JPEGImages/1.png": [("cat", 1, 2, 10, 10)], "JPEGImages/2.png": []}
    assert splits_of(records) == {"JPEGImages/1.png": "train", "JPEGImages/2.png": "train"}


@pytest.mark.parametrize(
    ("xml", "image"),
    [
        ("1.xml", "1.png"),
        ("a/1.xml", "a/1.png"),
        ("annotations/1.xml", "images/1.png"),
        ("xml/1.xml", "elsewhere/1.png"),
    ],
)
def test_other_layouts(tmp_path: Path, xml: str, image: str) -> None:
    picture(tmp_path / image)
    write(tmp_path / xml, voc_xml(("cat", (1, 2, 11, 12))))
    assert boxes_of(load(tmp_path)) == {image: [("cat", 1, 2, 10, 10)]}


def test_the_picture_may_be_named_inside_only(tmp_path: Path) -> None:
    picture(tmp_path / "images/photo.png")
    write(tmp_path / "annotations/7.xml", voc_xml(("cat", (1, 2, 11, 12)), name="photo.png"))
    assert boxes_of(load(tmp_path)) == {"images/photo.png": [("cat", 1, 2, 10, 10)]}


def test_equal_names_in_two_splits_do_not_mix(tmp_path: Path) -> None:
    for split, x in (("train", 1), ("valid", 5)):
        picture(tmp_path / split / "1.png", x)
        write(tmp_path / split / "1.xml", voc_xml(("cat", (x, 2, 11, 12))))
    records = load(tmp_path)
    assert boxes_of(records) == {"train/1.png": [("cat", 1, 2, 10, 10)], "valid/1.png": [("cat", 5, 2, 6, 10)]}
    assert set(splits_of(records).values()) == {"train", "val"}


@pytest.mark.parametrize(
    ("more", "origin", "box"),
    [
        ("", "auto", (1, 2, 10, 10)),
        (CHALLENGE, "auto", (0, 1, 11, 11)),
        (CHALLENGE, "0", (1, 2, 10, 10)),
        ("", "1", (0, 1, 11, 11)),
        ("<source><database>Unknown</database></source>", "auto", (1, 2, 10, 10)),
    ],
)
def test_corners_count_from_one_only_in_the_files_of_the_challenge(
    tmp_path: Path, more: str, origin: str, box: tuple[int, ...]
) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "1.xml", voc_xml(("cat", (1, 2, 11, 12)), more=more))
    assert boxes_of(load(tmp_path, options={"box_origin": origin}))["1.png"] == [("cat", *box)]


def test_corners_in_the_other_order_are_put_right_and_said(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "1.xml", voc_xml(("cat", (11, 12, 1, 2)), more=CHALLENGE))
    records = load(tmp_path)
    assert boxes_of(records)["1.png"] == [("cat", 0, 1, 11, 11)]
    assert "1.xml line 5" in note_with(records, "other order")


def test_odd_boxes_stay_as_they_are(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "1.xml", voc_xml(("cat", (-5, 2, 11, 99)), ("dog", (3.25, 4, 3.25, 9.5))))
    records = load(tmp_path)
    assert boxes_of(records)["1.png"] == [("cat", -5, 2, 16, 97), ("dog", 3.25, 4, 0, 5.5)]
    assert "no area" in note_with(records, "1.xml line 9")
    assert note_with(records, "beyond")


def test_fields_that_mean_nothing_here_are_kept_word_for_word(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    xml = """<annotation verified="yes"><size><width>40</width><height>20</height><depth>3</depth></size>
    <owner><name>a &amp; b</name></owner><object><name>cat</name><pose>Left</pose><difficult>1</difficult>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>12</ymax></bndbox>
    <part><name>head</name></part><part><name>tail</name></part></object></annotation>"""
    write(tmp_path / "1.xml", xml)
    records = load(tmp_path)
    parts = [{"name": "head"}, {"name": "tail"}]
    assert attributes_of(records) == [{"pose": "Left", "difficult": "1", "part": parts}]
    facts = facts_of(records)["1.png"]
    assert facts["@verified"] == "yes"
    assert facts["owner"] == {"name": "a & b"}


def test_labels_keep_their_blanks_and_spelling(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "1.xml", voc_xml((" Cat", (1, 2, 3, 4)), ("cat", (1, 2, 3, 4))))
    assert [label for label, *_ in boxes_of(load(tmp_path))["1.png"]] == [" Cat", "cat"]


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ('<object><name>cat</name></object>', "line 3: the object 'cat' has no <bndbox>"),
        ("<object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>", "no class"),
        ("<object><name>a</name><bndbox><xmin>x</xmin></bndbox></object>", "not four numbers"),
        ("<object><name>a</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>",
         "not four numbers"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_rejected_with_file_and_line(tmp_path: Path, objects: str, reason: str) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png", 2)
    write(tmp_path / "1.xml", f"<annotation>\n<filename>1.png</filename>\n{objects}\n</annotation>")
    write(tmp_path / "2.xml", voc_xml(("cat", (1, 2, 3, 4))))
    records = load(tmp_path)
    assert reason in rejected_of(records)["1.png"]
    assert "1.xml line 3" in rejected_of(records)["1.png"]
    assert len(records.annotations) == 1


BROKEN = {
    "no end": "<annotation><object>",
    "empty": "",
    "bomb": '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n<annotation><folder>&b;</folder></annotation>',
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<annotation>&x;</annotation>',
    "external type": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">\n<annotation></annotation>',
    "utf-7": '<?xml version="1.0" encoding="UTF-7"?>\n<annotation></annotation>',
    "unknown encoding": '<?xml version="1.0" encoding="no-such"?>\n<annotation></annotation>',
    "deep": "<annotation>" + "<a>" * 5000,
    "other root": "<html></html>",
    "not text": b"\xff\x00\xfe<annotation>",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_costs_its_picture_its_labels_and_nothing_else(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png", 2)
    write(tmp_path / "1.xml", BROKEN[name])
    write(tmp_path / "2.xml", voc_xml(("cat", (1, 2, 3, 4))))
    records = load(tmp_path)
    assert boxes_of(records) == {"1.png": [], "2.png": [("cat", 1, 2, 2, 2)]}
    assert "1.xml, line" in rejected_of(records)["1.png"]
    assert "passwd" not in str(records)


def test_a_huge_token_is_not_parsed() -> None:
    with pytest.raises(LabelParseError, match="no annotation of one picture"):
        read_voc(b"<annotation>" + b"a" * (64 * 2**20), "1.xml")


def test_elements_know_their_lines() -> None:
    root = read_xml(b"<a>\n\n<b x='1'>text</b>\n<b/></a>", "a.xml")
    assert [(node.line, node.text, node.attributes) for node in root.all("b")] == [(3, "text", {"x": "1"}), (4, "", {})]


def test_missing_pictures_are_rejected_by_name(tmp_path: Path) -> None:
    picture(tmp_path / "2.png")
    write(tmp_path / "1.xml", voc_xml(("cat", (1, 2, 3, 4)), name="../../etc/passwd"))
    write(tmp_path / "2.xml", voc_xml(("cat", (1, 2, 3, 4))))
    assert "is not there" in rejected_of(load(tmp_path))["1.xml"]


def test_lists_decide_splits_before_folders_do(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / f"JPEGImages/{number}.png", number)
        write(tmp_path / f"Annotations/{number}.xml", voc_xml(("cat", (1, 2, 3, 4))))
    for name, text in {
        "trainval": "0\n1\n3\n",
        "train": "0\n# a comment\n\n",
        "val": "1\r\n",
        "test": "nobody\n",
    }.items():
        write(tmp_path / f"ImageSets/Main/{name}.txt", text)
    records = load(tmp_path)
    assert list(splits_of(records).values()) == ["train", "val", "", "trainval"]
    assert rejected_of(records)["nobody"] == "ImageSets/Main/test.txt line 1: there is no picture of that name"


def test_a_picture_in_two_splits_is_said(tmp_path: Path) -> None:
    small_set(tmp_path, "voc")
    write(tmp_path / "ImageSets/Main/val.txt", "1\n")
    assert "'train', which counts" in note_with(load(tmp_path), "in two splits")


def test_lists_of_classes_are_labels_where_there_are_no_boxes(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"JPEGImages/{number}.png", number)
    lists = {
        "train": "0\n1\n",
        "val": "2\n",
        "cat_train": "0  1\n1 -1\n",
        "dog_train": "0  1\n1  0\n",
        "dog_val": "2 -1\n",
    }
    for name, text in lists.items():
        write(tmp_path / f"ImageSets/Main/{name}.txt", text)
    records = load(tmp_path)
    assert records.task == "multi-label"
    assert list(boxes_of(records).values()) == [[("cat",), ("dog",)], [("dog",)], []]
    assert attributes_of(records)[2] == {"difficult": "1"}
    assert list(splits_of(records).values()) == ["train", "train", "val"]


def test_masks_are_no_samples(tmp_path: Path) -> None:
    small_set(tmp_path, "voc")
    picture(tmp_path / "SegmentationClass/1.png", 9)
    records = load(tmp_path)
    assert len(records.samples) == 2
    assert "mask" in rejected_of(records)["SegmentationClass/1.png"]


def test_the_class_list_keeps_its_order_and_unused_classes(tmp_path: Path) -> None:
    small_set(tmp_path, "voc")
    write(tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions\nzebra:1,2,3::\ncat:::\nan:odd:one:::\n")
    records = load(tmp_path)
    assert class_names(records) == ["zebra", "cat", "an:odd:one"]
    assert records.classes[0] == {"name": "zebra", "color_rgb": "1,2,3"}


def test_nothing_of_the_format(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    with pytest.raises(SourceError, match="no Pascal VOC annotation"):
        load(tmp_path, format="voc")


def test_boxes_as_labels_of_whole_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write(tmp_path / "1.xml", voc_xml(("cat", (1, 2, 3, 4)), ("dog", (1, 2, 3, 4)), ("cat", (5, 2, 9, 4))))
    records = load(tmp_path, options={"task": "multi-label"})
    assert (records.task, boxes_of(records)) == ("multi-label", {"1.png": [("cat",), ("dog",)]})
