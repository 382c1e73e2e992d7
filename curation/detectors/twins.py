"""Duplicate pairs seen from one picture: which other picture is its twin, and what is known about the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs, label_name

EXACT = "exact"
# How many members of a cluster are listed in the evidence; a folder of 10,000 identical pictures stays readable.
LISTED_MEMBERS = 8


def directed_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Every pair twice, once from each end: columns of `pairs` with `row` and `twin`, best twin of a row first.

    Pixel-identical twins come before near ones, then the smaller distance, then the lower row number.
    """
    there = pairs.rename(columns={"a": "row", "b": "twin"})
    back = pairs.rename(columns={"b": "row", "a": "twin"})
    both = pd.concat([there, back], ignore_index=True)
    both["is_near"] = both["kind"] != EXACT
    return both.sort_values(["row", "is_near", "distance", "twin"], kind="stable", ignore_index=True)


def best_twins(pairs: pd.DataFrame, allowed: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> pd.DataFrame:
    """One line per row that has an allowed twin: columns of `pairs` with `row` and `twin`, sorted by row.

    `allowed` gets two (P,) arrays of row numbers and says which pairs count.
    """
    both = directed_pairs(pairs)
    keep = allowed(both["row"].to_numpy(dtype=np.int64), both["twin"].to_numpy(dtype=np.int64))
    return both[keep].drop_duplicates("row", ignore_index=True)


def twin_evidence(inputs: Inputs, pair: Any) -> dict[str, Any]:
    """What the evidence says about one line of `best_twins` (a named tuple)."""
    twin = int(pair.twin)
    return {
        "twin": str(inputs.samples["sample_id"].iat[twin]),
        "twin_label": label_name(inputs, twin),
        "twin_split": str(inputs.samples["split"].iat[twin]),
        "kind": str(pair.kind),
        "transform": str(getattr(pair, "transform", "")),
        "distance": float(pair.distance) if np.isfinite(pair.distance) else None,
    }


def exact_clusters(pairs: pd.DataFrame, count: int) -> np.ndarray:
    """(N,) int64: the lowest row number among the pixel-identical twins of each picture, itself included."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    exact = pairs[pairs["kind"] == EXACT]
    a, b = exact["a"].to_numpy(dtype=np.int64), exact["b"].to_numpy(dtype=np.int64)
    _, component = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)), directed=False)
    first = np.full(count, count, dtype=np.int64)
    np.minimum.at(first, component, np.arange(count))
    return first[component]


def members_by_cluster(cluster: np.ndarray) -> list[np.ndarray]:
    """Row numbers of each cluster that has two members or more, in order of their lowest row number."""
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=np.nan))
    groups = [group for group in np.split(order, starts[1:]) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))
