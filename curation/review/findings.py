"""All findings on a picture that has several labels, or boxes: which annotation, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.edits import Box, Line
from curation.explain import box_of, explain_parts, explain_pieces, read_evidence
from curation.review.annotations import Annotation, by_id
from curation.review.counting import is_past_count
from curation.review.proposals import COUNTING, propose


@dataclass(frozen=True)
class NearBox:
    """A box in another picture that looks like the one that a finding is about, and its label as it is now."""

    sample_id: str
    label: str
    box: Box


@dataclass(frozen=True)
class Opinion:
    """What a reviewer says of something that is disputed, in pieces; and as lines, () = it is right as it is."""

    who: str
    words: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Finding:
    """One finding on one annotation, or on the picture.

    annotation_id : of the annotation that is doubted, "" where it is about the picture or about what is missing
    label, suggestion : the label that is doubted, and what is suggested: a class, an action, or ""
    score : in [0, 1], low = suspicious; is_issue : whether it is flagged
    why, why_parts : one plain sentence, safe to print; and in pieces, class names as explain.Label
    shown_parts : the same, for who sees the box: without its place
    near : boxes in other pictures that look like this one, the nearest first
    opinions : of what reviewers dispute, see curation.review.disputes
    other : annotation_id of another one that it is compared with, "" = none
    proposal : lines of an edit that settle it (curation.edits), () where there is nothing to accept; an `add` has no id
        yet (verdict_action makes it)
    does, does_parts : what the proposal does, such as `change “cat” to “dog”`; "" where there is none
    about : the class whose count is odd, "" of other findings
    box : where it is, in pixels of the upright picture; of what is proposed, the proposed one; None where nowhere
    """

    sample_id: str
    issue: str
    annotation_id: str
    label: str
    suggestion: str
    score: float
    is_issue: bool
    why: str
    why_parts: tuple[str, ...]
    proposal: tuple[Line, ...] = ()
    does: str = ""
    does_parts: tuple[str, ...] = ()
    box: Box | None = None
    shown_parts: tuple[str, ...] = ()
    other: str = ""
    opinions: tuple[Opinion, ...] = ()
    near: tuple[NearBox, ...] = ()
    about: str = ""


def findings_of(
    rows: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, Sequence[Annotation]],
    sizes: Mapping[str, tuple[int, int]],
    task: str,
) -> tuple[Finding, ...]:
    """The findings that still are about something, in the order of `rows`.

    Left out is what speaks of an annotation that is gone or has another label by now, and of a missing one that is
    there.

    Parameters
    ----------
    rows : of the issue table, with `evidence`
    annotations : of each picture by sample_id, as they are now; sizes : width and height in pixels
    """
    found = []
    for row in rows:
        sample_id = str(row["sample_id"])
        there = annotations.get(sample_id, ())
        if not _is_past(row, there):
            found.append(_finding(row, there, sizes.get(sample_id, (0, 0)), task))
    return tuple(found)


def _is_past(row: Mapping[str, Any], there: Sequence[Annotation]) -> bool:
    key = str(row["annotation_id"])
    if key:
        own = by_id(there).get(key)
        return own is None or (bool(row["given_label"]) and own.label != row["given_label"])
    if row["issue"] == COUNTING:
        return is_past_count(read_evidence(row), there)
    return row["issue"] == "missing_label" and any(other.label == row["suggestion"] for other in there)


def _finding(row: Mapping[str, Any], there: Sequence[Annotation], size: tuple[int, int], task: str) -> Finding:
    parts = explain_parts(row)
    lines, does = propose(row, there, size, task)
    own = by_id(there).get(str(row["annotation_id"]))
    box = own.box if own is not None else None
    if box is None and (place := box_of(read_evidence(row))):
        box = (place[0], place[1], place[2], place[3])
    if lines and lines[0]["change"] == "add" and "box" in lines[0]["to"]:
        box = tuple(lines[0]["to"]["box"])
    return Finding(
        sample_id=str(row["sample_id"]),
        issue=str(row["issue"]),
        annotation_id=str(row["annotation_id"]),
        label=str(row["given_label"]),
        suggestion=str(row["suggestion"]),
        score=float(row["score"]),
        is_issue=bool(row["is_issue"]),
        why=explain_pieces(parts),
        why_parts=tuple(parts),
        proposal=lines,
        does=explain_pieces(does),
        does_parts=does,
        box=box,
        shown_parts=tuple(explain_parts(row, place=False)),
        other=str(read_evidence(row).get("other") or "") if row["annotation_id"] else "",
        about=str(read_evidence(row).get("class", "")) if row["issue"] == COUNTING else "",
    )
