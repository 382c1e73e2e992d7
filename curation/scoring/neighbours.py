"""The nearest pictures of every picture in embedding space, exactly, in blocks, never counting a duplicate."""

from __future__ import annotations

import numpy as np

from curation.progress import SILENT, Progress

# Columns are compared in groups of this many: the k best lie in the k groups whose maxima are highest, so that a full
# partial sort is needed over N / GROUP maxima only.
GROUP = 64
# A block of similarities takes about this many bytes.
BLOCK_BYTES = 1 << 28


def nearest(
    embeddings: np.ndarray,
    k: int,
    cluster: np.ndarray | None = None,
    progress: Progress = SILENT,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and cosine distances of the k nearest neighbours, by exhaustive comparison.

    Parameters
    ----------
    embeddings : (N, D) float; rows of length zero and rows that are not finite lie at distance 1 from everything
    cluster : (N,) int64, duplicate cluster; members of the same cluster (the sample itself, too) are no neighbours

    Returns
    -------
    neighbours : (N, k) int64, nearest first, equal distances by row number; -1 where there are fewer than k
    distances : (N, k) float32 in [0, 2]; NaN where there are fewer than k
    """
    import torch

    count = len(embeddings)
    neighbours = np.full((count, k), -1, dtype=np.int64)
    distances = np.full((count, k), np.nan, dtype=np.float32)
    if count < 2 or k < 1:
        return neighbours, distances
    unit = _unit_rows(embeddings, device)
    groups = -(-count // GROUP)
    # Whole groups: the columns that fill up the last one can never be chosen.
    padded = torch.nn.functional.pad(unit, (0, 0, 0, groups * GROUP - count))
    cluster = np.arange(count) if cluster is None else np.asarray(cluster)
    _, code, size = np.unique(cluster, return_inverse=True, return_counts=True)
    has_twins = size[code] > 1
    take = min(k, count)
    block = max(1, min(count, BLOCK_BYTES // (4 * groups * GROUP)))
    with progress.stage("Finding neighbours", count) as advance:
        for start in range(0, count, block):
            rows = np.arange(start, min(start + block, count))
            similarity = unit[start : start + block] @ padded.T
            similarity[:, count:] = -torch.inf
            similarity[np.arange(len(rows)), rows] = -torch.inf
            for row in np.flatnonzero(has_twins[rows]):
                similarity[row, np.flatnonzero(code == code[rows[row]])] = -torch.inf
            best, column = _largest(similarity, take, groups)
            found = torch.isfinite(best)
            neighbours[rows, :take] = torch.where(found, column, -1).cpu().numpy()
            away = torch.where(found, (1 - best).clamp(0, 2), torch.nan)
            distances[rows, :take] = away.float().cpu().numpy()
            advance(len(rows))
    return neighbours, distances


def _unit_rows(embeddings: np.ndarray, device: str):  # type: ignore[no-untyped-def]  # torch is imported where it is used
    """(N, D) float32 tensor of rows of length 1; zero and non-finite rows become zero."""
    import torch

    rows = torch.as_tensor(np.asarray(embeddings, dtype=np.float32)).to(device)
    rows = torch.where(torch.isfinite(rows).all(dim=1, keepdim=True), rows, 0.0)
    # Scaled by the largest entry first: squares of very large or very small values leave the range of float32.
    rows = rows / rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-30)


def _largest(similarity, take: int, groups: int):  # type: ignore[no-untyped-def]
    """The `take` largest entries of each row and their columns, largest first, equal ones by column."""
    import torch

    height = len(similarity)
    maxima = similarity.view(height, groups, GROUP).amax(dim=2)
    chosen = maxima.topk(min(take, groups), dim=1).indices.sort(dim=1).values
    column = (chosen[:, :, None] * GROUP + torch.arange(GROUP, device=similarity.device)).view(height, -1)
    value = similarity.gather(1, column)
    # Columns ascend, so a stable sort breaks ties by row number.
    best, place = value.sort(dim=1, descending=True, stable=True)
    return best[:, :take], column.gather(1, place[:, :take])
