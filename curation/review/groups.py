"""Groups of similar suspects, for deciding many at once: the same confusion, or pictures that look alike."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.detectors import suggests_label
from curation.review.run_index import RunIndex
from curation.store import Item

SMALLEST, MOST_GROUPS = 2, 40
MOST_ALIKE = 48  # members of a look-alike group: what fits a screen
NEAR = 1.5  # times the usual distance of a neighbour
AGREED = 0.75  # share of a look-alike group that must have a suggestion for it to be the group's


@dataclass(frozen=True)
class Group:
    """Items to be decided together.

    key : short and stable, names it in a message
    kind : "confusion" (same given label, same suggestion), "alike" or "together" (nothing in common)
    given, suggestion : the labels, "" where they differ within the group
    item_ids : in the order of the queue
    """

    key: str
    kind: str
    given: str
    suggestion: str
    item_ids: tuple[str, ...]


def confusions(items: Sequence[Item]) -> list[Group]:
    """Items with the same given label and the same suggested one, the largest groups first."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in items:
        if _fits(item) and item.suggestion:
            found.setdefault((item.given_label, item.suggestion), []).append(item.item_id)
    groups = [
        Group(_key("c", given, suggestion), "confusion", given, suggestion, tuple(ids))
        for (given, suggestion), ids in found.items()
        if len(ids) >= SMALLEST
    ]
    return sorted(groups, key=lambda group: -len(group.item_ids))[:MOST_GROUPS]


def together(items: Sequence[Item]) -> Group:
    """These items as one group, also where the queue would make none of them: what was taken back at once."""
    given, suggested = {item.given_label for item in items}, {item.suggestion for item in items}
    same = len(given) == len(suggested) == 1 and "" not in suggested
    label, suggestion = (items[0].given_label, items[0].suggestion) if same else ("", "")
    ids = tuple(item.item_id for item in items)
    return Group(_key("t", *ids), "confusion" if same else "together", label, suggestion, ids)


def look_alikes(items: Sequence[Item], index: RunIndex) -> list[Group]:
    """Neighbourhoods in embedding space: around the first of the queue, then the first of those that are left ...

    An item belongs to one group; runs without embeddings have none. Embeddings are read for these items only, (n, D).
    """
    chosen = [item for item in items if _fits(item)]
    rows = index.rows([item.item_id for item in chosen])
    vectors = index.arrays.get("embeddings")
    if vectors is None or not chosen:
        return []
    inside = (rows >= 0) & (rows < len(vectors))
    chosen = [item for item, fits in zip(chosen, inside, strict=True) if fits]
    near = np.asarray(vectors[rows[inside]], dtype=np.float32)
    near /= np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-9)
    radius = NEAR * _usual_distance(index)
    free = np.ones(len(chosen), dtype=bool)
    groups: list[Group] = []
    for lead in range(len(chosen)):
        if not free[lead] or len(groups) >= MOST_GROUPS:
            continue
        distance = np.where(free, 1 - near @ near[lead], np.inf)
        members = np.argsort(distance, kind="stable")[:MOST_ALIKE]
        members = np.sort(members[distance[members] <= radius])
        if len(members) >= SMALLEST + 1:
            free[members] = False
            groups.append(_alike([chosen[int(member)] for member in members]))
    return groups


def _alike(members: Sequence[Item]) -> Group:
    suggestion, votes = Counter(item.suggestion for item in members).most_common(1)[0]
    given, same = Counter(item.given_label for item in members).most_common(1)[0]
    return Group(
        key=_key("a", members[0].item_id),
        kind="alike",
        given=given if same == len(members) else "",
        suggestion=suggestion if votes >= AGREED * len(members) else "",
        item_ids=tuple(item.item_id for item in members),
    )


def _fits(item: Item) -> bool:
    """Whether an item may be decided among others: one flagged picture, whose reviewer may see the suggestion."""
    is_label = item.suggestion != "exclude" or any(map(suggests_label, item.issues))  # a class can be called so
    is_label = is_label and item.suggestion != item.given_label
    return item.kind == "sample" and bool(item.issues) and item.show_suggestion and not item.blind and is_label


def _usual_distance(index: RunIndex) -> float:
    """Median cosine distance of a neighbour in this run; 0.2 where the run has not measured any."""
    measured = index.arrays.get("neighbour_distances")
    values = np.asarray(measured[:2000], dtype=np.float64) if measured is not None else np.zeros(0)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else 0.2


def _key(kind: str, *texts: str) -> str:
    text = "\0".join(texts).encode("utf-8", "surrogatepass")
    return kind + hashlib.blake2b(text, digest_size=8).hexdigest()
