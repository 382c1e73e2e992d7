"""Publishing: the decisions that reviewers agree on become the next version of the manifest.

decisions + newest version --propose--> plan (what would change, what is held back, and why) --publish--> version
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from curation import store
from curation.decisions import UNDO, item_state
from curation.errors import NotFoundError, WorkspaceError
from curation.manifest import NewVersion, overtaken, read, write_version
from curation.manifest.changes import Sample, describe, in_order, replace_samples, samples_of
from curation.manifest.settling import Given, History, Outcome, histories, settle
from curation.manifest.version_files import MAIN, ancestors, head, read_header
from curation.manifest.wholeness import check_whole
from curation.store import decisions as read_decisions

# The less settled of two states comes first.
_STATES = ("disagreement", "second", "open", "done")


@dataclass(frozen=True)
class Plan:
    """What publishing would do.

    rows : of the new version
    changes : lines of its change list; `confirm` lines say what was looked at and left as it is
    conflicts : decisions that do not fit any more: sample_id, path, why, verdict, labels, reviewer, decision
    waiting : samples that wait for another opinion: sample_id, path, state, reviewers
    decision_ids : what the new version has, undos included
    pending : how many fresh decisions there are by (verdict, reviewer)
    """

    rows: pd.DataFrame
    changes: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    decision_ids: tuple[int, ...]
    pending: dict[tuple[str, str], int]


@dataclass(frozen=True)
class Proposal:
    """A plan, and what it was made from: the newest version of a branch, and a store."""

    parent: str
    branch: str
    store: str
    plan: Plan


# --- plan --------------------------------------------------------------------------------------------------------


def plan(
    head_rows: pd.DataFrame,
    decisions: pd.DataFrame,
    states: Mapping[str, str],
    published_ids: Collection[int],
    needed: Callable[[str], int] | None = None,
) -> Plan:
    """What the fresh decisions make of the newest version. Pure; the same whatever order other reviewers' rows have.

    A decision applies where the label is still the one that the reviewer saw, or already the one that it asks for;
    else it is a conflict. What was undone after it had been published is taken back. What waits for a second opinion,
    or for somebody to settle a disagreement, waits. Of several reviewers, what they agree on is taken.

    Parameters
    ----------
    head_rows : of the newest version
    decisions : all of the data set, as curation.store.decisions gives them
    states : of items and samples by id, as the store has them; for those that are missing, they are worked out
    published_ids : decisions (and undos) that the newest version or its ancestors have
    needed : how many opinions an item wants, by its id; None = one
    """
    known = histories(decisions, published_ids)
    before = samples_of(head_rows, known)
    after: dict[str, Sample | None] = {}
    lines, conflicts, waiting = [], [], []
    settled: dict[str, Outcome] = {}
    pending: Counter[tuple[str, str]] = Counter()
    for name in sorted(known):
        history, sample = known[name], before.get(name)
        wanted = history.wanted(needed)
        state = _state(name, history, states, wanted)
        outcome = settle(history, sample, state, wanted)
        path = sample.columns["path"] if sample else ""
        pending.update(_pending(history, outcome))
        conflicts += [_conflict(name, path, given, why) for given, why in outcome.late]
        if outcome.waits:
            reviewers = sorted({given.reviewer for given in history.current()})
            waiting.append({"sample_id": name, "path": path, "state": state, "reviewers": reviewers})
        elif outcome.problem:
            conflicts.append(_conflict(name, path, outcome.because[-1], outcome.problem))
        else:
            settled[name] = outcome
            if sample is not None and outcome.sample is not None:
                lines += _told(name, sample, outcome, history)
                if outcome.sample != sample:
                    after[name] = outcome.sample
    return Plan(
        replace_samples(head_rows, after),
        in_order(lines),
        sorted(conflicts, key=lambda c: (c["path"], c["sample_id"], c["decision"])),
        sorted(waiting, key=lambda w: (w["path"], w["sample_id"])),
        _consumed(decisions, known, settled),
        dict(sorted(pending.items())),
    )


def _state(name: str, history: History, states: Mapping[str, str], needed: int) -> str:
    """The least settled state of the items that the current decisions on a sample are about."""
    items = {name, *(given.decision.item_id for given in history.current())}
    found = [states[item] for item in items if item in states]
    return min(found, key=_STATES.index) if found else item_state(history.opinions(needed=needed), needed)


def _told(name: str, sample: Sample, outcome: Outcome, history: History) -> list[dict[str, Any]]:
    """The lines of a sample, each with who decided it and why; what is not in a version yet and changes nothing
    is a `confirm` line."""
    lines = describe(name, sample, outcome.sample)
    whole = (outcome.because, outcome.undone)
    causes = [outcome.causes.get((line["change"], line["annotation_id"]), whole) for line in lines]
    told = [{**line, **_who(*cause)} for line, cause in zip(lines, causes, strict=True)]
    confirmed = [outcome.because] if outcome.because and not lines and not outcome.undone else []
    if outcome.causes:  # some annotations have changed, and of others somebody said that they are right
        heard = {given.decision_id for because, _ in causes for given in because} | history.published
        confirmed = [rest] if (rest := tuple(g for g in outcome.because if g.decision_id not in heard)) else []
    confirmed += [(given,) for given in _fresh_apart(history)]
    for because in confirmed:
        label = because[-1].decision.outcome
        line = {"change": "confirm", "sample_id": name, "annotation_id": because[-1].decision.annotation_id,
                "path": sample.columns["path"], "from": label, "to": label}  # fmt: skip
        told.append({**line, **_who(because, False)})
    return told


def _who(because: tuple[Given, ...], undone: bool) -> dict[str, Any]:
    """Who decided it, when, and what the model had said; of several who agree, the last one, and all their names."""
    last = because[-1]
    if undone:
        undo = max(given.undo for given in because if given.undo is not None)
        return {"verdict": UNDO, "reviewer": undo.reviewer, "decided": undo.decided_at,
                "decision": sorted({undo.decision_id, *(g.decision_id for g in because)}), "comment": ""}  # fmt: skip
    found: dict[str, Any] = {
        "verdict": last.decision.verdict,
        "reviewer": last.reviewer,
        "decided": last.decided_at,
        "decision": sorted(given.decision_id for given in because),
        "comment": last.comment,
    }
    more = {"run": last.run_id, "suggestion": last.decision.suggestion}
    found |= {key: value for key, value in more.items() if value}
    if len(because) > 1:
        found["reviewers"] = sorted({given.reviewer for given in because})
    return found


def _conflict(name: str, path: str, given: Given, why: str) -> dict[str, Any]:
    found = {"sample_id": name, "path": path, "why": why, "verdict": given.decision.verdict,
             "labels": list(given.decision.labels), "reviewer": given.reviewer, "decided": given.decided_at,
             "decision": given.decision_id, "item_id": given.decision.item_id}  # fmt: skip
    return found | ({"edits": list(given.decision.edits)} if given.decision.edits else {})


def _consumed(decisions: pd.DataFrame, known: Mapping[str, History], settled: Mapping[str, Outcome]) -> tuple[int, ...]:
    """The decisions that a version has: those that made it what it is, and undos of what was published.

    What was outvoted or replaced stays fresh, because it holds again when what replaced it is undone; an undo of many
    decisions stays fresh until all of them are settled.
    """
    made: set[int] = set()
    undone: set[int] = set()
    for name, outcome in settled.items():
        history = known[name]
        made |= {given.decision_id for given in outcome.because}
        made |= {given.decision_id for given in _fresh_apart(history)}
        made -= history.published
        there = history.published - history.undone_there
        undone |= {g.undo.decision_id for g in history.given if g.undo is not None and g.decision_id in there}
    rows = decisions[decisions["verdict"] != UNDO]
    unsettled = set(rows.loc[~rows["sample_id"].isin(settled) & rows["sample_id"].isin(known), "action_id"])
    undos = decisions[decisions["decision_id"].isin(undone)]
    return tuple(sorted({*made, *undos.loc[~undos["undoes"].isin(unsettled), "decision_id"].tolist()}))


def _fresh_apart(history: History) -> list[Given]:
    """Fresh verdicts that a sample's case is none."""
    apart = [given for given in history.given if given.decision.verdict == "distinct" and given.undo is None]
    return [given for given in apart if given.decision_id not in history.published]


def _pending(history: History, outcome: Outcome) -> list[tuple[str, str]]:
    """(verdict, reviewer) of what is fresh and matters: it is applied, taken back, held back or in conflict."""
    if outcome.undone:
        return [(UNDO, given.undo.reviewer) for given in outcome.because[-1:] if given.undo is not None]
    found = history.current() if outcome.waits else [*outcome.because, *_fresh_apart(history)]
    found += [given for given, _ in outcome.late]
    undone = {given for because, back in outcome.causes.values() if back for given in because}
    back = [(UNDO, given.undo.reviewer) for given in sorted(undone)[-1:] if given.undo is not None]
    return back + [(g.decision.verdict, g.reviewer) for g in found if g.decision_id not in history.published]


# --- versions ----------------------------------------------------------------------------------------------------


def propose(folder: Path, engine: Engine, dataset: str, branch: str = MAIN) -> Proposal:
    """What publishing would do now; nothing is written.

    folder : of the data set's versions, see curation.manifest.manifest_folder

    Raises
    ------
    NotFoundError : no version, or no such branch.
    WorkspaceError : a version or the store is damaged.
    """
    parent = head(folder, branch)
    if parent is None:
        raise NotFoundError(f"There is no version of {folder.name} yet. Make the first one with: curate score SOURCE")
    name = store.store_id(engine)
    known = published_ids(folder, parent, name)
    made = read_decisions(engine, dataset)
    found = store.effective(engine, dataset)
    states: dict[str, str] = {}
    for sample_id, state in zip(found["sample_id"].tolist(), found["state"].tolist(), strict=True):
        worse = min((states.get(sample_id, "done"), state or "done"), key=_STATES.index)
        states[sample_id] = worse
    needed = store.policy(engine, dataset).needed
    return Proposal(parent, branch, name, plan(read(folder, parent), made, states, known, needed))


def publish(
    folder: Path,
    engine: Engine,
    dataset: str,
    message: str,
    author: str,
    expected_head: str = "",
    branch: str = MAIN,
    proposal: Proposal | None = None,
) -> str:
    """Write what is agreed on as the next version; its name, "" if there is nothing to publish.

    Parameters
    ----------
    expected_head : the version that the publisher looked at; "" = whichever is newest
    proposal : what the publisher was shown; None = what `propose` says now

    Raises
    ------
    WorkspaceError : somebody else published meanwhile (says what), the newest version is damaged, or nothing can be
        written; nothing has changed.
    """
    proposal = proposal or propose(folder, engine, dataset, branch)
    new = NewVersion(
        proposal.parent,
        "publish",
        author,
        message,
        proposal.plan.changes,
        proposal.branch,
        decisions={"store": proposal.store, "ids": id_ranges(proposal.plan.decision_ids)},
        dataset=dataset,
    )
    if expected_head and expected_head != proposal.parent:
        raise overtaken(folder, expected_head, proposal.branch)
    if not proposal.plan.changes:
        check_whole(folder, proposal.parent)  # what it says it has may be all that hides a decision
        return ""
    return write_version(proposal.plan.rows, new, folder)


def published_ids(folder: Path, version: str, store_name: str) -> set[int]:
    """The decisions and undos of a store that a version or one of its ancestors has."""
    found: set[int] = set()
    for name in ancestors(folder, version):
        decisions = read_header(folder, name)["decisions"]
        if decisions and decisions.get("store") == store_name:
            found |= read_ranges(str(decisions.get("ids", "")))
    return found


def id_ranges(ids: Iterable[int]) -> str:
    """`1-3,7` for 1, 2, 3 and 7."""
    parts: list[list[int]] = []
    for number in sorted(ids):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in parts)


def read_ranges(text: str) -> set[int]:
    """The numbers that `id_ranges` wrote.

    Raises
    ------
    WorkspaceError : it did not write this.
    """
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part, re.ASCII)
        if match is None or int(match[2] or match[1]) - int(match[1]) > 100_000_000:
            raise WorkspaceError(f"A version's header is damaged: its decisions are {text[:100]!r}.")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found
