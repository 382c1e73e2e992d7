"""Two versions of a data set side by side: their pictures in one table, the labels of each, and what was flagged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from curation import manifest
from curation.datasets import Dataset
from curation.errors import CurationError, SettingsError
from curation.manifest.history import task_of
from curation.manifest.version_files import headers, read_header
from curation.records import ANNOTATION_COLUMNS, Records, empty_annotations, empty_samples
from curation.runs import list_runs
from curation.wording import counted

BEFORE, AFTER = "before", "after"
# What makes two annotations of a picture the same, whatever their ids.
_SAID = ["label", "x", "y", "w", "h", "attributes"]


@dataclass(frozen=True, eq=False)
class Versions:
    """What is compared.

    samples : a row per picture that is in use in either version, sorted by sample_id: sample_id, path, split, group,
        `reviewed` (whether a reviewer decided or changed anything of it after the first version)
    present : by version (BEFORE, AFTER), (N,) bool, whether the picture is in use in it
    annotations : by version, columns ANNOTATION_COLUMNS, of these pictures; an empty label is none
    classes : all labels of both, sorted
    """

    task: str
    samples: pd.DataFrame
    present: dict[str, np.ndarray]
    annotations: dict[str, pd.DataFrame]
    classes: list[str]

    def take(self, rows: np.ndarray) -> Versions:
        """Of some of the pictures only; the classes stay."""
        samples = self.samples.iloc[rows].reset_index(drop=True)
        kept = set(samples["sample_id"])
        found = {
            name: table[table["sample_id"].isin(kept)].reset_index(drop=True)
            for name, table in self.annotations.items()
        }
        present = {name: there[rows] for name, there in self.present.items()}
        return replace(self, samples=samples, present=present, annotations=found)

    def records(self, root: Path) -> Records:
        """What decoding and planning need to know, with the annotations of the second version."""
        return replace(records_of(self.samples, root), annotations=self.annotations[AFTER], task=self.task)


def read_versions(dataset: Dataset, before: str, after: str) -> Versions:
    """The pictures of two versions in one table, and the annotations of each. What is unreadable, or excluded from
    both, is left out.

    Raises
    ------
    NotFoundError : no such version.
    SettingsError : the versions have other tasks, or there are no labels.
    """
    tasks = [task_of(dataset.folder, version) for version in (before, after)]
    if tasks[0] != tasks[1]:
        raise SettingsError(f"{before} is a {tasks[0]} set, {after} a {tasks[1]} set: they cannot be compared.")
    rows = {}
    for name, version in ((BEFORE, before), (AFTER, after)):
        read_header(dataset.folder, version)
        table = manifest.read(dataset.folder, version)
        rows[name] = table[table["status"] == "ok"]
    newest = pd.concat([rows[AFTER], rows[BEFORE]]).drop_duplicates("sample_id").sort_values("sample_id")
    samples = newest[["sample_id", "path", "split", "group"]].reset_index(drop=True)
    samples["reviewed"] = ~samples["sample_id"].isin(_unchanged(rows[BEFORE], rows[AFTER])).to_numpy()
    annotations = {
        name: table.loc[table["label"] != "", list(ANNOTATION_COLUMNS)].reset_index(drop=True)
        for name, table in rows.items()
    }
    present = {name: samples["sample_id"].isin(table["sample_id"]).to_numpy() for name, table in rows.items()}
    classes = sorted(set().union(*(table["label"] for table in annotations.values())))
    if not classes:
        raise SettingsError(f"{before} and {after} have no label.")
    return Versions(tasks[0], samples, present, annotations, classes)


def need_two_classes(classes: list[str], before: str, after: str) -> None:
    """Refuse what cannot be told apart.

    Raises
    ------
    SettingsError
    """
    if len(classes) < 2:
        raise SettingsError(f"{before} and {after} have {counted(len(classes), 'class', 'classes')}; two are needed.")


def _unchanged(before: pd.DataFrame, after: pd.DataFrame) -> set[str]:
    """The samples that are in both, with the same annotations in whatever order."""
    columns = ["sample_id", *_SAID]
    counted_rows = [
        rows[columns].assign(copy=rows.groupby(columns, dropna=False).cumcount().to_numpy()) for rows in (before, after)
    ]
    both = counted_rows[0].merge(counted_rows[1], how="outer", indicator=True)
    changed = both.loc[(both["_merge"] != "both").to_numpy(), "sample_id"]
    return (set(before["sample_id"]) & set(after["sample_id"])) - set(changed)


def flagged_issues(workspace: Path, dataset: Dataset, version: str) -> pd.DataFrame | None:
    """The flagged issues of the latest run on a version, or on one with the same rows; None = there is no such run."""
    wanted = read_header(dataset.folder, version)["hash"]
    try:
        same = {name for name, header in headers(dataset.folder).items() if header["hash"] == wanted}
        found = [
            run
            for run in list_runs(workspace)
            if run.info.get("dataset") == dataset.name and run.info.get("manifest_version") in same
        ]
        if not found:
            return None
        issues = found[-1].issues()
    except CurationError:
        return None
    return issues[issues["is_issue"].to_numpy(dtype=bool)]


def records_of(samples: pd.DataFrame, root: Path) -> Records:
    """What decoding needs to know of pictures: sample_id, path, split and group of `samples`."""
    known = {name: samples[name] for name in ("sample_id", "path", "split", "group")}
    return Records(empty_samples(len(samples)).assign(status="ok", **known), empty_annotations(), root, "manifest")
