"""Pixels -> duplicates: exact ones by pixel hash, near ones by a search and then verified, and their clusters."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from curation.cores import usable_cores
from curation.decoding import CANONICAL_SHORT_PX, sources
from curation.decoding.jpeg_header import jpeg_scale
from curation.duplicates import fingerprints
from curation.duplicates.fingerprints import FLAT_LEVELS, TRANSFORMS, WINDOWS, Candidates
from curation.duplicates.verification import EVIDENCE, PAIR_COLUMNS, Study, background_detail, pair_table, verify
from curation.errors import UnreadableError
from curation.files import write_atomic
from curation.pixels import Pixels
from curation.progress import SILENT, Progress

VERSION = 1  # of the rules here and in `verification`; part of the cache key
ALL_PAIRS = 16  # copies; a larger group of exact copies is given as pairs with its first picture only

THREADED_PICTURES = 4096

_BLOCK = 2048  # candidate pairs that are verified at a time


@dataclass(frozen=True)
class Duplicates:
    """Verified duplicates.

    pairs : a, b row numbers of `Pixels.samples`, a < b, each pair once, sorted; `kind` "exact" or "near"; `transform`
        how b comes from a ("same", "mirrored", "rotated 90" clockwise, ..., with ", cropped" and ", grey" added);
        `distance` = 1 - correlation of the aligned luma, in [0, 2], 0 for exact; the evidence: `correlation`,
        `detail16`, `detail32`, `detail64` in [-1, 1], `overlap` the part of the pictures that both show
    cluster : (M,) int64, a number per picture, equal for duplicates; others have one of their own
    """

    pairs: pd.DataFrame
    cluster: np.ndarray


def find_duplicates(pixels: Pixels, cache: Path, progress: Progress = SILENT) -> Duplicates:
    """Exact and near duplicates among the readable pictures; asked again for the same pictures, from the cache."""
    count = len(pixels.samples)
    path = cache / f"duplicates-{_key(pixels)}.npz"
    saved = _read(path, count)
    if saved is not None:
        return saved
    from threadpoolctl import threadpool_limits

    groups = [part for group in _exact_groups(pixels) for part in _compared_in_full(pixels, group)]
    groups.sort(key=lambda group: int(group[0]))
    exact = _exact_pairs(groups)
    with threadpool_limits(1, user_api="blas"):  # the threads here are our own, on many small products
        study = _study(pixels, np.array([group[0] for group in groups], dtype=np.int64))
        study, near = _near_pairs(study, progress)
        near = _upgrade_to_exact(pixels, near)
        pairs = pd.concat([exact, near], ignore_index=True).sort_values(["a", "b"], ignore_index=True)
        duplicates = Duplicates(pairs, _clusters(study, count, exact, near))
    _write(path, duplicates)
    return duplicates


def _study(pixels: Pixels, rows: np.ndarray) -> Study:
    grey = pixels.grey(rows) if len(rows) else np.zeros((0, 64, 64), np.uint8)
    textured = np.zeros(len(rows), bool)
    for start in range(0, len(rows), 4096):
        textured[start : start + 4096] = grey[start : start + 4096].std(axis=(1, 2), dtype=np.float32) >= FLAT_LEVELS
    rows, grey = rows[textured], grey[textured]
    return Study(pixels, rows, grey, fingerprints.coefficients(grey))


def _exact_groups(pixels: Pixels) -> list[np.ndarray]:
    """Rows of equal pixel hash, for every readable picture; ascending inside and by the first row."""
    readable = np.flatnonzero(pixels.row_of >= 0)
    codes, _ = pd.factorize(pixels.samples["pixel_hash"].to_numpy()[readable])
    order = np.argsort(codes, kind="stable")
    return np.split(readable[order], np.flatnonzero(np.diff(codes[order])) + 1) if len(readable) else []


def _compared_in_full(pixels: Pixels, group: np.ndarray) -> list[np.ndarray]:
    """A group of equal pixel hash, split where hashes of reduced decodes hide a difference in the finest details."""
    if len(group) == 1:
        return [group]
    samples = pixels.samples
    contents = samples["content_hash"].to_numpy()[group]
    form, width, height = (samples[name].to_numpy()[group] for name in ("format", "width_px", "height_px"))
    reduced = form[0] == "JPEG" and jpeg_scale(width[0], height[0], CANONICAL_SHORT_PX) > 1
    if not reduced or (contents == contents[0]).all():
        return [group]
    full: dict[str, str] = {}
    for content, path in zip(contents, samples["path"].to_numpy()[group], strict=True):
        if content not in full:
            try:
                full[content] = hashlib.sha256(sources.open_picture(pixels.root, path).rgb.tobytes()).hexdigest()
            except UnreadableError:  # it was readable a moment ago: whatever it is now, it is no proven copy
                full[content] = content
    codes, _ = pd.factorize(np.array([full[content] for content in contents], dtype=object))
    return [group[codes == code] for code in range(codes.max() + 1)]


def _exact_pairs(groups: Iterable[np.ndarray]) -> pd.DataFrame:
    first, second = [], []
    for group in groups:
        if len(group) > 1:
            last = len(group) - 1 if len(group) <= ALL_PAIRS else 1
            for at in range(last):
                first.append(np.full(len(group) - at - 1, group[at]))
                second.append(group[at + 1 :])
    a, b = (np.concatenate(side) if side else np.zeros(0, np.int64) for side in (first, second))
    ones = {name: np.ones(len(a)) for name in EVIDENCE}
    return pair_table(a, b, np.full(len(a), "exact"), np.full(len(a), "same"), np.zeros(len(a)), ones)


def _near_pairs(study: Study, progress: Progress) -> tuple[Study, pd.DataFrame]:
    """Verified near duplicates, each pair once; and the study, with what its background asks for."""
    count = len(study.rows)
    if count < 2:
        return study, _exact_pairs([])
    # In a small set the threads would spend their time waiting for the interpreter.
    threads = usable_cores() if count >= THREADED_PICTURES else 1
    with progress.stage("Finding duplicates", fingerprints.count_blocks(count), "blocks") as advance:
        candidates = fingerprints.find_candidates(study.grey, study.base, advance, threads)
    study = replace(study, needed=background_detail(study.grey, study.base))
    blocks = [np.arange(start, min(start + _BLOCK, len(candidates.a))) for start in range(0, len(candidates.a), _BLOCK)]
    found = [_exact_pairs([])]
    with (
        progress.stage("Verifying duplicates", len(candidates.a), "pairs") as advance,
        ThreadPoolExecutor(threads) as pool,
    ):
        for places, table in zip(blocks, pool.map(lambda b: verify(study, candidates.take(b)), blocks), strict=True):
            found.append(table)
            advance(len(places))
    pairs = pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)
    return study, pairs.sort_values(["a", "b"], ignore_index=True)


def _upgrade_to_exact(pixels: Pixels, near: pd.DataFrame) -> pd.DataFrame:
    """Near duplicates that are equal when decoded in full: a JPEG, whose pixel hash is of a reduced decode."""
    samples = pixels.samples
    width, height, form = (samples[name].to_numpy() for name in ("width_px", "height_px", "format"))
    for row in near[(near["transform"] == "same") & (near["distance"] < 0.005)].itertuples():
        a, b = int(row.a), int(row.b)
        same_size = width[a] == width[b] and height[a] == height[b]
        reduced = jpeg_scale(width[a], height[a], CANONICAL_SHORT_PX) > 1
        if same_size and reduced and (form[a] == "JPEG") != (form[b] == "JPEG"):
            try:
                full = [sources.open_picture(pixels.root, samples["path"].iloc[at]).rgb for at in (a, b)]
            except UnreadableError:
                continue
            if full[0].tobytes() == full[1].tobytes():
                near.loc[row.Index, "kind"] = "exact"
    return near


def _clusters(study: Study, count: int, exact: pd.DataFrame, near: pd.DataFrame) -> np.ndarray:
    """The least row number of each picture's cluster.

    Chains are cut: in a component of three or more, all have to match its representative, the member with most
    verified twins; those that do not are put together again among themselves.
    """
    edges = near[["a", "b"]].to_numpy()
    settled: list[np.ndarray] = [exact[["a", "b"]].to_numpy(), np.zeros((0, 2), np.int64)]
    while len(edges):
        component = _components(count, edges)
        degree = np.bincount(edges.ravel(), minlength=count)
        members = np.unique(edges)
        # Of each component, first the one with most twins, then the smallest row number.
        order = members[np.lexsort((members, -degree[members], component[members]))]
        first = np.flatnonzero(np.diff(component[order], prepend=-1))
        leader = np.repeat(order[first], np.diff(np.append(first, len(order))))
        linked = set(map(tuple, edges.tolist()))
        known = np.array([x == y or (min(x, y), max(x, y)) in linked for x, y in zip(leader, order, strict=True)])
        known[~known] = _match(study, leader[~known], order[~known])
        settled.append(np.stack([leader[known], order[known]], axis=1))
        left = np.zeros(count, bool)
        left[order[~known]] = True
        edges = edges[left[edges].all(axis=1)]
    component = _components(count, np.concatenate(settled))
    least = np.full(count, count)
    np.minimum.at(least, component, np.arange(count))
    return least[component]


def _components(count: int, edges: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _match(study: Study, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether each of the pairs (row numbers) is a near duplicate, tried from the likeliest window and position."""
    if not len(a):
        return np.zeros(0, bool)
    at, to = np.searchsorted(study.rows, a), np.searchsorted(study.rows, b)
    base = study.base[to]
    asking = fingerprints.window_coefficients(study.grey[at], WINDOWS)
    cosine = np.concatenate([fingerprints.position_cosines(fingerprint, base) for fingerprint in asking])
    best = np.argmax(cosine, axis=0)
    window, transform = np.divmod(best, len(TRANSFORMS))
    pairs = verify(study, Candidates(at, to, window, transform, np.zeros(len(at), np.float32)))
    found = set(map(tuple, pairs[["a", "b"]].to_numpy().tolist()))
    return np.array([(min(x, y), max(x, y)) in found for x, y in zip(a, b, strict=True)], dtype=bool)


def _key(pixels: Pixels) -> str:
    """Name of the answer in the cache: everything that it depends on."""
    digest = hashlib.blake2b(f"{VERSION} {np.__version__}".encode(), digest_size=16)
    for name in ("content_hash", "pixel_hash"):
        digest.update("\n".join(pixels.samples[name].tolist()).encode())
    return digest.hexdigest()


def _write(path: Path, duplicates: Duplicates) -> None:
    columns = {name: values.to_numpy() for name, values in duplicates.pairs.items()}
    columns = {name: v.astype("U") if name in ("kind", "transform") else v for name, v in columns.items()}
    write_atomic(path, lambda stream: np.savez(stream, cluster=duplicates.cluster, **columns), "duplicates")


def _read(path: Path, count: int) -> Duplicates | None:
    """The saved answer; None where there is none or it is damaged (a zip file has checksums)."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in (*PAIR_COLUMNS, *EVIDENCE, "cluster")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    cluster = arrays.pop("cluster")
    if len(cluster) != count:
        return None
    evidence = {name: arrays.pop(name) for name in EVIDENCE}
    for name in ("kind", "transform"):
        arrays[name] = arrays[name].astype(object)
    return Duplicates(pair_table(**arrays, evidence=evidence), cluster)
