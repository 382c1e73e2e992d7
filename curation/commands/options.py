"""Options that several commands share, and help that shows them in named groups."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

VERSION = "Version"
COMMON = "Place and output"  # the group of the options that every command takes, listed last

Function = TypeVar("Function", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option that is listed in the help under `group`."""

    def __init__(self, param_decls: Sequence[str] | None = None, group: str = "Options", **settings: Any) -> None:
        super().__init__(param_decls, **settings)
        self.group = group


class Command(click.Command):
    """A command whose help lists its options by group, in the order in which they are declared.

    An empty argument is refused: it is what a shell makes of a variable that is not set, and for --workspace or
    --labels it would quietly mean something else.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for before, value in itertools.pairwise(["", *args]):
            if not value:
                what = f"The value of {before}" if before.startswith("--") else "An argument"
                raise click.UsageError(f"{what} is empty. Is a variable not set?", ctx)
            if re.fullmatch(r"--[a-z-]+=", value):
                raise click.UsageError(f"The value of {value[:-1]} is empty. Is a variable not set?", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(parameter, "group", COMMON), []).append(record)
        for title, records in sorted(groups.items(), key=lambda group: group[0] == COMMON):
            with formatter.section(title):
                formatter.write_dl(records)


def option(*names: str, group: str, **settings: Any) -> Callable[[Function], Function]:
    """`click.option` in a named group of the help."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def common(function: Function) -> Function:
    """Add what every command takes: --workspace, --json, --debug."""
    for decorate in (
        click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks and warnings."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else there."),
        click.option(
            "--workspace",
            type=click.Path(path_type=Path),
            default=".",
            metavar="DIR",
            help="Where runs, cache and manifest versions are kept (default: the current folder).",
        ),
    ):
        function = decorate(function)
    return function


def run_argument(function: Function) -> Function:
    """Add the optional argument RUN."""
    return click.argument("run_id", metavar="[RUN]", required=False)(function)


def dataset_option(function: Function) -> Function:
    """Add --name, which data set."""
    decorate: Callable[[Function], Function] = option(
        "--name",
        group=COMMON,
        metavar="DATASET",
        help="Name of the data set (default: the only one, else that of the latest run).",
    )
    return decorate(function)


def _check_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse what is no URL: taken for a folder, it would quietly be another, empty store."""
    if value and "://" not in value:
        raise click.BadParameter(f"{value[:100]!r} is no URL; one looks like postgresql://user@host/database.")
    return value


def store_option(function: Function) -> Function:
    """Add --store, where decisions are."""
    decorate: Callable[[Function], Function] = option(
        "--store",
        group=COMMON,
        default="",
        envvar="CURATE_STORE",
        metavar="URL",
        callback=_check_url,
        help="Where decisions are kept, for a team: postgresql://... (default: in the workspace).",
    )
    return decorate(function)


def author_options(function: Function) -> Function:
    """Add --author and --message, what a new version says of itself."""
    for decorate in (
        option("--author", group=VERSION, metavar="NAME", help="Who makes it (default: the name of your account)."),
        option("--message", "-m", group=VERSION, default="", metavar="TEXT", help="What was done, and why."),
    ):
        function = decorate(function)
    return function


def branch_option(function: Function) -> Function:
    """Add --branch."""
    decorate: Callable[[Function], Function] = option(
        "--branch", group=VERSION, default="main", metavar="NAME", help="Of which branch (main)."
    )
    return decorate(function)


def account_name() -> str:
    """The name of the user's account on this machine."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def print_json(value: Any) -> None:
    """Print one JSON value; ASCII only, so that nothing in it can act on a terminal."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
