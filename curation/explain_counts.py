"""Findings about how many of a class a picture shows: what they mean, and one plain sentence for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from curation.explain_words import Label, number, percent

MEANINGS = {
    "odd_count": "A model that never saw the picture, nor any copy of it, expects another number of this class. The "
    "score is the estimated probability that the given number is right; a model that cannot tell four from five does "
    "not doubt either.",
}


def _odd_count(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    likely, given = int(evidence["likely"]), int(evidence["given"])
    more = " or more" if evidence.get("at_least") else ""
    parts = [f"{given} x ", Label(evidence["class"]), " given; "]
    if row["is_issue"]:
        parts.append(f"the model expects {likely}{more} (on average {number(float(evidence['expected']))})")
    else:
        parts.append(f"the model expects {number(float(evidence['expected']))} on average")
    parts.append(f" and gives {given} a chance of {percent(float(evidence['p_given']))}")
    near = evidence.get("neighbours") or []
    if near:
        span = f"{near[0]}" if near[0] == near[-1] else f"{near[0]} to {near[-1]}"
        whose = f"its {len(near)} nearest pictures have" if len(near) > 1 else "its nearest picture has"
        parts.append(f"; {whose} {span}")
    return [*parts, "."]


SENTENCES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]] = {"odd_count": _odd_count}
