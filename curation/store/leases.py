"""Leases: who is looking at which item, so that no two reviewers, and no two tabs, are handed the same one.

A lease belongs to a session (one tab, one process), lasts until a time of the database's clock, and is checked inside
the transaction that grants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite

from curation.decisions import LONGEST_NAME, check_name
from curation.errors import SettingsError
from curation.store.database import seconds_now, write
from curation.store.schema import items, leases
from curation.store.searching import Filters, Item, Search, in_order, present, search_for

LEASE_SECONDS = 600
# A lease that would last longer than any can is one that the clock left behind when it was put back.
LONGEST_LEASE_SECONDS = 3_600
MOST_CLAIMED = 1_000
# How many more than wanted are looked at first where others choose at the same time, and how many at most.
SPARE, MOST_SPARE = 16, 4_096


# --- claiming --------------------------------------------------------------------------------------------------------


def claim(
    engine: Engine,
    dataset: str,
    reviewer: str,
    session: str,
    filters: Filters | None = None,
    count: int = 1,
    lease_seconds: float = LEASE_SECONDS,
) -> list[Item]:
    """The next `count` items for a reviewer, leased to this session: those that it holds already, then the best free.

    Left out are items that another session holds, of whatever reviewer, and those on which this reviewer has an
    opinion, unless what is asked for has been decided before: an item by its id, disagreements, what is done, or the
    reviewer's own.

    Raises
    ------
    SettingsError : a name, a count, a time or a state that cannot be.
    WorkspaceError : the store cannot be written.
    """
    check_name("The reviewer's name", reviewer, LONGEST_NAME)
    check_name("The session", session, LONGEST_NAME)
    if not 1 <= count <= MOST_CLAIMED or not 0 < lease_seconds <= LONGEST_LEASE_SECONDS:
        raise SettingsError(
            f"1 to {MOST_CLAIMED} items can be claimed for up to {LONGEST_LEASE_SECONDS} seconds, "
            f"not {count} for {lease_seconds}."
        )
    search = search_for(engine, dataset, reviewer, filters)

    def work(connection: Connection) -> list[Item]:
        now = seconds_now(connection)
        rows, left = _held(connection, search, session, now, count)
        if rows and min(left.values()) < lease_seconds / 2:  # else nothing is written, and no disk is waited for
            _lease(connection, rows, reviewer, session, now, lease_seconds)
            left = dict.fromkeys(left, lease_seconds)
        if len(rows) < count:
            new = _take_free(connection, search, session, now, count - len(rows), lease_seconds)
            rows += new
            left |= {row["item_id"]: lease_seconds for row in new}
        return present(connection, search, rows, left)

    return write(engine, work)


def _held(
    connection: Connection, search: Search, session: str, now: float, count: int
) -> tuple[list[Any], dict[str, float]]:
    """The rows that match of those that the session holds, best first, and for how long it still does."""
    query = sa.select(leases.c.item_id, leases.c.expires_at)
    mine = query.where(leases.c.dataset == search.dataset, leases.c.session == session, _is_live(now))
    left = {item_id: expires - now for item_id, expires in connection.execute(mine)}
    rows = list(connection.execute(in_order(search.among(list(left))).limit(count)).mappings()) if left else []
    return rows, {row["item_id"]: left[row["item_id"]] for row in rows}


def _take_free(
    connection: Connection, search: Search, session: str, now: float, count: int, lease_seconds: float
) -> list[Any]:
    """Lease the best `count` that match and nobody holds."""
    free = ~sa.exists().where(leases.c.dataset == items.c.dataset, leases.c.item_id == items.c.item_id, _is_live(now))
    # On PostgreSQL, others choose at the same time: look at some more, and take those that nobody is taking.
    more = 0 if connection.dialect.name == "sqlite" else SPARE
    rows: list[Any] = []
    while len(rows) < count:
        ids = search.best(connection, free, count - len(rows) + more)
        query = in_order(search.among(ids).where(free)).limit(count - len(rows))
        found = list(connection.execute(query.with_for_update(of=items, skip_locked=True)).mappings()) if ids else []
        rows += _lease(connection, found, search.reviewer, session, now, lease_seconds)
        if not ids or (not found and more >= MOST_SPARE):
            break
        more *= 4
    return rows


def release(engine: Engine, dataset: str, session: str, item_ids: Sequence[str] | None = None) -> int:
    """Give back what a session holds, or only these items of it; how many leases ended."""
    ended = sa.delete(leases).where(leases.c.dataset == dataset, leases.c.session == session)
    if item_ids is not None:
        ended = ended.where(leases.c.item_id.in_(item_ids))
    return write(engine, lambda connection: connection.execute(ended).rowcount)


def renew(
    engine: Engine,
    dataset: str,
    session: str,
    item_ids: Sequence[str] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> list[str]:
    """Hold for longer what a session holds; the item ids that it still has. An expired lease is not revived."""

    def work(connection: Connection) -> list[str]:
        now = seconds_now(connection)
        longer = sa.update(leases).where(leases.c.dataset == dataset, leases.c.session == session, _is_live(now))
        if item_ids is not None:
            longer = longer.where(leases.c.item_id.in_(item_ids))
        found = connection.execute(longer.values(expires_at=now + lease_seconds).returning(leases.c.item_id))
        return sorted(found.scalars())

    return write(engine, work)


def grant(connection: Connection, dataset: str, reviewer: str, session: str, item_ids: Sequence[str]) -> None:
    """Lease these items to a session in the caller's transaction, those that no other session holds."""
    now = seconds_now(connection)
    rows = [{"dataset": dataset, "item_id": item_id} for item_id in item_ids]
    _lease(connection, rows, reviewer, session, now, LEASE_SECONDS)


# --- parts -----------------------------------------------------------------------------------------------------------


def _is_live(now: float) -> sa.ColumnElement[bool]:
    return leases.c.expires_at.between(now, now + LONGEST_LEASE_SECONDS)


def _lease(
    connection: Connection, rows: Sequence[Any], reviewer: str, session: str, now: float, lease_seconds: float
) -> list[Any]:
    """Lease `rows` to the session; those of them that it got."""
    if not rows:
        return []
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = [
        {
            "dataset": row["dataset"],
            "item_id": row["item_id"],
            "session": session,
            "reviewer": reviewer,
            "expires_at": now + lease_seconds,
        }
        for row in rows
    ]
    wish = insert(leases).values(values)
    got = connection.execute(
        wish.on_conflict_do_update(
            index_elements=["dataset", "item_id"],
            set_={name: wish.excluded[name] for name in ("session", "reviewer", "expires_at")},
            where=(leases.c.session == session) | ~_is_live(now),
        ).returning(leases.c.item_id)
    )
    ids = set(got.scalars())
    return [row for row in rows if row["item_id"] in ids]
