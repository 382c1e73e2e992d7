"""The data set as a whole."""

from __future__ import annotations

import json

from curation.detectors import find_issues
from curation.health import health
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
    assert 0.5 * is_wrong.sum() < found["estimated_wrong"] < 2 * is_wrong.sum()
    assert sum(line["labels"] for line in found["classes"]) == 1000


def test_without_a_model_health_says_that_it_does_not_know() -> None:
    inputs = make_inputs([0, 1, 0])
    found = health(inputs, find_issues(inputs)[0])
    assert (found["labels"], found["label_health"], found["confused"]) == (3, None, [])
