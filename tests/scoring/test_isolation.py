"""Isolation: groups that are far from everything are alone, small classes and long tails are not."""

import numpy as np
import pytest

from curation.scoring.isolation import isolation, principal_components, shrunk_directions, whitened_directions
from curation.training.appearance import describe


def _set(count=400, size=8, seed=0):
    """Two classes, each a cloud."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return (rng.normal(size=(count, size)) + 4 * labels[:, None]).astype(np.float32), labels


def _alone(space, labels, cluster=None):
    return np.flatnonzero(isolation(space, labels, np.arange(len(space)) if cluster is None else cluster).z > 4)


def test_an_ordinary_set_has_nobody_alone():
    assert len(_alone(*_set())) == 0


@pytest.mark.parametrize("members", [1, 8])
def test_a_small_group_far_from_everything_is_alone_however_close_its_members_are(members):
    space, labels = _set()
    space[:members] = 60 + 0.01 * space[:members]
    assert _alone(space, labels).tolist() == list(range(members))


def test_a_small_class_is_not_alone():
    space, labels = _set(2000)
    space[:40] = 60 + np.random.default_rng(1).normal(size=(40, 8))
    assert _alone(space, labels).tolist() == list(range(40))
    labels[:40] = 2
    assert len(_alone(space, labels)) == 0


def test_duplicates_are_no_company():
    space, labels = _set(4000)
    cluster = np.arange(len(space))
    space[:60], cluster[:60] = 60, 0
    assert _alone(space, labels, cluster).tolist() == list(range(60))
    assert len(_alone(space, labels)) == 0


def test_a_long_tail_is_not_full_of_outliers():
    space, labels = _set(2000)
    space *= np.exp(0.5 * np.random.default_rng(1).normal(size=(2000, 1))).astype(np.float32)
    assert len(_alone(space, labels)) <= 2


def test_large_sets_are_measured_against_a_sample():
    space, labels = _set(12_000)
    space[17] = 60
    assert _alone(space, labels).tolist() == [17]


@pytest.mark.parametrize("count", [0, 1, 19, 25])
def test_tiny_and_identical_sets_have_nobody_alone(count):
    space, labels = np.ones((count, 4), dtype=np.float32), np.zeros(count, dtype=np.int64)
    found = isolation(space, labels, np.arange(count))
    assert (found.z == 0).all()


@pytest.mark.parametrize("prepare", [whitened_directions, shrunk_directions])
def test_spaces_are_finite_whatever_the_embeddings(prepare):
    random = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    for embeddings in (random, np.zeros((50, 3), np.float32), random[:, :2], 1e30 * random):
        assert np.isfinite(prepare(embeddings)).all()


def test_a_photo_among_drawings_looks_different_whatever_its_label():
    rng = np.random.default_rng(0)
    pixels = np.full((120, 32, 32, 3), 255, dtype=np.uint8)
    for picture in pixels:
        x, y = rng.integers(2, 20, 2)
        picture[y : y + 10, x : x + 3] = 30
    pixels[7] = rng.integers(0, 255, (32, 32, 3))
    found = isolation(principal_components(describe(pixels)), np.arange(120) % 3, np.arange(120))
    assert found.z.argmax() == 7
    assert found.z[7] > 4


def test_appearance_takes_any_size_and_constant_pictures():
    for size in (16, 48, 96):
        described = describe(np.full((5, size, size, 3), 9, dtype=np.uint8))
        assert described.shape == (5, 24 * 16)
        assert np.isfinite(described).all()
