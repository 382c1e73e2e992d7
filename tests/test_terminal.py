"""What the terminal shows: nothing from outside acts on it, and progress appears only where it helps."""

import io
import itertools
import re
import time

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from curation import terminal
from curation.terminal import (
    RichProgress,
    duration,
    print_entry,
    rough_duration,
    shown,
    shown_path,
    table,
    wrapped,
)

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.com\x1b\\link",
    "line\nbreak\r",
    "\x9b31m",
    "cat\u202egnp",
    "a\u2066b\u2069",
    "zero\u200bwidth",
    "\x00nul\x7f",
    "\u2028separator",
    "\ud800 alone",
    "x" * 1_000_000,
    "漢字" * 1000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_cannot_act_on_the_terminal(text: str) -> None:
    for cleaned in (shown(text, 20), shown_path(text, 20)):
        assert cell_len(cleaned) <= 20
        assert cleaned.isprintable()


def test_empty_and_blank_labels_can_be_seen() -> None:
    assert shown("") == '""'
    assert shown(" ") != " "
    assert shown("cat ") != shown("cat")


def test_a_long_label_is_cut_at_its_end_and_a_long_path_at_its_front() -> None:
    assert shown("golden retriever", 10) == "golden re…"
    assert shown_path("train/dogs/golden.jpg", 12) == "…/golden.jpg"
    assert shown_path("train/漢字.jpg", 8) == "…字.jpg"


def test_markup_in_data_is_shown_and_not_obeyed() -> None:
    console, stream = make_console(width=60)
    drawn = table("Label", title="[red]title[/red]")
    drawn.add_row("[bold]x[/bold] :smile: [link=http://example.com]y[/link]")
    console.print(drawn)
    RichProgress(console).message("[red]said[/red] \x1b[31m")
    text = stream.getvalue()
    assert "[bold]x[/bold] :smile: [link=http://example.com]y[/link]" in text
    assert "[red]said[/red]" in text
    assert "\x1b" not in text


def test_colours_are_left_out_where_there_is_no_terminal() -> None:
    console, stream = make_console()
    console.print("label", style="bold red")
    assert stream.getvalue() == "label\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"),
     (3599.6, "1 h 00 min"), (4200, "1 h 10 min")],
)  # fmt: skip
def test_time_spans_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_estimates_claim_no_false_precision() -> None:
    assert [rough_duration(s) for s in (0.2, 40.4, 58, 100, 3599, 12_060)] == [
        "1 s", "40 s", "1 min", "2 min", "1 h 00 min", "3 h 21 min"
    ]  # fmt: skip


def make_console(terminal: bool = False, width: int = 80) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    settings = {"markup": False, "emoji": False, "highlight": False}
    return Console(file=stream, force_terminal=terminal, width=width, color_system=None, **settings), stream


def test_a_short_stage_says_nothing() -> None:
    console, stream = make_console()
    with RichProgress(console, patience_seconds=5) as progress, progress.stage("decode", 3) as advance:
        advance(3)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_long_stage_is_shown_and_ends_with_how_long_it_took(terminal: bool) -> None:
    console, stream = make_console(terminal)
    with RichProgress(console, patience_seconds=0.02) as progress, progress.stage("train", 10, "epochs") as advance:
        advance(4)
        time.sleep(0.1)
        advance(6)
    text = stream.getvalue()
    assert "4 of 10 epochs" in text
    assert "train: 10 epochs in 0." in text


def test_a_stage_that_never_advances_is_shown_all_the_same() -> None:
    console, stream = make_console()
    with RichProgress(console, patience_seconds=0.02) as progress, progress.stage("stuck", 0, "units"):
        time.sleep(0.1)
    assert "stuck: 0 units" in stream.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_stage_of_unknown_length_counts_without_an_end(terminal: bool) -> None:
    console, stream = make_console(terminal)
    with RichProgress(console, patience_seconds=0.02) as progress, progress.stage("list", 0, "files") as advance:
        advance(3000)
        time.sleep(0.1)
    assert "3,000 files" in stream.getvalue()
    assert "of 0" not in stream.getvalue()


def train_and_fail(progress: RichProgress) -> None:
    with progress.stage("folds", 2) as outer:
        with progress.stage("epochs", 2) as inner:
            time.sleep(0.06)
            inner(2)
        outer(1)
        raise RuntimeError


def test_stages_inside_each_other_and_one_that_fails_leave_no_bar_behind() -> None:
    console, stream = make_console(terminal=True)
    with RichProgress(console, patience_seconds=0.01) as progress:
        with pytest.raises(RuntimeError):
            train_and_fail(progress)
        assert progress._bars is None
        progress.message("still here")
    text = stream.getvalue()
    assert text.index("epochs: 2") < text.index("folds: 1") < text.index("still here")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor stays hidden"


def test_units_from_a_checkpoint_do_not_count_as_speed() -> None:
    console, stream = make_console()
    with RichProgress(console, patience_seconds=0.02) as progress, progress.stage("train", 100, "epochs") as advance:
        advance(80)
        time.sleep(0.1)
    assert "80 of 100 epochs" in stream.getvalue()
    assert "left" not in stream.getvalue()


def watched_stage(monkeypatch: pytest.MonkeyPatch, total: int) -> tuple[terminal._Stage, list[float]]:
    """A stage that has been drawn, and a clock that the test sets."""
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    stage = terminal._Stage("train", total, "views", started=clock[0])
    stage.show()
    return stage, clock


def seconds_left(stage: terminal._Stage) -> float:
    found = re.fullmatch(r"about (\d+) (s|min) left", stage.left())
    assert found, stage.left()
    return float(found[1]) * (60 if found[2] == "min" else 1)


def test_the_time_left_does_not_jump_when_the_machine_is_busy_for_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, clock = watched_stage(monkeypatch, total=2400)
    estimates = []
    for second in range(1, 240):
        clock[0] += 1
        stage.advance(1 if 90 <= second < 120 else 10)
        estimates.append(seconds_left(stage) if second > 10 else 240.0)
    rises = [after - before for before, after in itertools.pairwise(estimates)]
    assert max(rises) <= 60, "a minute is what rounding does"
    assert max(estimates) <= 240


def test_no_time_is_left_when_all_is_done_nor_said_in_the_first_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, clock = watched_stage(monkeypatch, total=100)
    clock[0] += 1
    stage.advance(50)
    assert stage.left() == ""
    clock[0] += 9
    assert stage.left() == "about 10 s left"
    stage.advance(50)
    clock[0] += 1
    assert stage.left() == ""
    assert stage.amount() == "100 of 100 views"


def test_a_number_is_not_parted_from_its_percent_sign() -> None:
    text = "Labelled “cat”, to which the model gives under 1 %; it sees “dog” with 94 %."
    for cells in range(20, 90):
        lines = wrapped(text, cells)
        assert all(cell_len(line) <= cells for line in lines)
        assert not any(line.startswith("%") for line in lines)
        assert " ".join(lines) == text


def test_an_entry_fits_whatever_the_width() -> None:
    for width in (40, 80, 120):
        console, stream = make_console(width=width)
        print_entry(console, Text(f"  1  {'photo/' * 30}1.jpg"), "why it is here, in many words, " * 5, 5)
        lines = stream.getvalue().splitlines()
        assert all(cell_len(line) <= width for line in lines)
        assert all(line.startswith(" " * 5 + "") for line in lines[1:])
        assert len(lines) > 1


def test_names_of_stages_are_data_too() -> None:
    console, stream = make_console()
    with RichProgress(console, patience_seconds=0.01) as progress, progress.stage("[red]\x1b[1m", 1, "\x1b") as advance:
        time.sleep(0.05)
        advance(1)
    assert "[red]" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
