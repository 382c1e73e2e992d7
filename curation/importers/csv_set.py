"""A folder with tables of boxes or of several labels beside its pictures, told by the columns of the tables.

    images/  train_labels.csv  test_labels.csv       filename,width,height,class,xmin,ymin,xmax,ymax (TensorFlow)
    train/_classes.csv  train/1.jpg                  filename, cat, dog with 0 and 1 (Roboflow)

A table of one label a picture is not told from any other table: that one is named with --labels.
"""

from __future__ import annotations

from pathlib import Path

from curation.errors import SourceError
from curation.importers.assemble import shown
from curation.importers.boxes import Builder
from curation.importers.columns import IMAGE_NAMES, LABEL_NAMES, fold_name
from curation.importers.glance import Glance
from curation.importers.options import ImportOptions
from curation.importers.own_tables import CLASSES, is_own, read_classes
from curation.importers.places import list_source, real_folder
from curation.importers.table_file import read_table
from curation.importers.table_layout import box_columns, layout_of
from curation.importers.table_many import TableAdder
from curation.importers.twins import files_ending, split_of_name
from curation.progress import Progress
from curation.records import Records, path_to_text

FLAGS = "_classes.csv"  # as Roboflow calls its table of 0 and 1


def takes(header: str, name: str) -> bool:
    """Whether a CSV file is one of these, by its first line."""
    columns = [cell.strip().strip('"') for cell in header.lstrip("\ufeff").strip().split(",")]
    folded = {fold_name(name) for name in columns}
    names = [set(" ".join(tiers).split()) for tiers in (IMAGE_NAMES, LABEL_NAMES)]
    if box_columns(columns)[0] and all(folded & known for known in names):
        return True
    return name.rpartition("/")[2].lower() == FLAGS or (is_own(columns) and "label" not in columns)


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    if seen.is_file or not seen.pictures:
        return ""
    for name in seen.ending(".csv"):
        if takes(seen.head(name, 4096).partition("\n")[0], name):
            return f"{shown(name, limit=200)} is a table of boxes or labels of the pictures beside it"
    return ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read all such tables of a folder; names of pictures are relative to their table, or to the folder.

    Raises
    ------
    LabelParseError : a row that cannot be parsed; names file and line, and nothing is imported.
    SourceError : there is no such table.
    """
    root = real_folder(source)
    listing = list_source(root, workspace, progress)
    builder = Builder(root, "csv", listing, options)
    adder = TableAdder(builder, options)
    names = [name for name in files_ending(listing, ".csv") if takes(_first_line(root / name), name)]
    if not names:
        raise SourceError(f"There is no table of boxes or labels in {shown(str(root), limit=300)}.")
    names.sort(key=lambda name: (split_of_name(name) == "", name))  # a table of all comes behind those of splits
    classes = []
    for name in names:
        where = path_to_text(name)
        builder.used(name)
        table = read_table(root / name, options.encoding, progress)
        adder.add(table, layout_of(table, options), where.rpartition("/")[0], split_of_name(where), where)
        if is_own(table.columns):
            classes = read_classes((root / name).parent)
            builder.used(f"{where.rpartition('/')[0]}/{CLASSES}".lstrip("/"))
    adder.note_repeated()
    found = classes or [{"name": label} for label in adder.labels]
    return builder.records(found, boxes=adder.boxes, task=adder.task, progress=progress)


def _first_line(path: Path) -> str:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as stream:
            return stream.readline(65536)
    except OSError:
        return ""
