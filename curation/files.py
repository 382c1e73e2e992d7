"""Writing files so that a reader sees the old content or the new, never a part of either."""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from curation.errors import WorkspaceError

# Fault injection for tests: {"manifest.after_rename": ["kill", 3]} kills the process the third time that point is
# passed. Only the command line fills it (from CURATE_FAILPOINT), so that the library itself reads no environment.
_failpoints: dict[str, list[Any]] = {}


def set_failpoints(text: str) -> None:
    """Arm fault-injection points from `name:kind:count[,...]`; kind is `kill`, `enospc` or `eio`."""
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
    code = errno.ENOSPC if armed[0] == "enospc" else errno.EIO
    raise OSError(code, os.strerror(code), name)


def write_atomic(path: Path, write: Callable[[BinaryIO], object], name: str = "file") -> None:
    """Write a file through a temporary name in the same folder, fsync, rename, fsync of the folder.

    `name` is the prefix of the fault-injection points `<name>.before_write`, `.before_rename`, `.after_rename`.

    Raises
    ------
    WorkspaceError : the folder cannot be written or the disk is full; the old file, if any, is untouched.
    """
    temporary = None
    try:
        with workspace_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            failpoint(f"{name}.before_write")
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            # mkstemp makes private files; a team shares manifests and runs through ordinary permissions.
            os.chmod(temporary, 0o666 & ~_umask())
            failpoint(f"{name}.before_rename")
            os.replace(temporary, path)
            temporary = None
            failpoint(f"{name}.after_rename")
            sync_folder(path.parent)
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def workspace_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses (full disk, no permission) into a WorkspaceError that names `path`."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(f"{path} could not be written: {error.strerror or error}. {_advice(error)}") from error


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


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space, or choose another place with --workspace DIR, and run the same command again."
    return "Choose a folder that you can write to with --workspace DIR."
