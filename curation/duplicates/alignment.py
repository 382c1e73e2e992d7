"""How alike two pictures are once one is laid over the other: a coarse-to-fine fit of scale and shift, correlation.

Two things are asked of duplicates. Their layout must agree (`correlation`), and so must their details: what is left
when a smoothed copy is taken away, at 16 and at 32 pixels a side (`detail16`, `detail32`), and at 64 where both have
that much to show. Unrelated pictures that share a layout (bottles on a table, digits on black) differ in the details,
while compression, resizing and small crops leave most of them.

References
----------
Baker & Matthews (2004), Lucas-Kanade 20 years on: the fit. Ours is restricted to scale and shift of either axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.duplicates.fingerprints import interpolation

OUTSIDE = 0.13  # how far a window may reach beyond the picture, in parts of its side
_STEPS = ((16, 4), (32, 3), (64, 2))  # pixels a side, iterations
_HOPELESS_CORRELATION, _HOPELESS_DETAIL = 0.75, 0.3  # at 16 pixels: not fitted any further
_BLOCK = 32  # pairs at a time: 64 x 64 x 4 gradients of each are 2 MB, which a core's cache holds


@dataclass(frozen=True)
class Likeness:
    """Arrays over pairs.

    window : (n, 4) top, bottom, left, right: the part of a that b shows, in parts of a's sides; may reach outside
    correlation : (n,) of luma over the overlap at 32 pixels a side, in [-1, 1]
    detail16, detail32, detail64 : (n,) correlation of the details, in [-1, 1]; 0 for pairs given up early
    strength64 : (n,) standard deviation of the finest details, the weaker of the two pictures, in levels 0..255
    """

    window: np.ndarray
    correlation: np.ndarray
    detail16: np.ndarray
    detail32: np.ndarray
    detail64: np.ndarray
    strength64: np.ndarray


def compare(
    a: np.ndarray, b: np.ndarray, window: np.ndarray, least_detail16: float = _HOPELESS_DETAIL, finest: int = 64
) -> Likeness:
    """Fit b into a, starting from `window` (n, 4), and compare; a, b (n, 64, 64) uint8 luma in the same position.

    Pairs whose details at 16 pixels do not agree by `least_detail16` are given up there, which saves most of the time.
    `finest` is the last size in pixels that is looked at; what is measured beyond it stays 0.
    """
    count = len(a)
    result = Likeness(window.astype(np.float32).copy(), *(np.zeros(count, np.float32) for _ in range(5)))
    for start in range(0, count, _BLOCK):
        _compare_block(a, b, np.arange(start, min(start + _BLOCK, count)), result, least_detail16, finest)
    return result


def _compare_block(
    a: np.ndarray, b: np.ndarray, pairs: np.ndarray, result: Likeness, least_detail16: float, finest: int
) -> None:
    for size, iterations in _STEPS:
        if not len(pairs) or size > finest:
            return
        first, second = _pooled(a[pairs], size), _pooled(b[pairs], size)
        window = _fit(first, second, result.window[pairs], iterations)
        result.window[pairs] = window
        laid, mask = lay(first, window)
        detail, strength = _details(laid, second, mask)
        if size == 16:
            result.detail16[pairs] = detail
            result.correlation[pairs] = _correlation(laid, second, mask)
            hopeful = (result.correlation[pairs] > _HOPELESS_CORRELATION) & (detail > least_detail16)
            pairs = pairs[hopeful]
        elif size == 32:
            result.detail32[pairs] = detail
            result.correlation[pairs] = _correlation(laid, second, mask)
        else:
            result.detail64[pairs], result.strength64[pairs] = detail, strength


def _pooled(grey: np.ndarray, size: int) -> np.ndarray:
    """Means of blocks of (n, 64, 64) uint8; halved by adding slices, five times as fast as a mean over two axes."""
    sums, area = grey.astype(np.uint16), 1
    while sums.shape[1] > size:
        sums = sums[:, ::2] + sums[:, 1::2]
        sums = sums[:, :, ::2] + sums[:, :, 1::2]
        area *= 4
    return sums.astype(np.float32) / np.float32(area)


def lay(pictures: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The window of each picture stretched to full size, and a mask (n, S, S) of what lies inside of the picture."""
    size = pictures.shape[1]
    rows, rows_inside = interpolation(window[:, 0], window[:, 1], size)
    columns, columns_inside = interpolation(window[:, 2], window[:, 3], size)
    return rows @ pictures @ columns.swapaxes(1, 2), rows_inside[:, :, None] * columns_inside[:, None, :]


def _normalised(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 over the mask, 0 outside of it."""
    area = np.maximum(mask.sum(axis=(1, 2), keepdims=True), 1)
    values = (values - (values * mask).sum(axis=(1, 2), keepdims=True) / area) * mask
    return values / (np.sqrt((values**2).sum(axis=(1, 2), keepdims=True) / area) + 1e-3)


def _correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    area = np.maximum(mask.sum(axis=(1, 2)), 1)
    return (_normalised(a, mask) * _normalised(b, mask)).sum(axis=(1, 2)) / area


def _fit(a: np.ndarray, b: np.ndarray, window: np.ndarray, iterations: int) -> np.ndarray:
    """Gauss-Newton on the four edges of the window, contrast and brightness taken out at each step."""
    size = a.shape[1]
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    window = window.astype(np.float32)
    for _ in range(iterations):
        laid, mask = lay(a, window)
        laid = _normalised(laid, mask)
        wanted = (_normalised(b, mask) - laid).reshape(len(a), -1, 1)
        down, across = (slope * mask for slope in np.gradient(laid, 1 / size, axis=(1, 2)))
        down /= (window[:, 1] - window[:, 0])[:, None, None]
        across /= (window[:, 3] - window[:, 2])[:, None, None]
        slopes = np.empty((len(a), 4, size, size), np.float32)
        np.multiply(down, (1 - centre)[:, None], out=slopes[:, 0])
        np.multiply(down, centre[:, None], out=slopes[:, 1])
        np.multiply(across, 1 - centre, out=slopes[:, 2])
        np.multiply(across, centre, out=slopes[:, 3])
        jacobian = slopes.reshape(len(a), 4, -1)
        jacobian -= jacobian.mean(axis=2, keepdims=True)
        normal = jacobian @ jacobian.swapaxes(1, 2)
        # A little damping, for pictures that have no slope along one axis.
        normal += np.eye(4, dtype=np.float32) * (0.0025 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-3)
        step = np.linalg.solve(normal, jacobian @ wanted)[..., 0]
        low = np.array([-OUTSIDE, 1 - OUTSIDE] * 2, dtype=np.float32)
        window = np.clip(window + np.clip(step, -0.04, 0.04), low, low + 2 * OUTSIDE).astype(np.float32)
    return window


def _details(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of what a 3 x 3 binomial filter takes away, and the weaker picture's amount of it."""
    inner = mask[:, 1:-1, 1:-1]
    area = np.maximum(inner.sum(axis=(1, 2)), 1)
    fine_a, fine_b = _sharp_part(a) * inner, _sharp_part(b) * inner
    amount_a, amount_b = (np.sqrt((fine**2).sum(axis=(1, 2)) / area) for fine in (fine_a, fine_b))
    together = (fine_a * fine_b).sum(axis=(1, 2)) / area
    return together / (amount_a * amount_b + 1e-6), np.minimum(amount_a, amount_b)


def _sharp_part(v: np.ndarray) -> np.ndarray:
    rows = (v[:, :-2] + 2 * v[:, 1:-1] + v[:, 2:]) / 4
    return v[:, 1:-1, 1:-1] - (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
