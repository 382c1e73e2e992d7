"""The cache on disk: decoded pictures by content hash, and content hashes by the state of a file.

Three files, only ever appended to, under one lock:

    <tag>-s64.rows    one fixed-size row per picture: its pixels at S x S and its fingerprint
    <tag>-s64.index   one fixed-size record per picture: hashes, size, measurements, row number, checksums
    <tag>.files       state of a file (device, inode, size, times) -> content hash, so that it need not be read again

A row is written before its record, and every record carries a checksum of itself and of its row. So whatever is
killed, torn, lost in a power cut or overwritten shows as a record that is missing or wrong; it is decoded again and
appended again, and of two records for the same content the later one counts. Only rows are synced, once, at the end: a
disk that turns out to be full has to say so before they are mapped into memory. Readers need no lock and no right to
write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curation.errors import WorkspaceError
from curation.files import failpoint

GREY_PX = 64
CHROMA_PX = 16
MEASUREMENTS = (
    "brightness",
    "brightness_p05",
    "brightness_p99",
    "contrast",
    "entropy_bits",
    "sharpness",
    "saturation",
    "saturation_p99",
)

INDEX_RECORD = np.dtype(
    [
        ("content", "V16"),  # of the file's bytes
        ("pixel", "V16"),  # of the canonical decode
        ("width_px", "<i4"),
        ("height_px", "<i4"),
        ("format", "S8"),
        ("file_bytes", "<i8"),
        ("measurements", "<f4", (len(MEASUREMENTS),)),
        ("row", "<i8"),  # -1: unreadable
        ("row_crc", "<u4"),
        ("reason", "S160"),
        ("crc", "<u4"),  # of everything before it
    ]
)
STATE_RECORD = np.dtype([("key", "V16"), ("content", "V16"), ("crc", "<u4")])


def row_record(size: int) -> np.dtype:
    """One picture: `pixels` (S, S, 3), and its fingerprint `grey` (64, 64) and `chroma` (2, 16, 16), all uint8."""
    return np.dtype(
        [
            ("pixels", "u1", (size, size, 3)),
            ("grey", "u1", (GREY_PX, GREY_PX)),
            ("chroma", "u1", (2, CHROMA_PX, CHROMA_PX)),
        ]
    )


def read_entries(stem: Path) -> tuple[np.ndarray, dict[bytes, int]]:
    """The index records whose own checksum is right, and content hash -> position of its last record among them."""
    records = _read_records(_file(stem, ".index"), INDEX_RECORD)
    return records, {content: at for at, content in enumerate(_as_bytes(records["content"]))}


def read_states(path: Path) -> dict[bytes, bytes]:
    """State of a file -> its content hash."""
    records = _read_records(path, STATE_RECORD)
    return dict(zip(_as_bytes(records["key"]), _as_bytes(records["content"]), strict=True))


def open_rows(stem: Path, size: int) -> np.ndarray:
    """All rows as a read-only memory map, possibly of length 0."""
    path, record = _file(stem, ".rows"), row_record(size)
    count = path.stat().st_size // record.itemsize if path.exists() else 0
    return np.memmap(path, record, "r", shape=(count,)) if count else np.zeros(0, record)


def wrong_rows(rows: np.ndarray, numbers: np.ndarray, checksums: np.ndarray, threads: int) -> np.ndarray:
    """Which of the rows `numbers` (-1: none, never wrong) are missing or do not have their checksum, as (n,) bool."""
    from concurrent.futures import ThreadPoolExecutor  # here, as it is more than a decoding process needs to load

    wrong = numbers >= len(rows)

    def check(block: np.ndarray) -> None:
        for at in block:
            wrong[at] = zlib.crc32(rows[numbers[at]].tobytes()) != checksums[at]

    todo = np.flatnonzero((numbers >= 0) & ~wrong)
    blocks = [todo[start : start + 256] for start in range(0, len(todo), 256)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(check, blocks))
    return wrong


def append_entries(stem: Path, size: int, rows: np.ndarray, records: np.ndarray) -> None:
    """Append rows (row_record) and their records: INDEX_RECORD with the checksum of the row, `row` counted from 0 in
    `rows`, -1 unreadable.

    Raises
    ------
    WorkspaceError : the cache cannot be written, or the disk is full; what was there before is untouched.
    """
    record = row_record(size)
    with _locked(stem.parent):
        first = 0
        if len(rows):
            with _appending(_file(stem, ".rows"), record.itemsize) as stream:
                first = stream.tell() // record.itemsize
                stream.write(rows.data)
        failpoint("pixels.after_rows")
        records = records.copy()
        records["row"][records["row"] >= 0] += first
        _append_records(_file(stem, ".index"), records)
        failpoint("pixels.after_index")


def sync_rows(stem: Path) -> None:
    """Make all rows durable.

    Raises
    ------
    WorkspaceError : the disk turned out to be full; what could not be kept is noticed by its checksum.
    """
    path = _file(stem, ".rows")
    with _explained(stem.parent):
        failpoint("pixels.before_sync")
        if path.exists():
            with path.open("ab") as stream:
                os.fsync(stream.fileno())


def append_states(path: Path, states: dict[bytes, bytes]) -> None:
    """Remember the content hash of files by their state."""
    if not states:
        return
    records = np.zeros(len(states), STATE_RECORD)
    records["key"] = np.frombuffer(b"".join(states), "V16")
    records["content"] = np.frombuffer(b"".join(states.values()), "V16")
    with _locked(path.parent):
        _append_records(path, records)


def _append_records(path: Path, records: np.ndarray) -> None:
    payload = records.dtype.itemsize - 4
    raw = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), -1)
    records["crc"] = [zlib.crc32(line[:payload].data) for line in raw]
    with _appending(path, records.dtype.itemsize) as stream:
        stream.write(records.tobytes())
        failpoint("pixels.before_close")


def _read_records(path: Path, record: np.dtype) -> np.ndarray:
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # the writer says what is wrong with the folder
        return np.zeros(0, record)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read: {error.strerror}.") from error
    records = np.frombuffer(raw, record, len(raw) // record.itemsize)
    view, payload = memoryview(raw), record.itemsize - 4
    starts = range(0, len(records) * record.itemsize, record.itemsize)
    right = np.fromiter((zlib.crc32(view[s : s + payload]) for s in starts), np.uint32, len(records))
    return records[right == records["crc"]]


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)  # not with_suffix: versions in the name have dots


def _as_bytes(values: np.ndarray) -> list[bytes]:
    raw = values.tobytes()
    return [raw[at : at + 16] for at in range(0, len(raw), 16)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the one lock of the cache; a process that dies lets go of it."""
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _appending(path: Path, unit: int) -> Iterator[BinaryIO]:
    """A file open at its end, first filled up to whole records where one is torn."""
    with path.open("ab") as stream:
        stream.write(bytes(-stream.tell() % unit))
        stream.flush()
        yield stream


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "Free some space" if full else "Make it writable"
        raise WorkspaceError(
            f"The picture cache {folder} could not be written: {error.strerror or error}. "
            f"{advice}, or choose another place with --workspace DIR, and run the same command again."
        ) from error
