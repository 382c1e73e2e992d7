"""TFRecord files: records framed by their length, each with the masked CRC-32C of length and content.

    uint64 length, uint32 masked CRC of the length, `length` bytes, uint32 masked CRC of them; all little-endian

References
----------
TensorFlow, "TFRecord and tf.train.Example", section "TFRecords format details".
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curation.errors import UnreadableError

PATTERN = r"\.(?:tfrecords?|record)(?:-\d{5}-of-\d{5})?"  # of file name endings, sharded ones among them
MAX_RECORD_BYTES = 512 * 2**20
MAX_RECORDS = 50_000_000  # of one file
_HEAD, _TAIL = 12, 4  # bytes before and after the content
_NAME = re.compile(rf".*{PATTERN}", re.I | re.S)


def is_tfrecord(name: str) -> bool:
    """Whether a file is a TFRecord, going by its name."""
    return _NAME.fullmatch(name) is not None


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated, plus a constant: a checksum that is good for data that holds checksums, too."""
    import google_crc32c

    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def write_record(stream: BinaryIO, data: bytes) -> None:
    """Append one record."""
    length = struct.pack("<Q", len(data))
    stream.write(length + struct.pack("<I", masked_crc(length)))
    stream.write(data)
    stream.write(struct.pack("<I", masked_crc(data)))


def record_places(path: Path) -> np.ndarray:
    """(n, 2) int64: where the content of each record starts, and its length in bytes.

    Raises
    ------
    UnreadableError : not a TFRecord, cut off, or a length that cannot be; names the record, counted from 1.
    """
    state = os.stat(path)
    return _places(os.fspath(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _places(path: str, size: int, modified: int) -> np.ndarray:
    places: list[tuple[int, int]] = []
    with open(path, "rb", buffering=0) as stream:
        start = 0
        while start < size:
            number = len(places) + 1
            head = os.pread(stream.fileno(), _HEAD, start)
            if len(head) < _HEAD:
                raise UnreadableError(f"record {number:,} is cut off")
            length, crc = struct.unpack("<QI", head)
            if masked_crc(head[:8]) != crc:
                what = "it is no TFRecord file, or its first record" if number == 1 else f"record {number:,}"
                raise UnreadableError(f"{what} is damaged: the checksum of its length is wrong")
            if start + _HEAD + length + _TAIL > size:
                raise UnreadableError(f"record {number:,} says that it has {length:,} bytes, but the file ends before")
            if length > MAX_RECORD_BYTES:
                raise UnreadableError(f"record {number:,} is larger than {MAX_RECORD_BYTES // 2**20} MB")
            if number > MAX_RECORDS:
                raise UnreadableError(f"the file has more than {MAX_RECORDS:,} records")
            places.append((start + _HEAD, length))
            start += _HEAD + length + _TAIL
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def read_record(path: Path, index: int) -> bytes:
    """The content of one record, counted from 0.

    Raises
    ------
    UnreadableError : no such record, a wrong checksum, or a damaged file.
    """
    places = record_places(path)
    if index >= len(places):
        raise UnreadableError(f"the file has {len(places):,} records, none with the number {index:,}")
    start, length = places[index].tolist()
    with open(path, "rb") as stream:
        return _content(stream, start, length, index + 1)


def read_records(path: Path) -> Iterator[bytes]:
    """The contents of all records, in the order of the file; raises as `read_record`, before the first is given."""
    places = record_places(path).tolist()
    with open(path, "rb") as stream:
        for number, (start, length) in enumerate(places, start=1):
            yield _content(stream, start, length, number)


def _content(stream: BinaryIO, start: int, length: int, number: int) -> bytes:
    stream.seek(start)
    data = stream.read(length)
    tail = stream.read(_TAIL)
    if len(data) < length or len(tail) < _TAIL:
        raise UnreadableError(f"record {number:,} is cut off")
    if masked_crc(data) != struct.unpack("<I", tail)[0]:
        raise UnreadableError(f"record {number:,} is damaged: its checksum is wrong")
    return data
