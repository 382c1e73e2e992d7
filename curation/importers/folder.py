"""Pictures in one folder per class, with or without train/val/test above or below the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curation.errors import SourceError
from curation.importers.assemble import (
    SPLITS,
    Rows,
    assemble,
    canonical_split,
    listing_notes,
    rejected_as_text,
    shown,
)
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.progress import Progress
from curation.records import Records, path_to_text
from curation.wording import counted


@dataclass
class Layout:
    """How folders are read, for paths cut into their parts.

    skip : number of wrapping folders above everything
    split_at : position of the split folder after the wrapping ones, or None
    """

    skip: int = 0
    split_at: int | None = None
    notes: list[str] = field(default_factory=list)


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder of class folders; a picture's label is the name of its class folder.

    The rules, in this order: a single wrapping folder is stepped over; folders that are named train, val, valid,
    validation or test (any case) are splits if all folders of their level are, or at least two of them with folders
    inside; the class is the first folder below (`class_folder` = "first"), the innermost ("last"), or all of them
    joined by "/" ("path"). A picture outside every class folder has no label.

    Raises
    ------
    SourceError : not a folder, or no picture in it.
    """
    root, listing = list_pictures(source, workspace, progress)
    folders = [path.split("/")[:-1] for path in listing.images]
    layout = find_layout(folders)
    splits, labels = [], []
    deep: set[str] = set()
    for parts in folders:
        split, classes = place(parts, layout)
        splits.append(split)
        labels.append(label_of(classes, options.class_folder))
        if len(classes) > 1:
            deep.add(classes[0])
    notes = [*layout.notes, *listing_notes(listing)]
    if deep and options.class_folder == "first":
        notes.append(
            f"{counted(len(deep), 'class folder has', 'class folders have')} folders inside; all that is below belongs "
            f"to the class of the outer one, as {shown(path_to_text(min(deep)))}. Take the inner ones with "
            f"--class-folder last, or both with --class-folder path."
        )
    bare = labels.count("")
    if 0 < bare < len(labels):
        first = listing.images[labels.index("")]
        outside = counted(bare, "picture is in no class folder and has", "pictures are in no class folder and have")
        notes.append(f"{outside} no label, the first is {shown(path_to_text(first))}.")
    notes += _empty_folder_note(listing)
    rows = Rows([path_to_text(path) for path in listing.images], labels, splits)
    return assemble(rows, root, "folder", notes, rejected_as_text(listing.rejected), progress=progress)


def list_pictures(source: str, workspace: Path, progress: Progress) -> tuple[Path, Listing]:
    """The root and the pictures of a source folder.

    Raises
    ------
    SourceError : not a folder, or no picture in it; counts what else is there.
    """
    root = real_folder(source)
    listing = list_source(root, workspace, progress)
    if not listing.images:
        raise SourceError(f"There is no picture in {shown(str(root), limit=300)}.{_what_else(listing)}")
    return root, listing


def find_layout(folders: Sequence[Sequence[str]]) -> Layout:
    """Where the splits and classes of pictures are, from the folders that each picture is in."""
    layout = Layout()
    level = [tuple(parts) for parts in set(map(tuple, folders))]
    while _is_wrapped(level):
        wrapper = level[0][0]
        if wrapper.lower() in SPLITS:
            break
        layout.skip += 1
        layout.notes.append(
            f"Everything is inside the folder {shown(path_to_text(wrapper))}; the folders in it are the classes."
        )
        level = [parts[1:] for parts in level]
    tops = {parts[0] for parts in level if parts}
    named = {top for top in tops if top.lower() in SPLITS}
    with_inside = {parts[0] for parts in level if len(parts) > 1}
    if tops and (named == tops or (len({SPLITS[n.lower()] for n in named}) > 1 and named & with_inside)):
        layout.split_at = 0
        layout.notes += _split_notes(tops)
    else:
        seconds = {parts[1] for parts in level if len(parts) > 1}
        flat = any(len(parts) == 1 for parts in level)
        if seconds and not flat and all(name.lower() in SPLITS for name in seconds):
            layout.split_at = 1
            layout.notes += _split_notes(seconds)
    return layout


def place(parts: Sequence[str], layout: Layout) -> tuple[str, list[str]]:
    """The split ("" = none) and the class folders, outermost first, of a picture in the folders `parts`."""
    rest = list(parts[layout.skip :])
    split = ""
    if layout.split_at is not None and len(rest) > layout.split_at:
        split = canonical_split(path_to_text(rest.pop(layout.split_at)))
    return split, rest


def label_of(classes: Sequence[str], class_folder: str) -> str:
    """The label that class folders stand for, "" where there are none; names that are not UTF-8 in text form."""
    if not classes:
        return ""
    chosen = {"first": classes[0], "last": classes[-1], "path": "/".join(classes)}[class_folder]
    try:
        chosen.encode("utf-8")
    except UnicodeEncodeError:
        return path_to_text(chosen)
    return chosen


def _is_wrapped(level: Sequence[tuple[str, ...]]) -> bool:
    """Whether all pictures are inside one folder, and none directly in it."""
    return len(level) > 0 and all(len(parts) > 1 for parts in level) and len({parts[0] for parts in level}) == 1


def _split_notes(names: set[str]) -> list[str]:
    known = sorted(name for name in names if name.lower() in SPLITS)
    others = sorted(names - set(known))
    notes = [f"Folders taken as splits: {', '.join(f'{shown(path_to_text(name))}' for name in known)}."]
    if others:
        listed = ", ".join(shown(path_to_text(name)) for name in others[:10])
        notes.append(f"Beside them, taken as splits of their own name: {listed}.")
    if len({canonical_split(name) for name in known}) < len(known):
        notes.append("Several of these folders are the same split under two names; their pictures were put together.")
    return notes


def _empty_folder_note(listing: Listing) -> list[str]:
    used: set[str] = {""}
    for path in listing.images:
        folder = path.rpartition("/")[0]
        while folder not in used:
            used.add(folder)
            folder = folder.rpartition("/")[0]
    empty = sorted(set(listing.folders) - used)
    if not empty:
        return []
    folders = counted(len(empty), "folder holds", "folders hold")
    return [f"{folders} no picture, the first is {shown(path_to_text(empty[0]))}."]


def _what_else(listing: Listing) -> str:
    if not listing.rejected:
        return ""
    path, reason = listing.rejected[0]
    if path == ".":
        return f" {reason[0].upper()}{reason[1:]}."
    others = counted(len(listing.rejected), "other thing in it was", "other things in it were")
    return f" {others} left out, the first is {shown(path_to_text(path))}: {reason}."
