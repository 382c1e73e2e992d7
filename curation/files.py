"""Writing files so that a reader sees the old content or the new, never a part of either."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from curation.errors import WorkspaceError

ANOTHER_WORKSPACE = "Choose a place that you can write to with --workspace DIR."

# Fault injection for tests: {"manifest.after_rename": ["kill", 3]} kills the process the third time that point is
# passed. Only the command line fills it (from CURATE_FAILPOINT), so that the library itself reads no environment.
_failpoints: dict[str, list[Any]] = {}


def set_failpoints(text: str) -> None:
    """Arm fault-injection points from `name:kind:count[,...]`; kind is `kill` or an error such as `enospc`."""
    _failpoints.clear()
    for part in filter(None, text.split(",")):
        name, kind, count = part.split(":")
        _failpoints[name] = [kind, int(count)]


def failpoint(name: str) -> None:
    """Do nothing, unless a test armed this point: then die or fail as an operating system would."""
    armed = _failpoints.get(name)
    if armed is None:
        return
    armed[1] -= 1
    if armed[1] > 0:
        return
    if armed[0] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    code = getattr(errno, armed[0].upper())
    raise OSError(code, os.strerror(code), name)


def write_atomic(
    path: Path,
    write: Callable[[BinaryIO], object],
    name: str = "file",
    place: Callable[[str, Path], object] = os.replace,
    option: str = "--workspace DIR",
) -> None:
    """Write a file through a temporary name in the same folder, fsync, rename, fsync of the folder.

    What a killed process left of an earlier try to write this file is removed on the way.

    `name` is the prefix of the fault-injection points `<name>.before_write`, `.before_sync`, `.before_rename`,
    `.after_rename`. `place` gives the finished file its name: `os.replace`, or `link_new` where nobody else's file of
    that name may be replaced. `option` is what a user says to choose another place.

    Raises
    ------
    WorkspaceError : the folder cannot be written, the disk is full, or the name is taken by a folder, pipe or device;
        the old file, if any, is untouched.
    """
    temporary = None
    try:
        with workspace_errors(path, option):
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_special(path)
            remove_leftovers(path)
            failpoint(f"{name}.before_write")
            handle, temporary = _open_temporary(path)
            with os.fdopen(handle, "wb") as stream:
                write(stream)
                stream.flush()
                failpoint(f"{name}.before_sync")
                os.fsync(stream.fileno())
                # mkstemp makes private files; a team shares manifests and runs through ordinary permissions.
                os.chmod(temporary, 0o666 & ~_umask())
                failpoint(f"{name}.before_rename")
                place(temporary, path)
                temporary = None
            failpoint(f"{name}.after_rename")
            sync_folder(path.parent)
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def link_new(temporary: str, path: Path) -> None:
    """Give a finished file its name, or raise FileExistsError where somebody else's file has it."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK):
            raise
        if path.exists():  # a file system without hard links: whoever needs more than this look holds a lock
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        os.rename(temporary, path)
        return
    failpoint("link.before_unlink")
    os.unlink(temporary)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `write_atomic` for `path` whose process was killed; none where that is refused."""
    for file in path.parent.glob(glob.escape(_temporary_prefix(path)) + "*.tmp"):
        if is_abandoned(file):
            with suppress(OSError):
                file.unlink()


def is_abandoned(temporary: Path) -> bool:
    """Whether no process is writing a temporary file: its writer holds a lock on it, which dies with the process."""
    try:
        handle = os.open(temporary, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:  # held, or a file system without locks
        return False
    finally:
        os.close(handle)


def _refuse_special(path: Path) -> None:
    """A rename onto /dev/null or /dev/stdout, where we may, would take it away from the whole machine."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise WorkspaceError(f"{path} is a folder, a pipe or a device: choose the name of an ordinary file.")


def _open_temporary(path: Path) -> tuple[int, str]:
    """A locked, empty temporary file for `path`: its descriptor and name."""
    while True:
        handle, temporary = tempfile.mkstemp(prefix=_temporary_prefix(path), suffix=".tmp", dir=path.parent)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(temporary):  # else it was taken for a leftover in the instant before the lock
            return handle, temporary
        os.close(handle)


def _temporary_prefix(path: Path) -> str:
    return f".{path.name[:50]}."  # up to 200 bytes of the 255 that a name can have


@contextmanager
def workspace_errors(path: Path, option: str = "--workspace DIR") -> Iterator[None]:
    """Turn what the operating system refuses (full disk, no permission) into a WorkspaceError that names `path`."""
    try:
        yield
    except OSError as error:
        advice = f"Choose a place that you can write to with {option}."
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = f"Free some space, or choose another place with {option}, and run the same command again."
        elif error.errno in (errno.EMFILE, errno.ENFILE):
            advice = "Close other programs or allow more open files (ulimit -n), and run the same command again."
        raise WorkspaceError(f"{path} could not be written: {error.strerror or error}. {advice}") from error


def check_workspace(folder: Path) -> None:
    """Say at once what would otherwise fail late: a workspace that is no folder and cannot become one.

    Raises
    ------
    WorkspaceError : it is a file or below one, a loop of links, out of reach, or its name is too long.
    """
    try:
        mode = os.stat(folder).st_mode
    except FileNotFoundError:
        return  # it will be made
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise WorkspaceError(f"The workspace {folder} cannot be used: {reason}. {ANOTHER_WORKSPACE}") from error
    if not stat.S_ISDIR(mode):
        raise WorkspaceError(f"The workspace {folder} is not a folder. {ANOTHER_WORKSPACE}")


def open_for_arrow(path: Path) -> Any:
    """A file opened for pyarrow, which itself opens only names that are UTF-8; use it in a `with` statement."""
    import pyarrow as pa

    return pa.OSFile(os.fsencode(path))


def write_json(path: Path, value: Any, name: str = "file") -> None:
    """Write `value` as indented UTF-8 JSON with a final newline, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A lone surrogate (from a file name that is not UTF-8) has no UTF-8 form; escape just those.
    write_atomic(path, lambda stream: stream.write(text.encode("utf-8", "backslashreplace")), name)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
