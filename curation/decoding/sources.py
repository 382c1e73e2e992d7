"""Open one picture of a data set safely: a file below its root, or a member of an array file, table or archive there.

Only regular files are opened: links that leave the root, pipes, devices, sockets and folders are refused with a reason,
and the check is made on the open descriptor, so that nothing can be put in between.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import lru_cache
from pathlib import Path

from curation.decoding import Picture, decode_picture
from curation.decoding.tfrecord import PATTERN as _TFRECORD
from curation.decoding.tfrecord import is_tfrecord
from curation.errors import UnreadableError
from curation.file_names import text_to_path

MAX_FILE_BYTES = 512 * 2**20

_MEMBER = re.compile(rf"(?is)(.*(?:\.(?:npz|h5|hdf5|parquet|tar)|{_TFRECORD}))#(?:(.+)/)?(\d{{1,12}})", re.ASCII)
_BUNDLES = (".parquet", ".tar")


def split_member(path: str) -> tuple[str, str, int] | None:
    """(file, key, index) of a container member such as `digits.npz#images/17`; None for an ordinary file."""
    found = _MEMBER.fullmatch(path)
    return (found[1], found[2] or "", int(found[3])) if found else None


def is_bundle(file: str) -> bool:
    """Whether a container holds image files (`train-000000.tar#17`), not arrays of pixels."""
    return file.lower().endswith(_BUNDLES) or is_tfrecord(file)


def open_picture(root: Path, path: str, short_px: int | None = None) -> Picture:
    """The picture at `path` (text of the records table: relative to `root`, POSIX, maybe a container member).

    `short_px` lets a JPEG be decoded faster, at a reduced scale that still has so many pixels on its short side.

    Raises
    ------
    UnreadableError : it cannot be read; the text is the reason.
    """
    member = split_member(path)
    if member is None:
        return decode_picture(read_bytes(root, path), short_px)
    file, key, index = member
    if is_bundle(file):
        from curation.decoding.bundles import read_member  # here: few sets have any

        return decode_picture(read_member(locate(root, file), key, index), short_px)
    from curation.decoding.containers import open_container

    return open_container(locate(root, file), key).picture(index)


def read_bytes(root: Path, path: str, limit: int | None = None) -> bytes:
    """All bytes of a regular file below `root`, or the first `limit`.

    Raises
    ------
    UnreadableError : not there, not a regular file, a link that leads out of the root, too large, or failing to read.
    """
    data, _ = read_bytes_and_stat(root, path, limit)
    return data


def read_bytes_and_stat(root: Path, path: str, limit: int | None = None) -> tuple[bytes, os.stat_result]:
    """As `read_bytes`, with the state of the open file before it was read."""
    location = _locate(root, path)
    try:
        descriptor = os.open(location, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            state = os.fstat(descriptor)
            _refuse_unless_regular(state.st_mode)
            if state.st_size > MAX_FILE_BYTES:
                raise UnreadableError(f"larger than {MAX_FILE_BYTES // 2**20} MB ({state.st_size:,} bytes)")
            wanted = state.st_size if limit is None else min(limit, state.st_size)
            data = os.read(descriptor, wanted)
            while 0 < len(data) < wanted and (more := os.read(descriptor, wanted - len(data))):
                data += more
            return data, state
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnreadableError(_plain(error)) from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableError(f"not a file name ({error})") from error


def locate(root: Path, path: str) -> Path:
    """Where `path` (text, relative to `root`) lies, links resolved; refuses whatever is outside of the root.

    Raises
    ------
    UnreadableError : the path is absolute, climbs with `..`, or a link on the way leads out of the root.
    """
    return Path(_locate(root, path))


def _locate(root: Path, path: str) -> str:
    name = text_to_path(path)
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise UnreadableError("its path leads out of the data set's folder")
    folder, _, last = name.rpartition("/")
    try:
        location = _real_folder(os.path.join(root, folder), os.fspath(root)) + "/" + last
        state = os.lstat(location)
        if stat.S_ISLNK(state.st_mode):
            target = os.path.realpath(location, strict=True)
            if not _inside(target, os.path.realpath(root)):
                raise UnreadableError("a link that leads out of the data set's folder")
            location, state = target, os.lstat(target)
        _refuse_unless_regular(state.st_mode)
        return location
    except OSError as error:
        raise UnreadableError(_plain(error)) from error
    except ValueError as error:
        raise UnreadableError(f"not a file name ({error})") from error


def regular_state(root: Path, path: str) -> os.stat_result | None:
    """The state of a regular file that is no link itself; None for anything that needs a closer look."""
    try:
        folder, _, last = text_to_path(path).rpartition("/")
        if path.startswith("/") or ".." in path.split("/"):
            return None
        state = os.lstat(_real_folder(os.path.join(root, folder), os.fspath(root)) + "/" + last)
    except (OSError, ValueError, UnreadableError):
        return None
    return state if stat.S_ISREG(state.st_mode) else None


@lru_cache(maxsize=4096)
def _real_folder(folder: str, root: str) -> str:
    real = os.path.realpath(folder, strict=True)
    if not _inside(real, os.path.realpath(root)):
        raise UnreadableError("below a link that leads out of the data set's folder")
    return real


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _refuse_unless_regular(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
    }
    raise UnreadableError(f"{kinds.get(stat.S_IFMT(mode), 'something')}, not a file")


def _plain(error: OSError) -> str:
    known = {
        errno.EACCES: "no permission to read it",
        errno.EPERM: "no permission to read it",
        errno.ENOENT: "the file does not exist",
        errno.ENOTDIR: "the file does not exist",
        errno.ELOOP: "a link that leads nowhere (a loop)",
        errno.ENXIO: "a socket or pipe, not a file",
        errno.ENAMETOOLONG: "the file name is too long",
    }
    return known.get(error.errno or 0, f"the file could not be read: {error.strerror or error}")
