"""Who decides what next: the queue's order, filters, and leases that keep two reviewers from the same item.

A lease belongs to a session (one tab, one process), lasts until a time of the database's clock, and is checked inside
the transaction that grants it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite

from curation.database import clock_seconds, read, write
from curation.decisions import STATES
from curation.errors import NotFoundError, SettingsError
from curation.policy import Policy, policy_of
from curation.schema import QUEUE_OF, items, leases, opinions

LEASE_SECONDS = 600
# A lease that would last longer than any can is one that the clock left behind when it was put back.
LONGEST_LEASE_SECONDS = 3_600
MOST_CLAIMED = 1_000


@dataclass(frozen=True)
class Filters:
    """Which items; empty = any.

    issue : one of the item's issues
    given_label, suggestion, split, kind : exactly this
    state : open, second, disagreement, done or gone; "" = what waits for an opinion: open and second
    reviewer : items on which this reviewer has an opinion
    text : part of the path, of the given label or of the suggestion, whatever the case and accents
    item_id : this item, in whatever state
    item_ids : one of these; some thousands at most
    """

    issue: str = ""
    given_label: str = ""
    split: str = ""
    kind: str = ""
    state: str = ""
    reviewer: str = ""
    text: str = ""
    item_id: str = ""
    suggestion: str = ""
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One item of the queue, as a reviewer may see it.

    opinions : how many reviewers' verdicts count
    blind : somebody else has an opinion on it that this reviewer must not see
    show_suggestion : False where the model's suggestion is to be hidden, too
    lease_seconds : how long it is this session's; 0 = it is not
    """

    item_id: str
    kind: str
    members: tuple[str, ...]
    issue: str
    issues: tuple[str, ...]
    priority: float
    given_label: str
    suggestion: str
    split: str
    path: str
    score: float
    state: str
    opinions: int
    blind: bool = False
    show_suggestion: bool = True
    lease_seconds: float = 0.0


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
    SettingsError : a count, a time or a state that cannot be.
    WorkspaceError : the store cannot be written.
    """
    filters = filters or Filters()
    if not 1 <= count <= MOST_CLAIMED or not 0 < lease_seconds <= LONGEST_LEASE_SECONDS:
        raise SettingsError(
            f"1 to {MOST_CLAIMED} items can be claimed for up to {LONGEST_LEASE_SECONDS} seconds, "
            f"not {count} for {lease_seconds}."
        )
    wanted = _matching(dataset, reviewer, filters)

    def work(connection: Connection) -> list[Item]:
        now = float(connection.execute(sa.select(clock_seconds(connection))).scalar_one())
        mine = (leases.c.dataset == items.c.dataset) & (leases.c.item_id == items.c.item_id)
        held = sa.select(items).join(leases, mine).where(*wanted, leases.c.session == session, _is_live(now))
        rows = list(connection.execute(_in_order(held).limit(count)).mappings())
        _lease(connection, rows, reviewer, session, now, lease_seconds)
        free = sa.select(items).where(*wanted, ~sa.exists().where(mine, _is_live(now)))
        while len(rows) < count:
            query = _in_order(free).limit(count - len(rows)).with_for_update(of=items, skip_locked=True)
            found = list(connection.execute(query).mappings())
            rows += _lease(connection, found, reviewer, session, now, lease_seconds)
            if not found:
                break
        rules = policy_of(connection, dataset)
        seen = _own_opinions(connection, dataset, reviewer, rows)
        return [_item(row, rules, row["item_id"] in seen, lease_seconds) for row in rows]

    return write(engine, work)


def find_items(
    engine: Engine, dataset: str, filters: Filters | None = None, count: int = 20, reviewer: str = "", start: int = 0
) -> list[Item]:
    """Items in the queue's order, without leasing them; with a reviewer, those that `claim` would hand out.

    Raises
    ------
    SettingsError : a count or a state that cannot be.
    WorkspaceError : the store cannot be read.
    """
    filters = filters or Filters()
    if count < 1 or start < 0:
        raise SettingsError(f"There are no {count} items from number {start} on.")

    def work(connection: Connection) -> list[Item]:
        query = _in_order(sa.select(items).where(*_matching(dataset, reviewer, filters)))
        rows = list(connection.execute(query.limit(min(count, 2**31)).offset(min(start, 2**62))).mappings())
        rules = policy_of(connection, dataset)
        seen = _own_opinions(connection, dataset, reviewer, rows)
        return [_item(row, rules, row["item_id"] in seen, 0.0) for row in rows]

    return read(engine, work)


def read_item(engine: Engine, dataset: str, item_id: str, reviewer: str = "") -> Item:
    """One item, as this reviewer may see it, without leasing it.

    Raises
    ------
    NotFoundError : there is none of that id in this data set.
    """
    found = find_items(engine, dataset, Filters(item_id=item_id), count=1, reviewer=reviewer) if item_id else []
    if not found:
        raise NotFoundError(f"There is no item '{item_id[:100]}' in the queue of {dataset}.")
    return found[0]


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
        now = float(connection.execute(sa.select(clock_seconds(connection))).scalar_one())
        longer = sa.update(leases).where(leases.c.dataset == dataset, leases.c.session == session, _is_live(now))
        if item_ids is not None:
            longer = longer.where(leases.c.item_id.in_(item_ids))
        found = connection.execute(longer.values(expires_at=now + lease_seconds).returning(leases.c.item_id))
        return sorted(found.scalars())

    return write(engine, work)


def grant(connection: Connection, dataset: str, reviewer: str, session: str, item_ids: Sequence[str]) -> None:
    """Lease these items to a session in the caller's transaction, those that no other session holds."""
    now = float(connection.execute(sa.select(clock_seconds(connection))).scalar_one())
    rows = [{"dataset": dataset, "item_id": item_id} for item_id in item_ids]
    _lease(connection, rows, reviewer, session, now, LEASE_SECONDS)


# --- parts -----------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """`text` without case and accents, for searching."""
    if text.isascii():
        return text.lower()
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return plain.casefold()


def _is_live(now: float) -> sa.ColumnElement[bool]:
    return leases.c.expires_at.between(now, now + LONGEST_LEASE_SECONDS)


def _in_order(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.order_by(items.c.priority.desc(), items.c.item_id)


def _matching(dataset: str, reviewer: str, filters: Filters) -> list[sa.ColumnElement[bool]]:
    """What an item has to fulfil; with a reviewer, also that he or she may be handed it."""
    wanted: list[sa.ColumnElement[bool]] = [items.c.dataset == dataset]
    if filters.item_id:
        return [*wanted, items.c.item_id == filters.item_id]
    if filters.state and filters.state not in QUEUE_OF:
        raise SettingsError(f"There is no state '{filters.state}'. There are: {', '.join(QUEUE_OF)}.")
    wanted.append(items.c.queue == QUEUE_OF[filters.state or "open"])
    if filters.state in STATES:
        wanted.append(items.c.state == filters.state)
    for name in ("given_label", "suggestion", "split", "kind"):
        if getattr(filters, name):
            wanted.append(items.c[name] == getattr(filters, name))
    if filters.item_ids:
        wanted.append(items.c.item_id.in_(filters.item_ids))
    if filters.issue:  # names have no characters that LIKE reads, but what was typed may
        wanted.append(("," + items.c.issues + ",").contains(f",{filters.issue},", autoescape=True))
    if filters.text:
        wanted.append(items.c.search.contains(fold(filters.text), autoescape=True))
    if filters.reviewer:
        wanted.append(_has_opinion(filters.reviewer))
    own = filters.reviewer == reviewer or filters.state in ("disagreement", "done", "gone")
    if reviewer and not own:
        wanted.append(~_has_opinion(reviewer))
    return wanted


def _has_opinion(reviewer: str) -> sa.Exists:
    same = (opinions.c.dataset == items.c.dataset) & (opinions.c.item_id == items.c.item_id)
    return sa.exists().where(same, opinions.c.reviewer == reviewer)


def _own_opinions(connection: Connection, dataset: str, reviewer: str, rows: Sequence[Any]) -> set[str]:
    """Which of these items the reviewer has an opinion on."""
    ids = [row["item_id"] for row in rows]
    query = sa.select(opinions.c.item_id).where(
        opinions.c.dataset == dataset, opinions.c.reviewer == reviewer, opinions.c.item_id.in_(ids)
    )
    return set(connection.execute(query).scalars())


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


def _item(row: Any, rules: Policy, has_opinion: bool, lease_seconds: float) -> Item:
    blind = row["state"] == "second" and not has_opinion
    return Item(
        **{name: row[name] for name in ("item_id", "kind", "issue", "priority", "given_label", "suggestion")},
        **{name: row[name] for name in ("split", "path", "score", "state", "opinions")},
        members=tuple(json.loads(row["members"])),
        issues=tuple(filter(None, row["issues"].split(","))),
        blind=blind,
        show_suggestion=not (blind and rules.hides_suggestion(row["item_id"])),
        lease_seconds=lease_seconds,
    )
