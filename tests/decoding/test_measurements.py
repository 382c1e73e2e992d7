"""Measurements of a picture against their definitions, written the plain way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from curation.decoding import Picture
from curation.decoding.measurements import _ranked, _sharpness, measure, prepare
from curation.decoding.pixel_cache import MEASUREMENTS


def picture(seed: int, width: int, height: int) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    rgb = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return Picture(rgb, width, height, "PNG")


@pytest.mark.parametrize("rank", [0, 1, 50, 98, 99])
def test_a_ranked_value_is_the_one_of_the_sorted_row(rank: int) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, top, 100, dtype=np.uint8) for top in (1, 2, 7, 255)]
    rows += [np.full(100, 255, np.uint8), np.repeat(np.arange(4, dtype=np.uint8), 25)]
    values = np.stack(rows)
    assert (_ranked(values, rank) == np.sort(values, axis=1)[:, rank]).all()


@pytest.mark.parametrize("shape", [(3, 3), (3, 9), (9, 3), (64, 85), (150, 191)])
def test_sharpness_is_the_deviation_of_the_laplacian_inside_of_the_edges(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).integers(0, 256, shape).astype(np.int16)
    height, width = shape
    laplacian = [
        4 * luma[y, x] - luma[y - 1, x] - luma[y + 1, x] - luma[y, x - 1] - luma[y, x + 1]
        for y in range(1, height - 1)
        for x in range(1, width - 1)
    ]
    assert _sharpness(luma) == pytest.approx(np.std(laplacian), rel=1e-5, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (50, 2)])
def test_a_picture_without_an_inside_has_no_sharpness(shape: tuple[int, int]) -> None:
    assert _sharpness(np.full(shape, 9, np.int16)) == 0


def test_pictures_are_measured_together_as_alone() -> None:
    pictures = [picture(seed, 60 + 30 * seed, 100) for seed in range(5)]
    prepared = [prepare(one, one, 40) for one in pictures]
    rows, values = measure(prepared, 40)
    for place, one in enumerate(prepared):
        row, value = measure([one], 40)
        assert row[0].tobytes() == rows[place].tobytes()
        assert np.array_equal(value[0], values[place])
    assert values.shape == (5, len(MEASUREMENTS))
    grey = np.asarray(pictures[0].rgb.resize((64, 64), Image.Resampling.BILINEAR).convert("L")).astype(int)
    assert np.abs(rows["grey"][0].astype(int) - grey).max() <= 1


def test_nothing_has_no_measurements() -> None:
    rows, values = measure([], 40)
    assert rows.shape == (0,)
    assert values.shape == (0, len(MEASUREMENTS))
