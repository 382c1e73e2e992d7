"""What an import or a merge left open becomes items of the review queue, in front of all others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from curation.manifest import EXCLUDED
from curation.manifest.history import open_conflicts
from curation.review import ITEM_COLUMNS

ISSUE = "import_conflict"
PRIORITY = 1.0  # the best finding of a run has 0 at most


def with_conflicts(
    items: pd.DataFrame, folder: Path, version: str, rows: pd.DataFrame, sample_ids: Collection[str]
) -> pd.DataFrame:
    """The items of a queue, the open conflicts of a version before them, one per sample.

    Each has an id of its own, so that it is new to everybody: also to those who decided the sample before. A decision
    on it counts for the sample; publishing it closes the conflict.

    Parameters
    ----------
    items : columns of curation.review.ITEM_COLUMNS
    version, rows : under review
    sample_ids : that the run has; conflicts about others cannot be shown
    """
    here = rows[rows["status"] != EXCLUDED].drop_duplicates("sample_id").set_index("sample_id")
    known = set(sample_ids)
    found: dict[str, dict[str, Any]] = {}
    for line in open_conflicts(folder, version):
        name = str(line["sample_id"])
        if name in found or name not in here.index or name not in known:
            continue
        row = here.loc[name]
        wanted = line.get("to") if line.get("field") == "label" else None
        found[name] = {
            "item_id": conflict_id(name, str(line["version"])),
            "kind": "sample",
            "members": json.dumps([name]),
            "issue": ISSUE,
            "issues": ISSUE,
            "priority": PRIORITY,
            "given_label": row["label"],
            "suggestion": wanted if isinstance(wanted, str) else "",
            "split": row["split"],
            "path": row["path"],
            "score": 0.0,
        }
    if not found:
        return items
    more = pd.DataFrame(list(found.values()), columns=ITEM_COLUMNS).astype(items.dtypes.to_dict())
    return pd.concat([more, items], ignore_index=True)


def conflict_id(sample_id: str, version: str) -> str:
    """The item_id of a conflict: `c` and 16 hex digits of the sample and the version that found it."""
    return "c" + hashlib.blake2b(f"{sample_id}\n{version}".encode(), digest_size=8).hexdigest()
