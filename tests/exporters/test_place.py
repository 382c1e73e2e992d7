"""Where exports go, and what is there after a mistake, a kill or a full disk: the old, the new, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from curation.errors import CurationError, SettingsError, SourceError, WorkspaceError
from curation.export import ExportSettings, export
from curation.export_table import NAME
from curation.exporters import EXPORTERS, pictures
from curation.exporters.verify import compare_with_version, verify_export
from curation.files import set_failpoints
from curation.importers import load
from tests.exporting import make_set

ROOT = Path(__file__).parents[2]
SINGLE = [name for name, exporter in EXPORTERS.items() if "single-label" in exporter.tasks]


@pytest.fixture
def pets(tmp_path: Path) -> dict[str, Any]:
    facts = [{"path": f"{label}/{at}.png", "label": label} for label in ("cat", "dog") for at in range(3)]
    workspace, dataset, source = make_set(tmp_path, facts)
    return {"workspace": workspace, "dataset": dataset, "source": source}


def write(pets: dict[str, Any], dest: Path, **settings: Any) -> Path:
    chosen = ExportSettings(source=pets["source"], **settings)
    return export(dest, chosen, pets["workspace"], pets["dataset"]).place


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_place_where_something_could_be_lost_is_refused(pets: dict[str, Any], tmp_path: Path) -> None:
    source, workspace = pets["source"], pets["workspace"]
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path)
    for place, words in {
        tmp_path / "file": "is a file",
        tmp_path / "full": "no export of curate",
        tmp_path / "link": "is a link",
        source: "inside the source",
        source / "cat" / "new": "inside the source",
        workspace: "is the workspace",
        tmp_path: "is the workspace, or around it",
        workspace / "data_manifest" / "new": "its own files",
        workspace / ".curate": "its own files",
    }.items():
        for overwrite in (False, True):
            with pytest.raises(SettingsError, match=words):
                write(pets, place, overwrite=overwrite)
    assert contents(tmp_path) == before
    with pytest.raises(WorkspaceError, match="could not be written"):
        write(pets, tmp_path / "file" / "below")


def test_overwriting_replaces_an_export_and_nothing_else(pets: dict[str, Any], tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out")
    with pytest.raises(SettingsError, match="--overwrite"):
        write(pets, dest, format="csv")
    (dest / "cat" / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match=r"did not write.*notes\.txt"):
        write(pets, dest, format="csv", overwrite=True)
    (dest / "cat" / "notes.txt").unlink()
    write(pets, dest, format="csv", overwrite=True)
    assert (dest / "labels.csv").exists()
    assert not (dest / "cat").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_same_version_gives_the_same_bytes(pets: dict[str, Any], tmp_path: Path) -> None:
    for name in SINGLE:
        first, second = (contents(write(pets, tmp_path / f"{name}{at}", format=name)) for at in (1, 2))
        assert first == second, name


@pytest.mark.parametrize("images", ["copy", "link", "symlink"])
def test_pictures_are_copied_linked_or_pointed_to(pets: dict[str, Any], images: str, tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out", images=images)
    here, there = dest / "cat" / "0.png", pets["source"] / "cat" / "0.png"
    assert here.read_bytes() == there.read_bytes()
    assert (here.stat().st_ino == there.stat().st_ino) == (images != "copy")
    assert here.is_symlink() == (images == "symlink")
    if images == "symlink":
        with pytest.raises(SourceError, match="--symlink"):
            load(dest)


def test_where_no_link_can_be_made_pictures_are_copied(
    pets: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_link", lambda *_: False)
    done = export(
        tmp_path / "out", ExportSettings(images="link", source=pets["source"]), pets["workspace"], pets["dataset"]
    )
    assert "6 pictures could not be linked" in " ".join(done.notes)
    assert verify_export(done.place) == []


@pytest.mark.parametrize("images", ["copy", "link", "symlink"])
def test_a_source_that_has_changed_is_refused(pets: dict[str, Any], images: str, tmp_path: Path) -> None:
    file = pets["source"] / "dog" / "1.png"
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(SourceError, match=r"other bytes.*dog/1\.png|dog/1\.png.*other bytes"):
        write(pets, tmp_path / "out", images=images)
    file.unlink()
    with pytest.raises(SourceError, match=r"dog/1\.png"):
        write(pets, tmp_path / "out", images=images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "workspace"]


@pytest.mark.parametrize("name", SINGLE)
def test_a_full_disk_leaves_the_old_export(pets: dict[str, Any], name: str, tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out")
    before = contents(tmp_path)
    point = "export.before_table:enospc:1" if name == "csv" else "export.after_picture:enospc:1"
    set_failpoints(point)
    try:
        with pytest.raises(WorkspaceError, match="Free some space"):
            write(pets, dest, format=name, overwrite=True)
    finally:
        set_failpoints("")
    assert contents(tmp_path) == before


def killed(pets: dict[str, Any], dest: Path, point: str, **settings: Any) -> None:
    """An export in a process of its own, which kills itself at a point."""
    code = (
        "import sys; from pathlib import Path\n"
        "from curation.datasets import Dataset\n"
        "from curation.export import ExportSettings, export\n"
        "from curation.files import set_failpoints\n"
        f"set_failpoints({point + ':kill:1'!r})\n"
        f"export(Path({str(dest)!r}), ExportSettings(source=Path({str(pets['source'])!r}), **{settings!r}), "
        f"Path({str(pets['workspace'])!r}), Dataset('pets', Path({str(pets['dataset'].folder)!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


POINTS = ("export.after_picture", "export.before_table", "export.before_rename")


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_export_leaves_nothing_that_looks_complete(pets: dict[str, Any], point: str, tmp_path: Path) -> None:
    killed(pets, tmp_path / "out", point)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out.curate-export.")]
    write(pets, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source", "workspace"]


@pytest.mark.parametrize("point", [*POINTS, "export.after_exchange"])
def test_killed_while_overwriting_it_is_the_old_or_the_new(pets: dict[str, Any], point: str, tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out")
    old = contents(dest)
    killed(pets, dest, point, format="npz", overwrite=True)
    assert (contents(dest) == old) == (point != "export.after_exchange")
    assert verify_export(dest) == []
    write(pets, dest, format="npz", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source", "workspace"]


def test_without_an_exchange_of_names_a_kill_in_between_is_put_right(pets: dict[str, Any], tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out")
    old = contents(dest)
    os.rename(dest, tmp_path / ".out.curate-export.12345678.old")
    with pytest.raises(SettingsError, match="There is no format"):
        write(pets, dest, format="zip")
    set_failpoints("export.after_picture:eio:1")
    try:
        with pytest.raises(WorkspaceError):
            write(pets, dest)
    finally:
        set_failpoints("")
    assert contents(dest) == old


def test_verify_says_what_is_missing_changed_or_strange(pets: dict[str, Any], tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out")
    (dest / "cat" / "0.png").unlink()
    (dest / "cat" / "1.png").write_bytes(b"other")
    (dest / "dog" / "mine.png").write_bytes(b"other")
    said = " ".join(verify_export(dest))
    assert "'cat/0.png' is missing" in said
    assert "'cat/1.png' has other bytes" in said
    assert "'dog/mine.png' is not part of the export" in said
    assert len(verify_export(dest)) == 3
    table = (dest / NAME).read_text()
    (dest / NAME).write_text(table.replace('"dog"', '"cat"'))
    with pytest.raises(CurationError, match="changed after it was written"):
        compare_with_version(dest, pets["dataset"].folder)


def test_pictures_that_were_added_to_an_export_are_said(pets: dict[str, Any], tmp_path: Path) -> None:
    dest = write(pets, tmp_path / "out")
    (dest / "dog" / "0.png").rename(dest / "cat" / "mine.png")
    records = load(dest)
    assert records.rejected["path"].tolist() == ["cat/mine.png"]
    assert "--format folder" in records.rejected["reason"][0]
