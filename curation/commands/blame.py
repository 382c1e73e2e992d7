"""`curate blame`: the history of one sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import VERSION, Command, common, dataset_option, option, print_json

if TYPE_CHECKING:
    from rich.console import Console


@click.command(cls=Command)
@click.argument("sample")
@option("--at", group=VERSION, default="head", metavar="V", help="Up to this version (the newest).")
@dataset_option
@common
def command(sample: str, at: str, name: str | None, as_json: bool, workspace: Path) -> None:
    """Say who changed a sample, when and why.

    SAMPLE is a sample_id, a path in the data set, or the end of a path that fits one picture only; also of a picture
    that was renamed or removed since.
    """
    from curation.datasets import find_dataset
    from curation.manifest.history import blame, find_sample
    from curation.manifest.version_files import resolve
    from curation.terminal import stdout_console

    folder = find_dataset(workspace, name).folder
    version = resolve(folder, at)
    sample_id = find_sample(folder, sample, version)
    found = blame(folder, sample_id, version)
    if as_json:
        print_json({"sample_id": sample_id, "changes": found})
    else:
        _print(sample_id, found, stdout_console())


def _print(sample_id: str, found: list[dict[str, Any]], console: Console) -> None:
    from rich.text import Text

    from curation.commands.version_text import when
    from curation.explain import visible
    from curation.manifest.change_table import change_table
    from curation.terminal import shown

    path = found[-1]["path"] if found else ""
    console.print(Text(f"{sample_id}  {visible(path, 300)}", style="bold"), soft_wrap=True)
    for line, row in zip(found, change_table(found).to_dict("records"), strict=True):
        change = (
            f"“{row['before']}” to “{row['after']}”"
            if row["before"] and row["after"]
            else f"“{row['before'] or row['after']}”"
            if row["before"] or row["after"]
            else ""
        )
        who = row["reviewer"] or shown(line["author"])
        time = row["decided"] or when(line)
        console.print(
            Text(line["version"], style="bold"),
            Text(f"{row['change']} {change}".rstrip()),
            Text(f"by {who}, {time}", style="cyan"),
            soft_wrap=True,
        )
        why = [
            f"verdict {row['verdict']}" if row["verdict"] else "",
            f"the model said “{shown(line['suggestion'])}”" if line.get("suggestion") else "",
            f"run {shown(line['run'], 60)}" if line.get("run") else "",
            f"comment: {row['comment']}" if row["comment"] else "",
            f"{line['kind']}: {visible(str(line['message']), 200, False)}" if line["message"] else str(line["kind"]),
        ]
        console.print(Text("      " + "; ".join(filter(None, why)), style="dim"), soft_wrap=True)
