"""Which data set of a workspace a command is about, and where its versions are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curation.errors import NotFoundError
from curation.manifest import manifest_folder
from curation.manifest.version_files import read_header, versions
from curation.runs import read_run


@dataclass(frozen=True)
class Dataset:
    """name : as `curate score` named it, and as the review store knows it; folder : of its versions."""

    name: str
    folder: Path


def find_dataset(workspace: Path, name: str | None = None) -> Dataset:
    """The data set of that name; without a name the only one of the workspace, else that of the latest run.

    Raises
    ------
    NotFoundError : there is none with a version; lists those that there are.
    """
    if name is not None:
        found = Dataset(name, manifest_folder(workspace, name))
        if versions(found.folder):
            return found
        known = ", ".join(repr(other.name) for other in list_datasets(workspace)) or "none"
        raise NotFoundError(f"There is no data set {name!r} with a version in {workspace}; there are: {known}.")
    known_sets = list_datasets(workspace)
    if len(known_sets) == 1:
        return known_sets[0]
    if not known_sets:
        raise NotFoundError(
            f"There is no data set in {workspace} yet. Make its first version with: curate score SOURCE"
        )
    latest = str(read_run(workspace).info["dataset"])
    return Dataset(latest, manifest_folder(workspace, latest))


def list_datasets(workspace: Path) -> list[Dataset]:
    """All data sets of a workspace that have a version, by the name of their folder."""
    root = Path(workspace) / "data_manifest"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [Dataset(_name(folder), folder) for folder in folders if versions(folder)]


def _name(folder: Path) -> str:
    return str(read_header(folder, versions(folder)[-1]).get("dataset") or folder.name)
