"""Which fold each sample is held out in: classes spread evenly, a group never on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curation.arrays import PixelArray
from curation.errors import SettingsError
from curation.progress import SILENT, Progress
from curation.training.plan import Plan


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """A data set with its folds, and how to train on them: what every mode of cross-validation starts from.

    pixels : (N, S, S, 3) uint8
    labels : (N,) int64 class ids 0..n_classes-1, -1 = no label: judged, never trained on; or (N, n_classes) of several
        labels per picture, see curation.training.label_sets
    fold : (N,) int64, in which fold each sample is held out
    ungrouped_fold : (N,) int64, folds that ignore groups, to measure what those would have shown; None = there are no
        groups
    seed : decides every random number
    checkpoints : folder of this very run; what is finished is kept there, and read instead of computed again
    """

    pixels: PixelArray
    labels: np.ndarray
    fold: np.ndarray
    n_classes: int
    plan: Plan
    seed: int
    checkpoints: Path
    progress: Progress = SILENT
    ungrouped_fold: np.ndarray | None = None


def combine_groups(*columns: np.ndarray) -> np.ndarray:
    """Groups that are at least as coarse as every one given: two samples that share any group share the result.

    Parameters
    ----------
    columns : arrays (N,) of any hashable values; "" means "in no group"

    Returns
    -------
    (N,) int64, numbered from 0 by first appearance.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(columns[0])
    sample, group, groups = [], [], 0
    for values in columns:
        present = (
            np.flatnonzero(np.asarray(values) != "") if np.asarray(values).dtype.kind in "OUT" else np.arange(count)
        )
        codes, uniques = pd.factorize(np.asarray(values)[present])
        sample.append(present)
        group.append(codes + groups)
        groups += len(uniques)
    rows, cols = np.concatenate(sample), count + np.concatenate(group)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, cols)), shape=(count + groups, count + groups))
    _, component = connected_components(graph, directed=False)
    return pd.factorize(component[:count])[0].astype(np.int64)


def assign_folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """The fold in which each sample is held out.

    Every class is spread over the folds as evenly as its groups allow, and the folds are about the same size.
    Larger groups are placed first, each where its classes are rarest; single samples then level every class out.

    Parameters
    ----------
    labels : (N,) int64 class ids; -1 (no label) is spread like a class of its own
    groups : (N,) int64; samples of one group share a fold
    n_folds : at least 2

    Returns
    -------
    (N,) int64 in 0..n_folds-1; the same for the same arguments on every machine. With fewer groups than folds some
    folds stay empty.

    Raises
    ------
    SettingsError : n_folds below 2.
    """
    if n_folds < 2:
        raise SettingsError(f"--folds {n_folds}: cross-validation needs at least 2 folds.")
    rng = np.random.default_rng(seed)
    _, classes = np.unique(labels, return_inverse=True)
    _, unit, unit_size = np.unique(groups, return_inverse=True, return_counts=True)
    fold = np.full(len(labels), -1, dtype=np.int64)
    n_classes = int(classes.max(initial=-1)) + 1
    placed = np.zeros((n_classes, n_folds), dtype=np.int64)

    _place_groups(classes, unit, unit_size, placed, fold, rng)
    _deal(np.flatnonzero(unit_size[unit] == 1), classes, placed, fold, rng)
    return fold


def ungroup_folds(fold: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray | None:
    """The folds that would be used if nobody had looked for groups: their members are dealt out again, each alone.

    All other samples stay in their folds, so that a comparison shows the groups and not the luck of the draw. Arguments
    as in `assign_folds`; None where every group has one sample only.
    """
    _, unit, unit_size = np.unique(groups, return_inverse=True, return_counts=True)
    members = np.flatnonzero(unit_size[unit] > 1)
    if len(members) == 0:
        return None
    _, classes = np.unique(labels, return_inverse=True)
    placed = np.zeros((int(classes.max()) + 1, int(fold.max()) + 1), dtype=np.int64)
    others = unit_size[unit] == 1
    np.add.at(placed, (classes[others], fold[others]), 1)
    alone = fold.copy()
    _deal(members, classes, placed, alone, np.random.default_rng(seed))
    return alone


def _deal(
    rows: np.ndarray, classes: np.ndarray, placed: np.ndarray, fold: np.ndarray, rng: np.random.Generator
) -> None:
    """Give a fold to each of `rows` so that every class and the folds are level; updates `fold` (N,) in place.

    placed : (K, F) how many samples of each class are in each fold already
    """
    rows = rows[rng.permutation(len(rows))]
    rows = rows[np.argsort(classes[rows], kind="stable")]
    starts = np.searchsorted(classes[rows], np.arange(len(placed) + 1))
    total = placed.sum(axis=0)
    for k in range(len(placed)):
        members = rows[starts[k] : starts[k + 1]]
        added = _level(placed[k], len(members), total, rng)
        fold[members] = np.repeat(np.arange(len(total)), added)
        total += added


def _place_groups(
    classes: np.ndarray,
    unit: np.ndarray,
    unit_size: np.ndarray,
    placed: np.ndarray,
    fold: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Give a fold to every sample in a group of two or more; updates `placed` (K, F) and `fold` (N,) in place."""
    class_size = np.bincount(classes, minlength=len(placed))
    order = np.argsort(unit, kind="stable")
    starts = np.concatenate([[0], np.cumsum(unit_size)])
    large = np.flatnonzero(unit_size > 1)
    large = large[rng.permutation(len(large))]
    large = large[np.argsort(-unit_size[large], kind="stable")]
    total = placed.sum(axis=0).astype(np.float64)
    for u in large:
        members = order[starts[u] : starts[u + 1]]
        kinds, counts = np.unique(classes[members], return_counts=True)
        # Share of these classes that each fold holds already; the fold's size breaks ties between equal shares.
        crowding = (counts / class_size[kinds]) @ placed[kinds] + 1e-3 * total / len(classes)
        chosen = int(np.argmin(crowding))
        fold[members] = chosen
        placed[kinds, chosen] += counts
        total[chosen] += len(members)


def _level(present: np.ndarray, count: int, total: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of `count` single samples of one class each fold gets, so that present + added is as level as can be."""
    n_folds = len(present)
    order = np.argsort(present, kind="stable")
    height = present[order]
    # Fill the lowest `width` folds up to a common level, as water would.
    cost = height * np.arange(1, n_folds + 1) - np.cumsum(height)
    width = int(np.searchsorted(cost, count, side="right"))
    lowest = order[:width]
    level, extra = divmod(count + int(present[lowest].sum()), width)
    added = np.zeros(n_folds, dtype=np.int64)
    added[lowest] = level - present[lowest]
    # The remainder goes where fewest samples are in all; chance decides between equals.
    emptiest = lowest[np.lexsort((rng.random(width), total[lowest]))]
    added[emptiest[:extra]] += 1
    return added
