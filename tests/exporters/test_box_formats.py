"""What leaves in a format of boxes or of several labels comes back through that format's own importer."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.errors import SettingsError
from curation.exporters import EXPORTERS
from curation.importers import load
from curation.issue_files import defuse
from curation.records import Records
from tests.exporting import HOSTILE_LABELS
from tests.importers.box_sets import boxes_of, class_names, facts_of, picture, small_set, voc_xml, write
from tests.round_trips import assert_same, attributes, first_version, said, there_and_back, with_annotations

BOXES = ("voc", "yolo", "openimages", "oidv4", "tfrecord", "csv")
SEVERAL = ("voc", "openimages", "tfrecord", "csv")
SOURCES = ("voc", "yolo", "openimages", "oidv4", "tfrecord", "csv")


@pytest.mark.parametrize("source", SOURCES)
def test_every_format_becomes_every_other_one(tmp_path: Path, source: str) -> None:
    records = load(small_set(tmp_path / "source", source))
    dataset = first_version(records, tmp_path / "workspace")
    before = said(records, tmp_path)
    for name in BOXES:
        after = there_and_back(records, name, tmp_path, dataset)
        assert (after.source_format, after.task) == (name, "detection")
        assert_same(before, said(after, tmp_path))
        known = [label for label in class_names(records) or sorted(set(records.annotations["label"]))]
        assert class_names(after) == known
        assert after.rejected.empty, after.rejected.to_string()


def plain_set(folder: Path, count: int = 4, splits: tuple[str, ...] = ("train", "val", "test")) -> Any:
    """Pictures of several sizes in folders of splits, without labels."""
    for number in range(count):
        place = f"{splits[number % len(splits)]}/a" if splits else "a"
        picture(folder / place / f"{number}.png", number, (40 + number, 20 + 3 * number))
    return load(folder, format="folder")


ODD = [(0.1, 0.2, 3.3, 4.4), (-5, -6, 100, 200), (7, 8, 0, 0), (1 / 3, 2 / 3, 10 / 7, 1e-7), (39, 19, 1e3, 1e3)]


@pytest.mark.parametrize("name", BOXES)
def test_odd_boxes_and_many_of_them_come_back(tmp_path: Path, name: str) -> None:
    rows = [
        {"sample": at % 3, "label": label, "x": box[0], "y": box[1], "w": box[2], "h": box[3]}
        for at, (box, label) in enumerate(itertools.product(ODD * 4, ("zebra", "ant")))
    ]
    records = with_annotations(plain_set(tmp_path / "source"), rows, "detection", ["zebra", "unused", "ant"])
    after = there_and_back(records, name, tmp_path)
    assert_same(said(records, tmp_path), said(after, tmp_path))
    assert class_names(after) == ["zebra", "unused", "ant"]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_labels_come_back(tmp_path: Path, name: str) -> None:
    rows = [{"sample": at, "label": label} for at, label in ((0, "zebra"), (0, "ant"), (1, "ant"), (2, "zebra"))]
    records = with_annotations(plain_set(tmp_path / "source"), rows, "multi-label", ["zebra", "unused", "ant"])
    after = there_and_back(records, name, tmp_path)
    assert after.task == "multi-label"
    assert_same(said(records, tmp_path), said(after, tmp_path))
    assert class_names(after) == ["zebra", "unused", "ant"]


@pytest.mark.parametrize("name", ["openimages", "tfrecord", "csv", "voc"])
def test_pictures_without_splits_come_back_without(tmp_path: Path, name: str) -> None:
    rows = [{"sample": at, "label": "cat"} for at in range(3)] + [{"sample": 0, "label": "dog"}]
    records = with_annotations(plain_set(tmp_path / "source", splits=()), rows, "multi-label", ["cat", "dog"])
    assert_same(said(records, tmp_path), said(there_and_back(records, name, tmp_path), tmp_path))


@pytest.mark.parametrize("name", ["yolo", "oidv4"])
def test_a_format_of_boxes_refuses_labels_of_pictures(tmp_path: Path, name: str) -> None:
    rows = [{"sample": 0, "label": "cat"}, {"sample": 0, "label": "dog"}]
    records = with_annotations(plain_set(tmp_path / "source"), rows, "multi-label", ["cat", "dog"])
    with pytest.raises(SettingsError, match=f"--format {name} cannot hold several labels per picture; these can: csv"):
        there_and_back(records, name, tmp_path)


# --- what only one format can say ------------------------------------------------------------------------------------


def test_voc_keeps_its_own_fields_and_where_corners_begin(tmp_path: Path) -> None:
    picture(tmp_path / "source/JPEGImages/1.png", 1)
    more = "<source><database>The VOC2012 Database</database><image>flickr</image></source><segmented>1</segmented>"
    xml = voc_xml(("cat", (1, 2, 11, 12)), more=more).replace(
        "<name>cat</name>",
        "<name>cat</name><pose>Left</pose><difficult>1</difficult><part><name>head</name></part><part><name>a&amp;b</name>"
        "</part><odd key='v'>x</odd>",
    )
    write(tmp_path / "source/Annotations/1.xml", xml)
    records = load(tmp_path / "source")
    after = there_and_back(records, "voc", tmp_path)
    assert_same(said(records, tmp_path), said(after, tmp_path))
    assert attributes(records)[0].items() <= attributes(after)[0].items()
    assert facts_of(records)["JPEGImages/1.png"].items() <= facts_of(after)["JPEGImages/1.png"].items()
    text = (tmp_path / "out-voc/Annotations/1.xml").read_text()
    assert "<xmin>1</xmin>" in text
    assert "<xmax>11</xmax>" in text


def test_yolo_keeps_polygons_of_boxes_that_were_not_moved(tmp_path: Path) -> None:
    small_set(tmp_path / "source", "yolo")
    write(tmp_path / "source/labels/train/1.txt", "1 0.1 0.1 0.5 0.2 0.30 0.9\n0 0.5 0.5 0.2 0.2 0.1 0.2 2\n")
    write(tmp_path / "source/data.yaml", "nc: 2\nnames: [dog, cat]\nkpt_shape: [1, 3]\n")
    records = load(tmp_path / "source")
    after = there_and_back(records, "yolo", tmp_path)
    assert attributes(after) == [{"polygon": "0.1 0.1 0.5 0.2 0.30 0.9"}, {"keypoints": "0.1 0.2 2"}]
    assert after.about == records.about
    moved = records.annotations.assign(x=records.annotations["x"] + 1)
    object.__setattr__(records, "annotations", moved)
    (tmp_path / "again").mkdir()
    after = there_and_back(records, "yolo", tmp_path / "again")
    assert_same(said(records, tmp_path), said(after, tmp_path))
    assert attributes(after)[0] == {}


def test_open_images_keeps_flags_ids_and_what_is_not_there(tmp_path: Path) -> None:
    small_set(tmp_path / "source", "openimages")
    labels = "ImageID,Source,LabelName,Confidence\na,verification,/m/1,0\n"
    write(tmp_path / "source/annotations/train-annotations-human-imagelabels.csv", labels)
    records = load(tmp_path / "source")
    after = there_and_back(records, "openimages", tmp_path)
    assert attributes(records)[0].items() <= attributes(after)[0].items()
    assert facts_of(after) == facts_of(records)
    assert after.classes == records.classes


def test_tfrecord_keeps_features_and_the_bytes_of_pictures(tmp_path: Path) -> None:
    records = load(small_set(tmp_path / "source", "tfrecord"))
    box = {"sample": 0, "label": "cat", "x": 1, "y": 2, "w": 3, "h": 4}
    both = ({"difficult": 1, "weight": 0.5, "v": "a"}, {"difficult": 0, "weight": 2.0, "v": ""})
    rows = [{**box, "attributes": own} for own in both]
    records = with_annotations(records, rows, "detection", ["cat"])
    after = there_and_back(records, "tfrecord", tmp_path)
    assert attributes(after) == attributes(records)
    assert facts_of(after) == {"train.record#000000": {"image/filename": "1.png", "image/source_id": "1.png"}}


def test_ids_of_classes_stay_where_the_format_has_such(tmp_path: Path) -> None:
    small_set(tmp_path / "source", "yolo")
    write(tmp_path / "source/data.yaml", "nc: 2\nnames: {1: cat, 0: dog}\n")
    records = load(tmp_path / "source")
    assert class_names(records) == ["cat", "dog"]
    after = there_and_back(records, "yolo", tmp_path)
    assert {entry["name"]: entry["id"] for entry in after.classes} == {"cat": 1, "dog": 0}


# --- hostile labels and names ----------------------------------------------------------------------------------------


def carried(records: Records, name: str, folder: Path) -> Records | None:
    """`there_and_back`, or None where the format says that it cannot hold a label."""
    try:
        return there_and_back(records, name, folder)
    except SettingsError as error:
        if f"--format {name} cannot hold" not in str(error):
            raise
        return None


REFUSED = {
    "openimages": lambda label: defuse(label) != label,  # a spreadsheet would run it
    "oidv4": lambda label: label != label.strip() or len(label.splitlines()) > 1,  # its lines are words and numbers
}


@pytest.mark.parametrize("name", BOXES)
def test_hostile_labels_come_back_or_are_refused_by_name(tmp_path: Path, name: str) -> None:
    source = plain_set(tmp_path / "source")
    is_refused = REFUSED.get(name, lambda label: False)
    good = [label for label in HOSTILE_LABELS if not is_refused(label)]
    rows = [{"sample": at % 4, "label": label, "x": 1, "y": 2, "w": 3, "h": 4} for at, label in enumerate(good)]
    records = with_annotations(source, rows, "detection", good)
    after = there_and_back(records, name, tmp_path / "good")
    assert_same(said(records, tmp_path), said(after, tmp_path))
    for at, label in enumerate(set(HOSTILE_LABELS) - set(good)):
        records = with_annotations(source, [{**rows[0], "label": label}], "detection", [label])
        assert carried(records, name, tmp_path / str(at)) is None


LABEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
COORDINATE = st.floats(-50, 150, width=32) | st.integers(-5, 60).map(float)
SIDE = st.floats(0, 150, width=32) | st.integers(0, 60).map(float)
BOX = st.fixed_dictionaries(
    {"sample": st.integers(0, 3), "label": LABEL | st.sampled_from(HOSTILE_LABELS), "x": COORDINATE, "y": COORDINATE}
    | {"w": SIDE, "h": SIDE}
)


@pytest.mark.parametrize("name", BOXES)
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(BOX, max_size=12), unused=LABEL)
def test_whatever_boxes_say_comes_back(name: str, rows: list[dict[str, Any]], unused: str) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        rows = sorted(rows, key=lambda row: row["sample"])
        classes = list(dict.fromkeys([unused, *(row["label"] for row in rows)]))
        records = with_annotations(plain_set(folder / "source"), rows, "detection", classes)
        after = carried(records, name, folder)
        if after is not None:
            assert_same(said(records, folder), said(after, folder))


@pytest.mark.parametrize("name", SEVERAL)
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(pairs=st.sets(st.tuples(st.integers(0, 3), LABEL | st.sampled_from(HOSTILE_LABELS)), max_size=8))
def test_whatever_several_labels_say_comes_back(name: str, pairs: set[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        rows = [{"sample": at, "label": label} for at, label in sorted(pairs)]
        classes = list(dict.fromkeys(row["label"] for row in rows))
        records = with_annotations(plain_set(folder / "source"), rows, "multi-label", classes)
        after = carried(records, name, folder)
        if after is not None:
            assert_same(said(records, folder), said(after, folder))


def test_every_exporter_of_boxes_says_so() -> None:
    assert {name for name in BOXES if "detection" in EXPORTERS[name].tasks} == set(BOXES)
    assert {name for name in SEVERAL if "multi-label" in EXPORTERS[name].tasks} == set(SEVERAL)


def test_equal_names_in_different_folders_stay_apart(tmp_path: Path) -> None:
    for at, place in enumerate(("a/1.png", "b/1.png", "b/1.jpg")):
        picture(tmp_path / "source" / place, at)
    source = load(tmp_path / "source", format="folder")
    rows = [{"sample": at, "label": "cat", "x": at, "y": 2, "w": 3, "h": 4} for at in range(3)]
    records = with_annotations(source, rows, "detection", ["cat"])
    dataset = first_version(records, tmp_path / "workspace")
    for name in BOXES:
        after = there_and_back(records, name, tmp_path, dataset)
        assert_same(said(records, tmp_path), said(after, tmp_path))
        assert sum(map(len, boxes_of(after).values())) == 3
