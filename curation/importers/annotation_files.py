"""Where the annotation files of a source are: those of a folder, or the one that was named, and the pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from curation.errors import SourceError
from curation.importers.assemble import shown
from curation.importers.glance import Glance
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_file, real_folder
from curation.importers.twins import files_ending
from curation.progress import Progress
from curation.records import path_to_text, text_to_path

Files = list[tuple[str, Path]]  # how a file is called in messages, and where it is


def annotation_files(
    source: str,
    options: ImportOptions,
    workspace: Path,
    progress: Progress,
    ending: str,
    fits: Callable[[Glance, str], bool],
    what: str,
) -> tuple[Path, Listing, Files]:
    """The root that pictures are relative to, what is in it, and the annotation files.

    Parameters
    ----------
    source : a folder, or a file with the pictures beside or below it; --labels names a file that lies elsewhere
    fits : (glance at the folder, name of a file with that ending) -> whether it is one of the format
    what : of the format, as "annotation file of CVAT"

    Raises
    ------
    SourceError : not there, or there is none.
    """
    if os.path.isdir(source) and not options.labels:
        root = real_folder(source)
        listing = list_source(root, workspace, progress)
        seen = Glance(root)
        named = [name for name in files_ending(listing, ending) if fits(seen, name)]
        files = [(text, root / text_to_path(text)) for text in map(path_to_text, named)]
    else:
        file = real_file(options.labels or source)
        root = real_folder(source) if options.labels else file.parent
        listing = list_source(root, workspace, progress)
        files = [(file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name, file)]
    if not files:
        raise SourceError(f"There is no {what} in {shown(str(root), limit=300)}.")
    return root, listing, files
