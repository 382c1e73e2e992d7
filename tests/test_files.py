"""Writing files: the old content or the new, whatever happens, and nothing left behind for ever."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from curation import files
from curation.errors import WorkspaceError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    files.set_failpoints("")


def write(path: Path, text: str) -> None:
    files.write_atomic(path, lambda stream: stream.write(text.encode()))


KILLED = """
import sys
from pathlib import Path
from curation import files
files.set_failpoints(sys.argv[2])
files.write_atomic(Path(sys.argv[1]), lambda stream: stream.write(b"new"))
"""


@pytest.mark.parametrize("moment", ["before_write", "before_rename", "after_rename"])
def test_a_killed_writer_leaves_old_or_new_and_the_next_one_cleans_up(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "a [1]*.json"
    write(path, "old")
    command = [sys.executable, "-c", KILLED, str(path), f"file.{moment}:kill:1"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert path.read_text() == ("new" if moment == "after_rename" else "old")
    assert len(os.listdir(tmp_path)) == (2 if moment == "before_rename" else 1)
    write(path, "newer")
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text() == "newer"


def test_a_file_that_is_being_written_is_no_leftover(tmp_path: Path) -> None:
    path = tmp_path / "latest"

    def slowly(stream: BinaryIO) -> None:
        write(path, "other")  # another process, meanwhile
        (temporary,) = tmp_path.glob(".latest.*.tmp")
        assert not files.is_abandoned(temporary)
        stream.write(b"mine")

    files.write_atomic(path, slowly)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["latest"]


@pytest.mark.parametrize("name", ["名" * 85, "é" * 127, "x" * 255], ids=["wide", "accented", "plain"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "new")
    assert os.listdir(tmp_path) == [name]


def test_a_failing_write_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, "old")

    def fail(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(WorkspaceError, match="Input/output error"):
        files.write_atomic(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "Free some space"), (errno.EFBIG, "Free some space"), (errno.EMFILE, "ulimit -n"),
     (errno.EACCES, "that you can write to with --workspace DIR")],
)  # fmt: skip
def test_what_the_system_refuses_comes_with_what_to_do_about_it(tmp_path: Path, code: int, advice: str) -> None:
    with pytest.raises(WorkspaceError, match=advice), files.workspace_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_a_failing_sync_is_never_taken_for_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WorkspaceError, match="Input/output error"):
        write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_pipes_devices_and_folders_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "stdout").symlink_to("/dev/null")
    for name in ("pipe", "folder", "stdout"):
        with pytest.raises(WorkspaceError, match="ordinary file"):
            write(tmp_path / name, "new")
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe", "stdout"]
    assert (tmp_path / "stdout").is_symlink()
