"""How a stage reports progress: the library calls, the command line draws, everybody else passes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


class Progress:
    """Silent progress, and the interface that a visible one overrides."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        """Open one stage of `total` units; call the yielded function with the number of units just finished."""
        yield lambda count: None

    def message(self, text: str) -> None:
        """Say one line that the user should see while the run goes on (a choice made, a batch halved)."""


SILENT = Progress()


class Counting(Progress):
    """The progress of `whole` where what stages take for images, or pictures, is something else."""

    def __init__(self, whole: Progress, unit: str) -> None:
        self._whole, self._unit = whole, unit

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        counted = unit.replace("images", self._unit).replace("pictures", self._unit)
        with self._whole.stage(name, total, counted) as advance:
            yield advance

    def message(self, text: str) -> None:
        self._whole.message(text)
