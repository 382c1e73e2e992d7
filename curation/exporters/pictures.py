"""Pictures on their way into an export: read once, checked against the version, copied, linked or decoded."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from curation.cores import usable_cores
from curation.decoding import FORMATS
from curation.decoding.sources import is_bundle, locate, split_member
from curation.decoding.stored import load_stored
from curation.errors import SourceError, UnreadableError
from curation.exporters.contract import Content
from curation.exporters.marks import sample_facts
from curation.exporters.names import safe_name, twin_key
from curation.files import failpoint
from curation.importers.assemble import shown
from curation.progress import Progress

DEFAULT_SIZE = 224  # pixels of a side, where pictures are resized and do not all have one size
MOST_PX = 4096  # of a side of resized pictures
# What torchvision's ImageFolder takes for a picture; all others it leaves out without a word.
IMAGE_FOLDER = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
_BATCH = 256  # pictures that are decoded ahead of the one that is written


def suffix_of(format_name: str) -> str:
    """The usual file name ending of a format; members of arrays become PNG."""
    known = FORMATS.get(format_name)
    return ".webp" if format_name == "WEBP" else known[2].split()[0] if known else ".png"


def picture_names(content: Content) -> list[str]:
    """A safe name for each picture's file: its own, where it can be one and says that it is a picture."""
    found = []
    names = _own_names(content)
    for path, name, format_name in zip(
        content.samples["path"].tolist(), names, content.samples["format"].tolist(), strict=True
    ):
        stem, ending = os.path.splitext(name)
        wanted = suffix_of(format_name)
        if format_name == "ARRAY":
            name = f"{path.rpartition('/')[2].replace('#', '-')}.png"
        elif ending.lower() not in IMAGE_FOLDER and not (ending and wanted not in IMAGE_FOLDER and ending == wanted):
            name = stem + wanted
        safe = safe_name(name)
        stem, ending = os.path.splitext(safe)
        if ending.lower() != os.path.splitext(name)[1].lower() or not stem:  # it was cut, or nothing else was left
            safe = (stem or "unnamed") + os.path.splitext(name)[1].lower()
        found.append(safe)
    return found


def _own_names(content: Content) -> list[str]:
    """What each picture is called where it is: the name of its file, or the one that a record gives it, or its place in
    an archive."""
    paths = content.samples["path"].tolist()
    names = [path.rpartition("/")[2] for path in paths]
    members = [row for row, name in enumerate(names) if "#" in name and split_member(paths[row]) is not None]
    facts = sample_facts(content) if members else []
    for row in members:
        file, key, index = split_member(paths[row]) or ("", "", 0)
        own = facts[row].get("image/filename")
        if isinstance(own, str) and own:
            names[row] = own.replace("\\", "/").rpartition("/")[2]
        elif is_bundle(file) and not key:
            names[row] = f"{os.path.splitext(file.rpartition('/')[2])[0]}-{index:06d}"
    return names


def picture_bytes(root: Path, path: str, expected: str) -> bytes:
    """The image file of a picture; a member of an array as PNG.

    expected : `content_hash` that the version has

    Raises
    ------
    SourceError : it cannot be read any more, or has changed.
    """
    try:
        stored = load_stored(root, path)
        _check(path, stored.content.hex(), expected)
        if stored.data is not None:
            return stored.data
        stream = io.BytesIO()
        stored.decode(None, 0).rgb.save(stream, "PNG")
        return stream.getvalue()
    except UnreadableError as error:
        raise SourceError(f"{shown(path, limit=300)} cannot be read any more: {error}. {_AGAIN}") from error


def pixels_of(root: Path, path: str, expected: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8, upright, squashed to `size` = (W, H) where it has another one; raises as `picture_bytes`."""
    try:
        stored = load_stored(root, path)
        _check(path, stored.content.hex(), expected)
        rgb = stored.decode(max(size), 0).rgb
    except UnreadableError as error:
        raise SourceError(f"{shown(path, limit=300)} cannot be read any more: {error}. {_AGAIN}") from error
    return np.asarray(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR))


_AGAIN = "Restore it, or score the source again, which makes a new version, and export that."


def _check(path: str, found: str, expected: str) -> None:
    if expected and found != expected:
        raise SourceError(f"{shown(path, limit=300)} has other bytes than in the version. {_AGAIN}")


def common_size(content: Content, size: int | None) -> tuple[int, int]:
    """(width, height) that all pictures get: `size` as a square, else their own where all have one, else 224."""
    if size is not None:
        return size, size
    sizes = content.samples[["width_px", "height_px"]].drop_duplicates()
    if len(sizes) == 1:
        return int(sizes["width_px"].iloc[0]), int(sizes["height_px"].iloc[0])
    return DEFAULT_SIZE, DEFAULT_SIZE


def decoded(content: Content, order: Sequence[int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """`pixels_of` of the samples `order`, in that order, decoded ahead by threads."""
    return _ahead(lambda path, expected: pixels_of(content.root, path, expected, size), content, order)


def encoded(content: Content, order: Sequence[int]) -> Iterator[bytes]:
    """`picture_bytes` of the samples `order`, in that order, one at a time in memory."""
    paths, hashes = content.samples["path"].tolist(), content.samples["content_hash"].tolist()
    for row in order:
        yield picture_bytes(content.root, paths[row], hashes[row])


def new_hash(format_name: str, data: bytes) -> str:
    """`file_hash` of a picture that leaves as `data`: "" where these are the bytes that it came with."""
    return hashlib.sha256(data).hexdigest()[:32] if format_name == "ARRAY" else ""


def _ahead(load: Callable[..., np.ndarray], content: Content, order: Sequence[int]) -> Iterator[np.ndarray]:
    paths, hashes = content.samples["path"].tolist(), content.samples["content_hash"].tolist()
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            yield from pool.map(load, [paths[row] for row in rows], [hashes[row] for row in rows])


def place_pictures(
    content: Content, names: Sequence[str], images: str, folder: Path, progress: Progress
) -> tuple[list[str], list[str]]:
    """Copy, hard-link or link every picture to its name below `folder`; members of arrays are written as PNG.

    Returns
    -------
    (file_hashes, notes) as in `Saved`.

    Raises
    ------
    SourceError : a picture cannot be read any more, or has other bytes than in the version.
    """
    for parent in sorted({name.rpartition("/")[0] for name in names}):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    place = {"copy": _copy, "link": _link, "symlink": _symlink}[images]
    file_hashes = []
    arrays = members = copied = 0
    columns = (content.samples[name].tolist() for name in ("path", "content_hash", "format"))
    prefix = os.fspath(folder) + "/"
    with progress.stage("Exporting", len(names)) as advance:
        for name, path, expected, format_name in zip(names, *columns, strict=True):
            target = prefix + name
            member = "#" in path and split_member(path) is not None  # there is no file that could be linked
            if member or place is _copy or not place(content.root, path, target):
                data = picture_bytes(content.root, path, expected)
                _write(target, data)
                file_hashes.append(new_hash(format_name, data))
                arrays, members = arrays + (format_name == "ARRAY"), members + member
                copied += not member
            else:
                file_hashes.append("")
            failpoint("export.after_picture")
            advance(1)
    notes = []
    if arrays:
        notes.append(f"{arrays:,} pictures come out of array files, and are PNG files here.")
    if members > arrays and images != "copy":
        notes.append(f"{members - arrays:,} pictures come out of tables or archives, and are copies.")
    if images == "link" and copied:
        notes.append(
            f"{copied:,} pictures could not be linked (another file system, or another owner), and are copies."
        )
    return file_hashes, notes


def _copy(root: Path, path: str, target: str) -> bool:
    return False


def _link(root: Path, path: str, target: str) -> bool:
    """Whether a hard link could be made."""
    try:
        os.link(_located(root, path), target, follow_symlinks=False)
        return True
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise


def _symlink(root: Path, path: str, target: str) -> bool:
    os.symlink(_located(root, path), target)
    return True


def _located(root: Path, path: str) -> Path:
    try:
        return locate(root, path)
    except UnreadableError as error:
        raise SourceError(f"{shown(path, limit=300)} cannot be read any more: {error}. {_AGAIN}") from error


def _write(target: str, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def folders_above(names: Sequence[str]) -> set[str]:
    """All folders on the way to some files, relative paths."""
    found: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def twin_keys(names: Sequence[str]) -> set[str]:
    return set(map(twin_key, names))
