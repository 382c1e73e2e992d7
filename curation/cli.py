"""The `curate` command: finds the subcommand, and turns whatever it raises into a sentence and an exit code.

Exit codes: 0 done, 1 our own fault, 2 the user's mistake (one sentence, no traceback), 130 interrupted (Ctrl-C), 141
the reader of the output has gone, 143 terminated. No other module reads the environment or the arguments.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

import curation
from curation.errors import CurationError
from curation.files import set_failpoints

STDOUT = 1  # file descriptor
DONE, OUR_FAULT, USER_MISTAKE, INTERRUPTED, OUTPUT_CLOSED, TERMINATED = 0, 1, 2, 130, 141, 143

# Name and one line of help, in the order in which a newcomer meets them; curation/commands/<name>.py has the rest.
COMMANDS = {
    "demo": "Score real handwritten digits with planted faults, and count what was found.",
    "score": "Score a labelled image data set: find wrong labels, duplicates, leaks, outliers and broken files.",
    "issues": "Print or save the ranked issues of a run.",
    "review": "Correct labels in the browser, by keyboard.",
    "queue": "Say what is to be reviewed next, and why.",
    "audit": "Mix labels drawn at random into the review queue, unmarked.",
    "estimate": "Say how many labels are wrong, how many are left, and whether to stop.",
    "rehearse": "Plant known errors in a copy of your labels, look for them, and say how many a review would find.",
    "decide": "Record what is right for a picture, or for all pictures of a table.",
    "decisions": "List what was decided and taken back, in the order in which it was recorded.",
    "status": "Say what waits to be published, what is held back, and whether the source has changed.",
    "publish": "Make what reviewers decided the next version of the manifest.",
    "log": "List the versions of a data set, newest first.",
    "show": "Show one version: who made it, and what it changed.",
    "diff": "Show what differs between two versions.",
    "blame": "Say who changed a sample, when and why.",
    "revert": "Take back a version, what a reviewer decided, or the last change of a sample.",
    "tag": "Give a version a name, or list those that there are.",
    "branch": "Start a branch at a version, or list those that there are.",
    "merge": "Bring what was done on a branch into another.",
    "verify": "Check every hash and every file of the versions.",
    "prove": "Train on two versions and say whether the second one is better, with an interval.",
    "export": "Write a version to the new folder DEST, for training.",
    "verify-export": "Check the files of an export, and its labels against the version.",
    "retrain": "Train one network on a version, and write it with all that is needed to use it.",
    "predict": "Say what a trained network sees in new pictures.",
    "report": "Write a run as one self-contained HTML page with pictures and plots.",
    "fiftyone": "Look at a data set in FiftyOne, and bring back what was corrected there.",
    "doctor": "Say what this machine and workspace have, and what `auto` would choose.",
}


class Commands(click.Group):
    """Subcommands by name from COMMANDS, imported when they run, so that `curate --help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"curation.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else f" There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(curation.__version__, prog_name="curate", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and warnings.")
def cli(debug: bool) -> None:
    """Find wrong labels in image data sets, fix them, and prove that it helped.

    Start with `curate demo`, or with a folder of your own that has one subfolder per class: `curate score FOLDER`.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `curate` with `arguments` (default: those of the process); the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in arguments or bool(os.environ.get("CURATE_DEBUG"))
    _prepare_streams()
    with warnings.catch_warnings(), _tidy_when_terminated():
        if not debug and not sys.warnoptions:
            warnings.simplefilter("ignore")
        return _run(arguments, debug)


def _run(arguments: list[str], debug: bool) -> int:
    try:
        set_failpoints(os.environ.get("CURATE_FAILPOINT", ""))
        _refuse_lost_folder()
        code = cli.main(arguments, prog_name="curate", standalone_mode=False)
        sys.stdout.flush()
        return int(code or DONE)
    except click.ClickException as error:
        return _user_mistake(error.format_message(), error.ctx if isinstance(error, click.UsageError) else None)
    except CurationError as error:
        if debug:
            traceback.print_exc()
        return _user_mistake(str(error))
    except (KeyboardInterrupt, click.Abort) as stop:
        if isinstance(stop.__cause__, EOFError):  # click takes a file that ends early for the end of the input
            return _our_fault(stop.__cause__, debug)
        click.echo("\nInterrupted. Run the same command again to go on from here.", err=True)
        return TERMINATED if isinstance(stop.__cause__ or stop, _Terminated) else INTERRUPTED
    except (SystemExit, BrokenPipeError):  # neither click nor rich raises SystemExit here but for a closed pipe
        return _output_closed()
    except Exception as error:
        reason = _machine_fault(error)
        if reason and not debug:
            return _user_mistake(reason)
        return _our_fault(error, debug)


def _refuse_lost_folder() -> None:
    """Native libraries end the process when the current folder has been removed; a sentence is better."""
    try:
        os.getcwd()
    except OSError as error:
        raise CurationError("The current folder is not there any more. Change to another one and try again.") from error


def _machine_fault(error: Exception) -> str:
    """What the user can do about a machine that has run out of something, "" where that is not the reason."""
    if isinstance(error, OSError) and error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        _detach_output()
        return f"The output could not be written: {error.strerror}."
    # torch has no type of its own for it on the processor.
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "The memory of this machine is used up. Close other programs, or choose a smaller --size or --model."
    return ""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, raised so that locks, bars and temporary files are tidied up as after Ctrl-C."""


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # asked twice, go at once
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _prepare_streams() -> None:
    """What a terminal of another encoding cannot show becomes an escape, and a closed stream takes everything."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _output_closed() -> int:
    _detach_output()
    return OUTPUT_CLOSED


def _detach_output() -> None:
    # What is still buffered can go nowhere; without this the interpreter complains about it when it exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _user_mistake(text: str, context: click.Context | None = None) -> int:
    # No terminal escape or line break that a file name or label smuggled into the sentence gets through.
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(line, err=True)
    if context is not None:
        click.echo(f"Try '{context.command_path} --help'.", err=True)
    return USER_MISTAKE


def _our_fault(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    own = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(Path(__file__).parent)
    ]
    where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    text = f"{type(error).__name__}{where}: {error}"
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)[:500]
    click.secho("Internal error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(
        f"{line}\nThis is a fault of curate, not of yours or your data. Please report it with the output of the same "
        "command with --debug, and of `curate doctor --json`.",
        err=True,
    )
    return OUR_FAULT
