"""A second look at labels: a ridge classifier on the embeddings, taught the labels as reviewers have them by now.

What the network learned from wrong labels it cannot unlearn; this does, in milliseconds, because only the labels change
between two looks: the inverse of the embeddings' Gram matrix is made once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from curation.review.run_index import RunIndex

TAUGHT = 20_000  # pictures that it learns from, at most
PROJECTED = 256  # embeddings longer than this are projected
RIDGE = 1e-3  # per taught picture, of embeddings of length one


@dataclass(frozen=True)
class SecondLook:
    """A ridge classifier on embeddings, but for the labels: those are put in at every fit.

    rows : (T, D) float64 embeddings of the taught pictures, of length one, and a constant
    inverse : (D, D) inverse of rows' Gram matrix plus the ridge
    leverage : (T,) weight of each picture's own label in its own prediction, in [0, 1)
    labels : (T,) int64 classes at the time of the run, -1 = none
    place : (M,) position of each item's picture among the rows, -1 = none
    sample : sample_id -> position among the rows
    centre, spread : of the look before any verdict, so that its coefficient means the same for every data set
    """

    rows: np.ndarray
    inverse: np.ndarray
    leverage: np.ndarray
    labels: np.ndarray
    place: np.ndarray
    sample: dict[str, int]
    centre: float = 0.0
    spread: float = 1.0


def second_look(
    index: RunIndex, row: np.ndarray, given: np.ndarray, suggested: np.ndarray, number: Mapping[str, int]
) -> SecondLook | None:
    """What is known without labels; None for a run without embeddings or classes.

    Parameters
    ----------
    row : (M,) row of each item's picture in the sample table, -1 = none
    given, suggested : (M,) int64 class, -1 = none
    number : class id by name
    """
    embeddings = index.arrays.get("embeddings")
    if embeddings is None or not len(embeddings) or not number or "given_label" not in index.samples:
        return None
    count = len(embeddings)
    own = row[(row >= 0) & (row < count)]
    taught = np.unique(np.concatenate([own[:TAUGHT], np.linspace(0, count - 1, min(count, TAUGHT)).astype(np.int64)]))
    rows = _unit(np.asarray(embeddings[taught], dtype=np.float64))
    gram = rows.T @ rows
    gram[np.diag_indices_from(gram)] += RIDGE * len(rows)
    inverse = np.linalg.inv(gram)
    place_of = np.full(count, -1, dtype=np.int64)
    place_of[taught] = np.arange(len(taught))
    place = np.where((row >= 0) & (row < count), place_of[np.clip(row, 0, count - 1)], -1)
    samples = index.samples.iloc[taught]
    look = SecondLook(
        rows=rows,
        inverse=inverse,
        leverage=np.minimum(((rows @ inverse) * rows).sum(axis=1), 0.999),
        labels=class_numbers(samples["given_label"], number),
        place=place,
        sample=dict(zip(samples["sample_id"], range(len(taught)), strict=True)),
    )
    first = preference(look, given, suggested, look.labels)[place >= 0]
    spread = float(first.std()) if len(first) else 0.0
    return replace(look, centre=float(first.mean()) if len(first) else 0.0, spread=spread or 1.0)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one and a small constant; long ones projected at random, which keeps their angles.

    Johnson & Lindenstrauss (1984), Extensions of Lipschitz mappings into a Hilbert space.
    """
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0)
    if rows.shape[1] > PROJECTED:
        rows = rows @ np.random.default_rng(0).standard_normal((rows.shape[1], PROJECTED))
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.column_stack([rows / np.maximum(length, 1e-12), np.full(len(rows), 0.1)])


def preference(look: SecondLook, given: np.ndarray, suggested: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(M,) by how much the suggested class beats the given one, each picture's own label left out; 0 = not known."""
    from scipy.sparse import csr_matrix

    count = len(look.rows)
    named = np.flatnonzero(labels >= 0)
    classes = 1 + max(int(labels.max(initial=0)), int(given.max(initial=0)), int(suggested.max(initial=0)))
    indicator = csr_matrix((np.ones(len(named)), (labels[named], named)), shape=(classes, count))
    coefficients = (indicator @ look.rows) @ look.inverse  # (K, D): the inverse is symmetric
    use = np.flatnonzero((look.place >= 0) & (given >= 0) & (suggested >= 0))
    at = look.place[use]
    out = np.zeros(len(given))
    # Leave-one-out predictions of a ridge regression in closed form.
    lever = look.leverage[at]
    difference = np.einsum("nd,nd->n", look.rows[at], coefficients[suggested[use]] - coefficients[given[use]])
    own = (labels[at] == suggested[use]).astype(np.float64) - (labels[at] == given[use])
    out[use] = ((difference - lever * own) / (1 - lever) - look.centre) / look.spread
    return out


def class_numbers(labels: pd.Series, number: Mapping[str, int]) -> np.ndarray:
    """(n,) int64 class ids of labels, -1 for one that is no class of the run."""
    return labels.map(number).fillna(-1).to_numpy(dtype=np.int64)
