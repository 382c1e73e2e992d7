"""`curate log`: the versions of a data set."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import VERSION, Command, common, dataset_option, option, print_json


@click.command(cls=Command)
@option("--branch", group=VERSION, default="", metavar="NAME", help="Only of this branch and what it came from.")
@option("--top", group=VERSION, type=click.IntRange(1), metavar="N", help="Only the newest N.")
@dataset_option
@common
def command(branch: str, top: int | None, name: str | None, as_json: bool, workspace: Path) -> None:
    """List the versions of a data set, newest first."""
    from curation.commands.version_text import print_log
    from curation.datasets import find_dataset
    from curation.manifest.history import log
    from curation.terminal import stdout_console

    folder = find_dataset(workspace, name).folder
    headers = log(folder, branch)[:top]
    if as_json:
        print_json({"versions": headers})
    else:
        print_log(headers, folder, stdout_console())
