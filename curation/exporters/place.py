"""Where an export goes: a place where nothing can be lost, and a folder that appears there whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from curation.errors import SettingsError, WorkspaceError
from curation.export_table import NAME, is_export, read_table
from curation.files import failpoint, is_abandoned, sync_folder, workspace_errors

OTHER = "another DEST"
_OURS = ("data_manifest", ".curate")
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100


def check_place(dest: Path, sources: list[Path], workspace: Path, overwrite: bool) -> Path:
    """Where the export will be, absolute, links in folders above it resolved; refuses whatever could do harm.

    sources : folders and files that hold the source

    Raises
    ------
    SettingsError : it is a link, a file, a folder with something in it (with `overwrite`: that is not wholly an
        export), the workspace or something of its own, or inside the source or around it.
    """
    try:
        place = Path(os.path.realpath(dest.parent)) / dest.name
        if dest.name in ("", ".", ".."):
            place = Path(os.path.realpath(dest))
        there = os.path.lexists(place)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{str(dest)!r} cannot be a place for an export ({error}).") from error
    if os.path.islink(place):
        raise SettingsError(f"{dest} is a link; name the folder itself, or another one.")
    if there and not os.path.isdir(place):
        raise SettingsError(f"{dest} is a file, not a folder; name a folder that is not there yet.")
    home = Path(os.path.realpath(workspace))
    if home == place or home.is_relative_to(place):
        raise SettingsError(f"{dest} is the workspace, or around it; name a folder inside of it, or elsewhere.")
    if any(place.is_relative_to(home / name) for name in _OURS):
        raise SettingsError(f"{dest} is where curate keeps its own files; name a folder elsewhere.")
    for source in sources:
        if place.is_relative_to(source) or source.is_relative_to(place):
            raise SettingsError(
                f"{dest} is inside the source {source}, or around it, and the source is never written to. "
                f"Name a folder elsewhere."
            )
    if os.path.ismount(place):
        raise SettingsError(f"{dest} is where a file system is mounted, and cannot be renamed; name a folder in it.")
    if there and os.listdir(place):
        _check_replaceable(dest, place, overwrite)
    return place


def _check_replaceable(dest: Path, place: Path, overwrite: bool) -> None:
    if not is_export(place):
        raise SettingsError(f"{dest} exists, and is no export of curate; name a folder that is not there yet.")
    if not overwrite:
        raise SettingsError(f"{dest} holds an export already; replace it with --overwrite, or name another folder.")
    others = strangers(place)
    if others:
        raise SettingsError(
            f"{dest} holds {len(others):,} things that curate did not write, the first is {others[0][:200]!r}. "
            f"Move them away, or name another folder."
        )


def strangers(place: Path) -> list[str]:
    """What is in an export and not part of it: relative paths, sorted."""
    table = read_table(place)
    known = {NAME, "README.md", *table.facts["files"], *table.rows["path"].tolist()}
    found = []
    for folder, _, files in os.walk(place):
        inside = os.path.relpath(folder, place)
        found += [name if inside == "." else f"{inside}/{name}" for name in files]
    return sorted(name for name in found if name not in known)


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """An empty folder beside `place`, with which `publish` can replace it; removed at the end if that did not happen.

    What exports to the same place left that were killed is removed first, and put back where it was the old export.

    Raises
    ------
    WorkspaceError : what the operating system refuses (full disk, no permission), also of whatever is written inside
        of the `with` block.
    """
    with workspace_errors(place, OTHER):
        place.parent.mkdir(parents=True, exist_ok=True)
        _clear(place)
        folder = Path(f"{_prefix(place)}{secrets.token_hex(4)}.partial")
        folder.mkdir()
        handle = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield folder
        finally:
            if os.path.lexists(folder):
                shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def publish(folder: Path, place: Path, overwrite: bool) -> None:
    """Give a finished folder its name in one step; what was there before (an export, with `overwrite`) is removed.

    Raises
    ------
    WorkspaceError : somebody else put something there meanwhile; that is left alone.
    """
    failpoint("export.before_rename")
    if overwrite and os.path.isdir(place) and os.listdir(place):
        _exchange(folder, place)
        failpoint("export.after_exchange")
        sync_folder(place.parent)
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        os.rename(folder, place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise WorkspaceError(f"{place} was made by somebody else meanwhile; nothing of it was touched.") from error
    failpoint("export.after_rename")
    sync_folder(place.parent)


def _exchange(folder: Path, place: Path) -> None:
    """Swap two folders, in one step where the system can."""
    with suppress(OSError, AttributeError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        if call(_AT_FDCWD, os.fsencode(folder), _AT_FDCWD, os.fsencode(place), _EXCHANGE) == 0:
            return
    old = Path(f"{_prefix(place)}{secrets.token_hex(4)}.old")
    os.rename(place, old)
    failpoint("export.between_renames")
    os.rename(folder, place)
    os.rename(old, folder)


def _clear(place: Path) -> None:
    """Put right what a killed export left beside `place`."""
    for name in glob.glob(glob.escape(_prefix(place)) + "*.old"):
        if not os.path.lexists(place):
            os.rename(name, place)  # killed between the two renames: nobody ever lost the old export
        else:
            shutil.rmtree(name, ignore_errors=True)
    for name in glob.glob(glob.escape(_prefix(place)) + "*.partial"):
        if is_abandoned(Path(name)):
            shutil.rmtree(name, ignore_errors=True)


def _prefix(place: Path) -> str:
    return f"{place.parent}/.{place.name[:50]}.curate-export."
