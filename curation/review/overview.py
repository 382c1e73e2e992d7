"""What the verdicts say so far: by detector, by pair of classes, by reviewer; tables for the overview page."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from curation.decisions import CHANGES

UNDECIDED = ("unsure",)
Z95 = 1.959964
PAUSE_SECONDS = 120.0  # more on one item is a pause, not work
RUNNING = 25  # verdicts that a running precision looks back on


def by_detector(verdicts: pd.DataFrame) -> pd.DataFrame:
    """How often each detector's findings led to a change.

    Parameters
    ----------
    verdicts : curation.store.verdicts; an item with several findings counts for each of them, its agreed or latest
        verdict once

    Returns
    -------
    issue, decided, changed, precision in [0, 1], low and high (95 % Wilson interval); the most decided first.
    """
    rows = _by_issue(_settled(verdicts))
    found = rows.groupby("issue", sort=False)["changed"].agg(["size", "sum"]).reset_index()
    found.columns = pd.Index(["issue", "decided", "changed"])
    low, high = wilson(found["changed"].to_numpy(), found["decided"].to_numpy())
    found = found.assign(precision=found["changed"] / found["decided"].clip(lower=1), low=low, high=high)
    return found.sort_values("decided", ascending=False, kind="stable").reset_index(drop=True)


def verdict_counts(verdicts: pd.DataFrame) -> pd.DataFrame:
    """issue, verdict, items: how the items of each detector were decided."""
    rows = _by_issue(_settled(verdicts))
    counts = rows.groupby(["issue", "verdict"], sort=False).size().reset_index(name="items")
    return counts.sort_values("items", ascending=False, kind="stable").reset_index(drop=True)


def running_precision(verdicts: pd.DataFrame, window: int = RUNNING) -> pd.DataFrame:
    """issue, decided (1, 2 ...), precision: the share of changes among the last `window` verdicts on each detector."""
    rows = _by_issue(_settled(verdicts))
    found = rows.groupby("issue", sort=False)["changed"]
    precision = found.transform(lambda changed: changed.astype(float).rolling(window, min_periods=1).mean())
    return pd.DataFrame({"issue": rows["issue"], "decided": found.cumcount() + 1, "precision": precision})


def confusion_pairs(verdicts: pd.DataFrame, most: int = 15) -> pd.DataFrame:
    """given, now, items: which labels were corrected to which, the most frequent first."""
    rows = _settled(verdicts)
    rows = rows[rows["verdict"] == "relabel"]
    now = [next(iter(json.loads(labels)), "") for labels in rows["labels"]]
    table = pd.DataFrame({"given": rows["given_label"].to_numpy(dtype=object), "now": now})
    table = table[table["now"] != ""]
    counts = table.groupby(["given", "now"], sort=False).size().reset_index(name="items")
    return counts.sort_values("items", ascending=False, kind="stable").head(most).reset_index(drop=True)


def progress_over_time(verdicts: pd.DataFrame) -> pd.DataFrame:
    """decided (1, 2 ...) and changed: how many of the first so many items led to a change."""
    rows = _settled(verdicts)
    return pd.DataFrame({"decided": np.arange(1, len(rows) + 1), "changed": rows["changed"].cumsum().to_numpy()})


def reviewers(verdicts: pd.DataFrame) -> pd.DataFrame:
    """reviewer, items, seconds (median), per_hour (by the mean, pauses cut), changed and unsure (shares in [0, 1]).

    seconds and per_hour are NaN where no time was taken: on the command line.
    """
    own = verdicts[verdicts["decided_as"] == verdicts["item_id"]]
    given = own.assign(
        changed=own["verdict"].isin(CHANGES),
        unsure=own["verdict"].isin(UNDECIDED),
        seconds=own["seconds"].clip(upper=PAUSE_SECONDS).where(own["seconds"] > 0),
    )
    by = given.groupby("reviewer", sort=True)
    found = by.agg(
        items=("item_id", "size"), seconds=("seconds", "median"), changed=("changed", "mean"), unsure=("unsure", "mean")
    ).reset_index()
    found.insert(3, "per_hour", 3600 / by["seconds"].mean().clip(lower=0.1).to_numpy())
    return found


def expected_left(
    odds: np.ndarray, ids: np.ndarray, verdicts: pd.DataFrame, flagged: Mapping[str, bool]
) -> dict[str, float]:
    """How many open items would lead to a change if they were looked at, as the verdicts so far suggest.

    Parameters
    ----------
    odds : (M,) log-odds that reviewing an item changes something (curation.review.learning.calibrated)
    ids : (M,) item ids
    flagged : item id -> whether a detector flagged it

    Returns
    -------
    `flagged` and `others`: expected changes among open items that were flagged, and that were not. A simple sum of
    probabilities; an estimate with an interval needs a random sample of the unflagged ones.
    """
    decided = set(verdicts.loc[~verdicts["verdict"].isin(UNDECIDED), "item_id"])
    chance = 1 / (1 + np.exp(-np.asarray(odds, dtype=np.float64)))
    left = {"flagged": 0.0, "others": 0.0}
    for item_id, value in zip(ids.tolist(), chance.tolist(), strict=True):
        if item_id not in decided:
            left["flagged" if flagged.get(item_id) else "others"] += value
    return left


def wilson(hits: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % Wilson interval of shares: (low, high), each (n,) in [0, 1]; (0, 1) where nothing was counted.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    total = np.asarray(total, dtype=np.float64)
    safe = np.maximum(total, 1)
    share = np.asarray(hits, dtype=np.float64) / safe
    centre = (share + Z95**2 / (2 * safe)) / (1 + Z95**2 / safe)
    half = Z95 / (1 + Z95**2 / safe) * np.sqrt(share * (1 - share) / safe + Z95**2 / (4 * safe**2))
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    return np.where(total > 0, low, 0.0), np.where(total > 0, high, 1.0)


def _settled(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per decided item, the opinion that holds or else the latest, in the order in which they were given.

    What a settled case says of a member that is an item of its own by now is no second look at it, and is left out.
    """
    rows = verdicts[~verdicts["verdict"].isin(UNDECIDED) & (verdicts["decided_as"] == verdicts["item_id"])]
    rows = rows.sort_values(["holds", "decision_id"], kind="stable").drop_duplicates("item_id", keep="last")
    rows = rows.sort_values("decision_id", kind="stable").reset_index(drop=True)
    return rows.assign(changed=rows["verdict"].isin(CHANGES))


def _by_issue(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per finding of each item; items that nothing flagged stand for `not flagged`."""
    names = rows["issues"].where(rows["issues"] != "", "not flagged").str.split(",")
    return rows.assign(issue=names).explode("issue").reset_index(drop=True)
