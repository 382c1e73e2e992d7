"""Filling the queue from a run, and putting it in another order.

The run's items go into a temporary table, some thousands at a time, and from there into the queue by set: a million
items are no Python objects, and what did not change is not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from curation.decisions import LONGEST_DATASET, check_name
from curation.progress import SILENT, Advance, Progress
from curation.store.database import read, take_turns, write
from curation.store.policy import policy_of, write_policy
from curation.store.schema import GONE, encode_text, facets, items, label_key, text_key
from curation.store.searching import fold
from curation.store.standing import refresh_decided

TEXTS = ("item_id", "kind", "members", "issue", "issues", "given_label", "suggestion", "split", "path")
NUMBERS = ("priority", "score")
COLUMNS = (*TEXTS, *NUMBERS)
# Of pictures with several annotations; a table without them has one label for each.
MORE = ("seen", "classes")
_ROWS = 20_000  # brought over at a time
_PRIORITIES = 2_000  # changed in one transaction: reviewers wait no longer than that takes

_staging = sa.MetaData()
_incoming = sa.Table(
    "incoming",
    _staging,
    *(sa.Column(name, items.c[name].type) for name in (*COLUMNS, *MORE, "search", "facet", "label_key", "digest")),
    prefixes=["TEMPORARY"],
)
_listed = sa.Table("listed", _staging, sa.Column("item_id", items.c.item_id.type), prefixes=["TEMPORARY"])
sa.Index("listed_ids", _listed.c.item_id)


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

    What was decided stays. Items that the run has no longer are closed, not deleted; one whose given label, or one of
    whose annotations, is no longer what its reviewers saw, nor what they made of it, is open again.

    Parameters
    ----------
    items : columns COLUMNS, item_id unique, no nulls; `members` is a list of sample ids or its JSON text; a higher
        `priority` comes sooner. Of pictures with several annotations also `seen` (curation.seen.seen_text of what they
        have now) and `classes` (that the findings are about: `schema.class_mark` of each, joined)

    Raises
    ------
    SettingsError : a name of the data set that cannot be.
    WorkspaceError : the store cannot be written.
    """
    check_name("The name of the data set", dataset, LONGEST_DATASET)
    assert set(COLUMNS) <= set(items.columns), sorted(set(COLUMNS) - set(items.columns))
    assert items["item_id"].is_unique
    assert np.isfinite(items[list(NUMBERS)].to_numpy(dtype=np.float64)).all(), "a priority or score that has no place"

    contents = _fingerprint(items)
    before = read(engine, lambda connection: policy_of(connection, dataset))
    if contents and (contents, run_id, manifest_version) == (before.contents, before.run_id, before.manifest_version):
        return Filled(0, 0, 0)

    def work(connection: Connection) -> Filled:
        take_turns(connection, dataset)
        with progress.stage("Filling the queue", len(items), "items") as advance:
            filled = _bring_over(connection, dataset, items, advance)
        rules = policy_of(connection, dataset)
        if any(vars(filled).values()):
            refresh_decided(connection, dataset)
            rules = replace(rules, fills=rules.fills + 1)
        rules = replace(rules, run_id=run_id, manifest_version=manifest_version, contents=contents)
        write_policy(connection, dataset, rules)
        return filled

    return write(engine, work)


def _fingerprint(table: pd.DataFrame) -> int:
    """A number that stands for all rows in whatever order; 0 = not known, as of texts without a UTF-8 form."""
    try:
        columns = [*COLUMNS, *(name for name in MORE if name in table)]
        rows = pd.util.hash_pandas_object(table[columns], index=False).to_numpy()
    except (TypeError, UnicodeEncodeError):  # lists of members
        return 0
    return int(rows.sum(dtype=np.uint64).view(np.int64))


def _bring_over(connection: Connection, dataset: str, table: pd.DataFrame, advance: Advance) -> Filled:
    """Add what is new, change what is different, close what is not listed."""
    _staging.drop_all(connection)
    _staging.create_all(connection)
    known = (
        connection.execute(sa.select(items.c.item_id).where(items.c.dataset == dataset).limit(1)).first() is not None
    )
    places = _Facets(connection, dataset)
    added = updated = 0
    for start in range(0, len(table), _ROWS):
        columns = _columns(table.iloc[start : start + _ROWS], places)
        _load(connection, _incoming, columns)
        if known:
            updated += connection.execute(_change(dataset)).rowcount
        added += connection.execute(_add(dataset, known), execution_options={"preserve_rowcount": True}).rowcount
        _load(connection, _listed, {"item_id": columns["item_id"]})
        connection.execute(sa.delete(_incoming))
        advance(len(columns["item_id"]))
    places.write()
    closed = connection.execute(_close(dataset)).rowcount if known else 0
    _staging.drop_all(connection)
    if added + updated + closed > _ROWS:  # the planner knows nothing of rows that have just come
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA analysis_limit = 400")
        connection.exec_driver_sql("ANALYZE items")
    return Filled(added, updated, closed)


def _add(dataset: str, known: bool) -> sa.Insert:
    fixed = {"dataset": dataset, "queue": "open", "state": "open", "verdict": "", "opinions": 0}
    values = [sa.literal(value, items.c[name].type) for name, value in fixed.items()]
    rows = sa.select(*values, *_incoming.c)
    if known:
        same = (items.c.dataset == dataset) & (items.c.item_id == _incoming.c.item_id)
        rows = rows.where(~sa.exists().where(same))
    return sa.insert(items).from_select([*fixed, *_incoming.c.keys()], rows)


def _change(dataset: str) -> sa.Update:
    names = [name for name in _incoming.c.keys() if name != "item_id"]  # noqa: SIM118  # not a dict
    return (
        sa.update(items)
        .where(items.c.dataset == dataset, items.c.item_id == _incoming.c.item_id)
        .where((items.c.digest != _incoming.c.digest) | (items.c.queue == GONE))
        .values({**{name: _incoming.c[name] for name in names}, "queue": items.c.state})
    )


def _close(dataset: str) -> sa.Update:
    unlisted = ~sa.exists().where(_listed.c.item_id == items.c.item_id)
    return sa.update(items).where(items.c.dataset == dataset, items.c.queue != GONE, unlisted).values(queue=GONE)


# --- columns ---------------------------------------------------------------------------------------------------------


def _columns(part: pd.DataFrame, places: _Facets) -> dict[str, list[Any]]:
    """What the store keeps of some items, column by column."""
    columns: dict[str, list[Any]] = {name: part[name].to_numpy(dtype=object).tolist() for name in TEXTS}
    columns["members"] = [value if isinstance(value, str) else json.dumps(list(value)) for value in columns["members"]]
    shown = zip(columns["path"], columns["given_label"], columns["suggestion"], strict=True)
    columns["search"] = [fold("\n".join(texts)) for texts in shown]
    columns["facet"] = places.of(zip(columns["kind"], columns["issues"], columns["split"], strict=True))
    columns["label_key"] = [label_key(label) for label in columns["given_label"]]
    encoded = {name: _encoded(values) for name, values in columns.items()}
    numbers = {name: part[name].to_numpy(dtype=np.float64).tolist() for name in NUMBERS}
    more = {name: _encoded(part[name].to_numpy(dtype=object).tolist()) for name in MORE if name in part}
    digest = _digests([*(encoded[name] for name in TEXTS), *numbers.values(), *more.values()])
    return {**encoded, **numbers, **dict.fromkeys(MORE, [""] * len(part)), **more, "digest": digest}


def _encoded(values: list[Any]) -> list[Any]:
    """Texts as every database can hold them; most lists need no look at each."""
    if not values or not isinstance(values[0], str):
        return values
    together = "".join(values)
    plain = together.isascii() and "\0" not in together and "\\" not in together
    return values if plain else [encode_text(value) for value in values]


def _digests(columns: Sequence[Sequence[Any]]) -> list[int]:
    """A number for each row that stands for all its values."""
    rows = map(repr, zip(*columns, strict=True))
    return [text_key(row) for row in rows]


class _Facets:
    """The numbers of the combinations of kind, issues and split: those that the store has, and new ones."""

    def __init__(self, connection: Connection, dataset: str) -> None:
        self.connection, self.dataset = connection, dataset
        query = sa.select(facets.c.kind, facets.c.issues, facets.c.split, facets.c.facet)
        rows = connection.execute(query.where(facets.c.dataset == dataset))
        self.known: dict[tuple[str, str, str], int] = {(row.kind, row.issues, row.split): row.facet for row in rows}
        self.stored = len(self.known)

    def of(self, combinations: Iterable[tuple[str, str, str]]) -> list[int]:
        return [self.known.setdefault(values, len(self.known) + 1) for values in combinations]

    def write(self) -> None:
        """Store the new ones."""
        new = list(self.known.items())[self.stored :]
        if new:
            names = ("kind", "issues", "split")
            rows = [{"dataset": self.dataset, "facet": n, **dict(zip(names, v, strict=True))} for v, n in new]
            self.connection.execute(sa.insert(facets), rows)


def _load(connection: Connection, table: sa.Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Put encoded columns into a table by the driver's fastest way."""
    names = ", ".join(columns)
    rows = zip(*columns.values(), strict=True)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", list(rows))
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


# --- order -----------------------------------------------------------------------------------------------------------


def set_priorities(engine: Engine, dataset: str, priorities: Mapping[str, float]) -> int:
    """Give items another place in the queue; how many there are of them. `fill` keeps it while the item is unchanged.

    Some thousands at a time, so that reviewers go on meanwhile: killed half-way, some have the old place.
    """
    assert np.isfinite(list(priorities.values())).all(), "a priority that has no place"
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
