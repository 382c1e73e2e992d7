"""What the store says, as tables: all decisions, those in force, counts of the queue, verdicts to learn from."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from curation.seen import PART
from curation.store.database import read
from curation.store.policy import policy_of
from curation.store.schema import GONE, QUEUES, items, opinions
from curation.store.schema import decisions as decisions_table
from curation.store.standing import not_undone

# The less settled of two states comes first.
_LEAST_SETTLED = ("disagreement", "second", "open", "done")


def decisions(engine: Engine, dataset: str, since_id: int = 0, reviewer: str = "", sample_id: str = "") -> pd.DataFrame:
    """All rows after `since_id`, in the order in which they were recorded: decisions and undos.

    Columns are those of the table; `labels` is a JSON list, `edits` one of change lines or "". An undo has the verdict
    `undo`, the action that it takes back in `undoes` ("" for a decision) and no sample; asked for a sample, the undos
    of its decisions come, too.
    """
    table = decisions_table
    query = sa.select(table).where(table.c.dataset == dataset, table.c.decision_id > since_id)
    if reviewer:
        query = query.where(table.c.reviewer == reviewer)
    if sample_id:
        of_sample = sa.select(table.c.action_id).where(table.c.dataset == dataset, table.c.sample_id == sample_id)
        query = query.where((table.c.sample_id == sample_id) | table.c.undoes.in_(of_sample))
    return frame(engine, query.order_by(table.c.decision_id))


def effective(engine: Engine, dataset: str, sample_ids: Collection[str] | None = None) -> pd.DataFrame:
    """The latest decision of each reviewer on each sample that was not taken back, in the order of decision_id.

    sample_ids : only those on these few samples; None = all

    `distinct`, and `unsure` of a case, say nothing about the samples themselves: they are rows beside the others.

    Columns
    -------
    those of `decisions`, and
    state : of the item or of the sample's own item, whichever is less settled
    holds : bool, whether this is what was agreed on; of several reviewers who agree, the latest one's
    """
    table, item, own = decisions_table, items.alias("item"), items.alias("own")
    of_item, of_sample = opinions.alias("of_item"), opinions.alias("of_sample")
    query = (
        sa.select(table, item.c.state, own.c.state.label("own_state"))
        .add_columns(sa.func.coalesce(of_sample.c.holds, of_item.c.holds, sa.false()).label("holds"))
        .join(item, _same(table, item, item_id="item_id"), isouter=True)
        .join(own, _same(table, own, item_id="sample_id"), isouter=True)
        .join(
            of_item,
            _same(table, of_item, item_id="item_id") & (of_item.c.reviewer == table.c.reviewer),
            isouter=True,
        )
        .join(
            of_sample,
            _same(table, of_sample, item_id="sample_id") & (of_sample.c.decision_id == table.c.decision_id),
            isouter=True,
        )
        .where(table.c.dataset == dataset)
        .where(not_undone())
        .order_by(table.c.decision_id)
    )
    if sample_ids is not None:
        query = query.where(table.c.sample_id.in_(sorted(sample_ids)))
    rows = frame(engine, query)
    own_item = (rows["item_id"] == rows["sample_id"]) | ~rows["verdict"].isin(["distinct", "unsure"])
    key = rows[["sample_id", "reviewer"]].assign(about=rows["item_id"].where(~own_item, ""))
    rows = rows[~key.duplicated(keep="last")].reset_index(drop=True)
    states = rows[["state", "own_state"]].apply(lambda column: column.map(_rank)).min(axis=1)
    names = dict(enumerate([*_LEAST_SETTLED, ""]))
    return rows.drop(columns="own_state").assign(state=states.map(names))


def _rank(state: str) -> int:
    return _LEAST_SETTLED.index(state) if state else len(_LEAST_SETTLED)


def _same(left: Any, right: Any, item_id: str) -> sa.ColumnElement[bool]:
    return (right.c.dataset == left.c.dataset) & (right.c.item_id == left.c[item_id])


def progress(engine: Engine, dataset: str) -> pd.DataFrame:
    """How many items there are by `issue`, `state` ("gone" = no longer in the run) and `verdict`: column `items`.

    Quick also where there are a million: those that nobody has looked at are what is left of all.
    """
    fills = read(engine, lambda connection: policy_of(connection, dataset)).fills
    state = sa.case((items.c.queue == GONE, GONE), else_=items.c.state).label("state")
    columns = (items.c.issue, state, items.c.verdict)
    query = sa.select(*columns, sa.func.count().label("items"))
    query = query.where(items.c.dataset == dataset, items.c.queue.in_([queue for queue in QUEUES if queue != "open"]))
    touched = frame(engine, query.group_by(*columns))
    left = dict(_listed(engine, dataset, fills))
    for row in touched[touched["state"] != GONE].itertuples(index=False):
        left[row.issue] = left.get(row.issue, 0) - row.items
    untouched = [{"issue": issue, "state": "open", "verdict": "", "items": count} for issue, count in left.items()]
    table = pd.DataFrame(untouched, columns=touched.columns).astype(touched.dtypes)
    found = pd.concat([table[table["items"] > 0], touched], ignore_index=True)
    return found.sort_values(["issue", "state", "verdict"], ignore_index=True)


@lru_cache(maxsize=16)
def _listed(engine: Engine, dataset: str, fills: int) -> tuple[tuple[str, int], ...]:
    """How many items of each issue the run has; `fills` says which filling of the queue was counted."""
    query = sa.select(items.c.issue, sa.func.count()).where(items.c.dataset == dataset, items.c.queue != GONE)
    query = query.group_by(items.c.issue)
    return read(engine, lambda connection: tuple((row[0], row[1]) for row in connection.execute(query)))


def verdicts(engine: Engine, dataset: str, run_id: str = "") -> pd.DataFrame:
    """Every reviewer's current opinion on every item, in the order in which they were given, with what was known of it;
    not what was said of a part of a picture's annotations, which decides nothing about the item.

    Parameters
    ----------
    run_id : only those given on this run; "" = all

    Columns
    -------
    item_id, kind, issue, issues, score, priority, state : of the item
    decision_id, sample_id, given_label, suggestion, labels (JSON list), edits (the same or ""), seconds,
        suggestion_shown, run_id : of its first decision
    decided_as : item that the decision was made on; another one where a case was settled, and this is a member of it
    reviewer, verdict, adjudicates, holds : of the opinion
    """
    about = [items.c[name] for name in ("item_id", "kind", "issue", "issues", "score", "priority", "state")]
    names = (
        "decision_id", "sample_id", "given_label", "suggestion", "labels", "edits", "seconds", "suggestion_shown",
        "run_id",
    )  # fmt: skip
    said = [opinions.c[name] for name in ("reviewer", "verdict", "adjudicates", "holds")]
    query = (
        sa.select(*about, *(decisions_table.c[name] for name in names), *said)
        .add_columns(decisions_table.c.item_id.label("decided_as"))
        .select_from(opinions)
        .join(items, _same(opinions, items, item_id="item_id"))
        .join(decisions_table, decisions_table.c.decision_id == opinions.c.decision_id)
        .where(opinions.c.dataset == dataset, opinions.c.verdict != PART)
        .order_by(opinions.c.decision_id, items.c.item_id)
    )
    if run_id:
        query = query.where(decisions_table.c.run_id == run_id)
    return frame(engine, query)


def frame(engine: Engine, query: sa.Select[Any]) -> pd.DataFrame:
    """The rows as a table: text as `str` with "" for NULL, right columns and dtypes also without rows."""

    def work(connection: Connection) -> pd.DataFrame:
        result = connection.execute(query)
        rows = result.all()
        columns = {}
        for position, column in enumerate(query.selected_columns):
            values = [row[position] for row in rows]
            columns[str(column.key)] = _series(values, column.type)
        return pd.DataFrame(columns)

    return read(engine, work)


def _series(values: list[Any], kind: Any) -> pd.Series:
    if isinstance(kind, sa.Float):
        return pd.Series(values, dtype="float64")
    if isinstance(kind, sa.Boolean):
        return pd.Series(values, dtype=bool)
    if isinstance(kind, sa.Integer):
        return pd.Series(values, dtype="int64")
    texts = ["" if value is None else value for value in values]
    try:
        return pd.Series(texts, dtype="str")
    except UnicodeEncodeError:  # half of a surrogate pair in one of them
        return pd.Series(texts, dtype="object")
