"""Where each item stands: the one function that turns decisions into opinions and states, for whichever items changed.

Recording, undoing, filling the queue again, a new policy and rebuilding the cache all end here, so that they cannot
differ in what a decision means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from curation.decisions import Decision, Opinion, agreed, item_state, opinions_of
from curation.policy import Policy, policy_of
from curation.schema import GONE, decisions, items, opinions

BATCH = 500  # ids in one query; SQLite takes 32,766 parameters

Value = TypeVar("Value")


def not_undone() -> sa.ColumnElement[bool]:
    """True for decisions that were not taken back; an undo is no decision."""
    undo = decisions.alias("undo")
    return decisions.c.undoes.is_(None) & ~sa.exists().where(undo.c.undoes == decisions.c.action_id)


def refresh(connection: Connection, dataset: str, item_ids: Iterable[str]) -> dict[str, str]:
    """Work out again where these items stand and store it; {item_id: state} of those that there are."""
    rules = policy_of(connection, dataset)
    states: dict[str, str] = {}
    for ids in batches(sorted(set(item_ids))):
        states |= _refresh(connection, dataset, ids, rules)
    return states


def refresh_decided(connection: Connection, dataset: str) -> dict[str, str]:
    """`refresh` of every item that was ever decided."""
    query = sa.select(decisions.c.item_id, decisions.c.sample_id)
    rows = connection.execute(query.where(decisions.c.dataset == dataset, decisions.c.undoes.is_(None)).distinct())
    return refresh(connection, dataset, {value for row in rows for value in row})


def _refresh(connection: Connection, dataset: str, ids: list[str], rules: Policy) -> dict[str, str]:
    query = sa.select(items.c.item_id, items.c.kind, items.c.members, items.c.given_label, items.c.queue)
    rows = connection.execute(query.where(items.c.dataset == dataset, items.c.item_id.in_(ids))).all()
    given = _given(connection, dataset, ids)
    samples = {d.sample_id for views in given.values() for view in views for d in view.decisions}
    # The label of a case is that of the first of its members, which may be no items of their own.
    cases = {json.loads(row.members)[0]: row.given_label for row in rows if row.kind != "sample" and row.queue != GONE}
    labels = {lead: label for lead, label in cases.items() if label} | _labels(connection, dataset, samples)
    connection.execute(sa.delete(opinions).where(opinions.c.dataset == dataset, opinions.c.item_id.in_(ids)))
    standing, current = [], []
    for item_id, _, _, _, queue in rows:
        valid = [opinion for opinion in given.get(item_id, []) if not is_stale(opinion, labels)]
        sources = {decision.item_id for opinion in valid for decision in opinion.decisions}
        needed = max((rules.needed(source) for source in sources), default=1)
        views = opinions_of(valid, needed)
        state = item_state(views, needed)
        holding = agreed(views) if state == "done" else None
        standing.append(
            {
                "of": item_id,
                "state": state,
                "queue": GONE if queue == GONE else state,
                "verdict": holding.verdict if holding else "",
                "opinions": sum(view.verdict != "unsure" for view in views),
            }
        )
        current += [_row(dataset, item_id, view, view is holding) for view in views]
    if current:
        connection.execute(sa.insert(opinions), current)
    if standing:
        update = sa.update(items).where(items.c.dataset == dataset, items.c.item_id == sa.bindparam("of"))
        changed: dict[str, Any] = {name: sa.bindparam(name) for name in ("state", "queue", "verdict", "opinions")}
        connection.execute(update.values(changed), standing)
    return {row["of"]: row["state"] for row in standing}


def _row(dataset: str, item_id: str, opinion: Opinion, holds: bool) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "item_id": item_id,
        "reviewer": opinion.reviewer,
        "verdict": opinion.verdict,
        "decision_id": opinion.decision_id,
        "adjudicates": opinion.adjudicates,
        "holds": holds,
    }


def is_stale(opinion: Opinion, labels: dict[str, str]) -> bool:
    """Whether a sample has got another label since, which is not what the opinion made of it, either.

    labels : given label by sample id, as the queue was filled last
    """
    return any(
        labels.get(decision.sample_id, decision.given_label) not in (decision.given_label, decision.outcome)
        for decision in opinion.decisions
    )


def _given(connection: Connection, dataset: str, ids: list[str]) -> dict[str, list[Opinion]]:
    """Every opinion ever given on these items and not taken back, in the order in which they were recorded.

    Those on a sample include what was said of it as a member of a case.
    """
    query = (
        sa.select(decisions)
        .where(decisions.c.dataset == dataset, decisions.c.item_id.in_(ids) | decisions.c.sample_id.in_(ids))
        .where(not_undone())
        .order_by(decisions.c.decision_id)
    )
    wanted = set(ids)
    parts: dict[str, list[tuple[Any, Decision]]] = {}
    for row in connection.execute(query).mappings():
        decision = decision_of(row)
        targets = {decision.item_id, *([decision.sample_id] if decision.about_sample else [])}
        for item_id in targets & wanted:
            parts.setdefault(item_id, []).append((row, decision))
    return {item_id: list(_opinions(rows)) for item_id, rows in parts.items()}


def _opinions(rows: list[tuple[Any, Decision]]) -> Iterator[Opinion]:
    """One opinion per action; its rows follow one another, because writers take turns."""
    for (_, reviewer), group in groupby(rows, key=lambda pair: (pair[0]["action_id"], pair[0]["reviewer"])):
        members = list(group)
        yield Opinion(reviewer, tuple(decision for _, decision in members), members[0][0]["decision_id"])


def decision_of(row: Any) -> Decision:
    """A row of the table as a Decision."""
    names = ("item_id", "sample_id", "verdict", "reason", "annotation_id", "given_label", "suggestion")
    return Decision(**{name: row[name] for name in names}, labels=tuple(json.loads(row["labels"])))


def _labels(connection: Connection, dataset: str, sample_ids: set[str]) -> dict[str, str]:
    """The given label of each sample that the queue has at present, as an item."""
    found: dict[str, str] = {}
    for ids in batches(sorted(sample_ids)):
        query = sa.select(items.c.item_id, items.c.given_label)
        query = query.where(items.c.dataset == dataset, items.c.item_id.in_(ids), items.c.queue != GONE)
        found |= {item_id: label for item_id, label in connection.execute(query)}
    return found


def batches(values: Sequence[Value]) -> Iterator[list[Value]]:
    """`values` in lists of BATCH."""
    for start in range(0, len(values), BATCH):
        yield list(values[start : start + BATCH])
