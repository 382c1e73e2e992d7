"""How versions and changes are shown on the terminal; every text from outside is made harmless."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from curation.explain import visible
from curation.manifest import count_words
from curation.manifest.change_table import change_table, count_changes
from curation.manifest.history import changes_of
from curation.terminal import GAP, shown, shown_path, table
from curation.wording import counted

LISTED = 30


def print_changes(changes: Sequence[Mapping[str, Any]], console: Console, listed: int = LISTED) -> None:
    """Change lines as a table, the first ones, and how many of each kind there are."""
    console.print(Text(count_changes(changes), style="bold"))
    if not changes:
        return
    rows = _together(change_table(changes[:listed]).to_dict("records"))
    who = any(row["reviewer"] for row in rows)
    head = ["Change", "Picture", "From", "To", *(["Reviewer"] if who else [])]
    lines = []
    for row in rows:
        cells = [row["change"], "", _cell(row["before"]), _cell(row["after"])]
        lines.append([*cells, *([_cell(row["reviewer"], 14)] if who else [])])
    columns = list(zip(head, *lines, strict=True))
    taken = sum(max(map(cell_len, column)) + GAP for column in columns) - cell_len("Picture")
    drawn = table(*head)
    for row, cells in zip(rows, lines, strict=True):
        drawn.add_row(cells[0], shown_path(row["path"], max(console.width - taken, 14)), *cells[2:])
    console.print(drawn)
    if len(changes) > listed:
        console.print(Text(f"{len(changes) - listed:,} more: --top N, or --json for all", style="dim"))


def _together(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same label added to, or taken from, one picture several times, as counts change, in one row: `3 x cup`."""
    found: list[dict[str, Any]] = []
    times: list[int] = []
    for row in rows:
        what = row["change"].partition(" #")[0]
        same = {"path": row["path"], "change": what, "reviewer": row["reviewer"]}
        sides = {"before": row["before"], "after": row["after"]}
        last = found[-1] if found and what in ("label added", "label removed") else {}
        if last and all(last[name] == value for name, value in {**same, **sides}.items()):
            times[-1] += 1
            continue
        found.append({**row, "change": what} if what in ("label added", "label removed") else dict(row))
        found[-1]["which"] = row["change"]
        times.append(1)
    for row, count in zip(found, times, strict=True):
        if count == 1:
            row["change"] = row["which"]
        else:
            row |= {side: f"{count} x {row[side]}" for side in ("before", "after") if row[side]}
    return found


def _cell(text: str, cells: int = 20) -> str:
    return shown(text, cells) if text else ""


def print_header(header: Mapping[str, Any], console: Console) -> None:
    """Who made a version, when, from what, and why."""
    parents = " and ".join(str(parent) for parent in (header["parent"], header["merged"]) if parent)
    console.print(
        Text(str(header["version"]), style="bold"),
        Text(f"{_done(header)} by {shown(header.get('author', ''))}, {when(header)}"),
        Text(f"on branch {header['branch']}" if header["branch"] != "main" else ""),
    )
    for line in str(header.get("message", "")).split("\n")[:20]:
        console.print(Text(f"    {visible(line, 300)}"), soft_wrap=True)
    task = str((header.get("source") or {}).get("task", ""))
    units = {"detection": ("box", "boxes"), "multi-label": ("label", "labels"), "counts": ("object", "objects")}
    unit = units.get(task)
    counts = [f"{header['samples']:,} pictures"]
    if unit is not None:
        counts[0] += f" with {counted(int(header['annotations']), *unit)}"
    for key, words in (("excluded", "excluded"), ("unreadable", "unreadable"), ("unlabelled", "without a label")):
        counts += [f"{header[key]:,} of them {words}"] if header.get(key) else []
    console.print(Text(f"    {', '.join(counts)}{f'; made from {parents}' if parents else ''}", style="dim"))
    console.print(Text(f"    {header['hash']}", style="dim"), soft_wrap=True)


def print_log(headers: Sequence[Mapping[str, Any]], folder: Path, console: Console) -> None:
    """Two or three lines per version: who, when; what changed; why. `folder` has the versions."""
    for header in headers:
        tags = ", ".join(shown(tag, 40) for tag in header.get("tags", []))
        merged = f" of {header['merged']}" if header["merged"] else ""
        branch = f", branch {header['branch']}" if header["branch"] != "main" else ""
        changed = _changed(header, folder) if header["parent"] else f"{header['samples']:,} pictures"
        console.print(
            Text(str(header["version"]), style="bold"),
            Text(f"({tags})" if tags else "", style="cyan"),
            Text(f"{_done(header)}{merged} by {shown(header.get('author', ''))}, {when(header)}{branch}"),
            soft_wrap=True,
        )
        console.print(Text(f"    {visible(str(header.get('message', '')), 200, False)}"), soft_wrap=True)
        console.print(Text(f"    {changed}", style="dim"), soft_wrap=True)


_DONE = {"publish": "published", "import": "imported"}


def _done(header: Mapping[str, Any]) -> str:
    """Before `by` and who did it: that is another one than who reviewed."""
    return _DONE.get(str(header["kind"]), str(header["kind"]))


def _changed(header: Mapping[str, Any], folder: Path) -> str:
    """What a version changed, counted. Only the lines themselves say which attributes are what people call `hard`, and
    whether pictures, labels or boxes were added."""
    told = header["kind"] != "import" and (header["changes"].get("add") or header["changes"].get("drop"))
    if header["changes"].get("attributes") or told:
        return count_changes(changes_of(folder, str(header["version"])))
    return count_words({kind: count for kind, count in header["changes"].items() if kind != "import"})


def print_conflicts(conflicts: Sequence[Mapping[str, Any]], console: Console, what: str, listed: int = 10) -> None:
    """Conflicts of a merge, a revert or an import: what stays, and what the other side wanted."""
    if not conflicts:
        return
    console.print(Text(f"{len(conflicts):,} {what}:", style="red"))
    for line in conflicts[:listed]:
        field = str(line.get("field", ""))
        why = f" ({line['why']})" if line.get("why") else ""
        sides = f"stays {_side(line.get('from'))}, not {_side(line.get('to'))}"
        console.print(Text(f"    {shown_path(line['path'], 40)}: {field} {sides}{why}"), soft_wrap=True)
    if len(conflicts) > listed:
        console.print(Text(f"    and {len(conflicts) - listed:,} more", style="dim"))


def _side(value: Any) -> str:
    if isinstance(value, Mapping) and "count" in value:
        return f"{value['count']} x “{shown(str(value.get('label', '')), 30)}”"
    if isinstance(value, Mapping):
        value = value.get("label") or value.get("status") or value
    return "nothing" if value is None else f"“{shown(str(value), 30)}”"


def when(header: Mapping[str, Any]) -> str:
    """`2026-11-21 14:30`, UTC."""
    return visible(str(header.get("created", ""))[:16].replace("T", " "), 16)


def typed(command: str, workspace: Path, name: str | None) -> str:
    """A command to type next, with the flags that this one had."""
    where = "" if str(workspace) == "." else f" --workspace {shlex.quote(str(workspace))}"
    return command + where + (f" --name {shlex.quote(name)}" if name else "")
