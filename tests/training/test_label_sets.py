"""Several labels per picture in training: folds, loss, calibration, heads."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import SettingsError
from curation.training.crossval import out_of_fold
from curation.training.folds import CrossValidation
from curation.training.label_sets import calibrate, known_sets, prior_log_odds, set_loss, set_margin, sigmoid, trainable
from curation.training.plan import choose_plan
from curation.training.set_folds import assign_set_folds


def random_sets(count, shares, seed=0):
    return (np.random.default_rng(seed).random((count, len(shares))) < shares).astype(np.int8)


def counts(labels, fold, n_folds):
    return np.stack([(labels[fold == f] > 0).sum(axis=0) for f in range(n_folds)])


def test_every_class_and_the_pictures_are_spread_evenly():
    labels = random_sets(400, [0.6, 0.3, 0.05, 0.02])
    fold = assign_set_folds(labels, np.arange(400), 5, seed=0)
    assert (np.ptp(counts(labels, fold, 5), axis=0) <= [4, 3, 1, 1]).all()
    assert np.ptp(np.bincount(fold, minlength=5)) <= 12


def test_pictures_without_a_class_and_unknown_ones_are_spread_too():
    labels = np.zeros((50, 2), dtype=np.int8)
    labels[20:] = -1
    fold = assign_set_folds(labels, np.arange(50), 5, seed=0)
    assert np.bincount(fold[:20], minlength=5).tolist() == [4] * 5
    assert np.bincount(fold[20:], minlength=5).tolist() == [6] * 5


@given(st.integers(1, 60), st.integers(1, 5), st.integers(2, 6), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_group_shares_a_fold_and_seeds_decide(count, classes, n_folds, seed):
    rng = np.random.default_rng(count)
    labels = rng.integers(-1, 2, (count, classes)).astype(np.int8)
    groups = rng.integers(0, max(count // 3, 1), count)
    fold = assign_set_folds(labels, groups, n_folds, seed)
    assert ((fold >= 0) & (fold < n_folds)).all()
    assert all(len(set(fold[groups == g])) == 1 for g in set(groups.tolist()))
    assert np.array_equal(fold, assign_set_folds(labels, groups, n_folds, seed))


def test_one_fold_is_refused():
    with pytest.raises(SettingsError):
        assign_set_folds(np.ones((4, 2), np.int8), np.arange(4), 1, 0)


def test_a_network_that_says_nothing_pays_for_the_share_of_each_class():
    labels = random_sets(1000, [0.5, 0.1])
    share = (labels.sum(axis=0) + 0.5) / 1001
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share)).sum()
    loss = set_loss(labels)(torch.zeros(1000, 2), torch.from_numpy(labels))
    assert loss.mean().item() == pytest.approx(entropy, abs=1e-3)


def test_the_margin_is_the_logit_of_what_was_given():
    logits = torch.tensor([[2.0, -3.0], [1.0, 4.0]])
    assert set_margin(logits, torch.tensor([[1, 0], [0, 1]])).tolist() == [[2.0, 3.0], [-1.0, 4.0]]


def test_calibration_finds_slope_and_offsets_again():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 3, (20_000, 2))
    labels = (rng.random(z.shape) < sigmoid(0.5 * z + [1.0, -2.0])).astype(np.int8)
    slope, offset = calibrate(z, labels)
    assert slope == pytest.approx(0.5, rel=0.05)
    assert offset == pytest.approx([1.0, -2.0], abs=0.1)


def test_a_class_that_nobody_has_stays_improbable_and_finite():
    labels = np.zeros((30, 2), dtype=np.int8)
    labels[::2, 0] = 1
    slope, offset = calibrate(np.zeros((30, 2)), labels)
    assert np.isfinite([slope, *offset]).all()
    assert sigmoid(offset)[1] < 0.1
    assert np.isfinite(prior_log_odds(labels)).all()


def test_a_class_of_one_fold_is_not_known_to_its_judge():
    labels = np.array([[1, 1], [0, 1], [0, 0], [0, 0]], dtype=np.int8)
    fold = np.array([0, 0, 1, 1])
    # Class 0 and class 1 are in fold 0 only: those who judge fold 0 never saw them; those who judge fold 1 never saw
    # a picture without class 1.
    assert known_sets(labels, fold).tolist() == [[False, False], [False, False], [True, False], [True, False]]


def test_unknown_labels_are_neither_learned_nor_judged():
    labels = np.array([[1, 0], [-1, -1], [0, 1], [1, 0]], dtype=np.int8)
    assert trainable(labels).tolist() == [True, False, True, True]
    assert not known_sets(labels, np.array([0, 1, 1, 1]))[1].any()


def test_networks_judge_each_class_by_itself(tmp_path):
    rng = np.random.default_rng(0)
    labels = random_sets(120, [0.5, 0.5, 0.15], seed=1)
    pixels = rng.integers(0, 60, (120, 16, 16, 3), dtype=np.uint8)
    for k, part in enumerate((slice(0, 4), slice(6, 10), slice(12, 16))):
        pixels[labels[:, k] > 0, part] += 150
    plan = choose_plan(mode="compact", device="cpu", epochs=10, size_px=16, flip=False, n_samples=120)
    fold = assign_set_folds(labels, np.arange(120), 3, 0)
    found = out_of_fold(CrossValidation(pixels, labels, fold, 3, plan, 0, tmp_path))
    assert ((found.pred_probs > 0.5) == (labels > 0)).mean() > 0.97
    assert found.margin.shape == found.judged.shape == (120, 3)
    assert found.margin.mean() > 0
    # A killed run goes on from its folds and says the same.
    again = out_of_fold(CrossValidation(pixels, labels, fold, 3, plan, 0, tmp_path))
    assert np.array_equal(found.pred_probs, again.pred_probs)
