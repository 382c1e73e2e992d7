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
