"""Files that belong together by their names: `Annotations/a/1.xml` and `JPEGImages/a/1.jpg`, `labels/1.txt`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from curation.importers.assemble import SPLITS
from curation.importers.listing import KNOWN_OTHERS, NO_PICTURE, Listing

# Folders that say what kind of file is in them, not which: they make no difference between a picture and its labels.
_KINDS = frozenset(
    [
        "annotation",
        "annotations",
        "ann",
        "anns",
        "label",
        "labels",
        "labeltxt",
        "xml",
        "xmls",
        "txt",
        "bbox",
        "bboxes",
        "boxes",
        "jpegimages",
        "image",
        "images",
        "img",
        "imgs",
        "pictures",
        "photos",
        "frames",
    ]
)
_FILES = frozenset(
    {NO_PICTURE, *KNOWN_OTHERS.values()}
)  # why a walk says that a file, which can be read, is no picture


class Twins:
    """Looks up the files that have the name of another one, but for folders that say the kind, and the ending."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = {}
        for path in paths:
            self._by_stem.setdefault(stem_of(path), []).append(path)

    def of(self, path: str, stem: str = "") -> list[str]:
        """The nearest files with that name: those in the same folder, else in its twin folder, else anywhere.

        More than one is a choice that nobody can make. stem : another name to look for from there
        """
        found = self._by_stem.get(stem or stem_of(path), [])
        for near in (_folder, _kindless):
            here = [twin for twin in found if near(twin) == near(path)]
            if here:
                return here
        return found


def stem_of(path: str) -> str:
    """File name without folders and ending."""
    return os.path.splitext(path.rpartition("/")[2])[0]


def files_ending(listing: Listing, *endings: str) -> list[str]:
    """The files that a walk found beside the pictures and that end so, in any case; sorted. Nothing that is a link out
    of the folder, or no file."""
    return files_like(listing, lambda path: path.lower().endswith(endings))


def files_like(listing: Listing, wanted: Callable[[str], bool]) -> list[str]:
    """As `files_ending`, by a test of the path."""
    return sorted(path for path, why in listing.rejected if why in _FILES and wanted(path))


def leave_masks(listing: Listing, folders: frozenset[str]) -> None:
    """Take the pictures below `folders` (names in lower case) out of a listing: they are masks, not photos."""
    masks = {name for name in listing.images if folders & set(name.lower().split("/")[:-1])}
    if masks:
        listing.images = [name for name in listing.images if name not in masks]
        listing.rejected += [(name, "a mask, which is not read") for name in sorted(masks)]


def split_of_name(path: str) -> str:
    """The split that a file is called by: `coco_train.record` is train; else `split_of_folders`."""
    words = re.split(r"[^a-z]+", path.rpartition("/")[2].lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "") or split_of_folders(path)


def split_of_folders(path: str) -> str:
    """`train`, `val` or `test` where a folder on the way to a file is called so, else ""."""
    parts = path.lower().split("/")[:-1]
    return next((SPLITS[part] for part in parts if part in SPLITS), "")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _kindless(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.lower().split("/")[:-1] if part not in _KINDS)
