"""The data set as a whole."""

from __future__ import annotations

import json

import numpy as np

from curation.detectors import find_issues
from curation.scoring.health import accuracy, accuracy_in_words, health
from tests.detectors.building import make_inputs, planted


def test_health_counts_what_the_rows_say() -> None:
    inputs, is_wrong = planted(1000, 5, 0.1, seed=0)
    issues, _ = find_issues(inputs)
    found = health(inputs, issues)
    json.dumps(found, allow_nan=False)
    rows = issues[issues["issue"] == "label_error"]
    assert found["labels"] == 1000
    assert found["flagged"] == rows["is_issue"].sum() == sum(count for _, _, count in found["confused"])
    assert found["estimated_wrong"] == round((1 - rows["score"]).sum())
    least, most = found["estimated_wrong_range"]
    assert least <= found["estimated_wrong"] <= most
    assert 0.5 * is_wrong.sum() < found["estimated_wrong"] < 2 * is_wrong.sum()
    assert sum(line["labels"] for line in found["classes"]) == 1000


def test_without_a_model_health_says_that_it_does_not_know() -> None:
    inputs = make_inputs([0, 1, 0])
    found = health(inputs, find_issues(inputs)[0])
    assert (found["labels"], found["label_health"], found["confused"]) == (3, None, [])


def _judged(choice: list[int], labels: list[int]):
    """Inputs whose model puts the classes `choice` first."""
    return make_inputs(labels, pred_probs=np.eye(3, dtype=np.float32)[choice] * 0.7 + 0.1)


def test_accuracy_compares_folds_with_and_without_groups() -> None:
    inputs = _judged([0, 1, 2, 0, 0, 1], [0, 1, 0, 2, 0, -1])
    found = accuracy(inputs, np.array([0, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 0, 0, 0]))
    assert found == {
        "in_groups": 3,  # the sixth picture has no label
        "accuracy": 0.6,
        "accuracy_in_groups": 0.3333,
        "ungrouped_accuracy": 0.8,
        "ungrouped_accuracy_in_groups": 0.6667,
        "optimism": 0.2,
    }
    assert "60.0 %" in accuracy_in_words(found)
    assert "+20.0 points; on the 3 pictures concerned 66.7 % instead of 33.3 %" in accuracy_in_words(found)


def test_without_groups_only_the_accuracy_is_told() -> None:
    found = accuracy(_judged([0, 1], [0, 0]), np.array([0, 1]), None)
    assert found["optimism"] is found["accuracy_in_groups"] is found["ungrouped_accuracy"] is None
    assert (
        accuracy_in_words(found)
        == "On pictures that it never saw, the model's first choice is the given label in 50.0 %."
    )
    assert accuracy_in_words({}) == ""
