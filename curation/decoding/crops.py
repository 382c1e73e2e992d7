"""The boxes of one picture as small pictures: each with some of what surrounds it, squashed to a square.

The region around a box is larger than the box by CONTEXT of its longer side on every side, and never more than twice
as long as wide: a text line or a pole would otherwise be squashed beyond recognition. What lies beyond the picture is
grey. A JPEG is decoded at the smallest DCT scale that leaves every box as many pixels as its crop has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curation.decoding.measurements import Prepared, prepare_crop
from curation.decoding.stored import Stored

CROP_VERSION = 1  # of everything that is computed here
CONTEXT = 0.1
MAX_ASPECT = 2.0
SMALLEST_REGION_PX = 8.0
_GREY = (128, 128, 128)


@dataclass(frozen=True)
class Region:
    """A rectangle in pixels of the whole upright picture; may reach beyond it."""

    left: float
    top: float
    width: float
    height: float


def region_of(box: Sequence[float]) -> Region:
    """What is cut out for a box (x, y, w, h) of positive size."""
    x, y, w, h = box
    margin = 2 * CONTEXT * max(w, h)
    width, height = w + margin, h + margin
    width = max(width, height / MAX_ASPECT, SMALLEST_REGION_PX)
    height = max(height, width / MAX_ASPECT, SMALLEST_REGION_PX)
    return Region(x + w / 2 - width / 2, y + h / 2 - height / 2, width, height)


def visible(box: Sequence[float], width_px: int, height_px: int) -> tuple[float, float, float, float] | None:
    """(left, top, right, bottom) of the part of a box that lies in the picture; None where there is none."""
    x, y, w, h = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + w, float(width_px)), min(y + h, float(height_px))
    return (left, top, right, bottom) if right > left and bottom > top else None


def cut(stored: Stored, boxes: np.ndarray, width_px: int, height_px: int, size: int) -> list[Prepared | None]:
    """One small picture for each of the boxes (B, 4) x, y, w, h; None for one of which nothing lies in the picture.

    width_px, height_px : of the whole picture, upright

    Raises
    ------
    UnreadableError : the picture cannot be decoded.
    """
    parts = [visible(box, width_px, height_px) for box in boxes]
    longest = [max(part[2] - part[0], part[3] - part[1]) for part in parts if part is not None]
    if not longest:
        return [None] * len(parts)
    # Of a region of n pixels, n / short side of the picture are left when that side is decoded at `size`.
    wanted = int(np.ceil(min(width_px, height_px) * min(1.0, size / min(longest))))
    picture = stored.decode(wanted, 0)
    rgb = picture.rgb
    scale = rgb.width / picture.width_px, rgb.height / picture.height_px
    return [
        None if part is None else prepare_crop(_inside(rgb, part, scale), around(rgb, box, scale, size), size)
        for box, part in zip(boxes.tolist(), parts, strict=True)
    ]


def _inside(rgb: Image.Image, part: tuple[float, float, float, float], scale: tuple[float, float]) -> Image.Image:
    """The visible part of a box, in whole pixels, at least one."""
    left, top = (min(int(part[i] * scale[i]), rgb.size[i] - 1) for i in (0, 1))
    right, bottom = (min(max(int(np.ceil(part[2 + i] * scale[i])), (left, top)[i] + 1), rgb.size[i]) for i in (0, 1))
    return rgb.crop((left, top, right, bottom))


def around(rgb: Image.Image, box: Sequence[float], scale: tuple[float, float], size: int) -> Image.Image:
    """The region of a box, squashed to size x size; scale : pixels of `rgb` by pixels of the whole picture."""
    region = region_of(box)
    left, top = region.left * scale[0], region.top * scale[1]
    width, height = region.width * scale[0], region.height * scale[1]
    inner = max(left, 0.0), max(top, 0.0), min(left + width, rgb.width), min(top + height, rgb.height)
    if (left, top, left + width, top + height) == inner:
        return rgb.resize((size, size), Image.Resampling.BILINEAR, inner)
    # Where in the square the visible part comes to lie, in whole pixels.
    columns = [round((edge - left) / width * size) for edge in (inner[0], inner[2])]
    rows = [round((edge - top) / height * size) for edge in (inner[1], inner[3])]
    square = Image.new("RGB", (size, size), _GREY)
    part = max(columns[1] - columns[0], 1), max(rows[1] - rows[0], 1)
    square.paste(
        rgb.resize(part, Image.Resampling.BILINEAR, inner), (min(columns[0], size - 1), min(rows[0], size - 1))
    )
    return square
