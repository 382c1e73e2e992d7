"""Whether `verify` sees every way in which a version can stop being what it was published as."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curation.errors import WorkspaceError
from curation.manifest import NewVersion, history, read, write_version
from curation.manifest.merge import merge
from curation.manifest.verify import verify, verify_pictures
from tests.manifest.test_changes import make_rows
from tests.manifest.test_history import relabel, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "data_manifest" / "set"
    write(found, make_rows(*({"id": name} for name in "abc")), None, "import", "first")
    relabel(found, "a", "dog")
    history.start_branch(found, "try", "v1")
    relabel(found, "b", "eel", branch="try")
    merge(found, "try", "lead")
    history.tag(found, "one", "v2")
    return found


def edit(path: Path, **changed: Any) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, **changed}))


def test_untouched_versions_are_what_they_say(folder: Path) -> None:
    assert verify(folder) == []


def swap_rows(folder: Path) -> None:
    (folder / "v0002.parquet").write_bytes((folder / "v0001.parquet").read_bytes())


def other_line(folder: Path) -> None:
    path = folder / "v0002.changes.jsonl"
    path.write_text(path.read_text().replace("ann", "eve"))


def forged_line(folder: Path) -> None:
    """Another label in the change list, and the hash of the file made to fit."""
    path = folder / "v0002.changes.jsonl"
    path.write_text(path.read_text().replace('"dog"', '"fox"'))
    _fit_hash(folder, path)


def forged_rows(folder: Path) -> None:
    """Rows of another version in the first one, and the hash of the file made to fit."""
    path = folder / "v0001.parquet"
    path.write_bytes((folder / "v0002.parquet").read_bytes())
    _fit_hash(folder, path)


def _fit_hash(folder: Path, path: Path) -> None:
    from curation.manifest.version_files import file_hash

    header = folder / f"{path.name.partition('.')[0]}.json"
    edit(header, files={**json.loads(header.read_text())["files"], path.name: file_hash(path)})


def measured_differently(folder: Path) -> None:
    """What the canonical hash leaves out is in the hash of the file."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "v0002.parquet")
    names = table.column_names
    pq.write_table(table.set_column(names.index("format"), "format", [["TIFF"] * 3]), folder / "v0002.parquet")


TAMPERINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "rows of another version": (swap_rows, "another hash"),
    "a reviewer's name": (other_line, "another hash"),
    "a label in the change list": (forged_line, "does not say what differs between v0001 and v0002"),
    "rows of another version, well hidden": (forged_rows, "do not have the hash that the header says"),
    "what a decoder measured": (measured_differently, "another hash"),
    "a cut file": (lambda f: (f / "v0002.parquet").write_bytes(b"PAR1"), "damaged"),
    "a missing change list": (lambda f: (f / "v0003.changes.jsonl").unlink(), "another hash"),
    "a missing rows file": (lambda f: (f / "v0003.parquet").unlink(), "damaged"),
    "a cut line": (lambda f: (f / "v0002.changes.jsonl").write_text('{"change": "rel'), "damaged"),
    "a line of no sample": (lambda f: (f / "v0002.changes.jsonl").write_text('{"change": "relabel"}'), "no change"),
    "a line of nothing": (lambda f: (f / "v0002.changes.jsonl").write_text('{"change": ["x"]}'), "no change"),
    "who made it": (lambda f: edit(f / "v0002.json", author="eve"), "it was edited since"),
    "a parent that is a number": (lambda f: edit(f / "v0002.json", parent=1), "its parent cannot be"),
    "a parent that is a path": (lambda f: edit(f / "v0002.json", parent="../v0001"), "its parent cannot be"),
    "decisions that are a list": (lambda f: edit(f / "v0002.json", decisions=["1-3"]), "its decisions cannot be"),
    "decisions that are a number": (lambda f: edit(f / "v0002.json", decisions={"ids": 7}), "its decisions cannot be"),
    "files that are a number": (lambda f: edit(f / "v0002.json", files=3), "its files cannot be"),
    "counts that are a list": (lambda f: edit(f / "v0002.json", changes=[1]), "its changes cannot be"),
    "rows that are text": (lambda f: edit(f / "v0002.json", rows="3"), "its rows cannot be"),
    "a cut header": (lambda f: (f / "v0002.json").write_text("{"), "damaged"),
    "a header of another version": (lambda f: edit(f / "v0002.json", version="v0007"), "damaged"),
    "another parent's hash": (lambda f: edit(f / "v0002.json", parent_hash="sha256:0"), "made from another v0001"),
    "a parent that is younger": (lambda f: edit(f / "v0002.json", parent="v0003"), "missing"),
    "a lost version": (lambda f: (f / "v0002.json").unlink(), "1 versions are missing: v0002"),
    "another count": (lambda f: edit(f / "v0002.json", samples=9), "counts wrongly: samples"),
    "a file outside": (lambda f: edit(f / "v0002.json", files={"../../x": "sha256:0"}), "another hash"),
    "a tag of nothing": (lambda f: edit(f / "tags" / "one.json", version="v0099"), "'v0099', which is not there"),
    "a tag of a path": (lambda f: edit(f / "tags" / "one.json", version="../../v0001"), "is not there"),
    "a tag of other rows": (lambda f: edit(f / "tags" / "one.json", hash="sha256:0"), "names another v0002"),
    "a tag without a version": (lambda f: (f / "tags" / "one.json").write_text("{}"), "damaged"),
    "a branch without a version": (lambda f: (f / "branches" / "try.json").write_text("{}"), "damaged"),
    "a cut tag": (lambda f: (f / "tags" / "one.json").write_text("["), "damaged"),
    "a leftover": (lambda f: (f / "v0005.parquet").write_bytes(b""), "left by a killed publisher"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_was_tampered_with_is_seen(folder: Path, what: str) -> None:
    tamper, expected = TAMPERINGS[what]
    tamper(folder)
    found = verify(folder)
    assert any(expected in text for text in found), found


def test_pictures_are_compared_byte_for_byte(tmp_path: Path) -> None:
    from curation.pixels import content_hashes

    root = tmp_path / "source"
    root.mkdir()
    for name in "abc":
        Image.new("RGB", (8, 8), (ord(name), 0, 0)).save(root / f"{name}.png")
    hashes = content_hashes(root, ["a.png", "b.png", "c.png"], tmp_path / "none")
    rows = make_rows(*({"id": n, "content_hash": h} for n, h in zip("abc", hashes, strict=True)))
    assert verify_pictures(root, rows) == []
    (root / "a.png").write_bytes((root / "b.png").read_bytes())
    (root / "c.png").unlink()
    found = verify_pictures(root, rows)
    assert found[0] == "a.png has other bytes than in the version."
    assert found[1].startswith("c.png: ")


def test_a_version_of_a_release_that_wrote_less_is_fine(folder: Path) -> None:
    """Headers of the first release have no branch, kind, counts of changes or hashes of files."""
    header = json.loads((folder / "v0001.json").read_text())
    for name in (
        *("branch", "kind", "merged", "changes", "files", "decisions", "parent_hash", "dataset", "excluded"),
        "header_hash",
    ):
        header.pop(name)
    (folder / "v0001.json").write_text(json.dumps(header))
    assert verify(folder) == []
    assert len(read(folder, "v0001")) == 3
    assert [entry["kind"] for entry in history.log(folder)] == ["merge", "publish", "publish", "import"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _another_label(folder: Path) -> None:
    """A whole Parquet file with the rows of another version; only hashes tell."""
    (folder / "v0004.parquet").write_bytes((folder / "v0003.parquet").read_bytes())


@pytest.mark.parametrize(
    "tamper",
    [
        _another_label,
        lambda f: _cut(f / "v0004.parquet"),
        lambda f: _cut(f / "v0004.changes.jsonl"),
        lambda f: (f / "v0004.changes.jsonl").unlink(),
        lambda f: edit(f / "v0004.json", message="something else"),
        lambda f: edit(f / "v0004.json", parent=["v0003"]),
        lambda f: _cut(f / "v0004.json"),
        lambda f: _cut(f / "v0003.changes.jsonl"),  # the second parent, where it is merged
    ],
)
def test_nothing_is_published_on_top_of_what_was_tampered_with(folder: Path, tamper: Callable[[Path], object]) -> None:
    rows = read(folder, "v0004")
    merged = NewVersion("v0004", "merge", "lead", "", [], merged="v0003")
    tamper(folder)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(WorkspaceError, match="restore it from a backup or git"):
        write_version(rows, merged, folder)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("tamper", "look"),
    [
        (lambda f: (f / "v0002.changes.jsonl").write_text('{"change": "relabel"}\n'), history.open_conflicts),
        (lambda f: (f / "tags" / "one.json").write_text('{"version": {"a": 1}}'), history.log),
        (lambda f: (f / "branches" / "try.json").write_text("{}"), history.branches),
        (lambda f: edit(f / "v0002.json", decisions=["x"]), history.log),
    ],
)
def test_what_reads_damaged_versions_says_so(
    folder: Path, tamper: Callable[[Path], object], look: Callable[[Path], object]
) -> None:
    tamper(folder)
    with pytest.raises(WorkspaceError, match="damaged"):
        look(folder)
