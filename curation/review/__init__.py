"""Review of a run: what there is to decide, in which order; and the door to what a view needs about an item.

build_items --> the store's queue;   cards, picture_bytes --> the screen;   verdict_action --> the store's decisions
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from curation.decisions import UNDO, case_id
from curation.detectors import suggests_label
from curation.detectors.contract import counted_class
from curation.review.actions import ACTIONS, EDITING, Context, verdict_action
from curation.review.annotations import Annotation, Annotations
from curation.review.annotations import several as several_annotations
from curation.review.cards import Card, Member, Neighbour, cards
from curation.review.cases import members_of_cases
from curation.review.findings import Finding
from curation.review.pictures import picture_bytes
from curation.review.proposals import COUNTING
from curation.review.run_index import RunIndex, open_index
from curation.runs import Run
from curation.seen import seen_of_members
from curation.store.schema import class_mark

__all__ = [
    "ACTIONS", "EDITING", "ITEM_COLUMNS", "Annotation", "Annotations", "Card", "Context", "Finding", "Member",
    "Neighbour", "build_items", "cards", "case_id", "changed_labels", "open_index", "picture_bytes", "reviewed_labels",
    "search_labels", "several_annotations", "verdict_action", "with_reviewed",
]  # fmt: skip

ITEM_COLUMNS = [
    "item_id", "kind", "members", "issue", "issues", "priority", "given_label", "suggestion", "split", "path", "score",
]  # fmt: skip
# Paths of a case that its text search goes through.
SEARCHED_PATHS = 40
_TYPES = {name: "float64" if name in ("priority", "score") else "str" for name in ITEM_COLUMNS}
_PRESENT = ("given_label", "split", "path")
# Findings whose suggestion is a label, not an action.
_LABEL_ISSUES = ("label_error", "conflicting_duplicate")


def build_items(run: Run, rows: pd.DataFrame | None = None, known: pd.DataFrame | None = None) -> pd.DataFrame:
    """What there is to decide: one item per cluster of duplicates, one per picture that is in none.

    Every picture is an item, flagged or not, labelled, readable or not: the queue goes on past the flags.

    Parameters
    ----------
    rows : manifest rows of the version under review (curation.manifest.COLUMNS): labels, splits and paths are taken
        from there, and pictures that it excludes or does not have are left out; None = as the run saw the data
    known : decisions so far on which all agree, columns `item_id`, `sample_id`, `verdict` at least (the store's
        `decisions`, in which undone ones are seen by `action_id` and `undoes`). A case that was judged `distinct`, or
        what is left of a larger case that was settled, is a case no more; its pictures become items of their own.

    Returns
    -------
    columns ITEM_COLUMNS, in queue order; priority = -rank of the item's best finding (0 > first ... last); `members`
    JSON text; `issues` the flagged findings, comma-joined, best rank first; `issue` the first of them, or the finding
    with the best rank where none is flagged, "" where nothing was found; `suggestion` a label, "exclude" or "".
    Where pictures have several labels, or boxes, `given_label` is all of them in words, `suggestion` that of the best
    finding, and there are two columns more, `seen` and `classes`, see curation.store.fill.
    """
    index = open_index(run)
    samples = index.samples
    state = _present_state(samples, rows)
    many = several_annotations(run)
    more = _summaries(samples, rows) if many else None
    if more is not None:
        state = replace(state, label=more["labels"].to_numpy(dtype=object))
    found = _best_findings(index, many)
    cases = index.cases if state.is_open.all() else members_of_cases(samples, state.is_open)
    settled = _settled_cases(known)
    if settled:
        ids = samples["sample_id"].to_numpy(dtype=object)
        cases = {key: at for key, at in cases.items() if not _is_settled(ids[at].tolist(), key, settled)}
    single = state.is_open.copy()
    if cases:
        single[np.concatenate(list(cases.values()))] = False
    table = pd.concat(
        [_sample_items(index, np.flatnonzero(single), found, state), _case_items(index, cases, found, state)],
        ignore_index=True,
    )
    # Priorities are unique but for what nothing was found on, and that is in path order already.
    order = np.argsort(-table["priority"].to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)[ITEM_COLUMNS]
    return table if more is None else _with_annotations(index, table, more)


def _summaries(samples: pd.DataFrame, rows: pd.DataFrame | None) -> pd.DataFrame:
    """`labels` and `seen` of every sample of the run, as the version has it; "" where there is none."""
    known = Annotations.of_nothing() if rows is None else Annotations(rows)
    found = known.summaries().reindex(samples["sample_id"])
    return found.fillna("").astype("str").reset_index(drop=True)


def _doubted(issues: pd.DataFrame) -> np.ndarray:
    """(R,) the class that each finding doubts, "" for none; of an odd count the one that was counted."""
    found = issues["given_label"].to_numpy(dtype=object).copy()
    for place in np.flatnonzero((issues["issue"] == COUNTING).to_numpy()).tolist():
        found[place] = counted_class(str(found[place]))
    return found


def _with_annotations(index: RunIndex, table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """With `seen`, and `classes`: of flagged findings, and of the first one where none is."""
    issues, owner = index.issues, index.issue_owner
    first = np.zeros(len(issues), dtype=bool)
    there = np.flatnonzero(owner >= 0)
    first[there[np.unique(owner[there], return_index=True)[1]]] = True
    use = np.flatnonzero((owner >= 0) & (issues["is_issue"].to_numpy() | first))
    marks: dict[int, dict[str, None]] = {}
    are_labels = issues["issue"].map(suggests_label).to_numpy(dtype=bool)[use]
    suggested = issues["suggestion"].to_numpy(dtype=object)[use[are_labels]]
    for which, names in ((use, _doubted(issues.iloc[use])), (use[are_labels], suggested)):
        values = names.tolist()
        for row, value in zip(owner[which].tolist(), values, strict=True):
            if value:
                marks.setdefault(row, {})[class_mark(value)] = None
    classes, seen = [], []
    known = more["seen"].to_numpy(dtype=object)
    own = index.rows(table["item_id"]).tolist()  # all at once: one lookup takes long, a hundred thousand hardly longer
    for row, kind, members in zip(own, table["kind"], table["members"], strict=True):
        alone = kind == "sample"
        names = [] if alone else json.loads(members)
        rows = [row] if alone else index.rows(names).tolist()
        classes.append("".join(dict.fromkeys(mark for at in rows for mark in marks.get(at, ()))))
        if alone:
            seen.append(known[row] if row >= 0 else "")
        else:
            seen.append(
                seen_of_members({n: known[at] for n, at in zip(names, rows, strict=True) if at >= 0 and known[at]})
            )
    return table.assign(seen=pd.Series(seen, dtype="str"), classes=pd.Series(classes, dtype="str"))


@dataclass(frozen=True)
class _State:
    """Every sample of the run as the data set has it now: (N,) arrays of text, and whether it is in it."""

    label: np.ndarray
    split: np.ndarray
    path: np.ndarray
    is_open: np.ndarray


@dataclass(frozen=True)
class _Found:
    """What was found on every sample, (N,) each.

    best : row in `issues` of its best-ranked finding, -1 = none
    names : of its flagged findings, comma-joined, best rank first
    suggestion : a label before an action, "" = none
    """

    best: np.ndarray
    names: np.ndarray
    suggestion: np.ndarray


def _present_state(samples: pd.DataFrame, rows: pd.DataFrame | None) -> _State:
    columns = [samples[name] if name in samples else pd.Series("", samples.index) for name in _PRESENT]
    label, split, path = (column.to_numpy(dtype=object) for column in columns)
    if rows is None:
        return _State(label, split, path, np.ones(len(samples), dtype=bool))
    now = rows.drop_duplicates("sample_id")
    at = pd.Index(now["sample_id"]).get_indexer(samples["sample_id"])
    here = at >= 0
    for values, name in ((label, "label"), (split, "split"), (path, "path")):
        values[here] = now[name].to_numpy(dtype=object)[at[here]]
    return _State(label, split, path, here & (now["status"].to_numpy(dtype=object)[at] != "excluded"))


def _best_findings(index: RunIndex, many: bool = False) -> _Found:
    issues, owner = index.issues, index.issue_owner
    known = np.flatnonzero(owner >= 0)
    best = np.full(len(index.samples), -1, dtype=np.int64)
    best[owner[known][::-1]] = known[::-1]  # issues are in rank order: the first row of a sample is written last
    flagged = known[issues["is_issue"].to_numpy()[known]]
    names = np.full(len(index.samples), "", dtype=object)
    found = pd.DataFrame({"owner": owner[flagged], "issue": issues["issue"].to_numpy(dtype=object)[flagged]})
    found = found.drop_duplicates()
    alone = ~found["owner"].duplicated(keep=False)
    names[found["owner"][alone]] = found["issue"][alone]
    joined = found[~alone].groupby("owner", sort=False)["issue"].agg(",".join)
    names[joined.index.to_numpy()] = joined.to_numpy(dtype=object)
    return _Found(best, names, _suggestions(index, many))


def _suggestions(index: RunIndex, many: bool) -> np.ndarray:
    issues = index.issues
    text = issues["suggestion"].to_numpy(dtype=object)
    useful = np.flatnonzero((text != "") & (index.issue_owner >= 0))
    is_label = issues["issue"].isin(_LABEL_ISSUES).to_numpy()[useful]
    if many:  # the best finding has the word, whatever it is about
        is_label[:] = True
    found = np.full(len(index.samples), "", dtype=object)
    for mine in (useful[~is_label], useful[is_label]):  # labels last, so that they win; best rank last in each group
        found[index.issue_owner[mine][::-1]] = text[mine][::-1]
    return found


def _sample_items(index: RunIndex, rows: np.ndarray, found: _Found, state: _State) -> pd.DataFrame:
    ids = index.samples["sample_id"].to_numpy(dtype=object)[rows]
    best = found.best[rows]
    none = best < 0
    issue = index.issues["issue"].to_numpy(dtype=object)
    score = index.issues["score"].to_numpy(dtype=np.float64)
    rank = index.issues["rank"].to_numpy(dtype=np.float64)
    last = rank.max(initial=0.0) + 1
    return pd.DataFrame(
        {
            "item_id": ids,
            "kind": "sample",
            "members": '["' + ids + '"]' if len(ids) else ids,
            "issue": np.where(none, "", np.append(issue, "")[best]),
            "issues": found.names[rows],
            "priority": -np.where(none, last + rows, np.append(rank, 0.0)[best]),
            "given_label": state.label[rows],
            "suggestion": found.suggestion[rows],
            "split": state.split[rows],
            "path": state.path[rows],
            "score": np.where(none, 1.0, np.append(score, 1.0)[best]),
        }
    ).astype(_TYPES)


def _case_items(index: RunIndex, cases: Mapping[str, np.ndarray], found: _Found, state: _State) -> pd.DataFrame:
    ids = index.samples["sample_id"].to_numpy(dtype=object)
    issue, score = index.issues["issue"].to_numpy(dtype=object), index.issues["score"].to_numpy()
    rank, last = index.issues["rank"].to_numpy(), len(index.issues)
    lines: list[tuple[Any, ...]] = []
    for item_id, members in cases.items():
        place = np.where(found.best[members] >= 0, found.best[members], last)
        lead = int(members[place.argmin()])
        best = int(place.min())
        order = [lead, *(row for row in members.tolist() if row != lead)]
        flagged = dict.fromkeys(name for row in order for name in found.names[row].split(",") if name)
        differ = len({state.label[row] for row in order}) > 1
        # What is suggested for one copy ("exclude") is no advice on the case, unless it is a label.
        suggestion = found.suggestion[lead] if differ or found.suggestion[lead] != "exclude" else ""
        lines.append(
            (
                item_id,
                "duplicates",
                json.dumps(ids[order].tolist()),
                issue[best] if best < last else "",
                ",".join(flagged),
                -float(rank[best]) if best < last else -float(last + 1 + lead),
                state.label[lead],
                suggestion,
                state.split[lead],
                "\n".join(state.path[row] for row in order[:SEARCHED_PATHS]),
                float(score[best]) if best < last else 1.0,
            )
        )
    return pd.DataFrame(lines, columns=ITEM_COLUMNS).astype(_TYPES)


@dataclass(frozen=True)
class _Settled:
    """A case that was decided: its members at that time, and whether they were judged to be different pictures."""

    item_id: str
    members: frozenset[str]
    distinct: bool


def _settled_cases(known: pd.DataFrame | None) -> dict[str, list[_Settled]]:
    """The decided cases that each sample was a member of."""
    if known is None or not len(known):
        return {}
    rows = known[known["item_id"].str.startswith("d") & ~known["verdict"].isin(["unsure", UNDO])]
    if "undoes" in known and "action_id" in known:
        rows = rows[~rows["action_id"].isin(known["undoes"])]
    by_sample: dict[str, list[_Settled]] = {}
    for item_id, group in rows.groupby("item_id", sort=False):
        case = _Settled(str(item_id), frozenset(group["sample_id"]), bool((group["verdict"] == "distinct").all()))
        for sample_id in case.members:
            by_sample.setdefault(sample_id, []).append(case)
    return by_sample


def _is_settled(ids: list[str], item_id: str, settled: Mapping[str, list[_Settled]]) -> bool:
    """Whether a case is none any more: judged distinct, or all that is left of another case that was decided."""
    others = settled.get(ids[0], [])
    return any(case.members.issuperset(ids) and (case.distinct or case.item_id != item_id) for case in others)


def changed_labels(run: Run, rows: pd.DataFrame) -> dict[str, str]:
    """Present label by sample_id where the manifest `rows` differ from what the run saw: the `labels` of `cards`.

    None where pictures have several labels: those are looked up in the rows themselves (review.Annotations).
    """
    if several_annotations(run):
        return {}
    index = open_index(run)
    now = rows.drop_duplicates("sample_id")
    at = index.rows(now["sample_id"])
    old = np.full(len(now), "", dtype=object)
    if "given_label" in index.samples:
        old[at >= 0] = index.samples["given_label"].to_numpy(dtype=object)[at[at >= 0]]
    new = now["label"].to_numpy(dtype=object)
    differs = (at >= 0) & (old != new)
    return dict(zip(now["sample_id"].to_numpy(dtype=object)[differs], new[differs], strict=True))


def reviewed_labels(decided: pd.DataFrame) -> dict[str, str]:
    """Label by sample_id as reviewers see it now.

    decided : the store's `effective` table; of several reviewers, the later row counts. Labels that were kept are not
        listed, nor samples that were excluded or left undecided; of several labels the first.
    """
    found: dict[str, str] = {}
    for sample_id, verdict, labels in zip(decided["sample_id"], decided["verdict"], decided["labels"], strict=True):
        names = json.loads(labels) if isinstance(labels, str) else list(labels)
        if verdict in ("relabel", "ambiguous") and names:
            found[str(sample_id)] = str(names[0])
        else:
            found.pop(str(sample_id), None)
    return found


def with_reviewed(found: Sequence[Card], decided: pd.DataFrame) -> list[Card]:
    """The cards with their neighbours' labels as reviewers see them now; decided : the store's `effective` table."""
    labels = reviewed_labels(decided)
    return [
        replace(card, neighbours=tuple(replace(n, label=labels.get(n.sample_id, n.label)) for n in card.neighbours))
        for card in found
    ]


def search_labels(names: Sequence[str], text: str, limit: int = 8) -> list[str]:
    """Class names for what was typed so far: those that begin with it, then a word does, then any part of one.

    Capitals and accents do not count. Equal matches keep the order of `names`; nothing typed gives the first `limit`.
    """
    wanted = _folded(text).strip()
    if not wanted:
        return list(names[:limit])
    begins: list[str] = []
    word_begins: list[str] = []
    contains: list[str] = []
    for name, (folded, words) in zip(names, _folded_names(tuple(names)), strict=True):
        if wanted not in folded:
            continue
        if folded.startswith(wanted):
            begins.append(name)
        elif " " + wanted in words:
            word_begins.append(name)
        else:
            contains.append(name)
    begins.sort(key=lambda name: _folded(name) != wanted)  # the very name first
    return [*begins, *word_begins, *contains][:limit]


@lru_cache(maxsize=8)
def _folded_names(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each name without capitals and accents, and the same with every sign that parts words as a blank."""
    folded = [_folded(name) for name in names]
    return [(text, "".join(char if char.isalnum() else " " for char in text)) for text in folded]


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
