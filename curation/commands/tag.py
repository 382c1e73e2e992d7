"""`curate tag`: names for versions."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import Command, account_name, author_options, common, dataset_option, print_json


@click.command(cls=Command)
@click.argument("tag", required=False)
@click.argument("version", required=False, default="")
@author_options
@dataset_option
@common
def command(
    tag: str | None, version: str, message: str, author: str | None, name: str | None, as_json: bool, workspace: Path
) -> None:
    """Give a version a name, or list those that there are.

    VERSION is the newest one if it is left out. A tag never moves: every command that takes a version takes it.
    """
    from curation.commands.pointers import print_pointers
    from curation.datasets import find_dataset
    from curation.manifest.history import tag as give_tag
    from curation.manifest.version_files import pointers

    folder = find_dataset(workspace, name).folder
    made = give_tag(folder, tag, version, author or account_name(), message) if tag else None
    if as_json:
        print_json(made or {"tags": list(pointers(folder, "tags").values())})
    else:
        print_pointers([made] if made else list(pointers(folder, "tags").values()), "Tag", "There are no tags yet.")
