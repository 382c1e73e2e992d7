"""Some files of a data set -> what the cache keeps of them: one task of decoding, wherever it runs.

What need not be read again: a file whose device, inode, size, mtime and ctime are those that were noted when its
content hash was taken. As in git's index, a state is noted only when it was settled: a file whose ctime lies less than
`RACY_SECONDS` before it was read could be changed once more without its times changing, and is read again next time.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

from curation.decoding import CANONICAL_SHORT_PX, Picture, TooBigHere
from curation.decoding.measurements import Prepared, measure, prepare
from curation.decoding.pixel_cache import INDEX_RECORD, row_record
from curation.decoding.sources import split_member
from curation.decoding.stored import load_stored
from curation.errors import UnreadableError

DECODER_VERSION = 1  # of everything that is computed here, and in what is called here, from a file's bytes
RACY_SECONDS = 2.0  # the coarsest clock of the file systems in use (FAT)

Job = tuple[int, str]  # row number, path


@dataclass(frozen=True)
class Task:
    """What is the same for all chunks.

    size : S, pixels of a side; valid : content hashes that the cache holds, which are not decoded again
    max_pixels : pictures above it are left to another (`Chunk.left`); 0: none
    """

    root: Path
    size: int
    valid: Collection[bytes] = frozenset()
    racy_seconds: float = RACY_SECONDS
    max_pixels: int = 0


@dataclass
class Chunk:
    """Result of one task.

    states : per file (row number, content hash or None, key of its state or None while that may change, reason)
    rows : (n,) row_record; records : (m,) INDEX_RECORD without checksum, `row` counted from 0 in `rows`, -1 unreadable
    left : files that were not looked at
    """

    states: list[tuple[int, bytes | None, bytes | None, str]] = field(default_factory=list)
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0))
    records: np.ndarray = field(default_factory=lambda: np.zeros(0, INDEX_RECORD))
    left: list[Job] = field(default_factory=list)


def decoder_tag() -> str:
    """What, besides a file's bytes, decides how its pixels come out; part of the cache's file names."""
    jpeg = features.version("libjpeg_turbo") or features.version("jpg")
    return f"v{DECODER_VERSION}-pillow{pillow_version}-jpeg{jpeg}"


def decode_chunk(task: Task, jobs: Sequence[Job]) -> Chunk:
    """Read, hash, decode and measure the files of `jobs`; one that cannot be read is a reason, never an exception."""
    chunk = Chunk()
    records = np.zeros(len(jobs), INDEX_RECORD)
    prepared: list[Prepared] = []
    count = 0
    for row, path in jobs:
        try:
            content, state_key, file_bytes, open_picture = _load(task, path)
        except UnreadableError as error:
            chunk.states.append((row, None, None, str(error)))
            continue
        if content not in task.valid:
            record = records[count]
            try:
                picture = open_picture(CANONICAL_SHORT_PX)
                prepared.append(prepare(picture, _large_enough(picture, task.size, open_picture), task.size))
                record["width_px"], record["height_px"] = picture.width_px, picture.height_px
                record["format"], record["row"] = picture.format.encode(), len(prepared) - 1
            except TooBigHere:
                chunk.left.append((row, path))
                continue
            except UnreadableError as error:
                record["reason"], record["row"] = _short(str(error)), -1
            record["content"], record["file_bytes"] = np.void(content), file_bytes
            count += 1
        chunk.states.append((row, content, state_key, ""))
    chunk.records = records[:count]
    _complete(chunk, prepared, task.size)
    return chunk


def _complete(chunk: Chunk, prepared: list[Prepared], size: int) -> None:
    """Rows, pixel hashes, measurements and checksums of what was readable."""
    chunk.rows, measurements = measure(prepared, size)
    if prepared:
        readable = chunk.records["row"] >= 0
        chunk.records["pixel"][readable] = np.frombuffer(b"".join(one.pixel_hash for one in prepared), "V16")
        chunk.records["measurements"][readable] = measurements
        raw = chunk.rows.view(np.uint8).reshape(len(prepared), row_record(size).itemsize)
        chunk.records["row_crc"][readable] = [zlib.crc32(line.data) for line in raw]


def _load(task: Task, path: str) -> tuple[bytes, bytes | None, int, Callable[[int], Picture]]:
    """(content hash, key of its state or None while that may still change, bytes, what decodes these very bytes)."""
    started = time.time()
    stored = load_stored(task.root, path)
    settled = started - stored.state.st_ctime > task.racy_seconds
    member = path if "#" in path and split_member(path) is not None else ""
    key = make_state_key(stored.state, member) if settled else None
    return stored.content, key, stored.length, lambda short_px: stored.decode(short_px, task.max_pixels)


def make_state_key(state: os.stat_result, member: str) -> bytes:
    """16 bytes that change whenever the file does; `member` is the path of a container's member, else ""."""
    text = f"{state.st_dev} {state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {member}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _large_enough(picture: Picture, size: int, open_picture: Callable[[int], Picture]) -> Picture:
    """The picture with at least `size` pixels on its short side, if it has so many: decoded once more where not."""
    if min(picture.rgb.size) >= size or picture.format != "JPEG":
        return picture
    short = min(picture.width_px, picture.height_px)
    if min(picture.rgb.size) == short:  # it was not reduced
        return picture
    return open_picture(size)


def _short(reason: str) -> bytes:
    return reason.encode("utf-8", "replace")[:160].decode("utf-8", "ignore").encode()
