"""The review store: fill the queue, hand out items, record what reviewers decide, take it back, read it all again.

Everything that the app, the command line and the publisher need; the engine comes from `open_store`. Decisions are
append-only: an undo is another row, and where an item stands is worked out from them (curation.store.standing).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from curation.decisions import UNDO, Action, Decision, check_action, check_decision
from curation.errors import NotFoundError, SettingsError
from curation.files import failpoint
from curation.store.database import clock_text, open_store, read, store_id, store_path, take_turns, write
from curation.store.filling import Filled, fill, set_priorities
from curation.store.leases import claim, grant, release, renew
from curation.store.policy import Policy, policy_of, write_policy
from curation.store.readings import decisions, effective, progress, verdicts
from curation.store.schema import GONE, items, leases, opinions
from curation.store.schema import decisions as decisions_table
from curation.store.searching import Filters, Item, find_items, read_item
from curation.store.standing import batches, decision_of, not_undone, refresh, refresh_decided

__all__ = [
    "Filled",
    "Filters",
    "Item",
    "Policy",
    "Recorded",
    "Undone",
    "claim",
    "decisions",
    "effective",
    "fill",
    "find_items",
    "open_store",
    "policy",
    "progress",
    "read_item",
    "rebuild",
    "record",
    "release",
    "renew",
    "set_policy",
    "set_priorities",
    "store_id",
    "store_path",
    "undo",
    "verdicts",
]


@dataclass(frozen=True)
class Recorded:
    """new : False where this action had been recorded before; states : {item_id: state} of every item concerned."""

    action_id: str
    new: bool
    states: dict[str, str]


@dataclass(frozen=True)
class Undone:
    """action_id : what was taken back; items : that are to be decided again; new : False where it was undone before."""

    action_id: str
    items: tuple[str, ...]
    new: bool = True


# --- recording -------------------------------------------------------------------------------------------------------


def record(engine: Engine, action: Action) -> Recorded:
    """Record an action, all of it or nothing; it is durable when this returns. The same action again changes nothing.

    Whether its new labels may be is the caller's to check (`check_action`). A decision without a lease counts like any
    other; where somebody else has decided otherwise meanwhile, the state says so.

    Raises
    ------
    SettingsError : the action cannot be, or its id was used for something else.
    WorkspaceError : the store cannot be written; nothing was recorded, or it is not known whether it was: send the same
        action again.
    """
    action = check_action(action, {label for decision in action.decisions for label in decision.new_labels})

    def work(connection: Connection) -> Recorded:
        take_turns(connection, action.dataset)
        before = _rows_of_action(connection, action.action_id)
        ids = _concerned(action.decisions)
        if before:
            _check_same(action, before)
            return Recorded(action.action_id, False, _states(connection, action.dataset, ids))
        made = _with_labels(connection, action)
        connection.execute(sa.insert(decisions_table), _rows(connection, made))
        failpoint("store.after_insert")
        _ensure_items(connection, made)
        states = refresh(connection, action.dataset, ids)
        done = sa.delete(leases).where(leases.c.dataset == action.dataset, leases.c.session == action.session)
        for part in batches(ids):
            connection.execute(done.where(leases.c.item_id.in_(part)))
        return Recorded(action.action_id, True, states)

    return write(engine, work)


def _concerned(made: Sequence[Decision]) -> list[str]:
    """The items that decisions say something about: theirs, and the samples that are members of a case."""
    return sorted({d.item_id for d in made} | {d.sample_id for d in made if d.about_sample})


def _with_labels(connection: Connection, action: Action) -> Action:
    """The action with the given label that the queue has where the caller named none; where a picture has several
    annotations, who says that they are right without saying which has seen those that the queue has."""
    known: dict[str, tuple[str, str]] = {}
    for part in batches([decision.sample_id for decision in action.decisions if not decision.given_label]):
        query = sa.select(items.c.item_id, items.c.given_label, items.c.seen)
        rows = connection.execute(query.where(items.c.dataset == action.dataset, items.c.item_id.in_(part)))
        known |= {item_id: (label, seen) for item_id, label, seen in rows}
    made = []
    for d in action.decisions:
        label, seen = known.get(d.sample_id, ("", "")) if not d.given_label else ("", "")
        whole = d.verdict in ("keep", "hard", "edit") and not d.annotation_id
        d = replace(d, given_label=d.given_label or label, seen=d.seen or (seen if whole else ""))
        made.append(check_decision(d, set(d.new_labels)))
    return replace(action, decisions=tuple(made))


def _rows(connection: Connection, action: Action) -> list[dict[str, Any]]:
    now = connection.execute(sa.select(clock_text(connection))).scalar_one()
    shared = {
        "dataset": action.dataset,
        "action_id": action.action_id,
        "reviewer": action.reviewer,
        "decided_at": now,
        "seconds": action.seconds,
        "run_id": action.run_id,
        "manifest_version": action.manifest_version,
        "suggestion_shown": action.suggestion_shown,
        "comment": action.comment,
        "undoes": None,
    }
    names = ("item_id", "sample_id", "annotation_id", "verdict", "reason", "given_label", "suggestion", "seen")
    return [
        {
            **shared,
            **{name: getattr(d, name) for name in names},
            "labels": json.dumps(d.labels),
            "edits": json.dumps(d.edits, allow_nan=False) if d.edits else "",
        }
        for d in action.decisions
    ]


def _ensure_items(connection: Connection, action: Action) -> None:
    """A row for every item that is decided, also where the queue was never filled with it."""
    wanted = {decision.item_id: decision for decision in action.decisions}
    known = _states(connection, action.dataset, sorted(wanted))
    missing = [decision for item_id, decision in wanted.items() if item_id not in known]
    if missing:
        connection.execute(sa.insert(items), [_unlisted(action, decision) for decision in missing])


def _unlisted(action: Action, decision: Decision) -> dict[str, Any]:
    """A row of the queue that nobody is handed; as it is decided, it counts."""
    members = [d.sample_id for d in action.decisions if d.item_id == decision.item_id]
    row = dict.fromkeys(("issue", "issues", "split", "path", "search", "verdict"), "")
    row |= {"dataset": action.dataset, "item_id": decision.item_id, "members": json.dumps(members)}
    row |= {"kind": "sample" if decision.item_id == decision.sample_id else "duplicates"}
    row |= {"given_label": decision.given_label, "suggestion": decision.suggestion, "queue": GONE, "state": "open"}
    return {**row, "priority": 0.0, "score": 1.0, "facet": 0, "label_key": 0, "digest": 0, "opinions": 0}


def _rows_of_action(connection: Connection, action_id: str) -> list[Any]:
    query = sa.select(decisions_table).where(decisions_table.c.action_id == action_id)
    return list(connection.execute(query.order_by(decisions_table.c.decision_id)).mappings())


def _check_same(action: Action, before: Sequence[Any]) -> None:
    """Refuse an id that was used for another action: to ignore it would lose a decision."""
    stored = {(row["item_id"], row["sample_id"]): decision_of(row) for row in before}
    sent = {}
    for decision in action.decisions:
        key = (decision.item_id, decision.sample_id)
        seen = replace(decision, given_label=stored[key].given_label) if key in stored else decision
        seen = replace(seen, seen=seen.seen or stored[key].seen) if key in stored else seen
        sent[key] = check_decision(seen, set(seen.new_labels))
    same = {key: (d.verdict, d.labels, d.reason, d.edits) for key, d in stored.items()} == {
        key: (d.verdict, d.labels, d.reason, d.edits) for key, d in sent.items()
    }
    if not same or {(row["dataset"], row["reviewer"]) for row in before} != {(action.dataset, action.reviewer)}:
        raise SettingsError(f"The action id {action.action_id} was used for another decision; nothing was recorded.")


def _states(connection: Connection, dataset: str, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in batches(ids):
        query = sa.select(items.c.item_id, items.c.state)
        rows = connection.execute(query.where(items.c.dataset == dataset, items.c.item_id.in_(part)))
        found |= {item_id: state for item_id, state in rows}
    return found


# --- undoing ---------------------------------------------------------------------------------------------------------


def undo(
    engine: Engine, dataset: str, reviewer: str, action_id: str = "", *, undo_id: str, session: str = ""
) -> Undone | None:
    """Take back an action, or the reviewer's latest that was not taken back; None where there is none.

    Parameters
    ----------
    action_id : "" = the latest
    undo_id : made by the client; the same one again takes nothing else back
    session : gets the items that are to be decided again, those that nobody else holds; "" = nobody does

    Raises
    ------
    NotFoundError : no such action.
    SettingsError : it is somebody else's, or `undo_id` was used for something else.
    WorkspaceError : the store cannot be written.
    """
    if not undo_id or undo_id == action_id:
        raise SettingsError("Taking back needs an id of its own.")

    def work(connection: Connection) -> Undone | None:
        take_turns(connection, dataset)
        earlier = _rows_of_action(connection, undo_id)
        if earlier:
            row = earlier[0]
            if (row["verdict"], row["dataset"], row["reviewer"]) != (UNDO, dataset, reviewer):
                raise SettingsError(f"The id {undo_id} was used for another action; nothing was taken back.")
            target, new = row["undoes"], False
        else:
            target = action_id or _latest(connection, dataset, reviewer)
            new = bool(target) and not _is_undone(connection, target)
        if not target:
            return None
        made = _rows_of_action(connection, target)
        _check_undoable(target, dataset, reviewer, made)
        ids = _concerned([decision_of(row) for row in made])
        if new:
            connection.execute(sa.insert(decisions_table), [_undo_row(connection, made[0], undo_id)])
            failpoint("store.after_insert")
            refresh(connection, dataset, ids)
            if session:
                grant(connection, dataset, reviewer, session, sorted({row["item_id"] for row in made}))
        return Undone(target, tuple(sorted({row["item_id"] for row in made})), new)

    return write(engine, work)


def _latest(connection: Connection, dataset: str, reviewer: str) -> str:
    table = decisions_table
    query = (
        sa.select(table.c.action_id)
        .where(table.c.dataset == dataset, table.c.reviewer == reviewer)
        .where(not_undone())
        .order_by(table.c.decision_id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar() or ""


def _is_undone(connection: Connection, action_id: str) -> bool:
    query = sa.select(decisions_table.c.decision_id).where(decisions_table.c.undoes == action_id)
    return connection.execute(query).first() is not None


def _check_undoable(action_id: str, dataset: str, reviewer: str, made: Sequence[Any]) -> None:
    if not made or made[0]["dataset"] != dataset or made[0]["verdict"] == UNDO:
        raise NotFoundError(f"There is no action {action_id!r} on {dataset} that could be taken back.")
    if made[0]["reviewer"] != reviewer:
        raise SettingsError(f"{reviewer} cannot take back what {made[0]['reviewer']} decided; decide it again instead.")


def _undo_row(connection: Connection, row: Any, undo_id: str) -> dict[str, Any]:
    blank = dict.fromkeys(("item_id", "sample_id", "annotation_id", "reason", "given_label", "suggestion"), "")
    return {
        **blank,
        "edits": "",
        "seen": "",
        "dataset": row["dataset"],
        "action_id": undo_id,
        "verdict": UNDO,
        "labels": "[]",
        "reviewer": row["reviewer"],
        "decided_at": connection.execute(sa.select(clock_text(connection))).scalar_one(),
        "seconds": 0.0,
        "run_id": row["run_id"],
        "manifest_version": row["manifest_version"],
        "suggestion_shown": True,
        "comment": "",
        "undoes": row["action_id"],
    }


# --- policy ----------------------------------------------------------------------------------------------------------


def policy(engine: Engine, dataset: str) -> Policy:
    """How a data set is reviewed, and what its queue was filled from."""
    return read(engine, lambda connection: policy_of(connection, dataset))


def set_policy(
    engine: Engine, dataset: str, second_opinion: float = 0.0, hide_suggestion: float = 0.0, seed: int = 0
) -> Policy:
    """Settle which share of the items a second reviewer decides, and which share of those without the suggestion.

    What was decided already is judged by the new policy, too.

    Raises
    ------
    SettingsError : a share that is not in [0, 1].
    """
    for share in (second_opinion, hide_suggestion):
        if not 0 <= share <= 1:
            raise SettingsError(f"A share is between 0 and 1, not {share}.")

    def work(connection: Connection) -> Policy:
        take_turns(connection, dataset)
        rules = replace(
            policy_of(connection, dataset), second_opinion=second_opinion, hide_suggestion=hide_suggestion, seed=seed
        )
        write_policy(connection, dataset, rules)
        refresh_decided(connection, dataset)
        return rules

    return write(engine, work)


def rebuild(engine: Engine, dataset: str) -> int:
    """Make opinions and states again from the decisions alone; how many items have been decided."""

    def work(connection: Connection) -> int:
        take_turns(connection, dataset)
        connection.execute(sa.delete(opinions).where(opinions.c.dataset == dataset))
        return len(refresh_decided(connection, dataset))

    return write(engine, work)
