"""Tables with a box a row, a column per class, or a cell with several labels."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.importers import load
from tests.importers.box_sets import attributes_of, boxes_of, class_names, picture, small_set, write
from tests.importers.pictures import note_with, rejected_of, splits_of

TF = "filename,width,height,class,xmin,ymin,xmax,ymax"
BOX = ("cat", 1, 2, 10, 10)


def table(folder: Path, text: str, name: str = "labels.csv", pictures: int = 3) -> Path:
    """A table beside pictures 1.png, 2.png ..."""
    for number in range(1, pictures + 1):
        picture(folder / f"{number}.png", number)
    return write(folder / name, text)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (TF, "1.png,40,20,cat,1,2,11,12"),
        ("image_name,label_name,x1,y1,x2,y2", "1.png,cat,1,2,11,12"),
        ("image_name,label_name,x1,y1,w,h", "1.png,cat,1,2,10,10"),
        ("path,label,x,y,width,height", "1.png,cat,1,2,10,10"),
        ("image,class,bbox_xmin,bbox_ymin,bbox_xmax,bbox_ymax", "1,cat,1.0,2.0,11.0,12.0"),
        ("Image;Label;X Min;Y Min;X Max;Y Max", "1.png;cat;1; 2 ;11;12"),
    ],
)
def test_columns_of_boxes(tmp_path: Path, header: str, row: str) -> None:
    records = load(table(tmp_path, f"{header}\n{row}\n"))
    assert (records.task, boxes_of(records)) == ("detection", {"1.png": [BOX]})


def test_several_boxes_and_pictures_without(tmp_path: Path) -> None:
    file = table(tmp_path, f"{TF}\n1.png,40,20,cat,1,2,11,12\n1.png,40,20,dog,3,4,5,6\n2.png,40,20,,,,,\n")
    assert boxes_of(load(file)) == {"1.png": [BOX, ("dog", 3, 4, 2, 2)], "2.png": []}
    whole = load(tmp_path, options={"labels": str(file)})
    assert boxes_of(whole) == {"1.png": [BOX, ("dog", 3, 4, 2, 2)], "2.png": [], "3.png": []}
    assert note_with(whole, "named by no annotation file")


def test_rows_that_are_no_box_are_rejected_with_their_line(tmp_path: Path) -> None:
    rows = ["1.png,40,20,cat,1,2,11,12", "1.png,40,20,cat,x,2,11,12", "9.png,40,20,cat,1,2,3,4", "2.png,40,20,,1,2,3,4"]
    records = load(table(tmp_path, "\n".join([TF, *rows, "../3.png,1,1,cat,1,2,3,4", ""])))
    reasons = records.rejected["reason"].tolist()
    assert reasons[0].startswith("labels.csv line 3: the box is not four numbers")
    assert reasons[1] == "labels.csv line 4: there is no such file"
    assert "line 5" in rejected_of(records)["2.png"]
    assert "leaves the folder" in rejected_of(records)["../3.png"]
    assert boxes_of(records)["1.png"] == [BOX]


def test_a_ragged_row_refuses_the_import(tmp_path: Path) -> None:
    with pytest.raises(LabelParseError, match=r"labels\.csv, line 3: 3 cells"):
        load(table(tmp_path, f"{TF}\n1.png,40,20,cat,1,2,11,12\n1.png,40,20\n"))


def test_inverted_and_odd_boxes_and_sizes(tmp_path: Path) -> None:
    records = load(
        table(tmp_path, f"{TF}\n1.png,20,40,cat,11,12,1,2\n2.png,40,20,cat,5,5,5,9\n2.png,40,20,cat,-3,0,50,9\n")
    )
    assert boxes_of(records) == {"1.png": [BOX], "2.png": [("cat", 5, 5, 0, 4), ("cat", -3, 0, 53, 9)]}
    assert "labels.csv line 2" in note_with(records, "other order")
    assert "labels.csv line 3" in note_with(records, "no area")
    assert "labels.csv line 4" in note_with(records, "beyond")
    assert "40 x 20" in note_with(records, "another size")


def test_a_folder_with_tables_of_boxes(tmp_path: Path) -> None:
    records = load(small_set(tmp_path, "csv"))
    assert boxes_of(records) == {"images/1.png": [BOX], "images/2.png": []}
    assert splits_of(records) == {"images/1.png": "train", "images/2.png": ""}


def test_a_table_of_all_beside_those_of_splits_says_nothing_twice(tmp_path: Path) -> None:
    small_set(tmp_path, "csv")
    write(tmp_path / "test_labels.csv", f"{TF}\n2.png,40,20,dog,1,2,3,4\n2.png,40,20,dog,1,2,3,4\n")
    write(tmp_path / "all.csv", f"{TF}\n1.png,40,20,cat,1,2,11,12\n2.png,40,20,dog,1,2,3,4\n2.png,40,20,dog,1,2,3,4\n")
    records = load(tmp_path)
    assert boxes_of(records) == {"images/1.png": [BOX], "images/2.png": [("dog", 1, 2, 2, 2)] * 2}
    assert splits_of(records) == {"images/1.png": "train", "images/2.png": "test"}
    assert note_with(records, "3 rows of one table that another has, too")


# --- several labels --------------------------------------------------------------------------------------------------


def test_a_column_per_class(tmp_path: Path) -> None:
    records = load(table(tmp_path, "image,dog,cat,fish,note\n1.png,1,1,0,x\n2.png,0,0,0,y\n3.png,0,1.0,false,z\n"))
    assert records.task == "multi-label"
    assert boxes_of(records) == {"1.png": [("dog",), ("cat",)], "2.png": [], "3.png": [("cat",)]}
    assert class_names(records) == ["dog", "cat", "fish"]
    assert attributes_of(records)[0] == {"note": "x"}


def test_a_column_per_class_with_one_label_each_is_a_single_label_set(tmp_path: Path) -> None:
    records = load(table(tmp_path, "image,dog,cat\n1.png,1,0\n2.png,0,1\n3.png,1,0\n"))
    assert (records.task, boxes_of(records)["2.png"]) == ("single-label", [("cat",)])


def test_a_column_that_is_no_class_is_said(tmp_path: Path) -> None:
    records = load(table(tmp_path, "image,dog,cat,fish\n1.png,1,1,0\n2.png,0,1,-1\n3.png,1,0,1\n"))
    assert class_names(records) == ["dog", "cat"]
    assert "labels.csv, line 3 says '-1'" in note_with(records, "'fish' is no class")


def test_roboflows_tables_in_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "1.png", len(split))
        write(tmp_path / split / "_classes.csv", "filename, dog, cat\n1.png, 1, 1\n")
    records = load(tmp_path)
    assert boxes_of(records) == {"train/1.png": [("dog",), ("cat",)], "valid/1.png": [("dog",), ("cat",)]}
    assert set(splits_of(records).values()) == {"train", "val"}


@pytest.mark.parametrize(
    ("cell", "delimiter", "labels"),
    [
        ('"[""cat"", ""a, b""]"', "", ["cat", "a, b"]),
        ("\"['cat', 'dog']\"", "", ["cat", "dog"]),
        ("cat|dog", "|", ["cat", "dog"]),
        ("cat ; dog;", ";", ["cat", "dog"]),
        ('"cat, dog"', ",", ["cat", "dog"]),
        ("cat dog", " ", ["cat", "dog"]),
        ("01|1.0|nan", "|", ["01", "1.0", "nan"]),
        ("cat|cat|dog", "|", ["cat", "dog"]),
        ("[]", "|", []),
    ],
)
def test_a_cell_with_several_labels(tmp_path: Path, cell: str, delimiter: str, labels: list[str]) -> None:
    file = table(tmp_path, f"image,labels\n1.png,{cell}\n2.png,\n")
    records = load(file, options={"label_delimiter": delimiter, "task": "multi-label"})
    assert boxes_of(records) == {"1.png": [(label,) for label in labels], "2.png": []}


def test_nobody_guesses_that_a_label_is_several(tmp_path: Path) -> None:
    records = load(table(tmp_path, "image,label\n1.png,cat|dog\n2.png,dog\n"))
    assert (records.task, boxes_of(records)["1.png"]) == ("single-label", [("cat|dog",)])
    assert "--label-delimiter '|'" in note_with(records, "labels.csv, line 2")


def test_a_cell_that_is_no_list_names_file_and_line(tmp_path: Path) -> None:
    for cell in ("[1,2", "__import__('os').system('x')", "[" * 900):  # not every cell is a list: each is one label
        file = table(tmp_path, f'image,labels\n1.png,"[""a""]"\n2.png,"{cell}"\n')
        assert boxes_of(load(file)) == {"1.png": [('["a"]',)], "2.png": [(cell,)]}
    with pytest.raises(LabelParseError, match=r"labels\.csv, line 2: 10,001 labels"):
        load(table(tmp_path, f"image,labels\n1.png,{'a|' * 10_001}\n"), options={"label_delimiter": "|"})


def test_rows_of_one_picture_are_its_labels_where_that_is_the_task(tmp_path: Path) -> None:
    file = table(tmp_path, "image,label\n1.png,cat\n2.png,dog\n1.png,dog\n3.png,\n")
    records = load(file, options={"task": "multi-label"})
    assert records.task == "multi-label"
    assert boxes_of(records) == {"1.png": [("cat",), ("dog",)], "2.png": [("dog",)], "3.png": []}
    assert load(file).task == "single-label"
    with pytest.raises(SettingsError, match="no columns of boxes"):
        load(file, options={"task": "detection"})


def test_lists_of_a_parquet_file(tmp_path: Path) -> None:
    table(tmp_path, "")
    columns = {"image": ["1.png", "2.png"], "labels": [["cat", "dog"], None]}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    assert boxes_of(load(tmp_path / "labels.parquet")) == {"1.png": [("cat",), ("dog",)], "2.png": []}


def test_a_delimiter_has_no_meaning_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--label-delimiter has no meaning"):
        load(small_set(tmp_path, "voc"), options={"label_delimiter": "|"})


def test_nothing_of_the_format(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    with pytest.raises(SourceError, match="There is no table"):
        load(tmp_path, format="csv")
    with pytest.raises(SourceError, match=r"Not one row of x\.csv has a picture"):
        load(write(tmp_path / "x.csv", f"{TF}\n9.png,40,20,cat,1,2,11,12\n"))
