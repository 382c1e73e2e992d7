"""What every step of a run has at hand: where to put things, what was chosen, how long it takes; and what it knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from curation.detectors.contract import Inputs
from curation.progress import Progress
from curation.runs import Partial
from curation.training.plan import Plan


class Clock:
    """Seconds by stage, kept with the run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)


@dataclass(frozen=True)
class Work:
    """A run that is being made.

    folds, seed : as in ScoreSettings
    predictions : of a detector, see curation.importers.predictions; None = none were given
    detector_epochs : passes of a detector that is trained per fold, 0 = none is
    partial : the run's folder, not complete yet
    """

    plan: Plan
    folds: int
    seed: int
    partial: Partial
    workspace: Path
    clock: Clock
    progress: Progress
    predictions: pd.DataFrame | None = None
    detector_epochs: int = 0


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
