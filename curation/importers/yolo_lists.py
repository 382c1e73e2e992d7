"""What a YOLO data set says beside its label files: class lists, and which pictures are in which split.

Ultralytics' data.yaml, darknet's obj.data and obj.names, and the classes.txt that labelling programs leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.decoding.sources import read_bytes
from curation.errors import LabelParseError, UnreadableError
from curation.importers.assemble import SHOWN, SPLITS, canonical_split, shown
from curation.importers.listing import is_image_name
from curation.importers.yaml_file import read_yaml
from curation.records import path_to_text

CLASS_FILES = ("classes.txt", "predefined_classes.txt", "_classes.txt")
_YAML_OWN = {"names", "nc", "path", "train", "val", "valid", "validation", "test", "download"}


@dataclass
class Lists:
    """classes : file -> its classes, each with `name` and `id`
    of_picture : path of a picture -> its split, by a list
    of_folder : folder -> the split of what is in it
    about : other keys of data.yaml
    read : text files that are none of labels
    """

    classes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    of_picture: dict[str, str] = field(default_factory=dict)
    of_folder: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def names_for(self, path: str) -> tuple[str, list[dict[str, Any]]]:
        """(file, classes) of the class list that is nearest to a label file on the way up, else the first one."""
        folder = path.rpartition("/")[0]
        while True:
            here = next((file for file in self.classes if file.rpartition("/")[0] == folder), "")
            if here:
                return here, self.classes[here]
            if not folder:
                return next(iter(self.classes.items()), ("", []))
            folder = folder.rpartition("/")[0]

    def split_of(self, path: str) -> str:
        """The split of a picture by lists and listed folders, "" = they do not say."""
        if path in self.of_picture:
            return self.of_picture[path]
        folder = path
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in self.of_folder:
                return self.of_folder[folder]
        return self.of_folder.get("", "")


def read_lists(root: Path, files: Iterable[str], folders: Iterable[str], pictures: set[str]) -> Lists:
    """Read whatever of `files` (not pictures, as the walk found them) is no label file.

    Raises
    ------
    LabelParseError : a data.yaml or obj.data that cannot be read; without it every label would be wrong.
    """
    lists = Lists()
    names = sorted(map(path_to_text, files), key=lambda name: (name.count("/"), name))
    places = _Places({*map(path_to_text, folders), ""}, set(names), pictures)
    for name in names:
        last = name.rpartition("/")[2].lower()
        if last.endswith((".yaml", ".yml")):
            _add_yaml(root, name, places, lists)
        elif last.endswith(".data"):
            _add_data(root, name, places, lists)
    for name in names:
        last = name.rpartition("/")[2].lower()
        if last.endswith(".names") or last in CLASS_FILES:
            lines = _lines(root, name, lists)
            lists.classes.setdefault(name, [{"name": line, "id": at} for at, line in enumerate(lines)])
        elif last[:-4] in SPLITS and last.endswith(".txt") and name not in lists.read:
            lines = _lines(root, name, lists)
            if lines and all(is_image_name(line.strip()) for line in lines[:20]):
                _add_list(lines, name, canonical_split(last[:-4]), places, lists)
            else:
                lists.read.discard(name)
    return lists


# --- data.yaml and obj.data ------------------------------------------------------------------------------------------


def _add_yaml(root: Path, name: str, places: _Places, lists: Lists) -> None:
    try:
        said = read_yaml(read_bytes(root, name), name)
    except UnreadableError as error:
        raise LabelParseError(f"{name} cannot be read: {error}.") from error
    if not isinstance(said, dict) or "names" not in said:
        return
    lists.read.add(name)
    lists.classes[name] = _yaml_classes(name, said["names"])
    count = said.get("nc", "")
    if count and count != str(len(lists.classes[name])):
        lists.notes.append(f"{name} says nc: {shown(str(count))}, but names {len(lists.classes[name])} classes.")
    lists.about |= {key: value for key, value in said.items() if key not in _YAML_OWN}
    bases = (said.get("path", ""), "")
    for key in ("train", "val", "valid", "validation", "test"):
        entries = said.get(key, [])
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, str) and entry.strip():
                _add_place(root, entry, name, bases, canonical_split(key), places, lists)


def _yaml_classes(name: str, said: Any) -> list[dict[str, Any]]:
    if isinstance(said, list):
        said = {str(at): value for at, value in enumerate(said)}
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise LabelParseError(f"{name}: names is neither a list of texts nor an object of number: text.")
    if not all(key.isascii() and key.isdigit() for key in said):
        raise LabelParseError(f"{name}: the keys of names are class numbers, 0, 1, 2 ...")
    return [{"name": value, "id": int(key)} for key, value in said.items()]


def _add_data(root: Path, name: str, places: _Places, lists: Lists) -> None:
    lines = (line.partition("=") for line in _lines(root, name, lists) if not line.startswith("#"))
    said = {key.strip(): value.strip() for key, _, value in lines}
    for key, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        if said.get(key):
            _add_place(root, said[key], name, ("",), split, places, lists)
    found = places.find(said.get("names", ""), name, ("",), "file")
    if found:
        lines_of = _lines(root, found, lists)
        lists.classes[found] = [{"name": line, "id": at} for at, line in enumerate(lines_of)]


def _add_place(
    root: Path, entry: str, name: str, bases: Iterable[str], split: str, places: _Places, lists: Lists
) -> None:
    """A folder of pictures, or a list of them, that data.yaml or obj.data names."""
    bases = tuple(base for base in bases if isinstance(base, str))
    listed = places.find(entry, name, bases, "file") if entry.strip().lower().endswith(".txt") else ""
    if listed:
        _add_list(_lines(root, listed, lists), listed, split, places, lists)
        return
    folder = places.find(entry, name, bases, "folder")
    if folder is None:
        lists.notes.append(f"{name} says that {split} is {shown(entry.strip())}, which is not there.")
    elif lists.of_folder.setdefault(folder, split) != split:
        first = lists.of_folder[folder]
        lists.notes.append(f"{name} says that {shown(folder)} is {first}, which counts, and {split}.")


def _add_list(lines: list[str], name: str, split: str, places: _Places, lists: Lists) -> None:
    missing = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        path = places.find(line, name, ("",), "picture")
        if path is None:
            missing.append((line.strip(), f"{name} line {number}: there is no such picture"))
        elif lists.of_picture.setdefault(path, split) != split:
            first = lists.of_picture[path]
            lists.notes.append(f"{name} line {number}: {shown(path)} is in {split}, too; {first} counts.")
            del lists.notes[SHOWN:]
    lists.rejected += missing


def _lines(root: Path, name: str, lists: Lists) -> list[str]:
    """The lines of a text file; one that cannot be read is a rejected row."""
    lists.read.add(name)
    try:
        lines = read_bytes(root, name).decode("utf-8-sig").split("\n")
    except (UnreadableError, UnicodeDecodeError) as error:
        lists.rejected.append((name, f"{name} cannot be read: {error}"))
        return []
    lines = [line.removesuffix("\r") for line in lines]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


class _Places:
    """Finds what a path in somebody's file means here: their folders are others, but their ends are the same."""

    def __init__(self, folders: set[str], files: set[str], pictures: set[str]) -> None:
        self._known = {"folder": folders, "file": files, "picture": pictures}

    def find(self, entry: str, name: str, bases: Iterable[str], kind: str) -> str | None:
        """The longest end of the path `entry` that is something of that kind below the file `name`, or the root.

        The name of a split is never cut off: `../train/images` is not any folder `images`.
        """
        parts = _parts(entry)
        here = _parts(name)[:-1]
        roots = [*([*here, *_parts(base)] for base in bases), here, []]
        for start in range(len(parts) + (kind == "folder" and not parts)):
            for above in roots:
                path = "/".join([*above, *parts[start:]])
                if path in self._known[kind]:
                    return path
            if start < len(parts) and parts[start].lower() in SPLITS:
                return None
        return None


def _parts(path: str) -> list[str]:
    return [part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".", "..")]
