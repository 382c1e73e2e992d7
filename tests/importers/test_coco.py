"""COCO json as people hold it: layouts, ids, kinds of files, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.importers import load
from curation.records import Records
from tests.importers.pictures import note_with, rejected_of

CATEGORIES = [{"id": 7, "name": "dog", "supercategory": "pet"}, {"id": 3, "name": "cat"}, {"id": -1, "name": "unused"}]


def image(key: Any, name: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "file_name": name, "width": 40, "height": 30, **more}


def annotation(key: Any, of: Any, category: Any, box: Any = (1, 2, 3, 4), **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "image_id": of,
        "category_id": category,
        **({"bbox": list(box)} if box is not None else {}),
        **more,
    }


def write(
    root: Path, name: str, images: list[Any], annotations: list[Any], categories: Any = CATEGORIES, **more: Any
) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories, **more}))
    return root


def pictures(root: Path, *paths: str) -> Path:
    for k, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (k, 0, 0)).save(root / path)
    return root


def marks(records: Records) -> list[tuple[Any, ...]]:
    """(path, label, box or None) of every annotation."""
    both = records.annotations.merge(records.samples[["sample_id", "path"]], on="sample_id")
    return [
        (row["path"], row["label"], None if row["x"] != row["x"] else (row["x"], row["y"], row["w"], row["h"]))
        for row in both.to_dict("records")
    ]


@pytest.mark.parametrize(
    ("file", "picture", "split"),
    [
        ("annotations/instances_train2017.json", "train2017/a.png", "train"),
        ("annotations/instances_val.json", "images/val/a.png", "val"),
        ("annotations/instances_default.json", "images/a.png", ""),
        ("valid/_annotations.coco.json", "valid/a.png", "val"),
        ("annotations.json", "a.png", ""),
        ("annotations.json", "pictures/deep/a.png", ""),
        ("test.json", "images/a.png", "test"),
    ],
)
def test_pictures_are_found_where_people_keep_them(tmp_path: Path, file: str, picture: str, split: str) -> None:
    pictures(tmp_path, picture)
    write(tmp_path, file, [image(1, "a.png")], [annotation(1, 1, 7)])
    for source in (tmp_path, tmp_path / file):
        records = load(source)
        assert records.source_format == "coco"
        assert records.task == "detection"
        assert records.samples["split"].tolist() == [split]
        assert [mark[1:] for mark in marks(records)] == [("dog", (1, 2, 3, 4))]


def test_a_file_elsewhere_is_given_as_labels(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "a.png", "b.png")
    write(tmp_path, "far/set.json", [image(1, "a.png")], [annotation(1, 1, 7)])
    records = load(tmp_path / "photos", options={"labels": str(tmp_path / "far" / "set.json")})
    assert [mark[:2] for mark in marks(records)] == [("a.png", "dog")]
    assert "'b.png'" in note_with(records, "without a label")


def test_classes_keep_order_and_ids_and_unknown_fields_stay(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    more = {"segmentation": [[1, 2, 3, 4, 5, 6]], "area": 99.5, "iscrowd": 1, "score": 0.5, "attributes": {"x": [1]}}
    write(tmp_path, "x.json", [image(2**63 + 5, "a.png", flickr_url="u")], [annotation(2**64, 2**63 + 5, 3, **more)],
          info={"year": 2020}, licenses=[{"id": 1}])  # fmt: skip
    records = load(tmp_path)
    assert [entry["name"] for entry in records.classes] == ["dog", "cat", "unused"]
    assert records.classes[0] == CATEGORIES[0]
    assert records.about == {"info": {"year": 2020}, "licenses": [{"id": 1}]}
    assert json.loads(records.annotations["attributes"].iloc[0]) == {"id": 2**64, **more}
    assert json.loads(records.samples["sample_attributes"].iloc[0]) == {"id": 2**63 + 5, "flickr_url": "u"}


def test_labels_of_whole_pictures_make_a_multi_label_set(tmp_path: Path) -> None:
    pictures(tmp_path, "images/train/a.png", "images/train/b.png")
    write(tmp_path, "annotations/labels_train.json", [image(1, "a.png"), image(2, "b.png")],
          [annotation(1, 1, 7, None), annotation(2, 1, 3, None), annotation(3, 1, 3, [])])  # fmt: skip
    records = load(tmp_path)
    assert records.task == "multi-label"
    assert marks(records) == [("images/train/a.png", "dog", None), ("images/train/a.png", "cat", None)]
    note_with(records, "once is enough")


def test_boxes_become_labels_of_the_picture_where_that_is_wanted(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    write(tmp_path, "x.json", [image(1, "a.png"), image(2, "b.png")],
          [annotation(1, 1, 7), annotation(2, 1, 7, (0, 0, 1, 1)), annotation(3, 1, 3),
           annotation(4, 2, 3)])  # fmt: skip
    records = load(tmp_path, options={"task": "multi-label"})
    assert records.task == "multi-label"
    assert sorted(marks(records)) == [("a.png", "cat", None), ("a.png", "dog", None), ("b.png", "cat", None)]
    with pytest.raises(SettingsError, match=r"more than one label.*a\.png"):
        load(tmp_path, options={"task": "single-label"})


def test_keypoints_join_the_boxes_that_they_belong_to_and_captions_the_pictures(tmp_path: Path) -> None:
    pictures(tmp_path, "images/train/a.png")
    write(tmp_path, "annotations/instances_train.json", [image(1, "a.png")], [annotation(5, 1, 7)])
    write(tmp_path, "annotations/person_keypoints_train.json", [image(1, "a.png")],
          [annotation(5, 1, 7, keypoints=[1, 2, 2])], [{"id": 7, "name": "dog", "skeleton": [[0, 1]]}])  # fmt: skip
    caption = {"id": 9, "image_id": 1, "caption": "a dog"}
    write(tmp_path, "annotations/captions_train.json", [image(1, "a.png")], [caption], [])
    write(tmp_path, "annotations/image_info_train.json", [image(1, "a.png")], [], [])
    records = load(tmp_path)
    assert len(records.annotations) == 1
    assert json.loads(records.annotations["attributes"].iloc[0]) == {"id": 5, "keypoints": [1, 2, 2]}
    assert json.loads(records.samples["sample_attributes"].iloc[0])["captions"] == [{"id": 9, "caption": "a dog"}]
    assert records.classes[0] == {**CATEGORIES[0], "skeleton": [[0, 1]]}
    assert not any("Class maps" in note for note in records.notes)


def test_boxes_without_numbers_or_class_are_left_out_and_said(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    bad = [annotation(1, 1, 7, (float("nan"), 0, 1, 1)), annotation(2, 1, 7, (1, 2, 3)), annotation(3, 1, 99),
           annotation(4, 77, 7), annotation(5, 1, 7, (0, 0, float("inf"), 1)), {"image_id": 1, "bbox": [0, 0, 1, 1]},
           annotation(6, 1, True), "nothing", annotation(7, 1, 7, ("x", 0, 1, 1)),
           annotation(8, 1, 7, (0, 0, 10**400, 1)),
           annotation(9, 1, 7, (9, 9, 1, 1))]  # fmt: skip
    write(tmp_path, "x.json", [image(1, "a.png")], bad)
    records = load(tmp_path)
    assert marks(records) == [("a.png", "dog", (9, 9, 1, 1))]
    reasons = records.rejected["reason"].tolist()
    assert len(reasons) == 10
    for words in (
        "x.json annotation 1: the box nan",
        "annotation 2: the box '[1, 2, 3]' is not",
        "no category has the id 99",
        "annotation 4: no picture has the id 77",
        "annotation 6: it has no category_id",
    ):
        assert any(words in reason for reason in reasons), "\n".join(reasons)


def test_odd_boxes_are_kept_and_counted(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    odd = [(10, 20, -4, -6), (5, 5, 0, 3), (35, 5, 10, 3)]
    write(tmp_path, "x.json", [image(1, "a.png")], [annotation(k, 1, 7, box) for k, box in enumerate(odd)])
    records = load(tmp_path)
    assert [mark[2] for mark in marks(records)] == [(6, 14, 4, 6), (5, 5, 0, 3), (35, 5, 10, 3)]
    assert "x.json annotation 1" in note_with(records, "other order")
    assert "x.json annotation 2" in note_with(records, "no area")
    assert "x.json annotation 3" in note_with(records, "reaches beyond")


def test_missing_pictures_and_paths_that_lead_out_are_rejected(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "a.png")
    pictures(tmp_path, "out.png")
    names = [
        "a.png",
        "no.png",
        "../out.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "C:\\x.png",
        "\\\\host\\x.png",
        "a\0.png",
    ]
    write(root, "x.json", [image(k, name) for k, name in enumerate(names)],
          [annotation(k, k, 7) for k in range(len(names))])  # fmt: skip
    records = load(root)
    assert records.samples["path"].tolist() == ["a.png"]
    assert len(records.annotations) == 1
    found = rejected_of(records)
    assert "no such file" in found["no.png"]
    assert "leaves the folder" in found["../out.png"]
    assert "URL" in found["file:///etc/passwd"]
    assert len(found) == 7


def test_a_picture_of_that_name_in_another_split_is_not_it(tmp_path: Path) -> None:
    pictures(tmp_path, "images/val/a.png", "images/train/b.png")
    write(tmp_path, "annotations/instances_train.json", [image(1, "a.png"), image(2, "b.png")],
          [annotation(1, 1, 7), annotation(2, 2, 3)])  # fmt: skip
    records = load(tmp_path)
    assert [mark[:2] for mark in marks(records)] == [("images/train/b.png", "cat")]
    assert "another split" in rejected_of(records)["a.png"]


def test_ids_of_two_pictures_give_their_annotations_to_none(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", "c.png", "d.png", "e.png")
    twice = [image(1, "a.png"), image(1, "b.png"), image("x", "d.png"), image("x", "e.png")]
    write(tmp_path, "x.json", [*twice, image(2, "c.png"), image(2.0, "c.png")],
          [annotation(1, 1, 7), annotation(2, 2, 3)])  # fmt: skip
    records = load(tmp_path)
    assert [mark[:2] for mark in marks(records)] == [("c.png", "cat")]
    assert "two pictures have the id 1" in records.rejected["reason"].iloc[0]
    assert "2 ids are that of several pictures, the first 1" in note_with(records, "several pictures")


def test_ids_of_the_same_number_in_two_files_are_two_pictures(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a.png", "val/b.png")
    write(tmp_path, "annotations/instances_train.json", [image(1, "a.png")], [annotation(1, 1, 7)])
    write(tmp_path, "annotations/instances_val.json", [image(1, "b.png")], [annotation(1, 1, 3)])
    assert sorted(mark[:2] for mark in marks(load(tmp_path))) == [("train/a.png", "dog"), ("val/b.png", "cat")]


def test_class_maps_that_differ_are_said_and_each_file_is_read_by_its_own(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a.png", "val/b.png")
    write(tmp_path, "annotations/instances_train.json", [image(1, "a.png")], [annotation(1, 1, 1)],
          [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}])  # fmt: skip
    write(tmp_path, "annotations/instances_val.json", [image(1, "b.png")], [annotation(1, 1, 1)],
          [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "owl"}])  # fmt: skip
    records = load(tmp_path)
    assert sorted(mark[:2] for mark in marks(records)) == [("train/a.png", "cat"), ("val/b.png", "dog")]
    note = note_with(records, "Class maps differ")
    assert "instances_val.json" in note
    assert "'cat' (1 and 2)" in note
    assert [entry["name"] for entry in records.classes] == ["cat", "dog", "owl"]


def test_two_categories_of_one_name_are_one_class_and_said(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path, "x.json", [image(1, "a.png")], [annotation(1, 1, 1), annotation(2, 1, 5)],
          [{"id": 1, "name": "cat"}, {"id": 5, "name": "cat"}])  # fmt: skip
    records = load(tmp_path)
    assert [mark[1] for mark in marks(records)] == ["cat", "cat"]
    assert records.classes == ({"id": 1, "name": "cat"},)
    note_with(records, "under several ids")


@pytest.mark.parametrize(
    ("categories", "words"),
    [([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "category 2: the id 1 is that of 'a' and of 'b'"),
     ([{"id": 1}], "category 1 has no name"), ([{"name": "a"}], "has no id"),
     ({"1": "a"}, "'categories' is not a list")],
)  # fmt: skip
def test_class_lists_that_contradict_themselves_are_refused(tmp_path: Path, categories: Any, words: str) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path, "x.json", [image(1, "a.png")], [], categories)
    with pytest.raises(LabelParseError, match=r"x\.json") as caught:
        load(tmp_path)
    assert words in str(caught.value)


def test_a_broken_file_is_refused_with_its_place(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "instances_train.json").write_text('{"images": [\n{"id": 1,}]}')
    with pytest.raises(LabelParseError, match=r"instances_train\.json' line 2 column"):
        load(tmp_path)


def test_detections_are_no_data_set(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]))
    with pytest.raises(LabelParseError, match="list of detections"):
        load(path, format="coco")
    write(tmp_path, "x.json", [image(1, "elsewhere.png")], [])
    with pytest.raises(SourceError, match=r"None of the 1 pictures.*elsewhere"):
        load(tmp_path / "x.json")


def test_pictures_without_a_box_are_samples_and_masks_are_none(tmp_path: Path) -> None:
    pictures(tmp_path, "images/train/a.png", "images/train/b.png", "annotations/panoptic_train/a.png")
    write(tmp_path, "annotations/instances_train.json", [image(1, "a.png"), image(2, "b.png")], [annotation(1, 1, 7)])
    write(tmp_path, "annotations/panoptic_train.json", [image(1, "a.png")], [{"image_id": 1, "segments_info": []}])
    records = load(tmp_path)
    assert records.samples["path"].tolist() == ["images/train/a.png", "images/train/b.png"]
    note_with(records, "was not read")


def test_sizes_that_the_file_says_otherwise_are_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (20, 30)).save(tmp_path / "other.png")
    write(tmp_path, "x.json", [image(1, "turned.jpg"), image(2, "other.png")], [annotation(1, 1, 7, (0, 0, 30, 40))])
    records = load(tmp_path)
    assert "'turned.jpg' is 30 x 40, not 40 x 30" in note_with(records, "EXIF")
    assert any("'other.png' is 20 x 30" in note and "EXIF" not in note for note in records.notes)
    assert not any("reaches beyond" in note for note in records.notes)
