"""torchvision's data sets by name."""

from __future__ import annotations

from pathlib import Path

from curation.errors import SourceError
from curation.importers.options import ImportOptions
from curation.progress import Progress
from curation.records import Records

PREFIX = "torchvision:"


def names() -> tuple[str, ...]:
    """The data sets that can be asked for."""
    return ()


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Not yet."""
    raise SourceError("torchvision data sets cannot be read yet.")
