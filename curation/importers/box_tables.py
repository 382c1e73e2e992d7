"""Annotations on their way to `Records`: boxes put in pixels, labels checked, the table made as the task wants it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.errors import SettingsError
from curation.importers.assemble import LABEL_LIMIT, shown
from curation.records import make_annotation_id
from curation.wording import counted

MOST_PX = 1e9  # a coordinate beyond it is no place in any picture
_CROWD = r'"(?:iscrowd|IsGroupOf)": "?(?:1|true)\b'  # of COCO, of Open Images
_SLACK = 1e-6  # of a side: rounding of shares is no mistake


@dataclass
class Placed:
    """(N, 4) float64 x, y, w, h in pixels, NaN where there is no box; and (N,) bool each, what is odd about them.

    unknown : in shares of a picture whose size is not known: they cannot be placed
    swapped : the corners were in the other order
    flat : without an area
    over : beyond the picture
    """

    values: np.ndarray
    unknown: np.ndarray
    swapped: np.ndarray
    flat: np.ndarray
    over: np.ndarray


def place_boxes(values: np.ndarray, shares: np.ndarray, sizes: np.ndarray) -> Placed:
    """Boxes in pixels, corners in order.

    Parameters
    ----------
    values : (N, 4) x, y, w, h; w or h negative where the corners are in the other order; NaN = no box
    shares : (N,) bool, whether they are in shares of the picture
    sizes : (N, 2) width and height of the picture in pixels, NaN = not known
    """
    values = values.copy()
    unknown = shares & np.isnan(sizes).any(axis=1)
    values[shares] *= np.tile(sizes[shares], 2)
    swapped = np.logical_or(values[:, 2] < 0, values[:, 3] < 0)
    for corner, side in ((0, 2), (1, 3)):
        inverted = values[:, side] < 0
        values[inverted, corner] += values[inverted, side]
        values[inverted, side] *= -1
    flat = (values[:, 2] == 0) | (values[:, 3] == 0)
    slack = _SLACK * np.nan_to_num(sizes)
    far = values[:, :2] + values[:, 2:]
    over = (values[:, :2] < -slack).any(axis=1) | (far > sizes + slack).any(axis=1)
    return Placed(values, unknown, swapped, flat, over)


def fit_task(
    table: pd.DataFrame, samples: pd.DataFrame, boxes: bool, wanted: str
) -> tuple[pd.DataFrame, str, list[str]]:
    """The annotations as the task wants them, the task, and notes.

    boxes : whether the source is one of boxes
    wanted : a task, "" = what the source holds

    Raises
    ------
    SettingsError : single-label is wanted, and a picture has two labels.
    """
    if wanted == "detection" or (boxes and not wanted):
        return table, "detection", []
    if wanted == "counts":
        return _counted(table)
    again = table.duplicated(["sample_id", "label"]).to_numpy()
    had_box = table["w"].notna().to_numpy()
    notes = []
    if had_box.any():
        notes.append(
            f"{counted(int(had_box.sum()), 'box was', 'boxes were')} taken as what is in the picture: each class once."
        )
        table[["x", "y", "w", "h"]] = np.nan
        table.loc[had_box, "attributes"] = ""
    elif again.any():
        notes.append(f"{counted(int(again.sum()), 'label')} said twice of one picture; once is enough.")
    table = numbered(table[~again].reset_index(drop=True))
    several = table["sample_id"].duplicated()
    if wanted == "single-label" and several.any():
        first = samples.loc[samples["sample_id"] == table.loc[several, "sample_id"].iloc[0], "path"].iloc[0]
        raise SettingsError(
            f"{counted(int(several.sum()), 'picture has', 'pictures have')} more than one label, so this is no "
            f"single-label data set; the first is {shown(first, limit=200)}."
        )
    return table, wanted or ("multi-label" if several.any() else "single-label"), notes


def _counted(table: pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]]:
    """Boxes as counts: what they say beside their class is of no use, for nobody can say which of five is which."""
    had_box = table["w"].notna().to_numpy()
    notes = []
    if had_box.any():
        notes.append(f"{counted(int(had_box.sum()), 'box was', 'boxes were')} counted, by picture and class.")
        crowds = int(table.loc[had_box, "attributes"].str.contains(_CROWD).sum())
        if crowds:
            notes.append(f"{counted(crowds, 'box says', 'boxes say')} that it is around a crowd; it counts as one.")
        table[["x", "y", "w", "h"]] = np.nan
        table.loc[had_box, "attributes"] = ""
    return numbered(table.reset_index(drop=True)), "counts", notes


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """With the ids of annotations: their number among those of their sample; rows of a sample are together."""
    ids = table["sample_id"].tolist()
    found, last, position = [], "", 0
    for sample_id in ids:
        position = position + 1 if sample_id == last else 0
        last = sample_id
        found.append(make_annotation_id(sample_id, position))
    return table.assign(annotation_id=pd.Series(found, dtype="str"))


def label_fault(label: object) -> str:
    """Why a text can be no class name, "" where it can."""
    if not isinstance(label, str) or label == "":
        return "it has no class"
    if len(label) > LABEL_LIMIT:
        return f"a label of {len(label):,} characters; more than {LABEL_LIMIT:,} is no class name"
    if "\0" in label:
        return f"the label {shown(label)} holds a NUL character"
    try:
        label.encode()
    except UnicodeEncodeError:
        return f"the label {shown(label, codes=True)} holds half of a character"
    return ""


def number(value: object) -> float:
    """A number, or the plain text of one, as float64.

    Raises
    ------
    ValueError : it is neither, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{shown(str(value))} is not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{shown(str(value))} is not a number") from error
    if not math.isfinite(found):
        raise ValueError(f"{shown(str(value))} is not a number")
    return found


def at(where: str, line: int) -> str:
    """`where line 12`, or `where 12` if it ends in a blank, and so says itself what is counted; `where` for line 0."""
    return f"{where}{'' if where.endswith(' ') else ' line '}{line}" if line else where


def plain(value: float) -> int | float:
    """A whole number without a point, as it was written."""
    return int(value) if float(value).is_integer() else value
