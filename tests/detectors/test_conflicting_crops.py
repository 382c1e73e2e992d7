"""Boxes of two pictures that look the same under two labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from curation.detectors.conflicting_crops import find
from curation.scoring.statistics import statistics_from_probs
from tests.detectors.building import make_inputs, pairs_table, with_boxes


def test_of_two_boxes_alike_the_one_that_the_model_believes_less_is_named() -> None:
    labels = [0, 1, 1, 0, 0]
    pairs = pairs_table((0, 1, "near", 0.05), (2, 3, "exact", 0.0), (3, 4, "near", 0.01))
    inputs = replace(with_boxes(make_inputs(labels, ["cat", "dog"]), picture=np.arange(5)), crop_pairs=pairs)
    without = find(inputs)
    assert sorted(without["annotation_id"]) == ["a0", "a1", "a2", "a3"]
    assert set(without["suggestion"]) == {""}
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], dtype=np.float32)
    judged = replace(inputs, statistics=statistics_from_probs(probs, np.array(labels)))
    found = find(judged).set_index("annotation_id")
    assert found["suggestion"].to_dict() == {"a1": "cat", "a3": "dog"}
    assert found.loc["a3", "score"] == 0
    assert 0 < found.loc["a1", "score"] < 0.5
    assert json.loads(found.loc["a1", "evidence"])["other"] == "a0"


def test_boxes_alike_with_one_label_are_no_finding() -> None:
    inputs = with_boxes(make_inputs([0, 0, -1], ["cat", "dog"]), picture=np.arange(3))
    pairs = pairs_table((0, 1, "exact", 0.0), (1, 2, "exact", 0.0))
    assert find(replace(inputs, crop_pairs=pairs)).empty
