"""Review of a run: what there is to decide, in which order; and the door to what a view needs about an item.

build_items --> the store's queue;   cards, picture_bytes --> the screen;   verdict_action --> the store's decisions
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from curation.actions import ACTIONS, Context, verdict_action
from curation.cards import Card, Member, Neighbour, cards
from curation.cases import members_of_cases
from curation.decisions import UNDO, case_id
from curation.pictures import picture_bytes
from curation.run_index import RunIndex, open_index
from curation.runs import Run

__all__ = [
    "ACTIONS", "ITEM_COLUMNS", "Card", "Context", "Member", "Neighbour", "build_items", "cards", "case_id",
    "changed_labels", "open_index", "picture_bytes", "reviewed_labels", "search_labels", "verdict_action",
]  # fmt: skip

ITEM_COLUMNS = [
    "item_id", "kind", "members", "issue", "issues", "priority", "given_label", "suggestion", "split", "path", "score",
]  # fmt: skip
# Paths of a case that its text search goes through.
SEARCHED_PATHS = 40
# Findings whose suggestion is a label, not an action.
_LABEL_ISSUES = ("label_error", "conflicting_duplicate")


def build_items(run: Run, rows: pd.DataFrame | None = None, known: pd.DataFrame | None = None) -> pd.DataFrame:
    """What there is to decide: one item per cluster of duplicates, one per picture that is in none.

    Every picture is an item, flagged or not, labelled, readable or not: the queue goes on past the flags.

    Parameters
    ----------
    rows : manifest rows of the version under review (curation.manifest.COLUMNS): labels, splits and paths are taken
        from there, and pictures that it excludes or does not have are left out; None = as the run saw the data
    known : decisions so far, columns `item_id`, `sample_id`, `verdict` at least (the store's `effective` or
        `decisions`; of these, undone ones are seen by `action_id` and `undoes`). A case that was judged `distinct`, or
        what is left of a larger case that was settled, is a case no more; its pictures become items of their own.

    Returns
    -------
    columns ITEM_COLUMNS, in queue order; priority = -rank of the item's best finding (0 > first ... last); `members`
    JSON text; `issues` the flagged findings, comma-joined, best rank first; `issue` the first of them, or the finding
    with the best rank where none is flagged, "" where nothing was found; `suggestion` a label, "exclude" or "".
    """
    index = open_index(run)
    samples = index.samples
    state = _present_state(samples, rows)
    best, names = _best_findings(index)
    cases = {
        item_id: members
        for item_id, members in members_of_cases(samples, state["open"].to_numpy()).items()
        if not _is_settled(samples, item_id, members, _settled_cases(known))
    }
    in_case = np.zeros(len(samples), dtype=bool)
    for members in cases.values():
        in_case[members] = True
    single = np.flatnonzero(state["open"].to_numpy() & ~in_case)
    table = pd.concat(
        [_sample_items(index, single, best, names, state), _case_items(index, cases, best, names, state)],
        ignore_index=True,
    )
    order = table.sort_values(["priority", "path", "item_id"], ascending=[False, True, True], kind="stable").index
    return table.iloc[order].reset_index(drop=True)[ITEM_COLUMNS]


def _present_state(samples: pd.DataFrame, rows: pd.DataFrame | None) -> pd.DataFrame:
    """Label, split and path of every sample of the run as the data set has them now; `open`: whether it is in it."""
    state = pd.DataFrame(
        {
            "label": samples.get("given_label", ""),
            "split": samples["split"],
            "path": samples["path"],
            "open": True,
        }
    ).astype({"label": "str", "split": "str", "path": "str"})
    if rows is None:
        return state
    now = rows.drop_duplicates("sample_id")
    at = pd.Index(now["sample_id"]).get_indexer(samples["sample_id"])
    here = at >= 0
    for name in ("label", "split", "path"):
        values = state[name].to_numpy(dtype=object)
        values[here] = now[name].to_numpy(dtype=object)[at[here]]
        state[name] = pd.Series(values, dtype="str")
    state["open"] = here & (now["status"].to_numpy(dtype=object)[at] != "excluded")
    return state


def _best_findings(index: RunIndex) -> tuple[np.ndarray, np.ndarray]:
    """For each sample: the row in `issues` of its best-ranked finding, -1 = none; names of the flagged ones, joined."""
    issues = index.issues
    owner = index.rows(issues["sample_id"])
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
    return best, names


def _sample_items(
    index: RunIndex, rows: np.ndarray, best: np.ndarray, names: np.ndarray, state: pd.DataFrame
) -> pd.DataFrame:
    issues, at = index.issues, best[rows]
    found = at >= 0
    ids = index.samples["sample_id"].to_numpy(dtype=object)[rows]
    of = {name: issues[name].to_numpy()[at] for name in ("issue", "score", "rank")} if len(issues) else {}
    suggested = _suggestions(index)[rows]
    # Nothing was found on these: after everything else.
    rank = np.where(found, of["rank"], len(issues) + 1 + rows) if of else 1 + rows
    return pd.DataFrame(
        {
            "item_id": ids,
            "kind": "sample",
            "members": '["' + ids.astype(object) + '"]',
            "issue": np.where(found, of["issue"].astype(object), "") if of else "",
            "issues": names[rows],
            "priority": -rank.astype(np.float64),
            "given_label": state["label"].to_numpy(dtype=object)[rows],
            "suggestion": suggested,
            "split": state["split"].to_numpy(dtype=object)[rows],
            "path": state["path"].to_numpy(dtype=object)[rows],
            "score": np.where(found, of["score"], 1.0) if of else 1.0,
        }
    ).astype({name: "str" for name in ITEM_COLUMNS if name not in ("priority", "score")})


def _suggestions(index: RunIndex) -> np.ndarray:
    """(N,) what the findings suggest for each sample: a label before an action, "" where nothing is suggested."""
    issues = index.issues
    useful = np.flatnonzero((issues["suggestion"] != "").to_numpy())
    is_label = issues["issue"].isin(_LABEL_ISSUES).to_numpy()[useful]
    owner = index.rows(issues["sample_id"].iloc[useful])
    found = np.full(len(index.samples), "", dtype=object)
    text = issues["suggestion"].to_numpy(dtype=object)[useful]
    for group in (~is_label, is_label):  # labels last, so that they win; within a group the best rank is written last
        mine = group & (owner >= 0)
        found[owner[mine][::-1]] = text[mine][::-1]
    return found


def _case_items(
    index: RunIndex, cases: Mapping[str, np.ndarray], best: np.ndarray, names: np.ndarray, state: pd.DataFrame
) -> pd.DataFrame:
    ids = index.samples["sample_id"].to_numpy(dtype=object)
    issue_names, score = index.issues["issue"].to_numpy(dtype=object), index.issues["score"].to_numpy()
    favoured = _suggestions(index)
    lines: list[dict[str, Any]] = []
    for item_id, members in cases.items():
        rank = np.where(best[members] >= 0, best[members], len(issue_names))
        lead = int(members[rank.argmin()])
        order = [lead, *(int(m) for m in members if m != lead)]
        flagged = dict.fromkeys(name for m in order for name in str(names[m]).split(",") if name)
        labels = {str(state["label"].iat[m]) for m in order}
        found = best[lead] >= 0
        lines.append(
            {
                "item_id": item_id,
                "kind": "duplicates",
                "members": json.dumps(ids[order].tolist()),
                "issue": issue_names[best[lead]] if found else "",
                "issues": ",".join(flagged),
                "priority": -float(rank.min() + 1),
                "given_label": str(state["label"].iat[lead]),
                "suggestion": favoured[lead] if len(labels) > 1 or favoured[lead] != "exclude" else "",
                "split": str(state["split"].iat[lead]),
                "path": "\n".join(str(state["path"].iat[m]) for m in order[:SEARCHED_PATHS]),
                "score": float(score[best[lead]]) if found else 1.0,
            }
        )
    table = pd.DataFrame(lines, columns=ITEM_COLUMNS)
    types = {name: "float64" if name in ("priority", "score") else "str" for name in ITEM_COLUMNS}
    return table.astype(types)


def _settled_cases(known: pd.DataFrame | None) -> dict[str, tuple[frozenset[str], bool]]:
    """Case id -> the samples that were decided with it, and whether they were judged distinct."""
    if known is None or not len(known):
        return {}
    rows = known[known["item_id"].str.startswith("d") & ~known["verdict"].isin(["unsure", UNDO])]
    if "undoes" in known and "action_id" in known:
        rows = rows[~rows["action_id"].isin(known["undoes"])]
    if "state" in known:  # a second opinion is still to come
        rows = rows[rows["state"] == "done"]
    return {
        str(item_id): (frozenset(group["sample_id"]), bool((group["verdict"] == "distinct").all()))
        for item_id, group in rows.groupby("item_id", sort=False)
    }


def _is_settled(
    samples: pd.DataFrame, item_id: str, members: np.ndarray, settled: Mapping[str, tuple[frozenset[str], bool]]
) -> bool:
    """Whether a case is none any more: judged distinct, or all that is left of another case that was decided."""
    if not settled:
        return False
    ids = set(samples["sample_id"].iloc[members])
    return any(ids <= decided and (distinct or other != item_id) for other, (decided, distinct) in settled.items())


def changed_labels(run: Run, rows: pd.DataFrame) -> dict[str, str]:
    """Present label by sample_id where the manifest `rows` differ from what the run saw: the `labels` of `cards`."""
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
    """Label by sample_id as reviewers see it now: the `reviewed` of `cards`.

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
