"""YOLO label files with every kind of class list and layout, and lines that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.errors import LabelParseError, SourceError
from curation.importers import load
from curation.importers.yaml_file import read_yaml
from tests.importers.box_sets import attributes_of, boxes_of, class_names, picture, small_set, write
from tests.importers.pictures import note_with, rejected_of, splits_of

LINE = "0 0.5 0.5 0.25 0.5\n"  # of 40 x 20 pixels: 15, 5, 10, 10
BOX = (15, 5, 10, 10)


def flat(folder: Path, line: str = LINE) -> Path:
    """One picture and its label file."""
    picture(folder / "1.png")
    write(folder / "1.txt", line)
    return folder


def test_shares_become_pixels_of_the_picture(tmp_path: Path) -> None:
    records = load(small_set(tmp_path, "yolo"))
    assert records.task == "detection"
    assert boxes_of(records) == {"images/train/1.png": [("cat", *BOX)], "images/val/2.png": []}
    assert splits_of(records) == {"images/train/1.png": "train", "images/val/2.png": "val"}
    assert class_names(records) == ["dog", "cat"]


@pytest.mark.parametrize(
    "names",
    [
        "names: [cat, dog]",
        "names:\n  0: cat\n  1: dog",
        "names:\n- cat\n- dog",
        "names: {1: dog, 0: cat}",
        "names: ['cat', \"dog\"]",
    ],
)
def test_names_as_list_or_object(tmp_path: Path, names: str) -> None:
    flat(tmp_path)
    write(tmp_path / "data.yaml", f"train: .\nval: .\n{names}\n")
    assert boxes_of(load(tmp_path))["1.png"] == [("cat", *BOX)]


def test_names_stay_the_text_that_they_are(tmp_path: Path) -> None:
    lines = "".join(f"{k} 0.5 0.5 0.25 0.5\n" for k in range(6))
    flat(tmp_path, lines)
    write(tmp_path / "data.yaml", "nc: 6\nnames: [no, 01, 1.0, null, 2024-01-01, 'a b']\n")
    assert [label for label, *_ in boxes_of(load(tmp_path))["1.png"]] == ["no", "01", "1.0", "2024-01-01", "a b"]
    assert "no class" in rejected_of(load(tmp_path))["1.png"]  # null is no name


@pytest.mark.parametrize("name", ["classes.txt", "obj.names", "coco.names", "predefined_classes.txt"])
def test_other_class_lists(tmp_path: Path, name: str) -> None:
    flat(tmp_path)
    write(tmp_path / name, "cat\r\ndog\r\n\n")
    records = load(tmp_path)
    assert boxes_of(records) == {"1.png": [("cat", *BOX)]}
    assert class_names(records) == ["cat", "dog"]


def test_the_layout_of_darknet(tmp_path: Path) -> None:
    flat(tmp_path / "obj_train_data")
    picture(tmp_path / "obj_train_data/2.png", 2)
    write(
        tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n"
    )
    write(tmp_path / "obj.names", "cat\ndog\n")
    write(tmp_path / "train.txt", "data/obj_train_data/1.png\n")
    write(tmp_path / "valid.txt", "/home/me/data/obj_train_data/2.png\nobj_train_data/3.png\n")
    records = load(tmp_path)
    assert list(splits_of(records).values()) == ["train", "val"]
    assert rejected_of(records)["obj_train_data/3.png"] == "valid.txt line 2: there is no such picture"


def test_folders_that_a_data_yaml_names(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        picture(tmp_path / f"images/{folder}/1.png", ord(folder))
        write(tmp_path / f"labels/{folder}/1.txt", LINE)
    text = "path: /datasets/mine\ntrain: [images/a, images/b]\nval: ../images/c/\ntest: images/d\nnames: [cat]\n"
    write(tmp_path / "data.yaml", text)
    records = load(tmp_path)
    assert list(splits_of(records).values()) == ["train", "train", "val"]
    assert "'images/d', which is not there" in note_with(records, "says that test is")
    assert load(tmp_path / "data.yaml").annotations.equals(records.annotations)


def test_a_folder_of_a_split_that_is_not_there_is_not_another_one(tmp_path: Path) -> None:
    picture(tmp_path / "images/1.png")
    write(tmp_path / "labels/1.txt", LINE)
    write(tmp_path / "data.yaml", "train: ../train/images\nval: ../val/images\nnames: [cat]\n")
    assert splits_of(load(tmp_path)) == {"images/1.png": ""}


def test_without_a_class_list_numbers_are_the_names(tmp_path: Path) -> None:
    records = load(flat(tmp_path, "7 0.5 0.5 0.25 0.5\n"))
    assert boxes_of(records)["1.png"] == [("7", *BOX)]
    assert note_with(records, "no list of class names")


def test_polygons_become_boxes_and_are_kept(tmp_path: Path) -> None:
    flat(tmp_path, "0 0.1 0.1 0.5 0.2 0.3 0.9\n")
    records = load(tmp_path)
    assert boxes_of(records)["1.png"] == [("0", 4, 2, 16, 16)]
    assert attributes_of(records) == [{"polygon": "0.1 0.1 0.5 0.2 0.3 0.9"}]


def test_key_points_and_confidences_are_kept(tmp_path: Path) -> None:
    flat(tmp_path, "0 0.5 0.5 0.25 0.5 0.1 0.2 2 0.3 0.4 1\n0 0.5 0.5 0.25 0.5 0.9\n")
    write(tmp_path / "data.yaml", "nc: 1\nnames: [cat]\nkpt_shape: [2, 3]\n")
    records = load(tmp_path)
    assert attributes_of(records) == [{"keypoints": "0.1 0.2 2 0.3 0.4 1"}, {"confidence": "0.9"}]
    assert records.about == {"data.yaml": {"kpt_shape": ["2", "3"]}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.25 0.5", "there is no class 2 in classes.txt, which has 2 classes"),
        ("-1 0.5 0.5 0.25 0.5", "'-1' is no class number"),
        ("0.5 0.5 0.5 0.25 0.5", "'0.5' is no class number"),
        ("0 0.5 0.5 0.25", "4 numbers, but a class and a box are 5"),
        ("0 0.5 0.5 0.25 nan", "not finite"),
        ("0 0.5 0.5 1e999 0.5", "not finite"),
        ("0 a b c d", "is not a class number and at least 4 numbers"),
        ("0 0.1 0.1 0.5 0.2 0.3 0.9 0.4", "a polygon are 7, 9, 11"),
        ("99999999999999999999999 0.5 0.5 0.25 0.5", "there is no class 99999999999999991611392"),
    ],
)
def test_a_line_that_is_none_is_rejected_and_the_rest_goes_on(tmp_path: Path, line: str, reason: str) -> None:
    flat(tmp_path, f"{LINE}\n{line}\n{LINE}")
    write(tmp_path / "classes.txt", "cat\ndog\n")
    records = load(tmp_path)
    assert boxes_of(records)["1.png"] == [("cat", *BOX)] * 2
    said = rejected_of(records)["1.png"]
    assert said.startswith("1.txt line 3: ")
    assert reason in said


def test_a_file_that_is_no_text_costs_its_picture_its_labels(tmp_path: Path) -> None:
    flat(tmp_path)
    picture(tmp_path / "2.png", 2)
    write(tmp_path / "2.txt", b"\xff\xfe0 0.5 0.5 0.25 0.5")
    records = load(tmp_path)
    assert boxes_of(records) == {"1.png": [("0", *BOX)], "2.png": []}
    assert rejected_of(records)["2.png"] == "2.txt: it is no UTF-8 text"


def test_label_files_without_picture(tmp_path: Path) -> None:
    flat(tmp_path)
    write(tmp_path / "ghost.txt", LINE)
    write(tmp_path / "notes.txt", "Read me.")
    records = load(tmp_path)
    assert rejected_of(records)["ghost.txt"] == "ghost.txt: its picture is not there"
    assert "not a picture" in rejected_of(records)["notes.txt"]


def test_class_lists_that_differ_between_splits_are_said_and_each_counts_for_its_own(tmp_path: Path) -> None:
    for split, names in (("train", "cat\ndog\n"), ("val", "dog\ncat\n")):
        picture(tmp_path / f"{split}/1.png", len(split))
        write(tmp_path / f"{split}/1.txt", LINE)
        write(tmp_path / f"{split}/classes.txt", names)
    records = load(tmp_path)
    assert boxes_of(records) == {"train/1.png": [("cat", *BOX)], "val/1.png": [("dog", *BOX)]}
    note = note_with(records, "Class maps differ")
    assert "train/classes.txt" in note
    assert "val/classes.txt" in note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: !!python/object/apply:os.system ['touch x']\nnc: 1", "line 1: the tag"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
         "g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nnames: [cat]\nnc: 1", "unfold without end"),
        ("names: &n [*n]\nnc: 1", "unfold without end"),
        ("names: [cat\nnc: 1", "broken YAML"),
        ("names: {0: cat, 0: dog}\nnc: 1", "line 1: the key '0' is there twice"),
        ("names: {x: cat}\nnc: 1", "the keys of names"),
        ("names: cat\nnc: 1", "names is neither"),
        ("names: [[cat]]\nnc: 1", "names is neither"),
        ("names: " + "[" * 3000 + "\nnc: 1", "broken YAML"),
        ("names: [cat]\nnc: 1\n---\nnames: [dog]\n", "broken YAML"),
    ],
)  # fmt: skip
def test_a_hostile_data_yaml_refuses_the_import(tmp_path: Path, text: str, words: str) -> None:
    flat(tmp_path / "set")
    write(tmp_path / "set/data.yaml", text)
    with pytest.raises(LabelParseError, match=r"data\.yaml") as raised:
        load(tmp_path / "set", format="yolo")
    assert words in str(raised.value)
    assert not (tmp_path / "x").exists()


def test_yaml_is_text_lists_and_objects_only() -> None:
    text = b"a: [1, yes, 0x10, ~, 1e3]\nb:\n  c: 'x'\n"
    assert read_yaml(text, "a.yaml") == {"a": ["1", "yes", "0x10", "", "1e3"], "b": {"c": "x"}}


def test_nothing_of_the_format(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    with pytest.raises(SourceError, match="no YOLO label file"):
        load(tmp_path, format="yolo")
