"""Detectors of sets with several labels per picture."""

import json

import numpy as np

from curation.detectors import (
    conflicting_duplicate,
    exact_duplicate,
    find_issues,
    missing_label,
    odd_combination,
    wrong_label,
)
from tests.detectors.building import make_inputs, pairs_table, with_label_sets


def several(changes=(), count=200, **more):
    """Pictures of two classes that never meet and a third by chance; `changes`: (row, class, value)."""
    rng = np.random.default_rng(0)
    true = np.zeros((count, 3), dtype=np.int8)
    true[np.arange(count), np.arange(count) % 2] = 1
    true[:, 2] = rng.random(count) < 0.5
    probs = np.clip(np.where(true > 0, 0.95, 0.05) + rng.normal(0, 0.02, true.shape), 0.01, 0.99).astype(np.float32)
    given = true.copy()
    for row, k, value in changes:
        given[row, k] = value
    return with_label_sets(make_inputs(np.full(count, -1), pred_probs=probs, **more), given)


def test_a_label_that_is_not_there_is_to_be_removed_by_its_own_id():
    table = wrong_label.find(several([(4, 1, 1)]))
    assert len(table) == several([(4, 1, 1)]).label_sets.given.sum()
    worst = table.sort_values("score").iloc[0]
    assert (worst["annotation_id"], worst["given_label"], worst["suggestion"]) == ("a4-1", "dog", "remove")
    assert table["is_issue"].sum() == 1
    assert (table.loc[~table["is_issue"], "suggestion"] == "").all()


def test_a_class_that_is_there_and_not_given_is_suggested():
    inputs = several([(4, 0, 0)])
    table = missing_label.find(inputs)
    worst = table.sort_values("score").iloc[0]
    assert (worst["sample_id"], worst["annotation_id"], worst["given_label"], worst["suggestion"]) == (
        "s000004", "", "", "cat",
    )  # fmt: skip
    evidence = json.loads(worst["evidence"])
    assert evidence["class"] == "cat"
    assert evidence["p_there"] > 0.8
    assert "cat" not in evidence["labels"]
    assert len(table) <= inputs.label_sets.given.sum() + 1


def test_labels_that_never_meet_are_odd_and_the_label_rows_say_so():
    inputs = several([(4, 1, 1)])
    table = odd_combination.find(inputs)
    assert table["sample_id"].tolist() == ["s000004"]
    # Both are odd beside each other; the one that the model doubts is named.
    assert (table["annotation_id"].iloc[0], table["given_label"].iloc[0], table["suggestion"].iloc[0]) == (
        "a4-1", "dog", "",
    )  # fmt: skip
    rows = wrong_label.find(inputs)
    about = json.loads(rows.loc[rows["annotation_id"] == "a4-1", "evidence"].iloc[0])["combination"]
    assert (about["kind"], about["other"], about["pictures"]) == ("never", "cat", 1)


def test_copies_conflict_only_where_their_sets_differ():
    pairs = pairs_table((0, 2, "exact", 0.0), (4, 6, "exact", 0.0))
    inputs = several([(0, 2, 1), (2, 2, 1), (4, 2, 1), (6, 2, 0)], pairs=pairs)
    table = conflicting_duplicate.find(inputs)
    assert set(table["sample_id"]) == {"s000004", "s000006"}
    assert all(json.loads(text)["differs"] == ["owl"] for text in table["evidence"])
    assert (table["suggestion"] == "").all()
    twins = exact_duplicate.find(inputs)
    assert json.loads(twins["evidence"].iloc[0])["twin_label"] == "cat, owl"


def test_the_ranking_of_labels_goes_on_below_the_flags_and_nothing_is_said_to_be_lacking():
    table, skipped = find_issues(several([(4, 1, 1), (8, 0, 0)]))
    assert table["issue"].head(2).isin(["wrong_label", "missing_label"]).all()
    rest = table[~table["is_issue"]]
    assert set(rest["issue"]) == {"wrong_label", "missing_label"}
    assert rest["score"].is_monotonic_increasing
    assert "label_error" not in skipped
