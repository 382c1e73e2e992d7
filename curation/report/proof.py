"""The page of a proof: what was compared, what came out, and how sure that is; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from curation.files import write_atomic
from curation.proving import Proof
from curation.proving.compare import MEASURES, Change
from curation.report.document import MADE_BY, document
from curation.report.markup import bdi, table, text
from curation.report.plots import intervals
from curation.wording import counted

ARMS = {
    "before": "{before}",
    "after": "{after}",
    "pruned": "{before} without suspects",
    "placebo": "{before}, placebo",
}
MOST_CLASSES = 60


def write_page(proof: Proof, output: Path) -> Path:
    """Write the page, atomically; `output` comes back.

    Raises
    ------
    WorkspaceError : it cannot be written.
    """
    page = render(proof)
    write_atomic(output, lambda stream: stream.write(page.encode("utf-8", "replace")), "proof", option="--output FILE")
    return output


def render(proof: Proof) -> str:
    """The page as HTML text."""
    settings, first = proof.settings, proof.arms["after"]
    names = {arm: words.format(before=settings.before, after=settings.after) for arm, words in ARMS.items()}
    lines = [["before", *(f"{change.before:.1%}" for change in first.measures.values()), ""]]
    lines += [
        [arm, *(f"{change.after:.1%}" for change in found.measures.values()), points(found.main)]
        for arm, found in proof.arms.items()
    ]
    cells = [[text(names[arm]), f"{proof.contest.trained_on[arm]:,}", *map(text, rest)] for arm, *rest in lines]
    main = MEASURES[next(iter(first.measures))]
    head = ["Trained on", proof.contest.things.capitalize(), *(MEASURES[name] for name in first.measures),
            f"Change in {lower(main)}, points (95 % interval)"]  # fmt: skip
    arms = intervals([names[arm] for arm in proof.arms], _spans(f.main for f in proof.arms.values()), "p1",
                     f"Change in {lower(main)} against the first version")  # fmt: skip
    classes = sorted(first.by_class.items(), key=lambda pair: -abs(pair[1].change))[:MOST_CLASSES]
    per_class = intervals([proof.classes[k] for k, _ in classes], _spans(change for _, change in classes), "p2",
                          f"Change in the {MEASURES[first.class_measure]}")  # fmt: skip
    notes = "".join(f"<li>{text(note, 1000)}</li>" for note in proof.notes)
    changes = f"{text(settings.after)} against {text(settings.before)}: {proof.changes_told}, in what is trained on."
    asked = (
        f"Asked about {len(proof.holdout.rows):,} pictures ({bdi(proof.holdout.name)}), of which nothing is trained "
        f"on. {counted(settings.seeds, 'network')} for each line, with the same seeds; {text(proof.contest.network)}, "
        f"{counted(proof.contest.epochs, 'pass', 'passes')}. {text(proof.contest.asked_about, 1000)}"
    )
    sections = [
        ("", f"{table(head, cells)}<div class='plot'>{arms}</div>"),
        ("By class", f"<div class='plot'>{per_class}</div>"),
        ("Notes", f"<ul>{notes}</ul>" if notes else ""),
        ("How to read this", HOW),
    ]
    body = f"<header><h1>{text(verdict(proof))}</h1><p class='muted'>{changes} {asked}</p></header>\n<main>"
    for title, content in sections:
        if content:
            body += f"<section>{f'<h2>{title}</h2>' if title else ''}{content}</section>\n"
    body += "</main>\n"
    return document(f"Proof: {text(settings.after)} against {text(settings.before)}", body, MADE_BY)


HOW = (
    "<p>A gain is proven where the whole interval lies above 0. It covers both the chance of which pictures are in the "
    "hold-out and the chance of training. <b>Suspects left out</b> shows what dropping all flagged pictures would have "
    "brought without anybody looking; the <b>placebo</b> shows what as many changes to other pictures, drawn by lot, "
    "do.</p>"
)


def verdict(proof: Proof) -> str:
    """The result in a sentence."""
    found = points(proof.arms["after"].main)
    if proof.verdict:
        return f"Proven {proof.verdict}: {proof.settings.after} against {proof.settings.before}, {found} points."
    return (
        f"No proven gain: {proof.settings.after} against {proof.settings.before}, {found} points; the interval holds 0."
    )


def points(change: Change) -> str:
    """A change in points of percent, with its interval."""
    return f"{100 * change.change:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def lower(measure: str) -> str:
    """A measure's name inside of a sentence."""
    return measure if measure[1:2].isupper() else measure[0].lower() + measure[1:]


def _spans(changes: Iterable[Change]) -> Sequence[tuple[float, float, float]]:
    return [(100 * c.low, 100 * c.change, 100 * c.high) for c in changes]
