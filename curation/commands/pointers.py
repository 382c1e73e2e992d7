"""How tags and branches are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from curation.commands.version_text import when
from curation.explain import visible
from curation.terminal import shown, stdout_console, table


def print_pointers(values: Sequence[Mapping[str, Any]], what: str, none: str) -> None:
    """One line per tag or branch: its version, who made it, and why."""
    console = stdout_console()
    if not values:
        console.print(none)
        return
    told = any(value.get("author") for value in values)
    drawn = table(what, "Version", *(["When", "By", "Message"] if told else []))
    for value in values:
        more: list[str | Text] = [
            when(value),
            shown(value.get("author", "")),
            Text(visible(str(value.get("message", "")), 200, False)),
        ]
        drawn.add_row(shown(value["name"], 60), shown(value["version"]), *(more if told else []))
    console.print(drawn)
