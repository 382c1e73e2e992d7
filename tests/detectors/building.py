"""Small inputs for detector tests, made by hand so that every expected row can be read off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs
from curation.records import empty_samples
from curation.scoring.box_quality import judge_boxes
from curation.scoring.counts import Counts, judge_counts
from curation.scoring.label_sets import LabelSets, odd_combinations
from curation.scoring.neighbours import nearest
from curation.scoring.set_quality import judge_sets
from curation.scoring.statistics import statistics_from_probs

MEASURED = {
    "brightness": 0.5,
    "brightness_p05": 0.1,
    "brightness_p99": 0.9,
    "contrast": 0.2,
    "entropy_bits": 7.0,
    "sharpness": 40.0,
    "saturation": 0.2,
    "saturation_p99": 0.6,
    "aspect_ratio": 1.0,
}


def samples_table(count: int, **columns: Any) -> pd.DataFrame:
    """`count` readable 32x32 pictures s000000, s000001 ... with ordinary measurements; columns can be replaced."""
    table = empty_samples(count)
    ids = [f"s{i:06d}" for i in range(count)]
    table["sample_id"] = pd.Series(ids, dtype="str")
    table["path"] = pd.Series([f"{i}.png" for i in ids], dtype="str")
    table["width_px"] = table["height_px"] = np.full(count, 32, dtype="int32")
    for name, value in MEASURED.items():
        table[name] = np.full(count, value, dtype="float32")
    for name, value in columns.items():
        table[name] = value
    return table


def pairs_table(*pairs: tuple[int, int, str, float]) -> pd.DataFrame:
    """Duplicate pairs from (a, b, kind, distance)."""
    table = pd.DataFrame(list(pairs), columns=["a", "b", "kind", "distance"])
    return table.astype({"a": "int64", "b": "int64", "kind": "str", "distance": "float64"})


def clusters(count: int, pairs: pd.DataFrame) -> np.ndarray:
    """(N,) cluster of each sample, by joining pairs."""
    cluster = np.arange(count)
    for a, b in zip(pairs["a"], pairs["b"], strict=True):
        cluster[cluster == cluster[b]] = cluster[a]
    return cluster


def make_inputs(
    labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str] = ("cat", "dog", "owl"),
    pred_probs: np.ndarray | None = None,
    embeddings: np.ndarray | None = None,
    pairs: pd.DataFrame | None = None,
    samples: pd.DataFrame | None = None,
    margin: np.ndarray | None = None,
    **more: Any,
) -> Inputs:
    """Inputs of a run that has whatever is given; statistics, neighbours and clusters follow from it."""
    labels = np.asarray(labels, dtype=np.int64)
    samples = samples_table(len(labels)) if samples is None else samples
    ids = samples["sample_id"].to_numpy()
    pairs = pairs_table() if pairs is None else pairs
    cluster = clusters(len(labels), pairs)
    fields: dict[str, Any] = {"duplicate_pairs": pairs, "cluster": cluster}
    if pred_probs is not None:
        fields |= {"pred_probs": pred_probs, "statistics": statistics_from_probs(pred_probs, labels, margin)}
    if embeddings is not None:
        neighbours, distances = nearest(embeddings, 10, cluster)
        fields |= {"embeddings": embeddings, "neighbours": neighbours, "neighbour_distances": distances}
    return Inputs(
        samples=samples,
        annotation_id=np.where(labels >= 0, [f"{i}-0" for i in ids], "").astype(object),
        labels=labels,
        class_names=class_names,
        unreadable=empty_samples(0),
        **(fields | more),
    )


def planted(count: int, classes: int, wrong: float, seed: int, size: int = 12) -> tuple[Inputs, np.ndarray]:
    """A set whose model is good but not perfect, with a share of wrong labels planted uniformly -> inputs, is_wrong."""
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, count)
    centres = random.normal(size=(classes, size))
    embeddings = (2.0 * centres[true] + random.normal(size=(count, size))).astype(np.float32)
    logits = -0.5 * ((embeddings[:, None] - 2.0 * centres[None]) ** 2).sum(axis=2)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = true.copy()
    is_wrong = random.random(count) < wrong if classes > 1 else np.zeros(count, dtype=bool)
    labels[is_wrong] = (true[is_wrong] + random.integers(1, max(classes, 2), is_wrong.sum())) % classes
    names = [f"class {k}" for k in range(classes)]
    return make_inputs(labels, names, probs, embeddings), is_wrong


def with_boxes(inputs: Inputs, boxes: Any = None, picture: Any = None, size: tuple[int, int] = (100, 80)) -> Inputs:
    """The same rows as boxes, each in a picture of its own unless `picture` (B,) says in which; with counts,
    and a detector that predicts the very same.

    boxes : (B, 4) x, y, w, h; unless given all different, none odd but the first, which is outside of its picture
    """
    count = len(inputs.labels)
    if boxes is None:
        random = np.random.default_rng(0)
        boxes = np.column_stack([random.uniform(10, 20, (count, 2)), random.uniform(20, 30, (count, 2))])
        boxes[:1, 0] = 200.0
    samples = inputs.samples.assign(picture_width_px=size[0], picture_height_px=size[1])
    if picture is not None:
        samples["sample_id"] = pd.Series([f"s{number:06d}" for number in picture], dtype="str")
    counts = np.zeros((count, len(inputs.class_names)), dtype=np.int64)
    known = np.flatnonzero(inputs.labels >= 0)
    counts[known, inputs.labels[known]] = 1
    ids = np.array([f"a{row}" for row in range(count)], dtype=object) if picture is not None else inputs.annotation_id
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    row = np.arange(count) if picture is None else np.asarray(picture, dtype=np.int64)
    found = pd.DataFrame(boxes, columns=list("xywh")).assign(row=row, class_id=inputs.labels, label="", score=0.9)
    found["sample_id"] = samples["sample_id"].to_numpy()
    quality = judge_boxes(row, boxes, inputs.labels, found)
    return replace(
        inputs, samples=samples, annotation_id=ids, boxes=boxes, box_counts=counts, box_quality=quality,
        crop_pairs=inputs.duplicate_pairs,
    )  # fmt: skip


def with_label_sets(inputs: Inputs, given: Any = None, classes: Sequence[str] | None = None) -> Inputs:
    """The same pictures with several labels each: `given` (N, K) of 1, 0 and -1, or the label and the next class."""
    count, names = len(inputs.labels), list(inputs.class_names if classes is None else classes)
    if given is None:
        given = np.zeros((count, len(names)), dtype=np.int8)
        known = np.flatnonzero(inputs.labels >= 0)
        given[known, inputs.labels[known]] = given[known, (inputs.labels[known] + 1) % len(names)] = 1
        given[inputs.labels < 0] = -1
    given = np.asarray(given, dtype=np.int8).reshape(count, len(names))
    rows, columns = np.nonzero(given > 0)
    ids = np.array([f"a{row}-{k}" for row, k in zip(rows, columns, strict=True)], dtype=object)
    sets = LabelSets(given, rows * len(names) + columns, ids, odd_combinations(given))
    probs = inputs.pred_probs if inputs.pred_probs is not None else np.where(given > 0, 0.9, 0.1).astype(np.float32)
    quality = judge_sets(np.asarray(probs), given, neighbours=inputs.neighbours)
    return replace(
        inputs, labels=np.full(count, -1), annotation_id=np.full(count, "", dtype=object), class_names=names,
        label_sets=sets, set_quality=quality, pred_probs=probs,
    )  # fmt: skip


def with_counts(inputs: Inputs, given: Any = None) -> Inputs:
    """The same pictures with counts: `given` (N, K), -1 = unknown, or 2 of their label and 1 of the next class; judged
    by a model that says so, too, with some doubt."""
    count, classes = len(inputs.labels), len(inputs.class_names)
    if given is None:
        given = np.zeros((count, classes), dtype=np.int64)
        known = np.flatnonzero(inputs.labels >= 0)
        given[known, (inputs.labels[known] + 1) % classes] = 1
        given[known, inputs.labels[known]] = 2
        given[inputs.labels < 0] = -1
    counts = Counts(np.asarray(given, dtype=np.int64), np.full(classes, 3))
    ladder = counts.ladder()
    probs = np.where(ladder > 0, 0.9, 0.1).astype(np.float32)
    quality = judge_counts(probs, counts, ladder >= 0)
    none = np.full(count, -1, dtype=np.int64)
    ids = np.full(count, "", dtype=object)
    return replace(
        inputs, labels=none, annotation_id=ids, statistics=None, pred_probs=probs, counts=counts, count_quality=quality
    )
