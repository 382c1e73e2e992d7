"""The same picture with different labels: needs no model, and is the surest evidence there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, count_names, issue_table, label_name, set_names
from curation.detectors.twins import EXACT, LISTED_MEMBERS, best_twins, members_by_cluster, twin_evidence

NAME = "conflicting_duplicate"
# Pixel-identical pictures cannot both be right; of near twins a person should still see that they are the same.
EXACT_SCORE, NEAR_SCORE = 0.0, 0.1
# The model decides between the labels of a cluster when it finds one of them this many times as likely as the next.
DECISIVE_RATIO = 2.0


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per labelled member of each duplicate cluster that holds two labels or more.

    Score: 0 where a pixel-identical twin has another label, 0.1 where only near twins have. The suggestion is the label
    that the model or else the majority of the cluster favours, "" where neither does; for a member that already has it,
    it equals the given label. Where pictures have several labels each, copies with different sets of them are found,
    the evidence says which labels differ (`labels`, `twin_labels`, `differs`), and nothing is suggested.
    """
    assert inputs.cluster is not None
    assert inputs.duplicate_pairs is not None
    labels = _codes(inputs)
    twins = best_twins(
        inputs.duplicate_pairs,
        lambda row, twin: (labels[row] >= 0) & (labels[twin] >= 0) & (labels[row] != labels[twin]),
    )
    direct = {int(pair.row): pair for pair in twins.itertuples()}
    rows: list[int] = []
    score: list[float] = []
    suggestion: list[str] = []
    evidence: list[dict[str, Any]] = []
    for members in members_by_cluster(inputs.cluster):
        labelled = members[labels[members] >= 0]
        if len(np.unique(labels[labelled])) < 2:
            continue
        several = inputs.label_sets is not None or inputs.counts is not None
        favoured, reason = ("", "") if several else _favoured_label(inputs, labelled)
        listed = [[str(inputs.samples["sample_id"].iat[m]), label_name(inputs, m)] for m in labelled[:LISTED_MEMBERS]]
        for row in labelled.tolist():
            # A chain a-b-c may join two labels that have no direct pair; any other-labelled member then stands in.
            pair = direct.get(row)
            twin = int(pair.twin if pair is not None else labelled[labels[labelled] != labels[row]][0])
            if pair is not None:
                facts = twin_evidence(inputs, pair)
            else:
                facts = {
                    "twin": str(inputs.samples["sample_id"].iat[twin]),
                    "twin_label": label_name(inputs, twin),
                    "twin_split": str(inputs.samples["split"].iat[twin]),
                    "kind": "cluster",
                    "distance": None,
                }
            rows.append(row)
            score.append(EXACT_SCORE if facts["kind"] == EXACT else NEAR_SCORE)
            suggestion.append(favoured)
            facts |= _difference(inputs, row, twin)
            evidence.append({**facts, "favoured_by": reason, "members": listed, "member_count": len(members)})
    return issue_table(NAME, inputs, np.array(rows), np.array(score), np.ones(len(rows), bool), evidence, suggestion)


def _codes(inputs: Inputs) -> np.ndarray:
    """(N,) int64: equal for pictures with equal labels, -1 where they are unknown."""
    if inputs.counts is not None:
        _, code = np.unique(inputs.counts.given, axis=0, return_inverse=True)
        return np.where(inputs.counts.known, code.reshape(-1), -1).astype(np.int64)
    if inputs.label_sets is None:
        return inputs.labels
    given = inputs.label_sets.given
    known = (given >= 0).all(axis=1)
    # Packed: a picture's labels become a few bytes that sort quickly.
    packed = np.packbits(given > 0, axis=1)
    _, code = np.unique(packed, axis=0, return_inverse=True)
    return np.where(known, code.reshape(-1), -1).astype(np.int64)


def _difference(inputs: Inputs, row: int, twin: int) -> dict[str, Any]:
    """The labels of two pictures, and those that only one of them has; nothing where each has one label."""
    if inputs.counts is not None:
        mine, theirs = (count_names(inputs, one) for one in (row, twin))
    elif inputs.label_sets is not None:
        mine, theirs = set_names(inputs, row), set_names(inputs, twin)
    else:
        return {}
    return {"labels": mine, "twin_labels": theirs, "differs": sorted(set(mine) ^ set(theirs))}


def _favoured_label(inputs: Inputs, members: np.ndarray) -> tuple[str, str]:
    """The most believable label of one cluster and who says so: "model", "majority" or "" (then the label is "")."""
    present, count = np.unique(inputs.labels[members], return_counts=True)
    if inputs.pred_probs is not None:
        judged = members if inputs.statistics is None else members[inputs.statistics.judged[members]]
        if len(judged):
            belief = np.asarray(inputs.pred_probs[judged])[:, present].mean(axis=0)
            order = np.argsort(-belief, kind="stable")
            if belief[order[0]] >= DECISIVE_RATIO * belief[order[1]] and belief[order[0]] > 0:
                return str(inputs.class_names[present[order[0]]]), "model"
    if (count == count.max()).sum() == 1:
        return str(inputs.class_names[present[count.argmax()]]), "majority"
    return "", ""


DETECTOR = Detector(
    name=NAME,
    needs=("duplicate_pairs", "cluster"),
    find=find,
    title="same picture, different labels",
    priority=0,
    suggests_label=True,
)
