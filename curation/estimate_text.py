"""An estimate of the wrong labels in words and lines: one wording for the command line, the app and programs."""

from __future__ import annotations

from typing import Any

from curation.estimate import Estimate, Interval

FEW = 50  # audited labels; fewer give an interval so wide that it has to be said
ADVICE = {"audit": "Audit more", "go on": "Go on", "stop": "Stop", "score again": "Publish and score again"}


def lines(found: Estimate) -> list[tuple[str, str, str]]:
    """What, how many, between which numbers: wrong at the start, fixed, left."""
    return _lines(found, found.start, found.fixed, found.left)


def annotation_lines(found: Estimate) -> list[tuple[str, str, str]]:
    """The same of single labels or boxes in the pictures; none where labels are what is counted."""
    if found.annotations is None:
        return []
    start, fixed = found.annotations.start, found.annotations.fixed
    return _lines(found, start, fixed, start.less(fixed))


def annotation_words(found: Estimate) -> str:
    """What `annotation_lines` counts."""
    most = found.annotations.bound if found.annotations else 0
    return f"labels or boxes in them that are wrong, missing or too many, counted up to {most} in each"


def _lines(found: Estimate, start: Interval, fixed: int, left: Interval) -> list[tuple[str, str, str]]:
    return [
        ("at the start", about(start), span(found, start)),
        ("found and fixed", f"{fixed:,}", "counted"),
        ("left", about(left), span(found, left)),
    ]


def title(found: Estimate) -> str:
    """What is counted, to stand above `lines`."""
    return found.unit.wrong[:1].upper() + found.unit.wrong[1:]


def class_words(found: Estimate) -> tuple[str, str, str]:
    """What the columns of the classes are: the class, how many had it, how many are wrong."""
    if found.annotations is None:
        return "given label", "labels", "wrong at the start"
    return "class", "pictures", "wrong or missing in"


def about(value: Interval) -> str:
    """The estimate, exact where it is."""
    return f"{value.estimate:,.0f}" if value.high == value.low else f"about {value.estimate:,.0f}"


def span(found: Estimate, value: Interval) -> str:
    """The interval; without an audit there is none."""
    if value.high - value.low < 0.5:
        return "exact"
    if not found.audited:
        return "no interval"
    return f"{value.low:,.0f} to {value.high:,.0f}"


def advice(found: Estimate) -> str:
    """What to do next, in a few words."""
    return ADVICE[found.advice]


def sentences(found: Estimate) -> list[str]:
    """Why that is the advice, what it would take to know more, and how far all this can be trusted."""
    said, unit = list(found.reasons), found.unit
    if found.halve is not None:
        said.append(f"About {found.halve:,} more audited {unit.many} would halve the interval.")
    if 0 < found.audited < FEW:
        said.append(f"{found.audited} audited {unit.many} are few: the interval holds, but it is wide.")
    if found.waiting:
        noun = f"{unit.one} that was" if found.waiting == 1 else f"{unit.many} that were"
        said.append(f"{found.waiting:,} {noun} drawn wait for a reviewer, or for one that was drawn earlier.")
    if found.unsettled:
        noun = f"{unit.one} is" if found.unsettled == 1 else f"{unit.many} are"
        said.append(f"{found.unsettled:,} {noun} unsettled (unsure, or reviewers disagree) and count as not known.")
    return said


def trust(found: Estimate) -> str:
    """What the interval means, in one sentence."""
    return (
        "The intervals hold with 95 % confidence at any time of looking, if reviewers are right; they come from the "
        f"{found.unit.many} that were drawn at random, whatever the model thinks of itself."
    )


def facts(found: Estimate) -> dict[str, Any]:
    """The same for a program; limits are null where there is no interval."""

    def numbers(value: Interval, known: bool) -> dict[str, float | None]:
        low, high = (value.low, value.high) if known else (None, None)
        return {"estimate": value.estimate, "low": low, "high": high}

    known = found.audited > 0 or found.start.low == found.start.high
    annotations: dict[str, Any] = {}
    if found.annotations is not None:
        start, fixed = found.annotations.start, found.annotations.fixed
        annotations = {
            "annotations": {
                "wrong_at_start": numbers(start, known), "fixed": fixed, "left": numbers(start.less(fixed), known),
                "counted_per_picture": found.annotations.bound,
            }
        }  # fmt: skip
    return {
        "unit": found.unit.one,
        found.unit.many: found.labels,
        "reviewed": found.reviewed,
        "unsettled": found.unsettled,
        "audited": found.audited,
        "audited_waiting": found.waiting,
        "wrong_at_start": numbers(found.start, known),
        "fixed": found.fixed,
        "left": numbers(found.left, known),
        **annotations,
        "classes": [
            {
                "name": line.name, found.unit.many: line.labels, "audited": line.audited,
                "wrong_at_start": numbers(line.start, True), "fixed": line.fixed,
                "left": numbers(line.start.less(line.fixed), True),
            }
            for line in found.classes
        ],
        "audited_to_halve": found.halve,
        "fixes_per_100": found.fixes_per_100,
        "advice": found.advice,
        "reasons": list(found.reasons),
    }  # fmt: skip
