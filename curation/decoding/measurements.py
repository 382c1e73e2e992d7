"""What is taken from one decoded picture: its row in the cache, its pixel hash and its raw measurements.

In two steps, since one call for sixteen pictures costs hardly more than one for one: `prepare` does what needs the
whole picture, by Pillow; `measure` the rest for all pictures of a chunk at once, on arrays of equal size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curation.decoding import Picture
from curation.decoding.pixel_cache import CHROMA_PX, GREY_PX, MEASUREMENTS, row_record

SMALL_PX = 96  # measurements are taken on the canonical picture reduced to a longer side of 96 to 191 px


@dataclass(frozen=True)
class Prepared:
    """What is left of one picture.

    pixels : S x S; thumbnail : 64 x 64; both RGB and squashed, and the same where S is 64
    histogram : (256,) counts of luma
    sharpness : standard deviation of the Laplacian of luma
    pixel_hash : 16 bytes
    """

    pixels: Image.Image
    thumbnail: Image.Image
    histogram: np.ndarray
    sharpness: float
    pixel_hash: bytes


def prepare(canonical: Picture, large: Picture, size: int) -> Prepared:
    """All that takes the whole picture; `large` has at least `size` pixels on its short side, if there are so many."""
    rgb = canonical.rgb
    small = _small(rgb)
    thumbnail = _squash(rgb, small, GREY_PX)
    pixels = thumbnail if size == GREY_PX else _squash(large.rgb, small, size)
    return _prepared(pixels, thumbnail, rgb, small, (canonical.width_px, canonical.height_px))


def prepare_crop(inside: Image.Image, around: Image.Image, size: int) -> Prepared:
    """The same of a box: `around` is its size x size picture, `inside` the box alone, which is measured."""
    thumbnail = around if size == GREY_PX else _squash(around, around, GREY_PX)
    return _prepared(around, thumbnail, inside, _small(inside), inside.size)


def _small(rgb: Image.Image) -> Image.Image:
    factor = max(rgb.size) // SMALL_PX
    return rgb.reduce(factor) if factor > 1 else rgb


def _prepared(
    pixels: Image.Image, thumbnail: Image.Image, rgb: Image.Image, small: Image.Image, whole: tuple[int, int]
) -> Prepared:
    pixel_hash = hashlib.sha256(f"{whole[0]}x{whole[1]} ".encode())
    pixel_hash.update(rgb.tobytes())
    luma = np.asarray(small.convert("L"))
    histogram = np.bincount(luma.ravel(), minlength=256)
    return Prepared(pixels, thumbnail, histogram, _sharpness(luma.astype(np.int16)), pixel_hash.digest()[:16])


def _squash(full: Image.Image, small: Image.Image, size: int) -> Image.Image:
    """To size x size, without cropping; from the reduced picture where that has enough pixels."""
    source = small if min(small.size) >= size else full
    return source.resize((size, size), Image.Resampling.BILINEAR)


def _sharpness(luma: np.ndarray) -> float:
    height, width = luma.shape
    if min(height, width) < 3:
        return 0.0
    # On one long line the neighbours above and below are `width` away; the edge columns are wrong, and left out.
    line = luma.ravel()
    laplacian = 4 * line[width:-width]
    for start in (0, width - 1, width + 1, 2 * width):
        laplacian -= line[start : start + len(laplacian)]
    values = laplacian.reshape(height - 2, width)[:, 1:-1].astype(np.float32).ravel()
    mean = values.sum() / values.size
    return float(np.sqrt(max(0.0, values @ values / values.size - mean**2)))


def measure(prepared: Sequence[Prepared], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the cache (n,) `row_record(size)`, and measurements (n, len(MEASUREMENTS)) float64 in that order."""
    count = len(prepared)
    rows = np.zeros(count, row_record(size))
    if not count:
        return rows, np.zeros((0, len(MEASUREMENTS)))
    strip = _strip([one.thumbnail for one in prepared], GREY_PX)
    thumbnails = np.asarray(strip).reshape(count, GREY_PX, GREY_PX, 3)
    rows["pixels"] = thumbnails if size == GREY_PX else np.stack([np.asarray(one.pixels) for one in prepared])
    colours = np.asarray(strip.reduce(GREY_PX // CHROMA_PX).convert("YCbCr"))
    rows["chroma"] = colours.reshape(count, CHROMA_PX, CHROMA_PX, 3).transpose(0, 3, 1, 2)[:, 1:]
    red, green, blue = (np.ascontiguousarray(thumbnails[..., channel]) for channel in range(3))
    luma: np.ndarray = red * np.uint16(77) + green * np.uint16(150) + blue * np.uint16(29)  # of 256
    rows["grey"] = luma >> 8
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    spread = spread.reshape(count, -1)
    histogram = np.stack([one.histogram for one in prepared]).astype(np.float64)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = (share * levels).sum(axis=1)  # a matrix product would depend on how many there are, in the last bit
    below = share.cumsum(axis=1)
    values = {
        "brightness": mean,
        "brightness_p05": (below < 0.05).sum(axis=1) / 255,
        "brightness_p99": (below < 0.99 - 1e-9).sum(axis=1) / 255,
        "contrast": np.sqrt(np.maximum((share * levels**2).sum(axis=1) - mean**2, 0)),
        "entropy_bits": -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1),
        "sharpness": np.array([one.sharpness for one in prepared]),
        "saturation": spread.mean(axis=1) / 255,
        "saturation_p99": _ranked(spread, spread.shape[1] * 99 // 100) / 255,
    }
    return rows, np.stack([values[name] for name in MEASUREMENTS], axis=1)


def _strip(pictures: Sequence[Image.Image], size: int) -> Image.Image:
    """Square pictures of one size, one below the other: what is done to it is done to all of them in one call."""
    strip = Image.new("RGB", (size, size * len(pictures)))
    for place, picture in enumerate(pictures):
        strip.paste(picture, (0, size * place))
    return strip


def _ranked(values: np.ndarray, rank: int) -> np.ndarray:
    """Of each row (n, m) uint8, the value at place `rank` when sorted; bit by bit, twice as fast as partition."""
    wanted = values.shape[1] - rank  # how many are at least as large as the value looked for
    found = np.zeros(len(values), np.uint8)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        larger = found | np.uint8(bit)
        enough = [np.count_nonzero(row) >= wanted for row in values >= larger[:, None]]
        found = np.where(enough, larger, found)
    return found
