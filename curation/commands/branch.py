"""`curate branch`: work that leaves the main branch as it is."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import Command, account_name, author_options, common, dataset_option, print_json


@click.command(cls=Command)
@click.argument("branch", required=False)
@click.argument("version", required=False, default="")
@author_options
@dataset_option
@common
def command(
    branch: str | None, version: str, message: str, author: str | None, name: str | None, as_json: bool, workspace: Path
) -> None:
    """Start a branch at a version, or list those that there are.

    VERSION is the newest one of the main branch if it is left out. `curate publish --branch NAME` then adds to it, and
    `curate merge NAME` brings it into the main branch.
    """
    from curation.commands.pointers import print_pointers
    from curation.datasets import find_dataset
    from curation.manifest.history import branches, start_branch

    folder = find_dataset(workspace, name).folder
    made = start_branch(folder, branch, version, author or account_name(), message) if branch else None
    if as_json:
        print_json(made or {"branches": branches(folder)})
        return
    listed = [{"name": key, "version": value} for key, value in branches(folder).items()]
    print_pointers([made] if made else listed, "Branch", "There is no version yet.")
