"""What is believed of pictures with several labels, or boxes: their run, what was published since, the verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from curation import manifest
from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.manifest.changes import BOX
from curation.manifest.history import class_list, task_of
from curation.manifest.version_files import MAIN, head
from curation.records import ANNOTATION_COLUMNS, Records, empty_samples
from curation.rehearsing.belief import MIN_LABELS, RATES, THE_RUN, newest_run
from curation.rehearsing.planting import Belief
from curation.rehearsing.planting_boxes import DOUBLED, DROPPED, SHIFTED, SWAPPED, BoxBelief, plant_boxes
from curation.rehearsing.planting_sets import SetBelief, plant_sets
from curation.review.annotations import Annotations
from curation.review.audit import estimate_of
from curation.review.audit_pictures import annotations_of, judged_pictures, labelled_pictures
from curation.runs import Run
from curation.scoring.label_sets import label_sets
from curation.scoring.set_quality import judge_sets
from curation.status import source_root
from curation.store import effective
from curation.training.label_sets import known_sets
from curation.wording import counted

# How far the run's own number of errors may be off: on small sets it finds a quarter of them (docs/benchmarks.md).
OFF = (0.5, 4.0)
ARRAYS = {"multi-label": "pred_probs", "detection": "box_pred_probs"}
# Annotations with errors (ANNOTATION_COLUMNS), and how many of each kind there are in each picture, (N,) float64.
Copy = tuple[pd.DataFrame, dict[str, np.ndarray]]


@dataclass(frozen=True)
class PictureBasis:
    """N pictures and what is believed of them.

    records : the pictures and their annotations as the newest version has them
    labels : how many labels or boxes they have
    rate : errors per label that are believed in; rate_range, rate_from : as in belief.Basis
    plant : (number of errors, seed, sureness) -> a copy
    reviewed : how many of the pictures were judged and need no correction any more
    notes : sentences that belong to the result
    """

    run: Run
    task: str
    records: Records
    labels: int
    rate: float
    rate_range: tuple[float, float]
    rate_from: str
    plant: Callable[[int, int, float], Copy]
    reviewed: int
    notes: list[str]


def believe_pictures(
    workspace: Path, dataset: Dataset, engine: Engine | None, rate: float | None, predicted: bool
) -> PictureBasis:
    """Read all that is known; `rate`, where it is given, is believed instead of the estimate.

    predicted : whether a detector's predictions will be compared with, so that it makes sense to drop and shift boxes

    Raises
    ------
    NotFoundError : nothing has scored the data set.
    SettingsError : it has another task, no run has a model, or there are too few pictures.
    """
    version = str(head(dataset.folder, MAIN))
    task = task_of(dataset.folder, version)
    if task not in ARRAYS:
        raise SettingsError(f"A rehearsal plants errors in labels or boxes; {dataset.name} is of the task {task}.")
    run = newest_run(workspace, dataset, ARRAYS[task])
    before, rows = annotations_of(run), manifest.read(dataset.folder, version)
    rows = rows[rows["status"] != manifest.EXCLUDED]
    samples, notes = _pictures(run, before, rows, dataset)
    mine = rows[rows["sample_id"].isin(samples["sample_id"]) & (rows["annotation_id"] != "")]
    if task == "detection":
        mine = mine[mine["x"].notna()]
    annotations = mine[list(ANNOTATION_COLUMNS)].reset_index(drop=True)
    settled = _settled(engine, dataset, rows, samples, notes)
    records = _records(samples, rows, annotations, source_root(workspace, dataset), task, dataset, version)
    if len(samples) < MIN_LABELS or not len(annotations):
        raise SettingsError(
            f"{dataset.name} has {counted(len(samples), 'judged picture')} with {counted(len(annotations), 'label')}; "
            f"a rehearsal needs at least {MIN_LABELS} pictures."
        )
    if task == "multi-label":
        belief, make = _sets(run, before, records, samples, settled)
        expected = sum(belief.expected.values())
    else:
        boxes, make = _boxes(run, records, samples, settled, predicted)
        expected = sum(boxes.expected.values())
        if not predicted:
            notes.append(
                "Boxes that are missing or in the wrong place are found by comparing with a detector's predictions, so "
                "none were planted: --predictions FILE."
            )
    believed, span, who = _rate(rate, expected, len(annotations), run, engine)
    return PictureBasis(
        run, task, records, len(annotations), believed, span, who,
        lambda count, seed, sureness: make(believed, count, seed, sureness), int(settled.sum()), notes,
    )  # fmt: skip


def _pictures(
    run: Run, before: pd.DataFrame, rows: pd.DataFrame, dataset: Dataset
) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """The pictures that the run judged and the version has: sample_id, path, split, group, cluster and row, where each
    is in the run's arrays."""
    samples = run.samples()
    samples = samples[samples["status"] == "ok"].reset_index(drop=True)
    labelled = samples.iloc[labelled_pictures(samples, before)]
    now = rows.drop_duplicates("sample_id").set_index("sample_id")["path"].reindex(labelled["sample_id"])
    there = now.notna().to_numpy()
    found = labelled[there].assign(path=now[there].to_numpy(), row=labelled.index[there])
    gone = int((~there).sum())
    notes = [f"{counted(gone, 'picture')} left out: excluded or gone since the run."] if gone else []
    return found[["sample_id", "path", "split", "group", "cluster", "row"]].reset_index(drop=True), notes


def _settled(
    engine: Engine | None, dataset: Dataset, rows: pd.DataFrame, samples: pd.DataFrame, notes: list[str]
) -> np.ndarray:
    """(N,) bool: pictures that are right as the version has them, reviewers say."""
    if engine is None:
        return np.zeros(len(samples), dtype=bool)
    said = effective(engine, dataset.name)
    found = judged_pictures(said[said["sample_id"].isin(samples["sample_id"])], Annotations(rows))
    open_edits = sum(one is not None and one.wrong for one in found.values())
    if open_edits:
        notes.append(
            f"{counted(open_edits, 'picture has', 'pictures have')} corrections that are not published yet and were "
            "not used: curate publish."
        )
    right = {name for name, one in found.items() if one is not None and not one.wrong}
    return samples["sample_id"].isin(right).to_numpy()


def _records(
    samples: pd.DataFrame, rows: pd.DataFrame, annotations: pd.DataFrame, root: Path, task: str, dataset: Dataset,
    version: str,
) -> Records:  # fmt: skip
    known = {name: samples[name] for name in ("sample_id", "path", "split", "group")}
    if "sample_attributes" in rows:
        facts = rows.drop_duplicates("sample_id").set_index("sample_id")["sample_attributes"]
        known["sample_attributes"] = facts.reindex(samples["sample_id"]).fillna("").reset_index(drop=True)
    table = empty_samples(len(samples)).assign(status="ok", **known)
    classes = tuple(class_list(dataset.folder, version))
    return Records(table, annotations, root, "manifest", task, classes=classes)


# --- several labels --------------------------------------------------------------------------------------------------


def _sets(
    run: Run, before: pd.DataFrame, records: Records, samples: pd.DataFrame, settled: np.ndarray
) -> tuple[SetBelief, Callable[[float, int, int, float], Copy]]:
    names = [str(name) for name in run.info["classes"]]
    names += sorted(set(records.annotations["label"]) - set(names))
    judged = run.samples()
    judged = judged[judged["status"] == "ok"].reset_index(drop=True)
    known_then = len(run.info["classes"])
    then = label_sets(before[(before["annotation_id"] != "")], judged, names[:known_then]).given
    probs = run.array("pred_probs")
    blind = run.array("neighbours") if run.info["plan"]["mode"] == "probe" else None
    margin = np.asarray(run.array("training_margin"))
    quality = judge_sets(probs, then, known_sets(then, run.array("fold")), blind, margin)
    rows = samples["row"].to_numpy(dtype=np.int64)
    given = label_sets(records.annotations, records.samples, names).given
    given = np.maximum(given, 0)  # the splits that are left are labelled
    wrong, likely = np.zeros(given.shape), given.astype(np.float64)
    wrong[:, :known_then], likely[:, :known_then] = 1 - quality.score[rows], probs[rows]
    fixed = np.zeros(given.shape, dtype=bool)
    fixed[:, :known_then] = given[:, :known_then] != then[rows]
    fixed |= settled[:, None]
    wrong[fixed] = 0.0
    belief = SetBelief(given, wrong, fixed, likely, samples["cluster"].to_numpy(dtype=np.int64))

    def make(rate: float, count: int, seed: int, sureness: float) -> Copy:
        labels, errors = plant_sets(belief, rate, count, seed, sureness)
        return _table(labels, names, records), errors

    return belief, make


def _table(labels: np.ndarray, names: list[str], records: Records) -> pd.DataFrame:
    """Labels (N, K) as annotations, under the ids that they have, where they have one."""
    ids = records.samples["sample_id"].to_numpy(dtype=object)
    rows, classes = np.nonzero(labels > 0)
    known = {(owner, label): key for key, owner, label in zip(
        *(records.annotations[name].tolist() for name in ("annotation_id", "sample_id", "label")), strict=True
    )}  # fmt: skip
    owners, label = ids[rows].tolist(), [names[k] for k in classes]
    keys = [known.get(pair, f"{pair[0]}-planted-{k}") for pair, k in zip(
        zip(owners, label, strict=True), classes.tolist(), strict=True
    )]  # fmt: skip
    table = pd.DataFrame({"annotation_id": keys, "sample_id": owners, "label": label})
    table = table.assign(**dict.fromkeys(BOX, np.nan), attributes="")
    return table.astype(ANNOTATION_COLUMNS)[list(ANNOTATION_COLUMNS)]


# --- boxes -----------------------------------------------------------------------------------------------------------


def _boxes(
    run: Run, records: Records, samples: pd.DataFrame, settled: np.ndarray, predicted: bool
) -> tuple[BoxBelief, Callable[[float, int, int, float], Copy]]:
    place = pd.Series(np.arange(len(samples)), index=samples["sample_id"])
    boxes = records.annotations.assign(picture=place[records.annotations["sample_id"]].to_numpy(dtype=np.int64))
    names = [str(name) for name in run.info["classes"]]
    names += sorted(set(boxes["label"]) - set(names))
    number = {name: k for k, name in enumerate(names)}
    then = run.boxes().reset_index(names="row").set_index("annotation_id")
    now = then.reindex(boxes["annotation_id"])
    same = (now[list(BOX)].to_numpy() == boxes[list(BOX)].to_numpy()).all(axis=1) & now["row"].notna().to_numpy()
    changed = now["label"].to_numpy(dtype=object) != boxes["label"].to_numpy(dtype=object)
    is_settled = settled[boxes["picture"].to_numpy()]
    judged = np.flatnonzero(same)
    issues = run.issues()
    given = boxes["label"].map(number).to_numpy(dtype=np.int64)
    wrong = 1 - _scores(issues, "label_error", boxes).fillna(1.0).to_numpy()[judged]
    known = (changed | is_settled)[judged]
    likely = run.array("box_pred_probs")
    labels = Belief(
        given=given[judged],
        wrong_prob=np.where(known, 0.0, wrong),
        known=np.where(known, given[judged], -1),
        pred_probs=_widened(likely, len(names)),
        rows=now["row"].to_numpy(dtype=np.float64)[judged].astype(np.int64),
        cluster=np.arange(len(judged)),
    )
    flagged = issues[issues["is_issue"]]
    spare = np.where(is_settled, 0.0, 1 - _scores(flagged, "duplicate_box", boxes).fillna(1.0).to_numpy())
    expected = {SWAPPED: float(labels.wrong_prob.sum()), DOUBLED: float(spare.sum())}
    missed = _missed(flagged, boxes, place, settled) if predicted else _missed(flagged[:0], boxes, place, settled)
    if predicted:
        # Where few boxes are wrong, most of what a detector finds is a mistake of its own: no more of such a
        # kind are believed in than of those that need none.
        most = max(sum(expected.values()), 1.0)
        missed["prob"] *= min(1.0, most / max(float(missed["prob"].sum()), 1e-9))
        shifted = float((flagged["issue"] == "badly_located_box").sum())
        expected |= {DROPPED: float(missed["prob"].sum()), SHIFTED: min(shifted, most)}
    belief = BoxBelief(boxes, labels, judged, spare, missed, expected, names)

    def make(rate: float, count: int, seed: int, sureness: float) -> Copy:
        table, errors = plant_boxes(belief, len(samples), rate, count, seed, sureness)
        return table[list(ANNOTATION_COLUMNS)], errors

    return belief, make


def _scores(issues: pd.DataFrame, issue: str, boxes: pd.DataFrame) -> pd.Series:
    found = issues[issues["issue"] == issue].drop_duplicates("annotation_id").set_index("annotation_id")["score"]
    return found.reindex(boxes["annotation_id"])


def _widened(probs: np.ndarray, classes: int) -> np.ndarray:
    """With a column of zeros for each class that the run did not know."""
    more = classes - probs.shape[1]
    return probs if not more else np.pad(np.asarray(probs), ((0, 0), (0, more)))


def _missed(flagged: pd.DataFrame, boxes: pd.DataFrame, place: pd.Series, settled: np.ndarray) -> pd.DataFrame:
    """Boxes that the run proposes for what has none: columns of `boxes`, and the probability that it is so."""
    mine = flagged[(flagged["issue"] == "missing_box") & flagged["sample_id"].isin(place.index)]
    mine = mine[~settled[place[mine["sample_id"]].to_numpy(dtype=np.int64)]].reset_index(drop=True)
    proposed: list[Any] = [json.loads(text).get("proposed") or [0, 0, 0, 0] for text in mine["evidence"]]
    numbers = np.asarray(proposed, dtype=np.float64).reshape(-1, 4)
    table = pd.DataFrame(
        {"annotation_id": [f"{owner}-proposed-{at}" for at, owner in enumerate(mine["sample_id"])],
         "sample_id": mine["sample_id"], "label": mine["suggestion"], **dict(zip(BOX, numbers.T, strict=True)),
         "attributes": "", "picture": place[mine["sample_id"]].to_numpy(dtype=np.int64), "prob": 1 - mine["score"]}
    )  # fmt: skip
    return table.astype({**ANNOTATION_COLUMNS, "picture": "int64", "prob": "float64"})


# --- how many --------------------------------------------------------------------------------------------------------


def _rate(
    asked: float | None, expected: float, labels: int, run: Run, engine: Engine | None
) -> tuple[float, tuple[float, float], str]:
    """Errors per label, between which rates it lies, and who says so."""
    if asked is not None:
        return asked, (asked, asked), "as you said"
    low, high, who = expected * OFF[0], expected * OFF[1], THE_RUN
    if engine is not None:
        found = estimate_of(engine, run)
        if found.annotations is not None and (found.audited or found.reviewed):
            start = found.annotations.start
            expected, who = start.estimate, "as run and verdicts say"
            low, high = expected * OFF[0], expected * OFF[1]
            if found.audited:
                low, high, who = start.low, start.high, "as the audit says"
    shares = np.clip(np.array([expected, min(low, expected), max(high, expected)]) / max(labels, 1), *RATES)
    rate, least, most = shares.tolist()
    return rate, (least, most), who
