"""Filling the queue from a run, and putting it in another order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from curation.database import take_turns, write
from curation.leases import fold
from curation.policy import policy_of
from curation.progress import SILENT, Progress
from curation.schema import QUEUE_OF, decisions, items
from curation.schema import policy as policy_table
from curation.standing import batches, refresh

COLUMNS = (
    "item_id",
    "kind",
    "members",
    "issue",
    "issues",
    "priority",
    "given_label",
    "suggestion",
    "split",
    "path",
    "score",
)
_ROWS = 10_000  # written at a time
_PRIORITIES = 2_000  # changed in one transaction: reviewers wait no longer than that takes


@dataclass(frozen=True)
class Filled:
    """How many items were new, changed, and closed because the run has them no longer."""

    added: int
    updated: int
    closed: int


def fill(
    engine: Engine,
    dataset: str,
    run_id: str,
    manifest_version: str,
    items: pd.DataFrame,
    progress: Progress = SILENT,
) -> Filled:
    """Make the queue of a data set what a run found; all or nothing. The same again changes nothing.

    What was decided stays. Items that the run has no longer are closed, not deleted; one whose given label is no longer
    what its reviewers saw, nor what they made of it, is open again.

    Parameters
    ----------
    items : columns COLUMNS, item_id unique; `members` is a list of sample ids or its JSON text; a higher `priority`
        comes sooner

    Raises
    ------
    WorkspaceError : the store cannot be written.
    """
    assert set(COLUMNS) <= set(items.columns), sorted(set(COLUMNS) - set(items.columns))
    assert items["item_id"].is_unique

    def work(connection: Connection) -> Filled:
        take_turns(connection, dataset)
        with progress.stage("Filling the queue", len(items), "items") as advance:
            return _fill(connection, dataset, run_id, manifest_version, items, advance)

    return write(engine, work)


def _fill(
    connection: Connection, dataset: str, run_id: str, manifest_version: str, table: pd.DataFrame, advance: Any
) -> Filled:
    query = sa.select(items.c.item_id, items.c.digest, items.c.queue, items.c.state, items.c.given_label)
    known = {row.item_id: row for row in connection.execute(query.where(items.c.dataset == dataset))}
    added, updated, relabelled = 0, 0, set()
    for rows in _rows(dataset, table):
        new = [row for row in rows if row["item_id"] not in known]
        changed = []
        for row in rows:
            before = known.get(row["item_id"])
            if before is not None and (before.digest != row["digest"] or before.queue == "gone"):
                changed.append({**row, "queue": QUEUE_OF[before.state]})
                if before.given_label != row["given_label"] or before.queue == "gone":
                    relabelled.add(row["item_id"])
        if new:
            connection.execute(sa.insert(items), new)
            relabelled |= {row["item_id"] for row in new}
        _update(connection, changed)
        added, updated = added + len(new), updated + len(changed)
        advance(len(rows))
    listed = set(table["item_id"])
    gone = sorted(item_id for item_id, row in known.items() if row.queue != "gone" and item_id not in listed)
    for ids in batches(gone):
        same = (items.c.dataset == dataset) & items.c.item_id.in_(ids)
        connection.execute(sa.update(items).where(same).values(queue="gone"))
    refresh(connection, dataset, _to_refresh(connection, dataset, relabelled | set(gone)))
    now = policy_of(connection, dataset)
    connection.execute(sa.delete(policy_table).where(policy_table.c.dataset == dataset))
    values = {**vars(now), "run_id": run_id, "manifest_version": manifest_version}
    connection.execute(sa.insert(policy_table).values(dataset=dataset, **values))
    return Filled(added, updated, len(gone))


def _rows(dataset: str, table: pd.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """The table as rows of the store, some at a time."""
    for start in range(0, len(table), _ROWS):
        part = table[list(COLUMNS)].iloc[start : start + _ROWS]
        yield [_row(dataset, row) for row in part.to_dict("records")]


def _row(dataset: str, row: dict[Any, Any]) -> dict[str, Any]:
    members = row["members"] if isinstance(row["members"], str) else json.dumps(list(row["members"]))
    text = {name: row[name] for name in COLUMNS if name not in ("members", "priority", "score")}
    number = {name: float(row[name]) for name in ("priority", "score")}
    search = fold("\n".join((text["path"], text["given_label"], text["suggestion"])))
    values = {**text, **number, "members": members, "search": search}
    digest = hashlib.blake2b(json.dumps([values[name] for name in COLUMNS]).encode(), digest_size=12).hexdigest()
    fresh = {"queue": "review", "state": "open", "verdict": "", "opinions": 0}
    return {"dataset": dataset, **values, "digest": digest, **fresh}


def _update(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    names = (*COLUMNS[1:], "search", "digest", "queue")
    update = sa.update(items).where(items.c.dataset == rows[0]["dataset"], items.c.item_id == sa.bindparam("of"))
    values = [{"of": row["item_id"], **{name: row[name] for name in names}} for row in rows]
    connection.execute(update.values({name: sa.bindparam(name) for name in names}), values)


def _to_refresh(connection: Connection, dataset: str, changed: set[str]) -> set[str]:
    """The decided items that a change of these items concerns: themselves, and the cases that they are members of."""
    query = sa.select(decisions.c.item_id, decisions.c.sample_id).where(decisions.c.dataset == dataset)
    found: set[str] = set()
    for item_id, sample_id in connection.execute(query.where(decisions.c.undoes.is_(None)).distinct()):
        if item_id in changed or sample_id in changed:
            found |= {item_id, sample_id}
    return found


def set_priorities(engine: Engine, dataset: str, priorities: Mapping[str, float]) -> int:
    """Give items another place in the queue; how many there are of them. `fill` keeps it while the item is unchanged.

    Some thousands at a time, so that reviewers go on meanwhile: killed half-way, some have the old place.
    """
    update = sa.update(items).where(items.c.dataset == dataset, items.c.item_id == sa.bindparam("of"))
    update = update.values(priority=sa.bindparam("to"))
    values = [{"of": item_id, "to": float(priority)} for item_id, priority in sorted(priorities.items())]
    changed = 0
    for start in range(0, len(values), _PRIORITIES):
        part = values[start : start + _PRIORITIES]

        def work(connection: Connection, part: list[dict[str, Any]] = part) -> int:
            return connection.execute(update, part).rowcount

        changed += write(engine, work)
    return changed
