"""Pictures and labels listed in a CSV, TSV or Parquet table."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from curation.errors import LabelParseError, SettingsError, SourceError
from curation.importers.assemble import (
    LABEL_LIMIT,
    SHOWN,
    Rows,
    assemble,
    canonical_split,
    listing_notes,
    rejected_as_text,
    shown,
)
from curation.importers.boxes import Builder
from curation.importers.columns import find_columns
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.own_tables import is_own, read_classes, restored
from curation.importers.places import list_source, real_file, real_folder
from curation.importers.table_file import Table, read_table
from curation.importers.table_layout import Layout, layout_of
from curation.importers.table_many import TableAdder, image_column
from curation.importers.table_paths import Finder, list_mentioned, suggestion
from curation.progress import Progress
from curation.records import Records, path_to_text
from curation.wording import counted

ALSO = "curate:also_labelled"  # attribute of a picture that the table lists again with other labels
_PATH_SHOWN = 1000  # characters of a cell that are kept as the path of a rejected row


@dataclass
class Matched:
    """Rows of a table brought together with pictures.

    rows : row number of the first mention of each picture, in the order of the table
    paths : its path
    also : row number -> labels of later rows for the same picture that differ
    rejected : (cell, reason) of rows that are no sample
    """

    rows: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    also: dict[int, list[str]] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a table of pictures; paths are relative to SOURCE, or to the table's folder where SOURCE is the table.

    Labels are text exactly as it stands in the table. A row whose picture is absent or whose path is refused is
    rejected with its line. A picture that is listed again with the same label counts once; with another label, the
    first one is kept, the others are reported as rejected rows and kept in the annotation's attributes. Columns that
    have no meaning here are kept as attributes, verbatim.

    Raises
    ------
    SourceError : no row has a picture; the first reason is in the text.
    LabelParseError : a row or label that cannot be parsed; names file and line.
    SettingsError : a column that is not there, or could be either of two.
    """
    root, file = _root_and_table(source, options)
    table = read_table(file, options.encoding, progress)
    layout = layout_of(table, options)
    if options.task == "detection" and layout.kind != "boxes":
        raise SettingsError(f"--task detection: {file.name} has no columns of boxes, as xmin, ymin, xmax, ymax.")
    if layout.kind != "single":
        return _load_many(root, table, layout, options, workspace, progress)
    own = is_own(table.columns)
    if own:
        table, options = restored(table), replace(options, label_column="label")
    columns, notes = find_columns(list(table.columns), options, file.name)
    notes += layout.notes
    cells, labels = table.columns[columns["image"]], table.columns[columns["label"]]
    _check_labels(table, labels)
    splits = table.columns[columns["split"]] if columns["split"] else [""] * len(cells)
    groups = table.columns[columns["group"]] if columns["group"] else []

    whole = bool(options.labels)
    listing = _list(root, cells, file, workspace, progress, whole)
    finder = Finder(listing)
    matched = match(table, cells, labels, splits, finder, progress)
    if not matched.rows:
        raise _nothing_found(root, table, cells, matched, finder)
    rows = Rows(
        matched.paths,
        [labels[row] for row in matched.rows],
        [canonical_split(splits[row]) for row in matched.rows],
        [groups[row] for row in matched.rows] if groups else [],
        [table.columns["attributes"][row] for row in matched.rows] if own else _attributes(table, columns, matched),
    )
    notes += [
        *matched.notes,
        *_finder_notes(finder),
        *_unlisted_notes(finder.known, matched.paths),
        *listing_notes(listing),
    ]
    notes += _empty_label_notes(table, labels, matched)
    rejected = matched.rejected + (rejected_as_text(listing.rejected) if whole else [])
    return assemble(rows, root, "table", notes, rejected, progress=progress)


def _load_many(
    root: Path, table: Table, layout: Layout, options: ImportOptions, workspace: Path, progress: Progress
) -> Records:
    """A table of boxes, or of several labels a row; pictures that it does not list are samples where SOURCE is their
    folder, since a detector learns from pictures in which nothing is."""
    cells = table.columns[image_column(table, layout, options)]
    listing = Listing() if options.labels else list_mentioned(root, cells)
    if not listing.images:
        listing = list_source(root, workspace, progress)
    builder = Builder(root, "table", listing, options)
    adder = TableAdder(builder, options)
    adder.add(table, layout)
    if not adder.found:
        first = f" The first is {shown(cells[0])}." if cells else ""
        raise SourceError(
            f"Not one row of {table.file.name} has a picture in {shown(str(root), limit=300)}.{first}"
            f"{suggestion(root, cells, map(path_to_text, listing.images))}"
        )
    classes = read_classes(table.file.parent) if is_own(table.columns) else []
    found = classes or [{"name": label} for label in adder.labels]
    whole = bool(options.labels) and adder.boxes
    return builder.records(found, boxes=adder.boxes, task=adder.task, add_unnamed=whole, progress=progress)


def match(
    table: Table, cells: Sequence[str], labels: Sequence[str], splits: Sequence[str], finder: Finder, progress: Progress
) -> Matched:
    """Bring rows and pictures together; see `load` for what happens to the rows that do not fit."""
    matched = Matched()
    first: dict[str, int] = {}
    merged: list[int] = []
    with progress.stage("Matching table", len(cells), "rows") as advance:
        for row, cell in enumerate(cells):
            if row % 20_000 == 19_999:
                advance(20_000)
            path, reason = (cell, "") if cell in finder.known else finder.find(cell)
            if reason:
                matched.rejected.append((cell[:_PATH_SHOWN], f"{table.place(row)}: {reason}"))
                continue
            earlier = first.setdefault(path, row)
            if earlier == row:
                matched.rows.append(row)
                matched.paths.append(path)
            elif labels[row] == labels[earlier] and splits[row] == splits[earlier]:
                merged.append(row)
            else:
                matched.rejected.append((path, _again(table, row, earlier, labels, splits)))
                if labels[row] != labels[earlier]:
                    matched.also.setdefault(earlier, []).append(labels[row])
        advance(len(cells) % 20_000)
    missing = len(matched.rejected)
    if merged:
        matched.notes.append(
            f"{counted(len(merged), 'row lists', 'rows list')} a picture again with the same label, the first is "
            f"{table.place(merged[0])}; it counts once."
        )
    if matched.also:
        example = next(iter(matched.also))
        says, later = shown(labels[example]), shown(matched.also[example][0])
        matched.notes.append(
            f"{counted(len(matched.also), 'picture is', 'pictures are')} listed with different labels; the first label "
            f"is kept, the others are reported: {table.place(example)} says {says}, a later row {later}."
        )
    if missing:
        matched.notes.append(
            f"{counted(missing, 'row')} of {table.file.name} {'was' if missing == 1 else 'were'} not taken; the first: "
            f"{shown(matched.rejected[0][0])}, {matched.rejected[0][1]}."
        )
    return matched


def _root_and_table(source: str, options: ImportOptions) -> tuple[Path, Path]:
    """The folder that paths are relative to, and the table: beside the user, or else inside of that folder."""
    if not options.labels:
        file = real_file(source)
        return file.parent, file
    root = real_folder(source)
    inside = root / options.labels
    if not os.path.lexists(options.labels) and os.path.lexists(inside):
        return root, real_file(inside)
    return root, real_file(options.labels)


def _list(root: Path, cells: Sequence[str], file: Path, workspace: Path, progress: Progress, whole: bool) -> Listing:
    if not whole:
        return list_mentioned(root, cells)
    listing = list_source(root, workspace, progress)
    listing.rejected = [(path, reason) for path, reason in listing.rejected if root / path != file]
    return listing


def _check_labels(table: Table, labels: Sequence[str]) -> None:
    for row, label in enumerate(labels):
        if len(label) > LABEL_LIMIT:
            raise LabelParseError(
                f"{table.place(row)}: a label of {len(label):,} characters; more than {LABEL_LIMIT:,} is no class "
                f"name. Is a quote missing, or the label column another one?"
            )


def _again(table: Table, row: int, earlier: int, labels: Sequence[str], splits: Sequence[str]) -> str:
    if labels[row] != labels[earlier]:
        return (
            f"{table.place(row)}: listed again with the label {shown(labels[row])}; "
            f"{table.unit} {table.lines[earlier]} says {shown(labels[earlier])}, which was kept"
        )
    return (
        f"{table.place(row)}: listed again in the split {shown(splits[row])}; "
        f"{table.unit} {table.lines[earlier]} says {shown(splits[earlier])}, which was kept"
    )


def _attributes(table: Table, columns: dict[str, str], matched: Matched) -> list[str]:
    """One JSON object per row of the columns that have no meaning here, and of the labels that were not kept."""
    others = [name for name in table.columns if name not in columns.values()]
    if not others and not matched.also:
        return []
    quote = json.JSONEncoder(ensure_ascii=False).encode
    parts = []
    for name in others:
        cells = table.columns[name]
        written = {cell: f"{quote(name)}: {quote(cell)}" for cell in set(cells)}
        parts.append([written[cells[row]] for row in matched.rows])
    if matched.also:
        parts.append(
            [f"{quote(ALSO)}: {quote(matched.also[row])}" if row in matched.also else "" for row in matched.rows]
        )
    texts = (", ".join(filter(None, row)) for row in zip(*parts, strict=True))
    return [f"{{{text}}}" if text else "" for text in texts]


def _nothing_found(root: Path, table: Table, cells: Sequence[str], matched: Matched, finder: Finder) -> SourceError:
    if not cells:
        return SourceError(f"The table {table.file.name} has no rows.")
    cell, reason = matched.rejected[0]
    rows = f"Not one of the {len(cells):,} rows" if len(cells) > 1 else "Not even the one row"
    return SourceError(
        f"{rows} of {table.file.name} has a picture in {shown(str(root), limit=300)}. "
        f"The first is {shown(cell)}, {reason}.{suggestion(root, cells, finder.known)}"
    )


def _finder_notes(finder: Finder) -> list[str]:
    return [
        f"{counted(count, 'path of the table was', 'paths of the table were')} found in spite of {bend}."
        for bend, count in sorted(finder.bent.items())
    ]


def _unlisted_notes(known: set[str], paths: Sequence[str]) -> list[str]:
    unlisted = known.difference(paths)
    if not unlisted:
        return []
    left = counted(
        len(unlisted),
        "picture on disk is not in the table and was left out",
        "pictures on disk are not in the table and were left out",
    )
    return [f"{left}, the first is {shown(min(unlisted))}."]


def _empty_label_notes(table: Table, labels: Sequence[str], matched: Matched) -> list[str]:
    empty = [row for row in matched.rows if not labels[row]]
    if not empty:
        return []
    places = ", ".join(table.place(row) for row in empty[:SHOWN])
    rows = counted(len(empty), "row has", "rows have")
    return [f"{rows} an empty label; the pictures stay, without one: {places}."]
