"""Labels judged by models that never saw them: one file per task, each from pictures to the inputs of detectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs
from curation.judging import boxes, counts, multi_label, single_label
from curation.judging.work import Judged as Judged
from curation.judging.work import Work
from curation.pixels import Pixels

# (work, pixels, pictures, rows of `pixels` that they are, annotations) -> what the run knows
Judge = Callable[[Work, Pixels, Inputs, np.ndarray, pd.DataFrame], Judged]


def _single_label(
    work: Work, pixels: Pixels, pictures: Inputs, readable: np.ndarray, annotations: pd.DataFrame
) -> Judged:
    inputs, notes = single_label.judge(work, pixels, pictures, readable)
    return Judged(inputs, inputs, notes)


JUDGES: dict[str, Judge] = {
    "single-label": _single_label,
    "multi-label": multi_label.judge,
    "detection": boxes.judge,
    "counts": counts.judge,
}


def judge(
    task: str, work: Work, pixels: Pixels, pictures: Inputs, readable: np.ndarray, annotations: pd.DataFrame
) -> Judged:
    """Everything that detectors look at: duplicates, folds, out-of-fold probabilities, neighbours.

    task : one of curation.records.TASKS
    pictures, readable : as curation.judging.pictures.picture_inputs gives them
    annotations : of the version that is scored
    """
    return JUDGES[task](work, pixels, pictures, readable, annotations)
