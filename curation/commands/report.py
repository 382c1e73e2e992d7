"""`curate report`: a run as one HTML page."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curation.commands.options import COMMON, Command, common, option, print_json, run_argument
from curation.errors import WorkspaceError


@click.command(cls=Command)
@run_argument
@option(
    "--output",
    group=COMMON,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it (default: report.html in the run's folder).",
)
@option("--open", "show", group=COMMON, is_flag=True, help="Open it in the browser.")
@common
def command(run_id: str | None, output: Path | None, show: bool, as_json: bool, workspace: Path) -> None:
    """Write a run as one self-contained HTML page with pictures and plots.

    RUN is a run id or the beginning of one; without it, the latest run. The page needs no network and runs no script.
    """
    from curation.explain import visible
    from curation.report import write_report
    from curation.runs import read_run
    from curation.terminal import RichProgress, stdout_console

    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--output {output}: a report is a web page; give it a name that ends in .html.")
    run = read_run(workspace, run_id)
    if output is None and not os.access(run.folder, os.W_OK):
        raise WorkspaceError(f"{run.folder} cannot be written. Put the report elsewhere with --output FILE.html.")
    path = output or run.folder / "report.html"
    with RichProgress() as progress:
        write_report(run, path, progress)
    if as_json:
        print_json({"run_id": run.run_id, "report": str(path)})
    else:
        stdout_console().print(f"Report of run {run.run_id}: {visible(str(path), 4096)}", soft_wrap=True)
    if show:
        click.launch(str(path))
