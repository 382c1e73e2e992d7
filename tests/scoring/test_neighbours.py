"""Nearest neighbours: exact, never a duplicate, harmless for degenerate embeddings."""

from __future__ import annotations

import numpy as np
import pytest

import curation.scoring.neighbours
from curation.scoring.neighbours import nearest


def by_hand(embeddings: np.ndarray, k: int, cluster: np.ndarray) -> np.ndarray:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    distance = 1 - unit.astype(np.float64) @ unit.T.astype(np.float64)
    distance[cluster[:, None] == cluster[None, :]] = np.inf
    return np.sort(distance, axis=1)[:, :k]


@pytest.mark.parametrize("count", [2, 5, 64, 65, 300])
def test_distances_are_those_of_comparing_all_pairs(count: int, monkeypatch) -> None:
    monkeypatch.setattr(curation.scoring.neighbours, "BLOCK_BYTES", 1 << 14)  # several blocks
    random = np.random.default_rng(count)
    embeddings = random.normal(size=(count, 8)).astype(np.float32)
    cluster = random.integers(0, count, count)
    neighbours, distances = nearest(embeddings, 4, cluster)
    expected = by_hand(embeddings, 4, cluster)
    found = np.isfinite(expected)
    np.testing.assert_allclose(distances[:, : expected.shape[1]][found], expected[found], atol=1e-5)
    assert (neighbours[:, : expected.shape[1]][~found] == -1).all()
    rows, places = np.nonzero(neighbours >= 0)
    assert (cluster[neighbours[rows, places]] != cluster[rows]).all()


def test_equal_distances_come_in_order_of_row_number() -> None:
    neighbours, distances = nearest(np.ones((5, 3), np.float32), 3)
    assert neighbours.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]
    np.testing.assert_allclose(distances, 0, atol=1e-6)


def test_pictures_of_one_duplicate_cluster_have_no_neighbours() -> None:
    neighbours, distances = nearest(np.ones((4, 3), np.float32), 2, np.zeros(4, np.int64))
    assert (neighbours == -1).all()
    assert np.isnan(distances).all()


def test_zero_and_infinite_embeddings_lie_at_distance_one() -> None:
    embeddings = np.array([[0, 0], [np.inf, 1], [1e30, 1e30], [1e-30, 1e-30]], dtype=np.float32)
    _, distances = nearest(embeddings, 3)
    np.testing.assert_allclose(distances[0], 1)
    np.testing.assert_allclose(distances[1], 1)
    np.testing.assert_allclose(distances[2], [0, 1, 1], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_have_no_neighbours(count: int) -> None:
    neighbours, distances = nearest(np.ones((count, 3), np.float32), 2)
    assert neighbours.shape == distances.shape == (count, 2)
    assert (neighbours == -1).all()
