"""The audit: labels drawn at random, mixed into the queue, unmarked; and what it says of all the labels of a run.

Where pictures have several labels, or boxes, pictures are drawn (curation.review.audit_pictures).

    draw --> the store's draws;   mix_in --> their places in the queue;   estimate_of --> how many labels are wrong

A draw waits in the queue until it is its turn; only a few at a time do, and what was decided before them is noted: the
proof that the interval holds asks that nothing but the draw decides when a label comes up (curation.confidence). One
that is a suspect, too, stays where it is as a suspect if that is sooner.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from curation.confidence import draw_order
from curation.decisions import lot
from curation.errors import SettingsError
from curation.estimate import CLASS_DRAWS, DESIGN, NEVER, Estimate, Evidence, audit_weights, estimate
from curation.estimate_pictures import ClassEvidence, PictureEvidence, estimate_pictures, most_counted
from curation.review.annotations import Annotations, several
from curation.review.audit_pictures import Doubts, annotations_of, doubts_of, judged_pictures, labelled_pictures
from curation.review.run_index import RunIndex, open_index
from curation.runs import Run, find_run
from curation.store import decisions, effective, find_items, set_priorities
from curation.store.audits import WAITING_PART, Audit, add_draws, find_audit, listed, read_draws, release_draws

AHEAD = 6  # draws that wait in the queue at a time
EVERY = 3  # one of so many items is of the audit
UNDECIDED = ("unsure", "distinct", "undo")


# --- the labels of a run ---------------------------------------------------------------------------------------------


def labels_of(run: Run) -> pd.DataFrame:
    """The labels that are counted, in the run's order, which never changes: every readable picture that has one. Where
    pictures have several, or boxes: the pictures, see `labelled_pictures`.

    Columns
    -------
    sample_id, given_label ("" of several), item_id (its case of duplicates, or its own), wrong_prob in [0, 1]; without
    a model's word, that of the mean label

    Raises
    ------
    SettingsError : the run has no labels. NotFoundError, WorkspaceError : the version that it saw cannot be read.
    """
    if several(run):
        return _pictures_of(run)[0]
    index = open_index(run)
    samples = index.samples
    if "given_label" not in samples:
        raise SettingsError(f"The run {run.run_id} has no labels, so none can be wrong.")
    rows = np.flatnonzero(((samples["given_label"] != "") & (samples["status"] == "ok")).to_numpy())
    return _table(index, rows, _wrong_prob(index)[rows], samples["given_label"].to_numpy(dtype=object)[rows])


def _pictures_of(run: Run) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, Doubts]:
    """What `labels_of` gives of pictures, their row numbers, all annotations, and what the run thinks of them."""
    index, annotations = open_index(run), annotations_of(run)
    rows = labelled_pictures(index.samples, annotations)
    doubts = doubts_of(index, annotations)
    return _table(index, rows, doubts.wrong_prob(rows), ""), rows, annotations, doubts


def _table(index: RunIndex, rows: np.ndarray, prob: np.ndarray, given: Any) -> pd.DataFrame:
    ids = index.samples["sample_id"].to_numpy(dtype=object)
    item_ids = ids.copy()
    for case, members in index.cases.items():
        item_ids[members] = case
    return pd.DataFrame({"sample_id": ids[rows], "given_label": given, "item_id": item_ids[rows], "wrong_prob": prob})


def _wrong_prob(index: RunIndex) -> np.ndarray:
    found = (index.issues["issue"] == "label_error").to_numpy() & (index.issue_owner >= 0)
    prob = np.full(len(index.samples), np.nan)
    prob[index.issue_owner[found]] = 1 - index.issues["score"].to_numpy(dtype=np.float64)[found]
    missing = np.isnan(prob)
    prob[missing] = prob[~missing].mean() if not missing.all() else 0.05
    return np.clip(prob, 0.0, 1.0)


# --- drawing and mixing ----------------------------------------------------------------------------------------------


def draw(engine: Engine, run: Run, count: int, every: int = EVERY, seed: int | None = None) -> tuple[Audit, int]:
    """Draw `count` more labels for the audit of a run; more of the same order, however often this is asked for.

    Parameters
    ----------
    every : one of so many items in the queue is to be of the audit
    seed : of the order, when the first ones are drawn; None = nobody knows

    Returns
    -------
    the audit, and how many draws it has now

    Raises
    ------
    SettingsError : the audit has another seed, or is of a design that this version does not know; nothing to draw from.
    """
    dataset = str(run.info["dataset"])
    labels = labels_of(run)
    known = find_audit(engine, dataset, run.run_id)
    if known is not None and seed not in (None, known.seed):
        raise SettingsError(f"The audit of {run.run_id} was begun with another seed; go on with it, without --seed.")
    if not len(labels):
        raise SettingsError(f"The run {run.run_id} has no label that could be audited.")
    chosen = secrets.randbits(48) if seed is None else seed
    audit = Audit(dataset, run.run_id, known.seed if known else chosen, known.design if known else DESIGN, every)
    _check_design(audit)
    done = len(read_draws(engine, audit)) if known else 0
    order = draw_order(audit_weights(labels["wrong_prob"].to_numpy()), audit.seed)[done : done + count]
    drawn = labels.iloc[order]
    return audit, add_draws(engine, audit, done, list(zip(drawn["sample_id"], drawn["item_id"], strict=True)))


def _check_design(audit: Audit) -> None:
    if audit.design != DESIGN:
        raise SettingsError(
            f"The audit of {audit.run_id} was drawn by a newer version of curate (design {audit.design}). "
            "Update curate."
        )


def mix_in(engine: Engine, dataset: str) -> int:
    """Give the next draws their places among the suspects; how many items changed theirs.

    Called after whatever put the queue in order; a second call changes nothing. Where there is no audit, nothing is.

    Raises
    ------
    WorkspaceError : the store cannot be read or written.
    """
    if find_audit(engine, dataset) is None:  # the usual case, for which nothing has to be written
        return 0
    found = release_draws(engine, dataset, AHEAD)
    if found is None or not found[1]:
        return 0
    audit, waiting = found
    slots = {item_id: slot_of(audit, number, place) for place, (number, item_id) in enumerate(waiting)}
    head = find_items(engine, dataset, count=len(waiting) * (audit.every + 1) + 1)
    now = [item.item_id for item in head]
    wanted = interleave(now, slots)
    last = max(wanted.index(item_id) for item_id in slots)
    if wanted[: last + 1] == now[: last + 1]:
        return 0
    beyond = [item.priority for item in head if item.item_id not in wanted[: last + 1]]
    base = float(np.ceil(max([0.0, *beyond])))
    before = {item.item_id: item.priority for item in head}
    places = {item_id: base + last + 1 - place for place, item_id in enumerate(wanted[: last + 1])}
    return set_priorities(engine, dataset, {name: at for name, at in places.items() if before.get(name) != at})


def slot_of(audit: Audit, number: int, place: int) -> int:
    """Where in the queue the draw that is in this place among the waiting ones has to be: not where one could tell."""
    return place * audit.every + int(lot("audit", audit.seed, str(number)) * audit.every)


def interleave(now: Sequence[str], slots: Mapping[str, int]) -> list[str]:
    """`now` with every item of `slots` in its slot, or where it is if that is sooner."""
    place = {item_id: at for at, item_id in enumerate(now)}
    coming = sorted((min(slot, place.get(item_id, slot)), slot, item_id) for item_id, slot in slots.items())
    others = [item_id for item_id in now if item_id not in slots]
    order: list[str] = []
    while coming or others:
        if coming and (coming[0][0] <= len(order) or not others):
            order.append(coming.pop(0)[2])
        else:
            order.append(others.pop(0))
    return order


# --- what it says ----------------------------------------------------------------------------------------------------


def estimate_of(engine: Engine, run: Run) -> Estimate:
    """How many labels (or pictures with several) of a run were wrong, how many were fixed, and how many are left."""
    return estimate_pictures(picture_evidence_of(engine, run)) if several(run) else estimate(evidence_of(engine, run))


def evidence_of(engine: Engine, run: Run) -> Evidence:
    """What the store knows of the labels that a run saw.

    Raises
    ------
    SettingsError : the run has no labels, or its audit is of a newer design.
    """
    labels = labels_of(run)
    given = dict(zip(labels["sample_id"], labels["given_label"], strict=True))
    said = _said(engine, run, labels)
    codes, classes = pd.factorize(labels["given_label"])
    return _evidence(engine, run, labels, judged(said, given), codes.astype(np.int64), tuple(map(str, classes)))


def picture_evidence_of(engine: Engine, run: Run) -> PictureEvidence:
    """What the store knows of the pictures that a run saw, each with several labels, or boxes.

    Raises
    ------
    SettingsError : the run has no labels, or its audit is of a newer design.
    """
    labels, rows, annotations, doubts = _pictures_of(run)
    verdicts = judged_pictures(_said(engine, run, labels), Annotations(annotations))
    none = np.full(len(labels), -1, dtype=np.int64)
    wrong = {name: None if verdict is None else verdict.wrong for name, verdict in verdicts.items()}
    pictures = _evidence(engine, run, labels, wrong, none, ())
    at = pd.Index(labels["sample_id"])
    errors = np.zeros(len(labels))
    of_class: dict[str, list[int]] = {}
    for name, verdict in verdicts.items():
        if verdict is not None:
            row = int(at.get_loc(name))
            errors[row] = len(verdict.errors)
            for label in verdict.classes:
                of_class.setdefault(label, []).append(row)
    there = annotations[annotations["annotation_id"] != ""]
    owner = at.get_indexer(there["sample_id"])
    codes, names = pd.factorize(there["label"])
    classes = []
    for number, name in sorted(enumerate(map(str, names)), key=lambda pair: pair[1]):
        has, is_wrong = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
        has[owner[(codes == number) & (owner >= 0)]] = True
        is_wrong[of_class.get(name, [])] = True
        if (has | is_wrong)[pictures.draws].sum() >= CLASS_DRAWS:
            classes.append(ClassEvidence(name, doubts.wrong_prob(rows, name), is_wrong, has))
    return PictureEvidence(
        pictures=pictures,
        expected=doubts.expected(rows),
        found=errors,
        bound=most_counted(pd.Series(np.bincount(owner[owner >= 0], minlength=len(labels)))),
        classes=tuple(classes),
    )


def _said(engine: Engine, run: Run, labels: pd.DataFrame) -> pd.DataFrame:
    """What reviewers say of these pictures at present: rows of the store's `effective`."""
    said = effective(engine, str(run.info["dataset"]))
    return said[said["sample_id"].isin(labels["sample_id"])]


def _evidence(
    engine: Engine, run: Run, labels: pd.DataFrame, verdicts: Mapping[str, bool | None], given: np.ndarray,
    classes: tuple[str, ...],
) -> Evidence:  # fmt: skip
    """`labels` as `labels_of` gives them, with what was decided and drawn."""
    dataset = str(run.info["dataset"])
    prob = labels["wrong_prob"].to_numpy(dtype=np.float64)
    row = pd.Index(labels["sample_id"])
    least, most = np.zeros(len(labels)), np.ones(len(labels))
    answered = np.zeros(len(labels), dtype=bool)
    for sample_id, wrong in verdicts.items():
        at = row.get_loc(sample_id)
        answered[at] = True
        if wrong is not None:
            least[at] = most[at] = float(wrong)
    since = np.full(len(labels), NEVER)
    made = decisions(engine, dataset)
    made = made[~made["verdict"].isin(UNDECIDED) & made["sample_id"].isin(row)]
    made = made[~made["seen"].str.contains(WAITING_PART, regex=False)]
    first = made.groupby("sample_id")["decision_id"].min()
    since[row.get_indexer(first.index)] = first.to_numpy()
    draws, released = _released(engine, dataset, run, row, answered)
    return Evidence(
        wrong_prob=prob,
        weight=audit_weights(prob),
        least=least,
        most=most,
        since=since,
        answered=answered,
        draws=draws,
        released=released,
        given=given,
        classes=classes,
    )


def _released(
    engine: Engine, dataset: str, run: Run, row: pd.Index, answered: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draws that were handed out, and when; those that are in the data set no more count as answered."""
    audit = find_audit(engine, dataset, run.run_id)
    if audit is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    _check_design(audit)
    table = read_draws(engine, audit)
    table = table[table["released"] >= 0]
    rows = row.get_indexer(table["sample_id"])
    names = table[["sample_id", "item_id"]]
    there = listed(engine, dataset, sorted({*names["sample_id"], *names["item_id"]}))
    answered[rows[~names.isin(list(there)).any(axis=1).to_numpy()]] = True
    return rows, table["released"].to_numpy(dtype=np.int64)


def judged(said: pd.DataFrame, given: Mapping[str, str]) -> dict[str, bool | None]:
    """Whether the label that each sample had at the start is wrong, as reviewers have it; None = not settled.

    Parameters
    ----------
    said : the store's `effective`
    given : label at the start, by sample id

    A label is wrong if another one is right, or none (off-topic); not if several are and it is one of them. Of a copy
    that is dropped because there is another, it is wrong if what is kept has another label. Pictures that are broken
    do not tell, and count as right. Reviewers who disagree, or are not sure, settle nothing.
    """
    kept = _kept_labels(said)
    found: dict[str, bool | None] = {}
    sure: set[str] = set()
    for line in said.itertuples():
        sample_id = str(line.sample_id)
        if line.verdict == "distinct" or sample_id in sure:
            continue
        if line.verdict == "unsure" or line.state == "disagreement":
            found.setdefault(sample_id, None)
            continue
        found[sample_id] = _is_wrong(line, given[sample_id], kept)
        if line.holds:
            sure.add(sample_id)
    return found


def _kept_labels(said: pd.DataFrame) -> dict[str, set[str]]:
    """The labels that each action kept or gave, by action id."""
    kept: dict[str, set[str]] = {}
    for line in said[said["verdict"].isin(["keep", "hard", "relabel"])].itertuples():
        kept.setdefault(str(line.action_id), set()).add(_labels(line)[0] if _labels(line) else str(line.given_label))
    return kept


def _is_wrong(line: Any, start: str, kept: Mapping[str, Collection[str]]) -> bool:
    labels = _labels(line)
    if line.verdict == "exclude":
        others = kept.get(str(line.action_id), ())
        return line.reason == "off-topic" or (line.reason == "duplicate" and bool(others) and start not in others)
    if labels:
        return start not in labels
    return bool(line.given_label) and line.given_label != start


def _labels(line: Any) -> list[str]:
    return list(json.loads(line.labels)) if isinstance(line.labels, str) else list(line.labels)


def audited_run(engine: Engine, latest: Run, workspace: Path) -> Run:
    """The run of the data set that was audited last, if it is still there; else the latest."""
    audit = find_audit(engine, str(latest.info["dataset"]))
    found = find_run(workspace, audit.run_id) if audit else None
    return found or latest
