"""What a detector gets (`Inputs`), what it gives back (`issue_table`), and how it is listed (`Detector`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curation.scoring.box_quality import BoxQuality
from curation.scoring.counts import CountQuality, Counts
from curation.scoring.label_sets import LabelSets
from curation.scoring.set_quality import SetQuality
from curation.scoring.statistics import Statistics

DETECTOR_COLUMNS = ["sample_id", "annotation_id", "issue", "score", "is_issue", "given_label", "suggestion", "evidence"]

# Fields of `Inputs` that only sets of some task have: elsewhere nobody misses a detector that needs them.
OF_A_TASK = frozenset({"boxes", "box_counts", "crop_pairs", "box_quality", "label_sets", "counts"})
# Those that a model gives.
OF_A_MODEL = frozenset({"statistics", "pred_probs", "embeddings", "neighbours", "set_quality", "count_quality"})


@dataclass(frozen=True)
class Inputs:
    """Everything a detector may look at; what a run does not have is None, and detectors that need it are skipped.

    The first N rows of everything are aligned: row i of `samples` is row i of each array. `samples` has only readable
    pictures; `unreadable` has the others.

    samples : (N rows) SAMPLE_COLUMNS plus the raw measurements of curation.pixels
    annotation_id : (N,) str, "" where a sample has no label
    labels : (N,) int64 class ids, -1 where a sample has no label
    class_names : K class names; class id k is class_names[k]
    unreadable : SAMPLE_COLUMNS rows of the files that could not be read, with `reason`, `annotation_id` and `label`
    duplicate_pairs : verified pairs, see curation.duplicates; columns a, b (row numbers), kind, distance, ...
    cluster : (N,) int64, duplicate cluster of each sample; a sample without duplicates has a cluster of its own
    pred_probs : (N, K) out-of-fold probabilities, possibly a memory map: read it in blocks, or use `statistics`
    embeddings : (N, D) float32
    appearance : (N, D) float16, what pictures look like before anything is learnt from labels, where the
        embeddings were trained on them; see curation.training.appearance
    neighbours : (N, k) int64 row numbers of the nearest neighbours, nearest first, -1 = none; never a duplicate
    neighbour_distances : (N, k) float32, cosine distance in [0, 2]
    blind_neighbours : the embeddings come from a model that never saw these labels (a frozen backbone), so that
        neighbours may vote on a label; otherwise they are only shown
    boxes : (N, 4) float64 x, y, w, h in pixels of the upright picture, where a row is a box; several rows then have
        the same sample_id, and `samples` says how large the picture is as picture_width_px, picture_height_px
    box_quality : of boxes, where a detector's predictions were given: what they say of them; its `predictions` have
        the `sample_id` of their picture
    box_counts : (N, K) int64, where a row is a picture of a set of boxes: how many of each class it has
    crop_pairs : where a row is a box, pairs of boxes of different pictures that look the same, as `duplicate_pairs`
    label_sets : the labels of N pictures that can have several each; `labels` are -1 then, and entries of `pred_probs`
        are probabilities of their own
    set_quality : what is concluded about those
    counts : of N pictures that say how many of each class they show; `labels` are -1 then, and `pred_probs` are of the
        steps of its ladder
    count_quality : what is concluded about those
    """

    samples: pd.DataFrame
    annotation_id: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    unreadable: pd.DataFrame
    duplicate_pairs: pd.DataFrame | None = None
    cluster: np.ndarray | None = None
    fold: np.ndarray | None = None
    statistics: Statistics | None = None
    pred_probs: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    appearance: np.ndarray | None = None
    neighbours: np.ndarray | None = None
    neighbour_distances: np.ndarray | None = None
    blind_neighbours: bool = False
    boxes: np.ndarray | None = None
    box_quality: BoxQuality | None = None
    box_counts: np.ndarray | None = None
    crop_pairs: pd.DataFrame | None = None
    label_sets: LabelSets | None = None
    set_quality: SetQuality | None = None
    counts: Counts | None = None
    count_quality: CountQuality | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Detector:
    """One kind of issue.

    name : as it stands in the `issue` column
    needs : names of the `Inputs` fields that must not be None
    find : inputs to a table made by `issue_table`
    title : a few words for people
    priority : place in the queue; lower comes first, whatever the score
    suggests_label : whether what it suggests is a class; else it is an action (`remove`, `exclude` ...), which a class
        can be called, too
    """

    name: str
    needs: tuple[str, ...]
    find: Callable[[Inputs], pd.DataFrame]
    title: str
    priority: int
    suggests_label: bool = False


def issue_table(
    name: str,
    inputs: Inputs,
    rows: np.ndarray,
    score: np.ndarray,
    is_issue: np.ndarray,
    evidence: Sequence[Mapping[str, Any]] | Sequence[str],
    suggestion: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The table that every detector gives back, one row per entry of `rows` (row numbers into `inputs`).

    Parameters
    ----------
    score : (R,) float in [0, 1], low = suspicious
    is_issue : (R,) bool
    evidence : R mappings (or JSON texts) with the raw measurement, its threshold and what else explains the finding
    suggestion : R class names or actions, "" where there is nothing to suggest
    """
    rows = np.asarray(rows, dtype=np.int64)
    names = np.asarray([*inputs.class_names, ""], dtype=object)
    return build_table(
        name,
        sample_id=inputs.samples["sample_id"].to_numpy()[rows],
        annotation_id=np.asarray(inputs.annotation_id, dtype=object)[rows],
        score=score,
        is_issue=is_issue,
        given_label=names[np.maximum(inputs.labels[rows], -1)],
        suggestion=[""] * len(rows) if suggestion is None else suggestion,
        evidence=evidence,
    )


def build_table(
    name: str,
    *,
    sample_id: Any,
    annotation_id: Any,
    score: Any,
    is_issue: Any,
    given_label: Any,
    suggestion: Any,
    evidence: Any,
) -> pd.DataFrame:
    """The same table from columns of R values each, for what is no row of `samples` (a file that cannot be read).

    `evidence` may be a pandas Series of JSON texts, which is taken as it is.
    """
    score = np.asarray(score, dtype=np.float64)
    assert len(sample_id) == len(score) == len(is_issue) == len(evidence) == len(suggestion)
    assert ((score >= 0) & (score <= 1)).all(), f"{name}: scores must lie in [0, 1] and not be NaN"
    if not isinstance(evidence, pd.Series):
        evidence = [e if isinstance(e, str) else json.dumps(e, allow_nan=False) for e in evidence]
    columns = {
        "sample_id": _text(sample_id),
        "annotation_id": _text(annotation_id),
        "issue": _text(np.full(len(score), name, dtype=object)),
        "score": score,
        "is_issue": np.asarray(is_issue, dtype=bool),
        "given_label": _text(given_label),
        "suggestion": _text(suggestion),
        "evidence": _text(evidence),
    }
    return pd.DataFrame(columns, columns=DETECTOR_COLUMNS)


def label_name(inputs: Inputs, row: int) -> str:
    """The given label of one sample, all of them where it can have several, "" where it has none."""
    if inputs.counts is not None:
        return ", ".join(count_names(inputs, row))
    if inputs.label_sets is not None:
        return ", ".join(set_names(inputs, row))
    label = int(inputs.labels[row])
    return str(inputs.class_names[label]) if label >= 0 else ""


def set_names(inputs: Inputs, row: int) -> list[str]:
    """The given labels of one sample of a set with several labels per picture."""
    assert inputs.label_sets is not None
    return [str(inputs.class_names[k]) for k in np.flatnonzero(inputs.label_sets.given[row] > 0).tolist()]


def count_names(inputs: Inputs, row: int) -> list[str]:
    """The classes that one sample of a set of counts shows, each as `3 x cola`."""
    assert inputs.counts is not None
    given = inputs.counts.given[row]
    return [count_words(int(given[k]), str(inputs.class_names[k])) for k in np.flatnonzero(given > 0).tolist()]


def count_words(count: int, name: str) -> str:
    """How often a class is in a picture, as it is written: `3 x cola`."""
    return f"{count} x {name}"


def counted_class(words: str) -> str:
    """The class that `count_words` has written of."""
    return words.partition(" x ")[2]


def _text(values: Any) -> pd.Series:
    if isinstance(values, pd.Series):
        values = values.array
    return pd.Series(values, dtype="str")
