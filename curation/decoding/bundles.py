"""Image files inside a Parquet table, tar archive or TFRecord, read one at a time; nothing is ever unpacked to disk.

`data/train-00000-of-00001.parquet#image/17` is row 17 of the column `image` (bytes, or a struct with `bytes`, as
Hugging Face's `datasets` stores pictures); `train-000000.tar#17` is the 17th file of the archive whose name ends like
that of a picture, counted from 0; `train.record#17` is the picture of the 17th tf.train.Example, counted from 0. Links,
devices and sparse files in an archive are not looked at.
"""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from curation.decoding import FORMATS
from curation.decoding.tfrecord import is_tfrecord, read_record, record_places
from curation.errors import UnreadableError

MAX_MEMBER_BYTES = 512 * 2**20
MAX_GROUP_BYTES = 2 * 2**30  # of the pictures in one row group of a table, which are read together
MAX_GROUP_ROWS = 2**20  # as pyarrow writes them, where nobody says otherwise
MAX_MEMBERS = 5_000_000  # of one archive; a header is 512 bytes, so that many take 2.5 GB
SUFFIXES = tuple(suffix for _, _, suffixes in FORMATS.values() for suffix in suffixes.split())

_lock = threading.Lock()  # pyarrow's readers are not made for several threads


def read_member(path: Path, key: str, index: int) -> bytes:
    """The bytes of one picture in a bundle.

    path : of the bundle, links resolved

    Raises
    ------
    UnreadableError : no such member, too large, or a damaged bundle.
    """
    try:
        state = os.stat(path)
        opened = (os.fspath(path), state.st_size, state.st_mtime_ns)
        if opened[0].lower().endswith(".tar"):
            return _from_tar(*opened, index)
        if is_tfrecord(opened[0]):
            return _from_tfrecord(path, index)
        with _lock:
            return _from_parquet(*opened, key, index)
    except UnreadableError:
        raise
    except Exception as error:  # tar and Parquet readers raise anything when fed damaged bytes
        raise UnreadableError(f"the file that holds it is damaged ({' '.join(str(error).split())[:120]})") from error


def _from_tfrecord(path: Path, index: int) -> bytes:
    from curation.decoding.tf_example import picture_of  # here: protobuf, which few sets need

    with _lock:
        record_places(path)  # found once, not once per thread
    return picture_of(read_record(path, index))


# --- tar ---------------------------------------------------------------------------------------------------------


def _from_tar(path: str, size: int, modified: int, index: int) -> bytes:
    with _lock:
        places = _tar_index(path, size, modified)
    if index >= len(places):
        raise UnreadableError(f"the archive has {len(places):,} pictures, none with the number {index:,}")
    start, length = (int(value) for value in places[index])
    if length > MAX_MEMBER_BYTES:
        raise UnreadableError(f"larger than {MAX_MEMBER_BYTES // 2**20} MB ({length:,} bytes)")
    if start + length > size:
        raise UnreadableError("the archive is cut off")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(descriptor, length, start)
        while 0 < len(data) < length and (more := os.pread(descriptor, length - len(data), start + len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


@lru_cache(maxsize=256)
def _tar_index(path: str, size: int, modified: int) -> np.ndarray:
    """(n, 2) int64: where the pictures of an archive start, and their lengths in bytes."""
    places: list[tuple[int, int]] = []
    with tarfile.open(path, mode="r:") as archive:  # not compressed: a small file cannot become a large one
        for count, member in enumerate(_members(archive), start=1):
            if count > MAX_MEMBERS:
                raise UnreadableError(f"the archive has more than {MAX_MEMBERS:,} members")
            if member.size < 0 or archive.offset <= member.offset:  # it would lead back, and round for ever
                raise UnreadableError("the archive is damaged (a file of a negative size)")
            if member.isreg() and not member.issparse() and member.name.lower().endswith(SUFFIXES):
                places.append((member.offset_data, member.size))
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All of an archive, up to where it is cut off: what lies before is whole."""
    while True:
        # Every header is kept there otherwise, about 400 bytes each. (Its type stubs do not know the attribute.)
        archive.members = []  # type: ignore[attr-defined]
        try:
            member = archive.next()
        except tarfile.ReadError:
            return
        if member is None:
            return
        yield member


# --- Parquet -----------------------------------------------------------------------------------------------------


@dataclass
class _Table:
    """An open table: the first row of each row group, and the pictures of the group that was read last."""

    reader: Any
    starts: np.ndarray
    group: int = -1
    pictures: list[bytes | None] = field(default_factory=list)


def _from_parquet(path: str, size: int, modified: int, key: str, index: int) -> bytes:
    table = _open_table(path, size, modified, key)
    if index >= table.starts[-1]:
        raise UnreadableError(f"the table has {int(table.starts[-1]):,} rows, none with the number {index:,}")
    group = int(np.searchsorted(table.starts, index, side="right")) - 1
    if table.group != group:
        table.pictures, table.group = _read_group(table.reader, group, key), group
    value = table.pictures[index - int(table.starts[group])]
    if value is None:
        raise UnreadableError("there is no picture in this row of the table")
    if len(value) > MAX_MEMBER_BYTES:
        raise UnreadableError(f"larger than {MAX_MEMBER_BYTES // 2**20} MB ({len(value):,} bytes)")
    return value


@lru_cache(maxsize=4)
def _open_table(path: str, size: int, modified: int, key: str) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(pa.OSFile(os.fsencode(path)))
    counts = [reader.metadata.row_group(at).num_rows for at in range(reader.metadata.num_row_groups)]
    if min(counts, default=0) < 0:
        raise UnreadableError("the table has a negative number of rows")
    return _Table(reader, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def _read_group(reader: Any, group: int, key: str) -> list[bytes | None]:
    """The bytes of all pictures of a row group."""
    import pyarrow as pa

    # From the schema: what a damaged row group says of its columns makes pyarrow end the process.
    names = {reader.schema.column(at).path for at in range(len(reader.schema))}
    name = next((name for name in (f"{key}.bytes", key) if name in names), "")
    if not name:
        raise UnreadableError(f"the table has no column '{key}' of pictures")
    rows = reader.metadata.row_group(group).num_rows
    if rows > MAX_GROUP_ROWS:
        raise UnreadableError(f"its row group has {rows:,} rows; write smaller row groups")
    pictures: list[bytes | None] = []
    size = 0
    # Row by row: a dictionary of one value that every row repeats, or a page that is larger than the footer says, would
    # unpack to any size at once.
    for batch in reader.iter_batches(1, row_groups=[group], columns=[name], use_threads=False):
        found = batch.column(0)
        if pa.types.is_struct(found.type):
            found = found.field("bytes")
        if not (pa.types.is_binary(found.type) or pa.types.is_large_binary(found.type)):
            raise UnreadableError(f"the column '{key}' holds {found.type}, not the bytes of pictures")
        values = found.to_pylist()
        size += sum(len(value) for value in values if value is not None)
        if size > MAX_GROUP_BYTES:
            raise UnreadableError(f"its row group unpacks to more than {MAX_GROUP_BYTES:,} bytes; write smaller ones")
        pictures += values
    if len(pictures) != rows:
        raise UnreadableError("the table has another number of rows than it says")
    return pictures
