"""Counts as a ladder of yes or noes, and how far each count can be trusted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curation.detectors import odd_count
from curation.explain import explain
from curation.scoring.count_health import count_accuracy, count_health
from curation.scoring.counts import MOST_STEPS, Counts, count_labels, judge_counts
from tests.detectors.building import make_inputs, samples_table, with_counts


def annotations(*lines):
    """From (row of the sample, label): a table with these columns only."""
    table = pd.DataFrame([(f"s{row:06d}", label) for row, label in lines], columns=["sample_id", "label"])
    return table.astype("str")


def world(count=300, seed=0, wrong=0.1):
    """Counts of two classes, one that hardly varies and one that does, and a model that is one off on average."""
    random = np.random.default_rng(seed)
    true = np.stack([random.binomial(1, 0.95, count), random.poisson(6, count)], axis=1)
    believed = true + random.normal(0, [0.2, 1.0], true.shape)
    given = true.copy()
    is_wrong = random.random(true.shape) < wrong
    given[is_wrong] += np.where(random.random(is_wrong.sum()) < 0.5, 3, 2)
    steps = np.array([3, 12])
    counts = Counts(given, steps)
    asked = np.concatenate([np.arange(1, s + 1) for s in steps])
    width = np.repeat([0.2, 1.0], steps)
    probs = 1 / (1 + np.exp(-1.7 * (np.repeat(believed, steps, axis=1) - asked + 0.5) / width))
    return counts, probs, true, is_wrong


def test_a_picture_has_as_many_as_it_has_annotations_and_none_where_it_has_none():
    counts = count_labels(annotations((0, "dot"), (0, "dot"), (2, "bar")), samples_table(3), ["bar", "dot"])
    assert counts.given.tolist() == [[0, 2], [0, 0], [1, 0]]
    assert counts.known.all()
    assert counts.steps.tolist() == [1, 2]
    assert counts.ladder().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert counts.ends.tolist() == [0, 1, 3]


def test_a_split_in_which_nothing_was_counted_is_unknown():
    samples = samples_table(3).assign(split=pd.Series(["train", "train", "test"], dtype="str"))
    counts = count_labels(annotations((0, "dot")), samples, ["dot"])
    assert counts.given.tolist() == [[1], [0], [-1]]
    assert counts.ladder().tolist() == [[1], [0], [-1]]


def test_the_ladder_ends_however_large_a_count_is():
    lines = [(0, "dot")] * 500 + [(row, "dot") for row in range(1, 20)]
    counts = count_labels(annotations(*lines), samples_table(20), ["dot"])
    assert counts.given[0, 0] == 500
    assert counts.steps[0] == MOST_STEPS


def test_wrong_counts_come_first_and_what_the_model_expects_is_proposed():
    counts, probs, true, is_wrong = world()
    quality = judge_counts(probs, counts, np.ones(probs.shape, bool))
    rank = np.argsort(quality.score.ravel())[: is_wrong.sum()]
    assert is_wrong.ravel()[rank].mean() > 0.7
    assert (quality.likely == true)[is_wrong].mean() > 0.5
    assert (quality.likely != np.minimum(counts.given, counts.steps)).all()
    assert 0.5 < (1 - quality.score).sum() / is_wrong.sum() < 2
    flagged = is_wrong[quality.is_issue]
    assert flagged.mean() > 0.6


def test_counts_that_the_model_cannot_tell_apart_are_not_doubted():
    counts, probs, _, _ = world(wrong=0.0)
    unsure = np.tile(probs.mean(axis=0), (len(probs), 1))
    quality = judge_counts(unsure, counts, np.ones(probs.shape, bool))
    usual = np.abs(counts.given[:, 1] - 6) <= 2
    assert not quality.is_issue[usual, 1].any()


def test_what_no_model_could_judge_is_no_suspect():
    counts, probs, _, _ = world(count=40)
    judged = np.ones(probs.shape, bool)
    judged[:, :3] = False
    judged[5] = False
    quality = judge_counts(probs, counts, judged)
    assert (quality.score[:, 0] == 1).all()
    assert quality.score[5, 1] == 1
    assert not quality.is_issue[~quality.judged].any()
    nothing = judge_counts(probs, counts, np.zeros(probs.shape, bool))
    assert (nothing.score == 1).all()


def test_the_slope_of_the_fit_is_that_of_its_loss():
    """A wrong gradient would end the search early, and nobody would see it: shaken starts end in the same place."""
    counts, probs, _, _ = world(count=400)
    first = judge_counts(probs, counts, np.ones(probs.shape, bool))
    order = np.random.default_rng(3).permutation(400)
    other = judge_counts(probs[order], Counts(counts.given[order], counts.steps), np.ones(probs.shape, bool))
    assert np.allclose(first.score[order], other.score, atol=1e-3)
    assert np.allclose(first.wrong_rate, other.wrong_rate, atol=1e-3)
    assert 0.03 < first.wrong_rate.mean() < 0.3


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_pictures_are_harmless(count):
    counts = Counts(np.zeros((count, 2), np.int64), np.array([1, 2]))
    quality = judge_counts(np.full((count, 3), 0.5), counts, np.ones((count, 3), bool))
    assert quality.score.shape == (count, 2)
    assert count_health(counts, quality, ["a", "b"])["labels"] == 2 * count


def test_health_counts_what_is_probably_wrong_class_by_class():
    counts, probs, _, is_wrong = world()
    quality = judge_counts(probs, counts, np.ones(probs.shape, bool))
    found = count_health(counts, quality, ["lamp", "bottle"])
    assert (found["labels"], found["pictures"]) == (600, 300)
    assert found["objects"] == counts.given.sum()
    assert sum(line["flagged"] for line in found["classes"]) == found["flagged"]
    assert found["label_health"] == pytest.approx(1 - is_wrong.mean(), abs=0.1)
    near = count_accuracy(counts, quality)
    assert near["mean_absolute_error"] < near["chance"]


def test_a_finding_says_what_was_given_and_what_is_expected():
    given = np.zeros((60, 1), np.int64)
    given[::2] = 1
    given[0] = 3
    inputs = with_counts(make_inputs(np.zeros(60, int), ["cola"]), given)
    probs = np.tile(np.where(given[:, :1] > 0, 0.95, 0.05), (1, 3)) * [1, 0.02, 0.01]
    quality = judge_counts(probs, inputs.counts, np.ones(probs.shape, bool))
    table = odd_count.find(replace(inputs, count_quality=quality)).sort_values("score", ignore_index=True)
    first = table.loc[0]
    assert (first["given_label"], first["suggestion"], first["annotation_id"]) == ("3 x cola", "1 x cola", "")
    assert first["is_issue"]
    facts = json.loads(first["evidence"])
    assert (facts["class"], facts["given"], facts["likely"]) == ("cola", 3, 1)
    assert explain(first).startswith("3 x “cola” given; the model expects 1 (on average ")


def test_whether_there_is_any_is_known_better_than_how_many():
    counts, probs, _, _ = world(wrong=0.02)
    given = counts.given.copy()
    probs[0, 3:] = 0.001  # none of the second class, whose counts spread widely
    given[0, 1] = 1
    probs[1, 3:] = [0.999] * 5 + [0.001] * 7  # five of it
    given[1, 1] = 6
    quality = judge_counts(probs, Counts(given, counts.steps), np.ones(probs.shape, bool))
    assert quality.is_issue[0, 1]
    assert quality.likely[0, 1] == 0
    assert not quality.is_issue[1, 1]
