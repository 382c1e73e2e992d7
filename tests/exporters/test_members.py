"""Pictures inside of files: array files, tables and archives as a source, and as what an export writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from curation.datasets import Dataset
from curation.export import Exported, ExportSettings, export
from curation.export_table import NAME, read_table, write_table
from curation.exporters import parquet, webdataset
from curation.exporters.verify import compare_with_version, verify_export
from curation.importers import load
from curation.manifest import manifest_folder, read, write_first
from curation.manifest.verify import verify_pictures
from curation.pixels import content_hashes, decode
from tests.exporters.test_round_trip import WAYS
from tests.exporting import make_set, said

LABELS = ["cat", "dog"] * 4


def as_set(source: Path, folder: Path) -> tuple[Path, Dataset, Path]:
    """(workspace, data set, root) of whatever is at `source`."""
    workspace = folder / "workspace"
    records = load(source, workspace=workspace)
    pixels = decode(records, 16, workspace / ".curate" / "cache")
    dataset = Dataset("pets", manifest_folder(workspace, "pets"))
    samples = pixels.samples[list(records.samples)]
    write_first(samples, records.annotations, dataset.folder, author="me", message="first", dataset="pets")
    return workspace, dataset, records.root


def make_arrays(folder: Path, kind: str) -> Path:
    """An array file of 8 pictures with 2 labels."""
    images = np.random.default_rng(0).integers(0, 256, (8, 6, 9, 3), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    if kind == "h5":
        with h5py.File(folder / "set.h5", "w") as file:
            file["train/images"], file["train/labels"] = images, LABELS
        return folder / "set.h5"
    save = np.savez if kind == "npz" else np.savez_compressed
    # Floats: what becomes 0 and 255 is decided for the whole array.
    save(folder / "set.npz", images=images if kind == "npz" else images / 255, labels=LABELS)
    return folder / "set.npz"


@pytest.mark.parametrize("kind", ["npz", "compressed npz", "h5"])
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_members_of_array_files_leave_by_every_format(way: tuple[str, str], kind: str, tmp_path: Path) -> None:
    workspace, dataset, root = as_set(make_arrays(tmp_path / "set", kind), tmp_path)
    dest = tmp_path / "out"
    export(dest, ExportSettings(way[0], images=way[1], source=root), workspace, dataset)
    check_whole(dest, dataset, tmp_path)


def check_whole(dest: Path, dataset: Dataset, folder: Path) -> None:
    """An export is that of the version, and gives it back: labels and pixels."""
    assert verify_export(dest) == []
    assert compare_with_version(dest, dataset.folder) == ([], "")
    records, before = load(dest), read(dataset.folder, "v0001")
    pixels = decode(records, 16, folder / "cache-of-export")
    assert said(pixels.samples, records.annotations) == said(
        before.drop_duplicates("sample_id"), before[before["annotation_id"] != ""]
    )
    hashes = before.drop_duplicates("sample_id").set_index("sample_id")["pixel_hash"]
    assert pixels.samples.set_index("sample_id")["pixel_hash"].sort_index().tolist() == hashes.sort_index().tolist()


@pytest.fixture(params=["parquet", "webdataset"])
def bundles(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """A data set whose source is a table or an archive with pictures inside."""
    facts = [{"path": f"{at}.png", "label": LABELS[at], "split": "ab"[at % 2]} for at in range(8)]
    workspace, dataset, source = make_set(tmp_path / "first", facts)
    export(tmp_path / "bundle", ExportSettings(request.param, source=source), workspace, dataset)
    workspace, dataset, root = as_set(tmp_path / "bundle", tmp_path)
    return {"workspace": workspace, "dataset": dataset, "root": root}


def write(bundles: dict[str, Any], dest: Path, **settings: Any) -> Exported:
    return export(dest, ExportSettings(source=bundles["root"], **settings), bundles["workspace"], bundles["dataset"])


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_members_of_tables_and_archives_leave_by_every_format(
    bundles: dict[str, Any], way: tuple[str, str], tmp_path: Path
) -> None:
    done = write(bundles, tmp_path / "out", format=way[0], images=way[1])
    check_whole(done.place, bundles["dataset"], tmp_path)
    if way[1] == "link":
        assert "8 pictures come out of tables or archives, and are copies" in " ".join(done.notes)


def test_links_to_members_of_tables_and_archives_are_copies(bundles: dict[str, Any], tmp_path: Path) -> None:
    done = write(bundles, tmp_path / "out", format="folder", images="symlink")
    assert verify_export(done.place) == []
    assert not any(path.is_symlink() for path in done.place.rglob("*"))


@pytest.mark.parametrize("kind", ["npz", "compressed npz", "h5"])
def test_members_of_array_files_are_verified(kind: str, tmp_path: Path) -> None:
    file = make_arrays(tmp_path / "set", kind)
    _, dataset, root = as_set(file, tmp_path)
    rows = read(dataset.folder, "v0001")
    paths = rows["path"].tolist()
    assert verify_pictures(root, rows) == []
    assert content_hashes(root, paths, tmp_path / "no-cache") == rows["content_hash"].tolist()
    images = np.random.default_rng(0).integers(0, 256, (8, 6, 9, 3), dtype=np.uint8)
    images[5] ^= 1
    file.unlink()
    if kind == "h5":
        with h5py.File(file, "w") as opened:
            opened["train/images"], opened["train/labels"] = images, LABELS
    else:
        whole = images if kind == "npz" else images / 255
        np.savez(file, images=whole, labels=LABELS)
    (problem,) = verify_pictures(root, rows)
    assert problem.endswith("5 has other bytes than in the version.")
    found = content_hashes(root, paths, tmp_path / "no-cache")
    assert [a != b for a, b in zip(found, rows["content_hash"], strict=True)] == [path.endswith("5") for path in paths]
    file.unlink()
    assert len(verify_pictures(root, rows)) == 8
    assert content_hashes(root, paths, tmp_path / "no-cache") == [""] * 8


def test_members_of_tables_and_archives_are_verified(bundles: dict[str, Any], tmp_path: Path) -> None:
    rows = read(bundles["dataset"].folder, "v0001")
    assert verify_pictures(bundles["root"], rows) == []
    first = sorted(rows["path"])[0].partition("#")[0]
    file = bundles["root"] / first
    data = bytearray(file.read_bytes())
    at = data.find(b"IDAT") + 10
    data[at] ^= 1
    file.write_bytes(data)
    (problem,) = verify_pictures(bundles["root"], rows)
    assert "other bytes" in problem
    assert verify_export(bundles["root"]) == [f"'{first}' has other bytes than when it was exported."]
    file.unlink()
    assert verify_export(bundles["root"]) == [f"'{first}' is missing."]


def test_a_member_that_is_another_picture_than_the_table_says_is_seen(bundles: dict[str, Any], tmp_path: Path) -> None:
    table = read_table(bundles["root"])
    rows = table.rows.copy()
    first = rows.index[rows["path"].str.endswith(("#000000", "/000000"))][0]
    second = rows.index[rows["path"].str.endswith(("#000001", "/000001"))][0]
    rows.loc[[first, second], "path"] = rows.loc[[second, first], "path"].to_numpy()
    facts = {key: value for key, value in table.facts.items() if key not in ("format", "hash")}
    with (bundles["root"] / NAME).open("wb") as stream:
        write_table(stream, facts, rows)
    assert len(found := verify_export(bundles["root"])) == 2
    assert all("another picture" in text for text in found)
    rows.loc[first, "path"] = rows.loc[first, "path"][:-6] + "999999"
    with (bundles["root"] / NAME).open("wb") as stream:
        write_table(stream, facts, rows)
    assert any("none with the number" in text for text in verify_export(bundles["root"]))


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_several_shards_have_every_picture_once(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "SHARD_SAMPLES", 3)
    monkeypatch.setattr(parquet, "SHARD_BYTES", 500)
    monkeypatch.setattr(parquet, "ROWS", 2)
    facts = [{"path": f"{at}.png", "label": LABELS[at % 8], "split": "ab"[at % 2]} for at in range(20)]
    workspace, dataset, source = make_set(tmp_path, facts)
    done = export(tmp_path / "out", ExportSettings(format, source=source), workspace, dataset)
    pattern = "data/{}-*-of-{:05d}.parquet" if format == "parquet" else "{}-*.tar"
    for split in "ab":
        files = sorted(done.place.glob(pattern.format(split, 5)))
        assert len(files) == (5 if format == "parquet" else 4)
    assert len(done.facts["files"]) == (10 if format == "parquet" else 8)
    check_whole(done.place, dataset, tmp_path)


def test_an_archive_ends_at_the_limit_of_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "SHARD_BYTES", 1)
    facts = [{"path": f"{at}.png", "label": "cat"} for at in range(3)]
    workspace, dataset, source = make_set(tmp_path, facts)
    done = export(tmp_path / "out", ExportSettings("webdataset", source=source), workspace, dataset)
    assert list(done.facts["files"]) == [f"data-{at:06d}.tar" for at in range(3)]
    check_whole(done.place, dataset, tmp_path)
