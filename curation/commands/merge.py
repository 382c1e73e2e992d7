"""`curate merge`: one branch into another."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import (
    VERSION,
    Command,
    account_name,
    author_options,
    common,
    dataset_option,
    option,
    print_json,
)


@click.command(cls=Command)
@click.argument("branch")
@option("--into", group=VERSION, default="main", metavar="NAME", help="The branch that gets it (main).")
@author_options
@dataset_option
@common
def command(
    branch: str, into: str, message: str, author: str | None, name: str | None, as_json: bool, workspace: Path
) -> None:
    """Bring what was done on a branch into another.

    Where both changed the same, the branch that gets it stays as it is, and the sample is to be looked at again.
    """
    from curation.commands.version_text import print_changes, print_conflicts
    from curation.datasets import find_dataset
    from curation.manifest.merge import merge
    from curation.terminal import stdout_console

    done = merge(find_dataset(workspace, name).folder, branch, author or account_name(), message, into)
    if as_json:
        print_json({"version": done.version or None, "changes": done.changes, "conflicts": done.conflicts})
        return
    console = stdout_console()
    if not done.version:
        console.print("Nothing to merge: everything of it is there already.")
        return
    console.print(f"Version {done.version}:")
    print_changes(done.changes, console)
    print_conflicts(done.conflicts, console, "conflicts, to be looked at again")
