"""Data sets as they are published: read, exported to every format of boxes or labels, and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation.importers import load
from curation.records import Records
from tests.importers.box_sets import boxes_of, class_names
from tests.importers.pictures import splits_of
from tests.importers.test_real_sets import DATA, real
from tests.round_trips import assert_same, first_version, said, there_and_back

pytestmark = pytest.mark.shared_data
BOXES = ("voc", "yolo", "openimages", "oidv4", "tfrecord", "csv", "coco")
SEVERAL = ("voc", "openimages", "tfrecord", "csv", "coco")

SETS: list[tuple[str, dict[str, Any], str, int, int]] = [
    ("bccd", {}, "voc", 364, 4888),
    ("raccoon", {}, "voc", 200, 217),
    ("raccoon/test.record", {}, "tfrecord", 40, 44),
    ("raccoon/images", {"labels": str(DATA / "raccoon/raccoon_labels.csv")}, "table", 200, 217),
    ("formats/voc_dataset/voc_dataset1", {}, "voc", 2, 2),
    ("formats/voc_dataset/voc_dataset3", {}, "voc", 1, 1),
    ("formats/yolo_dataset/strict", {}, "yolo", 1, 2),
    ("formats/yolo_dataset/labels", {}, "yolo", 2, 4),
    ("formats/yolo_dataset/annotations", {}, "yolo", 1, 2),
    ("formats/open_images_dataset/v6", {}, "openimages", 4, 2),
    ("formats/tf_detection_api_dataset", {}, "tfrecord", 3, 3),
    ("formats/kaggle_dataset/relaxed_voc1", {}, "voc", 2, 2),
    ("formats/kaggle_dataset/relaxed_voc2", {}, "voc", 2, 2),
    ("formats/kaggle_dataset/relaxed_yolo", {}, "yolo", 2, 4),
    ("formats/kaggle_dataset/image_csv_det/ann.csv", {}, "table", 3, 6),
    ("formats/kaggle_dataset/image_csv_det/ann2.csv", {}, "table", 3, 6),
    ("formats/roboflow_dataset/voc", {}, "voc", 3, 4),
    ("formats/roboflow_dataset/yolo", {}, "yolo", 3, 4),
]


@pytest.mark.parametrize(("name", "options", "source_format", "samples", "boxes"), SETS, ids=[one[0] for one in SETS])
def test_boxes_become_every_other_format(
    tmp_path: Path, name: str, options: dict[str, Any], source_format: str, samples: int, boxes: int
) -> None:
    records = load(real(name), options=options, workspace=tmp_path / "workspace")
    assert (records.source_format, records.task) == (source_format, "detection")
    assert (len(records.samples), len(records.annotations)) == (samples, boxes)
    dataset = first_version(records, tmp_path / "workspace")
    before = said(records, tmp_path)
    for way in BOXES:
        after = there_and_back(records, way, tmp_path, dataset)
        assert after.source_format == way
        assert_same(before, said(after, tmp_path))
        assert class_names(after) == (class_names(records) or sorted(set(records.annotations["label"])))


@pytest.mark.parametrize(
    ("name", "options", "pictures", "labels"),
    [
        ("formats/roboflow_dataset/multiclass", {}, 3, None),
        ("formats/kaggle_dataset/image_csv_multi_label/ann.csv", {}, 6, 9),
        ("bccd", {"task": "multi-label"}, 364, None),
        ("formats/open_images_dataset/v6", {"task": "multi-label"}, 4, 3),
    ],
)
def test_several_labels_become_every_other_format(
    tmp_path: Path, name: str, options: dict[str, Any], pictures: int, labels: int | None
) -> None:
    records = load(real(name), options=options, workspace=tmp_path / "workspace")
    assert (records.task, len(records.samples)) == ("multi-label", pictures)
    assert labels is None or len(records.annotations) == labels
    dataset = first_version(records, tmp_path / "workspace")
    before = said(records, tmp_path)
    for way in SEVERAL:
        assert_same(before, said(there_and_back(records, way, tmp_path, dataset), tmp_path))


def by_name(records: Records) -> dict[str, list[tuple[Any, ...]]]:
    """File name -> its boxes, sorted, rounded to whole pixels."""
    names = dict(zip(records.samples["path"], records.samples["sample_attributes"], strict=True))
    found = {}
    for path, marks in boxes_of(records).items():
        inside = json.loads(names[path] or "{}").get("image/filename")
        name = str(inside) if inside else path.rpartition("/")[2]
        found[name] = sorted((mark[0], *map(round, mark[1:])) for mark in marks)
    return found


def test_raccoons_xml_csv_and_records_agree() -> None:
    folder = real("raccoon")
    xml = by_name(load(folder))
    table = by_name(load(folder / "images", options={"labels": str(folder / "raccoon_labels.csv")}))
    records = by_name(load(folder / "test.record"))
    tests = by_name(load(folder / "images", options={"labels": str(folder / "test_labels.csv")}))
    assert xml == table
    assert {name: xml[name] for name in records} == records
    assert {name: boxes for name, boxes in tests.items() if boxes} == records


def test_splits_of_bccd_are_those_of_its_lists() -> None:
    found = splits_of(load(real("bccd")))
    for split in ("train", "val", "test"):
        names = (real("bccd") / f"ImageSets/Main/{split}.txt").read_text().split()
        assert set(names) == {path.rpartition("/")[2][:-4] for path, own in found.items() if own == split}
