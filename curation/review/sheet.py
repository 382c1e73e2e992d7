"""A picture with several labels, or boxes, as the browser draws it; and what the browser says was changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from curation.edits import KINDS, LONGEST_ID, MOST_LINES, Box, Line
from curation.explain import Label, title_of, visible
from curation.review.cards import Card
from curation.review.findings import Finding

MOST_COUNTED = 50_000  # of a picture of counts, where each class is one line, whatever its number
MOST_DRAWN = 2_000  # annotations of one picture; a browser is slow with more


def lay_sheet(card: Card, show: bool, cutout: Callable[[str, Box], str] = lambda name, box: "") -> dict[str, Any]:
    """What a card of several annotations has beside what every card has: JSON values.

    show : whether the findings are shown; else the picture is judged without them
    cutout : (sample_id, box) -> a small picture of that box as a data URL
    """
    most = MOST_COUNTED if card.task == "counts" else MOST_DRAWN
    findings = [one for one in card.findings if one.is_issue and one.sample_id == card.sample_id] if show else []
    return {
        "kind": "annotations",
        "drawable": card.task == "detection",
        "counted": card.task == "counts",
        "annotations": [
            {
                "id": one.annotation_id,
                "label": one.label,
                "shown": visible(one.label),
                "box": list(one.box) if one.box is not None else None,
            }
            for one in card.annotations[:most]
        ],
        "hidden": max(0, len(card.annotations) - most),
        "findings": [_finding(group, cutout) for group in _by_annotation(findings)],
        "said": [_shown_line(line) for line in card.said],
        "confirmed": list(card.confirmed),
    }


def lay_words(pieces: Sequence[str]) -> list[list[Any]]:
    """A sentence in pieces, made harmless: (text, whether it is a class name) each."""
    return [[visible(piece, 500, isinstance(piece, Label)), isinstance(piece, Label)] for piece in pieces]


def _by_annotation(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings about one annotation together: one look answers all of them."""
    groups: dict[str, list[Finding]] = {}
    for place, found in enumerate(findings):
        groups.setdefault(found.annotation_id or f"?{place}", []).append(found)
    return list(groups.values())


def _finding(group: Sequence[Finding], cutout: Callable[[str, Box], str]) -> dict[str, Any]:
    """What was found about one annotation; the first that proposes something has the word."""
    found = next((one for one in group if one.proposal), group[0])
    named = {str(label): visible(str(label)) for label in _labels(found.proposal)}
    return {
        "title": title_of(found.issue),
        "why": [lay_words(one.shown_parts) for one in group if one.shown_parts and not one.opinions],
        "ids": [found.annotation_id] if found.annotation_id else [],
        "others": [one.other for one in group if one.other],
        "near": [
            {
                "picture": cutout(near.sample_id, near.box),
                "shown": visible(near.label, 60),
                "mark": {found.suggestion: "as-suggested", found.label: "as-given"}.get(near.label, ""),
            }
            for one in group
            for near in one.near
        ],
        "opinions": [
            {
                "who": visible(one.who, 100, False),
                "words": lay_words(one.words),
                "lines": [_shown_line(line) for line in one.lines],
            }
            for one in found.opinions
        ],
        "about": [found.about, visible(found.about)] if found.about else None,
        "lines": [_shown_line(line) for line in found.proposal],
        "does": lay_words(found.does_parts),
        "choices": [{"label": label, "shown": shown} for label, shown in named.items()],
    }


def _shown_line(line: Line) -> dict[str, Any]:
    return {**_sent(line), "shown": visible(_label(line) or "")}


def _sent(line: Line) -> dict[str, Any]:
    return {"change": line["change"], "annotation_id": line["annotation_id"], "to": line["to"]}


def _label(line: Mapping[str, Any]) -> str | None:
    """The label that a line gives, None where it gives none."""
    to = line["to"]
    if line["change"] == "relabel":
        return str(to)
    return str(to["label"]) if line["change"] == "add" else None


def _labels(lines: Sequence[Line]) -> list[str]:
    return [label for line in lines if (label := _label(line)) is not None]


def read_edits(value: Any) -> tuple[dict[str, Any], ...]:
    """The lines of an edit as the browser says them, each with `change`, `annotation_id` and `to`; what is none of ours
    is left out, what cannot be is refused when the action is recorded."""
    if not isinstance(value, list):
        return ()
    return tuple(line for one in value[:MOST_LINES] if (line := _read_line(one)) is not None)


def _read_line(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or value.get("change") not in KINDS:
        return None
    key, to = value.get("annotation_id"), value.get("to")
    if isinstance(to, dict):
        to = {name: to[name] for name in ("label", "box") if name in to}
    if isinstance(to, list) and not all(isinstance(n, int | float) and math.isfinite(n) for n in to[:4]):
        return None
    return {"change": value["change"], "annotation_id": key[:LONGEST_ID] if isinstance(key, str) else "", "to": to}
