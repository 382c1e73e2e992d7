"""What the terminal shows: consoles, progress with time left, tables, and text from outside made harmless.

Data is never markup: the consoles read no rich tags, and every label, name or reason goes through `shown`. Colours are
those of the terminal's own palette that can be read on a light and on a dark background; none when piped or NO_COLOR.
"""

from __future__ import annotations

import io
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from curation.explain import visible
from curation.progress import Advance, Progress

PATIENCE_SECONDS = 2.0  # a stage that is over sooner is not worth a line
PLAIN_LINE_SECONDS = (
    10.0  # between the first lines of one stage where there is no terminal to redraw; then twice it ...
)
MOST_LINE_SECONDS = 60.0  # ... up to this
# The time left is estimated from the last three minutes. From one, it jumps with whatever else the machine does; from
# ten, it is long wrong after a machine that was busy is free again.
MARK_SECONDS, RATE_MARKS = 10.0, 19
ESTIMATE_AFTER_SECONDS = 5.0  # of work seen; the first seconds say little
LABEL_CELLS = 32
GAP = 3  # columns between two of a table


def stdout_console() -> Console:
    """Where results go."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    """Where progress and choices go, so that standard output can be piped."""
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    return Console(file=stream, markup=False, emoji=False, highlight=False)


def shown(text: object, cells: int = LABEL_CELLS) -> str:
    """Text from outside, ready for the terminal: nothing invisible or active in it, cut at the end to `cells`."""
    return _cut(visible(str(text), 4 * cells) or '""', cells)


def shown_path(path: object, cells: int) -> str:
    """The same for a path, which is cut at its front: the file name is what people look for."""
    return _cut(visible(str(path), 4096) or '""', cells, keep_end=True)


def _cut(text: str, cells: int, keep_end: bool = False) -> str:
    """`text` in at most `cells` columns, the rest replaced by an ellipsis; wide characters count twice."""
    if cell_len(text) <= cells:
        return text
    kept: list[str] = []
    room = cells - 1
    for character in reversed(text) if keep_end else text:
        room -= cell_len(character)
        if room < 0:
            break
        kept.append(character)
    return "…" + "".join(reversed(kept)) if keep_end else "".join(kept) + "…"


def wrapped(text: str, cells: int) -> list[str]:
    """Lines of at most `cells` columns; a number is never parted from its %."""
    joined = text.replace(" %", f"{_NO_BREAK}%")
    lines = Text(joined).wrap(Console(file=io.StringIO(), width=max(cells, 20)), max(cells, 20))
    return [line.plain.rstrip().replace(_NO_BREAK, " ") for line in lines]


_NO_BREAK = "\ue000"  # of no meaning outside; rich breaks lines at no-break spaces, too


def print_entry(console: Console, head: Text, body: str, indent: int, style: str = "") -> None:
    """One entry of a list for people: a line that is cut to the width, and below it its text, wrapped and indented."""
    head.truncate(console.width, overflow="ellipsis")
    console.print(head, soft_wrap=True)
    for line in wrapped(body, console.width - indent) if body else ():
        console.print(Text(" " * indent + line, style=style), soft_wrap=True)


def print_steps(steps: Mapping[str, str], console: Console) -> None:
    """What may be typed next, and what each does; below it, where both do not fit side by side."""
    console.print()
    console.print(Text("Next", style="bold"))
    width = max(map(cell_len, steps))
    beside = 2 + width + 2 + max(map(cell_len, steps.values())) <= console.width
    for typed, why in steps.items():
        command = Text(f"  {typed}{' ' * (width - cell_len(typed)) if beside else ''}", style="cyan")
        console.print(command, Text(f"  {why}" if beside else f"\n      {why}", style="dim"), sep="", soft_wrap=True)


def table(*columns: str, title: str = "") -> Table:
    """An empty table in the house style; a column name that starts with `>` is set flush right."""
    drawn = Table(
        title=title or None,
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        padding=(0, 2, 0, 0),
    )
    for name in columns:
        drawn.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", no_wrap=True)
    return drawn


def duration(seconds: float) -> str:
    """A time span for people: `0.4 s`, `12 s`, `2 min 05 s`, `1 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rough_duration(seconds: float) -> str:
    """The same without false precision, for estimates: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 55:
        return f"{max(round(seconds), 1)} s"
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


# --- progress ----------------------------------------------------------------------------------------------------


@dataclass
class _Stage:
    """One stage at work.

    `marks` are (time, units done) of the last three minutes, the first from when the stage was first drawn: what came
    from a cache or a checkpoint before that says nothing about how long the rest takes, and neither does a slow start.
    """

    name: str
    total: int
    unit: str
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    ended: bool = False
    shown: bool = False
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_MARKS))
    next_line_seconds: float = PLAIN_LINE_SECONDS
    bar: TaskID | None = None

    def advance(self, count: int) -> None:
        self.done += count
        if self.marks and time.monotonic() - self.marks[-1][0] >= MARK_SECONDS:
            self.marks.append((time.monotonic(), self.done))

    def show(self) -> None:
        if not self.shown:
            self.shown = True
            self.marks.append((time.monotonic(), self.done))

    def amount(self) -> str:
        """How far it is: `3,000 of 5,000 files`, or `3,000 files` where nobody knows how many there will be."""
        return f"{self.done:,} of {self.total:,} {self.unit}" if self.total else f"{self.done:,} {self.unit}"

    def left(self) -> str:
        """Time left in words, "" while nothing can be said, or all units are done and only the end is missing."""
        if not self.marks or not self.marks[0][1] < self.done < self.total:
            return ""
        since, before = self.marks[0]
        watched = time.monotonic() - since
        if watched < ESTIMATE_AFTER_SECONDS:
            return ""
        return f"about {rough_duration(watched / (self.done - before) * (self.total - self.done))} left"


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        stage: _Stage = task.fields["stage"]
        return Text(stage.amount())


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        stage: _Stage = task.fields["stage"]
        return Text(stage.left() or duration(time.monotonic() - stage.started), style="dim")


class RichProgress(Progress):
    """Progress on standard error: bars on a terminal, now and then a plain line elsewhere; use it as a context.

    said : the messages so far, so that what follows need not say them again
    """

    def __init__(self, console: Console | None = None, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._console = console or stderr_console()
        self._patience = patience_seconds
        self._lock = threading.RLock()
        self._bars: Bars | None = None
        self.said: list[str] = []

    def __enter__(self) -> RichProgress:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def message(self, text: str) -> None:
        """Say one line, above the bars if there are any."""
        self.said.append(text)
        self._console.print(Text(visible(text, 2000), style="dim"), soft_wrap=not self._console.is_terminal)

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        stage = _Stage(visible(name), int(total), visible(unit))
        timer = self._later(self._patience, stage)

        def advance(count: int) -> None:
            with self._lock:
                stage.advance(int(count))
                if stage.bar is not None and self._bars is not None:
                    self._bars.update(stage.bar, completed=stage.done)

        try:
            yield advance
        finally:
            timer.cancel()
            self._end(stage)

    def _later(self, seconds: float, stage: _Stage) -> threading.Timer:
        # A timer and not `advance` shows a stage, because one that is stuck in its first unit has to be seen, too.
        timer = threading.Timer(seconds, self._show, [stage])
        timer.daemon = True
        timer.start()
        return timer

    def _show(self, stage: _Stage) -> None:
        with self._lock:
            if stage.ended:
                return
            stage.show()
            if not self._console.is_terminal:
                left = stage.left()
                self._line(f"{stage.name}: {stage.amount()}{left and ', ' + left}")
                self._later(stage.next_line_seconds, stage)
                stage.next_line_seconds = min(2 * stage.next_line_seconds, MOST_LINE_SECONDS)
                return
            if self._bars is None:
                self._bars = self._new_bars()
                self._bars.start()
            stage.bar = self._bars.add_task(stage.name, total=stage.total or None, completed=stage.done, stage=stage)

    def _new_bars(self) -> Bars:
        return Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16, complete_style="cyan", finished_style="cyan", pulse_style="cyan"),
            _Amount(),
            _TimeLeft(),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )

    def _end(self, stage: _Stage) -> None:
        with self._lock:
            stage.ended = True
            if stage.bar is not None and self._bars is not None:
                self._bars.remove_task(stage.bar)
                if not self._bars.task_ids:
                    self._bars.stop()
                    self._bars = None
            if stage.shown:
                took = duration(time.monotonic() - stage.started)
                self._line(f"{stage.name}: {stage.done:,} {stage.unit} in {took}")

    def _line(self, text: str) -> None:
        self._console.print(Text(text, style="dim"), soft_wrap=not self._console.is_terminal)
