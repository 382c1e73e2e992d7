"""Pictures for people: by sample_id, upright, re-encoded by us, never a file's own bytes; or a picture of why not."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from curation.decoding.sources import open_picture, regular_state, split_member
from curation.errors import UnreadableError
from curation.explain import visible

LARGEST_PX = 1600
SMALLEST_PX = 16
JPEG_QUALITY = 88
# Pictures of so few pixels a side are sent without loss: every pixel of them is looked at.
LOSSLESS_PX = 128
KEPT_BYTES = 96 * 2**20  # encoded pictures that stay in memory
_PAPER, _INK = (238, 238, 238), (90, 90, 90)

_kept: OrderedDict[tuple[object, ...], tuple[bytes, str]] = OrderedDict()
_kept_bytes = 0
_lock = threading.Lock()


def picture_bytes(run_root: Path, samples: pd.DataFrame, sample_id: str, side_px: int) -> tuple[bytes, str]:
    """One picture as (bytes, MIME type), its long side at most `side_px` (16 to 1,600); cached.

    run_root : folder that the paths of `samples` are relative to
    samples : the samples of a run, with `path`; indexed by sample_id, or with a column of that name

    A sample that is not in the run, or a file that is gone, unreadable or no longer a picture, gives a grey picture
    with the reason on it, so that whoever draws never has to handle an error.
    """
    side_px = min(max(int(side_px), SMALLEST_PX), LARGEST_PX)
    path = _path_of(samples, sample_id)
    if path is None:
        return placeholder("not in this run", side_px)

    def make() -> tuple[bytes, str]:
        return encode(open_picture(run_root, path, short_px=side_px).rgb, side_px)

    try:
        return kept_or_made(run_root, path, (side_px,), make)
    except UnreadableError as error:
        return placeholder(str(error), side_px)


def kept_or_made(
    run_root: Path, path: str, what: tuple[object, ...], make: Callable[[], tuple[bytes, str]]
) -> tuple[bytes, str]:
    """A picture as (bytes, MIME type) that is made once of a file as it is now; what : which picture of that file.

    Raises
    ------
    UnreadableError : whatever `make` raises; that is not kept.
    """
    member = split_member(path)
    state = regular_state(run_root, member[0] if member else path)
    key = (str(run_root), path, what, state and (state.st_mtime_ns, state.st_size, state.st_ino))
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    found = make()
    _keep(key, found)
    return found


def encode(picture: Image.Image, side_px: int) -> tuple[bytes, str]:
    """An RGB picture as (bytes, MIME type), shrunk to `side_px` where it is larger: PNG if tiny itself, else JPEG."""
    lossless = max(picture.size) <= LOSSLESS_PX
    picture = fit(picture, side_px)
    stream = io.BytesIO()
    if lossless:
        picture.save(stream, "PNG")
        return stream.getvalue(), "image/png"
    picture.save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue(), "image/jpeg"


def fit(picture: Image.Image, side_px: int, enlarge_to_px: int = 0) -> Image.Image:
    """The whole picture with its aspect kept, long side at most `side_px`; tiny ones enlarged by a whole factor."""
    long_px = max(picture.size)
    if long_px > side_px:
        size = tuple(max(1, round(length * side_px / long_px)) for length in picture.size)
        return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS, reducing_gap=2.0)
    factor = max(1, min(enlarge_to_px, side_px) // long_px)
    if factor == 1:
        return picture
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def placeholder(reason: str, side_px: int) -> tuple[bytes, str]:
    """A grey picture that says why there is none, as (bytes, MIME type)."""
    side_px = min(max(side_px, SMALLEST_PX), 480)
    picture = Image.new("RGB", (side_px, max(1, side_px * 3 // 4)), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, picture.width - 1, picture.height - 1), outline=_INK)
    draw.line((0, 0, picture.width, picture.height), fill=(215, 215, 215), width=max(1, side_px // 160))
    if side_px >= 64:
        font = ImageFont.load_default(size=max(9, side_px // 22))
        lines = _wrapped("This picture cannot be shown: " + visible(reason, 160, False), draw, font, side_px - 12)
        draw.multiline_text((6, 6), "\n".join(lines), fill=_INK, font=font)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue(), "image/png"


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: Any, width_px: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= width_px or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _path_of(samples: pd.DataFrame, sample_id: str) -> str | None:
    if samples.index.name == "sample_id":
        return str(samples.at[sample_id, "path"]) if sample_id in samples.index else None
    found = samples["path"][samples["sample_id"] == sample_id]
    return str(found.iloc[0]) if len(found) else None


def _keep(key: tuple[object, ...], found: tuple[bytes, str]) -> None:
    global _kept_bytes
    with _lock:
        if key not in _kept:
            _kept[key] = found
            _kept_bytes += len(found[0])
        while _kept_bytes > KEPT_BYTES:
            _, (data, _) = _kept.popitem(last=False)
            _kept_bytes -= len(data)
