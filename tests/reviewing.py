"""Queues and actions for the tests of the review store."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pandas as pd

from curation.decisions import Action, Decision

SET = "set"


def queue_items(count: int = 4, **columns: Any) -> pd.DataFrame:
    """Samples s0, s1 ... in this order, all labelled `cat`; `columns` replace columns, by one value or a list."""
    ids = [f"s{number}" for number in range(count)]
    table = {
        "item_id": ids,
        "kind": ["sample"] * count,
        "members": [json.dumps([item_id]) for item_id in ids],
        "issue": ["label_error"] * count,
        "issues": ["label_error"] * count,
        "priority": [-float(number) for number in range(count)],
        "given_label": ["cat"] * count,
        "suggestion": ["dog"] * count,
        "split": ["train"] * count,
        "path": [f"cat/{number}.png" for number in range(count)],
        "score": [0.1] * count,
    }
    for name, value in columns.items():
        table[name] = value if isinstance(value, list) else [value] * count
    return pd.DataFrame(table)


def case_item(item_id: str, *members: str, **columns: Any) -> pd.DataFrame:
    """A duplicates case, before everything else in the queue."""
    values = {"issue": "near_duplicate", "issues": "near_duplicate", "priority": 1.0, "path": "a\nb", **columns}
    return queue_items(1, item_id=item_id, kind="duplicates", members=json.dumps(members), **values)


def action(
    item_id: str,
    verdict: str = "keep",
    *labels: str,
    by: str = "ann",
    members: tuple[str, ...] = (),
    action_id: str = "",
    given: str = "cat",
    **settings: Any,
) -> Action:
    """One verdict on one item, the same for all members of a case."""
    reason = "off-topic" if verdict == "exclude" else ""
    made = tuple(
        Decision(item_id, member, verdict, labels, reason, given_label=given) for member in members or (item_id,)
    )
    return Action(
        action_id or uuid.uuid4().hex, SET, by, made, session=settings.pop("session", f"tab of {by}"), **settings
    )
