"""How many of each class a picture has: from boxes, from a column per class, and from a column that says how many."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.importers import load
from curation.records import Records
from tests.importers.box_sets import picture, write
from tests.importers.pictures import note_with, rejected_of, splits_of
from tests.importers.test_table_many import TF, table

COUNTS = {"task": "counts"}


def counts_of(records: Records) -> dict[str, Counter[str]]:
    """Path -> how many of each class, pictures with none included."""
    found: dict[str, Counter[str]] = {path: Counter() for path in records.samples["path"]}
    joined = records.annotations.merge(records.samples[["sample_id", "path"]], on="sample_id")
    for path, label in zip(joined["path"], joined["label"], strict=True):
        found[path][label] += 1
    assert records.annotations[["x", "y", "w", "h"]].isna().all(axis=None)
    return found


def test_boxes_are_counted_by_picture_and_class(tmp_path: Path) -> None:
    rows = "1.png,40,20,cat,1,2,11,12\n1.png,40,20,cat,3,4,5,6\n1.png,40,20,dog,3,4,5,6\n2.png,40,20,,,,,\n"
    records = load(table(tmp_path, f"{TF}\n{rows}", pictures=2), options=COUNTS)
    assert records.task == "counts"
    assert counts_of(records) == {"1.png": {"cat": 2, "dog": 1}, "2.png": {}}
    assert records.annotations["annotation_id"].is_unique
    assert note_with(records, "3 boxes were counted")


def test_a_box_around_a_crowd_counts_as_one_and_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    write(
        tmp_path / "coco.json",
        '{"images": [{"id": 1, "file_name": "1.png"}], "categories": [{"id": 1, "name": "cat"}], "annotations": ['
        '{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},'
        '{"id": 2, "image_id": 1, "category_id": 1, "bbox": [3, 2, 3, 4], "iscrowd": 0}]}',
    )
    records = load(tmp_path, options=COUNTS)
    assert counts_of(records) == {"1.png": {"cat": 2}}
    assert note_with(records, "1 box says that it is around a crowd")


@pytest.mark.parametrize(
    "text",
    [
        "image,cat,dog,split\n1.png,3,0,train\n2.png,0,0,test\n3.png,,1.0,train\n",
        "image,label,count,split\n1.png,cat,3,train\n2.png,cat,0,test\n3.png,dog,1,train\n",
        "image,label,split\n1.png,cat,train\n1.png,cat,train\n1.png,cat,train\n2.png,,test\n3.png,dog,train\n",
        'image,labels,split\n1.png,"[""cat"", ""cat"", ""cat""]",train\n2.png,[],test\n3.png,"[""dog""]",train\n',
    ],
)
def test_tables_say_how_many_in_many_ways(tmp_path: Path, text: str) -> None:
    records = load(table(tmp_path, text), options=COUNTS)
    assert records.task == "counts"
    assert counts_of(records) == {"1.png": {"cat": 3}, "2.png": {}, "3.png": {"dog": 1}}
    assert splits_of(records) == {"1.png": "train", "2.png": "test", "3.png": "train"}


def test_numbers_of_a_parquet_table_need_no_text(tmp_path: Path) -> None:
    table(tmp_path, "")
    columns = {"image": ["1.png", "2.png"], "cat": [2, 0], "dog": [1.0, None]}
    pq.write_table(pa.table(columns), tmp_path / "counts.parquet")
    assert counts_of(load(tmp_path / "counts.parquet", options=COUNTS)) == {
        "1.png": {"cat": 2, "dog": 1},
        "2.png": {},
    }


def test_one_column_can_be_named_and_makes_the_task(tmp_path: Path) -> None:
    file = table(tmp_path, "image,people,year\n1.png,4,1999\n2.png,0,2000\n")
    records = load(file, options={"count_column": "people"})
    assert records.task == "counts"
    assert counts_of(records) == {"1.png": {"people": 4}, "2.png": {}}
    assert records.settings["count_column"] == "people"


def test_a_count_beside_labels_is_named_whatever_it_is_called(tmp_path: Path) -> None:
    file = table(tmp_path, "image,label,n_seen\n1.png,cat,4\n1.png,dog,1\n")
    assert counts_of(load(file, options={"count_column": "n_seen"})) == {"1.png": {"cat": 4, "dog": 1}}


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("-1", "'-1' is no whole number from 0 on"),
        ("1.5", "'1.5' is no whole number from 0 on"),
        ("10001", "'10001' is more than 10,000, which nobody has counted"),
        ("1e300", "more than 10,000"),
        ("many", "'many' is not a number"),
        ("nan", "'nan' is not a number"),
        ("1_0", "'1_0' is not a number"),
    ],
)
@pytest.mark.parametrize(
    ("header", "row"), [("image,cat,dog", "{},{},1"), ("image,label,count", "{},cat,{}")], ids=["wide", "long"]
)
def test_what_is_no_count_costs_its_row_and_says_where(
    tmp_path: Path, header: str, row: str, cell: str, why: str
) -> None:
    rows = [row.format("1.png", 2), row.format("2.png", cell), row.format("3.png", 1)]
    records = load(table(tmp_path, "\n".join([header, *rows, ""])), options=COUNTS)
    assert sorted(counts_of(records)) == ["1.png", "3.png"]
    reason = rejected_of(records)["2.png"]
    assert reason.startswith("labels.csv line 3: ")
    assert why in reason
    assert note_with(records, "1 entry was left out")


def test_numbers_that_would_fill_the_memory_are_refused_where_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.importers.table_many.MOST_IN_ALL", 24_996)
    file = table(tmp_path, "image,cat,dog\n1.png,10000,9999\n2.png,5000,2\n3.png,1,1\n")
    with pytest.raises(LabelParseError, match=r"labels\.csv, line 3: with this row more than 24,996 things"):
        load(file, options=COUNTS)


def test_texts_and_measurements_are_no_classes(tmp_path: Path) -> None:
    rows = "1.png,3,blurred,0.25\n2.png,0,,0.75\n3.png,1,,1\n"
    records = load(table(tmp_path, f"image,cat,comment,sharpness\n{rows}"), options=COUNTS)
    assert counts_of(records) == {"1.png": {"cat": 3}, "2.png": {}, "3.png": {"cat": 1}}
    assert note_with(records, "The column 'sharpness' is no class")


def test_a_number_in_a_table_of_flags_points_to_counts(tmp_path: Path) -> None:
    file = table(tmp_path, "image,cat,dog,owl\n1.png,1,0,2\n2.png,0,1,1\n")
    assert note_with(load(file), "not 0 or 1. If the numbers say how many of each class are in a picture, say --task c")
    file = table(tmp_path, "image,cat,owl\n1.png,3,2\n2.png,0,1\n", "other.csv")
    with pytest.raises(SourceError, match=r"of whole numbers: 'cat', 'owl'\. If the numbers say .* say --task counts"):
        load(file)


def test_what_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path, "image,cat\n1.png,3\n")
    with pytest.raises(SettingsError, match=r"no column 'owls' \(--count-column\); it has 'image', 'cat'"):
        load(file, options={"count_column": "owls"})
    with pytest.raises(SettingsError, match="--count-column is of --task counts"):
        load(file, options={"count_column": "cat", "task": "multi-label"})
    with pytest.raises(SourceError, match="neither a column of labels nor one of whole numbers"):
        load(table(tmp_path, "image,text\n1.png,a\n", "other.csv"), options=COUNTS)
