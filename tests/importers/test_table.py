"""Labels from tables."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.importers import load, table_file
from curation.importers.table import ALSO
from curation.importers.table_file import read_table
from curation.records import path_to_text
from tests.importers.pictures import labels_of, make_pictures, note_with, rejected_of, splits_of


def write(root: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    """Write a table as it is, line ends included."""
    file = root / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures."""
    return make_pictures(tmp_path, "a.png", "b.png", "sub/c.png")


def test_paths_are_relative_to_the_source(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = write(tmp_path_factory.mktemp("elsewhere"), "image,label\na.png,cat\nb.png,dog\nsub/c.png,cat\n")
    records = load(root, options={"labels": str(table)})
    assert labels_of(records) == {"a.png": "cat", "b.png": "dog", "sub/c.png": "cat"}
    assert records.source_format == "table"
    assert records.rejected.empty


def test_the_source_may_be_the_table(root: Path) -> None:
    records = load(write(root, "image,label\na.png,cat\nsub/c.png,dog\n"))
    assert labels_of(records) == {"a.png": "cat", "sub/c.png": "dog"}
    assert records.root == root
    assert "1 picture on disk is not in the table" in note_with(records, "not in the table")


def test_a_table_inside_the_source_is_found_and_not_rejected(root: Path) -> None:
    write(root, "image,label\na.png,cat\nb.png,dog\nsub/c.png,dog\n")
    records = load(root, options={"labels": "labels.csv"})
    assert len(records.samples) == 3
    assert records.rejected.empty


LABELS = [
    "nan",
    "NaN",
    "NULL",
    "None",
    "NA",
    "",
    "01",
    "1",
    "1.0",
    "1e5",
    "true",
    "no",
    " cat",
    "cat ",
    "\tx",
    "=cmd|' /C calc'!A0",
]
LABELS += [
    "+1",
    "@SUM(A1)",
    "\u00a0=x",
    "<script>alert(1)</script>",
    "$x^2$",
    ":material/x:",
    "a,b",
    'say "hi"',
    "two\nlines",
]
LABELS += [
    "../../x",
    "con",
    "'; DROP TABLE x; --",
    "%_",
    "\x1b[31mred",
    "\u202egnp",
    "é",
    "e\u0301",
    "inf",
    "1_000",
    "0x1F",
    "2020-01-01",
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_stay_exactly_as_they_came(tmp_path: Path, kind: str) -> None:
    names = [f"{position}.png" for position in range(len(LABELS))]
    make_pictures(tmp_path, *names)
    if kind == "csv":
        with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([["path", "label"], *zip(names, LABELS, strict=True)])
    else:
        pq.write_table(pa.table({"path": names, "label": LABELS}), tmp_path / "t.parquet")
    records = load(tmp_path / f"t.{kind}")
    assert labels_of(records) == dict(zip(names, LABELS, strict=True))
    assert len(records.annotations) == len(LABELS) - 1
    assert "1 row has an empty label" in note_with(records, "empty label")


text_cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
file_names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=40
).filter(lambda name: not name.startswith(".") and len(name.encode()) < 200)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.dictionaries(file_names, text_cells, min_size=1, max_size=6), line_end=st.sampled_from(["\n", "\r\n"]))
def test_any_name_and_label_come_through_a_table(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, str], line_end: str
) -> None:
    root = make_pictures(tmp_path_factory.mktemp("any"), *(f"{name}.png" for name in rows))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([["image", "label"], *((f"{name}.png", label) for name, label in rows.items())])
    records = load(write(root, text.getvalue()))
    assert labels_of(records) == {path_to_text(f"{name}.png"): label for name, label in rows.items()}
    assert records.rejected.empty


def test_numbers_of_a_parquet_file_become_plain_text(tmp_path: Path) -> None:
    columns = {
        "ints": pa.array([1, None, 3]),
        "gaps": pa.array([1.0, None, 3.0]),
        "floats": pa.array([0.5, 1.0, 2.0]),
        "bools": pa.array([True, False, None]),
        "kinds": pa.array(["x", "y", "x"]).dictionary_encode(),
        "bytes": pa.array([b"x", b"y", b"z"]),
        "lists": pa.array([[1], [2], [3]]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    read = {name: list(cells) for name, cells in read_table(tmp_path / "t.parquet").columns.items()}
    assert read == {
        "ints": ["1", "", "3"],
        "gaps": ["1", "", "3"],
        "floats": ["0.5", "1.0", "2.0"],
        "bools": ["true", "false", ""],
        "kinds": ["x", "y", "x"],
        "bytes": ["x", "y", "z"],
    }


def test_split_and_group_columns(root: Path) -> None:
    table = write(root, "file,class,set,patient\na.png,cat,Train,p1\nb.png,dog,VALIDATION,p2\nsub/c.png,dog,extra,p1\n")
    records = load(table, options={"split_column": "set", "group_column": "patient"})
    assert splits_of(records) == {"a.png": "train", "b.png": "val", "sub/c.png": "extra"}
    assert list(records.samples["group"]) == ["p1", "p2", "p1"]
    assert records.settings["split_column"] == "set"


def test_other_columns_are_kept_word_for_word(root: Path) -> None:
    records = load(write(root, 'image,label,true_label,note\na.png,cat,dog,"x, ""y"""\nb.png,dog,,\n'))
    assert json.loads(records.annotations["attributes"][0]) == {"true_label": "dog", "note": 'x, "y"'}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            "image,path,label",
            "several columns that may hold the image: 'image', 'path'. Choose one with --image-column",
        ),
        ("image,label,class", "several columns that may hold the label: 'label', 'class'"),
    ],
)
def test_an_ambiguous_guess_lists_the_columns(root: Path, header: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(write(root, f"{header}\na.png,a.png,cat\n"))
    assert words in str(raised.value)


@pytest.mark.parametrize("header", ["File Name,GIVEN_LABEL", "img-path,Category", " image, label", "image_id,y"])
def test_usual_names_of_columns_are_known(root: Path, header: str) -> None:
    records = load(write(root, f"{header}\na.png,cat\nb.png,dog\n"))
    assert labels_of(records) == {"a.png": "cat", "b.png": "dog"}


def test_no_usual_column_lists_what_is_there(root: Path) -> None:
    with pytest.raises(SourceError, match=r"it has 'foo', 'bar'. Name it with --image-column"):
        load(write(root, "foo,bar\na.png,cat\n"))


def test_a_table_without_a_header_says_so(root: Path) -> None:
    with pytest.raises(SourceError, match="The first line looks like data"):
        load(write(root, "a.png,cat\nb.png,dog\n"))


def test_a_named_column_that_is_absent(root: Path) -> None:
    with pytest.raises(SettingsError, match=r"no column 'x' \(--label-column\); it has 'image', 'label'"):
        load(write(root, "image,label\na.png,cat\n"), options={"label_column": "x"})


REFUSED = [
    ("../a.png", "leaves the folder"),
    ("sub/../../a.png", "leaves the folder"),
    ("..\\a.png", "leaves the folder"),
    ("/etc/passwd", "absolute"),
    ("\\\\host\\share\\a.png", "absolute"),
    ("C:\\a.png", "names a drive"),
    ("c:/a.png", "names a drive"),
    ("file:///etc/passwd", "URL"),
    ("https://example.org/a.png", "nothing is fetched"),
    ("%2e%2e%2fa.png", "percent-escapes"),
    ("..%5ca.png", "percent-escapes"),
    ("", "the path is empty"),
    ("absent.png", "no such file"),
    ("A.PNG", "no such file"),
    ("a.png:stream", "no such file"),
    (".hidden.png", "hidden"),
    ("notes.txt", "not a picture"),
    ("link.png", "leaves the folder"),
    ("away/x.png", "link to a folder"),
]


@pytest.mark.parametrize("as_source", [True, False])
@pytest.mark.parametrize(("cell", "words"), REFUSED, ids=[cell or "empty" for cell, _ in REFUSED])
def test_paths_that_lead_elsewhere_are_rejected_with_their_line(
    root: Path, cell: str, words: str, as_source: bool
) -> None:
    make_pictures(root.parent / "outside", "x.png")
    (root / "notes.txt").write_text("text")
    (root / "link.png").symlink_to(root.parent / "outside" / "x.png")
    (root / "away").symlink_to(root.parent / "outside")
    table = write(root, f'image,label\na.png,cat\n"{cell}",dog\n')
    records = load(table) if as_source else load(root, options={"labels": str(table)})
    assert labels_of(records) == {"a.png": "cat"}
    reason = next(reason for reason in records.rejected["reason"] if "line 3" in reason)
    assert reason.startswith("labels.csv, line 3: ")
    assert words in reason


def test_all_rows_absent_is_an_error_that_suggests_the_folder(root: Path) -> None:
    with pytest.raises(
        SourceError, match=r"Not even the one row .* line 2: there is no such file. A file of that name is in '.*sub'"
    ):
        load(root, options={"labels": str(write(root, "image,label\nc.png,cat\n"))})
    with pytest.raises(SourceError, match="seem to be relative to"):
        load(root, options={"labels": str(write(root, f"image,label\n{root.name}/a.png,cat\n"))})
    with pytest.raises(SourceError, match=r"A file of that name is in '.*sub'"):
        load(write(root, "image,label\nc.png,cat\n"))


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("./a.png", "a.png"),
        ("sub//c.png", "sub/c.png"),
        ("sub\\c.png", "sub/c.png"),
        (" a.png ", "a.png"),
        ("sub/c", "sub/c.png"),
    ],
)
def test_usual_spellings_of_a_path_are_found_and_said(root: Path, cell: str, path: str) -> None:
    records = load(write(root, f"image,label\n{cell},cat\n"))
    assert labels_of(records) == {path: "cat"}
    assert "in spite of" in note_with(records, "path of the table")


def test_a_path_in_another_unicode_form_is_found(tmp_path: Path) -> None:
    make_pictures(tmp_path, "e\u0301.png")
    records = load(write(tmp_path, "image,label\né.png,cat\n"))
    assert labels_of(records) == {"e\u0301.png": "cat"}


def test_a_name_without_ending_that_fits_two_pictures_is_rejected(tmp_path: Path) -> None:
    make_pictures(tmp_path, "a.png", "a.jpg", "b.png")
    records = load(write(tmp_path, "image,label\na,cat\nb,dog\n"))
    assert labels_of(records) == {"b.png": "dog"}
    assert "2 pictures have this name" in rejected_of(records)["a"]


def test_the_same_row_twice_counts_once(root: Path) -> None:
    records = load(write(root, "image,label\na.png,cat\nb.png,dog\na.png,cat\n./b.png,dog\n"))
    assert labels_of(records) == {"a.png": "cat", "b.png": "dog"}
    assert "2 rows list a picture again with the same label, the first is labels.csv, line 4" in note_with(
        records, "again"
    )
    assert records.rejected.empty


def test_a_picture_with_two_labels_keeps_the_first_and_reports_the_other(root: Path) -> None:
    records = load(write(root, "image,label\na.png,cat\nb.png,dog\na.png,dog\n"))
    assert labels_of(records) == {"a.png": "cat", "b.png": "dog"}
    assert (
        rejected_of(records)["a.png"]
        == "labels.csv, line 4: listed again with the label 'dog'; line 2 says 'cat', which was kept"
    )
    assert json.loads(records.annotations["attributes"][0]) == {ALSO: ["dog"]}
    assert records.annotations["attributes"][1] == ""
    assert note_with(records, "different labels").startswith("1 picture is listed")


def test_a_picture_in_two_splits_is_reported(root: Path) -> None:
    records = load(write(root, "image,label,split\na.png,cat,train\na.png,cat,test\n"))
    assert splits_of(records) == {"a.png": "train"}
    assert "listed again in the split 'test'" in rejected_of(records)["a.png"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("image,label\na.png,cat\nb.png,dog,extra\n", 3, "3 cells, but the header has 2"),
        ("image,label\na.png\n", 2, "1 cells, but the header has 2"),
        ('image,label\n"a.png","two\nlines"\nb.png\n', 4, "1 cells"),
        ('image,label\na.png,cat\nb.png,"dog\nc.png,cat\n', 3, "a quote is opened and never closed"),
        ('image,label\na.png,"do"g\n', 2, "text after a closing quote"),
        ("image,label\na.png,c\0t\n", 2, "NUL"),
        ("image,label,label\na.png,cat,dog\n", 1, "'label' is there twice"),
        ("image,label\na.png," + "x" * 2**20 + "\n", 2, "1,048,576 characters"),
        ("", 1, "no header line"),
        ("\n\n", 1, "no header line"),
    ],
)
def test_a_table_that_cannot_be_parsed_names_file_and_line(root: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(LabelParseError) as raised:
        load(write(root, text))
    assert f"labels.csv, line {line}: " in str(raised.value)
    assert words in str(raised.value)
    assert len(str(raised.value)) < 500


def test_lines_are_right_after_many_rows_with_line_breaks(root: Path) -> None:
    rows = "".join(f'a.png,cat,"{position}\r\nmore"\r\n' for position in range(30_000))
    with pytest.raises(LabelParseError, match="line 60002: a quote is opened"):
        load(write(root, f'image,label,note\r\n{rows}a.png,"cat\r\n'))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_with_a_byte_order_mark(root: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    records = load(write(root, f"{mark}image,label\r\na.png,é\r\n", encoding=encoding))
    assert labels_of(records) == {"a.png": "é"}


def test_another_encoding_is_an_error_that_names_the_line_and_an_option(root: Path) -> None:
    table = write(root, "image,label\na.png,cat\nb.png,caf\xe9\n", encoding="latin-1")
    with pytest.raises(LabelParseError, match=r"labels.csv, line 3: the bytes are not UTF-8 text. .*--encoding"):
        load(table)
    assert labels_of(load(table, options={"encoding": "latin-1"}))["b.png"] == "café"
    with pytest.raises(SettingsError, match="no text encoding 'x'"):
        load(table, options={"encoding": "x"})


def test_a_line_without_end_is_not_read_into_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "LINE_LIMIT", 5000)  # 64 million in earnest
    table = write(root, "image,label\na.png," + "x" * 100_000)
    with pytest.raises(LabelParseError, match="line 2: longer than 5,000 characters"):
        load(table)


def test_mixed_line_ends_and_empty_lines(root: Path) -> None:
    records = load(write(root, "image,label\r\na.png,cat\n\r\nb.png,dog\rsub/c.png,cat"))
    assert labels_of(records) == {"a.png": "cat", "b.png": "dog", "sub/c.png": "cat"}


@pytest.mark.parametrize(("name", "delimiter"), [("t.tsv", "\t"), ("t.csv", ";"), ("t.csv", "\t"), ("t.csv", "|")])
def test_separators(root: Path, name: str, delimiter: str) -> None:
    records = load(write(root, f"image{delimiter}label\na.png{delimiter}a,b\n", name=name))
    assert labels_of(records) == {"a.png": "a,b"}


def test_a_damaged_parquet_file(root: Path) -> None:
    good = root / "good.parquet"
    pq.write_table(pa.table({"image": ["a.png"] * 100, "label": ["cat"] * 100}), good)
    for size in (3, 50, good.stat().st_size - 6):
        (root / "t.parquet").write_bytes(good.read_bytes()[:size])
        with pytest.raises(SourceError, match=r"t.parquet is not a whole Parquet file"):
            load(root / "t.parquet")


def test_nul_and_long_labels_of_a_parquet_file_name_the_row(root: Path) -> None:
    for label, words in (("c\0t", "row 2: a NUL"), ("x" * 5000, "row 2: a label of 5,000 characters")):
        pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": ["cat", label]}), root / "t.parquet")
        with pytest.raises(LabelParseError, match=words):
            load(root / "t.parquet")


def test_an_empty_table(root: Path) -> None:
    with pytest.raises(SourceError, match="has no rows"):
        load(write(root, "image,label\n"))


def test_a_table_in_a_crowded_folder_lists_only_what_it_mentions(tmp_path: Path) -> None:
    make_pictures(tmp_path, "set/a.png", "other/b.png", "other/deep/c.png")
    records = load(write(tmp_path, "image,label\nset/a.png,cat\n"))
    assert labels_of(records) == {"set/a.png": "cat"}
    assert not [note for note in records.notes if "not in the table" in note]


def test_pandas_writes_what_we_read(tmp_path: Path) -> None:
    make_pictures(tmp_path, "a.png", "b.png")
    frame = pd.DataFrame({"image": ["a.png", "b.png"], "label": [1, 2]})
    frame.to_csv(tmp_path / "t.csv")  # with its index, whose column has no name
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert labels_of(load(tmp_path / name)) == {"a.png": "1", "b.png": "2"}


READ_WITHIN_LIMITS = """
import resource, sys
from pathlib import Path
import pyarrow.parquet
from curation.importers.table_file import read_table
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
table = read_table(Path(sys.argv[1]))
print(len(table.lines), len(set(table.columns["label"])), max(map(len, table.columns["label"])))
"""


def write_repeated(file: Path, rows: int, length: int) -> None:
    """A Parquet table of one picture and one label over and over, each stored once."""
    same = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), ["x" * length])
    pq.write_table(pa.table({"image": same, "label": same}), file)


def test_a_parquet_file_that_unpacks_to_far_more_than_it_is_stays_small(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.parquet"
    write_repeated(bomb, rows=200_000, length=100_000)
    assert bomb.stat().st_size < 2**20
    command = [sys.executable, "-c", READ_WITHIN_LIMITS, str(bomb)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "200000 1 100000\n", done.stderr[-500:]


@pytest.mark.parametrize(("limit", "words"), [("_PARQUET_ROWS", "it has 2,000 rows"), ("_PARQUET_BYTES", "unpack to")])
def test_a_parquet_file_that_says_it_is_no_table_of_labels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    monkeypatch.setattr(table_file, limit, 1000)
    write_repeated(tmp_path / "t.parquet", rows=2_000, length=2_000)
    with pytest.raises(SourceError, match=words):
        read_table(tmp_path / "t.parquet")


def test_a_parquet_file_with_pictures_inside_is_read_for_its_labels(root: Path) -> None:
    columns = {
        "image": pa.array(["a.png", "b.png"]),
        "label": pa.array([b"cat", b"dog"]),  # as some programs write text
        "thumbnail": pa.array([b"\xff\xd8\xff\xe0", b"\x89PNG"]),
        "nested": pa.array([{"bytes": b"\xff"}, None]),
    }
    pq.write_table(pa.table(columns), root / "t.parquet")
    assert labels_of(load(root / "t.parquet")) == {"a.png": "cat", "b.png": "dog"}


def test_a_table_without_rows(root: Path) -> None:
    pq.write_table(
        pa.table({"image": pa.array([], pa.string()), "label": pa.array([], pa.string())}), root / "t.parquet"
    )
    (root / "t.csv").write_text("image,label\n")
    for name in ("t.parquet", "t.csv"):
        with pytest.raises(SourceError, match="has no rows"):
            load(root / name)


def test_a_name_that_begins_with_a_backslash_is_a_name_where_there_is_such_a_file(tmp_path: Path) -> None:
    make_pictures(tmp_path, "\\.png")
    (tmp_path / "labels.csv").write_text("image,label\n\\.png,cat\n\\\\host\\share\\a.png,dog\n")
    records = load(tmp_path / "labels.csv")
    assert records.samples["path"].tolist() == ["\\.png"]
    assert "absolute" in records.rejected["reason"].iloc[0]
