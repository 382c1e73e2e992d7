"""Labels that are probably wrong, from a model that never saw the picture nor any duplicate of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.scoring.label_quality import LabelQuality, judge_labels

NAME = "label_error"
LISTED_CLASSES = 3
LISTED_NEIGHBOURS = 5
# Rows whose evidence is written at once: only one block of Python strings lives beside the compact column.
BLOCK = 1 << 16


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per labelled sample, flagged or not, so that the ranking goes on past the flags.

    Score: the fused probability that the given label is right (see curation.scoring.label_quality). The suggestion is
    the most probable other class where the label is flagged or is not the model's first choice, "" elsewhere.
    """
    assert inputs.statistics is not None
    voters = inputs.neighbours if inputs.blind_neighbours else None
    quality = judge_labels(inputs.statistics, inputs.labels, len(inputs.class_names), voters)
    rows = np.flatnonzero(inputs.labels >= 0)
    doubted = quality.is_issue | (inputs.statistics.top_class[:, :1] != inputs.labels[:, None]).any(axis=1)
    suggested = np.where(doubted & inputs.statistics.judged, quality.suggested_class, -1)[rows]
    names = np.asarray([*inputs.class_names, ""], dtype=object)
    return issue_table(
        NAME,
        inputs,
        rows,
        quality.score[rows],
        quality.is_issue[rows],
        _evidence(inputs, quality, rows),
        names[suggested].tolist(),
    )


def _evidence(inputs: Inputs, quality: LabelQuality, rows: np.ndarray) -> pd.Series:
    """(R,) JSON texts, built block by block into one compact column.

    The texts are put together from parts that were escaped once (class names, sample ids): a million calls of a JSON
    encoder would take minutes.
    """
    class_texts = [json.dumps(str(name)) for name in inputs.class_names]
    id_texts = ['"' + sample_id + '"' for sample_id in inputs.samples["sample_id"]]
    if any("\\" in text or '"' in text[1:-1] or not text.isprintable() for text in id_texts):
        id_texts = [json.dumps(sample_id) for sample_id in inputs.samples["sample_id"]]
    blocks = [
        pd.Series(_evidence_block(inputs, quality, rows[start : start + BLOCK], class_texts, id_texts), dtype="str")
        for start in range(0, len(rows), BLOCK)
    ]
    return pd.concat(blocks, ignore_index=True) if blocks else pd.Series([], dtype="str")


def _evidence_block(
    inputs: Inputs, quality: LabelQuality, rows: np.ndarray, class_texts: list[str], id_texts: list[str]
) -> list[str]:
    """JSON texts of some rows."""
    statistics = inputs.statistics
    assert statistics is not None
    texts = [f'{{"p_given": {p:.4g}, "top3": [' for p in statistics.self_confidence[rows].tolist()]
    top_class = statistics.top_class[rows, :LISTED_CLASSES].tolist()
    top_prob = statistics.top_prob[rows, :LISTED_CLASSES].tolist()
    for i, (classes, probs) in enumerate(zip(top_class, top_prob, strict=True)):
        texts[i] += ", ".join([f"[{class_texts[c]}, {p:.4g}]" for c, p in zip(classes, probs, strict=True)])
    listed = _neighbour_texts(inputs, rows, class_texts, id_texts)
    facts = zip(
        statistics.margin[rows].tolist(),
        quality.cleanlab_score[rows].tolist(),
        quality.cleanlab_flag[rows].tolist(),
        statistics.judged[rows].tolist(),
        strict=True,
    )
    for i, (margin, cleanlab_score, cleanlab_flag, judged) in enumerate(facts):
        texts[i] += (
            f'], "neighbours": [{listed[i]}], "training_margin": {f"{margin:.4g}" if margin == margin else "null"}, '
            f'"cleanlab_score": {cleanlab_score:.4g}, "cleanlab_flag": {"true" if cleanlab_flag else "false"}, '
            f'"judged": {"true" if judged else "false"}, "threshold": {quality.threshold:.4g}}}'
        )
    return texts


def _neighbour_texts(inputs: Inputs, rows: np.ndarray, class_texts: list[str], id_texts: list[str]) -> list[str]:
    """The nearest neighbours of some rows as the inside of a JSON list: [sample_id, label, distance] each."""
    if inputs.neighbours is None or inputs.neighbour_distances is None:
        return [""] * len(rows)
    nearest = inputs.neighbours[rows, :LISTED_NEIGHBOURS]
    label_texts = [*class_texts, '""']
    labels = np.where(nearest >= 0, np.maximum(inputs.labels[nearest], -1), -1).tolist()
    distance = inputs.neighbour_distances[rows, :LISTED_NEIGHBOURS].tolist()
    return [
        ", ".join(
            [
                f"[{id_texts[n]}, {label_texts[label]}, {d:.4g}]"
                for n, label, d in zip(ns, ls, ds, strict=True)
                if n >= 0 and d == d
            ]
        )
        for ns, ls, ds in zip(nearest.tolist(), labels, distance, strict=True)
    ]


DETECTOR = Detector(
    name=NAME, needs=("statistics", "labels"), find=find, title="label probably wrong", priority=10, suggests_label=True
)
