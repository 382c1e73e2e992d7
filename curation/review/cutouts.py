"""Boxes for people: each with what surrounds it, cut out of its picture, upright and re-encoded by us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from curation.decoding.sources import open_picture
from curation.errors import UnreadableError
from curation.review.pictures import encode, kept_or_made, placeholder

AROUND = 0.4  # of the longer side of the box, on every side
SMALLEST_REGION_PX = 24.0

Frame = tuple[float, float, float, float]
Region = tuple[float, float, float, float]


def region_around(box: Sequence[float], width_px: int, height_px: int) -> Region:
    """x, y, w, h in pixels of what is shown of a picture around a box: a square, as far as the picture goes."""
    x, y, w, h = box
    side = max(max(w, h) * (1 + 2 * AROUND), SMALLEST_REGION_PX)
    sides = min(side, float(width_px)), min(side, float(height_px))
    middle = x + w / 2, y + h / 2
    left, top = (
        min(max(at - length / 2, 0.0), whole - length)
        for at, length, whole in zip(middle, sides, (width_px, height_px), strict=True)
    )
    return left, top, sides[0], sides[1]


def frame_in(box: Sequence[float], region: Sequence[float]) -> Frame:
    """Where a box lies in a region: x, y, w, h as shares of it."""
    return (
        (box[0] - region[0]) / region[2], (box[1] - region[1]) / region[3], box[2] / region[2], box[3] / region[3],
    )  # fmt: skip


def cutout_bytes(
    run_root: Path, samples: pd.DataFrame, sample_id: str, box: Sequence[float], side_px: int
) -> tuple[bytes, str, Region | None]:
    """A box with its surroundings as (bytes, MIME type), and what of the picture that is (`region_around`); cached.

    run_root, samples, side_px : as of curation.review.pictures.picture_bytes; likewise, what cannot be shown is a grey
        picture that says why, and no region
    """
    known = samples if samples.index.name == "sample_id" else samples.set_index("sample_id")
    if sample_id not in known.index:
        return *placeholder("not in this run", side_px), None
    path, width, height = (known.at[sample_id, name] for name in ("path", "width_px", "height_px"))
    region = region_around(box, int(width), int(height))

    def make() -> tuple[bytes, str]:
        share = min(1.0, side_px / max(region[2], region[3]))
        picture = open_picture(run_root, str(path), short_px=max(1, round(min(int(width), int(height)) * share)))
        scale = picture.rgb.width / picture.width_px, picture.rgb.height / picture.height_px
        edges = (region[0] * scale[0], region[1] * scale[1],
                 (region[0] + region[2]) * scale[0], (region[1] + region[3]) * scale[1])  # fmt: skip
        longest = max(edges[2] - edges[0], edges[3] - edges[1])
        size = [max(1, round((edges[at + 2] - edges[at]) * min(1.0, side_px / longest))) for at in (0, 1)]
        return encode(picture.rgb.resize((size[0], size[1]), Image.Resampling.LANCZOS, edges), side_px)

    try:
        found = kept_or_made(run_root, str(path), (*box, side_px), make)
    except UnreadableError as error:
        return *placeholder(str(error), side_px), None
    return *found, region
