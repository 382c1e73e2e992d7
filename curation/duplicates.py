"""Pixels -> duplicates: exact ones by pixel hash, near ones by a search and then verified, and their clusters.

A near duplicate is verified when, one laid over the other (see `curation.alignment`), layout, details and colours
agree: resized, re-compressed, mirrored, turned, made grey, cropped by up to about 10 %. How much detail must agree is
not one number for all data sets: pictures with few degrees of freedom (8 x 8 digits) fit by chance. So look-alikes
that are not each other's nearest are measured in the data set at hand, and a duplicate has to stand far outside of them
(an a-contrario test).

References
----------
Desolneux, Moisan & Morel (2008), From Gestalt theory to image analysis: detection against a background model.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curation import fingerprints, sources
from curation.alignment import Likeness, compare, lay
from curation.cores import usable_cores
from curation.decoding import CANONICAL_SHORT_PX
from curation.errors import UnreadableError
from curation.files import write_atomic
from curation.fingerprints import FLAT_LEVELS, TRANSFORMS, WINDOWS, Candidates
from curation.jpeg_header import jpeg_scale
from curation.pixels import Pixels
from curation.progress import SILENT, Progress

VERSION = 1  # of the rules below; part of the cache key
MIN_CORRELATION = 0.93
MIN_DETAIL16, MIN_DETAIL32, MIN_DETAILS = 0.5, 0.33, 1.25  # MIN_DETAILS: of their sum
FINE_PX, FINE_LEVELS = 96, 0.7  # both pictures have that many pixels a side, and so much detail at 64 pixels; then ...
MIN_FINE_DETAIL32, MIN_FINE_DETAIL64 = 0.6, 0.8  # ... more is asked: neighbouring shots of a series stay below this
MIN_CROPPED_DETAILS = 1.6  # of a cropped pair without fine detail: a fit may move small pictures until they agree
MIN_OVERLAP = 0.75
MAX_COLOUR = 12.0  # mean difference of Cb and Cr, in levels
GREY_SATURATION, COLOUR_SATURATION = 0.02, 0.04  # mean saturation of a picture made grey, and of its coloured twin
MAX_DETAIL = 0.999  # agreement above this counts as this
CROPPED = 0.025  # a window that leaves out more than this part of a side is a crop
BACKGROUND_PICTURES, BACKGROUND_RANKS, BACKGROUND_SPREADS = 256, (10, 20), 6.0
ALL_PAIRS = 16  # copies; a larger group of exact copies is given as pairs with its first picture only

_BLOCK = 2048  # candidate pairs that are verified at a time
_COLUMNS = {"a": "int64", "b": "int64", "kind": "str", "transform": "str", "distance": "float64"}
_EVIDENCE = ("correlation", "detail16", "detail32", "detail64", "overlap")


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
        near = _upgrade_to_exact(pixels, _near_pairs(study, progress))
        pairs = pd.concat([exact, near], ignore_index=True).sort_values(["a", "b"], ignore_index=True)
        duplicates = Duplicates(pairs, _clusters(study, count, exact, near))
    _write(path, duplicates)
    return duplicates


@dataclass(frozen=True)
class _Study:
    """The pictures that near duplicates are looked for among: one per group of exact ones, without the flat ones.

    rows : (n,) ascending row numbers of pixels.samples; grey : (n, 64, 64); needed : see `_needed_detail`
    """

    pixels: Pixels
    rows: np.ndarray
    grey: np.ndarray
    needed: float
    threads: int


def _study(pixels: Pixels, rows: np.ndarray) -> _Study:
    grey = pixels.grey(rows) if len(rows) else np.zeros((0, 64, 64), np.uint8)
    textured = np.zeros(len(rows), bool)
    for start in range(0, len(rows), 4096):
        textured[start : start + 4096] = grey[start : start + 4096].std(axis=(1, 2), dtype=np.float32) >= FLAT_LEVELS
    rows, grey = rows[textured], grey[textured]
    return _Study(pixels, rows, grey, _needed_detail(grey), usable_cores())


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
    ones = {name: np.ones(len(a)) for name in _EVIDENCE}
    return _pair_table(a, b, np.full(len(a), "exact"), np.full(len(a), "same"), np.zeros(len(a)), ones)


def _pair_table(
    a: np.ndarray,
    b: np.ndarray,
    kind: np.ndarray,
    transform: np.ndarray,
    distance: np.ndarray,
    evidence: dict[str, np.ndarray],
) -> pd.DataFrame:
    values = {"a": a, "b": b, "kind": kind, "transform": transform, "distance": distance}
    table = {name: pd.Series(values[name]).astype(dtype) for name, dtype in _COLUMNS.items()}  # type: ignore[call-overload]
    return pd.DataFrame(table | {name: np.asarray(evidence[name], dtype=np.float64) for name in _EVIDENCE})


def _near_pairs(study: _Study, progress: Progress) -> pd.DataFrame:
    """Verified near duplicates, each pair once."""
    count = len(study.rows)
    if count < 2:
        return _exact_pairs([])
    with progress.stage("Finding duplicates", fingerprints.count_blocks(count), "blocks") as advance:
        candidates = fingerprints.find_candidates(study.grey, advance, study.threads)
    blocks = [np.arange(start, min(start + _BLOCK, len(candidates.a))) for start in range(0, len(candidates.a), _BLOCK)]
    found = [_exact_pairs([])]
    with (
        progress.stage("Verifying duplicates", len(candidates.a), "pairs") as advance,
        ThreadPoolExecutor(study.threads) as pool,
    ):
        for places, table in zip(blocks, pool.map(lambda b: _verify(study, candidates.take(b)), blocks), strict=True):
            found.append(table)
            advance(len(places))
    pairs = pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)
    return pairs.sort_values(["a", "b"], ignore_index=True)


def _needed_detail(grey: np.ndarray) -> float:
    """How far the details of a pair must agree here, in Fisher's z, given how far they do among mere look-alikes.

    Look-alikes are pictures with their 10th to 20th nearest, so that even 10 copies of every picture do not count as
    background. The bound is the median plus BACKGROUND_SPREADS times the spread below the median (above it there may
    be duplicates). -inf where there are too few pictures to know.
    """
    low, high = BACKGROUND_RANKS
    if len(grey) < 2 * high:
        return -np.inf
    rng = np.random.default_rng(0)
    asking = np.sort(rng.permutation(len(grey))[:BACKGROUND_PICTURES])
    base = fingerprints.coefficients(grey)
    vectors = fingerprints.invariants(base)
    squared = np.sum(vectors**2, axis=1) - 2 * vectors[asking] @ vectors.T  # up to a constant per row
    ranked = np.argpartition(squared, high, axis=1)[:, : high + 1]
    ranked = np.take_along_axis(ranked, np.take_along_axis(squared, ranked, axis=1).argsort(axis=1), axis=1)
    other = ranked[np.arange(len(asking)), rng.integers(low, high + 1, len(asking))]
    cosine = [
        np.einsum("nuv,nuv->n", fingerprints.turn_fingerprints(base[asking], t), base[other])
        for t in range(len(TRANSFORMS))
    ]
    likeness = _compare(grey, asking, other, np.argmax(cosine, axis=0), np.zeros(len(asking), np.int64))
    z = _fisher(likeness)
    middle = float(np.median(z))
    return middle + BACKGROUND_SPREADS * max(middle - float(np.quantile(z, 0.16)), 0.02)


def _fisher(likeness: Likeness) -> np.ndarray:
    details = np.stack([likeness.detail16, likeness.detail32])
    return np.arctanh(np.clip(details, -MAX_DETAIL, MAX_DETAIL)).mean(axis=0)


def _compare(
    grey: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    transform: np.ndarray,
    window: np.ndarray,
    least_detail16: float = -1.0,
) -> Likeness:
    """Likeness of pictures `a`, put in position `transform`, with `b`; `window` numbers where the fit starts."""
    turned = np.empty((len(a), *grey.shape[1:]), np.uint8)
    edges = np.empty((len(a), 4), np.float32)
    for t in range(len(TRANSFORMS)):
        here = transform == t
        turned[here] = fingerprints.turn(grey[a[here]], t)
        edges[here] = _turned_window(WINDOWS[window[here]], t)
    return compare(turned, grey[b], edges, least_detail16)


def _turned_window(window: np.ndarray, transform: int) -> np.ndarray:
    """Where a window (n, 4) of a picture lies after the picture was turned."""
    top, bottom, left, right = window.T
    transpose, upside_down, mirrored = list(TRANSFORMS.values())[transform]
    if transpose:
        top, bottom, left, right = left, right, top, bottom
    if upside_down:
        top, bottom = 1 - bottom, 1 - top
    if mirrored:
        left, right = 1 - right, 1 - left
    return np.stack([top, bottom, left, right], axis=1)


def _verify(study: _Study, candidates: Candidates) -> pd.DataFrame:
    """The candidates (numbers into `study.rows`) that are near duplicates."""
    pixels, rows = study.pixels, study.rows
    a, b, transform = candidates.a, candidates.b, candidates.transform
    # The mean of two z has to reach `needed`: where the first is so low that no second can make up for it, stop there.
    within_reach = float(np.tanh(2 * study.needed - np.arctanh(MAX_DETAIL))) if np.isfinite(study.needed) else -1.0
    least_detail16 = max(MIN_DETAIL16, within_reach)
    likeness = _compare(study.grey, a, b, transform, candidates.window, least_detail16 - 1e-3)
    samples = pixels.samples
    side = np.minimum(samples["width_px"].to_numpy(), samples["height_px"].to_numpy())[rows]
    fine = (np.minimum(side[a], side[b]) >= FINE_PX) & (likeness.strength64 >= FINE_LEVELS)
    needed_details = np.where(_is_cropped(likeness.window) & ~fine, MIN_CROPPED_DETAILS, MIN_DETAILS)
    alike = (
        (likeness.correlation >= MIN_CORRELATION)
        & (likeness.detail16 >= MIN_DETAIL16)
        & (likeness.detail32 >= MIN_DETAIL32)
        & (likeness.detail16 + likeness.detail32 >= needed_details)
        & (~fine | (likeness.detail32 >= MIN_FINE_DETAIL32) & (likeness.detail64 >= MIN_FINE_DETAIL64))
        & (_overlap(likeness.window) >= MIN_OVERLAP)
        & (_fisher(likeness) >= study.needed)
    )
    kept = np.flatnonzero(alike)
    colour, made_grey = _colours(pixels, rows[a[kept]], rows[b[kept]], transform[kept], likeness.window[kept])
    right = (colour <= MAX_COLOUR) | made_grey
    kept, made_grey = kept[right], made_grey[right]
    return _near_table(rows[a[kept]], rows[b[kept]], transform[kept], made_grey, kept, likeness)


def _colours(
    pixels: Pixels, a: np.ndarray, b: np.ndarray, transform: np.ndarray, window: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean difference of the aligned chroma planes in levels, and whether one of the two is the other made grey."""
    if not len(a):
        return np.zeros(0), np.zeros(0, bool)
    first, second = pixels.chroma(a), pixels.chroma(b).astype(np.float32)
    for t in range(1, len(TRANSFORMS)):
        first[transform == t] = fingerprints.turn(first[transform == t], t)
    difference = np.zeros(len(a))
    for plane in range(2):
        laid, mask = lay(first[:, plane].astype(np.float32), window)
        difference += (np.abs(laid - second[:, plane]) * mask).sum(axis=(1, 2)) / mask.sum(axis=(1, 2)) / 2
    saturation = pixels.samples["saturation"].to_numpy()
    low, high = np.minimum(saturation[a], saturation[b]), np.maximum(saturation[a], saturation[b])
    return difference, (low <= GREY_SATURATION) & (high >= COLOUR_SATURATION)


_INVERSE = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}


def _near_table(
    a: np.ndarray, b: np.ndarray, transform: np.ndarray, made_grey: np.ndarray, kept: np.ndarray, likeness: Likeness
) -> pd.DataFrame:
    window = likeness.window[kept]
    cropped = _is_cropped(window)
    names = list(TRANSFORMS)
    words = []
    for at in range(len(kept)):
        name = names[transform[at]]
        name = _INVERSE.get(name, name) if a[at] > b[at] else name
        words.append(", ".join([name, *["cropped"] * bool(cropped[at]), *["grey"] * bool(made_grey[at])]))
    evidence = {name: getattr(likeness, name)[kept] for name in _EVIDENCE[:-1]} | {"overlap": _overlap(window)}
    distance = np.maximum(0, 1 - evidence["correlation"])
    kind, texts = np.full(len(kept), "near"), np.array(words, dtype=object)
    return _pair_table(np.minimum(a, b), np.maximum(a, b), kind, texts, distance, evidence)


def _is_cropped(window: np.ndarray) -> np.ndarray:
    return np.abs(window - np.array([0, 1, 0, 1])).max(axis=1, initial=0) > CROPPED


def _overlap(window: np.ndarray) -> np.ndarray:
    """The part of the larger of two pictures that the other shows, too, for windows (n, 4)."""
    shared = np.ones(len(window))
    for low, high in ((0, 1), (2, 3)):
        common = np.minimum(window[:, high], 1) - np.maximum(window[:, low], 0)
        shared *= common / np.maximum(1, window[:, high] - window[:, low])
    return shared


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


def _clusters(study: _Study, count: int, exact: pd.DataFrame, near: pd.DataFrame) -> np.ndarray:
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


def _match(study: _Study, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether each of the pairs (row numbers) is a near duplicate, tried from the likeliest window and position."""
    if not len(a):
        return np.zeros(0, bool)
    at, to = np.searchsorted(study.rows, a), np.searchsorted(study.rows, b)
    base = fingerprints.coefficients(study.grey[to])
    cosine = []
    for window in WINDOWS:
        asking = fingerprints.coefficients(study.grey[at], window)
        cosine += [
            np.einsum("nuv,nuv->n", fingerprints.turn_fingerprints(asking, t), base) for t in range(len(TRANSFORMS))
        ]
    best = np.argmax(cosine, axis=0)
    window, transform = np.divmod(best, len(TRANSFORMS))
    pairs = _verify(study, Candidates(at, to, window, transform, np.zeros(len(at), np.float32)))
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
            arrays = {name: saved[name] for name in (*_COLUMNS, *_EVIDENCE, "cluster")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    cluster = arrays.pop("cluster")
    if len(cluster) != count:
        return None
    evidence = {name: arrays.pop(name) for name in _EVIDENCE}
    for name in ("kind", "transform"):
        arrays[name] = arrays[name].astype(object)
    return Duplicates(_pair_table(**arrays, evidence=evidence), cluster)
