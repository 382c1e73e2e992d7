"""Which files of a folder are pictures, and why the others are not: one walk, opening only what no name tells."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from curation.progress import SILENT, Progress

# The name promises a picture; whether it is one, decoding finds out (and says so in an issue row).
IMAGE_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *(
            "jpg",
            "jpeg",
            "jpe",
            "jfif",
            "mpo",
            "png",
            "apng",
            "gif",
            "bmp",
            "dib",
            "tif",
            "tiff",
            "webp",
            "avif",
            "avifs",
        ),
        *("heic", "heif", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm", "pfm", "tga", "ico"),
    )
)
NO_PICTURE = "not a picture, by its name and its first bytes"
_CONVERT = "{} is not read; convert it to JPEG or PNG"
# Suffixes whose content is known without a look: why the file is not a sample.
KNOWN_OTHERS = {
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ps", ".pdf", ".ai", ".wmf", ".emf"), _CONVERT.format("a drawing")),
    **dict.fromkeys((".psd", ".xcf", ".exr", ".hdr", ".dcm", ".fits", ".gd"), _CONVERT.format("this kind of picture")),
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"), _CONVERT.format("a camera's raw file")
    ),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v"), "a video, not a picture"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"), "an archive; unpack it first"),
    **dict.fromkeys((".csv", ".tsv", ".parquet", ".pq"), "a table; its labels are read with --labels"),
    **dict.fromkeys((".npz", ".npy", ".h5", ".hdf5"), "an array file; score it by its own name"),
}
_IGNORED_FOLDERS = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
)
_IGNORED_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


@dataclass
class Listing:
    """What a folder holds. Paths are as the operating system gives them, relative to the root, joined by "/".

    images : files that are pictures by name or first bytes
    rejected : (path, reason) of everything else that was seen
    ignored : how many of each kind of clutter (hidden files, Thumbs.db ...) were left out
    folders : every folder that was entered, "" for the root itself
    links : number of images that are links to a file inside the root
    """

    images: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    folders: list[str] = field(default_factory=list)
    links: int = 0


def list_images(root: Path, progress: Progress = SILENT, skip: frozenset[Path] = frozenset()) -> Listing:
    """List the pictures below `root`, in the order of their names.

    Links to folders are not followed; links to files only where the file lies inside `root`. `skip` are folders that
    are ours (a workspace inside the source).
    """
    listing = Listing()
    waiting = [""]
    with progress.stage("Listing", total=0, unit="files") as advance:
        while waiting:
            folder = waiting.pop()
            if folder and root / folder in skip:
                continue
            seen = len(listing.images) + len(listing.rejected)
            waiting.extend(sorted(list_one(root, folder, listing), reverse=True))
            advance(len(listing.images) + len(listing.rejected) - seen)
    listing.images.sort()
    return listing


def list_one(root: Path, folder: str, listing: Listing) -> list[str]:
    """Add the files of one folder to `listing`; return its subfolders (paths relative to `root`)."""
    here = os.path.join(root, folder) if folder else os.fspath(root)
    prefix = f"{folder}/" if folder else ""
    inside = []
    try:
        with os.scandir(here) as entries:
            listing.folders.append(folder)
            for entry in entries:
                kind = clutter(entry.name)
                if kind:
                    listing.ignored[kind] += 1
                elif entry.is_dir(follow_symlinks=False):
                    inside.append(prefix + entry.name)
                else:
                    _add_file(root, prefix + entry.name, entry, listing)
    except OSError as error:
        listing.rejected.append((folder or ".", f"the folder cannot be read: {error.strerror or error}"))
    return inside


def is_image_name(name: str) -> bool:
    """Whether the ending of a file name is that of a picture."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _add_file(root: Path, path: str, entry: os.DirEntry[str], listing: Listing) -> None:
    if entry.is_symlink():
        reason = _link_reason(root, path)
        if reason:
            listing.rejected.append((path, reason))
            return
        listing.links += 1
    elif not entry.is_file(follow_symlinks=False):
        listing.rejected.append((path, f"{_special(entry.stat(follow_symlinks=False).st_mode)}, not a file"))
        return
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        listing.images.append(path)
    elif suffix in KNOWN_OTHERS:
        listing.rejected.append((path, KNOWN_OTHERS[suffix]))
    elif _starts_like_image(os.path.join(root, path)):
        listing.images.append(path)
    else:
        listing.rejected.append((path, NO_PICTURE))


def clutter(name: str) -> str:
    """The kind of clutter that a name stands for, "" for what belongs to the data set."""
    if name.startswith("."):
        return name if name in (".DS_Store", ".ipynb_checkpoints") else "hidden"
    folded = name.lower()
    return name if folded in _IGNORED_FOLDERS or folded in _IGNORED_FILES else ""


def _link_reason(root: Path, path: str) -> str:
    """Why a link is not followed, "" where it leads to a file inside `root`."""
    try:
        target = os.path.realpath(os.path.join(root, path), strict=True)
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return f"a link that cannot be followed: {error.strerror or error}"
    if os.path.isdir(target):
        return "a link to a folder; links to folders are not followed"
    if os.path.commonpath([target, os.path.realpath(root)]) != os.path.realpath(root):
        return "a link that leaves the folder; it is not followed"
    if not stat.S_ISREG(os.stat(target).st_mode):
        return "a link to something that is not a file"
    return ""


def _special(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "something special")


def _starts_like_image(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            head = stream.read(16)
    except OSError:
        return False
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1"))
    )
