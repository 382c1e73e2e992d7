"""`curate demo`: real handwritten digits with planted faults, scored, and compared with what was planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curation.commands.options import Command, common, print_json


@click.command(cls=Command)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@common
def command(folder: Path | None, as_json: bool, workspace: Path) -> None:
    """Score real handwritten digits with planted faults, and count what was found.

    DIR is the workspace to use (default: demo). The data lies in DIR/digits afterwards; all other commands work on it
    with --workspace DIR.
    """
    from curation import demo
    from curation.commands.summary import print_next, print_summary
    from curation.files import check_workspace
    from curation.runs import read_run
    from curation.terminal import RichProgress, stdout_console

    place = folder or (workspace if str(workspace) != "." else Path("demo"))
    check_workspace(place)
    with RichProgress() as progress:
        result = demo.run(place, progress)
    if as_json:
        print_json(result)
        return
    console = stdout_console()
    print_summary(read_run(place, result["run_id"]), console, progress.said)
    print_comparison(result, console)
    print_next(place, console)


def print_comparison(result: dict[str, Any], console: Any) -> None:
    """What was planted against what was found."""
    from rich.text import Text

    from curation.explain import percent
    from curation.terminal import table, wrapped

    console.print()
    drawn = table("Fault", ">Planted", ">Found", ">Flags", ">Right", ">Recall", ">Precision")
    for row in result["comparison"]:
        shares = (("-" if row[name] is None else percent(row[name])) for name in ("recall", "precision"))
        counts = (f"{row[name]:,}" for name in ("planted", "found", "flagged", "right"))
        drawn.add_row(row["issue"], *counts, *shares)
    console.print(drawn)
    left_out = "Flags that another planted fault explains are not counted here: a foreign picture has no right label."
    for line in wrapped(left_out, console.width):
        console.print(Text(line, style="dim"))
