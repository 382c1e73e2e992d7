"""Which labels were drawn at random, in which order, and what was decided before each was handed out.

Reviewers must not know: nothing of this is in what `claim`, `find_items` and the other readings give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from curation.seen import PART, WAITS
from curation.store.database import read, take_turns, write
from curation.store.readings import frame
from curation.store.schema import GONE, audit_draws, audits, decisions, items
from curation.store.standing import batches, not_undone

NOT_RELEASED = -1
WAITING_PART = f'"{PART}":"{WAITS}"'  # in what was seen by somebody who looked at a part of the annotations


@dataclass(frozen=True)
class Audit:
    """How the labels of a run are drawn.

    seed : of the order of the draw; design : curation.estimate.DESIGN at that time
    every : one of so many items in the queue is of the audit
    """

    dataset: str
    run_id: str
    seed: int
    design: int
    every: int


def find_audit(engine: Engine, dataset: str, run_id: str = "") -> Audit | None:
    """The audit of a run; without a run, the one that was drawn from last. None = there is none."""
    return read(engine, lambda connection: _find(connection, dataset, run_id))


def _find(connection: Connection, dataset: str, run_id: str = "") -> Audit | None:
    query = sa.select(*(audits.c[name] for name in Audit.__dataclass_fields__)).where(audits.c.dataset == dataset)
    if run_id:
        query = query.where(audits.c.run_id == run_id)
    row = connection.execute(query.order_by(audits.c.audit_id.desc()).limit(1)).mappings().first()
    return Audit(**row) if row else None


def add_draws(engine: Engine, audit: Audit, start: int, drawn: Sequence[tuple[str, str]]) -> int:
    """Add draws number `start` and on: (sample_id, item_id) each; how many there are now.

    Draws that are there already stay as they are, so that two who draw at once draw the same. From now on, this audit
    is the one that is mixed into the queue.
    """

    def work(connection: Connection) -> int:
        take_turns(connection, audit.dataset)
        known = _find(connection, audit.dataset, audit.run_id)
        newest = sa.select(sa.func.coalesce(sa.func.max(audits.c.audit_id), 0) + 1)
        number = connection.execute(newest.where(audits.c.dataset == audit.dataset)).scalar_one()
        mine = (audits.c.dataset == audit.dataset) & (audits.c.run_id == audit.run_id)
        if known is None:
            connection.execute(sa.insert(audits).values(audit_id=number, **vars(audit)))
        else:
            connection.execute(sa.update(audits).where(mine).values(audit_id=number, every=audit.every))
        own = (audit_draws.c.dataset == audit.dataset) & (audit_draws.c.run_id == audit.run_id)
        count = int(connection.execute(sa.select(sa.func.count()).where(own)).scalar_one())
        rows = [
            {"dataset": audit.dataset, "run_id": audit.run_id, "number": start + place, "sample_id": s, "item_id": i}
            for place, (s, i) in enumerate(drawn)
            if start + place >= count
        ]
        if rows:
            connection.execute(sa.insert(audit_draws), rows)
        return count + len(rows)

    return write(engine, work)


def read_draws(engine: Engine, audit: Audit) -> pd.DataFrame:
    """number, sample_id, item_id, released (NOT_RELEASED where it was not handed out), in the order of the draw."""
    own = (audit_draws.c.dataset == audit.dataset) & (audit_draws.c.run_id == audit.run_id)
    released = sa.func.coalesce(audit_draws.c.released, NOT_RELEASED).label("released")
    query = sa.select(audit_draws.c.number, audit_draws.c.sample_id, audit_draws.c.item_id, released)
    return frame(engine, query.where(own).order_by(audit_draws.c.number))


def release_draws(engine: Engine, dataset: str, ahead: int) -> tuple[Audit, list[tuple[int, str]]] | None:
    """See to it that `ahead` draws of the newest audit wait in the queue: released, not answered.

    One that was judged before its turn is released with the others, and does not count. What was decided up to then is
    noted with each: nothing later may be used to foresee what it is.

    Returns
    -------
    the audit, and (number, item_id as it is in the queue now) of all that wait; None where there is no audit
    """

    def work(connection: Connection) -> tuple[Audit, list[tuple[int, str]]] | None:
        audit = _find(connection, dataset)
        if audit is None:
            return None
        take_turns(connection, dataset)
        own = (audit_draws.c.dataset == dataset) & (audit_draws.c.run_id == audit.run_id)
        query = sa.select(audit_draws).where(own).order_by(audit_draws.c.number)
        rows = connection.execute(query.where(audit_draws.c.released.is_not(None))).all()
        waiting = _waiting(connection, dataset, rows)
        fresh = sa.select(sa.func.coalesce(sa.func.max(decisions.c.decision_id), 0))
        now = int(connection.execute(fresh.where(decisions.c.dataset == dataset)).scalar_one())
        while len(waiting) < ahead:
            more = connection.execute(query.where(audit_draws.c.released.is_(None)).limit(ahead - len(waiting))).all()
            if not more:
                break
            numbers = [row.number for row in more]
            connection.execute(
                sa.update(audit_draws).where(own, audit_draws.c.number.in_(numbers)).values(released=now)
            )
            waiting += _waiting(connection, dataset, more)
        return audit, waiting

    return write(engine, work)


def _waiting(connection: Connection, dataset: str, rows: Sequence[sa.Row[tuple[object, ...]]]) -> list[tuple[int, str]]:
    """Those that nobody has said anything about, and the item under which they are in the queue."""
    found = []
    for part in batches(rows):
        samples = [row.sample_id for row in part]
        said = sa.select(decisions.c.sample_id).where(decisions.c.dataset == dataset, not_undone())
        said = said.where(decisions.c.verdict != "distinct")  # which says nothing of the label
        said = said.where(~sa.func.coalesce(decisions.c.seen, "").contains(WAITING_PART, autoescape=True))
        answered = set(connection.execute(said.where(decisions.c.sample_id.in_(samples))).scalars())
        ids = {row.item_id for row in part} | set(samples)
        there = sa.select(items.c.item_id).where(items.c.dataset == dataset, items.c.queue == "open")
        queued = set(connection.execute(there.where(items.c.item_id.in_(ids))).scalars())
        for row in part:
            if row.sample_id not in answered and queued & {row.item_id, row.sample_id}:
                found.append((row.number, row.item_id if row.item_id in queued else row.sample_id))
    return found


def listed(engine: Engine, dataset: str, item_ids: Sequence[str]) -> set[str]:
    """Those of these items that the run and the version still have."""

    def work(connection: Connection) -> set[str]:
        query = sa.select(items.c.item_id).where(items.c.dataset == dataset, items.c.queue != GONE)
        parts = (connection.execute(query.where(items.c.item_id.in_(part))).scalars() for part in batches(item_ids))
        return {item_id for part in parts for item_id in part}

    return read(engine, work)
