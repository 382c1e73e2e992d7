"""Label sets as arrays, odd combinations, and how far each yes or no is trusted."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.records import empty_annotations, empty_samples
from curation.scoring.label_sets import LabelSets, label_sets, odd_combinations
from curation.scoring.set_health import set_accuracy, set_health
from curation.scoring.set_quality import judge_sets


def tables(labels, splits=None):
    """Samples and annotations of pictures with these lists of labels."""
    samples = empty_samples(len(labels))
    samples["sample_id"] = pd.Series([f"s{i}" for i in range(len(labels))], dtype="str")
    samples["split"] = pd.Series(splits or [""] * len(labels), dtype="str")
    lines = [(f"s{i}", name) for i, names in enumerate(labels) for name in names]
    annotations = empty_annotations(len(lines))
    annotations["sample_id"] = pd.Series([line[0] for line in lines], dtype="str")
    annotations["label"] = pd.Series([line[1] for line in lines], dtype="str")
    annotations["annotation_id"] = pd.Series([f"a{i}" for i in range(len(lines))], dtype="str")
    return annotations, samples


def test_each_label_is_found_again_by_picture_and_class():
    annotations, samples = tables([["b", "a"], [], ["b"]])
    sets = label_sets(annotations.iloc[::-1], samples, ["a", "b"])
    assert sets.given.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert sets.ids(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 1])).tolist() == ["a1", "a0", "", "", "a2"]


def test_a_label_that_is_there_twice_counts_once():
    annotations, samples = tables([["a", "a"], ["b"]])
    sets = label_sets(annotations, samples, ["a", "b"])
    assert sets.given.tolist() == [[1, 0], [0, 1]]
    assert sets.ids(np.array([0]), np.array([0])).tolist() == ["a0"]


def test_a_split_without_any_label_has_not_been_labelled():
    annotations, samples = tables([["a"], [], [], []], ["train", "train", "test", "test"])
    assert label_sets(annotations, samples, ["a"]).given.tolist() == [[1], [0], [-1], [-1]]


def dealt(count, seed=0):
    """Classes 0 and 1 never together, class 2 always with class 3, class 4 by chance."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, 5), dtype=np.int8)
    labels[np.arange(count), rng.integers(0, 2, count)] = 1
    labels[:, 3] = rng.random(count) < 0.5
    labels[:, 2] = labels[:, 3] * (rng.random(count) < 0.6)
    labels[:, 4] = rng.random(count) < 0.5
    return labels


def test_exceptions_of_never_and_always_are_found_and_nothing_else():
    labels = dealt(300)
    labels[7, :2] = 1
    labels[9, 2:4] = (1, 0)
    found = odd_combinations(labels)
    never = found[found["kind"] == "never"]
    assert sorted(zip(never["row"], never["label"], never["other"], strict=True)) == [(7, 0, 1), (7, 1, 0)]
    always = found[found["kind"] == "always"]
    assert (9, 2, 3) in set(zip(always["row"], always["label"], always["other"], strict=True))
    assert set(found["row"]) == {7, 9}
    assert (found["chance"] < 0.01).all()
    assert (found["pictures"] <= 0.1 * found["expected"]).all()


def test_few_pictures_prove_nothing():
    labels = dealt(12)
    labels[0, :2] = 1
    assert odd_combinations(labels).empty


@given(st.integers(0, 2000))
@settings(max_examples=20, deadline=None)
def test_classes_dealt_by_chance_are_hardly_ever_odd(seed):
    labels = (np.random.default_rng(seed).random((200, 6)) < 0.3).astype(np.int8)
    assert len(odd_combinations(labels)) == 0


def noisy(count, shares, wrong, seed=0, apart=2.5):
    """Given labels, what is true, and probabilities of a model that is right in most cases."""
    rng = np.random.default_rng(seed)
    true = rng.random((count, len(shares))) < shares
    logit = (
        np.where(true, apart, -apart)
        + np.log(np.array(shares) / (1 - np.array(shares)))
        + rng.normal(0, 1.2, true.shape)
    )
    flipped = rng.random(true.shape) < wrong
    return (true ^ flipped).astype(np.int8), flipped, 1 / (1 + np.exp(-logit))


def test_planted_errors_have_the_lowest_scores_and_their_number_is_estimated():
    labels, flipped, probs = noisy(1500, [0.5, 0.4, 0.3], 0.08)
    found = judge_sets(probs, labels)
    assert found.score[flipped].mean() < 0.35
    assert found.score[~flipped].mean() > 0.9
    assert found.is_issue[flipped].mean() > 0.6
    assert (1 - found.score).sum() == pytest.approx(flipped.sum(), rel=0.35)
    assert found.wrong_rate.mean() == pytest.approx(0.08, abs=0.04)


def test_labels_of_a_rare_class_are_not_flagged_for_being_rare():
    labels, _, probs = noisy(3000, [0.5, 0.4, 0.01], 0.0, apart=3.5)
    found = judge_sets(probs, labels)
    rare = labels[:, 2] > 0
    assert (probs[rare, 2] < 0.5).mean() > 0.7
    assert found.is_issue[rare, 2].mean() < 0.1


def test_margins_and_neighbours_have_a_say():
    labels, flipped, probs = noisy(400, [0.5, 0.5], 0.1)
    blind = np.full(probs.shape, 0.5)
    margin = np.where(flipped, -1.0, 1.0) + np.random.default_rng(0).normal(0, 0.1, probs.shape)
    by_margin = judge_sets(np.clip(probs, 0.2, 0.8), labels, margin=margin)
    assert by_margin.score[flipped].max() < by_margin.score[~flipped].mean()
    true = (labels > 0) ^ flipped
    alike = [np.flatnonzero((true == true[i]).all(axis=1))[:10] for i in range(400)]
    by_neighbours = judge_sets(blind, labels, neighbours=np.array(alike))
    assert by_neighbours.score[flipped].mean() < by_neighbours.score[~flipped].mean() - 0.3


def test_a_picture_is_right_if_all_of_it_is():
    labels, _, probs = noisy(200, [0.5, 0.4, 0.3], 0.1)
    found = judge_sets(probs, labels)
    assert found.picture_score == pytest.approx(found.score.astype(float).prod(axis=1), rel=1e-4)


def test_unknown_and_unjudged_entries_are_never_flagged():
    labels, _, probs = noisy(100, [0.5, 0.4], 0.2)
    labels[:10] = -1
    judged = np.ones(labels.shape, dtype=bool)
    judged[:, 1] = False
    found = judge_sets(probs, labels, judged)
    assert (found.score[:10] == 1).all()
    assert not found.is_issue[:10].any()
    assert not found.is_issue[:, 1].any()
    given_unjudged = found.score[10:, 1][labels[10:, 1] > 0]
    assert given_unjudged == pytest.approx(found.score[10:, 0][labels[10:, 0] > 0].mean(), rel=1e-4)
    nothing = judge_sets(probs, labels, np.zeros(labels.shape, dtype=bool))
    assert not nothing.is_issue.any()


def test_probabilities_of_nought_and_one_and_no_number_give_scores():
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=np.int8)
    probs = np.array([[0.0, 1.0], [np.nan, 1.0], [1.0, 0.0], [0.5, np.nan]])
    assert np.isfinite(judge_sets(probs, labels).score).all()


def test_health_counts_by_class_and_adds_up():
    labels, flipped, probs = noisy(500, [0.5, 0.4, 0.3], 0.1)
    sets = LabelSets(labels, np.zeros(0, np.int64), np.zeros(0, object), odd_combinations(labels))
    quality = judge_sets(probs, labels)
    health = set_health(sets, quality, ["a", "b", "c"])
    assert health["labels"] == labels.sum()
    assert health["flagged"] == quality.is_issue.sum()
    assert sum(line["flagged"] for line in health["classes"]) == health["flagged"]
    assert sum(line["estimated_wrong"] for line in health["classes"]) == pytest.approx(health["estimated_wrong"], abs=1)
    assert health["estimated_wrong"] == pytest.approx(flipped.sum(), rel=0.4)
    assert [line["label_health"] for line in health["classes"]] == sorted(
        line["label_health"] for line in health["classes"]
    )
    assert set_health(sets, None, ["a", "b", "c"])["label_health"] is None


def test_accuracy_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    labels, _, probs = noisy(300, [0.5, 0.1], 0.1)
    sets = LabelSets(labels, np.zeros(0, np.int64), np.zeros(0, object), odd_combinations(labels))
    found = set_accuracy(sets, judge_sets(probs, labels), probs)
    expected = np.mean([average_precision_score(labels[:, k], probs[:, k]) for k in range(2)])
    assert found["mean_average_precision"] == pytest.approx(expected, abs=1e-4)


def test_where_errors_are_hard_to_tell_more_is_flagged():
    clear = judge_sets(*reversed(noisy(1500, [0.5, 0.4], 0.1, apart=4.0)[::2]))
    hard = judge_sets(*reversed(noisy(1500, [0.5, 0.4], 0.1, apart=0.8)[::2]))
    assert clear.threshold < hard.threshold
    assert clear.threshold >= 0.6
    assert hard.threshold <= 0.75
