"""One picture as it is stored: its bytes, the hash that says whether they are still the same, and what decodes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curation.decoding import Picture, decode_picture, sources


@dataclass(frozen=True)
class Stored:
    """One picture, read and not yet decoded.

    content : first 16 bytes of the SHA-256 of its bytes; of an array's member, of its values, type and range
    length : of those bytes
    state : of the file that holds it, as it was before it was read
    data : the bytes of an image file; None for a member of an array
    decode : (short_px, max_pixels) to the picture, as `decode_picture`
    """

    content: bytes
    length: int
    state: os.stat_result
    data: bytes | None
    decode: Callable[[int | None, int], Picture]


def load_stored(root: Path, path: str) -> Stored:
    """The picture at `path`, as `curation.decoding.sources.open_picture` finds it.

    Raises
    ------
    UnreadableError : it cannot be read; the text is the reason.
    """
    member = sources.split_member(path) if "#" in path else None
    if member is None:
        data, state = sources.read_bytes_and_stat(root, path)
        return _image_file(data, state)
    file, key, index = member
    location = sources.locate(root, file)
    state = location.stat()
    if sources.is_bundle(file):
        from curation.decoding.bundles import read_member  # here: few sets have any

        return _image_file(read_member(location, key, index), state)
    from curation.decoding.containers import array_picture, open_container

    values, span = open_container(location, key).values(index)
    stamp = f"{values.dtype.str} {values.shape} {span}".encode()
    content = hashlib.sha256(stamp + values.tobytes()).digest()[:16]
    return Stored(content, values.nbytes, state, None, lambda short_px, max_pixels: array_picture(values, span))


def _image_file(data: bytes, state: os.stat_result) -> Stored:
    content = hashlib.sha256(data).digest()[:16]
    return Stored(
        content, len(data), state, data, lambda short_px, max_pixels: decode_picture(data, short_px, max_pixels)
    )
