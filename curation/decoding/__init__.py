"""Turn the bytes of one picture into upright RGB, or say why not in plain words.

Too many pixels, scans or text are refused from the header, before anything is decoded; formats are told by their first
bytes, never by the name. Pillow's plugins are called one by one instead of `Image.open`, so that no other plugin
(PostScript, FITS, GD ...) ever sees the bytes.
"""

from __future__ import annotations

import io
import os
import re
import struct
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from curation.decoding.jpeg_header import PlainJpeg, count_scans, exif_orientation, jpeg_scale, read_plain_jpeg
from curation.errors import UnreadableError

MAX_PIXELS = 2**27  # 134 million; 402 MB as RGB
MAX_JPEG_PIXELS = 2**28  # a 200 million pixel phone photo is ordinary, and is decoded at reduced scale
MAX_SCANS = 200  # progressive JPEG: encoders write about 10, optimisers up to 64
MAX_SCAN_PIXELS = 2**32  # scans times pixels, which is what decoding costs: about 5 s
MAX_TEXT_BYTES = 2**20  # one text chunk of a PNG
BIG_PIXELS = 2**25  # above 33 million pixels, one picture is decoded at a time, so that threads do not multiply memory
CANONICAL_SHORT_PX = 64  # a JPEG is decoded at the smallest DCT scale that leaves so many pixels on its short side

_big = threading.Lock()


class TooBigHere(Exception):
    """The picture has more pixels than the caller allowed: nothing is wrong with it."""


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose EXIF block is left alone: Pillow parses it all for the resolution, and warns about every fault."""

    def _read_dpi_from_exif(self) -> None:
        pass


FORMATS: dict[str, tuple[Callable[[bytes], bool], type, str]] = {
    "JPEG": (lambda b: b[:3] == b"\xff\xd8\xff", _Jpeg, ".jpg .jpeg .jpe .jfif .mpo"),
    "PNG": (lambda b: b[:8] == b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile, ".png .apng"),
    "GIF": (lambda b: b[:6] in (b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile, ".gif"),
    "BMP": (lambda b: b[:2] == b"BM", BmpImagePlugin.BmpImageFile, ".bmp .dib"),
    "WEBP": (lambda b: b[:4] == b"RIFF" and b[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile, ".webp"),
    "TIFF": (
        lambda b: b[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        TiffImagePlugin.TiffImageFile,
        ".tif .tiff",
    ),
    "PPM": (
        lambda b: b[:1] == b"P" and b[1:2] in b"123456" and b[2:3].isspace(),
        PpmImagePlugin.PpmImageFile,
        ".ppm .pgm .pbm .pnm",
    ),
    "AVIF": (
        lambda b: b[4:8] == b"ftyp" and b[8:12] in (b"avif", b"avis"),
        AvifImagePlugin.AvifImageFile,
        ".avif .avifs",
    ),
}
_CODECS = {"WEBP": "webp", "AVIF": "avif", "JPEG": "jpg", "PNG": "zlib"}

# What a file is that is no picture we read: the first bytes, and what to tell the user.
_FOREIGN: list[tuple[str, str]] = [
    (r"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", "a HEIC photo, which is not supported; convert it to JPEG or PNG"),
    (r"%PDF", "a PDF document, not a picture"),
    (r"(?:\xc5\xd0\xd3\xc6|%!)", "a PostScript file, not a picture"),
    (r"version https://git-lfs", "a Git LFS pointer, not the picture itself; run `git lfs pull`"),
    (r"(?s)\s*(?:\xef\xbb\xbf)?(?:<\?xml.{0,400})?.{0,200}<svg", "an SVG drawing, which is not supported"),
    (r"(?i)\s*<(?:!doctype html|html|head|body)", "a web page, not a picture"),
    (r"\s*<\?xml", "an XML document, not a picture"),
    (r"PK\x03\x04", "a ZIP archive, not a picture"),
    (r"\x1f\x8b", "a gzip archive, not a picture"),
    (r"\s*[\[{]", "a JSON document, not a picture"),
]


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    rgb : mode RGB, upright; reduced for a JPEG where that was asked for
    width_px, height_px : of the whole picture, upright
    format : a name in FORMATS, or "ARRAY" for a member of a container
    """

    rgb: Image.Image
    width_px: int
    height_px: int
    format: str


def sniff_format(data: bytes) -> str:
    """The format by the first bytes, "" where it is none of FORMATS."""
    return next((name for name, (accepts, _, _) in FORMATS.items() if accepts(data)), "")


def suffix_fits(path: str, format_name: str) -> bool:
    """Whether the extension in `path` says what was found in the bytes; no extension fits everything."""
    suffix = os.path.splitext(path)[1].lower()
    known = FORMATS.get(format_name)
    return not suffix or known is None or suffix in known[2].split()


def decode_picture(data: bytes, short_px: int | None = None, max_pixels: int = 0) -> Picture:
    """Decode to upright RGB: the first frame, transparency over white, 16 bits scaled to 8.

    With `short_px` a JPEG is decoded at the smallest DCT scale (1/2, 1/4, 1/8) that leaves so many pixels on its short
    side; everything else in full.

    Raises
    ------
    UnreadableError : the text is the reason in plain words.
    TooBigHere : more than `max_pixels`, where that is given.
    """
    format_name = _checked_format(data)
    try:
        plain = read_plain_jpeg(data) if format_name == "JPEG" else None
        opened = plain or FORMATS[format_name][1](io.BytesIO(data))
        _check_header(data, format_name, opened.size)
        pixels = opened.size[0] * opened.size[1]
        if max_pixels and pixels > max_pixels:
            raise TooBigHere
        with _big if pixels > BIG_PIXELS else nullcontext():
            if isinstance(opened, PlainJpeg):
                return _decode_plain(opened, data, short_px)
            return _decode(opened, data, format_name, short_px)
    except (UnreadableError, TooBigHere):
        raise
    except Exception as error:  # a decoder that is fed hostile bytes may raise anything; one bad file stops no run
        raise UnreadableError(_broken(format_name, error)) from error


def _decode_plain(plain: PlainJpeg, data: bytes, short_px: int | None) -> Picture:
    """As `_decode` by the same decoder, without the objects that Pillow makes around it: a tenth of the time."""
    width, height = plain.size
    scale = 1 if short_px is None else jpeg_scale(width, height, short_px)
    rgb = Image.frombytes(plain.mode, (-(-width // scale), -(-height // scale)), data, "jpeg", plain.mode, "", scale, 0)
    return _upright(to_rgb(rgb), width, height, "JPEG", plain.orientation)


def read_header(data: bytes) -> tuple[int, int]:
    """(width, height) upright, from the header alone."""
    format_name = _checked_format(data)
    try:
        picture = FORMATS[format_name][1](io.BytesIO(data))
        turned = format_name != "TIFF" and _orientation(picture, data, format_name) >= 5
    except Exception as error:  # as above
        raise UnreadableError(_broken(format_name, error)) from error
    return picture.size[::-1] if turned else picture.size


def _checked_format(data: bytes) -> str:
    if not data:
        raise UnreadableError("the file is empty (0 bytes)")
    format_name = sniff_format(data)
    if not format_name:
        head = data[:1024].decode("latin-1")
        kind = next((words for pattern, words in _FOREIGN if re.match(pattern, head)), "")
        raise UnreadableError(kind or "not a picture in a supported format, going by its first bytes")
    codec = _CODECS.get(format_name)
    if codec and not _has_codec(codec):
        raise UnreadableError(f"{format_name} pictures need a Pillow that was built with {codec}")
    return format_name


@cache
def _has_codec(name: str) -> bool:
    return bool(features.check(name))


# What Pillow's messages mean, in this order. They are not passed on: they speak of Pillow, and may quote the file.
_MEANINGS: list[tuple[str, str]] = [
    (r"max_text_(chunk|memory)|in text chunks", "{} data with a text block of more than a megabyte"),
    (r"truncat|not processed|eof|not enough|incomplete|unpack requires", "the {} data are cut off or damaged"),
    (r"unsupported|not supported|not yet|unknown|cannot handle|not available", "a kind of {} that is not supported"),
]


def _broken(format_name: str, error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return "too large for the memory of this machine"
    if isinstance(error, EOFError | IndexError | struct.error):
        return f"the {format_name} data are cut off or damaged"
    words = next((words for pattern, words in _MEANINGS if re.search(pattern, text)), "the {} data are damaged")
    return words.format(format_name)


def _check_header(data: bytes, format_name: str, size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    limit = MAX_JPEG_PIXELS if format_name == "JPEG" else MAX_PIXELS
    if pixels > limit:
        raise UnreadableError(f"{size[0]:,} x {size[1]:,} pixels, more than the limit of {limit // 10**6} million")
    if pixels == 0:
        raise UnreadableError("a picture without pixels")
    if format_name == "JPEG":
        scans = count_scans(data)
        if scans > MAX_SCANS or scans * pixels > MAX_SCAN_PIXELS:
            raise UnreadableError(f"a JPEG of {scans:,} scans, made to keep the decoder busy")
    if format_name == "PNG":
        _check_png_text(data)


def _check_png_text(data: bytes) -> None:
    """Refuse a PNG with a huge text chunk: its decompressed size is not known beforehand."""
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length > MAX_TEXT_BYTES:
            raise UnreadableError(f"a PNG with a text block of {length:,} bytes")
        if kind == b"IEND":
            return
        position += 12 + length


def _decode(picture: Image.Image, data: bytes, format_name: str, short_px: int | None) -> Picture:
    width, height = picture.size
    if short_px is not None and format_name == "JPEG":
        scale = jpeg_scale(width, height, short_px)
        if scale > 1:
            picture.draft(picture.mode, (width // scale, height // scale))
    elif format_name != "JPEG":
        picture.load()  # a TIFF is turned upright now, and only now has its true size
        width, height = picture.size
    rgb = to_rgb(picture)
    turn = 1 if format_name == "TIFF" else _orientation(picture, data, format_name)  # Pillow turns a TIFF itself
    return _upright(rgb, width, height, format_name, turn)


def _upright(rgb: Image.Image, width: int, height: int, format_name: str, turn: int) -> Picture:
    if turn in _TURNS:
        rgb = rgb.transpose(_TURNS[turn])
    if turn >= 5:
        width, height = height, width
    return Picture(rgb, width, height, format_name)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(picture: Image.Image, data: bytes, format_name: str) -> int:
    """EXIF orientation 1..8; 1 where there is none, or none that makes sense."""
    exif = picture.info.get("exif", b"")
    if format_name == "PNG" and not exif and "Raw profile type exif" in picture.info:
        return 1  # ImageMagick's old habit; browsers ignore it, too
    return exif_orientation(exif) if isinstance(exif, bytes) else 1


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB: transparency over white, 16 bits and floats scaled to 0..255, never clipped.

    Integers of 16 bits span 0..65535. 32-bit integers and floats do not say their range: see `value_range`.
    """
    mode = picture.mode
    if mode == "RGB" and "transparency" not in picture.info:
        picture.load()
        return picture
    if mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        if layer.getchannel("A").getextrema() == (255, 255):
            return layer.convert("RGB")
        paper = Image.new("RGBA", layer.size, "white")
        paper.alpha_composite(layer)
        return paper.convert("RGB")
    if mode.startswith("I;16"):
        return Image.fromarray(scale_to_bytes(np.asarray(picture).astype(np.uint16))).convert("RGB")
    if mode in ("I", "F"):
        values = np.asarray(picture)
        if mode == "I" and values.min() >= 0 and values.max() <= 65535:
            values = values.astype(np.uint16)
        return Image.fromarray(scale_to_bytes(values)).convert("RGB")
    return picture.convert("RGB")


def scale_to_bytes(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Numbers of any type as uint8, same shape; `low`..`high` becomes 0..255, `value_range` where not given.

    Raises
    ------
    UnreadableError : not one value is a finite number.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if low is None or high is None:
        low, high = value_range(values)
    span = (high - low) or 1.0
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) * (255.0 / span)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def value_range(values: np.ndarray) -> tuple[float, float]:
    """(low, high) of an array that is not uint8: 0..1, 0..255 or 0..65535 where that is likely, else its extremes."""
    if values.dtype == np.uint16:
        return 0.0, 65535.0
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        raise UnreadableError("not one of its values is a finite number")
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and high <= 1 and values.dtype.kind == "f":
        return 0.0, 1.0
    # 0..255 and 0..65535 are habits, and seen as such only when more than half of the range is used: scikit-learn's
    # digits span 0..16.
    top = next((float(t) for t in (255, 65535) if low >= 0 and t / 2 < high <= t), None)
    return (low, high) if top is None else (0.0, top)
