"""The contract that every detector keeps, whatever it is given."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curation.detectors import DETECTORS, ISSUE_COLUMNS, find_issues
from curation.detectors.contract import DETECTOR_COLUMNS, Detector, Inputs, issue_table
from curation.errors import NotFoundError
from curation.records import empty_samples
from tests.detectors.building import (
    make_inputs,
    pairs_table,
    planted,
    samples_table,
    with_boxes,
    with_counts,
    with_label_sets,
)


def ordinary() -> Inputs:
    """80 samples with everything that a run can have, a duplicate of each kind, and a file that cannot be read."""
    inputs, _ = planted(80, 4, 0.1, seed=0)
    broken = empty_samples(1)
    broken["sample_id"], broken["path"], broken["reason"] = "sbroken", "broken.jpg", "truncated"
    pairs = pairs_table((0, 1, "exact", 0.0), (2, 3, "near", 0.01), (4, 5, "near", 0.02))
    samples = samples_table(80, brightness_p99=np.r_[0.1, np.full(79, 0.9)])
    samples["split"] = pd.Series(["train"] * 79 + ["test"], dtype="str")
    cluster = np.r_[0, 0, 2, 2, 4, 4, np.arange(6, 80)]
    return replace(inputs, samples=samples, unreadable=broken, duplicate_pairs=pairs, cluster=cluster)


def nothing() -> Inputs:
    return make_inputs([], pred_probs=np.zeros((0, 3), np.float32), embeddings=np.zeros((0, 4), np.float32))


def one_class() -> Inputs:
    return planted(30, 1, 0.0, seed=1)[0]


def two_images() -> Inputs:
    probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    return make_inputs([0, 1], ["cat", "dog"], probs, np.eye(2, dtype=np.float32))


def all_identical() -> Inputs:
    probs = np.full((40, 3), 1 / 3, dtype=np.float32)
    pairs = pairs_table(*[(0, i, "exact", 0.0) for i in range(1, 40)])
    return make_inputs(np.arange(40) % 3, pred_probs=probs, embeddings=np.ones((40, 4), np.float32), pairs=pairs)


def no_labels() -> Inputs:
    probs = np.full((25, 3), 1 / 3, dtype=np.float32)
    return make_inputs(np.full(25, -1), pred_probs=probs, embeddings=np.eye(25, dtype=np.float32))


def nothing_measured() -> Inputs:
    inputs = ordinary()
    samples = inputs.samples.copy()
    for name in samples.select_dtypes("float32"):
        samples[name] = np.float32("nan")
    unknown = replace(inputs.statistics, margin=np.full(80, np.nan, np.float32), judged=np.zeros(80, bool))
    return replace(inputs, samples=samples, statistics=unknown)


SITUATIONS = [ordinary, nothing, one_class, two_images, all_identical, no_labels, nothing_measured]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", list(DETECTORS))
def test_every_detector_keeps_the_contract(name: str, situation) -> None:
    of_sets = bool({"label_sets", "counts"} & set(DETECTORS[name].needs))
    makers = {"label_sets": with_label_sets, "counts": with_counts}
    make = next((maker for need, maker in makers.items() if need in DETECTORS[name].needs), with_boxes)
    inputs = make(situation())
    table = DETECTORS[name].find(inputs)
    again = DETECTORS[name].find(inputs)
    pd.testing.assert_frame_equal(table, again)
    assert list(table.columns) == DETECTOR_COLUMNS
    assert (table["issue"] == name).all()
    assert table["score"].between(0, 1).all()
    assert table["is_issue"].dtype == bool
    known = set(inputs.samples["sample_id"]) | set(inputs.unreadable["sample_id"])
    assert set(table["sample_id"]) <= known
    # Of several labels, one row each; a missing one is known by its class, a count by what it says.
    assert not table.duplicated(["sample_id", *["annotation_id", "given_label", "suggestion"] * of_sets]).any()
    for text in table["evidence"]:
        assert isinstance(json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON")), dict)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_ranks_count_from_one_and_flagged_rows_come_first(situation) -> None:
    table, _ = find_issues(situation())
    assert list(table.columns) == ISSUE_COLUMNS
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    assert table["is_issue"].is_monotonic_decreasing


def test_names_in_the_registry_are_those_in_the_records() -> None:
    assert {name: detector.name for name, detector in DETECTORS.items()} == {name: name for name in DETECTORS}
    assert all(detector.title for detector in DETECTORS.values())


def test_a_conflict_between_identical_pictures_ranks_before_everything_else() -> None:
    inputs = ordinary()
    labels = inputs.labels.copy()
    labels[1] = (labels[0] + 1) % 4
    table, _ = find_issues(replace(inputs, labels=labels))
    assert table["issue"].head(2).tolist() == ["conflicting_duplicate"] * 2
    assert set(table["sample_id"].head(2)) == {"s000000", "s000001"}


def test_equal_scores_are_ranked_by_sample_id_whatever_the_order_of_rows() -> None:
    def find(inputs: Inputs) -> pd.DataFrame:
        rows = np.array([7, 3, 5])
        return issue_table("mine", inputs, rows, np.full(3, 0.5), np.ones(3, bool), [{}] * 3)

    mine = Detector(name="mine", needs=(), find=find, title="mine", priority=1)
    table, _ = find_issues(ordinary(), detectors={"mine": mine})
    assert table["sample_id"].tolist() == ["s000003", "s000005", "s000007"]


def test_the_ranking_of_labels_goes_on_below_the_flags() -> None:
    inputs = ordinary()
    table, _ = find_issues(inputs, names=["label_error", "dark"])
    assert (table["issue"] == "label_error").sum() == (inputs.labels >= 0).sum()
    rest = table[~table["is_issue"]]
    assert rest["score"].is_monotonic_increasing
    assert len(rest) > 50


def test_a_detector_without_its_inputs_is_skipped_and_says_why() -> None:
    bare = replace(ordinary(), statistics=None, embeddings=None)
    table, skipped = find_issues(bare)
    assert skipped == {
        "label_error": "no model was trained",
        "outlier": "no model was trained",
    }
    assert "label_error" not in set(table["issue"])


def test_an_unknown_issue_name_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r"no issue called 'colour'.*label_error"):
        find_issues(ordinary(), names=["colour"])


def test_scores_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(AssertionError, match="must lie in"):
        issue_table("mine", ordinary(), np.array([0]), np.array([np.nan]), np.array([True]), [{}])
