"""`curate report`: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import COMMON, Command, common, option, print_json, run_argument


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
    from curation.report import write_report
    from curation.runs import read_run
    from curation.terminal import RichProgress, stdout_console

    run = read_run(workspace, run_id)
    path = output or run.folder / "report.html"
    with RichProgress() as progress:
        write_report(run, path, progress)
    if as_json:
        print_json({"run_id": run.run_id, "report": str(path)})
    else:
        stdout_console().print(f"Report of run {run.run_id}: {path}", soft_wrap=True)
    if show:
        click.launch(str(path))
