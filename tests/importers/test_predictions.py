"""Predictions of a detector: which picture and class they are about, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation.errors import LabelParseError, SourceError
from curation.importers.predictions import Predictions, read_predictions
from curation.records import Records
from tests.boxes import records_of

ONE: dict[str, Any] = {"image_id": "a.jpg", "category_id": "cat", "bbox": [1, 2, 3, 4.5], "score": 0.5}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    paths = ["train/a.jpg", "train/b.jpg", "val/b.jpg"]
    boxes = pd.DataFrame({"path": paths, "label": ["cat", "dog", "cat"], "x": 0.0, "y": 0.0, "w": 9.0, "h": 9.0})
    found = records_of(tmp_path, boxes, paths)
    found.samples["sample_attributes"] = pd.Series(['{"id": 5}', '{"id": 6}', ""], dtype="str")
    return replace(found, classes=({"name": "cat", "id": 1}, {"name": "bird", "id": 9}))


def read(tmp_path: Path, records: Records, *entries: Any) -> Predictions:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(list(entries)))
    return read_predictions(file, records)


@pytest.mark.parametrize(
    ("image", "path"),
    [("train/a.jpg", "train/a.jpg"), ("a.jpg", "train/a.jpg"), ("a", "train/a.jpg"), (5, "train/a.jpg"),
     (6, "train/b.jpg")],
)  # fmt: skip
def test_a_picture_is_known_by_id_path_or_name(tmp_path: Path, records: Records, image: Any, path: str) -> None:
    table = read(tmp_path, records, {**ONE, "image_id": image}).table
    assert table.values.tolist() == [[path, "cat", 1.0, 2.0, 3.0, 4.5, 0.5]]


@pytest.mark.parametrize(("category", "label"), [("dog", "dog"), (1, "cat"), (9, "bird")])
def test_a_class_is_known_by_number_or_name(tmp_path: Path, records: Records, category: Any, label: str) -> None:
    assert read(tmp_path, records, {**ONE, "category_id": category}).table["label"].tolist() == [label]


def test_what_is_about_no_picture_or_several_is_left_out_and_counted(tmp_path: Path, records: Records) -> None:
    found = read(tmp_path, records, ONE, {**ONE, "image_id": "b.jpg"}, {**ONE, "image_id": 77}, {**ONE, "image_id": 77})
    assert len(found.table) == 1
    assert found.notes == (
        "3 predictions in 'results.json' left out: no picture, or several, are called '77', 'b.jpg'.",
    )


def test_predictions_for_another_set_are_refused(tmp_path: Path, records: Records) -> None:
    with pytest.raises(SourceError, match=r"No prediction in 'results\.json' is about a picture of this set.*77"):
        read(tmp_path, records, {**ONE, "image_id": 77})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**ONE, "category_id": 4}, "category_id '4' is no class"),
        ({**ONE, "category_id": True}, "is no class"),
        ({**ONE, "category_id": [1]}, "is no class"),
        ({**ONE, "bbox": [1, 2, 3]}, "needs a bbox of four numbers"),
        ({**ONE, "bbox": [1, 2, 3, "4"]}, "needs a bbox of four numbers"),
        ({**ONE, "bbox": [1, 2, 3, float("nan")]}, "needs a bbox of four numbers"),
        ({**ONE, "score": 1.5}, "is not between 0 and 1"),
        ({**ONE, "image_id": None}, "has no image_id"),
        ("text", "is no object"),
    ],
)
def test_what_is_no_prediction_is_named_by_its_place(tmp_path: Path, records: Records, entry: Any, words: str) -> None:
    with pytest.raises(LabelParseError, match=rf"results\.json' prediction 2.*{words}"):
        read(tmp_path, records, ONE, entry)


def test_a_file_that_is_no_list_is_refused(tmp_path: Path, records: Records) -> None:
    (tmp_path / "results.json").write_text('{"predictions": []}')
    with pytest.raises(LabelParseError, match="no list of predictions"):
        read_predictions(tmp_path / "results.json", records)


def test_the_key_is_that_of_the_predictions(tmp_path: Path, records: Records) -> None:
    first, other = read(tmp_path, records, ONE), read(tmp_path, records, {**ONE, "score": 0.6})
    assert first.key == read(tmp_path, records, ONE).key != other.key
    assert read(tmp_path, records).table.empty
