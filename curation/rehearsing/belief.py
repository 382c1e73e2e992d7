"""What is believed of the labels of a data set: its newest run, what reviewers decided, and the newest version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from curation import manifest
from curation.datasets import Dataset, find_dataset, list_datasets
from curation.errors import NotFoundError, SettingsError
from curation.estimate import recalibrated
from curation.manifest.history import task_of
from curation.manifest.version_files import MAIN, head
from curation.rehearsing.planting import Belief, at_rate
from curation.review.audit import estimate_of, judged
from curation.runs import Run, list_runs
from curation.store import effective

# Fewer labels than this say nothing about a share of them.
MIN_LABELS = 40
# No set is taken to be without any error, or to be half wrong, whatever the run thinks.
RATES = (0.001, 0.5)
THE_RUN = "as the run estimates"


@dataclass(frozen=True)
class Basis:
    """R labels and what is believed of them.

    run : that judged them
    samples : R rows: sample_id, path, split, group, given_label, wrong_prob, right (the class that reviewers said, "")
    classes : those of the run, then those that only reviewers gave
    rate : share of the labels that are believed to be wrong; rate_range : between which shares it lies; rate_from : who
        says so, in a few words
    reviewed : how many of them are settled; left_out : why pictures of the run are not among them, with numbers
    """

    run: Run
    samples: pd.DataFrame
    classes: list[str]
    belief: Belief
    rate: float
    rate_range: tuple[float, float]
    rate_from: str
    reviewed: int
    left_out: dict[str, int]


def believe(workspace: Path, dataset: Dataset, engine: Engine | None, rate: float | None = None) -> Basis:
    """Read all that is known; `rate`, where it is given, is believed instead of the estimate.

    Labels are those that the newest run has judged. What differs in the newest version was put right after it, and what
    reviewers decided and did not publish yet counts as well.

    Raises
    ------
    NotFoundError : nothing has scored the data set.
    SettingsError : it has another task than one label per picture, no run has a model, or there are too few labels.
    """
    run = newest_run(workspace, dataset)
    newest = str(head(dataset.folder, MAIN))
    if task_of(dataset.folder, newest) != "single-label":
        raise SettingsError(f"A rehearsal needs one label per picture; {dataset.name} has others.")
    samples = labels_of(run)
    judged_count = len(samples)
    left_out: dict[str, int] = {}
    samples = _with_version(samples, manifest.read(dataset.folder, newest), left_out)
    if engine is not None:
        samples = _with_verdicts(samples, effective(engine, dataset.name), left_out)
    known = (samples["right"] != "").to_numpy()
    wrong = (samples["right"] != samples["given_label"]).to_numpy() & known
    prob = recalibrated(samples["wrong_prob"].to_numpy(dtype=np.float64), known, wrong.astype(np.float64))
    rate, rate_range, rate_from = _rate(rate, run, engine, judged_count)
    prob = at_rate(np.where(known, wrong, prob), rate, known)
    names = [str(name) for name in run.info["classes"]]
    classes = [*names, *sorted(set(samples["right"]) - {"", *names})]
    _check(samples, dataset)
    number = {name: k for k, name in enumerate(classes)}
    belief = Belief(
        given=samples["given_label"].map(number).to_numpy(dtype=np.int64),
        wrong_prob=prob,
        known=samples["right"].map({**number, "": -1}).to_numpy(dtype=np.int64),
        pred_probs=run.array("pred_probs"),
        rows=samples["row"].to_numpy(dtype=np.int64),
        cluster=samples["cluster"].to_numpy(dtype=np.int64),
    )
    return Basis(run, samples, classes, belief, rate, rate_range, rate_from, int(known.sum()), left_out)


def dataset_of(workspace: Path, text: str | None = None) -> Dataset:
    """The data set of that name, or whose newest run read that source; without one as `find_dataset` has it.

    Raises
    ------
    NotFoundError : there is none; lists those that there are.
    """
    if text is None or any(known.name == text for known in list_datasets(workspace)):
        return find_dataset(workspace, text)
    for run in reversed(list_runs(workspace)):
        source = str(run.info.get("source", ""))
        if source == text or Path(source).resolve() == Path(text).resolve():
            return find_dataset(workspace, str(run.info["dataset"]))
    known = ", ".join(repr(other.name) for other in list_datasets(workspace)) or "none"
    raise NotFoundError(
        f"Nothing called {text!r} was scored in {workspace}. Score it first: curate score SOURCE. Scored are: {known}."
    )


def newest_run(workspace: Path, dataset: Dataset, array: str = "pred_probs") -> Run:
    """The newest run of a data set that trained a model; array : one that shows it.

    Raises
    ------
    NotFoundError : there is no run of it. SettingsError : no model was trained; says why.
    """
    found = [run for run in list_runs(workspace) if run.info.get("dataset") == dataset.name]
    if not found:
        raise NotFoundError(f"No run in {workspace} has scored {dataset.name}. Make one with: curate score SOURCE")
    trained = [run for run in found if run.has_array(array)]
    if not trained:
        why = next((str(note) for note in found[-1].info["notes"] if "No model was trained" in str(note)), "")
        raise SettingsError(f"There is nothing to rehearse with {dataset.name}. {why or 'No model was trained.'}")
    return trained[-1]


def labels_of(run: Run) -> pd.DataFrame:
    """Every label that the run judged, in its order: sample_id, path, split, group, given_label, cluster, wrong_prob,
    and row, where it is in the run's arrays."""
    samples, issues = run.samples(), run.issues()
    samples = samples[samples["status"] == "ok"].reset_index(drop=True)
    samples["row"] = np.arange(len(samples))
    found = issues[issues["issue"] == "label_error"].drop_duplicates("sample_id").set_index("sample_id")
    samples["wrong_prob"] = 1 - found["score"].reindex(samples["sample_id"]).to_numpy(dtype=np.float64)
    samples = samples[(samples["given_label"] != "") & samples["wrong_prob"].notna()]
    columns = ["sample_id", "path", "split", "group", "given_label", "cluster", "wrong_prob", "row"]
    return samples[columns].reset_index(drop=True)


def _with_version(samples: pd.DataFrame, version: pd.DataFrame, left_out: dict[str, int]) -> pd.DataFrame:
    """Without what the version does not have, with `right` where it has another label; paths are the version's."""
    used = version[(version["status"] == "ok") & (version["label"] != "")].drop_duplicates("sample_id")
    now = used.set_index("sample_id").reindex(samples["sample_id"])
    there = now["label"].notna().to_numpy()
    if not there.all():
        left_out["excluded or gone since the run"] = int((~there).sum())
    label = now["label"].fillna("").tolist()
    changed = (pd.Series(label, dtype="str") != samples["given_label"]).to_numpy()
    right = np.where(changed, np.asarray(label, dtype=object), "")
    path = np.where(there, now["path"].fillna("").to_numpy(dtype=object), samples["path"].to_numpy(dtype=object))
    samples = samples.assign(right=pd.Series(right, dtype="str"), path=pd.Series(path, dtype="str"))
    return samples[there].reset_index(drop=True)


def _with_verdicts(samples: pd.DataFrame, said: pd.DataFrame, left_out: dict[str, int]) -> pd.DataFrame:
    """With `right` where reviewers settled it, without what they found to be none of the classes."""
    said = said[said["sample_id"].isin(samples["sample_id"])]
    given = dict(zip(samples["sample_id"], samples["given_label"], strict=True))
    relabelled = _relabelled(said)
    right, none = dict(zip(samples["sample_id"], samples["right"], strict=True)), set()
    for sample_id, wrong in judged(said, given).items():
        if wrong is False:
            right[sample_id] = given[sample_id]
        elif wrong and sample_id in relabelled:
            right[sample_id] = relabelled[sample_id]
        elif wrong and not right[sample_id]:
            none.add(sample_id)
    if none:
        left_out["of no class, reviewers say"] = len(none)
    samples = samples.assign(right=pd.Series([right[name] for name in samples["sample_id"]], dtype="str"))
    return samples[~samples["sample_id"].isin(none)].reset_index(drop=True)


def _relabelled(said: pd.DataFrame) -> Mapping[str, str]:
    """The label that each sample was given instead, by the decision that holds, else by the latest."""
    lines: list[Any] = list(said[said["verdict"] == "relabel"].itertuples())
    found: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: bool(line.holds)):
        labels = json.loads(line.labels) if isinstance(line.labels, str) else list(line.labels)
        found[str(line.sample_id)] = str(labels[0])
    return found


def _rate(asked: float | None, run: Run, engine: Engine | None, labels: int) -> tuple[float, tuple[float, float], str]:
    """Share of the labels that are wrong, between which shares it lies, and who says so.

    An audit's interval holds with 95 % confidence; the run's own is two plain assumptions
    (`label_quality.wrong_range`).
    """
    if asked is not None:
        return asked, (asked, asked), "as you said"
    health = run.info.get("health") or {}
    wrong, who = float(health.get("estimated_wrong") or 0.0), THE_RUN
    low, high = health.get("estimated_wrong_range") or (wrong / 2, wrong * 2)
    if engine is not None:
        found = estimate_of(engine, run)
        if found.audited or found.reviewed:
            wrong, labels = found.start.estimate, found.labels
            who = "as run and verdicts say"
        if found.audited:
            low, high, who = found.start.low, found.start.high, "as the audit says"
    rate, least, most = np.clip(np.array([wrong, min(low, wrong), max(high, wrong)]) / max(labels, 1), *RATES).tolist()
    return rate, (least, most), who


def _check(samples: pd.DataFrame, dataset: Dataset) -> None:
    if len(samples) < MIN_LABELS:
        raise SettingsError(
            f"{dataset.name} has {len(samples)} judged labels; a rehearsal needs at least {MIN_LABELS}."
        )
    if samples["given_label"].nunique() < 2:
        raise SettingsError(f"All labels of {dataset.name} are of one class; a rehearsal needs two.")
