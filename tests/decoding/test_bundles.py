"""Tables and archives with pictures inside: what is damaged or made to do harm is a reason, and quickly."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.decoding import bundles
from curation.decoding.bundles import read_member
from curation.errors import UnreadableError

ROOT = Path(__file__).parents[2]


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A tar header that may say anything, with a right checksum."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    data = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    data[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def file(name: str, data: bytes) -> bytes:
    return header(name, len(data)) + data + bytes(-len(data) % 512)


END = bytes(1024)


def write(folder: Path, *parts: bytes) -> Path:
    path = folder / "set.tar"
    path.write_bytes(b"".join(parts))
    return path


def said(path: Path, index: int = 0, key: str = "") -> str:
    """Why a member cannot be read."""
    with pytest.raises(UnreadableError) as caught:
        read_member(path, key, index)
    return str(caught.value)


def test_only_files_that_are_pictures_by_name_are_counted(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    path = write(
        tmp_path,
        file("a.txt", b"text"),
        header("link.png", 0, tarfile.SYMTYPE, "/etc/passwd"),
        header("hard.png", 0, tarfile.LNKTYPE, "../secret.png"),
        header("pipe.png", 0, tarfile.FIFOTYPE),
        header("device.png", 0, tarfile.CHRTYPE),
        header("folder.png", 0, tarfile.DIRTYPE),
        header("sparse.png", 0, tarfile.GNUTYPE_SPARSE),
        file("first.PNG", b"one"),
        file("second.jpg", b"two"),
        END,
    )
    assert read_member(path, "", 0) == b"one"
    assert read_member(path, "", 1) == b"two"
    assert said(path, 2) == "the archive has 2 pictures, none with the number 2"


@pytest.mark.parametrize("name", ["../../up.png", "/absolute.png", "..\\up.png", "C:\\x.png", "x" * 90 + ".png"])
def test_names_that_lead_out_are_names_and_nothing_is_unpacked(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "", file(name, b"data"), END)
    before = sorted(os.walk(tmp_path.parent))
    assert read_member(path, "", 0) == b"data"
    assert sorted(os.walk(tmp_path.parent)) == before


@pytest.mark.parametrize("size", [-1, -512, -1024, -(2**40), -(2**62)])
def test_a_negative_size_does_not_lead_round_for_ever(size: int, tmp_path: Path) -> None:
    path = write(tmp_path, file("a.png", b"one"), header("b.png", size), file("c.png", b"two"), END)
    assert "negative size" in said(path)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [-512, 2**40, 2**62])
def test_an_extended_header_with_a_size_that_cannot_be_ends(kind: bytes, size: int, tmp_path: Path) -> None:
    path = write(tmp_path, file("a.png", b"one"), header("x", size, kind), file("c.png", b"two"), END)
    assert said(path, 2)
    try:
        found = read_member(path, "", 0)
    except UnreadableError:
        return
    assert found == b"one"


@pytest.mark.parametrize("size", [2**30, 2**40, 2**62])
def test_a_size_beyond_the_archive_is_refused(size: int, tmp_path: Path) -> None:
    path = write(tmp_path, file("a.png", b"one"), header("b.png", size), END)
    if size < 2**62:  # what lies before is whole
        assert read_member(path, "", 0) == b"one"
    assert "larger than 512 MB" in said(path, 1) or "damaged" in said(path, 1)


def test_of_an_archive_that_is_cut_off_what_lies_before_is_read(tmp_path: Path) -> None:
    one, two = file("a.png", b"1" * 3000), file("b.png", b"2" * 3000)
    for cut in (512, 513, 1000, len(two) - 600):
        path = write(tmp_path, one, two[:cut])
        os.utime(path, ns=(cut, cut))
        assert read_member(path, "", 0) == b"1" * 3000
        assert said(path, 1) == "the archive is cut off", cut
    path = write(tmp_path, one, two[:100])
    assert read_member(path, "", 0) == b"1" * 3000
    assert "none with the number" in said(path, 1)
    assert "damaged" in said(write(tmp_path, one[:300]))
    assert "damaged" in said(write(tmp_path, b"no archive at all" * 100))


def test_a_packed_archive_is_refused(tmp_path: Path) -> None:
    for mode in ("gz", "bz2", "xz"):
        path = tmp_path / f"{mode}.tar"
        with tarfile.open(path, f"w:{mode}") as archive:  # type: ignore[call-overload]
            archive.addfile(member := tarfile.TarInfo("a.png"), io.BytesIO())
            member.size = 0
        assert "damaged" in said(path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_MEMBERS", 10)
    path = write(tmp_path, *(header(f"{at}.txt", 0) for at in range(11)), END)
    assert said(path) == "the archive has more than 10 members"


# --- Parquet -----------------------------------------------------------------------------------------------------


def table(folder: Path, column: pa.Array, name: str = "image", **options: object) -> Path:
    path = folder / "set.parquet"
    pq.write_table(pa.table({name: column}), path, **options)
    return path


PICTURES = [b"a" * 400, b"b" * 500, None, b"c" * 600]


def test_bytes_and_structs_of_bytes_are_read(tmp_path: Path) -> None:
    structs = pa.array([{"bytes": data, "path": "x"} for data in PICTURES])
    for column in (structs, pa.array(PICTURES), pa.array(PICTURES, pa.large_binary())):
        path = table(tmp_path, column, row_group_size=2)
        assert [read_member(path, "image", at) for at in (0, 3, 1)] == [PICTURES[0], PICTURES[3], PICTURES[1]]
        assert said(path, 2, "image") == "there is no picture in this row of the table"
        assert said(path, 4, "image") == "the table has 4 rows, none with the number 4"
        assert "no column 'photo'" in said(path, 0, "photo")
        path.unlink()


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array(["a", "b"]), pa.array([[b"a"], [b"b"]]), pa.array([{"bytes": 1}] * 2)]
)
def test_columns_that_hold_no_pictures_are_refused(column: pa.Array, tmp_path: Path) -> None:
    assert said(table(tmp_path, column), 0, "image")


def test_a_small_table_cannot_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One large value, which a dictionary holds once, in every row: the footer says it is small."""
    monkeypatch.setattr(bundles, "MAX_GROUP_BYTES", 2**21)
    column = pa.array([bytes(2**18)] * 100)
    path = table(tmp_path, column, compression="zstd", dictionary_pagesize_limit=2**30)
    assert path.stat().st_size < 10_000
    assert pq.ParquetFile(path).metadata.row_group(0).total_byte_size < 2**19
    assert said(path, 0, "image") == "its row group unpacks to more than 2,097,152 bytes; write smaller ones"
    packed = table(tmp_path, column, compression="zstd", use_dictionary=False)
    assert "more than 2,097,152 bytes" in said(packed, 0, "image")
    monkeypatch.setattr(bundles, "MAX_GROUP_ROWS", 1000)
    assert "1,001 rows" in said(table(tmp_path, pa.array([b"a"] * 1001)), 0, "image")


def test_a_large_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_MEMBER_BYTES", 2**20)
    path = table(tmp_path, pa.array([bytes(2**20 + 512)]), compression="zstd")
    assert "larger than 1 MB" in said(path, 0, "image")
    archive = write(tmp_path, file("a.png", bytes(2**20 + 512)), END)
    assert "larger than 1 MB" in said(archive)


def cut(data: bytearray) -> bytes:
    return bytes(data[: len(data) // 2])


def without_end(data: bytearray) -> bytes:
    return bytes(data[:-8])


def long_footer(data: bytearray) -> bytes:
    data[-8:-4] = (2**31 - 1).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("damage", [cut, without_end, long_footer, lambda data: b"", lambda data: b"PAR1"])
def test_a_damaged_table_is_a_reason(damage: Callable[[bytearray], bytes], tmp_path: Path) -> None:
    path = table(tmp_path, pa.array(PICTURES))
    path.write_bytes(damage(bytearray(path.read_bytes())))
    assert said(path, 0, "image").startswith("the file that holds it is damaged (")


LYING = """
import sys
from pathlib import Path
from curation.decoding.bundles import read_member
from curation.errors import UnreadableError

whole, step = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
for at in [*range(4, start, 13), *range(start, len(whole))]:
    data = bytearray(whole)
    data[at] ^= 1 << at * step % 8
    path = Path(sys.argv[1]).with_name(f"{at}.parquet")
    path.write_bytes(data)
    try:
        print("footer" if at >= start else "data", len(read_member(path, "image", 0)))
    except UnreadableError as error:
        print("refused", error)
"""


def test_a_table_that_lies_is_a_reason_and_never_ends_the_process(tmp_path: Path) -> None:
    """Each byte wrong, one at a time: row counts, lengths, places, types, names."""
    path = table(tmp_path, pa.array(PICTURES), compression="zstd", store_schema=False)
    command = [sys.executable, "-c", LYING, str(path), "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) > 500
    assert {line.split()[0] for line in lines} == {"footer", "data", "refused"}
