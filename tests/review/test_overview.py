"""What verdicts amount to: precision by detector, confusions, pace, what is left."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.review.overview import (
    by_detector,
    confusion_pairs,
    expected_left,
    progress_over_time,
    reviewers,
    running_precision,
    verdict_counts,
    wilson,
)


def verdicts(*rows: tuple[Any, ...], **columns: Any) -> pd.DataFrame:
    """item, verdict, label ("" = none), findings, reviewer; one after the other, all holding."""
    table = pd.DataFrame(
        [
            {
                "item_id": item, "verdict": verdict, "labels": json.dumps([label] if label else []), "issues": issues,
                "reviewer": by, "decision_id": number, "seconds": 3.0, "given_label": "cat", "holds": True,
                "decided_as": item,
            }
            for number, (item, verdict, label, issues, by) in enumerate(rows)
        ]
    )  # fmt: skip
    return table.assign(**columns)


SOME = verdicts(
    ("a", "relabel", "dog", "label_error,blurry", "ann"),
    ("b", "keep", "", "label_error", "ann"),
    ("c", "exclude", "", "blurry", "bo"),
    ("d", "unsure", "", "label_error", "bo"),
    ("e", "relabel", "dog", "", "bo"),
)


def test_what_a_settled_case_says_of_its_members_is_no_second_look() -> None:
    case = verdicts(("d1", "exclude", "", "near_duplicate", "ann"), ("s1", "keep", "", "label_error", "ann"))
    case.loc[1, "decided_as"] = "d1"
    assert len(progress_over_time(case)) == 1
    assert by_detector(case)["issue"].tolist() == ["near_duplicate"]
    assert reviewers(case)["items"].tolist() == [1]


def test_no_pace_is_claimed_where_no_time_was_taken() -> None:
    table = reviewers(verdicts(("a", "keep", "", "x", "me"), seconds=[0.0]))
    assert table[["seconds", "per_hour"]].isna().all(axis=None)


def test_precision_counts_an_item_for_each_of_its_findings() -> None:
    table = by_detector(SOME).set_index("issue")
    assert table.loc["label_error", ["decided", "changed", "precision"]].tolist() == [2, 1, 0.5]
    assert table.loc["blurry", ["decided", "changed", "precision"]].tolist() == [2, 2, 1.0]
    assert table.loc["not flagged", "decided"] == 1
    assert (table["low"] < table["precision"]).all()


def test_of_several_opinions_the_one_that_holds_counts() -> None:
    two = verdicts(("a", "keep", "", "x", "ann"), ("a", "relabel", "dog", "x", "bo"), holds=[True, False])
    assert verdict_counts(two)[["verdict", "items"]].to_numpy().tolist() == [["keep", 1]]


def test_running_precision_looks_back_on_a_window_only() -> None:
    rows = [(f"i{n}", "relabel" if n >= 4 else "keep", "dog" if n >= 4 else "", "x", "ann") for n in range(8)]
    found = running_precision(verdicts(*rows), window=4)
    assert found["precision"].tolist() == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1]
    assert found["decided"].tolist() == list(range(1, 9))


def test_confusions_are_counted_by_given_and_corrected_label() -> None:
    assert confusion_pairs(SOME).to_numpy().tolist() == [["cat", "dog", 2]]


def test_progress_leaves_out_what_is_undecided() -> None:
    assert progress_over_time(SOME)["changed"].tolist() == [1, 1, 2, 3]


def test_a_long_pause_does_not_count_as_work() -> None:
    table = reviewers(verdicts(*[(f"i{n}", "keep", "", "x", "ann") for n in range(3)], seconds=[2.0, 2.0, 90_000.0]))
    assert table.loc[0, "seconds"] == 2
    assert table.loc[0, "per_hour"] == pytest.approx(3600 / ((2 + 2 + 120) / 3))


@pytest.mark.parametrize(
    "function", [by_detector, verdict_counts, running_precision, confusion_pairs, progress_over_time, reviewers]
)
def test_no_verdicts_give_empty_tables(function: Any) -> None:
    assert len(function(SOME.head(0))) == 0


def test_what_is_left_is_the_sum_of_the_chances_of_open_items() -> None:
    odds, ids = np.array([0.0, 20.0, 0.0, 0.0]), np.array(["a", "b", "d", "f"], dtype=object)
    left = expected_left(odds, ids, SOME, {"b": True, "d": True})
    assert left == {"flagged": pytest.approx(0.5), "others": pytest.approx(0.5)}  # a, b decided; d unsure: open


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = wilson(np.array([8, 0, 0]), np.array([10, 10, 0]))
    np.testing.assert_allclose(low, [0.4902, 0.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(high, [0.9433, 0.2775, 1.0], atol=1e-3)
