"""What was said of a few items before, or in one action, looked up by ids; and how many suspects are decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from curation.decisions import Decision
from curation.store.database import clock_text, read
from curation.store.schema import QUEUES, decisions, facets, items, opinions
from curation.store.standing import batches, decision_of, not_undone


@dataclass(frozen=True)
class Said:
    """What one reviewer says of an item at present.

    decisions : one per sample that it is about; of a sample that was a member of a case, its own
    seconds_ago : by the database's clock
    holds : whether it is what the item's verdict is
    """

    reviewer: str
    decisions: tuple[Decision, ...]
    seconds_ago: float
    comment: str = ""
    holds: bool = False


def said_of(engine: Engine, dataset: str, item_ids: Sequence[str]) -> dict[str, list[Said]]:
    """The current opinions on these items, the first given first; items without one are not in it.

    Goes by indexes only: takes as long in a store of millions of decisions as in an empty one.

    Raises
    ------
    WorkspaceError : the store cannot be read.
    """
    return read(engine, lambda connection: _said(connection, dataset, item_ids)) if item_ids else {}


def _said(connection: Connection, dataset: str, item_ids: Sequence[str]) -> dict[str, list[Said]]:
    first, part = decisions.alias("first"), decisions.alias("part")
    about = opinions.c.item_id
    query = (
        sa.select(part, about.label("about"), opinions.c.holds, clock_text(connection).label("now"))
        .select_from(opinions)
        .join(first, first.c.decision_id == opinions.c.decision_id)
        .join(part, (part.c.action_id == first.c.action_id) & (part.c.item_id == first.c.item_id))
        .where(opinions.c.dataset == dataset, (about == part.c.item_id) | (about == part.c.sample_id))
    )
    found: dict[str, list[Said]] = {}
    for ids in batches(sorted(set(item_ids))):
        rows = connection.execute(query.where(about.in_(ids))).mappings().all()
        rows = sorted(rows, key=lambda row: (row["about"], row["action_id"], row["decision_id"]))
        for (item_id, _), group in groupby(rows, key=lambda row: (row["about"], row["action_id"])):
            made = list(group)
            found.setdefault(item_id, []).append(_one(made))
    return {item_id: sorted(said, key=lambda one: -one.seconds_ago) for item_id, said in found.items()}


def _one(rows: list[sa.RowMapping]) -> Said:
    row = rows[0]
    seconds = (datetime.fromisoformat(row["now"]) - datetime.fromisoformat(row["decided_at"])).total_seconds()
    made = tuple(decision_of(row) for row in rows)
    return Said(row["reviewer"], made, max(0.0, seconds), row["comment"], row["holds"])


def said_in(engine: Engine, dataset: str, action_id: str) -> Said | None:
    """What an action said, also one that was taken back since; None if there is none."""

    def work(connection: Connection) -> Said | None:
        query = sa.select(decisions, clock_text(connection).label("now"), sa.false().label("holds"))
        query = query.where(decisions.c.dataset == dataset, decisions.c.action_id == action_id)
        rows = list(connection.execute(query.order_by(decisions.c.decision_id)).mappings())
        return _one(rows) if rows else None

    return read(engine, work)


def can_undo(engine: Engine, dataset: str, reviewer: str) -> bool:
    """Whether this reviewer has decided something that was not taken back."""
    query = sa.select(decisions.c.decision_id).where(decisions.c.dataset == dataset, not_undone())
    query = query.where(decisions.c.reviewer == reviewer).order_by(decisions.c.decision_id.desc()).limit(1)
    return read(engine, lambda connection: connection.execute(query).first() is not None)


def decided_suspects(engine: Engine, dataset: str) -> int:
    """How many items with a flagged finding have been decided by somebody; counted in an index."""
    flagged = sa.select(facets.c.facet).where(facets.c.dataset == dataset, facets.c.issues != "")
    query = sa.select(sa.func.count()).where(items.c.dataset == dataset, items.c.facet.in_(flagged))
    decided = [state for state in QUEUES if state not in ("open", "gone")]
    query = query.where(items.c.queue.in_(decided))
    return read(engine, lambda connection: int(connection.execute(query).scalar_one()))
