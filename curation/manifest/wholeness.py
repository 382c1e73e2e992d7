"""Whether the files of a version are those that it was published with: what is built on, and what `verify` looks at."""

from __future__ import annotations

import os
from pathlib import Path

from curation.errors import WorkspaceError
from curation.manifest.version_files import file_hash, header_hash, read_header, read_json


def check_whole(folder: Path, version: str) -> None:
    """Refuse to build on a version that has other files than those that it was published with.

    Raises
    ------
    NotFoundError, WorkspaceError : it has, or its header cannot be read.
    """
    for problem in damage(folder, version):
        raise WorkspaceError(f"{problem} Nothing was written; restore it from a backup or git.")


def damage(folder: Path, version: str) -> list[str]:
    """Which files of a version are not those that it was published with, a sentence each; the rows are not read.

    Raises
    ------
    NotFoundError, WorkspaceError : its header cannot be read.
    """
    header = read_header(folder, version)
    found = [
        f"{folder / file} is not what {version} was published with: its bytes have another hash."
        for file, expected in header["files"].items()
        if _hash_in(folder, file) != expected
    ]
    if header.get("header_hash", "") not in ("", header_hash(read_json(folder / f"{version}.json"))):
        found.append(f"{folder / version}.json is not what {version} was published with: it was edited since.")
    return found


def _hash_in(folder: Path, file: str) -> str:
    if os.path.basename(file) != file:
        return "a path"
    try:
        return file_hash(folder / file)
    except OSError as error:
        return str(error.strerror)
