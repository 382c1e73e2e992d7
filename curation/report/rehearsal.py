"""The page of a rehearsal: what was planted, what was found, and how far that can be trusted; no script."""

from __future__ import annotations

from pathlib import Path

from curation.files import write_atomic
from curation.rehearsing import Outcome, Rehearsal
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
    head = ["Trained", "Average precision", "Reviewed", "Wrong labels found", "95 %", "Precision"]
    rows = [list(map(text, row)) for row in lines_of(found)]
    lines = [(outcome.name, outcome.curve) for outcome in found.outcomes] + [("by lot", list(DRAWN))]
    plot = shares(DRAWN, lines, "p1", "Wrong labels found against labels reviewed")
    notes = "".join(f"<li>{text(note, 1000)}</li>" for note in found.notes)
    body = (
        f"<header><h1>{text(advice(found), 500)}</h1><p class='muted'>{bdi(found.dataset)}: "
        f"{text(planted(found), 1000)}</p></header>\n<main><section>{table(head, rows)}{plot}</section>\n"
    )
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
    named = ("(by lot)", f"{found.rate:.3f}")
    for point in found.outcomes[0].points:
        lines.append((*named, f"{point.share:.0%}", f"{point.share:.0%}", "", percent(found.rate)))
        named = ("", "")
    return lines


def planted(found: Rehearsal) -> str:
    """What was done, in a sentence."""
    low, high = found.rate_range
    span = f" ({low:.1%} to {high:.1%})" if high > low else ""
    return (
        f"{found.planted:,.0f} errors planted in {found.labels:,} labels, {counted(found.settings.seeds, 'time')}; "
        f"{found.rate:.1%} are believed to be wrong{span}, {found.rate_from}."
    )


def advice(found: Rehearsal) -> str:
    """What to expect, in a sentence; of several recipes, which one is ahead."""
    best = max(found.outcomes, key=lambda outcome: outcome.average_precision[0])
    point = best.points[-1]
    expected = (
        f"Reviewing the first {point.share:.0%} of the queue should find about {percent(point.recall)} of the wrong "
        f"labels ({percent(point.low)} to {percent(point.high)})"
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
