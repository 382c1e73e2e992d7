"""Publishing and what can happen to it: killed anywhere, a full disk, two at once, no locks, no hard links."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation import doctor, store
from curation.decisions import Action, Decision
from curation.errors import WorkspaceError
from curation.files import set_failpoints
from curation.manifest import NewVersion, history, read, write_version
from curation.manifest.publish import publish
from curation.manifest.verify import verify
from curation.manifest.version_files import read_header, unfinished, versions
from tests.manifest.test_changes import make_rows, same

ROOT = Path(__file__).parents[1]
HEAD = make_rows(*({"id": name} for name in "abcdef"))

POINTS = [
    f"manifest.{part}.{moment}"
    for part in ("rows", "changes", "source", "header")
    for moment in ("before_write", "before_sync", "before_rename", "after_rename")
]
# The same point again for each of the files: kill between giving it its name and removing the temporary one.
FAULTS = [f"{point}:{{kind}}:1" for point in POINTS] + [f"link.before_unlink:{{kind}}:{n}" for n in (1, 2, 3, 4)]
WRITTEN = ("manifest.header.after_rename:{kind}:1", "link.before_unlink:{kind}:4")  # from here on, the version exists


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    set_failpoints("")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "data_manifest" / "set"
    write_version(HEAD, NewVersion(None, "import", "me", "first", [{"change": "import"}], dataset="set"), found)
    return found


def again(folder: Path, author: str = "me") -> str:
    """Publish the next version, with all four files."""
    newest = versions(folder)[-1]
    before = read(folder, newest)
    after = before.copy()
    after.loc[0, "label"] = f"not what it was in {newest}"
    told = {"sample_id": "a", "annotation_id": "a-0", "path": "a.png"}
    line = {"change": "relabel", **told, "from": before.loc[0, "label"], "to": after.loc[0, "label"]}
    back = {"change": "relabel", **told, "from": after.loc[0, "label"], "to": "cat"}
    return write_version(after, NewVersion(newest, "import", author, "m", [line], source_changes=[back]), folder)


SCRIPT = """
import sys
from pathlib import Path
from curation.files import set_failpoints
from tests.test_version_faults import again
set_failpoints(sys.argv[2])
print(again(Path(sys.argv[1]), sys.argv[3]))
"""


def start(folder: Path, failpoint: str = "", author: str = "me") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), failpoint, author]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def problems(folder: Path) -> list[str]:
    """What `curate doctor` says about the manifest, and `curate verify`."""
    said: list[str] = []
    doctor._manifests(folder.parents[1], said)
    return said + verify(folder)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_killed_anywhere_leaves_the_old_or_the_new_and_the_next_publish_cleans_up(folder: Path, fault: str) -> None:
    killed = start(folder, fault.format(kind="kill"))
    _, stderr = killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL, stderr
    written = ["v0001", "v0002"] if fault in WRITTEN else ["v0001"]
    assert versions(folder) == written
    for version in written:
        read(folder, version)
        history.changes_of(folder, version)
    left = unfinished(folder)
    assert all(any(name in text for text in problems(folder)) for name in left)
    version = again(folder)
    assert version == ("v0003" if fault in WRITTEN else "v0002")
    assert unfinished(folder) == []
    assert problems(folder) == []


@pytest.mark.parametrize("kind", ["enospc", "eio", "exdev"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_leaves_the_old_or_the_new(folder: Path, fault: str, kind: str) -> None:
    set_failpoints(fault.format(kind=kind))
    with pytest.raises(WorkspaceError, match="could not be written"):
        again(folder)
    set_failpoints("")
    written = ["v0001", "v0002"] if fault in WRITTEN else ["v0001"]
    assert versions(folder) == written
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]
    assert same(read(folder, "v0001"), HEAD)
    again(folder)
    assert problems(folder) == []


def test_a_killed_publish_of_a_store_is_repeated_without_losing_or_doubling(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    store.record(engine, Action("one", "set", "ann", (Decision("a", "a", "relabel", ("dog",), given_label="cat"),)))
    for fault in ("manifest.changes.before_rename:eio:1", "manifest.header.after_rename:eio:1"):
        set_failpoints(fault)
        with pytest.raises(WorkspaceError):
            publish(folder, engine, "set", "m", "lead")
    set_failpoints("")
    assert versions(folder) == ["v0001", "v0002"], "the second failed after the version was there"
    assert publish(folder, engine, "set", "m", "lead") == "", "so there is nothing left to publish"
    assert problems(folder) == []


@pytest.mark.slow
def test_of_two_publishers_at_once_one_is_told(folder: Path) -> None:
    """They start from the same version: either one publishes on top of the other, or is told that it has to."""
    for _ in range(3):
        before = len(versions(folder))
        both = [start(folder, author=name) for name in ("ann", "bob")]
        said = [process.communicate(timeout=300) for process in both]
        codes = sorted(process.returncode for process in both)
        assert len(versions(folder)) - before == codes.count(0) >= 1
        for process, (_, stderr) in zip(both, said, strict=True):
            assert process.returncode == 0 or "publish again to put it on top of that" in stderr
    assert problems(folder) == []


def test_a_publisher_waits_for_the_one_that_holds_the_lock(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    other = start(folder)
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(timeout=3)
    assert versions(folder) == ["v0001"]
    os.close(descriptor)
    assert other.communicate(timeout=300)[0] == "v0002\n"


def test_without_locks_nothing_of_another_publisher_is_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("curation.manifest.version_files.fcntl.flock", refuse)
    (folder / "v0002.parquet").write_bytes(b"what somebody else is writing")
    with pytest.raises(WorkspaceError, match="somebody writes at this moment"):
        again(folder)
    assert (folder / "v0002.parquet").read_bytes() == b"what somebody else is writing"
    assert versions(folder) == ["v0001"]
    (folder / "v0002.parquet").unlink()
    assert again(folder) == "v0002"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EXDEV, errno.ENOTSUP])
def test_a_file_system_without_hard_links(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("curation.files.os.link", refuse)
    assert again(folder) == "v0002"
    assert problems(folder) == []


def test_a_folder_that_cannot_be_written_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.listdir(folder):
        os.chmod(folder / name, 0o400)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("curation.files.tempfile.mkstemp", refuse)
    with pytest.raises(WorkspaceError, match="Read-only file system"):
        again(folder)
    assert versions(folder) == ["v0001"]


def test_parts_below_the_newest_version_are_no_leftovers(folder: Path) -> None:
    again(folder)
    again(folder)
    (folder / "v0002.json").unlink()  # somebody's mistake: what can be restored from it must stay
    assert again(folder) == "v0004"
    assert (folder / "v0002.parquet").exists()
    assert any("missing" in text for text in verify(folder))


def test_a_killed_tag_leaves_nothing(folder: Path) -> None:
    for point in ("before_write", "before_sync", "before_rename"):
        set_failpoints(f"manifest.pointer.{point}:eio:1")
        with pytest.raises(WorkspaceError):
            history.tag(folder, "one")
    set_failpoints("")
    assert history.tag(folder, "one")["version"] == "v0001"
    assert read_header(folder, "v0001")["hash"] == history.tag(folder, "two")["hash"]
    assert problems(folder) == []
