"""What is found about boxes without any model."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.detectors import box_count, box_geometry, box_outlier, conflicting_boxes, duplicate_box, no_box
from curation.detectors.contract import Inputs
from curation.scoring.overlap import iou, overlapping_pairs
from curation.scoring.statistics import statistics_from_probs
from tests.detectors.building import make_inputs, pairs_table, with_boxes


def boxes_of(rows: Any, labels: Any = None, picture: Any = None, **more: Any) -> Inputs:
    """Boxes of one picture unless `picture` says otherwise, all cats unless `labels` says otherwise."""
    rows = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
    labels = np.zeros(len(rows), np.int64) if labels is None else labels
    picture = np.zeros(len(rows), np.int64) if picture is None else picture
    return replace(with_boxes(make_inputs(labels), rows, picture), **more)


def facts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [json.loads(text) for text in table["evidence"]]


# --- overlap ---


def test_overlap_is_the_common_area_over_that_of_both() -> None:
    first = np.array([[0, 0, 10, 10.0]])
    others = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 10, 10], [0, 0, 0, 10], [2, 2, 5, 5.0]])
    assert iou(first, others)[0].tolist() == pytest.approx([1, 50 / 150, 0, 0, 0.25])


def test_only_boxes_of_one_picture_are_compared_each_pair_once_however_many_there_are() -> None:
    random = np.random.default_rng(1)
    picture = random.integers(0, 3, 1500)
    boxes = np.column_stack([random.uniform(0, 50, (1500, 2)), random.uniform(5, 30, (1500, 2))])
    a, b, overlap = overlapping_pairs(picture, boxes, 0.3)
    whole = np.triu(iou(boxes, boxes) * (picture[:, None] == picture), 1)
    expected = np.argwhere(whole > 0.3)
    assert sorted(zip(a, b, strict=True)) == [tuple(pair) for pair in expected]
    assert overlap.tolist() == pytest.approx(whole[a, b].tolist())


# --- duplicate_box ---

ROW_OF_CELLS = [[12 * i, 0, 20, 20] for i in range(5)]  # each overlaps the next by a quarter


def test_an_object_labelled_twice_is_found_and_the_later_box_is_to_go() -> None:
    table = duplicate_box.find(boxes_of([*ROW_OF_CELLS, [1, 1, 20, 20]]))
    assert table["annotation_id"].tolist() == ["a5"]
    assert table["suggestion"].tolist() == ["remove"]
    (found,) = facts(table)
    assert (found["other"], found["other_label"], found["other_box"]) == ("a0", "cat", [0.0, 0.0, 20.0, 20.0])
    assert found["value"] == pytest.approx(0.8223, abs=1e-3)
    assert found["value"] > found["threshold"] > found["usual"]


def test_boxes_of_two_classes_on_one_object_are_found_and_the_less_believed_goes() -> None:
    probs = np.array([[0.1, 0.9, 0.0], [0.1, 0.9, 0.0]], np.float32)
    labels = np.array([0, 1])
    inputs = boxes_of([[0, 0, 20, 20], [0, 0, 20, 21]], labels, statistics=statistics_from_probs(probs, labels))
    table = duplicate_box.find(inputs)
    assert table[["annotation_id", "given_label", "is_issue"]].values.tolist() == [["a0", "cat", True]]
    assert facts(table)[0]["other_label"] == "dog"


def test_the_closer_two_boxes_are_the_more_suspicious_they_are() -> None:
    table = duplicate_box.find(boxes_of([[0, 0, 20, 20], [50, 0, 20, 20], [0, 0, 20, 20], [52, 0, 20, 20]]))
    score = dict(zip(table["annotation_id"], table["score"], strict=True))
    assert score["a2"] == 0.0 < score["a3"] < 0.5


def test_of_three_boxes_on_one_object_two_are_to_go() -> None:
    table = duplicate_box.find(boxes_of([[0, 0, 20, 20], [0, 1, 20, 20], [1, 0, 20, 20]]))
    assert sorted(table["annotation_id"]) == ["a1", "a2"]


def test_crowded_objects_that_overlap_by_half_everywhere_are_no_duplicates() -> None:
    crowd = [[7 * i, 0, 20, 20] for i in range(200)]  # each overlaps the next by 13 / 27
    table = duplicate_box.find(boxes_of([*crowd, [3000, 0, 20, 20], [3006.5, 0, 20, 20]]))
    assert not table["is_issue"].any()
    table = duplicate_box.find(boxes_of([*crowd, [3000, 0, 20, 20], [3002, 0, 20, 20]]))
    assert table.loc[table["is_issue"], "annotation_id"].tolist() == ["a201"]


def test_two_classes_that_lie_on_each_other_by_habit_are_not_flagged() -> None:
    rows = [[100 * i + offset, 0, 20, 20] for i in range(20) for offset in (0, 1)]
    table = duplicate_box.find(boxes_of(rows, np.tile([0, 1], 20)))
    assert len(table) == 20
    assert not table["is_issue"].any()
    assert facts(table)[0]["habit"] is True
    same = duplicate_box.find(boxes_of(rows))
    assert same["is_issue"].sum() == 20


def test_boxes_of_different_pictures_are_no_duplicates() -> None:
    assert duplicate_box.find(boxes_of([[0, 0, 9, 9], [0, 0, 9, 9]], picture=[0, 1])).empty


# --- box_geometry ---


@pytest.mark.parametrize(
    ("box", "problem", "suggestion"),
    [
        ([10, 10, 0, 5], "no area", "remove"),
        ([10, 10, 5, -5], "no area", "remove"),
        ([200, 10, 5, 5], "outside of the picture", "remove"),
        ([-50, 10, 5, 5], "outside of the picture", "remove"),
        ([90, 10, 20, 20], "beyond the picture", "clip"),
        ([10, -30, 20, 40], "beyond the picture", "remove"),
        ([10, 10, 1, 50], "hardly a line", "remove"),
    ],
)
def test_impossible_boxes_are_named(box: list[float], problem: str, suggestion: str) -> None:
    table = box_geometry.find(boxes_of([[10, 10, 30, 30], box]))
    assert table["annotation_id"].tolist() == ["a1"]
    assert facts(table)[0]["problem"] == problem
    assert facts(table)[0]["picture"] == [100, 80]
    assert table["suggestion"].tolist() == [suggestion]
    assert table["score"].between(0, 0.5).all()


def test_a_box_that_ends_a_pixel_beyond_the_picture_is_a_matter_of_counting() -> None:
    assert box_geometry.find(boxes_of([[0, 0, 101, 81], [-1, -1, 50, 50]])).empty


def test_the_less_of_a_box_lies_in_the_picture_the_more_suspicious_it_is() -> None:
    table = box_geometry.find(boxes_of([[90, 10, 20, 20], [95, 10, 20, 20]]))
    assert table.set_index("annotation_id")["score"].to_dict() == {"a0": 0.25, "a1": 0.125}


# --- box_outlier ---


def ordinary_boxes(count: int = 60) -> np.ndarray:
    random = np.random.default_rng(3)
    return np.column_stack(
        [random.normal(40, 4, count), random.normal(30, 4, count), *random.normal(20, 2, (2, count))]
    )


@pytest.mark.parametrize(
    ("box", "measured"),
    [([20, 10, 60, 60], "size"), ([48, 38, 2, 2], "size"), ([45, 20, 7, 40], "aspect_ratio"),
     ([0, 30, 20, 20], "place_x"), ([40, 59, 20, 20], "place_y")],
)  # fmt: skip
def test_a_box_unlike_all_of_its_class_is_found(box: list[float], measured: str) -> None:
    table = box_outlier.find(boxes_of([*ordinary_boxes(), box]))
    first = table.sort_values("score").iloc[0]
    assert (first["annotation_id"], first["is_issue"]) == ("a60", True)
    assert facts(table.sort_values("score"))[0]["measured"] == measured
    assert table["is_issue"].sum() == 1


def test_each_class_has_its_own_usual_size() -> None:
    large = ordinary_boxes() * [1, 1, 2.5, 2.5]
    rows = [*ordinary_boxes(), *large, [40, 30, 20, 20], [40, 30, 50, 50]]
    labels = np.array([0] * 60 + [1] * 60 + [1, 0])
    table = box_outlier.find(boxes_of(rows, labels))
    assert sorted(table.loc[table["is_issue"], "annotation_id"]) == ["a120", "a121"]


def test_boxes_of_all_sizes_are_not_odd_and_a_box_without_area_is_none_of_ours() -> None:
    random = np.random.default_rng(4)
    w = np.exp(random.normal(2.5, 1.0, 300))
    assert not box_outlier.find(boxes_of(np.column_stack([w, w, w, w])))["is_issue"].any()
    assert "a60" not in set(box_outlier.find(boxes_of([*ordinary_boxes(), [0, 0, 0, 0]]))["annotation_id"])


# --- box_count, no_box, conflicting_boxes ---


def pictures_with(counts: Any, **more: Any) -> Inputs:
    counts = np.asarray(counts, dtype=np.int64)
    return replace(make_inputs(np.full(len(counts), -1)), box_counts=counts, **more)


def test_a_picture_with_far_more_or_fewer_boxes_than_usual_is_found() -> None:
    counts = np.zeros((60, 3), np.int64)
    counts[:, 0] = 20 + np.arange(60) % 7
    counts[:, 1] = np.arange(60) % 2
    counts[7, 0], counts[8, 0], counts[9, 1] = 3, 70, 12
    table = box_count.find(pictures_with(counts))
    assert set(table.loc[table["is_issue"], "sample_id"]) == {"s000007", "s000008", "s000009"}
    found = {line["class"]: line for line in facts(table)}
    assert found["dog"]["value"] == 12
    assert found["dog"]["value"] > found["dog"]["threshold"] > found["dog"]["usual"]


def test_a_class_that_is_in_every_other_picture_is_missed() -> None:
    counts = np.column_stack([np.ones(100), np.arange(100) % 3, np.zeros(100)]).astype(np.int64)
    counts[4, 0], counts[4, 1] = 0, 1
    table = box_count.find(pictures_with(counts))
    assert table.loc[table["is_issue"], "sample_id"].tolist() == ["s000004"]
    assert facts(table)[0]["class"] == "cat"


def test_pictures_without_boxes_are_flagged_where_they_are_rare() -> None:
    counts = np.ones((50, 3), np.int64)
    counts[3] = 0
    rare = no_box.find(pictures_with(counts))
    assert rare[["sample_id", "is_issue"]].values.tolist() == [["s000003", True]]
    counts[:20] = 0
    habit = no_box.find(pictures_with(counts))
    assert len(habit) == 20
    assert not habit["is_issue"].any()
    assert box_count.find(pictures_with(counts)).empty


def test_identical_pictures_with_different_boxes_are_flagged() -> None:
    counts = np.ones((6, 3), np.int64)
    counts[1, 2], counts[3, 0] = 4, 2
    pairs = pairs_table((0, 1, "exact", 0.0), (2, 3, "near", 0.02), (4, 5, "exact", 0.0))
    table = conflicting_boxes.find(pictures_with(counts, duplicate_pairs=pairs))
    assert dict(zip(table["sample_id"], table["is_issue"], strict=True)) == {
        "s000000": True, "s000001": True, "s000002": False, "s000003": False,
    }  # fmt: skip
    assert facts(table)[0]["counts"] == [["owl", 1, 4]]
    assert facts(table)[0]["twin"] == "s000001"
