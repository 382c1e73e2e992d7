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
    from curation.issue_files import issue_records, ranked_issues, save_issues, with_reasons
    from curation.terminal import stderr_console, stdout_console

    run = read_run(workspace, run_id)
    issues = ranked_issues(run, names, top)
    if output is not None or as_json:
        issues = with_reasons(issues)
    if output is not None:
        _refuse_source(output, run)
        save_issues(issues, output)
        console = stderr_console() if as_json else stdout_console()
        where = visible(str(output), 4096)
        console.print(f"{_how_many(issues)} of run {run.run_id} saved to {where}", soft_wrap=True)
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


def _how_many(issues: pd.DataFrame) -> str:
    """`250 issues and 1,748 labels without a finding`."""
    flagged = int(issues["is_issue"].sum())
    others = len(issues) - flagged
    return counted(flagged, "issue") + (f" and {counted(others, 'label')} without a finding" if others else "")


def _print(issues: pd.DataFrame, listed: int) -> None:
    """An entry per issue: rank, picture and issue on one line, the reason below; no width makes that unreadable."""
    from rich.cells import cell_len
    from rich.text import Text

    from curation.explain import explain
    from curation.terminal import print_entry, shown_path, stdout_console

    console = stdout_console()
    if issues.empty:
        console.print("No such issues in this run.")
        return
    first = issues.head(listed)
    rank = max(len(f"{first['rank'].max():,}"), 3)
    room = max(console.width - rank - 2 - 2 - first["issue"].str.len().max() - 5, 12)
    paths = [shown_path(path, room) for path in first["path"]]
    width = max(cell_len(path) for path in paths)
    for path, row in zip(paths, first.to_dict("records"), strict=True):
        head = Text(f"{row['rank']:>{rank},}  {path}{' ' * (width - cell_len(path))}")
        head.append(f"  {row['issue']} {row['score']:.2f}", style="cyan" if row["is_issue"] else "dim")
        print_entry(console, head, explain(row), rank + 2, "dim")
    if len(issues) > listed:
        rest = _how_many(issues.iloc[listed:])
        console.print(Text(f"And {rest}: --top N, or --output FILE for all", style="dim"), soft_wrap=True)
