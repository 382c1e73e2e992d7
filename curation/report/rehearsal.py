"""The page of a rehearsal: what was planted, what was found, and how far that can be trusted; no script."""

from __future__ import annotations

from pathlib import Path

from curation.files import write_atomic
from curation.rehearsing.outcome import Outcome, Rehearsal
from curation.rehearsing.recall import DRAWN
from curation.report.document import MADE_BY, document
from curation.report.markup import bdi, table, text
from curation.report.plots import shares
from curation.wording import counted


def write_page(found: Rehearsal, output: Path) -> Path:
    """Write the page, atomically; `output` comes back.

    Raises
    ------
    WorkspaceError : it cannot be written.
    """
    page = render(found)
    write_atomic(
        output, lambda stream: stream.write(page.encode("utf-8", "replace")), "rehearsal", option="--output FILE"
    )
    return output


def render(found: Rehearsal) -> str:
    """The page as HTML text."""
    of = "Errors found" if found.pictures else "Wrong labels found"
    head = ["Trained", "Average precision", "Reviewed", of, "95 %", "Precision"]
    rows = [list(map(text, row)) for row in lines_of(found)]
    lines = [(outcome.name, outcome.curve) for outcome in found.outcomes] + [("by lot", list(DRAWN))]
    what = "Errors found against pictures reviewed" if found.pictures else "Wrong labels found against labels reviewed"
    plot = shares(DRAWN, lines, "p1", what, f"{found.unit}s")
    notes = "".join(f"<li>{text(note, 1000)}</li>" for note in found.notes)
    body = (
        f"<header><h1>{text(advice(found), 500)}</h1><p class='muted'>{bdi(found.dataset)}: "
        f"{text(planted(found), 1000)}</p></header>\n<main><section>{table(head, rows)}{plot}</section>\n"
    )
    kinds = [list(map(text, row)) for row in kind_lines(found)]
    if kinds:
        of_kind = table(["Trained", "Kind of error", "Reviewed", "Found", "95 %"], kinds)
        body += f"<section><h2>By kind of error</h2>{of_kind}</section>\n"
    if notes:
        body += f"<section><h2>Notes</h2><ul>{notes}</ul></section>\n"
    body += f"<section><h2>How to read this</h2>{HOW}</section>\n</main>\n"
    return document(f"Rehearsal: {text(found.dataset)}", body, MADE_BY)


HOW = (
    "<p>The labels of each copy are one guess of what is right, with known errors planted in it: between the classes, "
    "and in the numbers, that the run and its reviewers believe in; every second one rather where the picture looks "
    "like the wrong class, the others by lot. The interval covers how many labels may be wrong, which ones happen to "
    "be, and the chance in training. It does not cover that real errors may be of another kind: those that no model "
    "can doubt are in nobody's guess. An audit (<code>curate audit</code>) finds out.</p>"
)


def lines_of(found: Rehearsal) -> list[tuple[str, str, str, str, str, str]]:
    """The table, as text: trained, AP, reviewed, found, its interval, precision; what lot would find comes last."""
    lines = []
    for outcome in found.outcomes:
        named = (outcome.name, f"{outcome.average_precision[0]:.3f}")
        for point in outcome.points:
            span = f"{percent(point.low)} to {percent(point.high)}"
            lines.append((*named, f"{point.share:.0%}", percent(point.recall), span, percent(point.precision)))
            named = ("", "")
    by_lot = "" if found.pictures else percent(found.rate)
    named = ("(by lot)", by_lot and f"{found.rate:.3f}")
    for point in found.outcomes[0].points:
        lines.append((*named, f"{point.share:.0%}", f"{point.share:.0%}", "", by_lot))
        named = ("", "")
    return lines


def kind_lines(found: Rehearsal) -> list[tuple[str, str, str, str, str]]:
    """Of each kind of error: trained, kind, reviewed, found, its interval; none where there is one kind only."""
    lines = []
    for outcome in found.outcomes:
        trained = outcome.name
        for kind, points in outcome.kinds.items():
            named = (trained, kind)
            for point in points:
                span = f"{percent(point.low)} to {percent(point.high)}"
                lines.append((*named, f"{point.share:.0%}", percent(point.recall), span))
                named = ("", "")
            trained = ""
    return lines


def how_counted(found: Rehearsal) -> str:
    """What the columns of `lines_of` are."""
    if found.pictures:
        return "Found: the share of all errors. Precision: how many of the reviewed pictures have one."
    return "Found: the share of all wrong labels. Precision: how many of the reviewed labels are wrong."


def planted(found: Rehearsal) -> str:
    """What was done, in a sentence."""
    low, high = found.rate_range
    span = f" ({low:.1%} to {high:.1%})" if high > low else ""
    where = f" of {counted(found.pictures, 'picture')}" if found.pictures else ""
    believed = f"{found.rate:.1%} are believed to be wrong"
    if found.pictures:
        believed = f"{found.rate:.1%} of that number are believed to be wrong, missing or too many"
    return (
        f"{found.planted:,.0f} errors planted in {found.labels:,} labels{where}, "
        f"{counted(found.settings.seeds, 'time')}; {believed}{span}, {found.rate_from}."
    )


def advice(found: Rehearsal) -> str:
    """What to expect, in a sentence; of several recipes, which one is ahead."""
    best = max(found.outcomes, key=lambda outcome: outcome.average_precision[0])
    point = best.points[-1]
    expected = (
        f"Reviewing the first {point.share:.0%} of the queue should find about {percent(point.recall)} of the "
        f"{'errors' if found.pictures else 'wrong labels'} ({percent(point.low)} to {percent(point.high)})"
    )
    others = [outcome for outcome in found.outcomes if outcome is not best]
    if not others:
        return f"{expected}."
    ahead = all(_ahead(best, other) for other in others)
    return f"{expected} with {best.name}, " + ("ahead of the others." if ahead else "but the difference may be chance.")


def _ahead(best: Outcome, other: Outcome) -> bool:
    """Whether the worst repetition of one is better than the best one of the other; one repetition shows nothing."""
    one_only = best.average_precision[1] == best.average_precision[2]
    return not one_only and best.average_precision[1] > other.average_precision[2]


def percent(value: float) -> str:
    """A share in whole percent."""
    return f"{value:.0%}"
