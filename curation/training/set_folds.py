"""Folds for pictures with several labels each: every class is spread evenly, a group is never on both sides."""

from __future__ import annotations

import numpy as np

from curation.errors import SettingsError


def assign_set_folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """The fold in which each sample is held out.

    Iterative stratification: class by class, the one with fewest samples left first, each sample goes to the fold that
    lacks most of that class, then to the one that lacks most samples. Here whole groups are placed, larger ones first,
    and pictures without a class, or of unknown classes, count as two classes more.

    Parameters
    ----------
    labels : (N, K) int, 1 = labelled so, 0 = not, -1 = unknown (the whole row)
    groups : (N,) int64; samples of one group share a fold
    n_folds : at least 2

    Returns
    -------
    (N,) int64 in 0..n_folds-1; the same for the same arguments on every machine. With fewer groups than folds some
    folds stay empty.

    Raises
    ------
    SettingsError : n_folds below 2.

    References
    ----------
    Sechidis, Tsoumakas & Vlahavas (2011), On the stratification of multi-label data.
    """
    from scipy.sparse import csr_matrix

    if n_folds < 2:
        raise SettingsError(f"--folds {n_folds}: cross-validation needs at least 2 folds.")
    rng = np.random.default_rng(seed)
    _, unit, unit_size = np.unique(groups, return_inverse=True, return_counts=True)
    sample, kind = _kinds(labels)
    counts = csr_matrix((np.ones(len(kind)), (unit[sample], kind)), shape=(len(unit_size), labels.shape[1] + 2))
    units_of = counts.tocsc()
    left = np.asarray(counts.sum(axis=0)).ravel()
    lacks = np.repeat(left[:, None] / n_folds, n_folds, axis=1)
    room = np.full(n_folds, len(labels) / n_folds)
    fold_of = np.full(len(unit_size), -1, dtype=np.int64)
    while left.max(initial=0) > 0:
        rarest = int(np.where(left > 0, left, np.inf).argmin())
        waiting = units_of.indices[units_of.indptr[rarest] : units_of.indptr[rarest + 1]]
        waiting = rng.permutation(waiting[fold_of[waiting] < 0])
        for u in waiting[np.argsort(-unit_size[waiting], kind="stable")]:
            chosen = _choose(lacks[rarest], room, rng)
            part = slice(counts.indptr[u], counts.indptr[u + 1])
            kinds, number = counts.indices[part], counts.data[part]
            fold_of[u] = chosen
            lacks[kinds, chosen] -= number
            left[kinds] -= number
            room[chosen] -= unit_size[u]
    return fold_of[unit]


def _choose(lacks: np.ndarray, room: np.ndarray, rng: np.random.Generator) -> int:
    """The fold that lacks most; of equal ones that with most room; of those one by chance."""
    best = np.flatnonzero(lacks == lacks.max())
    if len(best) > 1:
        best = best[room[best] == room[best].max()]
    return int(best[0] if len(best) == 1 else rng.choice(best))


def _kinds(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sample, class) of everything that is to be spread: labels, pictures without any, pictures of unknown ones."""
    sample, kind = np.nonzero(labels > 0)
    none = np.flatnonzero((labels == 0).all(axis=1))
    unknown = np.flatnonzero((labels < 0).any(axis=1))
    n_classes = labels.shape[1]
    samples = np.concatenate([sample, none, unknown])
    return samples, np.concatenate([kind, np.full(len(none), n_classes), np.full(len(unknown), n_classes + 1)])
