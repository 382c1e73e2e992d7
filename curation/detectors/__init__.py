"""Kinds of issue: one file each, with a `find` function and a DETECTOR record; a new one is one line more here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from curation.detectors import (
    badly_located_box,
    box_count,
    box_geometry,
    box_outlier,
    conflicting_boxes,
    conflicting_crops,
    conflicting_duplicate,
    duplicate_box,
    exact_duplicate,
    image_quality,
    label_error,
    missing_box,
    missing_label,
    near_duplicate,
    no_box,
    odd_combination,
    odd_count,
    outlier,
    split_leak,
    spurious_box,
    swapped_box,
    unreadable,
    wrong_label,
)
from curation.detectors.contract import DETECTOR_COLUMNS, OF_A_MODEL, OF_A_TASK, Detector, Inputs
from curation.errors import NotFoundError
from curation.progress import SILENT, Progress

ISSUE_COLUMNS = [
    "sample_id", "annotation_id", "issue", "score", "is_issue", "rank", "given_label", "suggestion", "evidence",
]  # fmt: skip

DETECTORS: dict[str, Detector] = {
    "conflicting_duplicate": conflicting_duplicate.DETECTOR,
    "conflicting_boxes": conflicting_boxes.DETECTOR,
    "conflicting_crops": conflicting_crops.DETECTOR,
    "box_geometry": box_geometry.DETECTOR,
    "duplicate_box": duplicate_box.DETECTOR,
    "label_error": label_error.DETECTOR,
    "wrong_label": wrong_label.DETECTOR,
    "missing_label": missing_label.DETECTOR,
    "odd_combination": odd_combination.DETECTOR,
    "odd_count": odd_count.DETECTOR,
    "swapped_box": swapped_box.DETECTOR,
    "missing_box": missing_box.DETECTOR,
    "spurious_box": spurious_box.DETECTOR,
    "badly_located_box": badly_located_box.DETECTOR,
    "split_leak": split_leak.DETECTOR,
    "exact_duplicate": exact_duplicate.DETECTOR,
    "near_duplicate": near_duplicate.DETECTOR,
    "box_outlier": box_outlier.DETECTOR,
    "box_count": box_count.DETECTOR,
    "no_box": no_box.DETECTOR,
    "outlier": outlier.DETECTOR,
    "dark": image_quality.DARK,
    "bright": image_quality.BRIGHT,
    "blurry": image_quality.BLURRY,
    "low_information": image_quality.LOW_INFORMATION,
    "grey": image_quality.GREY,
    "odd_size": image_quality.ODD_SIZE,
    "odd_aspect_ratio": image_quality.ODD_ASPECT_RATIO,
    "unreadable": unreadable.DETECTOR,
}

# Those that judge a label: below the flags, the ranking of labels goes on.
LABEL_ISSUES = (label_error.NAME, wrong_label.NAME, missing_label.NAME, odd_count.NAME)


def suggests_label(issue: str) -> bool:
    """Whether what a finding of this kind suggests is a class, not an action that a class can be called like; of a kind
    that nobody has registered it is."""
    return issue not in DETECTORS or DETECTORS[issue].suggests_label


def find_issues(
    *levels: Inputs,
    names: Sequence[str] | None = None,
    progress: Progress = SILENT,
    detectors: Mapping[str, Detector] = DETECTORS,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Run the detectors `names` (default: all), and rank everything they found in one queue.

    levels : what they look at: pictures, and where a picture has several labels or boxes, those; a detector runs on
        each one that has what it needs

    Returns
    -------
    table : columns ISSUE_COLUMNS, in rank order 1..R. Flagged rows come first, by the priority of their detector, then
        score, then sample_id; the rows that are not flagged follow by score, those of LABEL_ISSUES first.
    skipped : name of each detector that could not run -> why; those of another task are not named

    Raises
    ------
    NotFoundError : an unknown name; lists the known ones.
    """
    chosen = list(detectors) if names is None else list(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in detectors]
    if unknown:
        raise NotFoundError(f"There is no issue called '{unknown[0]}'. Known: {', '.join(detectors)}.")
    skipped: dict[str, str] = {}
    # Where a picture has several labels, it lacks the one that it has in other sets.
    several = any(inputs.label_sets is not None or inputs.counts is not None for inputs in levels)
    of_a_task = OF_A_TASK | ({"labels"} if several else set())
    tables = []
    with progress.stage("Looking for issues", len(chosen), "detectors") as advance:
        for name in chosen:
            lacks = [[need for need in detectors[name].needs if not _has(inputs, need)] for inputs in levels]
            tables += [
                _with_boxes(detectors[name].find(inputs), inputs)
                for inputs, missing in zip(levels, lacks, strict=True)
                if not missing
            ]
            if all(lacks) and not all(of_a_task.intersection(missing) for missing in lacks):
                fewest = min(lacks, key=len)
                skipped[name] = (
                    "no model was trained" if OF_A_MODEL.issuperset(fewest)
                    else f"needs {' and '.join(fewest)}, which this run does not have"
                )  # fmt: skip
            advance(1)
    return _ranked(tables, detectors), skipped


def _has(inputs: Inputs, need: str) -> bool:
    """Whether an input is there: a field of `Inputs`, a column of its `samples` (`samples.sharpness`), or labels."""
    if need.startswith("samples."):
        return need.removeprefix("samples.") in inputs.samples
    if need == "labels":
        return bool((inputs.labels >= 0).any())
    return getattr(inputs, need) is not None


def _with_boxes(table: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """With where the box is, `"box": [x, y, w, h]`, first in the evidence of what was found about one."""
    if inputs.boxes is None or table.empty:
        return table
    places = [f'"box": [{x:.6g}, {y:.6g}, {w:.6g}, {h:.6g}]' for x, y, w, h in inputs.boxes.tolist()]
    place = pd.Series(places, index=inputs.annotation_id, dtype="object").reindex(table["annotation_id"])
    evidence = [
        text if not isinstance(box, str) else f"{{{box}}}" if text == "{}" else f"{{{box}, {text[1:]}"
        for box, text in zip(place, table["evidence"], strict=True)
    ]
    return table.assign(evidence=pd.Series(evidence, dtype="str", index=table.index))


def _ranked(tables: list[pd.DataFrame], detectors: Mapping[str, Detector]) -> pd.DataFrame:
    """All rows in queue order, with `rank`."""
    tables = [table for table in tables if len(table)]
    if not tables:
        empty = {name: pd.Series([], dtype="str") for name in DETECTOR_COLUMNS}
        empty |= {"score": pd.Series([], dtype="float64"), "is_issue": pd.Series([], dtype="bool")}
        return pd.DataFrame(empty | {"rank": pd.Series([], dtype="int64")})[ISSUE_COLUMNS]
    table = pd.concat(tables, ignore_index=True)
    place = pd.Series({d.name: d.priority for d in detectors.values()})
    not_flagged = ~table["is_issue"].to_numpy()
    # Below the flags the ranking of labels goes on; whatever else a detector chose to list comes after it.
    priority = table["issue"].map(place).to_numpy()
    priority = np.where(not_flagged, np.where(table["issue"].isin(LABEL_ISSUES), -1, priority), priority)
    # Ties by sample_id, then by issue, so that the order never depends on that of the rows.
    keys = pd.DataFrame(
        {
            "not_flagged": not_flagged,
            "priority": priority,
            "score": table["score"],
            "sample_id": table["sample_id"],
            "issue": table["issue"],
            "annotation_id": table["annotation_id"],
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable").index
    table = table.iloc[order].reset_index(drop=True)
    table["rank"] = np.arange(1, len(table) + 1, dtype=np.int64)
    return table[ISSUE_COLUMNS]
