"""`curate status`: where a data set stands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import (
    Command,
    branch_option,
    common,
    dataset_option,
    print_json,
    store_option,
)

if TYPE_CHECKING:
    from rich.console import Console

    from curation.status import Status

LISTED = 10


@click.command(cls=Command)
@branch_option
@dataset_option
@store_option
@common
def command(name: str | None, branch: str, store: str, as_json: bool, workspace: Path) -> None:
    """Say what waits to be published, what is held back, and whether the source has changed.

    Nothing is changed.
    """
    from curation.datasets import find_dataset
    from curation.status import status
    from curation.store import open_store, store_path
    from curation.terminal import RichProgress, stdout_console

    dataset = find_dataset(workspace, name)
    there = bool(store) or store_path(workspace).exists()
    with RichProgress() as progress:
        found = status(workspace, dataset, open_store(store or workspace) if there else None, branch, progress)
    if as_json:
        print_json(_facts(found))
    else:
        _print(found, stdout_console(), workspace, name)


def _facts(found: Status) -> dict[str, Any]:
    plan = found.proposal.plan if found.proposal else None
    pending = plan.pending.items() if plan else ()
    return {
        "dataset": found.dataset,
        "branch": found.branch,
        "version": found.head["version"],
        "head": found.head,
        "branches": found.branches,
        "tags": found.tags,
        "pending": [{"verdict": v, "reviewer": r, "decisions": count} for (v, r), count in pending],
        "changes": dict(Counter(line["change"] for line in plan.changes)) if plan else {},
        "waiting": plan.waiting if plan else [],
        "conflicts": plan.conflicts if plan else [],
        "open_conflicts": found.open_conflicts,
        "source": vars(found.source),
    }


def _print(found: Status, console: Console, workspace: Path, name: str | None) -> None:
    from rich.text import Text

    from curation.commands.version_text import print_conflicts, print_header, typed
    from curation.manifest.change_table import count_changes
    from curation.terminal import print_steps, shown, shown_path, table

    console.print(Text(shown(found.dataset), style="bold"))
    print_header(found.head, console)
    console.print()
    plan = found.proposal.plan if found.proposal else None
    if plan is None or not (plan.changes or plan.waiting or plan.conflicts):
        console.print("Nothing to publish: no decision is newer than this version.")
    if plan is not None and plan.pending:
        drawn = table("Verdict", "Reviewer", ">Decisions")
        for (verdict, reviewer), count in plan.pending.items():
            drawn.add_row(verdict, shown(reviewer, 40), f"{count:,}")
        console.print(drawn)
        console.print()
    if plan is not None and plan.changes:
        console.print(Text(f"To publish: {count_changes(plan.changes)}", style="bold"))
    if plan is not None and plan.waiting:
        states = Counter(line["state"] for line in plan.waiting)
        said = {"second": "for another opinion", "disagreement": "until a disagreement is settled"}
        words = ", ".join(f"{n:,} {said.get(s, 'as the reviewer was unsure')}" for s, n in sorted(states.items()))
        console.print(Text(f"Held back: {words}"))
    if plan is not None and plan.conflicts:
        console.print(Text(f"{len(plan.conflicts):,} decisions do not fit any more:", style="red"))
        for line in plan.conflicts[:LISTED]:
            where = shown_path(line["path"] or line["sample_id"], 40)
            console.print(Text(f"    {where}: {shown(line['why'], 120)} ({shown(line['reviewer'], 20)})"))
    print_conflicts(found.open_conflicts, console, "changes of imports and merges contradict reviewed ones", LISTED)
    _source(found, console)
    if plan is not None and plan.changes:
        print_steps({typed("curate publish -m TEXT", workspace, name): "make them a version"}, console)


def _source(found: Status, console: Console) -> None:
    from rich.text import Text

    from curation.terminal import shown, shown_path

    state = {None: "not known", True: "changed since the last import", False: "unchanged"}[found.source.changed]
    place = f" {shown_path(found.source.place, 50)}" if found.source.place else ""
    why = "" if found.source.changed is False else f": {shown(found.source.words, 200)}"
    console.print(Text(f"Source{place}: {state}{why}"), soft_wrap=True)
