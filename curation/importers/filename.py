"""Pictures whose label is in the file name: `cat.0.jpg`."""

from __future__ import annotations

import re
from pathlib import Path

from curation.importers.assemble import Rows, assemble, listing_notes, rejected_as_text, shown
from curation.importers.folder import find_layout, list_pictures, place
from curation.importers.options import ImportOptions
from curation.progress import Progress
from curation.records import Records, path_to_text
from curation.wording import counted

# What stands between a label and the number of a picture, and the number: `.0`, `_001`, `-12`, ` (3)`, `389`.
_COUNTER = re.compile(r"[\s._-]*\(?\d+\)?$", re.ASCII)
# Names that cameras and programs give; they say nothing about the picture.
_GENERIC = "image img dsc dscn dscf photo picture pic frame scan screenshot file untitled sample pxl mvimg"


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder of pictures whose label is in their name; folders count only where they are splits.

    Raises
    ------
    SourceError : not a folder, or no picture in it.
    """
    root, listing = list_pictures(source, workspace, progress)
    layout = find_layout([path.split("/")[:-1] for path in listing.images])
    splits = [place(path.split("/")[:-1], layout)[0] for path in listing.images]
    paths = [path_to_text(path) for path in listing.images]
    pattern = re.compile(options.label_pattern) if options.label_pattern else None
    labels = [label_from_name(path.rpartition("/")[2], pattern) for path in paths]
    notes = listing_notes(listing) + [note for note in layout.notes if "splits" in note]
    if "" in labels:
        first = paths[labels.index("")]
        nameless = counted(labels.count(""), "name holds", "names hold")
        notes.append(f"{nameless} no label, the first is {shown(first)}.")
    rows = Rows(paths, labels, splits)
    return assemble(rows, root, "filename", notes, rejected_as_text(listing.rejected), progress=progress)


def label_from_name(name: str, pattern: re.Pattern[str] | None = None) -> str:
    """The label in a file name, "" where there is none.

    Without a pattern: the name without its ending, and without the number at its end and what separates the two:
    `cat.0.jpg`, `cat_001.jpg`, `cat (3).jpg` and `cat12.jpg` are all `cat`; `n0144_10.JPEG` is `n0144`. Nothing but a
    number, or a camera's or program's word before it (`image_0001.jpg`, `IMG_2.jpg`), is no label. With a pattern: the
    group `label`, else the only group, else the whole match of the first place where it is found.
    """
    if pattern is not None:
        match = pattern.search(name)
        if match is None:
            return ""
        return match["label"] or "" if "label" in pattern.groupindex else match[1 if pattern.groups else 0] or ""
    stem = name.rpartition(".")[0] or name
    label = _COUNTER.sub("", stem)
    plain = label
    while (shorter := _COUNTER.sub("", plain)) != plain:
        plain = shorter
    return "" if plain.strip(" ._-").lower() in _GENERIC.split() or not plain.strip(" ._-") else label
