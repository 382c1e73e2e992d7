"""Sources at places that are hard to reach: one clear sentence, whoever asks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from curation.errors import SettingsError, SourceError
from curation.importers import load
from tests.importers.pictures import labels_of, make_pictures, rejected_of
from tests.unprivileged import run_unprivileged

LONG = "x" * 300


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Names of all kinds that are no data set, and a data set that is one."""
    make_pictures(tmp_path, "set/cat/1.png", "set/dog/1.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "there").symlink_to("back")
    (tmp_path / "back").symlink_to("there")
    for name in ("pipe.csv", "pipe.npz", "pipe.parquet"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    return tmp_path


HARD = ["loop", "loop/x", "there", LONG, "x/" * 3000, "pipe.csv", "pipe.npz", "pipe.parquet", "zero.csv", "zero.npz"]


@pytest.mark.parametrize("name", HARD, ids=lambda name: name[:12])
def test_a_source_that_cannot_be_read_is_refused_in_a_sentence(places: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"does not exist|cannot be reached|is not a file"):
        load(places / name)


@pytest.mark.parametrize("name", [*HARD, "folder.csv", "", "nul\0"], ids=lambda name: name[:12])
def test_a_table_of_labels_that_cannot_be_read_is_refused_in_a_sentence(places: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"does not exist|cannot be reached|is not a (file|path)"):
        load(places / "set", format="table", options={"labels": str(places / name) if name else ""})


@pytest.mark.parametrize("workspace", ["loop", "loop/x", "there", LONG], ids=lambda name: name[:12])
def test_a_hard_workspace_does_not_keep_a_source_from_being_read(places: Path, workspace: str) -> None:
    assert len(load(places / "set", workspace=places / workspace).samples) == 2


@pytest.mark.parametrize("encoding", ["undefined", "no-such", "base64", "rot13", "a\0b", "../x"])
def test_an_encoding_that_is_none_is_refused_in_a_sentence(places: Path, encoding: str) -> None:
    (places / "labels.csv").write_text("image,label\ncat/1.png,cat\n")
    with pytest.raises(SettingsError, match="There is no text encoding"):
        load(places / "set", options={"labels": str(places / "labels.csv"), "encoding": encoding})


def test_a_path_in_a_table_may_be_longer_than_any_file(places: Path) -> None:
    rows = ["cat/1.png,cat", f"{LONG}/1.png,cat", f"{LONG},cat", f"{'x/' * 3000}1.png,cat", "loop/1.png,cat"]
    (places / "set" / "loop").symlink_to("loop")
    (places / "set" / "labels.csv").write_text("\n".join(["image,label", *rows]))
    records = load(places / "set" / "labels.csv")
    assert records.samples["path"].tolist() == ["cat/1.png"]
    assert len(records.rejected) == 4


def test_a_table_that_is_a_link_keeps_its_name_and_its_place(places: Path) -> None:
    (places / "blob").write_text("image,label\ncat/1.png,cat\ndog/1.png,dog\n")
    (places / "set" / "labels.csv").symlink_to("../blob")
    for source, options in (("set/labels.csv", {}), ("set", {"labels": "labels.csv"})):
        assert labels_of(load(places / source, options=options)) == {"cat/1.png": "cat", "dog/1.png": "dog"}


LOADED = """
import sys
from curation.errors import CurationError
from curation.importers import load
for source, options in {tries!r}:
    try:
        load(source, options=options)
        print("read")
    except CurationError as error:
        print(error)
"""


def test_folders_without_the_right_to_enter_are_said(places: Path) -> None:
    make_pictures(places, "closed/set/cat/1.png")
    (places / "closed" / "labels.csv").write_text("image,label\nset/cat/1.png,cat\n")
    np.savez(places / "closed" / "set.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    tries = [
        *((str(places / "closed" / name), {}) for name in ("", "set", "labels.csv", "set.npz", "nothing")),
        (str(places / "set"), {"labels": str(places / "closed" / "labels.csv")}),
    ]
    (places / "closed").chmod(0)
    try:
        lines = run_unprivileged(LOADED.format(tries=tries)).splitlines()
    finally:
        (places / "closed").chmod(0o755)
    assert len(lines) == len(tries)
    assert all("Permission denied" in line for line in lines)


def test_a_class_folder_without_the_right_to_read_is_reported_and_stops_nothing(places: Path) -> None:
    make_pictures(places, "set/closed/1.png")
    (places / "set" / "closed").chmod(0)
    try:
        told = run_unprivileged(
            f"from curation.importers import load\nrecords = load({str(places / 'set')!r})\n"
            "print(len(records.samples), records.rejected.to_dict('records'))"
        )
    finally:
        (places / "set" / "closed").chmod(0o755)
    assert told.startswith("2 ")
    assert "'path': 'closed'" in told
    assert "Permission denied" in told
    assert rejected_of(load(places / "set")) == {}
