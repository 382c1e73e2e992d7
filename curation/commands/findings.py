"""How `curate doctor` shows what it found."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from curation.terminal import shown
from curation.wording import counted


def print_findings(found: dict[str, Any], console: Console) -> None:
    """Print the facts, then what deserves a look."""
    machine, gpu, place = found["machine"], found["gpu"], found["workspace"]
    bf16 = "fast" if machine["fast_bf16"] else "not faster than float32"
    cores, runs = counted(machine["cores"], "core"), counted(len(place["runs"]), "run")
    packages = ", ".join(f"{name} {version or 'MISSING'}" for name, version in found["packages"].items())
    devices = ", ".join(f"{device['name']} ({_gb(device['memory_bytes'])})" for device in gpu["devices"])
    _line(console, "curate", f"{found['curate']}, Python {found['python']}, {found['system']}")
    _line(console, "packages", packages)
    _line(console, "processor", f"{machine['processor']}, {cores}, bfloat16 {bf16}")
    _line(console, "memory", _gb(machine["memory_bytes"]))
    _line(console, "GPU", devices or f"none: {gpu['why']}")
    for model, fact in found["weights"].items():
        _line(console, f"weights {model}", f"{'yes' if fact['there'] else 'no'}: {fact['why']}")
    for kind, choice in found["auto"].items():
        _line(
            console, "auto", f"{kind}: {choice['mode']}, {choice['model']}, {choice['device']}, {choice['size_px']} px"
        )
    for why in dict.fromkeys(why for choice in found["auto"].values() for why in choice["why"]):
        _line(console, "", why)
    used = f"{_gb(place['curate_bytes'])} used, {_gb(place['free_bytes'])} free"
    _line(console, "workspace", f"{shown(place['path'], 200)}: {runs}, {used}")
    console.print()
    if not found["problems"]:
        console.print(Text("All is well.", style="green"))
    for problem in found["problems"]:
        console.print(Text("! ", style="bold red"), Text(shown(problem, 500)), sep="")


def _line(console: Console, name: str, text: str) -> None:
    from rich.table import Table

    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=22)
    line.add_column()
    line.add_row(Text(name, style="bold"), Text(text))
    console.print(line)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB"
