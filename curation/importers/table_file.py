"""A CSV, TSV or Parquet file as columns of text, each row with the line that it stands on."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.files import open_for_arrow
from curation.importers.assemble import shown
from curation.progress import SILENT, Progress

CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
LINE_LIMIT = 64 * 2**20  # characters; a longer line is not a table
# Of a Parquet file, as it declares them: bytes after decompression of the columns that are read, and rows.
_PARQUET_BYTES, _PARQUET_ROWS = 4 * 2**30, 50_000_000
_CHUNK = 20_000  # rows read between two progress reports
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Table:
    """columns : column name to its cells, all text, "" where there is nothing
    lines : (rows,) the line (CSV) or row (Parquet) that each row starts on, counted from 1
    unit : "line" or "row", for messages
    """

    file: Path
    columns: dict[str, Sequence[str]]
    lines: Sequence[int]
    unit: str

    def place(self, row: int) -> str:
        """`labels.csv, line 7`: where a row stands, for messages."""
        return f"{self.file.name}, {self.unit} {self.lines[row]}"


def read_table(file: Path, encoding: str = "", progress: Progress = SILENT) -> Table:
    """Read a table; every cell stays the text that it is ("nan", "01" and "NULL" are text, too).

    Numbers of a Parquet file become their shortest text, whole floats without ".0" (gaps turn whole numbers into floats
    in many programs), booleans "true" and "false", nulls "", lists of text JSON.

    Raises
    ------
    SourceError : not readable, or not a table.
    LabelParseError : a row that cannot be parsed; names file and line.
    """
    suffix = file.suffix.lower()
    if suffix not in CSV_SUFFIXES + PARQUET_SUFFIXES:
        raise SourceError(f"{file.name} is not a table that can be read; use CSV, TSV or Parquet.")
    try:
        return _read_parquet(file) if suffix in PARQUET_SUFFIXES else _read_csv(file, encoding, progress)
    except OSError as error:
        raise SourceError(f"The table {file} cannot be read: {error.strerror or error}.") from error


def _read_csv(file: Path, encoding: str, progress: Progress) -> Table:
    with open(file, "rb") as raw:
        head = raw.read(4)
    if not encoding:
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        "".encode(encoding)
    except (LookupError, ValueError) as error:  # Python's codec "undefined" refuses everything; a NUL in the name
        raise SettingsError(
            f"There is no text encoding {encoding!r}; usual ones are utf-8, utf-16 and latin-1."
        ) from error
    # The limit of a cell is process-wide in Python's csv; lines are bounded below, so cells are, too.
    csv.field_size_limit(LINE_LIMIT)
    with open(file, encoding=encoding, newline="") as stream, progress.stage("Reading table", 0, "rows") as advance:
        lines = _lines(file, stream, encoding)
        first = next(lines, "")
        reader = csv.reader(itertools.chain([first], lines), delimiter=_delimiter(file, first), strict=True)
        header = _read_chunk(file, reader, 1)[0]
        _check_header(file, header[0] if header else [])
        names = header[0]
        columns: list[list[str]] = [[] for _ in names]
        starts: list[int] = []
        while True:
            rows, places = _read_chunk(file, reader, _CHUNK)
            if not rows:
                break
            advance(len(rows))
            if any(len(row) != len(names) for row in rows):
                rows, places = _whole_rows(file, rows, places, len(names))
            # Column by column, so that a million rows are no million lists for the garbage collector to visit.
            for column, cells in zip(columns, zip(*rows, strict=True), strict=False):
                column.extend(cells)
            starts.extend(places)
    return Table(file, dict(zip(names, columns, strict=True)), starts, "line")


def _read_chunk(file: Path, reader: Any, count: int) -> tuple[list[list[str]], Sequence[int]]:
    """At most `count` rows, and the line that each starts on."""
    rows: list[list[str]] = []
    before = reader.line_num
    try:
        rows.extend(itertools.islice(reader, count))
    except csv.Error as error:
        # An open quote is noticed at the end of the file only; it was opened after the last row that was whole.
        open_quote = "unexpected end" in str(error)
        line = before + sum(map(_lines_of, rows)) + 1 if open_quote else reader.line_num
        raise LabelParseError(f"{file.name}, line {line}: {_explain(error)}.") from error
    if reader.line_num - before == len(rows):
        return rows, range(before + 1, reader.line_num + 1)
    ends = itertools.accumulate(map(_lines_of, rows), initial=before)
    return rows, [end + 1 for end in ends][: len(rows)]


def _lines_of(row: list[str]) -> int:
    return 1 + sum(len(_LINE_BREAK.findall(cell)) for cell in row)


def _lines(file: Path, stream: TextIO, encoding: str) -> Iterator[str]:
    """The lines of a table, each looked at before anything is made of it."""
    # In a small file no line can be too long, and plain iteration is twice as fast.
    bounded = os.path.getsize(file) > LINE_LIMIT
    number = 0
    try:
        for line in iter(lambda: stream.readline(LINE_LIMIT), "") if bounded else stream:
            number += 1
            if "\0" in line:
                raise LabelParseError(
                    f"{file.name}, line {number}: a NUL character; the file is damaged, or UTF-16 without its "
                    f"byte-order mark (then add --encoding utf-16-le)."
                )
            if len(line) >= LINE_LIMIT:
                raise LabelParseError(
                    f"{file.name}, line {number}: longer than {LINE_LIMIT:,} characters; that is no table."
                )
            yield line
    except UnicodeError as error:
        raise LabelParseError(
            f"{file.name}, line {_undecodable_line(file, encoding, number + 1)}: the bytes are not "
            f"{encoding.replace('-sig', '').upper()} text. Save the table as UTF-8, or name its encoding with "
            f"--encoding."
        ) from error


def _undecodable_line(file: Path, encoding: str, number: int) -> int:
    """The line that cannot be decoded; text is decoded a block ahead, so `number` is too early."""
    if encoding not in ("utf-8", "utf-8-sig", "ascii"):
        return number
    with open(file, "rb") as stream:
        for line, content in enumerate(stream, start=1):
            try:
                content.decode("utf-8" if line > 1 else encoding)
            except UnicodeDecodeError:
                return line
    return number


def _delimiter(file: Path, header: str) -> str:
    """Tab for .tsv; else whichever of , ; tab | the header has most of outside quotes, comma if none."""
    if file.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    plain = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=plain.count)


def _check_header(file: Path, header: list[str]) -> None:
    if not header or not any(cell.strip() for cell in header):
        raise LabelParseError(f"{file.name}, line 1: there is no header line with the names of the columns.")
    seen: set[str] = set()
    for name in header:
        if name in seen:
            raise LabelParseError(f"{file.name}, line 1: the column {shown(name)} is there twice.")
        seen.add(name)


def _whole_rows(
    file: Path, rows: list[list[str]], places: Sequence[int], width: int
) -> tuple[list[list[str]], Sequence[int]]:
    """Leave out empty lines; any other row of another width is an error."""
    kept = [(row, line) for row, line in zip(rows, places, strict=True) if row]
    for row, line in kept:
        if len(row) != width:
            raise LabelParseError(
                f"{file.name}, line {line}: {len(row)} cells, but the header has {width}. "
                f"A cell that holds the separator needs quotes."
            )
    return [row for row, _ in kept], [line for _, line in kept]


def _explain(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quote is opened and never closed"
    if "expected after" in text:
        return "text after a closing quote; a quote inside a cell is written twice"
    return text


def _read_parquet(file: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_for_arrow(file) as stream, pq.ParquetFile(stream) as source:
            names = source.schema_arrow.names
            if len(set(names)) < len(names):
                raise LabelParseError(f"{file.name}: two columns have the same name: {', '.join(map(shown, names))}.")
            # A column of another kind than text, numbers and lists of text (an embedded picture) is not read.
            lists = [field.name for field in source.schema_arrow if _is_list_of_text(field.type)]
            flat = [field.name for field in source.schema_arrow if not pa.types.is_nested(field.type)]
            plain, flat = flat, flat + lists
            _refuse_bomb(file, source.metadata, set(flat))
        # Text that is stored once and referred to stays so: a few bytes can stand for any number of long cells.
        with open_for_arrow(file) as stream, pq.ParquetFile(stream, read_dictionary=plain) as source:
            table = source.read(columns=flat)
        columns: dict[str, Sequence[str]] = {}
        for name in names:
            if name not in flat:
                continue
            if name in lists:
                columns[name] = _lists_as_text(table.column(name))
                continue
            texts = _as_text(file, name, table.column(name))
            if texts is not None:
                columns[name] = texts
    except pa.ArrowException as error:
        raise SourceError(f"{file.name} is not a whole Parquet file: {str(error).splitlines()[0]}") from error
    for name, cells in columns.items():
        row = next((row for row, cell in enumerate(cells, start=1) if "\0" in cell), 0)
        if row:
            raise LabelParseError(f"{file.name}, row {row}: a NUL character in the column {shown(name)}.")
    return Table(file, columns, range(1, table.num_rows + 1), "row")


def _is_list_of_text(kind: Any) -> bool:
    import pyarrow as pa

    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    value = kind.value_type.value_type if pa.types.is_dictionary(kind.value_type) else kind.value_type
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _lists_as_text(column: Any) -> list[str]:
    """Lists of text as JSON; a null is an empty cell."""
    cells = column.to_pylist()
    return ["" if cell is None else json.dumps([one or "" for one in cell], ensure_ascii=False) for cell in cells]


def _refuse_bomb(file: Path, metadata: Any, wanted: set[str]) -> None:
    """Refuse a file that says of itself that it unpacks to more than any table of labels."""
    if metadata.num_rows > _PARQUET_ROWS:
        raise SourceError(f"{file.name} says that it has {metadata.num_rows:,} rows; that is no table of labels.")
    size = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            size += column.total_uncompressed_size if column.path_in_schema.partition(".")[0] in wanted else 0
    if size > _PARQUET_BYTES:
        raise SourceError(f"{file.name} would unpack to {size:,} bytes; that is no table of labels.")


def _as_text(file: Path, name: str, column: Any) -> list[str] | None:
    """The cells of a column as text; None where it holds bytes that are no text (an embedded picture)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        whole = column.combine_chunks()
        values = _as_text(file, name, pa.chunked_array([whole.dictionary]))
        if values is None:
            return None
        values.append("")  # what a null refers to
        return [values[place] for place in pc.fill_null(whole.indices, len(values) - 1).to_pylist()]
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy()
        whole_numbers = bool(np.all(np.isnan(numbers) | (numbers == np.floor(numbers))))
        return [
            "" if v != v else str(int(v)) if whole_numbers and abs(v) < 2**53 else repr(float(v))
            for v in numbers.tolist()
        ]
    try:
        texts = pc.cast(column, pa.string())
        return pc.fill_null(texts, "").to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            return None
        raise LabelParseError(
            f"{file.name}: the column {shown(name)} of type {column.type} cannot be read as text."
        ) from error
