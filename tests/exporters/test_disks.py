"""Real disks: another file system, one that is full, a limit on the size of files, a way into the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.errors import SettingsError, SourceError
from curation.export import ExportSettings, export
from curation.exporters.verify import verify_export
from tests.exporting import make_set

ROOT = Path(__file__).parents[2]
FORMATS = ("folder", "csv", "parquet", "webdataset", "hdf5", "npz")
UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
SIZE = (120, 100)  # pixels of noise: 36 KB as PNG


def make_pets(folder: Path, count: int = 6) -> dict[str, Any]:
    facts = [{"path": f"{label}/{at}.png", "label": label} for label in ("cat", "dog") for at in range(count // 2)]
    workspace, dataset, source = make_set(folder, facts, [SIZE] * count)
    return {"workspace": workspace, "dataset": dataset, "source": source}


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_pictures_on_another_file_system_are_copied_instead_of_linked(tmp_path: Path, other_disk: Path) -> None:
    pets = make_pets(tmp_path)
    settings = ExportSettings(images="link", source=pets["source"])
    done = export(other_disk / "out", settings, pets["workspace"], pets["dataset"])
    assert "6 pictures could not be linked (another file system, or another owner), and are copies." in done.notes
    assert "could not be linked" in (done.place / "README.md").read_text()
    assert verify_export(done.place) == []
    assert {path.stat().st_nlink for path in done.place.rglob("*.png")} == {1}


def test_a_way_into_the_source_is_found_behind_links(tmp_path: Path) -> None:
    pets = make_pets(tmp_path)
    (tmp_path / "way").symlink_to(pets["source"] / "cat")
    before = sorted(os.walk(pets["source"]))
    for dest in (tmp_path / "way" / "out", tmp_path / "workspace" / ".." / "source" / "out"):
        with pytest.raises(SettingsError, match="inside the source"):
            export(dest, ExportSettings(source=pets["source"]), pets["workspace"], pets["dataset"])
    assert sorted(os.walk(pets["source"])) == before


# What fails here is the operating system itself; it happens in a process of its own.
EXPORTING = """
import os, resource, sys
from pathlib import Path
from curation.datasets import Dataset
from curation.errors import WorkspaceError
from curation.export import ExportSettings, export
from curation.exporters.verify import verify_export

dest, source, workspace, versions, limit = (Path(text) for text in sys.argv[1:6])
dataset = Dataset("pets", versions)
export(dest, ExportSettings("csv", images="symlink", source=source), workspace, dataset)
assert verify_export(dest) == []
before = sorted(os.walk(dest.parent))
if str(limit) != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(str(limit)), resource.RLIM_INFINITY))
for name in sys.argv[6:]:
    for place, overwrite in ((dest, True), (dest.with_name("new"), False)):
        try:
            export(place, ExportSettings(name, images="copy" if name in ("folder", "csv") else "", source=source,
                                         overwrite=overwrite), workspace, dataset)
            print(name, "was written")
        except WorkspaceError as error:
            assert "Free some space" in str(error), error
        if sorted(os.walk(dest.parent)) != before or verify_export(dest):
            print(name, "left something else")
"""


def export_in_process(pets: dict[str, Any], dest: Path, limit: int, before: str = "") -> str:
    words = (dest, pets["source"], pets["workspace"], pets["dataset"].folder, limit, *FORMATS)
    command = [sys.executable, "-c", EXPORTING, *map(str, words)]
    if before:
        command = [*UNSHARE, "sh", "-c", f'{before} && exec "$@"', "sh", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=640k curate-test {disk}"
    if (
        not shutil.which("unshare")
        or subprocess.run([*UNSHARE, "sh", "-c", mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs unshare, and the right to mount")
    pets = make_pets(tmp_path, 40)
    assert export_in_process(pets, disk / "out", 0, mount) == ""


def test_a_limit_on_the_size_of_files_leaves_what_was_there(tmp_path: Path) -> None:
    assert export_in_process(make_pets(tmp_path), tmp_path / "disk" / "out", 20_000) == ""


KILLED = """
import sys
from pathlib import Path
from curation.datasets import Dataset
from curation.export import ExportSettings, export
from curation.files import set_failpoints

dest, source, workspace, versions = (Path(text) for text in sys.argv[1:5])
set_failpoints("export.after_picture:kill:3")
export(dest, ExportSettings(sys.argv[5], source=source), workspace, Dataset("pets", versions))
"""


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "parquet"])  # which writes blocks of pictures
def test_killed_halfway_there_is_no_export_in_any_format(name: str, tmp_path: Path) -> None:
    pets = make_pets(tmp_path)
    before = sorted(os.walk(pets["source"]))
    words = (tmp_path / "out", pets["source"], pets["workspace"], pets["dataset"].folder, name)
    command = [sys.executable, "-c", KILLED, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    (left,) = tmp_path.glob(".out.curate-export.*.partial")
    assert not (left / "curate-export.json").exists()
    with pytest.raises(SourceError, match="no export of curate"):
        verify_export(left)
    again = export(tmp_path / "out", ExportSettings(name, source=pets["source"]), pets["workspace"], pets["dataset"])
    assert verify_export(again.place) == []
    assert not left.exists()
    assert sorted(os.walk(pets["source"])) == before
