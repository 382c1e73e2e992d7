"""What every step of a run has at hand: where to put things, what was chosen, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    partial : the run's folder, not complete yet
    """

    plan: Plan
    folds: int
    seed: int
    partial: Partial
    workspace: Path
    clock: Clock
    progress: Progress
