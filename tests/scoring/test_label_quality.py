"""Statistics, cleanlab's flags from them, the fused score and its flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scoring.label_quality import cleanlab_flags, judge_labels, wrong_range
from curation.scoring.statistics import normalized_margin, statistics_from_probs
from tests.detectors.building import planted


def cleanlab_says(labels: np.ndarray, pred_probs: np.ndarray, batch_size: int = 10000) -> np.ndarray:
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched

    return find_label_issues_batched(
        labels, pred_probs, n_jobs=1, verbose=False, return_mask=True, batch_size=batch_size
    )


def some_probs(count: int, classes: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probs = random.dirichlet(np.full(classes, spread), count).astype(np.float32)
    labels = np.array([random.choice(classes, p=row / row.sum()) for row in probs.astype(np.float64)], dtype=np.int64)
    return probs, labels


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(2, 300),
    classes=st.integers(2, 12),
    spread=st.sampled_from([0.01, 0.1, 1.0, 10.0]),
    seed=st.integers(0, 10**6),
    batch_size=st.sampled_from([7, 64, 10000]),
)
def test_flags_equal_those_of_cleanlab(count: int, classes: int, spread: float, seed: int, batch_size: int) -> None:
    probs, labels = some_probs(count, classes, spread, seed)
    ours = cleanlab_flags(statistics_from_probs(probs, labels, block=50), labels, classes)
    np.testing.assert_array_equal(ours, cleanlab_says(labels, probs, batch_size))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6), levels=st.integers(2, 5))
def test_flags_equal_those_of_cleanlab_when_probabilities_tie(seed: int, classes: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    probs = random.integers(0, levels, (80, classes)).astype(np.float32) + 1e-3
    probs /= probs.sum(axis=1, keepdims=True)
    labels = random.integers(0, classes, 80)
    ours = cleanlab_flags(statistics_from_probs(probs, labels), labels, classes)
    np.testing.assert_array_equal(ours, cleanlab_says(labels, probs))


def test_flags_equal_those_of_cleanlab_when_a_class_has_no_sample() -> None:
    probs, labels = some_probs(200, 6, 0.3, seed=1)
    labels[labels == 3] = 0
    ours = cleanlab_flags(statistics_from_probs(probs, labels), labels, 6)
    np.testing.assert_array_equal(ours, cleanlab_says(labels, probs))


def test_samples_without_a_label_change_no_flag() -> None:
    probs, labels = some_probs(200, 4, 0.3, seed=2)
    alone = cleanlab_flags(statistics_from_probs(probs, labels), labels, 4)
    more_probs = np.concatenate([probs, probs[:50]])
    more_labels = np.concatenate([labels, np.full(50, -1)])
    together = cleanlab_flags(statistics_from_probs(more_probs, more_labels), more_labels, 4)
    np.testing.assert_array_equal(together[:200], alone)
    assert not together[200:].any()


def test_statistics_do_not_depend_on_the_block_nor_on_a_memory_map(tmp_path) -> None:
    probs, labels = some_probs(101, 7, 0.5, seed=3)
    np.save(tmp_path / "p.npy", probs)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    whole, parts = statistics_from_probs(probs, labels), statistics_from_probs(mapped, labels, block=10)
    for name in ("self_confidence", "top_class", "top_prob", "margin", "judged"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_the_most_probable_classes_come_first_and_ties_go_to_the_lower_id() -> None:
    probs = np.array([[0.1, 0.4, 0.4, 0.1, 0.0]], dtype=np.float32)
    found = statistics_from_probs(probs, np.array([2]))
    assert found.top_class.tolist() == [[1, 2, 0, 3]]
    assert found.self_confidence[0] == np.float32(0.4)


def test_rows_that_are_not_finite_count_as_not_judged() -> None:
    probs = np.array([[0.5, 0.5], [np.nan, 0.5], [np.inf, 0.0]], dtype=np.float32)
    found = statistics_from_probs(probs, np.array([0, 0, 1]))
    assert found.judged.tolist() == [True, False, False]
    assert np.isfinite(found.self_confidence).all()
    assert np.isfinite(found.top_prob).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_normalized_margin_is_that_of_cleanlab(classes: int) -> None:
    from cleanlab.rank import get_label_quality_scores

    probs, labels = some_probs(100, classes, 0.5, seed=4)
    theirs = get_label_quality_scores(labels, probs, method="normalized_margin")
    ours = normalized_margin(statistics_from_probs(probs, labels), labels)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def flags_against_truth(classes: int, wrong: float, seed: int) -> tuple[float, float]:
    inputs, is_wrong = planted(2000, classes, wrong, seed)
    quality = judge_labels(inputs.statistics, inputs.labels, classes)
    hits = (quality.is_issue & is_wrong).sum()
    return hits / max(quality.is_issue.sum(), 1), hits / is_wrong.sum()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("classes", "wrong"), [(10, 0.05), (10, 0.4), (50, 0.1)])
def test_planted_errors_are_flagged_and_little_else(classes: int, wrong: float, seed: int) -> None:
    precision, recall = flags_against_truth(classes, wrong, seed)
    assert precision > 0.85
    assert recall > 0.85


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_a_clean_set_has_few_flags(classes: int) -> None:
    inputs, _ = planted(2000, classes, 0.0, seed=3)
    assert judge_labels(inputs.statistics, inputs.labels, classes).is_issue.mean() < 0.02


def test_a_clean_set_that_is_hard_has_few_flags() -> None:
    inputs, _ = planted(2000, 5, 0.0, seed=3, size=3)
    assert (inputs.statistics.top_class[:, 0] != inputs.labels).mean() > 0.15
    assert judge_labels(inputs.statistics, inputs.labels, 5).is_issue.mean() < 0.02


def test_flagged_labels_are_those_with_the_lowest_scores() -> None:
    inputs, _ = planted(500, 5, 0.1, seed=4)
    quality = judge_labels(inputs.statistics, inputs.labels, 5)
    assert quality.score[quality.is_issue].max() < quality.score[~quality.is_issue].min()
    assert quality.score[quality.is_issue].max() < quality.threshold


def test_labels_that_no_model_could_judge_are_not_flagged() -> None:
    inputs, _ = planted(300, 4, 0.2, seed=5)
    judged = np.arange(300) % 2 == 0
    quality = judge_labels(replace(inputs.statistics, judged=judged), inputs.labels, 4)
    assert not quality.is_issue[~judged].any()
    assert np.isfinite(quality.score).all()


def test_margins_change_the_order_and_their_unit_does_not() -> None:
    inputs, is_wrong = planted(500, 5, 0.1, seed=6)
    margin = np.where(is_wrong, -1.0, 1.0) + np.random.default_rng(0).normal(size=500)
    with_margin = judge_labels(replace(inputs.statistics, margin=margin.astype(np.float32)), inputs.labels, 5)
    scaled = judge_labels(replace(inputs.statistics, margin=(8 * margin).astype(np.float32)), inputs.labels, 5)
    without = judge_labels(inputs.statistics, inputs.labels, 5)
    np.testing.assert_allclose(with_margin.score, scaled.score, atol=1e-9)
    assert np.abs(with_margin.score - without.score).max() > 0.01


def test_an_overconfident_network_keeps_its_order_of_classes() -> None:
    # Nearly always sure and often wrong: the most likely temperature is so high that all classes would look alike.
    random = np.random.default_rng(7)
    labels = random.integers(0, 10, 1000)
    shown = np.where(random.random(1000) < 0.6, random.integers(0, 10, 1000), labels)
    probs = np.full((1000, 10), 1e-7, dtype=np.float32)
    probs[np.arange(1000), shown] = 1.0
    quality = judge_labels(statistics_from_probs(probs, labels), labels, 10)
    assert quality.is_issue[shown != labels].mean() > 0.9
    assert not quality.is_issue[shown == labels].any()


@pytest.mark.parametrize("wrong", [0, 5])
def test_labels_beyond_doubt_are_not_estimated_to_be_wrong(wrong: int) -> None:
    # A model that is sure of everything, and contradicts `wrong` labels: nothing lies between those and the rest.
    labels = np.arange(1000) % 4
    shown = labels.copy()
    shown[:wrong] = (labels[:wrong] + 1) % 4
    probs = np.full((1000, 4), 1e-6, dtype=np.float32)
    probs[np.arange(1000), shown] = 1 - 3e-6
    quality = judge_labels(statistics_from_probs(probs, labels), labels, 4)
    assert quality.estimated_wrong == pytest.approx(wrong, abs=1)
    assert np.flatnonzero(quality.is_issue).tolist() == list(range(wrong))


def test_the_range_of_wrong_labels_is_counted_where_the_model_is_sure_and_everywhere() -> None:
    labels = np.zeros(100, dtype=np.int64)
    first, confidence = np.zeros(100, dtype=int), np.full(100, 0.6)
    confidence[:25] = 0.9
    first[[0, 1]] = 1  # 2 of the 25 that it is sure of
    first[40:60] = 1  # 20 of the others
    probs = np.where(np.eye(2)[first] == 1, confidence[:, None], 1 - confidence[:, None]).astype(np.float32)
    statistics = statistics_from_probs(probs, labels)
    assert wrong_range(statistics, labels) == (pytest.approx(8), pytest.approx(22))
    unknown = np.concatenate([labels, -np.ones(50, dtype=np.int64)])
    padded = statistics_from_probs(np.concatenate([probs, probs[:50]]), unknown)
    assert wrong_range(padded, unknown) == (pytest.approx(8), pytest.approx(22))
    half = replace(statistics, judged=np.arange(100) % 2 == 0)
    assert wrong_range(half, labels) == (pytest.approx(100 / 13, rel=0.1), pytest.approx(22))
