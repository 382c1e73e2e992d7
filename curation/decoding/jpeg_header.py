"""What the bytes of a JPEG say before anything is decoded: size, scans, EXIF orientation, whether it is plain."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; the others are lossless, hierarchical or arithmetic
_SCAN = 0xDA
_PASSED = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # tables, restart interval, comment, application's blocks


@dataclass(frozen=True)
class PlainJpeg:
    """Header of a JPEG without surprises: (width, height) as stored, mode RGB or L, EXIF orientation 1..8."""

    size: tuple[int, int]
    mode: str
    orientation: int


def read_plain_jpeg(data: bytes) -> PlainJpeg | None:
    """The header of nearly every JPEG; None for one that needs a closer look: four colours, two EXIF blocks, junk ...

    Stricter than libjpeg about where a marker may stand, so that what is read here is what libjpeg will read.
    """
    size, mode, exif = (0, 0), "", b""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        if kind == _SCAN:
            return PlainJpeg(size, mode, exif_orientation(exif)) if mode else None
        if kind in _FRAMES:
            bits, height, width, layers = struct.unpack_from(">BHHB", data, at + 4)
            if mode or bits != 8 or layers not in (1, 3):
                return None
            size, mode = (width, height), "L" if layers == 1 else "RGB"
        elif kind not in _PASSED or length < 2:
            return None
        elif kind == 0xE1 and data.startswith(b"Exif\0\0", at + 4):
            if exif:
                return None
            exif = data[at + 4 : at + 2 + length]
        at += 2 + length
    return None


def count_scans(data: bytes) -> int:
    """How often FF DA, the mark that begins a scan, stands in the bytes; four times as fast as `bytes.count`."""
    pairs = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(pair == 0xDAFF)) for pair in pairs)


def jpeg_scale(width: int, height: int, short_px: int) -> int:
    """The divisor (1, 2, 4 or 8) at which a JPEG keeps `short_px` pixels on its short side."""
    return max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(width, height) // scale >= short_px)


def exif_orientation(exif: bytes) -> int:
    """The orientation in the first directory of an EXIF block, 1 if it is absent or the block is malformed.

    Twenty lines of our own, because Pillow parses (and warns about) the whole block, which may be hostile.
    """
    if exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, entry)
        if tag == 0x0112:
            return value if kind == 3 and 1 <= value <= 8 else 1
    return 1
