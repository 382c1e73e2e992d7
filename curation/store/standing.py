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

from curation.decisions import Decision, Opinion, agreement, item_state, opinions_of
from curation.seen import PART, late_facts, read_members, read_seen
from curation.store.policy import Policy, policy_of
from curation.store.schema import GONE, decisions, items, opinions

BATCH = 500  # ids in one query; SQLite takes 32,766 parameters

_STANDING = ("queue", "state", "verdict", "opinions")
_SAID = ("item_id", "sample_id", "verdict", "reason", "annotation_id", "given_label", "suggestion", "seen")
_READ = ("decision_id", "action_id", "reviewer", "labels", "edits", *_SAID)

Value = TypeVar("Value")


def not_undone() -> sa.ColumnElement[bool]:
    """True for decisions that were not taken back; an undo is no decision."""
    undo = decisions.alias("undo")
    return _is_no_undo() & ~sa.exists().where(undo.c.undoes == decisions.c.action_id)


def _is_no_undo() -> sa.ColumnElement[bool]:
    # SQLite takes a unique column that is NULL for a rare one, and would go through all decisions by its index.
    return sa.func.coalesce(decisions.c.undoes, "") == ""


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
    rows = connection.execute(query.where(decisions.c.dataset == dataset, _is_no_undo()).distinct())
    return refresh(connection, dataset, {value for row in rows for value in row})


def _refresh(connection: Connection, dataset: str, ids: list[str], rules: Policy) -> dict[str, str]:
    columns = ("item_id", "kind", "members", "given_label", "seen", *_STANDING)
    query = sa.select(*(items.c[name] for name in columns))
    rows = connection.execute(query.where(items.c.dataset == dataset, items.c.item_id.in_(ids))).all()
    given = _given(connection, dataset, ids)
    samples = {d.sample_id for views in given.values() for view in views for d in view.decisions}
    # The label of a case is that of the first of its members, which may be no items of their own.
    cases = {json.loads(row.members)[0]: row.given_label for row in rows if row.kind != "sample" and row.queue != GONE}
    known = _present(connection, dataset, samples)
    seen = {name: text for name, (_, text) in known.items() if text}
    for row in rows:  # copies are no items of their own
        if row.kind != "sample" and row.queue != GONE:
            seen = read_members(row.seen) | seen
    labels = {lead: label for lead, label in cases.items() if label}
    labels |= {name: label for name, (label, _) in known.items() if name not in seen}
    connection.execute(sa.delete(opinions).where(opinions.c.dataset == dataset, opinions.c.item_id.in_(ids)))
    states: dict[str, str] = {}
    changed, current = [], []
    for row in rows:
        said = given.get(row.item_id, [])
        valid = [opinion for opinion in said if not is_stale(opinion, labels) and not _is_late(opinion, said, seen)]
        sources = {decision.item_id for opinion in valid for decision in opinion.decisions}
        needed = max((rules.needed(source) for source in sources), default=1)
        views = opinions_of(valid, needed)
        state = states[row.item_id] = item_state(views, needed)
        found = agreement(views, needed) if state == "done" else None
        # Of labels one opinion holds; edits of different annotations do together.
        holding = () if found is None else found.opinions if found.held else found.opinions[-1:]
        counted = sum(view.verdict != "unsure" and not view.waits for view in views)
        standing = (GONE if row.queue == GONE else state, state, holding[-1].verdict if holding else "", counted)
        if standing != tuple(getattr(row, name) for name in _STANDING):
            changed.append({"of": row.item_id, **dict(zip(_STANDING, standing, strict=True))})
        current += [_row(dataset, row.item_id, view, any(view is one for one in holding)) for view in views]
    if current:
        connection.execute(sa.insert(opinions), current)
    if changed:
        update = sa.update(items).where(items.c.dataset == dataset, items.c.item_id == sa.bindparam("of"))
        connection.execute(update.values({name: sa.bindparam(name) for name in _STANDING}), changed)
    return states


def _row(dataset: str, item_id: str, opinion: Opinion, holds: bool) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "item_id": item_id,
        "reviewer": opinion.reviewer,
        "verdict": PART if opinion.waits else opinion.verdict,
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
        if not decision.about_annotations
    )


def _is_late(opinion: Opinion, others: Sequence[Opinion], present: dict[str, str]) -> bool:
    """Whether annotations have changed since, of which the opinion says something; what others on the same item made
    of them is a reason to compare, not to forget it.

    present : what there is to be seen by sample id, as the queue was filled last
    """
    if not present:
        return False
    for decision in opinion.decisions:
        text = present.get(decision.sample_id)
        if text is None or not decision.about_annotations:
            continue
        since = [line for one in others for d in one.decisions if d.sample_id == decision.sample_id for line in d.edits]
        now = read_seen(decision.sample_id, text)
        if late_facts(decision.edits, decision.claims.seen, now, since, decision.is_part):
            return True
    return False


def _given(connection: Connection, dataset: str, ids: list[str]) -> dict[str, list[Opinion]]:
    """Every opinion ever given on these items and not taken back, in the order in which they were recorded.

    Those on a sample include what was said of it as a member of a case.
    """
    # One query for each index, and the order made here: asked for in one, or in order, the whole table is read.
    query = sa.select(*(decisions.c[name] for name in _READ)).where(decisions.c.dataset == dataset, not_undone())
    as_member = decisions.c.sample_id.in_(ids) & (decisions.c.sample_id != decisions.c.item_id)
    found: dict[int, Any] = {}
    for condition in (decisions.c.item_id.in_(ids), as_member):
        found |= {row["decision_id"]: row for row in connection.execute(query.where(condition)).mappings()}
    wanted = set(ids)
    parts: dict[str, list[tuple[Any, Decision]]] = {}
    for _, row in sorted(found.items()):
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
    edits = tuple(json.loads(row["edits"])) if row["edits"] else ()
    return Decision(**{name: row[name] for name in _SAID}, labels=tuple(json.loads(row["labels"])), edits=edits)


def _present(connection: Connection, dataset: str, sample_ids: set[str]) -> dict[str, tuple[str, str]]:
    """The given label, and what there is to be seen, of each sample that the queue has at present, as an item."""
    found: dict[str, tuple[str, str]] = {}
    for ids in batches(sorted(sample_ids)):
        query = sa.select(items.c.item_id, items.c.given_label, items.c.seen)
        query = query.where(items.c.dataset == dataset, items.c.item_id.in_(ids), items.c.queue != GONE)
        found |= {item_id: (label, seen) for item_id, label, seen in connection.execute(query)}
    return found


def batches(values: Sequence[Value]) -> Iterator[list[Value]]:
    """`values` in lists of BATCH."""
    for start in range(0, len(values), BATCH):
        yield list(values[start : start + BATCH])
