"""`curate issues`: the ranking of a run, printed or saved."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click
import pandas as pd

from curation.commands.options import COMMON, Command, common, option, print_json, run_argument
from curation.errors import SettingsError
from curation.runs import Run, read_run
from curation.wording import counted

LISTED = 20


@click.command(cls=Command)
@run_argument
@option("--issue", "names", group="Which", multiple=True, metavar="NAME", help="Only this issue; may be repeated.")
@option("--top", group="Which", type=click.IntRange(1), metavar="N", help=f"The first N ({LISTED} on the terminal).")
@option(
    "--output",
    group=COMMON,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save as .csv, .parquet or .json instead of printing; all of them, or the first N.",
)
@common
def command(
    run_id: str | None, names: tuple[str, ...], top: int | None, output: Path | None, as_json: bool, workspace: Path
) -> None:
    """Print or save the ranked issues of a run.

    RUN is a run id or the beginning of one; without it, the latest run. The surest issues come first; after the flagged
    ones, the ranking of labels goes on to the end.
    """
    from curation.explain import visible
    from curation.issue_files import issue_records, ranked_issues, save_issues
    from curation.terminal import stderr_console, stdout_console

    run = read_run(workspace, run_id)
    issues = ranked_issues(run, names, top)
    if output is not None:
        _refuse_source(output, run)
        save_issues(issues, output)
        console = stderr_console() if as_json else stdout_console()
        saved = f"{counted(len(issues), 'issue')} of run {run.run_id} saved to {visible(str(output), 4096)}"
        console.print(saved, soft_wrap=True)
    if as_json:
        print_json(issue_records(issues))
    elif output is None:
        _print(issues, LISTED if top is None else top)


def _refuse_source(output: Path, run: Run) -> None:
    """The labels of a data set are never written over, even if --output names their table."""
    root, labels = Path(run.info.get("root") or "."), (run.info.get("import") or {}).get("labels") or ""
    source = Path(run.info.get("source") or ".")
    for table in (source, root / source.name, Path(labels), root / labels):
        with suppress(OSError, ValueError):
            if table.is_file() and output.samefile(table):
                raise SettingsError(f"{output} is the table that the run was made from; choose another name.")


def _print(issues: pd.DataFrame, listed: int) -> None:
    from rich.text import Text

    from curation.explain import explain
    from curation.terminal import shown_path, stdout_console, table

    console = stdout_console()
    if issues.empty:
        console.print("No such issues in this run.")
        return
    drawn = table(">Rank", "Issue", ">Score", "Picture", "Why")
    drawn.columns[-1].no_wrap = False
    for row in issues.head(listed).to_dict("records"):
        name = Text(row["issue"], style="" if row["is_issue"] else "dim")
        drawn.add_row(f"{row['rank']:,}", name, f"{row['score']:.2f}", shown_path(row["path"], 30), explain(row))
    console.print(drawn)
    if len(issues) > listed:
        console.print(Text(f"{len(issues) - listed:,} more: --top N, or --output FILE for all", style="dim"))
