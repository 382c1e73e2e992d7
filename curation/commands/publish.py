"""`curate publish`: decisions become a version."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from curation.commands.options import (
    VERSION,
    Command,
    account_name,
    author_options,
    branch_option,
    common,
    dataset_option,
    option,
    print_json,
    store_option,
)
from curation.errors import SettingsError


@click.command(cls=Command)
@author_options
@option("--dry-run", group=VERSION, is_flag=True, help="Only show what would change.")
@option("--expect", group=VERSION, default="", metavar="V", help="Refuse if the newest version is not this one.")
@branch_option
@dataset_option
@store_option
@common
def command(
    message: str,
    author: str | None,
    dry_run: bool,
    expect: str,
    branch: str,
    name: str | None,
    store: str,
    as_json: bool,
    workspace: Path,
) -> None:
    """Make what reviewers decided the next version of the manifest.

    What waits for another opinion, is disagreed about or does not fit any more is held back, and said. Nothing to
    publish is no mistake.
    """
    from curation.commands.version_text import print_changes, typed
    from curation.datasets import find_dataset
    from curation.manifest.publish import propose, publish
    from curation.manifest.version_files import resolve
    from curation.store import open_store
    from curation.terminal import print_steps, stdout_console

    if not message.strip() and not dry_run:
        raise SettingsError("Say what was reviewed, and why: curate publish -m TEXT. Others will read it in the log.")
    dataset = find_dataset(workspace, name)
    engine = open_store(store or workspace)
    proposal = propose(dataset.folder, engine, dataset.name, branch)
    expected = resolve(dataset.folder, expect) if expect else ""
    version = ""
    if not dry_run:
        version = publish(
            dataset.folder, engine, dataset.name, message, author or account_name(), expected, branch, proposal
        )
    plan = proposal.plan
    if as_json:
        counts = dict(Counter(str(line["change"]) for line in plan.changes))
        print_json(
            {"version": version or None, "parent": proposal.parent, "dry_run": dry_run, "counts": counts,
             "changes": plan.changes, "waiting": plan.waiting, "conflicts": plan.conflicts}
        )  # fmt: skip
        return
    console = stdout_console()
    if not plan.changes:
        console.print(f"Nothing to publish: {proposal.parent} has all that is decided.")
    else:
        console.print(f"Published {version}:" if version else f"Would be published on top of {proposal.parent}:")
        print_changes(plan.changes, console)
    if plan.waiting or plan.conflicts:
        console.print(
            f"Held back: {len(plan.waiting):,} waiting, {len(plan.conflicts):,} in conflict; see curate status"
        )
    if version:
        steps = {
            "curate score SOURCE": "judge the corrected labels",
            f"curate revert {version} -m TEXT": "take this version back",
        }
        print_steps({typed(step, workspace, name): why for step, why in steps.items()}, console)
