"""Decode every picture once: fixed-size pixels, hashes, raw measurements and fingerprints, kept in a cache on disk.

Canonical decode: what `pixel_hash`, measurements and fingerprints are made of depends on the file's bytes alone, never
on the size asked for. It is the upright RGB picture, in full, but for JPEG, which is decoded at the smallest DCT scale
that leaves `decoding.CANONICAL_SHORT_PX` on the short side. So lossless copies share a pixel hash unless one is a JPEG
that was reduced and the other is none. Where a JPEG was reduced, `curation.duplicates` calls a pair exact only after
both were decoded in full.

What need not be read again: a file whose device, inode, size, mtime and ctime are those that were noted when its
content hash was taken. As in git's index, a state is noted only when it was settled: a file whose ctime lies less than
`RACY_SECONDS` before it was read could be changed once more without its times changing, and is read again next time.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, features
from PIL import __version__ as pillow_version

from curation import pixel_cache, sources
from curation.containers import array_picture, open_container
from curation.decoding import CANONICAL_SHORT_PX, Picture, decode_picture, read_header, suffix_fits
from curation.errors import SourceError, UnreadableError
from curation.pixel_cache import CHROMA_PX, GREY_PX, INDEX_RECORD, MEASUREMENTS, row_record
from curation.progress import SILENT, Progress
from curation.records import Records

DECODER_VERSION = 1  # of everything that is computed here from a file's bytes
RACY_SECONDS = 2.0  # the coarsest clock of the file systems in use (FAT)
CHUNK = 16  # pictures per task
FLUSH_BYTES = 64 * 2**20  # decoded but not yet on disk
FLUSH_SECONDS = 10.0
SMALL_PX = 96  # measurements are taken on the canonical picture reduced to a longer side of 96 to 191 px


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

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """(n, S, S, 3) uint8, upright RGB squashed to a square, of the readable samples `rows`."""
        return self._take("pixels", rows)

    def grey(self, rows: np.ndarray) -> np.ndarray:
        """(n, 64, 64) uint8 luma, whatever S is."""
        return self._take("grey", rows)

    def chroma(self, rows: np.ndarray) -> np.ndarray:
        """(n, 2, 16, 16) uint8, Cb and Cr around 128."""
        return self._take("chroma", rows)

    def _take(self, name: str, rows: np.ndarray) -> np.ndarray:
        places = self.row_of[np.asarray(rows, dtype=np.int64)]
        assert (places >= 0).all(), "an unreadable sample has no pixels"
        return self.rows[name][places]


def decode(records: Records, size: int, cache: Path, progress: Progress = SILENT, threads: int | None = None) -> Pixels:
    """Decode what the cache does not hold yet, `size` x `size` pixels each, and return all of it.

    Raises
    ------
    SourceError : not a single picture can be read; quotes the first reasons.
    WorkspaceError : the cache cannot be written.
    """
    assert size > 0
    threads = threads or usable_cores()
    tag = (
        f"v{DECODER_VERSION}-pillow{pillow_version}-jpeg{features.version('libjpeg_turbo') or features.version('jpg')}"
    )
    stem, states_path = cache / f"{tag}_s{size}", cache / f"{tag}.files"
    paths = records.samples["path"].tolist()
    contents = _known_contents(records.root, paths, pixel_cache.read_states(states_path))
    found, position = pixel_cache.read_entries(stem)
    valid = _valid_contents(stem, size, found, position, threads)
    todo = [row for row, content in enumerate(contents) if content is None or content not in valid]
    failed: dict[int, str] = {}
    with progress.stage("Decoding", len(paths)) as advance:
        advance(len(paths) - len(todo))
        writer = _Writer(stem, size)
        new_states: dict[bytes, bytes] = {}
        for chunk in _in_threads(records.root, [(row, paths[row]) for row in todo], size, valid, threads):
            for row, content, state_key, reason in chunk.states:
                contents[row] = content
                if reason:
                    failed[row] = reason
                elif content is not None and state_key is not None:
                    new_states[state_key] = content
            writer.add(chunk)
            advance(len(chunk.states))
        writer.flush()
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
        return None if state is None else states.get(_state_key(state, path if member else ""))

    return [known(path) for path in paths]


def _state_key(state: os.stat_result, member: str) -> bytes:
    text = f"{state.st_dev} {state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {member}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _valid_contents(
    stem: Path, size: int, found: np.ndarray, position: dict[bytes, int], threads: int
) -> frozenset[bytes]:
    """The content hashes whose rows have their checksum; the others will be decoded again."""
    at = np.fromiter(position.values(), np.int64, len(position))
    rows = pixel_cache.open_rows(stem, size)
    wrong = pixel_cache.wrong_rows(rows, found["row"][at], found["row_crc"][at], threads)
    return frozenset(content for content, bad in zip(position, wrong, strict=True) if not bad)


@dataclass
class _Chunk:
    """What one task gives back: per file (row, content, state key, reason), and what was decoded of them."""

    states: list[tuple[int, bytes | None, bytes | None, str]] = field(default_factory=list)
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0))
    records: np.ndarray = field(default_factory=lambda: np.zeros(0, INDEX_RECORD))


def _in_threads(
    root: Path, jobs: list[tuple[int, str]], size: int, valid: frozenset[bytes], threads: int
) -> Iterator[_Chunk]:
    """Decode `jobs` in chunks, in order, with a few chunks in flight; Pillow lets go of the interpreter's lock."""
    waiting: deque[Future[_Chunk]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Pillow warns about faults that it can live with; filters are global, so they are set here and not in threads.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            for start in range(0, len(jobs), CHUNK):
                waiting.append(pool.submit(_decode_chunk, root, jobs[start : start + CHUNK], size, valid))
                if len(waiting) > 3 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _decode_chunk(root: Path, jobs: list[tuple[int, str]], size: int, valid: frozenset[bytes]) -> _Chunk:
    chunk = _Chunk()
    records, prepared = np.zeros(len(jobs), INDEX_RECORD), []
    count = 0
    for row, path in jobs:
        try:
            content, state_key, file_bytes, open_picture = _load(root, path)
        except UnreadableError as error:
            chunk.states.append((row, None, None, str(error)))
            continue
        chunk.states.append((row, content, state_key, ""))
        if content in valid:
            continue
        record = records[count]
        count += 1
        record["content"], record["file_bytes"], record["row"] = np.void(content), file_bytes, -1
        try:
            picture = open_picture(CANONICAL_SHORT_PX)
            prepared.append(_prepare(picture, _large_enough(picture, size, open_picture), size))
        except UnreadableError as error:
            record["reason"] = _short(str(error))
            continue
        record["width_px"], record["height_px"] = picture.width_px, picture.height_px
        record["format"], record["row"] = picture.format.encode(), len(prepared) - 1
    chunk.records = records[:count]
    _measure(chunk, prepared, size)
    return chunk


def _load(root: Path, path: str) -> tuple[bytes, bytes | None, int, Callable[[int], Picture]]:
    """(content hash, key of its state or None while that may still change, bytes, what decodes these very bytes)."""
    started = time.time()
    member = sources.split_member(path) if "#" in path else None
    if member is None:
        data, state = sources.read_bytes_and_stat(root, path)
        content, length = hashlib.sha256(data).digest()[:16], len(data)
        open_picture: Callable[[int], Picture] = lambda short_px: decode_picture(data, short_px)  # noqa: E731
    else:
        file, key, index = member
        location = sources.locate(root, file)
        state = location.stat()
        values, span = open_container(location, key).values(index)
        stamp = f"{values.dtype.str} {values.shape} {span}".encode()
        content, length = hashlib.sha256(stamp + values.tobytes()).digest()[:16], values.nbytes
        open_picture = lambda _: array_picture(values, span)  # noqa: E731
    settled = started - state.st_ctime > RACY_SECONDS
    return content, _state_key(state, path if member else "") if settled else None, length, open_picture


def _short(reason: str) -> bytes:
    return reason.encode("utf-8", "replace")[:160].decode("utf-8", "ignore").encode()


@dataclass(frozen=True)
class _Prepared:
    pixels: np.ndarray  # (S, S, 3)
    thumbnail: np.ndarray  # (64, 64, 3)
    colours: np.ndarray  # (16, 16, 3) Y, Cb, Cr
    histogram: list[int]  # 256 counts of luma
    sharpness: float
    pixel_hash: bytes


def _large_enough(picture: Picture, size: int, open_picture: Callable[[int], Picture]) -> Picture:
    """The picture with at least `size` pixels on its short side, if it has so many: decoded once more where not."""
    if min(picture.rgb.size) >= size or picture.format != "JPEG":
        return picture
    short = min(picture.width_px, picture.height_px)
    if min(picture.rgb.size) == short:  # it was not reduced
        return picture
    return open_picture(size)


def _prepare(canonical: Picture, large: Picture, size: int) -> _Prepared:
    """All that takes the whole picture, by Pillow, so that threads run side by side."""
    rgb = canonical.rgb
    pixel_hash = hashlib.sha256(f"{canonical.width_px}x{canonical.height_px} ".encode())
    pixel_hash.update(np.asarray(rgb).data)
    factor = max(rgb.size) // SMALL_PX
    small = rgb.reduce(factor) if factor > 1 else rgb
    luma = small.convert("L")
    thumbnail = _squash(rgb, small, GREY_PX)
    pixels = np.asarray(thumbnail)
    return _Prepared(
        pixels if size == GREY_PX else np.asarray(_squash(large.rgb, small, size)),
        pixels,
        np.asarray(thumbnail.reduce(GREY_PX // CHROMA_PX).convert("YCbCr")),
        luma.histogram(),
        _sharpness(np.asarray(luma).astype(np.int16)),
        pixel_hash.digest()[:16],
    )


def _squash(full: Image.Image, small: Image.Image, size: int) -> Image.Image:
    """To size x size, without cropping; from the reduced picture where that has enough pixels."""
    source = small if min(small.size) >= size else full
    return source.resize((size, size), Image.Resampling.BILINEAR)


def _sharpness(luma: np.ndarray) -> float:
    if min(luma.shape) < 3:
        return 0.0
    inner = luma[1:-1, 1:-1]
    laplacian = 4 * inner - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    values = laplacian.astype(np.float32).ravel()
    return float(np.sqrt(max(0.0, values @ values / values.size - values.mean() ** 2)))


def _measure(chunk: _Chunk, prepared: list[_Prepared], size: int) -> None:
    """Fill the rows and the measurements of a chunk, all pictures at once."""
    chunk.rows = np.zeros(len(prepared), row_record(size))
    if not prepared:
        return
    chunk.rows["pixels"] = np.stack([p.pixels for p in prepared])
    chunk.rows["chroma"] = np.stack([p.colours for p in prepared]).transpose(0, 3, 1, 2)[:, 1:]
    red, green, blue = (np.stack([p.thumbnail[..., channel] for p in prepared]) for channel in range(3))
    luma: np.ndarray = red * np.uint16(77) + green * np.uint16(150) + blue * np.uint16(29)  # of 256
    chunk.rows["grey"] = luma >> 8
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    spread = spread.reshape(len(prepared), -1)
    top = spread.shape[1] * 99 // 100
    readable = chunk.records["row"] >= 0
    chunk.records["pixel"][readable] = np.frombuffer(b"".join(p.pixel_hash for p in prepared), "V16")
    histogram = np.array([p.histogram for p in prepared], dtype=np.float64)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = share @ levels
    below = share.cumsum(axis=1)
    values = {
        "brightness": mean,
        "brightness_p05": (below < 0.05).sum(axis=1) / 255,
        "brightness_p99": (below < 0.99 - 1e-9).sum(axis=1) / 255,
        "contrast": np.sqrt(np.maximum(share @ levels**2 - mean**2, 0)),
        "entropy_bits": -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1),
        "sharpness": np.array([p.sharpness for p in prepared]),
        "saturation": spread.mean(axis=1) / 255,
        "saturation_p99": np.partition(spread, top, axis=1)[:, top] / 255,
    }
    chunk.records["measurements"][readable] = np.stack([values[name] for name in MEASUREMENTS], axis=1)


class _Writer:
    """Collects what was decoded, and appends it to the cache now and then, so that a killed run keeps most of it."""

    def __init__(self, stem: Path, size: int) -> None:
        self.stem, self.size, self.written = stem, size, 0
        self.waiting: list[_Chunk] = []
        self.rows, self.since = 0, time.monotonic()

    def add(self, chunk: _Chunk) -> None:
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


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
