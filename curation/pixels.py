"""Decode every picture once: fixed-size pixels, hashes, raw measurements and fingerprints, kept in a cache on disk.

Canonical decode: what `pixel_hash`, measurements and fingerprints are made of depends on the file's bytes alone, never
on the size asked for. It is the upright RGB picture, in full, but for JPEG, which is decoded at the smallest DCT scale
that leaves `decoding.CANONICAL_SHORT_PX` on the short side. So lossless copies share a pixel hash unless one is a JPEG
that was reduced and the other is none. Where a JPEG was reduced, `curation.duplicates` calls a pair exact only after
both were decoded in full.

What one task does is in `curation.decoding.chunks`, who does it in `curation.decoding.workers`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from curation.arrays import PixelRows
from curation.cores import usable_cores
from curation.decoding import pixel_cache, read_header, sources, suffix_fits
from curation.decoding.chunks import RACY_SECONDS, Chunk, Task, decoder_tag, make_state_key
from curation.decoding.pixel_cache import INDEX_RECORD, MEASUREMENTS, row_record
from curation.decoding.stored import load_stored
from curation.decoding.workers import decode_chunks
from curation.errors import SourceError, UnreadableError, WorkspaceError
from curation.progress import SILENT, Progress
from curation.records import Records

FLUSH_BYTES = 4 * 2**20  # decoded but not yet written
FLUSH_SECONDS = 10.0


@dataclass(frozen=True)
class Pixels:
    """The decoded data set; row r of everything is row r of `samples`.

    samples : records.samples with content_hash, pixel_hash, width_px, height_px, format, status and reason filled, plus

        brightness, brightness_p05, brightness_p99 : mean and percentiles of luma / 255, in [0, 1]
        contrast : standard deviation of luma / 255
        entropy_bits : of the luma histogram, in [0, 8]; low = hardly any information
        sharpness : standard deviation of the Laplacian of luma (0..255), longer side 96 to 191 px; low = blurred
        saturation, saturation_p99 : mean and 99th percentile of (largest - smallest channel) / 255; 0 = grey
        aspect_ratio : width / height; NaN where unreadable, as are all of these
        file_bytes : int64, 0 where unreadable; of an array's member, the bytes of its values
        suffix_fits : bool, whether the file's extension says what was found in its bytes
    size : S, side of the squashed square in pixels
    rows : memory map of `pixel_cache.row_record(S)`
    row_of : (R,) int64 into `rows`, -1 where unreadable
    decoded : how many pictures were decoded in this call, the others came from the cache
    """

    samples: pd.DataFrame
    size: int
    rows: np.ndarray
    row_of: np.ndarray
    root: Path
    decoded: int = 0

    def gather(self, rows: np.ndarray) -> PixelRows:
        """(n, S, S, 3) uint8, upright RGB squashed to a square, of the readable samples `rows`."""
        return PixelRows(self.rows["pixels"], self._places(rows))

    def grey(self, rows: np.ndarray) -> np.ndarray:
        """(n, 64, 64) uint8 luma, whatever S is."""
        return self._take("grey", rows)

    def chroma(self, rows: np.ndarray) -> np.ndarray:
        """(n, 2, 16, 16) uint8, Cb and Cr around 128."""
        return self._take("chroma", rows)

    def keep(self, rows: np.ndarray, said: pd.DataFrame) -> Pixels:
        """Only the samples `rows`, with what a manifest says of them (columns of `samples`, in the order of `rows`)."""
        samples = self.samples.take(rows).reset_index(drop=True)
        return replace(self, samples=samples.assign(**said), row_of=self.row_of[rows])

    def _take(self, name: str, rows: np.ndarray) -> np.ndarray:
        return self.rows[name][self._places(rows)]

    def _places(self, rows: np.ndarray) -> np.ndarray:
        places = self.row_of[np.asarray(rows, dtype=np.int64)]
        assert (places >= 0).all(), "an unreadable sample has no pixels"
        return places


def decode(records: Records, size: int, cache: Path, progress: Progress = SILENT, threads: int | None = None) -> Pixels:
    """Decode what the cache does not hold yet, `size` x `size` pixels each, and return all of it.

    Raises
    ------
    SourceError : not a single picture can be read; quotes the first reasons.
    WorkspaceError : the cache cannot be written.
    """
    assert size > 0
    threads = threads or usable_cores()
    stem, states_path = cache / f"{decoder_tag()}_s{size}", cache / f"{decoder_tag()}.files"
    paths = records.samples["path"].tolist()
    contents = _known_contents(records.root, paths, pixel_cache.read_states(states_path))
    found, position = pixel_cache.read_entries(stem)
    valid = _valid_contents(stem, size, found, position, threads)
    jobs = [(row, paths[row]) for row, content in enumerate(contents) if content is None or content not in valid]
    failed: dict[int, str] = {}
    new_states: dict[bytes, bytes] = {}
    with progress.stage("Decoding", len(paths)) as advance:
        advance(len(paths) - len(jobs))
        writer = _Writer(stem, size)
        task = Task(records.root, size, valid, RACY_SECONDS)
        with closing(decode_chunks(task, jobs, threads)) as chunks:
            for chunk in chunks:
                for row, content, state_key, reason in chunk.states:
                    contents[row] = content
                    if reason:
                        failed[row] = reason
                    elif content is not None and state_key is not None:
                        new_states[state_key] = content
                writer.add(chunk)
                advance(len(chunk.states))
        writer.finish()
        with suppress(WorkspaceError):  # all pictures are there; those files will just be read again next time
            pixel_cache.append_states(states_path, new_states)
    if writer.written:
        found, position = pixel_cache.read_entries(stem)
    samples, row_of = _fill(records, contents, failed, found, position)
    _refuse_if_all_unreadable(records, samples)
    return Pixels(samples, size, pixel_cache.open_rows(stem, size), row_of, records.root, writer.written)


def peek_size(records: Records, seed: int = 0) -> tuple[int, int]:
    """Median (width, height) in pixels of up to 256 pictures, from their headers; (0, 0) if none can be read."""
    paths = records.samples["path"].to_numpy()
    some = np.random.default_rng(seed).permutation(len(paths))[:256]
    found = []
    for path in paths[np.sort(some)]:
        try:
            found.append(_header_size(records.root, path))
        except UnreadableError:
            continue
    if not found:
        return 0, 0
    width, height = np.median(np.array(found), axis=0)
    return int(width), int(height)


def _header_size(root: Path, path: str) -> tuple[int, int]:
    member = sources.split_member(path)
    if member is not None:
        picture = sources.open_picture(root, path)
        return picture.width_px, picture.height_px
    try:
        return read_header(sources.read_bytes(root, path, 2**18))
    except UnreadableError:  # a header that lies further on, as in most TIFF files
        return read_header(sources.read_bytes(root, path))


def _known_contents(root: Path, paths: Sequence[str], states: dict[bytes, bytes]) -> list[bytes | None]:
    """The content hash of each file whose state is the noted one, None for the others."""
    if not states:
        return [None] * len(paths)
    containers: dict[str, os.stat_result | None] = {}

    def known(path: str) -> bytes | None:
        member = sources.split_member(path) if "#" in path else None
        if member is None:
            state = sources.regular_state(root, path)
        else:
            file = member[0]
            if file not in containers:
                containers[file] = sources.regular_state(root, file)
            state = containers[file]
        return None if state is None else states.get(make_state_key(state, path if member else ""))

    return [known(path) for path in paths]


def content_hashes(root: Path, paths: Sequence[str], cache: Path, progress: Progress = SILENT) -> list[str]:
    """The `content_hash` of each picture as it is now, "" where it cannot be read; nothing is decoded or written.

    Files whose state the cache has noted are not read again.
    """
    known = _known_contents(root, paths, pixel_cache.read_states(cache / f"{decoder_tag()}.files"))

    def now(path: str, content: bytes | None) -> str:
        if content is not None:
            return content.hex()
        try:
            return load_stored(root, path).content.hex()
        except UnreadableError:
            return ""

    found = []
    with progress.stage("Looking at the source", len(paths)) as advance:
        for path, content in zip(paths, known, strict=True):
            found.append(now(path, content))
            advance(1)
    return found


def _valid_contents(
    stem: Path, size: int, found: np.ndarray, position: dict[bytes, int], threads: int
) -> frozenset[bytes]:
    """The content hashes whose rows have their checksum; the others will be decoded again."""
    at = np.fromiter(position.values(), np.int64, len(position))
    rows = pixel_cache.open_rows(stem, size)
    wrong = pixel_cache.wrong_rows(rows, found["row"][at], found["row_crc"][at], threads)
    return frozenset(content for content, bad in zip(position, wrong, strict=True) if not bad)


class _Writer:
    """Collects what was decoded, and appends it to the cache now and then, so that a killed run keeps most of it."""

    def __init__(self, stem: Path, size: int) -> None:
        self.stem, self.size, self.written = stem, size, 0
        self.waiting: list[Chunk] = []
        self.rows, self.since = 0, time.monotonic()

    def add(self, chunk: Chunk) -> None:
        if len(chunk.records):
            self.waiting.append(chunk)
            self.rows += len(chunk.rows)
        big = self.rows * row_record(self.size).itemsize >= FLUSH_BYTES
        if big or (self.waiting and time.monotonic() - self.since > FLUSH_SECONDS):
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        first = 0
        for chunk in self.waiting:
            chunk.records["row"][chunk.records["row"] >= 0] += first
            first += len(chunk.rows)
        rows = np.concatenate([chunk.rows for chunk in self.waiting])
        records = np.concatenate([chunk.records for chunk in self.waiting])
        pixel_cache.append_entries(self.stem, self.size, rows, records)
        self.written += len(records)
        self.waiting, self.rows, self.since = [], 0, time.monotonic()

    def finish(self) -> None:
        self.flush()
        if self.written:
            pixel_cache.sync_rows(self.stem)


def _fill(
    records: Records,
    contents: list[bytes | None],
    failed: dict[int, str],
    found: np.ndarray,
    position: dict[bytes, int],
) -> tuple[pd.DataFrame, np.ndarray]:
    """The samples table with everything that decoding knows, and the row of each sample in the row file."""
    at = np.array([-1 if content is None else position[content] for content in contents], dtype=np.int64)
    known = np.concatenate([found, np.zeros(1, INDEX_RECORD)])[at]  # -1 takes the blank one at the end
    row_of = np.where(at >= 0, known["row"], -1)
    readable = row_of >= 0
    reasons = [reason.decode() for reason in known["reason"].tolist()]
    for row, reason in failed.items():
        reasons[row] = reason
    formats = [name.decode() for name in known["format"].tolist()]
    samples = records.samples.copy()
    samples["content_hash"] = pd.Series(["" if c is None else c.hex() for c in contents], dtype="str")
    pixel_hashes = [value.tobytes().hex() if ok else "" for value, ok in zip(known["pixel"], readable, strict=True)]
    samples["pixel_hash"] = pd.Series(pixel_hashes, dtype="str")
    samples["width_px"], samples["height_px"] = known["width_px"], known["height_px"]
    samples["format"] = pd.Series(formats, dtype="str")
    samples["status"] = pd.Series(np.where(readable, "ok", "unreadable"), dtype="str")
    samples["reason"] = pd.Series(reasons, dtype="str")
    for column, name in enumerate(MEASUREMENTS):
        samples[name] = np.where(readable, known["measurements"][:, column], np.nan).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        samples["aspect_ratio"] = known["width_px"] / known["height_px"]
    samples["file_bytes"] = known["file_bytes"]
    samples["suffix_fits"] = [suffix_fits(p, f) for p, f in zip(samples["path"].tolist(), formats, strict=True)]
    return samples, row_of


def _refuse_if_all_unreadable(records: Records, samples: pd.DataFrame) -> None:
    bad = samples[samples["status"] == "unreadable"]
    if len(bad) < len(samples) or samples.empty:
        return
    first = "; ".join(f"{row.path!r}: {row.reason}" for row in bad.head(3).itertuples())
    raise SourceError(f"Not one of the {len(bad):,} pictures in {records.root} can be read. {first}.")
