"""Folds: classes spread evenly, groups kept together, the same on every machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import SettingsError
from curation.training.folds import assign_folds, combine_groups, ungroup_folds


def _counts(labels, fold, n_folds):
    table = np.zeros((labels.max() + 1, n_folds), dtype=int)
    np.add.at(table, (labels, fold), 1)
    return table


def test_every_class_is_spread_evenly_and_folds_have_the_same_size():
    labels = np.repeat([0, 1, 2], [103, 57, 11])
    fold = assign_folds(labels, np.arange(len(labels)), 5, seed=0)
    counts = _counts(labels, fold, 5)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert np.ptp(np.bincount(fold)) <= 1


def test_duplicates_share_a_fold():
    labels = np.tile([0, 1], 50)
    groups = np.repeat(np.arange(25), 4)
    fold = assign_folds(labels, groups, 5, seed=0)
    assert all(len(set(fold[groups == g])) == 1 for g in range(25))
    assert np.ptp(np.bincount(fold)) <= 4


def test_a_class_smaller_than_the_folds_lies_in_different_folds():
    fold = assign_folds(np.array([0] * 40 + [1] * 3), np.arange(43), 5, seed=0)
    assert len(set(fold[-3:])) == 3


def test_a_seed_decides_the_folds():
    labels, groups = np.arange(100) % 7, np.arange(100) // 2
    first = assign_folds(labels, groups, 5, seed=1)
    assert (first == assign_folds(labels, groups, 5, seed=1)).all()
    assert (first != assign_folds(labels, groups, 5, seed=2)).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_samples_than_folds(count):
    fold = assign_folds(np.zeros(count, dtype=np.int64), np.arange(count), 5, seed=0)
    assert len(set(fold)) == count


def test_one_fold_is_refused():
    with pytest.raises(SettingsError, match="at least 2"):
        assign_folds(np.zeros(3, dtype=np.int64), np.arange(3), 1, seed=0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 12)), max_size=60), st.integers(2, 6), st.integers(0, 3))
def test_groups_are_never_split_and_everybody_has_a_fold(rows, n_folds, seed):
    labels = np.array([label for label, _ in rows], dtype=np.int64)
    groups = np.array([group for _, group in rows], dtype=np.int64)
    fold = assign_folds(labels, groups, n_folds, seed)
    assert ((fold >= 0) & (fold < n_folds)).all()
    assert all(len(set(fold[groups == g])) == 1 for g in set(groups.tolist()))


def test_groups_that_share_a_member_become_one():
    cluster = np.array([0, 1, 1, 2, 3])
    patient = np.array(["a", "", "b", "b", ""], dtype=object)
    assert combine_groups(cluster, patient).tolist() == [0, 1, 1, 1, 2]


def test_an_empty_group_name_is_no_group():
    assert combine_groups(np.arange(3), np.array(["", "", ""], dtype=object)).tolist() == [0, 1, 2]


def test_ungrouped_folds_move_only_members_of_groups_and_stay_level():
    labels = np.repeat([0, 1], 60)
    groups = np.concatenate([np.repeat(np.arange(10), 3), np.arange(10, 100)])
    fold = assign_folds(labels, groups, 5, seed=0)
    alone = ungroup_folds(fold, labels, groups, seed=0)
    assert (alone[30:] == fold[30:]).all()
    assert sum(len(set(alone[groups == g])) > 1 for g in range(10)) >= 8
    counts = _counts(labels, alone, 5)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert (alone == ungroup_folds(fold, labels, groups, seed=0)).all()


def test_without_groups_there_are_no_ungrouped_folds():
    labels = np.array([0, 1, 0, 1])
    assert ungroup_folds(np.array([0, 0, 1, 1]), labels, np.arange(4), seed=0) is None
