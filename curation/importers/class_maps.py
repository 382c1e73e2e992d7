"""Class lists of several files of one data set: put together, and compared, since a difference is a silent error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curation.importers.assemble import SHOWN, shown

ClassList = Sequence[Mapping[str, Any]]


def merge_class_maps(maps: Mapping[str, ClassList]) -> tuple[tuple[dict[str, Any], ...], list[str]]:
    """One class list from those of several files, and notes on what they disagree about.

    Order and ids are those of the first file; classes that only later ones have come behind, sorted by name, without
    an id where that is taken. A name that stands twice in one list is one class, that of its first entry; what only a
    later file says of a class is added to it.

    Parameters
    ----------
    maps : file -> its classes in order, each with `name`, `id` where the file numbers them, and whatever else it says
    """
    notes = []
    for file, entries in maps.items():
        notes += _twice(file, entries)
    merged: dict[str, dict[str, Any]] = {}
    for k, entries in enumerate(maps.values()):
        own: dict[str, dict[str, Any]] = {}
        for entry in entries:
            own.setdefault(str(entry["name"]), dict(entry))
        new = [name for name in own if name not in merged]
        for name, known in merged.items():
            merged[name] = {
                **known,
                **{key: one for key, one in own.get(name, {}).items() if key not in {"id", *known}},
            }
        for name in sorted(new) if k else new:
            entry = own[name]
            if k and "id" in entry and any(_same(entry["id"], other.get("id")) for other in merged.values()):
                del entry["id"]
            merged[name] = entry
    return tuple(merged.values()), notes + _differences(maps)


def _twice(file: str, entries: ClassList) -> list[str]:
    ids: dict[str, list[Any]] = {}
    for entry in entries:
        ids.setdefault(str(entry["name"]), []).append(entry.get("id", "none"))
    twice = {name: numbers for name, numbers in ids.items() if len(numbers) > 1}
    if not twice:
        return []
    some = "; ".join(f"{shown(name)} has {', '.join(map(str, n[:5]))}" for name, n in list(twice.items())[:SHOWN])
    return [f"{shown(file, limit=200)} lists a class name under several ids, which is one class here: {some}."]


def _differences(maps: Mapping[str, ClassList]) -> list[str]:
    """A sentence per file that says otherwise than the first one."""
    files = list(maps)
    notes = []
    for file in files[1:]:
        first, other = _by_name(maps[files[0]]), _by_name(maps[file])
        missing = [name for name in first if name not in other]
        added = [name for name in other if name not in first]
        moved = [name for name in first if name in other and not _same(first[name], other[name])]
        if not (missing or added or moved):
            continue
        parts = []
        if moved:
            some = ", ".join(f"{shown(name)} ({first[name]} and {other[name]})" for name in moved[:SHOWN])
            parts.append(f"{len(moved):,} with another id: {some}")
        for names, words in ((missing, "only in the first"), (added, "only in the second")):
            if names:
                parts.append(f"{len(names):,} {words}: {', '.join(map(shown, names[:SHOWN]))}")
        notes.append(
            f"Class maps differ: {shown(files[0], limit=200)} and {shown(file, limit=200)} do not list the same "
            f"classes ({'; '.join(parts)}). Each file's labels are read by its own list; whoever trains on ids of both "
            f"would mix classes up."
        )
    return notes


def _by_name(entries: ClassList) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at, entry in enumerate(entries):
        found.setdefault(str(entry["name"]), entry.get("id", at))
    return found


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
