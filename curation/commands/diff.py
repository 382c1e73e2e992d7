"""`curate diff`: what differs between two versions."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import VERSION, Command, common, dataset_option, option, print_json


@click.command(cls=Command)
@click.argument("old")
@click.argument("new", required=False, default="head")
@option("--top", group=VERSION, type=click.IntRange(1), default=30, metavar="N", help="Show N changes (30).")
@dataset_option
@common
def command(old: str, new: str, top: int, name: str | None, as_json: bool, workspace: Path) -> None:
    """Show what differs between two versions.

    OLD and NEW are versions (v0003, v3, 3), tags, branches or head, whichever is older; NEW is head if it is left out.
    """
    from curation.commands.version_text import print_changes
    from curation.datasets import find_dataset
    from curation.manifest.history import compare
    from curation.manifest.version_files import resolve
    from curation.terminal import RichProgress, stdout_console

    folder = find_dataset(workspace, name).folder
    one, two = resolve(folder, old), resolve(folder, new)
    with RichProgress() as progress:
        changes = compare(folder, one, two, progress)
    if as_json:
        print_json({"from": one, "to": two, "changes": changes})
    else:
        console = stdout_console()
        console.print(f"From {one} to {two}")
        print_changes(changes, console, top)
