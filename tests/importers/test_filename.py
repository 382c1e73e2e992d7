"""Labels in file names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from curation.importers import load
from curation.importers.filename import label_from_name
from tests.importers.pictures import labels_of, make_pictures, note_with, splits_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat.0.jpg", "cat"),
        ("cat_001.jpg", "cat"),
        ("cat-12.png", "cat"),
        ("dog (3).jpg", "dog"),
        ("glass389.jpg", "glass"),
        ("cat.jpg", "cat"),
        ("cat.0", "cat"),
        ("n01440764_10026.JPEG", "n01440764"),
        ("hot dog_1.jpg", "hot dog"),
        ("label_0_2.jpg", "label_0"),
        ("Cat.1.jpg", "Cat"),
        ("image_0001.jpg", ""),
        ("IMG_20190101_120000.jpg", ""),
        ("DSC01234.JPG", ""),
        ("0001.jpg", ""),
        ("(3).jpg", ""),
        ("\u0663.jpg", "\u0663"),  # another script's digit is a letter to us
    ],
)
def test_rule_without_a_pattern(name: str, label: str) -> None:
    assert label_from_name(name) == label


@pytest.mark.parametrize(
    ("pattern", "label"),
    [(r"_([a-z]+)\.", "cat"), (r"(?P<label>\d+)_(\w)", "7"), (r"[a-z]+", "cat"), (r"x", ""), (r"(x)?7", "")],
)
def test_rule_with_a_pattern(pattern: str, label: str) -> None:
    assert label_from_name("7_cat.jpg", re.compile(pattern)) == label


def test_folders_count_only_as_splits(tmp_path: Path) -> None:
    make_pictures(tmp_path, "train/cat.0.png", "train/dog.0.png", "test/more/cat.1.png")
    records = load(tmp_path, options={"label_from_name": True})
    assert labels_of(records) == {"train/cat.0.png": "cat", "train/dog.0.png": "dog", "test/more/cat.1.png": "cat"}
    assert splits_of(records)["test/more/cat.1.png"] == "test"
    assert records.source_format == "filename"


def test_names_without_a_label_are_counted(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "cat.0.png", "0001.png", "0002.png"), options={"label_from_name": True})
    assert "2 names hold no label, the first is '0001.png'" in note_with(records, "hold no label")
    assert len(records.samples) == 3


def test_a_pattern_alone_asks_for_labels_from_names(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "a/x-cat.png"), options={"label_pattern": r"-(\w+)\."})
    assert labels_of(records) == {"a/x-cat.png": "cat"}
