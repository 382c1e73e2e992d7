"""What a card says where every picture has one label: why it is in the queue, and which labels are suggested."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curation.explain import explain_case, explain_parts, explain_pieces, read_evidence
from curation.review.run_index import RunIndex

SUGGESTIONS = 3
SPEAK_OF_LABEL = ("label_error", "conflicting_duplicate")  # findings whose sentence says the picture's own label
LOOKED_AT = 60  # members of a case whose findings are read; a folder of 10,000 identical pictures is one case, too


def as_of_now(row: dict[str, Any], now: Mapping[str, str], current: Mapping[str, str]) -> dict[str, Any]:
    """A finding, and what the labels that it speaks of are by now: `label_now`, `twin_label_now`, and `is_stale`.

    now : present label of the item's pictures; current : of all pictures whose label is not the run's
    """
    evidence = read_evidence(row)
    twin_label = str(evidence.get("twin_label") or "")
    row["label_now"] = now.get(str(row["sample_id"]), str(row["given_label"]))
    row["twin_label_now"] = current.get(str(evidence.get("twin")), twin_label)
    own = row["issue"] in SPEAK_OF_LABEL and row["label_now"] != str(row["given_label"])
    copy = row["issue"] != "split_leak" and row["twin_label_now"] != twin_label
    row["is_stale"] = own or copy
    return row


def why_of(found: Sequence[Mapping[str, Any]], is_case: bool) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Sentences, and the same in pieces. Of a case: what the copies are to each other, then what else was found."""
    sentences: list[str] = []
    parts: list[tuple[str, ...]] = []
    said_of_case = False
    for row in found:
        about_copies = "twin" in read_evidence(row)
        if is_case and about_copies:
            if said_of_case:
                continue
            said_of_case = True
            pieces = explain_case(_present(row))
        else:
            pieces = _before(row, explain_parts(row)) if row["is_stale"] else explain_parts(row)
        text = explain_pieces(pieces)
        if text not in sentences and (row["is_issue"] or not sentences):
            sentences.append(text)
            parts.append(tuple(pieces))
    return tuple(sentences), tuple(parts)


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    """A finding on copies with the labels that they have now; what favoured one of them has settled it."""
    labels = {row["label_now"], row["twin_label_now"]}
    evidence = read_evidence(row) | {"twin_label": row["twin_label_now"]}
    favoured = row["suggestion"] if len(labels) > 1 and row["suggestion"] in labels else ""
    suggestion = favoured if row["is_stale"] else row["suggestion"]
    return {**row, "given_label": row["label_now"], "suggestion": suggestion, "evidence": json.dumps(evidence)}


def _before(row: Mapping[str, Any], pieces: Sequence[str]) -> list[str]:
    """A sentence of the run that speaks of a label which is another by now, saying so."""
    whose = "its" if row["label_now"] != row["given_label"] else "a copy's"
    return [f"Before {whose} label changed: {pieces[0][:1].lower()}{pieces[0][1:]}", *pieces[1:]]


def suggestions_of(
    index: RunIndex, row: int, label: str, found: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, float], ...]:
    """The label that the detector suggests, then the likeliest others."""
    probs = _probs(index, row)
    first = next((str(f["suggestion"]) for f in found if f["issue"] == "label_error" and f["suggestion"]), "")
    order = [] if probs is None else np.argsort(-probs, kind="stable")[: SUGGESTIONS + 2].tolist()
    names = dict.fromkeys([first, *(index.classes[k] for k in order)])
    chances = {} if probs is None else {index.classes[k]: float(probs[k]) for k in range(len(probs))}
    return tuple((name, chances.get(name, 0.0)) for name in names if name not in ("", label))[:SUGGESTIONS]


def case_suggestions(
    index: RunIndex, rows: np.ndarray, labels: Sequence[str], found: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, float], ...]:
    """The labels that the copies carry and the model's favourites, by the model's mean probability over the copies."""
    judged = [probs for row in rows[:LOOKED_AT] if (probs := _probs(index, int(row))) is not None]
    mean = np.mean(judged, axis=0) if judged else np.zeros(len(index.classes))
    chances = {name: float(mean[k]) for k, name in enumerate(index.classes) if k < len(mean)}
    favoured = [str(f["suggestion"]) for f in found if f["issue"] == "conflicting_duplicate" and f["suggestion"]]
    carried = sorted({name for name in labels if name}, key=lambda name: -chances.get(name, 0.0))
    likely = [index.classes[k] for k in np.argsort(-mean, kind="stable")[:SUGGESTIONS]] if judged else []
    order = favoured + carried + likely if len(carried) > 1 else [n for n in likely if n not in carried]
    return tuple((name, chances.get(name, 0.0)) for name in dict.fromkeys(order))[:SUGGESTIONS]


def settled_label(
    labels: Sequence[str], found: Sequence[Mapping[str, Any]], suggestions: Sequence[tuple[str, float]]
) -> str:
    """The label proposed for all copies: what a conflict favours, else the one that all copies carry."""
    favoured = [str(f["suggestion"]) for f in found if f["issue"] == "conflicting_duplicate" and f["suggestion"]]
    carried = {name for name in labels if name}
    if len(carried) == 1:
        return next(iter(carried))
    return favoured[0] if favoured else ""


def _probs(index: RunIndex, row: int) -> np.ndarray | None:
    probs = index.arrays.get("pred_probs")
    if probs is None or row >= len(probs):
        return None
    values = np.asarray(probs[row], dtype=np.float64)
    return values if np.isfinite(values).all() else None


def probability_given(index: RunIndex, row: int, label: str) -> float | None:
    probs = _probs(index, row)
    if probs is None or label not in index.classes:
        return None
    return float(probs[index.classes.index(label)])
