"""`curate doctor`: what this machine and workspace have."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import Command, common, print_json


@click.command(cls=Command)
@common
def command(as_json: bool, workspace: Path) -> None:
    """Say what this machine and workspace have, and what `auto` would choose.

    Nothing is changed, and being offline is normal. The lines marked with ! deserve a look.
    """
    from curation.doctor import inspect
    from curation.terminal import stdout_console

    found = inspect(workspace)
    if as_json:
        print_json(found)
        return
    from curation.commands.findings import print_findings

    print_findings(found, stdout_console())
