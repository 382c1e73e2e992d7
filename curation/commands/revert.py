"""`curate revert`: taking back, as a version of its own."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import (
    Command,
    account_name,
    author_options,
    branch_option,
    common,
    dataset_option,
    option,
    print_json,
)
from curation.errors import NotFoundError, SettingsError


@click.command(cls=Command)
@click.argument("target", required=False)
@option("--reviewer", group="What", metavar="NAME", help="Take back what this reviewer alone decided.")
@option("--since", group="What", default="", metavar="TIME", help="Only what was decided since: 2026-11-21T14:30, UTC.")
@author_options
@branch_option
@dataset_option
@common
def command(
    target: str | None,
    reviewer: str | None,
    since: str,
    message: str,
    author: str | None,
    branch: str,
    name: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Take back a version, what a reviewer decided, or the last change of a sample.

    TARGET is a version (v0003, v3, 3, a tag) or a sample (its sample_id or path). What changed again since stays, and
    is said. A revert is a version: reverting it brings everything back.
    """
    from curation.commands.version_text import print_changes, print_conflicts, typed
    from curation.datasets import find_dataset
    from curation.manifest.revert import revert_reviewer, revert_sample, revert_version
    from curation.manifest.version_files import resolve
    from curation.terminal import print_steps, stdout_console

    if (target is None) == (reviewer is None):
        raise SettingsError("Say what to take back: a version, a sample, or --reviewer NAME.")
    if since and reviewer is None:
        raise SettingsError("--since goes with --reviewer NAME.")
    folder, who = find_dataset(workspace, name).folder, author or account_name()
    if reviewer is not None:
        done = revert_reviewer(folder, reviewer, since, who, message, branch)
    else:
        assert target is not None
        try:
            version = resolve(folder, target)
        except NotFoundError:
            version = ""
        done = (
            revert_version(folder, version, who, message, branch)
            if version
            else revert_sample(folder, target, who, message, branch)
        )
    if as_json:
        print_json({"version": done.version or None, "changes": done.changes, "conflicts": done.conflicts})
        return
    console = stdout_console()
    console.print(f"Version {done.version} takes it back:" if done.version else "Nothing to take back.")
    if done.version:
        print_changes(done.changes, console)
    print_conflicts(done.conflicts, console, "were not taken back")
    if done.version:
        steps = {"curate log": "all versions", f"curate revert {done.version} -m TEXT": "bring it back"}
        print_steps({typed(step, workspace, name): why for step, why in steps.items()}, console)
