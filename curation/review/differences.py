"""Where two copies of a picture differ: a transparent overlay, and how much of the picture it covers."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SIDE_PX = 320
SEEN = 24  # of 255: less is what compression does, and nobody sees it
_RED = (230, 30, 60)


def difference(one: bytes, other: bytes, side_px: int = SIDE_PX) -> tuple[bytes, float]:
    """An overlay for the second picture, red where it differs from the first, and the share of its pixels that do.

    Parameters
    ----------
    one, other : pictures as curation.review.pictures encodes them (JPEG or PNG); of another size, the first is fitted
        to the second
    side_px : of the overlay's long side at most

    Returns
    -------
    (PNG bytes, share in [0, 1]); b"" where nothing differs by more than compression does.
    """
    second = _open(other)
    second.thumbnail((side_px, side_px))
    first = _open(one).resize(second.size)
    apart = np.abs(np.asarray(first, dtype=np.int16) - np.asarray(second, dtype=np.int16)).max(axis=2)
    seen = apart > SEEN
    if not seen.any():
        return b"", 0.0
    overlay = np.zeros((*apart.shape, 4), dtype=np.uint8)
    overlay[..., :3] = _RED
    overlay[..., 3] = np.where(seen, np.clip(90 + apart, 0, 230), 0)
    stream = io.BytesIO()
    Image.fromarray(overlay).save(stream, "PNG")
    return stream.getvalue(), float(seen.mean())


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=("JPEG", "PNG")).convert("RGB")
