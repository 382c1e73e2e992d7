"""Where a source lies: paths as users type them, to folders and files that are really there."""

from __future__ import annotations

import os
from pathlib import Path

from curation.errors import SourceError
from curation.importers.assemble import shown
from curation.importers.listing import Listing, list_images
from curation.progress import Progress


def real_path(path: str | Path) -> Path:
    """Where `path` leads, absolute and with its links resolved.

    Raises
    ------
    SourceError : nothing is there, or it cannot be reached; says why.
    """
    try:
        return Path(os.path.realpath(path, strict=True))
    except FileNotFoundError as error:
        raise SourceError(f"{_named(path)} does not exist.") from error
    except OSError as error:  # no right to look, a loop of links, a name longer than any file's
        raise SourceError(f"{_named(path)} cannot be reached: {error.strerror or error}.") from error
    except ValueError as error:  # a NUL
        raise SourceError(f"{_named(path)} is not a path.") from error


def real_folder(path: str | Path) -> Path:
    """As `real_path`, of a folder; SourceError for anything else."""
    real = real_path(path)
    if not os.path.isdir(real):
        raise SourceError(f"{_named(path)} is not a folder.")
    return real


def real_file(path: str | Path) -> Path:
    """A regular file: its folder as by `real_path`, and the name it has there, even if that is a link to another name.

    So a table that is a link (as in many download caches) keeps its ending, and its pictures lie beside the link.

    Raises
    ------
    SourceError : not there, not reachable, or not a file.
    """
    if not os.path.isfile(real_path(path)):
        raise SourceError(f"{_named(path)} is not a file.")
    return Path(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def list_source(root: Path, workspace: Path, progress: Progress) -> Listing:
    """The pictures below `root` (see `list_images`), without what is ours where the workspace is inside of it."""
    place = Path(os.path.realpath(workspace))
    return list_images(root, progress, skip=frozenset({place / "data_manifest", place / ".curate"}))


def _named(path: str | Path) -> str:
    return shown(str(path), limit=300)
