"""How large a picture is, upright, from its header alone: what shares of a picture are multiplied by."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from curation.decoding import FORMATS, sniff_format
from curation.decoding.bundles import read_member
from curation.decoding.jpeg_header import exif_orientation, read_plain_jpeg
from curation.decoding.sources import is_bundle, locate, split_member
from curation.errors import UnreadableError

_HEAD = 2**16  # bytes that hold the header of nearly every picture
_ORIENTATION = 274  # the tag of TIFF and EXIF


def picture_size(root: Path, path: str) -> tuple[int, int]:
    """(width, height) in pixels of a picture as it stands upright, EXIF applied; only its header is read.

    path : text form, relative to `root`

    Raises
    ------
    UnreadableError : not there, outside of the root, or no picture in a known format.
    """
    try:
        with _opened(root, path) as stream:
            head = stream.read(_HEAD)
            format_name = sniff_format(head)
            if not format_name:
                raise UnreadableError("not a picture in a supported format, going by its first bytes")
            plain = read_plain_jpeg(head) if format_name == "JPEG" else None
            if plain:
                return _turned(plain.size, plain.orientation)
            stream.seek(0)
            picture = FORMATS[format_name][1](stream)
            if format_name == "TIFF":  # Pillow turns it when it is loaded
                turn = picture.tag_v2.get(_ORIENTATION, 1)
                return _turned((picture.tag_v2[256], picture.tag_v2[257]), turn)
            exif = picture.info.get("exif", b"")
            return _turned(picture.size, exif_orientation(exif) if isinstance(exif, bytes) else 1)
    except UnreadableError:
        raise
    except Exception as error:  # a decoder that is fed hostile bytes may raise anything
        raise UnreadableError("its header cannot be read") from error


def _opened(root: Path, path: str) -> BinaryIO:
    """An image file, or one inside of a table, archive or TFRecord."""
    member = split_member(path) if "#" in path else None
    if member is None or not is_bundle(member[0]):
        return open(locate(root, path), "rb")
    file, key, index = member
    return io.BytesIO(read_member(locate(root, file), key, index))


def _turned(size: tuple[int, int], orientation: object) -> tuple[int, int]:
    width, height = int(size[0]), int(size[1])
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)
