"""Every box of a detection set as a small picture, cut once and kept in the cache beside the decoded pictures.

A crop is found again by the content of its picture's file and the numbers of its box, so that a box that was moved is
cut anew and nothing else is. What lies in the cache has the form of curation.decoding.pixel_cache, checksums included.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curation.arrays import PixelRows
from curation.cores import usable_cores
from curation.decoding import pixel_cache
from curation.decoding.chunks import decoder_tag
from curation.decoding.crops import CROP_VERSION, cut
from curation.decoding.measurements import measure
from curation.decoding.pixel_cache import INDEX_RECORD, MEASUREMENTS, row_record
from curation.decoding.stored import load_stored
from curation.errors import SourceError, UnreadableError
from curation.pixels import Pixels
from curation.progress import SILENT, Progress

FLUSH_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Crops:
    """The boxes of a data set; entry b of everything is box b.

    there : (B,) bool, False where nothing of the box lies in its picture
    measured : (B, M) float64, MEASUREMENTS of the box without its surroundings; NaN where there is none
    cut : how many were cut in this call, the others came from the cache
    keys : (B,) text, equal for the same box of the same picture; pixel_hash : (B,) text, of what is inside of it
    """

    there: np.ndarray
    measured: np.ndarray
    size: int
    rows: np.ndarray
    row_of: np.ndarray
    keys: np.ndarray
    pixel_hash: np.ndarray
    cut: int = 0

    def gather(self) -> PixelRows:
        """(B, S, S, 3) uint8, grey where there is no crop."""
        return PixelRows(self.rows["pixels"], self.row_of)

    def column(self, name: str) -> np.ndarray:
        """(B,) float64, one of MEASUREMENTS."""
        return self.measured[:, MEASUREMENTS.index(name)]


@dataclass(frozen=True)
class _Job:
    """Boxes of one picture that the cache does not hold: `keys` are their names there."""

    path: str
    content: str
    width_px: int
    height_px: int
    boxes: np.ndarray
    keys: list[bytes]


def cut_crops(
    pixels: Pixels,
    picture: np.ndarray,
    boxes: np.ndarray,
    size: int,
    cache: Path,
    progress: Progress = SILENT,
    threads: int | None = None,
) -> Crops:
    """Cut what the cache does not hold yet, `size` x `size` pixels each, and return all of it.

    Parameters
    ----------
    picture : (B,) row number in `pixels.samples` of each box's picture, a readable one
    boxes : (B, 4) float64 x, y, w, h in pixels of the upright picture

    Raises
    ------
    SourceError : a picture changed, or went away, since it was decoded.
    WorkspaceError : the cache cannot be written.
    """
    threads = threads or usable_cores()
    stem = cache / f"{decoder_tag()}-boxes{CROP_VERSION}_s{size}"
    keys = _keys(pixels.samples["content_hash"].to_numpy()[picture], boxes)
    found, position = pixel_cache.read_entries(stem)
    known = _valid(stem, size, found, position, keys, threads)
    jobs = list(_jobs(pixels.samples, picture, boxes, keys, known))
    missing = sum(len(job.keys) for job in jobs)
    with progress.stage("Cutting out boxes", len(keys), "boxes") as advance:
        advance(len(keys) - missing)
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        for rows, records in _work(pixels.root, jobs, size, threads):
            waiting.append((rows, records))
            advance(len(records))
            if sum(rows.nbytes for rows, _ in waiting) > FLUSH_BYTES:
                _append(stem, size, waiting)
                waiting = []
        _append(stem, size, waiting)
    if missing:
        pixel_cache.sync_rows(stem)
        found, position = pixel_cache.read_entries(stem)
    at = np.array([position[key] for key in keys], dtype=np.int64)
    row_of = found["row"][at] if len(at) else np.zeros(0, np.int64)
    there = row_of >= 0
    measured = np.where(there[:, None], found["measurements"][at].astype(np.float64), np.nan)
    names = np.array([key.hex() for key in keys], dtype=object)
    inside = np.array([found["pixel"][place].tobytes().hex() for place in at.tolist()], dtype=object)
    return Crops(there, measured, size, pixel_cache.open_rows(stem, size), row_of, names, inside, missing)


def _keys(contents: np.ndarray, boxes: np.ndarray) -> list[bytes]:
    """16 bytes per box: of its picture's content and its numbers."""
    numbers = np.ascontiguousarray(boxes, dtype="<f8")
    return [
        hashlib.blake2b(content.encode() + box.tobytes(), digest_size=16).digest()
        for content, box in zip(contents.tolist(), numbers, strict=True)
    ]


def _valid(
    stem: Path, size: int, found: np.ndarray, position: dict[bytes, int], keys: Sequence[bytes], threads: int
) -> set[bytes]:
    """Those of `keys` whose row is there and has its checksum."""
    mine = [key for key in dict.fromkeys(keys) if key in position]
    at = np.array([position[key] for key in mine], dtype=np.int64)
    rows = pixel_cache.open_rows(stem, size)
    wrong = pixel_cache.wrong_rows(rows, found["row"][at], found["row_crc"][at], threads)
    return {key for key, bad in zip(mine, wrong.tolist(), strict=True) if not bad}


def _jobs(
    samples: pd.DataFrame, picture: np.ndarray, boxes: np.ndarray, keys: list[bytes], known: set[bytes]
) -> Iterator[_Job]:
    """What is left to do, one job per picture, each crop once."""
    order = np.argsort(picture, kind="stable")
    starts = np.flatnonzero(np.diff(picture[order], prepend=-1))
    asked = set(known)
    for members in np.split(order, starts[1:]) if len(order) else []:
        todo = []
        for box in members.tolist():
            if keys[box] not in asked:
                asked.add(keys[box])
                todo.append(box)
        if todo:
            sample = samples.iloc[int(picture[todo[0]])]
            yield _Job(
                str(sample["path"]), str(sample["content_hash"]), int(sample["width_px"]), int(sample["height_px"]),
                boxes[todo], [keys[box] for box in todo],
            )  # fmt: skip


def _work(root: Path, jobs: list[_Job], size: int, threads: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and records (INDEX_RECORD) of picture after picture, in order, a few of them in flight."""
    waiting: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads, "crops") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(_cut_picture, root, job, size))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _cut_picture(root: Path, job: _Job, size: int) -> tuple[np.ndarray, np.ndarray]:
    """All that the cache keeps of the boxes of one picture."""
    try:
        stored = load_stored(root, job.path)
        if stored.content.hex() != job.content:
            raise SourceError(f"{job.path!r} changed while the data set was read. Run the same command again.")
        cuts = cut(stored, job.boxes, job.width_px, job.height_px, size)
    except UnreadableError as error:
        raise SourceError(f"{job.path!r} could be read a moment ago, and now cannot: {error}.") from error
    records = np.zeros(len(cuts), INDEX_RECORD)
    ready = [one for one in cuts if one is not None]
    rows, measurements = measure(ready, size)
    there = np.array([one is not None for one in cuts])
    records["content"] = np.frombuffer(b"".join(job.keys), "V16")
    records["row"] = np.where(there, np.cumsum(there) - 1, -1)
    if ready:
        records["pixel"][there] = np.frombuffer(b"".join(one.pixel_hash for one in ready), "V16")
        records["measurements"][there] = measurements
        raw = rows.view(np.uint8).reshape(len(ready), row_record(size).itemsize)
        records["row_crc"][there] = [zlib.crc32(line.data) for line in raw]
    return rows, records


def _append(stem: Path, size: int, done: list[tuple[np.ndarray, np.ndarray]]) -> None:
    if not done:
        return
    first = 0
    for rows, records in done:
        records["row"][records["row"] >= 0] += first
        first += len(rows)
    rows, records = (np.concatenate(parts) for parts in zip(*done, strict=True))
    pixel_cache.append_entries(stem, size, rows, records)
