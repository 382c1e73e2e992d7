"""Pictures and labels in one NumPy (.npz) or HDF5 (.h5, .hdf5) file."""

from __future__ import annotations

from pathlib import Path

from curation.errors import SourceError
from curation.importers.options import ImportOptions
from curation.progress import Progress
from curation.records import Records

SUFFIXES = (".npz", ".h5", ".hdf5")


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Not yet."""
    raise SourceError("Array files cannot be read yet.")
