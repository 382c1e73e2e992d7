"""From a path as a table writes it to a picture that a walk has found: nothing else can be reached."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from curation.importers.listing import Listing, is_image_name, list_one
from curation.records import path_to_text, text_to_path

_REFUSED = (
    (re.compile(r"\0"), "the path holds a NUL character"),
    (re.compile(r"[a-z][a-z0-9+.-]+:/", re.I), "the path is a web address or URL; nothing is fetched"),
    (re.compile(r"[/\\]"), "the path is absolute; paths are relative to the source folder"),
    (re.compile(r"[a-z]:[\\/]", re.I), "the path names a drive; paths are relative to the source folder"),
    (re.compile(r"(.*[/\\])?\.\.([/\\]|$)", re.S), "the path leaves the folder ('..')"),
    (re.compile(r".*%(2e%2e|2f|5c)", re.I | re.S), "the path has percent-escapes, which are not decoded"),
)


class Finder:
    """Looks up pictures by the paths of a table, and counts what it had to bend to find them.

    Only what a walk of the folder has found is ever given back, so no spelling of a path can lead out of it.
    """

    def __init__(self, listing: Listing) -> None:
        self.known = {path_to_text(path) for path in listing.images}
        self.bent: Counter[str] = Counter()
        self._refused_by_walk = {path_to_text(path): reason for path, reason in listing.rejected}
        self._by_form: dict[str, str] | None = None
        self._by_stem: dict[str, list[str]] = {}

    def find(self, cell: str) -> tuple[str, str]:
        """(path, "") of the picture that a cell means, or ("", why there is none)."""
        if cell in self.known:
            return cell, ""
        if (text := path_to_text(cell)) in self.known:  # differs for a name that looks escaped
            return text, ""
        reason = refusal(cell)
        if reason:
            return "", reason
        clean = tidy(cell)
        for bend, candidate in (
            ("./ or // in the path", clean),
            ("blanks around the path", clean.strip()),
            ("backslashes between folders", tidy(clean.strip().replace("\\", "/"))),
        ):
            if candidate in self.known:
                self.bent[bend] += 1
                return candidate, ""
        return self._find_alike(clean.strip())

    def _find_alike(self, path: str) -> tuple[str, str]:
        if self._by_form is None:
            self._by_form = {_form(known): known for known in self.known}
            for known in self.known:
                self._by_stem.setdefault(os.path.splitext(known)[0], []).append(known)
        if _form(path) in self._by_form:
            self.bent["another Unicode form"] += 1
            return self._by_form[_form(path)], ""
        twins = self._by_stem.get(path, [])
        if len(twins) == 1 and not is_image_name(path):
            self.bent["no file ending"] += 1
            return twins[0], ""
        if len(twins) > 1:
            return "", f"the path has no file ending, and {len(twins)} pictures have this name"
        return "", self._why_missing(path)

    def _why_missing(self, path: str) -> str:
        parts = path.split("/")
        for end in range(len(parts), 0, -1):
            reason = self._refused_by_walk.get("/".join(parts[:end]))
            if reason:
                return reason if end == len(parts) else f"its folder is {reason}"
        if any(part.startswith(".") for part in parts):
            return "hidden files are not read"
        return "there is no such file"


def refusal(cell: str) -> str:
    """Why a path is never looked for, "" where it may be."""
    if not cell.strip():
        return "the path is empty"
    text = cell.strip()
    return next((reason for pattern, reason in _REFUSED if pattern.match(text)), "")


def tidy(path: str) -> str:
    """`path` without `.` parts and doubled slashes."""
    if "//" not in path and "./" not in path and not path.endswith(("/", "/.")):
        return path
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def list_mentioned(root: Path, cells: Iterable[str]) -> Listing:
    """List only the folders that a table mentions: it may lie in a folder with much else in it."""
    listing = Listing()
    folders = set()
    for cell in cells:
        if "/" not in cell:  # here it may be just a name, backslashes and all
            folders.add("")
        if not refusal(cell):
            clean = tidy(cell.strip())
            folders.add(clean.rpartition("/")[0])
            if "\\" in clean:
                folders.add(tidy(clean.replace("\\", "/")).rpartition("/")[0])
    checked: dict[str, str] = {}
    for folder in sorted(map(text_to_path, folders)):
        if not _folder_problem(root, folder, checked, listing):
            list_one(root, folder, listing)
    listing.images.sort()
    return listing


def suggestion(root: Path, cells: Sequence[str], known: Iterable[str]) -> str:
    """What else the user may have meant when no row was found."""
    cell = next((tidy(cell) for cell in cells if not refusal(cell)), "")
    if not cell:
        return ""
    if cell.startswith(f"{root.name}/"):
        return (
            f" The paths start with {root.name!r}, so they seem to be relative to {str(root.parent)!r}: "
            f"give that as the source."
        )
    inner = next((path for path in sorted(known) if path.endswith(f"/{cell}")), "")
    folder = root / inner[: -len(cell) - 1] if inner else _subfolder_with(root, cell)
    if folder is None:
        return ""
    return f" A file of that name is in {str(folder)!r}: give that as the source, and the table with --labels."


def _subfolder_with(root: Path, cell: str) -> Path | None:
    """The first folder directly in `root` that has a file `cell`."""
    try:
        folders = sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return None
    return next((folder for folder in folders if os.path.lexists(folder / text_to_path(cell))), None)


def _folder_problem(root: Path, folder: str, checked: dict[str, str], listing: Listing) -> str:
    """Why a folder is not listed, going by the first folder on the way to it that is none."""
    place = ""
    for part in folder.split("/"):
        place = f"{place}/{part}" if place else part
        if place not in checked:
            checked[place] = _own_problem(root / place, place, listing)
        if checked[place]:
            return checked[place]
    return ""


def _own_problem(full: Path, folder: str, listing: Listing) -> str:
    """A link is reported once, as a rejected file; an absent folder shows in its rows."""
    if os.path.islink(full):
        reason = "a link to a folder; links to folders are not followed"
        listing.rejected.append((folder, reason))
        return reason
    return "" if os.path.isdir(full) else "absent"


def _form(path: str) -> str:
    return path if path.isascii() else unicodedata.normalize("NFC", path)
