"""Which pictures the networks are asked about, and what keeps those apart from what the networks learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curation.errors import NotFoundError, SettingsError
from curation.importers.columns import find_columns, fold_name
from curation.importers.options import ImportOptions
from curation.importers.table_file import CSV_SUFFIXES, PARQUET_SUFFIXES, Table, read_table
from curation.proving.versions import AFTER, Versions
from curation.training.folds import assign_folds
from curation.training.label_sets import trainable
from curation.training.set_folds import assign_set_folds
from curation.wording import counted

MADE_OF_FIFTHS = 5  # a hold-out that is made is one of so many parts
LISTED = 10
# Columns of a box in a table, and what the last two of them say.
_CORNERS, _SIZES = ("xmin", "ymin", "xmax", "ymax"), ("x", "y", "w", "h")


@dataclass(frozen=True, eq=False)
class HoldOut:
    """What is asked about.

    rows : (n,) int64 rows of the sample table, ascending
    annotations : what is in these pictures: columns sample_id, label, x, y, w, h
    name : `split 'test'`, `file truth.csv` or `a fifth, drawn by lot`
    reviewed : in how many of these pictures reviewers decided or changed something between the two versions
    left_out : why pictures that were asked for are not in it, and how many
    """

    rows: np.ndarray
    annotations: pd.DataFrame
    name: str
    reviewed: int = 0
    left_out: tuple[str, ...] = ()


def choose_holdout(versions: Versions, asked_for: str, labels: np.ndarray, seed: int = 0) -> HoldOut:
    """The pictures that `asked_for` names: a split, or a table with the columns of a labels table.

    Parameters
    ----------
    versions : its samples with a column `unit`
    asked_for : name of a split, path of a table, or "" = the split test, else val, else a fifth drawn by lot
    labels : (N,) or (N, K) of the second version; -1 = unknown

    Raises
    ------
    NotFoundError : no such split, file or picture.
    SettingsError : a label that the data set does not have, or nothing left to ask about.
    """
    samples = versions.samples
    splits = set(samples["split"]) - {""}
    if not asked_for:
        asked_for = next((name for name in ("test", "val") if name in splits), "")
    if asked_for and asked_for not in splits:
        if Path(asked_for).suffix.lower() not in CSV_SUFFIXES + PARQUET_SUFFIXES:
            known = ", ".join(map(repr, sorted(splits))) or "none"
            raise NotFoundError(
                f"There is no split {asked_for!r} (there are: {known}), and it is no table (.csv, .parquet)."
            )
        return _from_table(versions, Path(asked_for))
    known_rows = trainable(labels)
    if asked_for:
        chosen, name = (samples["split"] == asked_for).to_numpy(), f"split '{asked_for}'"
    else:
        fold = draw_parts(labels, samples["unit"].to_numpy(dtype=np.int64), seed)
        chosen, name = (fold == 0) & known_rows, "a fifth of the pictures, drawn by lot"
    rows, without = np.flatnonzero(chosen & known_rows), int((chosen & ~known_rows).sum())
    if not len(rows):
        raise _nothing(name)
    annotations = versions.annotations[AFTER]
    mine = annotations[annotations["sample_id"].isin(samples["sample_id"].iloc[rows])]
    changed = samples["reviewed"].to_numpy(dtype=bool)[rows]
    left_out = (f"{counted(without, 'picture')} without a label",) if without else ()
    return HoldOut(rows, mine.reset_index(drop=True), name, int(changed.sum()), left_out)


def draw_parts(labels: np.ndarray, units: np.ndarray, seed: int) -> np.ndarray:
    """(N,) int64 in 0..MADE_OF_FIFTHS-1: parts in which classes are spread evenly and units stay together."""
    assign = assign_folds if labels.ndim == 1 else assign_set_folds
    return assign(labels, units, MADE_OF_FIFTHS, seed)


def _nothing(name: str) -> SettingsError:
    return SettingsError(f"The hold-out ({name}) has no labelled picture that can be read.")


def _from_table(versions: Versions, file: Path) -> HoldOut:
    """A row per label; a picture may have several rows, or one without a label; boxes in columns of their own."""
    if not file.is_file():
        raise NotFoundError(f"The hold-out {file} does not exist.")
    table, samples, classes = read_table(file), versions.samples, versions.classes
    columns, _ = find_columns(list(table.columns), ImportOptions(), file.name)
    by_name = dict(zip(samples["sample_id"], range(len(samples)), strict=True))
    by_name |= dict(zip(samples["path"], range(len(samples)), strict=True))
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
    rows = np.array([by_name[cell] for cell in cells], dtype=np.int64)
    found = pd.DataFrame(_boxes(table), columns=list(_SIZES))
    found.insert(0, "sample_id", samples["sample_id"].iloc[rows].reset_index(drop=True))
    found.insert(1, "label", pd.Series(list(labels), dtype="str"))
    labelled = (found["label"] != "").to_numpy()
    found, name = found[labelled].drop_duplicates(ignore_index=True), f"file {file.name}"
    if found.empty:
        raise _nothing(name)
    asked = np.unique(rows)
    if versions.task == "single-label":  # no label is no answer there, and two are none either
        asked = np.unique(rows[labelled])
        twice = found.loc[found["sample_id"].duplicated(), "sample_id"]
        if len(twice):
            path = samples.loc[samples["sample_id"] == twice.iloc[0], "path"].iloc[0]
            raise SettingsError(f"{file.name} has two labels for {path!r}.")
    without = len(np.unique(rows)) - len(asked)
    return HoldOut(asked, found, name, left_out=(f"{counted(without, 'picture')} without a label",) if without else ())


def _boxes(table: Table) -> np.ndarray:
    """(rows, 4) float64 x, y, w, h of the columns that are called so, or of corners; NaN where there are none."""
    by_name = {fold_name(column): cells for column, cells in table.columns.items()}
    names = next((names for names in (_CORNERS, _SIZES) if set(names) <= set(by_name)), None)
    if names is None:
        return np.full((len(table.lines), 4), np.nan)
    numbers = np.column_stack([_numbers(table, by_name[name], name) for name in names])
    if names is _CORNERS:
        numbers[:, 2:] -= numbers[:, :2]
    return numbers


def _numbers(table: Table, cells: Sequence[str], name: str) -> list[float]:
    found = []
    for place, cell in enumerate(cells):
        try:
            found.append(float(cell) if cell else np.nan)
        except ValueError:
            raise SettingsError(f"{table.place(place)}: {cell[:50]!r} in column {name} is no number.") from None
    return found


def overlapping(holdout: HoldOut, trained: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(o,) rows that would be trained on although they are copies of, or in one group with, a picture of the hold-out.

    trained : (N,) bool, whether any arm is trained on a row; unit : (N,) int64, equal for copies and for groups
    """
    asked = np.zeros(len(unit), dtype=bool)
    asked[holdout.rows] = True
    return np.flatnonzero(trained & ~asked & np.isin(unit, np.unique(unit[holdout.rows])))


def learnable_rows(
    versions: Versions, holdout: HoldOut, trained: np.ndarray, drop_overlap: bool
) -> tuple[np.ndarray, list[str]]:
    """(N,) bool, what is neither in the hold-out nor overlaps it; and a note if something is left out for that.

    Raises
    ------
    SettingsError : something overlaps, and `drop_overlap` does not allow to leave it out.
    """
    samples = versions.samples
    both = overlapping(holdout, trained, samples["unit"].to_numpy(dtype=np.int64))
    learnable = np.ones(len(samples), dtype=bool)
    learnable[holdout.rows] = learnable[both] = False
    if not len(both):
        return learnable, []
    what = f"{counted(len(both), 'picture')} that would be trained on {'is a copy' if len(both) == 1 else 'are copies'}"
    if not drop_overlap:
        named = ", ".join(repr(path) for path in samples["path"].iloc[both[:LISTED]])
        raise SettingsError(
            f"The hold-out ({holdout.name}) overlaps the training data: {what} of, or in one group with, pictures in "
            f"it: {named}{' ...' if len(both) > LISTED else ''}. Settle those duplicates, or train without them: "
            "--drop-overlap."
        )
    return learnable, [f"{what} of the hold-out's: left out of the training."]
