"""Counts under review: of a class a picture has as many annotations as there are; which one is which means nothing.

So that two people who say the same number change the same: what is too many is taken from the end of the list, as it
stands, and what was added last goes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curation.edits import MOST_LINES, Line, new_annotation_id
from curation.errors import SettingsError
from curation.explain_words import Label
from curation.review.annotations import Annotation, words_of

NO_ID = ""  # of a line that adds something; its id is made when it is accepted


def lines_to(annotations: Sequence[Annotation], label: str, wanted: int) -> tuple[Line, ...]:
    """The lines of an edit after which a picture has `wanted` of a class; () where it has.

    Raises
    ------
    SettingsError : below 0, or so many more or fewer that no reviewer can have meant it.
    """
    mine = [one for one in annotations if one.label == label]
    if wanted < 0:
        raise SettingsError(f"There cannot be {wanted:,} of {label[:100]!r}.")
    if abs(wanted - len(mine)) > MOST_LINES:
        raise SettingsError(
            f"From {len(mine):,} to {wanted:,} of {label[:100]!r}: a decision changes {MOST_LINES:,} at most."
        )
    add: Line = {"change": "add", "annotation_id": NO_ID, "from": None, "to": {"label": label}}
    drops: list[Line] = [
        {"change": "drop", "annotation_id": one.annotation_id, "from": one.as_value, "to": None}
        for one in reversed(mine[wanted:])
    ]
    return (*drops, *(dict(add) for _ in range(wanted - len(mine))))


def count_edits(
    sample_id: str, there: Sequence[Annotation], lines: Sequence[Mapping[str, Any]], action_id: str, path: str
) -> tuple[Line, ...]:
    """The lines of an edit from what a person or a program writes.

    Parameters
    ----------
    lines : `{"change": "count", "annotation": LABEL, "to": NUMBER}`; or one more, `{"change": "add", "to": LABEL}`, or
        one fewer, `{"change": "drop", "annotation": LABEL}`, as often as needed
    path : of the picture, as messages call it

    Raises
    ------
    SettingsError : another change, no number, or fewer than none.
    """
    wanted: dict[str, int] = {}
    named: set[str] = set()
    for line in lines:
        kind, to = str(line.get("change", "")), line.get("to")
        label = str(line.get("annotation", ""))
        if kind == "add":
            label = str(to.get("label", "") if isinstance(to, Mapping) else to)
            if isinstance(to, Mapping) and to.get("box") is not None:
                raise SettingsError("Labels of this data set have no boxes.")
        elif kind not in ("drop", "count"):
            raise SettingsError(f"{path} says how many of each class it has: change that with --count LABEL=NUMBER.")
        if kind == "count":
            if label in named or isinstance(to, bool) or not isinstance(to, int):
                raise SettingsError(f"How many of {label[:100]!r}? Say one whole number, not {str(to)[:100]!r}.")
            named.add(label)
        now = wanted.setdefault(label, sum(one.label == label for one in there))
        wanted[label] = int(to) if kind == "count" and isinstance(to, int) else now + (1 if kind == "add" else -1)
        if wanted[label] < 0:
            raise SettingsError(f"{path} has {words_of(there) or 'nothing'}: not as many of {label[:100]!r}.")
    made = [line for label, count in wanted.items() for line in lines_to(there, label, count)]
    return tuple(
        {**line, "annotation_id": line["annotation_id"] or new_annotation_id(sample_id, action_id, place)}
        for place, line in enumerate(made)
    )


def propose_count(
    evidence: Mapping[str, Any], annotations: Sequence[Annotation]
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """The lines that an odd count proposes, and what they do in pieces; () where the evidence says nothing."""
    label, likely = evidence.get("class"), evidence.get("likely")
    if not isinstance(label, str) or type(likely) is not int or likely < 0:  # True is no number
        return (), ()
    now = sum(one.label == label for one in annotations)
    lines = lines_to(annotations, label, likely) if now != likely and abs(now - likely) <= MOST_LINES else ()
    return lines, ("count ", Label(label), f": {likely} instead of {now}") if lines else ()


def is_past_count(evidence: Mapping[str, Any], annotations: Sequence[Annotation]) -> bool:
    """Whether the picture has another count than the one that was found odd."""
    now = sum(one.label == evidence.get("class") for one in annotations)
    return now != evidence.get("given")
