"""Duplicates as issues: conflicts, leaks, which copy to keep."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from curation.detectors import conflicting_duplicate, exact_duplicate, near_duplicate, split_leak
from curation.duplicates.keeping import keep_order, propose_keep
from tests.detectors.building import make_inputs, pairs_table, samples_table


def test_twins_with_different_labels_name_each_other() -> None:
    inputs = make_inputs([0, 1, 2, 2], pairs=pairs_table((0, 1, "exact", 0.0), (2, 3, "exact", 0.0)))
    table = conflicting_duplicate.find(inputs)
    assert table["sample_id"].tolist() == ["s000000", "s000001"]
    assert table["score"].tolist() == [0.0, 0.0]
    first = json.loads(table["evidence"][0])
    assert (first["twin"], first["twin_label"]) == ("s000001", "dog")


def test_the_model_or_else_the_majority_says_which_label_to_keep() -> None:
    pairs = pairs_table((0, 1, "exact", 0.0), (0, 2, "exact", 0.0))
    assert conflicting_duplicate.find(make_inputs([0, 0, 1], pairs=pairs))["suggestion"].tolist() == ["cat"] * 3
    probs = np.array([[0.1, 0.8, 0.1]] * 3, dtype=np.float32)
    assert (
        conflicting_duplicate.find(make_inputs([0, 0, 1], pred_probs=probs, pairs=pairs))["suggestion"].tolist()
        == ["dog"] * 3
    )
    undecided = make_inputs([0, 1], pairs=pairs_table((0, 1, "exact", 0.0)))
    assert conflicting_duplicate.find(undecided)["suggestion"].tolist() == ["", ""]


def test_a_chain_of_near_twins_conflicts_even_without_a_direct_pair() -> None:
    pairs = pairs_table((0, 1, "near", 0.01), (1, 2, "near", 0.01))
    table = conflicting_duplicate.find(make_inputs([0, -1, 1], pairs=pairs))
    assert table["sample_id"].tolist() == ["s000000", "s000002"]
    assert json.loads(table["evidence"][0])["kind"] == "cluster"
    assert (table["score"] > 0).all()


def test_the_copy_with_most_pixels_is_kept() -> None:
    samples = samples_table(3, width_px=np.array([10, 99, 99], dtype="int32"))
    table = exact_duplicate.find(
        make_inputs([0, -1, 0], samples=samples, pairs=pairs_table((0, 1, "exact", 0), (1, 2, "exact", 0)))
    )
    assert dict(zip(table["sample_id"], table["suggestion"], strict=True)) == {
        "s000000": "exclude",
        "s000001": "exclude",
        "s000002": "",
    }


def test_detectors_would_keep_the_copy_that_is_proposed_to_reviewers_and_only_that() -> None:
    splits = pd.Series(["train", "test", "train", "train"], dtype="str")
    samples = samples_table(
        4, split=splits, width_px=np.array([99, 32, 32, 32], dtype="int32"), file_bytes=np.array([1, 1, 9, 5])
    )
    pairs = pairs_table((0, 1, "near", 0.1), (1, 2, "near", 0.1), (2, 3, "exact", 0.0))
    inputs = make_inputs([0] * 4, samples=samples, pairs=pairs)
    assert propose_keep(samples.assign(label="cat")).place == 1  # in the test split, though smaller
    near = near_duplicate.find(inputs)
    assert dict(zip(near["sample_id"], near["suggestion"], strict=True)) == {
        "s000000": "exclude",
        "s000001": "",
        "s000002": "exclude",
    }
    assert {json.loads(text)["keep"] for text in near["evidence"]} == {"s000001"}


def test_every_copy_has_a_place_in_its_own_cluster() -> None:
    rng = np.random.default_rng(0)
    samples = samples_table(3_000, width_px=rng.integers(30, 40, 3_000).astype("int32"))
    cluster = rng.permutation(np.arange(3_000) // 3)
    place = keep_order(samples, rng.random(3_000) < 0.9, cluster)
    for number in (0, 7, 999):
        rows = np.flatnonzero(cluster == number)
        assert sorted(place[rows]) == [0, 1, 2]
        assert samples["width_px"].iloc[rows[place[rows] == 0]].item() * 1.02 >= samples["width_px"].iloc[rows].max()


def test_near_twins_rank_by_distance_and_exact_ones_are_not_repeated() -> None:
    pairs = pairs_table((0, 1, "near", 0.05), (2, 3, "near", 0.01), (4, 5, "exact", 0.0))
    table = near_duplicate.find(make_inputs([0] * 6, pairs=pairs)).sort_values("score", kind="stable")
    assert table["sample_id"].tolist() == ["s000002", "s000003", "s000000", "s000001"]


def test_a_leak_needs_two_named_splits_and_the_larger_one_gives_way() -> None:
    samples = samples_table(5)
    samples["split"] = pd.Series(["train", "test", "train", "train", ""], dtype="str")
    pairs = pairs_table((0, 1, "exact", 0.0), (2, 3, "exact", 0.0), (3, 4, "exact", 0.0))
    table = split_leak.find(make_inputs([0] * 5, samples=samples, pairs=pairs))
    assert dict(zip(table["sample_id"], table["suggestion"], strict=True)) == {"s000000": "exclude", "s000001": ""}
