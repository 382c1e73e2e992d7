"""The files of manifest versions: names, headers, pointers, one writer at a time, and nothing that is half there.

    v0002.parquet          all rows
    v0002.changes.jsonl    what changed since the parent, one line each
    v0002.source.jsonl     imports after a review only: where the source still says something else
    v0002.json             the header, written last: a version without it does not exist
    tags/NAME.json         a name for a version
    branches/NAME.json     where a branch started; its head is its newest version

Every file is given its name once, by a hard link that fails where the name is taken, and is never changed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from curation.errors import NotFoundError, SettingsError, WorkspaceError
from curation.files import is_abandoned, link_new, workspace_errors, write_atomic

MAIN = "main"
FORMAT = "curate-manifest-1"
# What a header of an older release does not say.
_DEFAULTS: dict[str, Any] = {
    "branch": MAIN,
    "kind": "import",
    "merged": None,
    "decisions": None,
    "changes": {},
    "files": {},
}
# What the fields of a header are, where they are there.
_TEXTS = ("hash", "branch", "kind", "dataset", "author", "message", "created", "header_hash")
_TEXTS_OR_NULL = ("parent", "parent_hash", "merged", "source_hash")
_POINTED = ("name", "hash", "created", "author", "message")  # of a tag or branch
_COUNTS = ("rows", "samples", "annotations", "excluded")
_VERSION = re.compile(r"v(\d{4,9})\.json")
_NAME = re.compile(r"v\d{4,9}")
_PART = re.compile(r"v(\d{4,9})\.(?:parquet|changes\.jsonl|source\.jsonl)")
_POINTER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,58}[A-Za-z0-9_-])?")
_RESERVED = re.compile(
    r"(?:head|v?\d+|(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?)|.*\.json", re.IGNORECASE
)  # mean something else


# --- names -------------------------------------------------------------------------------------------------------


def versions(folder: Path) -> list[str]:
    """Names of the complete versions in a data set's folder, oldest first; none for a folder that is not there."""
    found = [match for match in map(_VERSION.fullmatch, _names(folder)) if match]
    return [f"v{match[1]}" for match in sorted(found, key=lambda match: int(match[1]))]


def number(version: str) -> int:
    """The number of a version: 12 for `v0012`."""
    return int(version[1:])


def read_header(folder: Path, version: str) -> dict[str, Any]:
    """The header of a version, with what an older release left out filled in.

    Raises
    ------
    NotFoundError : there is no such version; lists those that exist.
    WorkspaceError : the header is damaged, or was written by a newer release.
    """
    path = folder / f"{version}.json"
    if not _VERSION.fullmatch(path.name) or path.parent != folder or not path.is_file():
        known = ", ".join(versions(folder)[-20:]) or "none"
        raise NotFoundError(f"There is no version {version!r} in {folder}; there are: {known}.")
    header = {**_DEFAULTS, **read_json(path)}
    if not {"rows", "hash", "parent"} <= set(header) or header.get("version", version) != version:
        raise WorkspaceError(f"{path} is damaged (fields are missing); restore it from a backup or git.")
    wrong = _wrong_fields(header)
    if wrong:
        raise WorkspaceError(f"{path} is damaged (its {wrong[0]} cannot be); restore it from a backup or git.")
    if header.get("format", FORMAT) != FORMAT:
        raise WorkspaceError(f"{path} has the format {header['format']!r}, which a newer curate wrote. Upgrade curate.")
    return header


def _wrong_fields(header: Mapping[str, Any]) -> list[str]:
    """The fields of a header that are not what such a field can be."""
    kinds: dict[str, type | tuple[type, ...]] = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_COUNTS, int)}
    kinds |= dict.fromkeys(_TEXTS_OR_NULL, (str, type(None)))
    wrong = [name for name, kind in kinds.items() if name in header and not isinstance(header[name], kind)]
    wrong += [name for name in ("parent", "merged") if header[name] and not _NAME.fullmatch(str(header[name]))]
    for name, kind in (("files", str), ("changes", int), ("decisions", str)):
        value = header[name] or {}
        if not isinstance(value, dict) or not all(isinstance(part, kind) for part in value.values()):
            wrong.append(name)
    return wrong


def headers(folder: Path) -> dict[str, dict[str, Any]]:
    """All headers by version, oldest first."""
    return {version: read_header(folder, version) for version in versions(folder)}


def head(folder: Path, branch: str = MAIN) -> str | None:
    """The newest version of a branch; None for the main branch of a data set without versions.

    Raises
    ------
    NotFoundError : there is no such branch; lists those that exist.
    """
    for version in reversed(versions(folder)):
        if read_header(folder, version)["branch"] == branch:
            return version
    started = pointers(folder, "branches").get(branch)
    if started is not None:
        return str(started["version"])
    if branch != MAIN:
        known = [MAIN, *pointers(folder, "branches")]
        raise NotFoundError(f"There is no branch {branch!r} in {folder}; there are: {', '.join(known)}.")
    return None


def ancestors(folder: Path, version: str) -> list[str]:
    """A version and all that it was made from, both parents of a merge included, newest first.

    Raises
    ------
    NotFoundError, WorkspaceError : one of them is missing or damaged.
    """
    found: set[str] = set()
    waiting = [version]
    while waiting:
        name = waiting.pop()
        if name not in found:
            header = read_header(folder, name)
            parents = [str(parent) for parent in (header["parent"], header["merged"]) if parent]
            if any(number(parent) >= number(name) for parent in parents):
                raise WorkspaceError(f"{folder / name}.json is damaged (a parent is younger); restore it from git.")
            found.add(name)
            waiting += parents
    return sorted(found, key=number, reverse=True)


def resolve(folder: Path, name: str) -> str:
    """The version that a person means: `v0003`, `v3`, `3`, a tag, a branch (its head), or `head` (that of main).

    Raises
    ------
    NotFoundError : nothing has that name.
    """
    known = versions(folder)
    if name.lower() == "head":
        name = MAIN
    numbered = re.fullmatch(r"v?(\d{1,9})", name, re.ASCII)
    if numbered and f"v{int(numbered[1]):04d}" in known:
        return f"v{int(numbered[1]):04d}"
    tags = pointers(folder, "tags")
    if name in tags:
        name = str(tags[name]["version"])
    elif name == MAIN or name in pointers(folder, "branches"):
        name = head(folder, name) or name
    if name in known:
        return name
    also = [*tags, *pointers(folder, "branches")]
    raise NotFoundError(
        f"There is no version, tag or branch {name!r} in {folder}; there are the versions "
        f"{', '.join(known[-10:]) or 'none'}{' and the names ' + ', '.join(also[:20]) if also else ''}."
    )


def pointers(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Tags (`kind` = "tags") or the starts of branches ("branches"), by name."""
    names = sorted(name.removesuffix(".json") for name in _names(folder / kind) if name.endswith(".json"))
    found = {name: read_json(folder / kind / f"{name}.json") for name in names if not name.startswith(".")}
    for name, value in found.items():
        if not isinstance(value.get("version"), str) or not all(isinstance(value.get(k, ""), str) for k in _POINTED):
            raise WorkspaceError(f"{folder / kind / name}.json is damaged; restore it from a backup or git.")
    return found


def check_pointer_name(name: str) -> str:
    """The name of a tag or branch, if it is safe as a file's and cannot be taken for a version.

    Raises
    ------
    SettingsError : it is not; says what is allowed.
    """
    if not _POINTER.fullmatch(name) or _RESERVED.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot name a tag or branch: up to 60 letters, digits, '.', '_' and '-' can, unless they read "
            f"as a version or as 'head'."
        )
    return name


# --- writing -----------------------------------------------------------------------------------------------------


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """One publisher at a time; the operating system lets go of the lock when its holder dies.

    Yields False on a file system without locks: there, names that can be taken only once let one of two win.
    """
    with workspace_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            locked = True
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed publishers left, see `unfinished`. Only under the lock."""
    for name in unfinished(folder):
        with workspace_errors(folder / name):
            (folder / name).unlink(missing_ok=True)


def unfinished(folder: Path) -> list[str]:
    """What killed publishers left, or one is writing now: temporary files, parts of a version that has no header yet.

    Parts without a header below the newest version are no leftovers, but what somebody deleted a header of.
    """
    newest = max(map(number, versions(folder)), default=0)
    found = []
    for place in ("", "tags/", "branches/"):
        for name in _names(folder / place):
            part = None if place else _PART.fullmatch(name)
            if (name.startswith(".") and name.endswith(".tmp")) or (part and int(part[1]) > newest):
                found.append(place + name)
    return sorted(found)


def tidy(folder: Path) -> None:
    """Remove what a publisher left that was killed when its version existed already; nothing where we may not."""
    if any(name.startswith("v") or is_abandoned(folder / name) for name in unfinished(folder)):
        with suppress(OSError, WorkspaceError), lock(folder) as locked:
            if locked:
                remove_unfinished(folder)


def write_files(
    folder: Path, version: str, parts: Mapping[str, Callable[[BinaryIO], object]], header: dict[str, Any]
) -> None:
    """Write the parts of a version (suffix -> writer), then its header with their hashes. Only under the lock.

    Raises
    ------
    FileExistsError : somebody else took one of the names, on a file system without locks.
    WorkspaceError : they cannot be written; there is no such version then.
    """
    files = {}
    for suffix, write in parts.items():
        path = folder / f"{version}{suffix}"
        write_new(path, write, f"manifest.{'rows' if suffix == '.parquet' else suffix.split('.')[1]}")
        files[path.name] = file_hash(path)
    header = {**header, "files": files}
    header["header_hash"] = header_hash(header)
    write_new(folder / f"{version}.json", json_writer(header), "manifest.header")


def write_new(path: Path, write: Callable[[BinaryIO], object], name: str) -> None:
    """Write a file whose name nobody has taken, durably; FileExistsError where somebody has."""
    try:
        write_atomic(path, write, name, link_new)
    except WorkspaceError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise error.__cause__ from None
        raise


def write_pointer(folder: Path, kind: str, name: str, value: dict[str, Any]) -> None:
    """Write a tag or the start of a branch.

    Raises
    ------
    SettingsError : the name is not allowed, or a tag or branch has it already, but for upper and lower case.
    """
    check_pointer_name(name)
    with lock(folder) as locked:
        if locked:
            remove_unfinished(folder)
        taken = {other.lower(): other for other in (MAIN, *pointers(folder, "tags"), *pointers(folder, "branches"))}
        with suppress(FileExistsError):
            if name.lower() not in taken:
                write_new(folder / kind / f"{name}.json", json_writer(value), "manifest.pointer")
                return
    raise SettingsError(
        f"There is a tag or branch {taken.get(name.lower(), name)!r} already; tags and branches are never moved, so "
        "choose another name."
    )


def json_writer(value: Any) -> Callable[[BinaryIO], object]:
    """What writes `value` as indented JSON; lone surrogates, which have no UTF-8 form, as escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return lambda stream: stream.write(text.encode("utf-8", "backslashreplace"))


def json_lines_writer(values: Iterable[Mapping[str, Any]]) -> Callable[[BinaryIO], object]:
    """What writes one JSON object per line; no character that some programs take for a line's end stays bare."""

    def write(stream: BinaryIO) -> None:
        for value in values:
            line = json.dumps(value, ensure_ascii=False, allow_nan=False)
            for mark in ("\x85", "\u2028", "\u2029"):
                line = line.replace(mark, f"\\u{ord(mark):04x}") if mark in line else line
            stream.write(line.encode("utf-8", "backslashreplace") + b"\n")

    return write


# --- reading -----------------------------------------------------------------------------------------------------


def read_lines(path: Path, containing: str = "") -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, of those lines only that contain some text; none where there is no file.

    Raises
    ------
    WorkspaceError : it is damaged; names the line.
    """
    found = []
    at = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                at += 1
                if containing in line:
                    value = json.loads(line)
                    if not _is_change(value):
                        raise ValueError("it is no change")
                    found.append(value)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path}:{at} is damaged ({error}); restore it from a backup or git.") from error
    return found


def _is_change(value: Any) -> bool:
    """Whether a line says what happened, and, but for that of a first import, to which sample."""
    if not isinstance(value, dict) or not isinstance(value.get("change"), str):
        return False
    of_sample = ("sample_id", "annotation_id", "path")
    return value["change"] == "import" or all(isinstance(value.get(name), str) for name in of_sample)


def header_hash(header: Mapping[str, Any]) -> str:
    """`sha256:` and the hex digest of a header without its own `header_hash`, however it is indented."""
    text = json.dumps({name: value for name, value in header.items() if name != "header_hash"}, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def file_hash(path: Path) -> str:
    """`sha256:` and the hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}); restore it from a backup or git.") from error
    if not isinstance(value, dict):
        raise WorkspaceError(f"{path} is damaged (it is no object); restore it from a backup or git.")
    return value


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be read: {error.strerror or error}.") from error
