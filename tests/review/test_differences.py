"""Differences between copies are seen where they are, and compression is none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from curation.review.differences import difference


def encoded(pixels: np.ndarray, kind: str = "PNG", **settings: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, kind, **settings)
    return stream.getvalue()


SMOOTH = np.linspace(40, 200, 64)[:, None, None] + np.zeros((64, 48, 3))


def test_what_was_changed_is_red_and_nothing_else() -> None:
    edited = SMOOTH.copy()
    edited[10:26, 8:32] = 255
    overlay, share = difference(encoded(SMOOTH), encoded(edited))
    alpha = np.asarray(Image.open(io.BytesIO(overlay), formats=("PNG",)))[..., 3]
    assert (alpha[10:26, 8:32] > 0).all()
    assert share == pytest.approx(16 * 24 / (64 * 48))
    assert (alpha > 0).sum() == 16 * 24


def test_compression_and_size_are_no_difference() -> None:
    assert difference(encoded(SMOOTH), encoded(SMOOTH, "JPEG", quality=60)) == (b"", 0.0)
    small = np.asarray(Image.fromarray(SMOOTH.astype(np.uint8)).resize((24, 32)))
    assert difference(encoded(small), encoded(SMOOTH))[1] < 0.02


def test_a_copy_in_grey_differs_where_there_was_colour() -> None:
    coloured = SMOOTH.copy()
    coloured[:32, :, 0] = 255
    overlay, share = difference(encoded(coloured), encoded(coloured.mean(axis=2, keepdims=True).repeat(3, axis=2)))
    assert 0.4 < share <= 0.5
    assert overlay
