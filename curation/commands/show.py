"""`curate show`: one version."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import VERSION, Command, common, dataset_option, option, print_json


@click.command(cls=Command)
@click.argument("version", required=False, default="head")
@option("--top", group=VERSION, type=click.IntRange(1), default=30, metavar="N", help="Show N changes (30).")
@dataset_option
@common
def command(version: str, top: int, name: str | None, as_json: bool, workspace: Path) -> None:
    """Show one version: who made it, and what it changed.

    VERSION is v0003, v3, 3, a tag, a branch, or head; without it, the newest.
    """
    from curation.commands.version_text import print_changes, print_header
    from curation.datasets import find_dataset
    from curation.manifest.history import changes_of
    from curation.manifest.version_files import read_header, resolve
    from curation.terminal import stdout_console

    folder = find_dataset(workspace, name).folder
    found = resolve(folder, version)
    header, changes = read_header(folder, found), changes_of(folder, found)
    if as_json:
        print_json({"version": found, "header": header, "changes": changes})
        return
    console = stdout_console()
    print_header(header, console)
    console.print()
    print_changes(changes, console, top)
