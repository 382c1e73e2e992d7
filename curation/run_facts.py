"""What the run.json and the tables of a run must hold for those who read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from curation.errors import WorkspaceError

SCHEMA = 1
# The kinds of the facts in run.json (those that are there), and columns of its tables.
FACTS = {
    "dataset": str, "source": str, "root": str, "source_format": str, "settings": dict, "import": dict, "plan": dict,
    "manifest_version": str, "samples": int, "unreadable": int, "rejected": list, "rejected_count": int,
    "classes": list, "notes": list, "issues": dict, "skipped_detectors": dict, "health": dict, "accuracy": dict,
    "versions": dict, "hardware": dict, "seconds": dict,
}  # fmt: skip
COLUMNS = {
    "samples": ("sample_id", "path", "split", "status", "reason"),
    "issues": (
        *("sample_id", "annotation_id", "issue", "score", "is_issue", "rank"),
        *("given_label", "suggestion", "evidence"),
    ),
    "rejected": ("path", "reason"),
    "boxes": ("annotation_id", "sample_id", "label", "x", "y", "w", "h"),
}


def read_facts(folder: Path) -> dict[str, Any]:
    """The run.json of a run folder.

    Raises
    ------
    WorkspaceError : it is damaged, of a newer version, or not that of this folder.
    """
    path = folder / "run.json"
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise WorkspaceError(damaged(path, str(error))) from error
    if not isinstance(facts, dict) or not isinstance(facts.get("schema"), int):
        raise WorkspaceError(damaged(path, "it is not a run of curate"))
    if facts["schema"] > SCHEMA:
        raise WorkspaceError(
            f"{path} was written by a newer version of curate (schema {facts['schema']}; this one reads {SCHEMA} and "
            "below). Upgrade curate, or name another run."
        )
    if facts.get("run_id") != folder.name or not isinstance(facts.get("arrays"), dict):
        raise WorkspaceError(damaged(path, f"it does not describe the run '{folder.name}'"))
    for name, kind in FACTS.items():
        if facts.get(name) is not None and not isinstance(facts[name], kind):
            raise WorkspaceError(damaged(path, f"its '{name}' is no {kind.__name__}"))
    return facts


def check_columns(table: pd.DataFrame, name: str, path: Path) -> None:
    """Say which column a table of a run should have and has not.

    Raises
    ------
    WorkspaceError : names the first.
    """
    missing = [column for column in COLUMNS[name] if column not in table]
    if missing:
        raise WorkspaceError(damaged(path, f"the column {missing[0]} is not there"))


def damaged(path: Path, reason: str) -> str:
    """What a user reads about a file of a run that cannot be used."""
    return f"{path} cannot be read: {reason}. Remove the folder {path.parent} and score again, or name another run."
