"""Groups for the grid: the same confusion, and neighbourhoods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.review.groups import confusions, look_alikes
from curation.store import Item


def item(item_id: str, given: str = "cat", suggestion: str = "dog", **more: Any) -> Item:
    values: dict[str, Any] = {
        "kind": "sample", "members": (item_id,), "issue": "label_error", "issues": ("label_error",), "priority": 0.0,
        "split": "", "path": "", "score": 0.1, "state": "open", "opinions": 0,
    }  # fmt: skip
    return Item(item_id=item_id, given_label=given, suggestion=suggestion, **{**values, **more})


class Index:
    """What look_alikes needs of a run: rows by sample id, and arrays."""

    def __init__(self, vectors: Any, distance: float = 0.1) -> None:
        self.count = len(vectors)
        self.arrays = {
            "embeddings": np.array(vectors, dtype=np.float32),
            "neighbour_distances": np.full((len(vectors), 3), distance, dtype=np.float32),
        }

    def rows(self, ids: Any) -> np.ndarray:
        return pd.Index([f"s{n}" for n in range(self.count)]).get_indexer(ids)


def test_items_with_the_same_confusion_are_one_group_the_largest_first() -> None:
    items = [item("a"), item("b", "cat", "owl"), item("c"), item("d", "cat", "owl"), item("e"), item("f", "fox")]
    groups = confusions(items)
    assert [(g.given, g.suggestion, g.item_ids) for g in groups] == [
        ("cat", "dog", ("a", "c", "e")), ("cat", "owl", ("b", "d")),
    ]  # fmt: skip
    assert len({g.key for g in groups}) == 2


def test_cases_unflagged_and_hidden_items_are_in_no_group() -> None:
    odd = [
        item("a", kind="duplicates"),
        item("b", issues=()),
        item("c", show_suggestion=False),
        item("d", blind=True),
        item("e", suggestion="exclude"),
        item("f", suggestion="cat"),
        item("g"),
    ]
    assert confusions(odd) == []


def test_neighbours_are_one_group_whatever_their_labels() -> None:
    near = [[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1], [0.02, 1], [-1, 0]]
    items = [item(f"s{n}", given="cat" if n else "fox") for n in range(7)]
    groups = look_alikes(items, Index(near))  # type: ignore[arg-type]
    assert [g.item_ids for g in groups] == [("s0", "s1", "s2"), ("s3", "s4", "s5")]
    assert [(g.given, g.suggestion) for g in groups] == [("", "dog"), ("cat", "dog")]


def test_a_neighbourhood_without_a_common_suggestion_suggests_nothing() -> None:
    items = [item(f"s{n}", suggestion=name) for n, name in enumerate(["dog", "owl", "fox"])]
    (group,) = look_alikes(items, Index([[1, 0]] * 3))  # type: ignore[arg-type]
    assert group.suggestion == ""


def test_nothing_open_or_no_embeddings_make_no_groups() -> None:
    assert look_alikes([], Index([[1, 0]])) == []  # type: ignore[arg-type]
    index = Index([[1, 0]])
    index.arrays = {}
    assert look_alikes([item("s0")], index) == []  # type: ignore[arg-type]
