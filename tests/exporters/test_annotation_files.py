"""COCO, LabelMe, CVAT and Label Studio: what is written is read back the same by the format's own importer."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.errors import LabelParseError, SettingsError
from curation.importers import load
from curation.importers.boxes import Builder
from curation.importers.listing import list_images
from curation.importers.options import ImportOptions
from curation.records import Records
from tests.importers.pictures import note_with
from tests.round_trips import SHARED, export_plain, first_version, same_boxes, there_and_back, told

FORMATS = ("coco", "labelme", "cvat", "labelstudio")
FOREIGN = ("id", "version", "result", "annotation")


def make(root: Path, facts: list[tuple[str, str, list[tuple[str, Any]]]], classes: tuple[str, ...] = ()) -> Records:
    """Records of pictures: (name, split, [(label, box or None)])."""
    root.mkdir()
    for k, (name, _, _) in enumerate(facts):
        Image.new("RGB", (50 + k, 40), (k, 1, 2)).save(root / name)
    builder = Builder(root, "made", list_images(root), ImportOptions())
    boxes = False
    for name, split, marks in facts:
        row = builder.picture(name, split)
        for label, box in marks:
            boxes |= box is not None
            builder.annotate(row, label, box)
    return builder.records([{"name": name} for name in classes], boxes=boxes)


@pytest.mark.parametrize("name", FORMATS)
def test_boxes_splits_and_unlabelled_pictures_come_back(tmp_path: Path, name: str) -> None:
    records = make(
        tmp_path / "set",
        [
            (
                "a.png",
                "train",
                [("cat", (1, 2, 3.25, 4)), ("cat", (1, 2, 3.25, 4)), ("dög <&\">'", (0.1, 0.2, 30, 30))],
            ),
            ("b.png", "val", [("cat", (-3, 5, 0, 100))]),
            ("c.png", "odd split", []),
            ("d.png", "", [("cat", (10, 10, 10, 10))]),
        ],
    )
    back = there_and_back(records, name, tmp_path)
    assert back.source_format == name
    assert back.task == "detection"
    assert same_boxes(told(records, tmp_path / "one"), told(back, tmp_path / "two"))


@pytest.mark.parametrize("name", FORMATS)
def test_labels_of_pictures_come_back(tmp_path: Path, name: str) -> None:
    facts = [("a.png", "train", [("z", None), ("b", None)]), ("b.png", "train", []), ("c.png", "test", [("b", None)])]
    records = make(tmp_path / "set", facts, ("z", "unused", "b"))
    back = there_and_back(records, name, tmp_path)
    assert back.task == "multi-label"
    assert same_boxes(told(records, tmp_path / "one"), told(back, tmp_path / "two"))
    if name != "labelstudio":  # which has no list of classes in its data
        assert [entry["name"] for entry in back.classes] == ["z", "unused", "b"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_version_of_boxes_says_which_formats_can_hold_it(tmp_path: Path, name: str) -> None:
    dataset = first_version(make(tmp_path / "set", [("a.png", "", [("cat", (1, 2, 3, 4))])]), tmp_path / "workspace")
    with pytest.raises(SettingsError, match=f"folder cannot hold boxes; these can: .*{name}"):
        export_plain(dataset, "folder", tmp_path / "out", tmp_path / "workspace", tmp_path / "set")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "source", ["formats/coco_dataset/coco", "formats/labelme_dataset", "formats/cvat_dataset/for_images/export_project"]
)
def test_the_tiny_sets_go_through_every_format(tmp_path: Path, source: str, name: str) -> None:
    if not (SHARED / source).is_dir():
        pytest.skip(f"{source} is not here")
    records = load(SHARED / source)
    back = there_and_back(records, name, tmp_path)
    one, two = told(records, tmp_path / "one"), told(back, tmp_path / "two")
    if name == "labelme" and source.endswith("coco"):  # labels beside boxes are flags of the picture there
        one = {key: (split, facts, [mark for mark in marks if mark[1]]) for key, (split, facts, marks) in one.items()}
    assert same_boxes(one, two, 0.5)
    if records.source_format == name:
        assert one == two
        assert back.classes == records.classes
        assert back.about == records.about


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("source", ["raccoon", "bccd"])
def test_real_sets_go_through_every_format(tmp_path: Path, source: str, name: str) -> None:
    if not (SHARED / source).is_dir():
        pytest.skip(f"{source} is not here")
    records = load(SHARED / source)
    back = there_and_back(records, name, tmp_path)
    assert same_boxes(told(records, tmp_path / "one"), told(back, tmp_path / "two"), 0.5)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
SIDE = st.floats(0, 60, allow_nan=False)
BOX = st.tuples(st.floats(-20, 60, allow_nan=False), st.floats(-20, 60, allow_nan=False), SIDE, SIDE)
MARKS = st.lists(st.tuples(TEXT, BOX), max_size=4)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(marks=st.lists(MARKS, min_size=1, max_size=3), split=st.sampled_from(["", "train", "a/../b", "Ü 1"]))
def test_whatever_is_drawn_comes_back(name: str, marks: list[Any], split: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        facts = [(f"{k}.png", split, own) for k, own in enumerate(marks)]
        records = make(Path(folder) / "set", facts)
        if records.annotations.empty:
            return
        back = there_and_back(records, name, Path(folder))
        assert same_boxes(told(records, Path(folder) / "1"), told(back, Path(folder) / "2"), 1e-3)


def test_a_shape_is_kept_while_nobody_moves_its_box(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    Image.new("RGB", (50, 40)).save(root / "a.png")
    points = [[1, 2], [11, 2], [5, 22]]
    shape = {"label": "cat", "points": points, "shape_type": "polygon", "flags": {}, "group_id": 3}
    line = {"label": "x", "points": [[0, 0], [5, 5]], "shape_type": "line"}
    content = {"version": "4.5.6", "flags": {}, "shapes": [shape, line], "imagePath": "a.png", "imageData": "x" * 100,
               "imageHeight": 40, "imageWidth": 50}  # fmt: skip
    (root / "a.json").write_text(json.dumps(content))
    records = load(root)
    assert records.annotations[["x", "y", "w", "h"]].iloc[0].tolist() == [1, 2, 10, 20]
    back = there_and_back(records, "labelme", tmp_path)
    assert told(back, tmp_path / "one") == told(records, tmp_path / "two")
    written = json.loads((tmp_path / "out-labelme" / "images" / "a.json").read_text())
    assert written["shapes"][0]["points"] == points
    assert written["shapes"][1] == line
    moved = records.annotations.assign(x=2.0)
    back = there_and_back(Records(**{**vars(records), "annotations": moved}), "labelme", tmp_path / "moved")
    assert "points" not in back.annotations["attributes"].iloc[0]
    assert back.annotations["x"].tolist() == [2.0]


def test_one_broken_labelme_file_costs_its_picture_its_labels_only(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (50, 40), {"a": "red", "b": "blue"}[name]).save(tmp_path / f"{name}.png")
    good = {"shapes": [{"label": "cat", "points": [[9, 9], [1, 1]], "shape_type": "rectangle"}], "imagePath": "a.png"}
    (tmp_path / "a.json").write_text(json.dumps(good))
    (tmp_path / "b.json").write_text('{"shapes": [,], "imagePath": "b.png"}')
    records = load(tmp_path)
    assert records.source_format == "labelme"
    assert len(records.samples) == 2
    assert records.annotations["label"].tolist() == ["cat"]
    assert "b.json' line 1 column 13" in records.rejected["reason"].iloc[0]
    note_with(records, "broken annotation file")


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><annotations><meta>&c;</meta></annotations>'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [(BOMB, "document type or entities"), ("<annotations>\n<meta>\n<image ", "line 3: broken XML"),
     ('<!DOCTYPE a SYSTEM "http://x/y.dtd"><annotations><meta></meta></annotations>', "document type")],
)  # fmt: skip
def test_broken_and_hostile_xml_of_cvat_is_refused(tmp_path: Path, text: str, words: str) -> None:
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(LabelParseError, match=r"annotations\.xml") as caught:
        load(tmp_path)
    assert words in str(caught.value)


def test_cvat_shapes_tags_and_bad_numbers(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    (tmp_path / "annotations.xml").write_text(
        '<annotations><meta><task><labels><label><name>cat</name><color>#f00</color></label></labels></task></meta>\n'
        '<image id="0" name="a.png" width="50" height="40">'
        '<box label="cat" xtl="9" ytl="1" xbr="1" ybr="5" rotation="30"/>\n'
        '<box label="cat" xtl="nan" ytl="1" xbr="1" ybr="5"/>\n<box label="" xtl="1" ytl="1" xbr="2" ybr="5"/>\n'
        '<ellipse label="cat" cx="5" cy="6" rx="2" ry="3"/><tag label="cat"/>'
        '<points label="cat" points="1,1;2,2"/></image>\n'
        '<image id="1" name="../a.png"/></annotations>'
    )  # fmt: skip
    records = load(tmp_path)
    boxes = records.annotations[["x", "y", "w", "h"]].to_numpy().tolist()
    assert boxes[:2] == [[1, 1, 8, 4], [3, 3, 4, 6]]
    assert len(boxes) == 3
    assert records.classes == ({"name": "cat", "color": "#f00"},)
    reasons = " ".join(records.rejected["reason"])
    for words in ("annotations.xml line 3: xtl: 'nan' is not a number", "line 4: it has no class", "leaves the folder"):
        assert words in reasons
    note_with(records, "turned")


def test_label_studio_knows_its_pictures_by_many_names(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    names = ("a.png", "b c.png", "d.png", "e.png")
    for k, name in enumerate(names):
        Image.new("RGB", (200, 100), (k, 0, 0)).save(tmp_path / "pics" / name)
    urls = ("/data/upload/3/0a1b2c3d-a.png", "/data/local-files/?d=pics/b%20c.png", "s3://bucket/pics/d.png",
            "https://example.org/x/e.png?token=1")  # fmt: skip
    value = {"x": 10, "y": 20, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}
    region = {"id": "r1", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value,
              "original_width": 200, "original_height": 100}  # fmt: skip
    other = [{"result": []}, {"ground_truth": True, "result": [region]}]
    tasks = [{"id": k, "data": {"image": url}, "annotations": [{"result": [region]}]} for k, url in enumerate(urls)]
    tasks[0]["annotations"] = other
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    records = load(tmp_path)
    assert records.source_format == "labelstudio"
    assert len(records.samples) == 4
    assert records.annotations[["x", "y", "w", "h"]].to_numpy().tolist() == [[20, 20, 100, 50]] * 4
    note_with(records, "annotated more than once")


def test_json_min_of_label_studio(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    Image.new("RGB", (200, 100), "red").save(tmp_path / "b.png")
    more = {"annotator": 1, "annotation_id": 2, "lead_time": 1.5}
    tasks = [
        {"image": "a.png", "id": 1, "choice": {"choices": ["cat", "dog"]}, **more},
        {"image": "b.png", "choice": "cat", **more},
    ]
    (tmp_path / "min.json").write_text(json.dumps(tasks))
    records = load(tmp_path)
    assert records.task == "multi-label"
    assert records.annotations["label"].tolist() == ["cat", "dog", "cat"]
