"""Labels judged by models that never saw them: one file per task, each from pictures to the inputs of detectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs
from curation.judging import single_label
from curation.judging.work import Work
from curation.pixels import Pixels


@dataclass(frozen=True)
class Judged:
    """What a run knows.

    pictures : one row per readable picture; samples.parquet is made of them
    labelled : one row per label that was judged; of single-label sets the same object as `pictures`
    notes : sentences that the user should see
    facts : what run.json says beside what it says of every run
    """

    pictures: Inputs
    labelled: Inputs
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def levels(self) -> list[Inputs]:
        """What detectors look at, one after the other."""
        return [self.pictures] if self.labelled is self.pictures else [self.pictures, self.labelled]


# (work, pixels, pictures, rows of `pixels` that they are, annotations) -> what the run knows
Judge = Callable[[Work, Pixels, Inputs, np.ndarray, pd.DataFrame], Judged]


def judge(
    task: str, work: Work, pixels: Pixels, pictures: Inputs, readable: np.ndarray, annotations: pd.DataFrame
) -> Judged:
    """Everything that detectors look at: duplicates, folds, out-of-fold probabilities, neighbours.

    task : one of curation.records.TASKS
    pictures, readable : as curation.judging.pictures.picture_inputs gives them
    annotations : of the version that is scored
    """
    inputs, notes = single_label.judge(work, pixels, pictures, readable)
    return Judged(inputs, inputs, notes, {"task": task} if task != "single-label" else {})
