"""Manifest versions: all rows, one hash, all or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import NotFoundError, WorkspaceError
from curation.files import set_failpoints
from curation.importers.assemble import Rows, assemble
from curation.manifest import (
    COLUMNS,
    HASHED,
    LATER,
    build_rows,
    canonical_hash,
    dataset_folder_name,
    manifest_folder,
    read,
    write_first,
)
from curation.manifest.reimport import ensure_version
from curation.manifest.version_files import read_header, versions
from curation.records import Records

PICTURES = {"cat/1.png": "cat", "cat/2.png": "cat", "dog/1.png": "dog", "dog/2.png": ""}
WHO: dict[str, Any] = {"author": "Ann", "message": "first import"}


def make_records(pictures: dict[str, str] = PICTURES, contents: dict[str, str] | None = None) -> Records:
    """Records of these paths and labels; `contents` names the picture at a path, its path where it is not named."""
    records = assemble(Rows(list(pictures), list(pictures.values()), ["train"] * len(pictures)), Path("/x"), "folder")
    named = [(contents or {}).get(path, path) for path in records.samples["path"]]
    for column in ("pixel_hash", "content_hash"):
        records.samples[column] = pd.Series([f"{column} of {name}" for name in named], dtype="str")
    return records


def write(records: Records, folder: Path) -> str:
    return write_first(records.samples, records.annotations, folder, **WHO)


def ensure(records: Records, folder: Path) -> Any:
    return ensure_version(records.samples, records.annotations, folder, **WHO)


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    set_failpoints("")


def test_the_first_version_has_every_row_and_its_counts(tmp_path: Path) -> None:
    records = make_records()
    records.samples.loc[3, ["status", "reason"]] = ["unreadable", "cut off"]
    assert write(records, tmp_path) == "v0001"
    assert versions(tmp_path) == ["v0001"]
    rows = read(tmp_path, "v0001")
    assert list(rows.columns) == list(COLUMNS)
    assert rows["sample_id"].is_monotonic_increasing
    assert dict(zip(rows["path"], rows["label"], strict=True)) == PICTURES
    assert set(rows.loc[rows["path"] == "dog/2.png", "reason"]) == {"cut off"}
    header = read_header(tmp_path, "v0001")
    assert header["parent"] is None
    assert header["hash"] == canonical_hash(rows)
    assert (header["author"], header["message"]) == ("Ann", "first import")
    counts = {"rows": 4, "samples": 4, "annotations": 3, "unlabelled": 1, "unreadable": 1}
    assert {name: header[name] for name in counts} == counts
    assert header["classes"] == {"cat": 2, "dog": 1}
    assert header["splits"] == {"train": 4}
    change = json.loads((tmp_path / "v0001.changes.jsonl").read_text())
    assert change == {"change": "import", "samples": 4, "annotations": 3}


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    records = make_records()
    write(records, tmp_path)
    rows = read(tmp_path, "v0001")
    assert rows.equals(build_rows(records.samples, records.annotations))
    assert dict(rows.dtypes) == dict(build_rows(records.samples, records.annotations).dtypes)


def test_several_annotations_of_one_sample_and_boxes() -> None:
    records = make_records({"a.png": "cat", "b.png": "dog"})
    more = records.annotations.iloc[[0]].assign(
        annotation_id=records.annotations["annotation_id"][0][:-1] + "1", label="dog"
    )
    boxes = pd.concat([records.annotations, more.assign(x=1.5, y=2.0, w=3.0, h=4.0)], ignore_index=True)
    rows = build_rows(records.samples, boxes)
    assert len(rows) == 3
    assert rows.loc[rows["path"] == "a.png", "label"].tolist() == ["cat", "dog"]
    assert canonical_hash(rows) != canonical_hash(build_rows(records.samples, boxes.assign(x=2.5)))


def test_the_same_rows_have_the_same_bytes_and_hash(tmp_path: Path) -> None:
    records = make_records()
    write(records, tmp_path / "one")
    shuffled = records.samples.sample(frac=1, random_state=0), records.annotations.sample(frac=1, random_state=0)
    write_first(*shuffled, tmp_path / "two", **WHO)
    for name in ("v0001.parquet", "v0001.changes.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert read_header(tmp_path / "one", "v0001")["hash"] == read_header(tmp_path / "two", "v0001")["hash"]


def test_the_hash_is_what_the_documentation_says() -> None:
    rows = build_rows(*_one_row())
    import hashlib

    text = (
        '{"format":"curate-manifest-1","columns":["sample_id","annotation_id","path","split","group","label","x","y","w","h",'
        '"attributes","content_hash","status"],"rows":[["s1","s1-0","é/\\"1\\".png","train","","ca\\tt",1,2.5,null,null,"","ff","ok"]]}'
    )
    assert canonical_hash(rows) == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _one_row() -> tuple[pd.DataFrame, pd.DataFrame]:
    records = make_records({'é/"1".png': "ca\tt"})
    samples = records.samples.assign(sample_id="s1", content_hash="ff")
    return samples, records.annotations.assign(sample_id="s1", annotation_id="s1-0", x=1.0, y=2.5)


@pytest.mark.parametrize("column", COLUMNS)
def test_what_the_hash_covers(column: str) -> None:
    rows = build_rows(*_one_row())
    changed = rows.assign(**{column: 7 if rows[column].dtype.kind in "if" else "other"}).astype(COLUMNS)
    assert (canonical_hash(changed) != canonical_hash(rows)) == (column in (*HASHED, *LATER))


def test_values_cannot_slide_from_one_column_to_the_next() -> None:
    rows = build_rows(*_one_row())
    one, two = rows.assign(path='a","b', split="").astype(COLUMNS), rows.assign(path="a", split="b").astype(COLUMNS)
    assert canonical_hash(one) != canonical_hash(two)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=25, deadline=None)
@given(pictures=st.dictionaries(texts.filter(bool), texts, min_size=1, max_size=8))
def test_any_path_and_label_survive_a_version(
    tmp_path_factory: pytest.TempPathFactory, pictures: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    records = make_records(pictures)
    write(records, folder)
    rows = read(folder, "v0001")
    assert dict(zip(rows["path"], rows["label"], strict=True)) == pictures
    assert canonical_hash(rows) == read_header(folder, "v0001")["hash"]
    assert not ensure(records, folder).changed


POINTS = [
    f"manifest.{part}.{point}"
    for part in ("rows", "changes", "header")
    for point in ("before_write", "before_sync", "before_rename", "after_rename")
]
POINTS += ["link.before_unlink"]  # of the first of the files
WRITTEN = ("manifest.header.after_rename",)  # from here on, the version exists

SCRIPT = """
import sys
from pathlib import Path
from curation.files import set_failpoints
from tests.manifest.test_manifest import ensure, make_records
set_failpoints(sys.argv[2])
print(ensure(make_records(), Path(sys.argv[1])).version)
"""


def run(folder: Path, failpoint: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(folder), failpoint]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_leaves_no_version_or_the_whole_one(tmp_path: Path, point: str) -> None:
    folder = tmp_path / "set"
    killed = run(folder, f"{point}:kill:1")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert versions(folder) == (["v0001"] if point in WRITTEN else [])
    assert ensure(make_records(), folder).version == "v0001"
    assert canonical_hash(read(folder, "v0001")) == read_header(folder, "v0001")["hash"]
    assert [file for file in os.listdir(folder) if not file.startswith("v0001")] == []


@pytest.mark.parametrize("kind", ["enospc", "eio", "exdev"])
@pytest.mark.parametrize("point", [point for point in POINTS if point not in WRITTEN])
def test_a_failing_disk_is_reported_and_changes_nothing(tmp_path: Path, point: str, kind: str) -> None:
    set_failpoints(f"{point}:{kind}:1")
    with pytest.raises(WorkspaceError, match="could not be written"):
        ensure(make_records(), tmp_path)
    assert versions(tmp_path) == []
    set_failpoints("")
    assert ensure(make_records(), tmp_path).version == "v0001"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from curation.errors import WorkspaceError
from tests.manifest.test_manifest import ensure, make_records
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    ensure(make_records({f"{i}.png": f"label {i}" for i in range(5000)}), Path(sys.argv[1]))
except WorkspaceError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 10_000])
def test_a_disk_that_fills_while_writing(tmp_path: Path, limit: int) -> None:
    folder = tmp_path / "set"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", FULL_DISK, str(folder), str(limit)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=True)
    assert "v0001.parquet could not be written" in done.stdout
    assert list(folder.iterdir()) == []


def test_two_publishers_at_once_write_one_version(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(folder), ""]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in both] == ["v0001\n", "v0001\n"]
    assert versions(folder) == ["v0001"]
    assert len(read(folder, "v0001")) == 4


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    write(make_records(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(WorkspaceError, match="Somebody else published first"):
        write(make_records({"x.png": "y"}), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="could not be written"):
        write(make_records(), tmp_path / "file" / "set")
    with pytest.raises(WorkspaceError, match="could not be written"):
        write(make_records(), Path("/proc/set"))


def test_reading_what_is_not_there_or_damaged(tmp_path: Path) -> None:
    assert versions(tmp_path / "absent") == []
    write(make_records(), tmp_path)
    with pytest.raises(NotFoundError, match=r"no version 'v0002' in .*; there are: v0001"):
        read(tmp_path, "v0002")
    with pytest.raises(NotFoundError):
        read(tmp_path, "../v0001")
    whole = (tmp_path / "v0001.parquet").read_bytes()
    for data in (b"", whole[:100], whole[:-8]):
        (tmp_path / "v0001.parquet").write_bytes(data)
        with pytest.raises(WorkspaceError, match="damaged"):
            read(tmp_path, "v0001")
    write(make_records({"x.png": "y"}), tmp_path / "other")
    (tmp_path / "v0001.parquet").write_bytes((tmp_path / "other" / "v0001.parquet").read_bytes())
    with pytest.raises(WorkspaceError, match="does not belong to its header"):
        read(tmp_path, "v0001")
    for text in ("", "[]", "{}", "[" * 100_000):
        (tmp_path / "v0001.json").write_text(text)
        with pytest.raises(WorkspaceError, match="damaged"):
            read_header(tmp_path, "v0001")


def test_an_unchanged_source_keeps_its_version(tmp_path: Path) -> None:
    assert not ensure(make_records(), tmp_path).changed
    again = ensure(make_records(), tmp_path)
    assert (again.version, again.changed, again.notes) == ("v0001", False, ())
    assert len(list(tmp_path.iterdir())) == 3


def test_other_measurements_are_no_change(tmp_path: Path) -> None:
    records = make_records()
    ensure(records, tmp_path)
    records.samples["format"] = "PNG"
    assert not ensure(records, tmp_path).changed


def test_another_data_set_of_the_same_name_is_refused(tmp_path: Path) -> None:
    ensure(make_records(), tmp_path)
    with pytest.raises(WorkspaceError, match=r"another data set.* --name"):
        ensure(make_records({"x.png": "y"}), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "photos",
        "my photos",
        "",
        ".",
        "..",
        "../../etc",
        "/etc",
        "a/b",
        "CON",
        "con.txt",
        "nul",
        "x/../COM1.a",
        "com1",
        "x" * 255,
        "é" * 200,
        "a\0b",
        "a\nb",
        " x ",
        ".hidden",
        "-rf",
        "C:\\x",
        "\udcff",
        "a.",
        "\u202ex",
    ],
)
def test_a_name_becomes_a_safe_folder(name: str, tmp_path: Path) -> None:
    safe = dataset_folder_name(name)
    assert safe
    assert not set(safe) & set('/\\\0\n:*?"<>| ')
    assert not safe.startswith((".", "-"))
    assert not safe.endswith(".")
    assert len(safe.encode()) <= 100
    assert safe.split(".")[0].lower() not in ("con", "nul", "com1")
    assert dataset_folder_name(safe) == safe
    folder = manifest_folder(tmp_path, name)
    assert folder.parent == tmp_path / "data_manifest"
    write(make_records(), folder)


def test_different_names_have_different_folders() -> None:
    names = ["my photos", "my-photos", "my_photos", "my/photos", "", "dataset", "x" * 200, "x" * 201, "con", "con-set"]
    assert len({dataset_folder_name(name) for name in names}) == len(names)
