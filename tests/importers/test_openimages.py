"""Open Images and the OIDv4 toolkit: shares and pixels, flags word for word, labels of whole pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.errors import LabelParseError, SourceError
from curation.importers import load
from tests.importers.box_sets import attributes_of, boxes_of, class_names, facts_of, picture, small_set, write
from tests.importers.pictures import note_with, rejected_of, splits_of

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated\n"
ROW = "a,xclick,/m/0,1,0.25,0.5,0.1,0.6,1,-1\n"
BOX = (10, 2, 10, 10)  # of 40 x 20 pixels
LABELS = "ImageID,Source,LabelName,Confidence\n"


def one(folder: Path, rows: str = ROW, labels: str = "") -> Path:
    """A picture in train, its boxes and labels, two classes."""
    picture(folder / "images/train/a.png", 1)
    write(folder / "annotations/class-descriptions.csv", "LabelName,DisplayName\n/m/0,Cat\n/m/1,Dog\n")
    if rows:
        write(folder / "annotations/train-annotations-bbox.csv", HEADER + rows)
    if labels:
        write(folder / "annotations/train-annotations-human-imagelabels.csv", LABELS + labels)
    return folder


def test_boxes_with_their_flags(tmp_path: Path) -> None:
    records = load(one(tmp_path))
    assert records.task == "detection"
    assert boxes_of(records) == {"images/train/a.png": [("Cat", *BOX)]}
    assert splits_of(records) == {"images/train/a.png": "train"}
    assert attributes_of(records) == [{"Source": "xclick", "Confidence": "1", "IsOccluded": "1", "IsTruncated": "-1"}]
    assert records.classes == ({"name": "Cat", "id": "/m/0"}, {"name": "Dog", "id": "/m/1"})


def test_class_descriptions_without_a_header(tmp_path: Path) -> None:
    assert class_names(load(small_set(tmp_path, "openimages"))) == ["Cat", "Dog"]


def test_a_name_of_two_classes_gets_the_id_behind_it(tmp_path: Path) -> None:
    write(one(tmp_path) / "annotations/class-descriptions.csv", "/m/0,Cat\n/m/1,Cat\n")
    records = load(tmp_path)
    assert class_names(records) == ["Cat (/m/0)", "Cat (/m/1)"]
    assert boxes_of(records)["images/train/a.png"][0][0] == "Cat (/m/0)"


def test_a_class_without_description_is_called_by_its_id(tmp_path: Path) -> None:
    records = load(one(tmp_path, ROW.replace("/m/0", "/m/9")))
    assert boxes_of(records)["images/train/a.png"] == [("/m/9", *BOX)]


def test_labels_of_whole_pictures_where_there_are_no_boxes(tmp_path: Path) -> None:
    records = load(one(tmp_path, "", "a,verification,/m/0,1\na,verification,/m/1,0\n"))
    assert boxes_of(records) == {"images/train/a.png": [("Cat",)]}
    assert attributes_of(records) == [{"Source": "verification", "Confidence": "1"}]
    absent = [{"Source": "verification", "LabelName": "/m/1", "Confidence": "0"}]
    assert facts_of(records)["images/train/a.png"] == {"imagelabels": absent}


def test_labels_of_whole_pictures_beside_boxes(tmp_path: Path) -> None:
    one(tmp_path, ROW, "a,verification,/m/1,1\n")
    records = load(tmp_path)
    assert boxes_of(records)["images/train/a.png"] == [("Cat", *BOX)]
    assert "--task multi-label" in note_with(records, "whole picture")
    whole = load(tmp_path, options={"task": "multi-label"})
    assert (whole.task, boxes_of(whole)) == ("multi-label", {"images/train/a.png": [("Dog",)]})


def test_rows_of_pictures_that_are_not_here_are_counted(tmp_path: Path) -> None:
    records = load(one(tmp_path, ROW + ROW.replace("a,", "b,", 1) + ROW.replace("a,", "../b,", 1)))
    assert "2 rows are of 2 pictures not in the folder" in note_with(records, "left out: 'b'")


def test_corners_that_are_no_numbers_are_rejected_with_their_line(tmp_path: Path) -> None:
    records = load(one(tmp_path, ROW + ROW.replace("0.25", "x") + ROW.replace("0.25", "nan")))
    reasons = records.rejected["reason"].tolist()
    assert [reason.partition(":")[0] for reason in reasons] == [
        "annotations/train-annotations-bbox.csv line 3",
        "annotations/train-annotations-bbox.csv line 4",
    ]
    assert len(records.annotations) == 1


def test_a_ragged_row_refuses_the_import(tmp_path: Path) -> None:
    one(tmp_path, ROW + "a,xclick\n")
    with pytest.raises(LabelParseError, match=r"train-annotations-bbox\.csv, line 3: 2 cells"):
        load(tmp_path)


def test_a_table_of_pictures_says_splits_and_a_broken_one_stops_nothing(tmp_path: Path) -> None:
    one(tmp_path)
    picture(tmp_path / "images/b.png", 2)
    table = "ImageID,Subset,OriginalURL,Rotation\nb,validation,http://example.org/b.png,90\n"
    write(tmp_path / "annotations/images.csv", table)
    records = load(tmp_path)
    assert splits_of(records)["images/b.png"] == "val"
    assert facts_of(records)["images/b.png"] == {"OriginalURL": "http://example.org/b.png", "Rotation": "90"}
    write(tmp_path / "annotations/images.csv", f"{table}c\n")
    assert "line 3" in note_with(load(tmp_path), "images.csv is not read")


def test_equal_ids_in_two_splits(tmp_path: Path) -> None:
    one(tmp_path)
    picture(tmp_path / "images/test/a.png", 2)
    write(tmp_path / "annotations/test-annotations-bbox.csv", HEADER + ROW.replace("/m/0", "/m/1"))
    found = boxes_of(load(tmp_path))
    assert {path: box[0][0] for path, box in found.items()} == {"images/test/a.png": "Dog", "images/train/a.png": "Cat"}


# --- OIDv4 -----------------------------------------------------------------------------------------------------------


def test_the_toolkits_layout(tmp_path: Path) -> None:
    records = load(small_set(tmp_path, "oidv4"))
    assert records.task == "detection"
    assert boxes_of(records) == {
        "train/cat/1.png": [("cat", 1, 2, 10, 10)],
        "validation/dog/2.png": [("dog", 1.5, 2, 9.5, 10)],
    }
    assert list(splits_of(records).values()) == ["train", "val"]


def test_classes_of_several_words(tmp_path: Path) -> None:
    picture(tmp_path / "Human face/1.png")
    write(tmp_path / "Human face/Label/1.txt", "Human face 1 2 11 12\r\n\n3D  box 1 1.5 2 2e0\n")
    records = load(tmp_path)
    assert boxes_of(records)["Human face/1.png"] == [("Human face", 1, 2, 10, 10), ("3D  box", 1, 1.5, 1, 0.5)]


def test_a_picture_that_was_saved_once_per_class_is_one(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / f"train/{name}/1.png", 1)
        write(tmp_path / f"train/{name}/Label/1.txt", f"{name} 1 2 11 12\n")
    picture(tmp_path / "train/fox/1.png", 2)  # another picture of that name
    write(tmp_path / "train/fox/Label/1.txt", "fox 1 2 11 12\n")
    records = load(tmp_path)
    assert boxes_of(records) == {
        "train/cat/1.png": [("cat", 1, 2, 10, 10), ("dog", 1, 2, 10, 10)],
        "train/fox/1.png": [("fox", 1, 2, 10, 10)],
    }
    assert note_with(records, "1 picture is saved again for another class")


def test_lines_and_files_that_are_none(tmp_path: Path) -> None:
    small_set(tmp_path, "oidv4")
    write(tmp_path / "train/cat/Label/1.txt", "cat 1 2 11 12\ncat 1 2 11\n1 2 3 4\n")
    write(tmp_path / "validation/dog/Label/2.txt", b"\xff\xfe")
    write(tmp_path / "validation/dog/Label/3.txt", "dog 1 2 3 4\n")
    records = load(tmp_path)
    assert boxes_of(records)["train/cat/1.png"] == [("cat", 1, 2, 10, 10)]
    reasons = " ".join(records.rejected["reason"])
    assert "train/cat/Label/1.txt line 2: 'cat 1 2 11'" in reasons
    assert "train/cat/Label/1.txt line 3: '1 2 3 4'" in reasons
    assert "no UTF-8" in rejected_of(records)["validation/dog/2.png"]
    assert "its picture is not there" in rejected_of(records)["validation/dog/Label/3.txt"]


@pytest.mark.parametrize("name", ["openimages", "oidv4"])
def test_nothing_of_the_format(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "1.png")
    with pytest.raises(SourceError, match="There is no"):
        load(tmp_path, format=name)
