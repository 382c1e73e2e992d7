"""`curate verify-export`: whether an export is what it says, and what its version says."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import Command, common, dataset_option, print_json
from curation.errors import WorkspaceError


@click.command(cls=Command)
@click.argument("dest", type=click.Path(path_type=Path))
@dataset_option
@common
def command(dest: Path, name: str | None, as_json: bool, workspace: Path) -> None:
    """Check the files of an export, and its labels against the version.

    Every file is read and compared with what curate-export.json in DEST says, and that with the version, if the
    workspace has it. Nothing is changed. Exit code 2 if something differs.
    """
    from curation.explain import visible
    from curation.export_table import read_table
    from curation.exporters.verify import compare_with_version, verify_export
    from curation.manifest import manifest_folder
    from curation.terminal import RichProgress, stdout_console
    from curation.wording import counted

    facts = read_table(dest).facts
    with RichProgress() as progress:
        problems = verify_export(dest, progress)
        others, why_not = compare_with_version(dest, manifest_folder(workspace, name or facts["dataset"]))
    problems += others
    if as_json:
        print_json({"export": str(dest), "version": facts["version"], "not_compared": why_not, "problems": problems})
    else:
        console = stdout_console()
        for problem in problems:
            console.print(visible(problem, 500, False), soft_wrap=True)
        if why_not:
            console.print(f"Not compared with its version: {visible(why_not, 500, False)}.", soft_wrap=True)
        if not problems:
            console.print(
                f"{visible(str(dest), 4096, False)} is what was exported from {visible(facts['version'])}.",
                soft_wrap=True,
            )
    if problems:
        raise WorkspaceError(f"{counted(len(problems), 'problem')}: export again.")
