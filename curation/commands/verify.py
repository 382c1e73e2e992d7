"""`curate verify`: whether versions are what they say."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import VERSION, Command, common, dataset_option, option, print_json
from curation.errors import WorkspaceError


@click.command(cls=Command)
@option("--pictures", group=VERSION, is_flag=True, help="Also read every picture of the newest version, and compare.")
@dataset_option
@common
def command(pictures: bool, name: str | None, as_json: bool, workspace: Path) -> None:
    """Check every hash and every file of the versions.

    Nothing is changed. Exit code 2 if something is not what it was published as.
    """
    from curation.datasets import find_dataset
    from curation.explain import visible
    from curation.manifest import read
    from curation.manifest.verify import verify, verify_pictures
    from curation.manifest.version_files import head, versions
    from curation.status import source_root
    from curation.terminal import RichProgress, stdout_console
    from curation.wording import counted

    dataset = find_dataset(workspace, name)
    with RichProgress() as progress:
        problems = verify(dataset.folder, progress)
        newest = head(dataset.folder)
        if pictures and newest is not None:
            rows = read(dataset.folder, newest)
            problems += verify_pictures(source_root(workspace, dataset), rows, progress)
    names = versions(dataset.folder)
    if as_json:
        print_json({"dataset": dataset.name, "versions": names, "problems": problems})
    else:
        console = stdout_console()
        for problem in problems:
            console.print(visible(problem, 500, False), soft_wrap=True)
        if not problems:
            console.print(f"{len(names)} versions of {visible(dataset.name)} are what they were published as.")
    if problems:
        raise WorkspaceError(f"{counted(len(problems), 'problem')}: restore what is damaged from a backup or git.")
