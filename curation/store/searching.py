"""The queue as it is looked at: filters, the order, and how the best items that match are found among a million.

Every filter has its index, in the queue's order; `issue`, `split` and `kind` share one, through the few combinations of
them that there are. A text is looked for once and remembered: what it matches changes only when the queue is filled.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.compiler import compiles

from curation.errors import NotFoundError, SettingsError
from curation.seen import PART
from curation.store.database import read
from curation.store.policy import policy_of
from curation.store.schema import QUEUES, class_mark, facets, items, label_key, opinions

WAITING = ("open", "second")  # the queues of what waits for an opinion
MOST_FACETS = 100  # looked at one by one; more are filtered in the queue's order
MOST_LISTED = 10_000
MOST_REMEMBERED = 1_000  # items that a text matches; more are so frequent that the queue's order soon comes to one


@dataclass(frozen=True)
class Filters:
    """Which items; empty = any.

    issue : one of the item's issues
    given_label, suggestion, split, kind : exactly this
    state : open, second, disagreement, done or gone; "" = what waits for an opinion: open and second
    reviewer : items on which this reviewer has an opinion
    text : part of the path, of the given label or of the suggestion, whatever the case and accents
    item_id : this item, in whatever state
    item_ids : one of these, MOST_LISTED at most
    class_name : a finding is about this class: it is the label that is doubted, or the one that is suggested
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
    class_name: str = ""


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


@dataclass(frozen=True)
class Search:
    """What is looked for, by whom ("" = nobody in particular, who may see everything).

    only : the items that have the text and suggestion, or that were listed; None = nothing asked, or too many to list
    """

    dataset: str
    reviewer: str
    filters: Filters
    only: tuple[str, ...] | None = None

    def among(self, ids: Sequence[str]) -> sa.Select[Any]:
        """Those of these items that match."""
        return sa.select(items).where(*self._wanted(), items.c.item_id.in_(ids), self._in_queues())

    def best(self, connection: Connection, condition: sa.ColumnElement[bool], count: int) -> list[str]:
        """The ids of the first `count` that match and fulfil the condition, in the queue's order."""
        wanted = [*self._wanted(), condition]
        if self.only == ():
            return []
        if self.filters.item_id or self.filters.reviewer or self.only is not None:
            return list(connection.execute(self._first([*wanted, self._in_queues()], count)).scalars())
        parts = [
            self._first([*wanted, items.c.queue == queue, *place], count)
            for place in self._places(connection)
            for queue in self._queues()
        ]
        if len(parts) < 2:
            return list(connection.execute(parts[0]).scalars()) if parts else []
        together = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
        query = sa.select(together).order_by(together.c.priority.desc(), together.c.item_id).limit(count)
        return list(connection.execute(query).scalars())

    def _first(self, wanted: Sequence[sa.ColumnElement[bool]], count: int) -> sa.Select[Any]:
        return in_order(sa.select(items.c.item_id, items.c.priority).where(*wanted)).limit(count)

    def _queues(self) -> Sequence[str]:
        state = self.filters.state
        if state and state not in QUEUES:
            raise SettingsError(f"There is no state '{state[:100]}'. There are: {', '.join(QUEUES)}.")
        return QUEUES if self.filters.item_id else (state,) if state else WAITING

    def _in_queues(self) -> sa.ColumnElement[bool]:
        """No use to an index: few items are looked up by their id, instead of going through a queue for them."""
        return sa.func.coalesce(items.c.queue, "").in_(self._queues())

    def _wanted(self) -> list[sa.ColumnElement[bool]]:
        """What an item has to fulfil, whatever its queue; with a reviewer, also that he or she may be handed it."""
        filters, wanted = self.filters, [items.c.dataset == self.dataset]
        if filters.item_id:
            return [*wanted, items.c.item_id == filters.item_id]
        if filters.given_label:
            wanted.append(items.c.label_key == label_key(filters.given_label))
        same = ("given_label", "suggestion", "split", "kind")
        wanted += [items.c[name] == getattr(filters, name) for name in same if getattr(filters, name)]
        if filters.issue:  # names have no characters that LIKE reads, but what was typed may
            wanted.append(("," + items.c.issues + ",").contains(f",{filters.issue},", autoescape=True))
        if self.only is not None:
            wanted.append(items.c.item_id.in_(self.only))
        if filters.text:
            wanted.append(_has_text(filters.text))
        if filters.class_name:
            wanted.append(_is_about(filters.class_name))
        if filters.reviewer:
            theirs = sa.select(opinions.c.item_id).where(opinions.c.dataset == self.dataset)
            wanted.append(items.c.item_id.in_(theirs.where(opinions.c.reviewer == filters.reviewer)))
        again = filters.reviewer == self.reviewer or filters.state not in ("", *WAITING)
        if self.reviewer and not again:
            wanted.append(~_has_opinion(self.reviewer))
        return wanted

    def _places(self, connection: Connection) -> Iterator[list[sa.ColumnElement[bool]]]:
        """Conditions, each of which has an index, that together say which kind, issue and split is wanted."""
        filters = self.filters
        if not (filters.issue or filters.split or filters.kind):
            yield []
            return
        query = sa.select(facets).where(facets.c.dataset == self.dataset)
        found = [row.facet for row in connection.execute(query) if _has_facet(row, filters)]
        if filters.given_label or len(found) > MOST_FACETS:
            yield [items.c.facet.in_(found)]
        else:
            yield from ([items.c.facet == facet] for facet in found)


def search_for(engine: Engine, dataset: str, reviewer: str, filters: Filters | None) -> Search:
    """A search, its text looked up.

    Raises
    ------
    SettingsError : no such state, too many items listed.
    """
    filters = filters or Filters()
    search = Search(dataset, reviewer, filters)
    search._queues()
    if filters.item_id:
        return search
    if len(filters.item_ids) > MOST_LISTED:
        raise SettingsError(f"{MOST_LISTED:,} items can be asked for at once, not {len(filters.item_ids):,}.")
    if filters.item_ids:
        return Search(dataset, reviewer, filters, filters.item_ids)
    if filters.text or filters.suggestion or filters.class_name:
        fills = read(engine, lambda connection: policy_of(connection, dataset)).fills
        names = filters.given_label, filters.suggestion, filters.class_name
        only = _matching(engine, dataset, fills, filters.text, *names)
        return Search(dataset, reviewer, filters, only)
    return search


@lru_cache(maxsize=64)
def _matching(
    engine: Engine, dataset: str, fills: int, text: str, given_label: str, suggestion: str, class_name: str
) -> tuple[str, ...] | None:
    """The items with a text, label, suggestion and class, None if there are more than MOST_REMEMBERED.

    fills : says which filling of the queue it was looked up in
    """
    # `coalesce` keeps the database from an index: to read all rows in their order on the disk is much faster.
    wanted = [sa.func.coalesce(items.c.dataset, "") == dataset]
    wanted += [_has_text(text)] if text else []
    wanted += [items.c.given_label == given_label] if given_label else []
    wanted += [items.c.suggestion == suggestion] if suggestion else []
    wanted += [_is_about(class_name)] if class_name else []
    query = sa.select(items.c.item_id).where(*wanted).limit(MOST_REMEMBERED + 1)
    found = read(engine, lambda connection: tuple(connection.execute(query).scalars()))
    return found if len(found) <= MOST_REMEMBERED else None


class _Place(sa.sql.functions.GenericFunction[int]):
    """Where in its first argument the second is, from 1; 0 = nowhere. No character in it has a meaning of its own."""

    type = sa.Integer()
    inherit_cache = True


@compiles(_Place, "sqlite")
def _place_sqlite(element: _Place, compiler: Any, **settings: Any) -> str:
    return f"instr({compiler.process(element.clauses, **settings)})"


@compiles(_Place, "postgresql")
def _place_postgresql(element: _Place, compiler: Any, **settings: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **settings)})"


def _has_text(text: str) -> sa.ColumnElement[bool]:
    return _Place(items.c.search, sa.literal(fold(text), items.c.search.type)) > 0


def _is_about(class_name: str) -> sa.ColumnElement[bool]:
    """Of pictures with one label: that it is the label, or the suggestion."""
    mark = sa.literal(class_mark(class_name), items.c.classes.type)
    one_label = (items.c.given_label == class_name) | (items.c.suggestion == class_name)
    return sa.case(((items.c.classes == "") & (items.c.seen == ""), one_label), else_=_Place(items.c.classes, mark) > 0)


def _has_facet(row: Any, filters: Filters) -> bool:
    if filters.issue and filters.issue not in row.issues.split(","):
        return False
    return filters.kind in ("", row.kind) and filters.split in ("", row.split)


def _has_opinion(reviewer: str) -> sa.Exists:
    same = (opinions.c.dataset == items.c.dataset) & (opinions.c.item_id == items.c.item_id)
    return sa.exists().where(same, opinions.c.reviewer == reviewer, opinions.c.verdict != PART)


def in_order(query: sa.Select[Any]) -> sa.Select[Any]:
    """The query in the queue's order."""
    return query.order_by(items.c.priority.desc(), items.c.item_id)


# --- looking ---------------------------------------------------------------------------------------------------------


def find_items(
    engine: Engine, dataset: str, filters: Filters | None = None, count: int = 20, reviewer: str = "", start: int = 0
) -> list[Item]:
    """Items in the queue's order, without leasing them; with a reviewer, those that `claim` would hand out.

    Raises
    ------
    SettingsError : a count or a state that cannot be.
    WorkspaceError : the store cannot be read.
    """
    if not (0 < count <= 2**31 and 0 <= start < 2**31):
        raise SettingsError(f"There are no {count} items from number {start} on.")
    search = search_for(engine, dataset, reviewer, filters)

    def work(connection: Connection) -> list[Item]:
        ids = search.best(connection, sa.true(), start + count)[start:]
        rows: list[Any] = []
        for at in range(0, len(ids), 1_000):
            rows += connection.execute(in_order(search.among(ids[at : at + 1_000]))).mappings()
        return present(connection, search, rows, {})

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


def present(connection: Connection, search: Search, rows: Sequence[Any], left: Mapping[str, float]) -> list[Item]:
    """Rows as items, as the reviewer may see them.

    left : how long each is leased to the session; 0 where it says nothing
    """
    rules = policy_of(connection, search.dataset)
    query = sa.select(opinions.c.item_id).where(opinions.c.dataset == search.dataset, opinions.c.verdict != PART)
    seen: set[str] = set()
    for at in range(0, len(rows), 1_000):
        ids = [row["item_id"] for row in rows[at : at + 1_000]]
        mine = query.where(opinions.c.reviewer == search.reviewer, opinions.c.item_id.in_(ids))
        seen |= set(connection.execute(mine).scalars())
    shown = []
    for row in rows:
        item_id = row["item_id"]
        blind = bool(search.reviewer) and row["state"] == "second" and item_id not in seen
        shown.append(_item(row, blind, blind and rules.hides_suggestion(item_id), left.get(item_id, 0.0)))
    return shown


def _item(row: Any, blind: bool, hidden: bool, lease_seconds: float) -> Item:
    same = ("item_id", "kind", "issue", "priority", "given_label", "suggestion", "split", "path", "score")
    return Item(
        **{name: row[name] for name in (*same, "state", "opinions")},
        members=tuple(json.loads(row["members"])),
        issues=tuple(filter(None, row["issues"].split(","))),
        blind=blind,
        show_suggestion=not hidden,
        lease_seconds=lease_seconds,
    )


def fold(text: str) -> str:
    """`text` without case and accents, for searching."""
    if text.isascii():
        return text.lower()
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return plain.casefold()
