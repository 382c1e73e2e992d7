"""Which pictures the networks are asked about, and what keeps those apart from what the networks learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curation.errors import NotFoundError, SettingsError
from curation.importers.columns import find_columns
from curation.importers.options import ImportOptions
from curation.importers.table_file import CSV_SUFFIXES, PARQUET_SUFFIXES, read_table
from curation.proving.arms import class_ids
from curation.training.folds import assign_folds
from curation.wording import counted

MADE_OF_FIFTHS = 5  # a hold-out that is made is one of so many parts
LISTED = 10


@dataclass(frozen=True)
class HoldOut:
    """What is asked about.

    rows : (n,) int64 rows of the sample table; truth : (n,) int64 class ids
    name : `split 'test'`, `file truth.csv` or `a fifth, drawn by lot`
    reviewed : of how many pictures in it reviewers decided or changed the label between the two versions
    left_out : why pictures that were asked for are not in it, and how many
    """

    rows: np.ndarray
    truth: np.ndarray
    name: str
    reviewed: int = 0
    left_out: tuple[str, ...] = ()


def choose_holdout(
    samples: pd.DataFrame, asked_for: str, classes: list[str], workspace: Path, seed: int = 0
) -> HoldOut:
    """The pictures that `asked_for` names: a split, or a table with the columns of a labels table.

    Parameters
    ----------
    samples : a row per picture: sample_id, path, split, group, cluster, `before` and `after` (labels, "" = none)
    asked_for : name of a split, path of a table, or "" = the split test, else val, else a fifth drawn by lot

    Raises
    ------
    NotFoundError : no such split, file or picture.
    SettingsError : a label that the data set does not have, or nothing left to ask about.
    """
    splits = set(samples["split"]) - {""}
    if not asked_for:
        asked_for = next((name for name in ("test", "val") if name in splits), "")
    if asked_for in splits:
        rows, name = np.flatnonzero((samples["split"] == asked_for).to_numpy()), f"split '{asked_for}'"
        labels = samples["after"].to_numpy(dtype=object)[rows]
    elif not asked_for:
        rows, name = _drawn(samples, classes, seed), "a fifth of the pictures, drawn by lot"
        labels = samples["after"].to_numpy(dtype=object)[rows]
    elif Path(asked_for).suffix.lower() in CSV_SUFFIXES + PARQUET_SUFFIXES:
        rows, labels = _from_table(samples, Path(asked_for), classes)
        return _checked(rows, labels, f"file {Path(asked_for).name}", classes, reviewed=0)
    else:
        known = ", ".join(map(repr, sorted(splits))) or "none"
        raise NotFoundError(
            f"There is no split {asked_for!r} (there are: {known}), and it is no table (.csv, .parquet)."
        )
    changed = samples["reviewed"].to_numpy(dtype=bool)[rows]
    return _checked(rows, labels, name, classes, reviewed=int(changed.sum()))


def _drawn(samples: pd.DataFrame, classes: list[str], seed: int) -> np.ndarray:
    labels = class_ids(samples["after"], classes)
    fold = assign_folds(labels, samples["unit"].to_numpy(dtype=np.int64), MADE_OF_FIFTHS, seed)
    return np.flatnonzero((fold == 0) & (labels >= 0))


def _from_table(samples: pd.DataFrame, file: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    if not file.is_file():
        raise NotFoundError(f"The hold-out {file} does not exist.")
    table = read_table(file)
    columns, _ = find_columns(list(table.columns), ImportOptions(), file.name)
    by_path = dict(zip(samples["path"], range(len(samples)), strict=True))
    by_name = by_path | dict(zip(samples["sample_id"], range(len(samples)), strict=True))
    cells, labels = table.columns[columns["image"]], table.columns[columns["label"]]
    missing = [place for place, cell in enumerate(cells) if cell not in by_name]
    if missing:
        lacking = counted(len(missing), f"picture of {file.name} is", f"pictures of {file.name} are")
        raise NotFoundError(
            f"{lacking} not in the data set, the first is {cells[missing[0]][:200]!r} ({table.place(missing[0])}). "
            "Paths are those of the data set."
        )
    unknown = [place for place, label in enumerate(labels) if label and label not in classes]
    if unknown:
        raise SettingsError(
            f"{table.place(unknown[0])}: neither version has the label {labels[unknown[0]][:100]!r}; there are: "
            f"{', '.join(map(repr, classes[:LISTED]))}{' ...' if len(classes) > LISTED else ''}."
        )
    found = pd.DataFrame({"row": [by_name[cell] for cell in cells], "label": list(labels)}).drop_duplicates()
    twice = found.loc[found["row"].duplicated(), "row"]
    if len(twice):
        raise SettingsError(f"{file.name} has two labels for {samples['path'].iat[int(twice.iloc[0])]!r}.")
    return found["row"].to_numpy(dtype=np.int64), found["label"].to_numpy(dtype=object)


def _checked(rows: np.ndarray, labels: np.ndarray, name: str, classes: list[str], reviewed: int) -> HoldOut:
    truth = class_ids(labels, classes)
    left_out = []
    if (truth < 0).any():
        left_out.append(f"{counted(int((truth < 0).sum()), 'picture')} without a label")
    rows, truth = rows[truth >= 0], truth[truth >= 0]
    if not len(rows):
        raise SettingsError(f"The hold-out ({name}) has no labelled picture that can be read.")
    return HoldOut(rows, truth, name, reviewed, tuple(left_out))


def overlapping(holdout: HoldOut, trained: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(o,) rows that would be trained on although they are copies of, or in one group with, a picture of the hold-out.

    trained : (N,) bool, whether any arm is trained on a row; unit : (N,) int64, equal for copies and for groups
    """
    asked = np.zeros(len(unit), dtype=bool)
    asked[holdout.rows] = True
    return np.flatnonzero(trained & ~asked & np.isin(unit, np.unique(unit[holdout.rows])))
