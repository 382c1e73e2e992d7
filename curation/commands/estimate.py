"""`curate estimate`: how many labels are wrong, how many are left, and whether to go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curation.commands.options import Command, common, print_json, run_argument, store_option

if TYPE_CHECKING:
    from curation.estimate import Estimate

LISTED = 20


@click.command(cls=Command)
@run_argument
@store_option
@common
def command(run_id: str | None, store: str, as_json: bool, workspace: Path) -> None:
    """Say how many labels are wrong, how many are left, and whether to stop.

    Where pictures have several labels, or boxes, pictures with an error are counted, and the errors in them.

    RUN is a run id or the beginning of one; without it, the run that was audited last, else the latest. The intervals
    hold at any time of looking; without an audit (`curate audit`) there are none.
    """
    from curation import estimate_text
    from curation.review.audit import audited_run, estimate_of
    from curation.runs import read_run
    from curation.store import open_store

    engine = open_store(store or workspace)
    run = audited_run(engine, read_run(workspace, run_id), workspace) if run_id is None else read_run(workspace, run_id)
    found = estimate_of(engine, run)
    if as_json:
        print_json({"dataset": run.info["dataset"], "run_id": run.run_id, **estimate_text.facts(found)})
    else:
        _print(str(run.info["dataset"]), found)


def _print(dataset: str, found: Estimate) -> None:
    from rich.text import Text

    from curation import estimate_text as text
    from curation.terminal import shown, stdout_console, table

    console = stdout_console()
    reviewed = (
        f"{found.labels:,} {found.unit.many}, {found.reviewed:,} reviewed, {found.audited:,} of them drawn at random"
    )
    console.print(Text(shown(dataset), style="bold"), Text(reviewed))
    for title, lines in ((text.title(found), text.lines(found)), ("Errors", text.annotation_lines(found))):
        if lines:
            drawn = table(title, ">", "95 % interval")
            for what, number, span in lines:
                drawn.add_row(what, number, span)
            console.print(drawn)
    if found.annotations:
        console.print(f"Errors: {text.annotation_words(found)}.")
    if found.classes:
        of, count, wrong = text.class_words(found)
        drawn = table(of.capitalize(), f">{count.capitalize()}", f">{wrong.capitalize()}", "95 % interval", ">Fixed")
        for line in found.classes[:LISTED]:
            span = text.span(found, line.start)
            drawn.add_row(shown(line.name), f"{line.labels:,}", text.about(line.start), span, f"{line.fixed:,}")
        console.print(drawn)
        console.print("Classes with enough data; each interval holds by itself.")
    console.print(Text(f"{text.advice(found)}.", style="bold"))
    for sentence in text.sentences(found):
        console.print(Text(sentence))
    if found.audited:
        console.print(Text(text.trust(found)))
    elif not found.waiting:
        console.print(Text("Draw some: curate audit", style="cyan"))
