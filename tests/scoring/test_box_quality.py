"""Boxes against the predictions of a detector, and what is found of that."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curation.detectors import badly_located_box, missing_box, spurious_box, swapped_box
from curation.detectors.contract import Inputs
from curation.scoring.box_quality import judge_boxes
from tests.detectors.building import make_inputs, with_boxes

PICTURES = 60


def compared(boxes: np.ndarray, labels: np.ndarray, predictions: pd.DataFrame) -> Inputs:
    """Two boxes in each picture, as rows of detectors."""
    picture = np.arange(len(boxes)) // 2
    inputs = with_boxes(make_inputs(labels), boxes, picture)
    table = predictions.assign(sample_id=[f"s{row:06d}" for row in predictions["row"]])
    return replace(inputs, box_quality=judge_boxes(picture, boxes, labels, table))


@pytest.fixture
def ordinary() -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Boxes, labels and what a good detector predicts: each box nearly, and a few inventions of low score."""
    random = np.random.default_rng(0)
    boxes = np.tile([[10.0, 10, 30, 30], [60, 40, 24, 20]], (PICTURES, 1)) + random.uniform(0, 4, (2 * PICTURES, 4))
    labels = np.tile([0, 1], PICTURES)
    found = pd.DataFrame(boxes + random.normal(0, 0.8, boxes.shape), columns=list("xywh"))
    found = found.assign(row=np.arange(len(boxes)) // 2, class_id=labels, score=random.uniform(0.7, 1.0, len(boxes)))
    invented = found.head(30).assign(
        x=random.uniform(40, 60, 30), y=2.0, w=8.0, h=8.0, score=random.uniform(0.1, 0.4, 30)
    )
    predictions = pd.concat([found, invented], ignore_index=True)
    return boxes, labels, predictions.assign(label=np.array(["cat", "dog"])[predictions["class_id"]])


def flagged(table: pd.DataFrame) -> list[str]:
    return table.loc[table["is_issue"], "annotation_id"].tolist()


def test_nothing_is_flagged_where_boxes_and_predictions_agree(ordinary) -> None:
    inputs = compared(*ordinary)
    for detector in (missing_box, spurious_box, badly_located_box, swapped_box):
        assert not detector.find(inputs)["is_issue"].any()


def test_an_object_without_a_box_is_proposed_once_with_class_and_place(ordinary) -> None:
    boxes, labels, predictions = ordinary
    again = predictions.iloc[[7]].assign(score=0.71)
    kept = np.arange(len(boxes)) != 7
    picture = (np.arange(len(boxes)) // 2)[kept]
    inputs = with_boxes(make_inputs(labels[kept]), boxes[kept], picture)
    table = pd.concat([predictions, again], ignore_index=True)
    table = table.assign(sample_id=[f"s{row:06d}" for row in table["row"]])
    table = missing_box.find(replace(inputs, box_quality=judge_boxes(picture, boxes[kept], labels[kept], table)))
    (found,) = table[table["is_issue"]].to_dict("records")
    assert (found["sample_id"], found["suggestion"], found["annotation_id"]) == ("s000003", "dog", "")
    assert json.loads(found["evidence"])["proposed"] == predictions.loc[7, list("xywh")].round(2).tolist()


def test_a_second_prediction_of_an_object_is_none_of_a_missing_one_unless_objects_overlap_so_far(ordinary) -> None:
    boxes, labels, predictions = ordinary
    beside = predictions.loc[[6]].assign(x=predictions["x"][6] + 12, score=0.99)  # overlaps by .43
    table = missing_box.find(compared(boxes, labels, pd.concat([predictions, beside], ignore_index=True)))
    assert not table["is_issue"].any()
    crowd = boxes.copy()
    crowd[1::2] = crowd[::2] + np.array([10, 0, 0, 0])  # both boxes of each picture overlap by half
    found = predictions.head(len(boxes)).assign(**dict(zip("xywh", crowd.T, strict=True)))
    beside = found.loc[[6]].assign(x=found["x"][6] - 12, score=0.99)
    table = missing_box.find(compared(crowd, labels, pd.concat([found, beside], ignore_index=True)))
    assert table["is_issue"].sum() == 1


def test_a_box_around_nothing_is_flagged(ordinary) -> None:
    boxes, labels, predictions = ordinary
    boxes[8] = [85, 5, 10, 10]
    table = spurious_box.find(compared(boxes, labels, predictions))
    assert flagged(table) == ["a8"]
    assert table["suggestion"].tolist()[0] == "remove"


def test_boxes_of_a_class_that_the_detector_never_finds_are_not_called_spurious(ordinary) -> None:
    boxes, labels, predictions = ordinary
    assert spurious_box.find(compared(boxes, labels, predictions[predictions["class_id"] == 0])).empty


def test_a_shifted_box_is_flagged(ordinary) -> None:
    boxes, labels, predictions = ordinary
    boxes[12, 0] += boxes[12, 2] / 3
    table = badly_located_box.find(compared(boxes, labels, predictions))
    assert flagged(table) == ["a12"]
    (found,) = table[table["is_issue"]].to_dict("records")
    assert json.loads(found["evidence"])["proposed"] == predictions.loc[12, list("xywh")].round(2).tolist()


def test_a_box_of_another_class_is_flagged_and_the_class_suggested(ordinary) -> None:
    boxes, labels, predictions = ordinary
    given = labels.copy()
    given[14] = 1
    table = swapped_box.find(compared(boxes, given, predictions))
    assert flagged(table) == ["a14"]
    assert table.set_index("annotation_id").loc["a14", "suggestion"] == "cat"


def test_scores_of_a_detector_that_is_never_sure_count_as_much(ordinary) -> None:
    boxes, labels, predictions = ordinary
    boxes[8] = [85, 5, 10, 10]
    shy = predictions.assign(score=predictions["score"] * 0.2)
    table = spurious_box.find(compared(boxes, labels, shy))
    assert flagged(table) == ["a8"]


@pytest.mark.parametrize("what", ["no predictions", "no boxes", "foreign class", "no area"])
def test_extremes_keep_the_contract(ordinary, what: str) -> None:
    boxes, labels, predictions = ordinary
    if what == "no predictions":
        predictions = predictions.head(0)
    if what == "no boxes":
        boxes, labels = boxes[:0], labels[:0]
    if what == "foreign class":
        predictions = predictions.assign(class_id=-1, label="bird")
    if what == "no area":
        boxes[:4, 2:] = 0.0
        predictions.loc[:8, "w"] = 0.0
    inputs = compared(boxes, labels, predictions)
    for detector in (missing_box, spurious_box, badly_located_box, swapped_box):
        assert detector.find(inputs)["score"].between(0, 1).all()
