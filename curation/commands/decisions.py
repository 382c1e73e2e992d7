"""`curate decisions`: everything that was decided and taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import COMMON, Command, common, dataset_option, option, print_json, store_option

if TYPE_CHECKING:
    import pandas as pd

LISTED = 50
MOST_ID = 2**63 - 1  # that a database can hold
WHICH = "Which"


@click.command(cls=Command)
@option("--sample", group=WHICH, default="", metavar="SAMPLE", help="Only of this picture: its sample_id or path.")
@option("--reviewer", group=WHICH, default="", metavar="NAME", help="Only by this reviewer.")
@option(
    "--since",
    group=WHICH,
    type=click.IntRange(0, MOST_ID),
    default=0,
    metavar="ID",
    help="Only after this decision_id.",
)
@option("--top", group=COMMON, type=click.IntRange(1), metavar="N", help=f"The last N ({LISTED} on the terminal).")
@dataset_option
@store_option
@common
def command(
    sample: str,
    reviewer: str,
    since: int,
    top: int | None,
    name: str | None,
    store: str,
    as_json: bool,
    workspace: Path,
) -> None:
    """List what was decided and taken back, in the order in which it was recorded.

    Nothing is ever removed from this list: an undo is another line.
    """
    from curation.datasets import find_dataset
    from curation.manifest.history import find_sample
    from curation.manifest.version_files import resolve
    from curation.store import decisions, open_store

    dataset = find_dataset(workspace, name)
    sample_id = find_sample(dataset.folder, sample, resolve(dataset.folder, "head")) if sample else ""
    rows = decisions(open_store(store or workspace), dataset.name, since, reviewer, sample_id)
    if as_json:
        print_json([_facts(row) for row in (rows if top is None else rows.tail(top)).to_dict("records")])
    else:
        listed = rows.tail(LISTED if top is None else top)
        _print(listed, len(rows) - len(listed), _paths(dataset.folder, listed))


def _facts(row: dict[Any, Any]) -> dict[str, Any]:
    return {**row, "labels": json.loads(row["labels"]), "edits": json.loads(row["edits"] or "[]")}


def _paths(folder: Path, rows: pd.DataFrame) -> dict[str, str]:
    """Path by sample_id in the newest version; a picture that is no longer there has none."""
    from curation.manifest import read
    from curation.manifest.version_files import resolve

    samples = read(folder, resolve(folder, "head"))[["sample_id", "path"]]
    samples = samples[samples["sample_id"].isin(rows["sample_id"])]
    return dict(zip(samples["sample_id"], samples["path"], strict=True))


def _print(rows: pd.DataFrame, earlier: int, paths: dict[str, str]) -> None:
    from rich.text import Text

    from curation.explain import explain_pieces
    from curation.review.earlier import did_edits
    from curation.terminal import shown, shown_path, stdout_console, table

    console = stdout_console()
    if rows.empty:
        console.print("Nothing was decided yet.")
        return
    drawn = table(">Id", "When", "Who", "Picture", "Given", "Verdict")
    drawn.columns[-1].no_wrap = False
    for row in rows.to_dict("records"):
        what = " / ".join(f"“{shown(label, 20)}”" for label in json.loads(row["labels"])) or row["reason"]
        if row["edits"]:
            what = explain_pieces(did_edits(json.loads(row["edits"])))
        sample = row["sample_id"]
        said = [row["verdict"], what, f"({shown(row['comment'], 60)})" if row["comment"] else ""]
        drawn.add_row(
            str(row["decision_id"]),
            row["decided_at"][:16].replace("T", " "),
            shown(row["reviewer"], 12),
            shown_path(paths.get(sample, sample), 22) if sample else f"action {row['undoes'][:8]}",
            shown(row["given_label"], 12) if row["given_label"] else "",
            Text(" ".join(filter(None, said))),
        )
    console.print(drawn)
    if earlier:
        console.print(Text(f"{earlier:,} earlier: --top N, or --json for all", style="dim"))
