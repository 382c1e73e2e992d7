"""Formats that a data set can come in: one file each, with `load(source, options, workspace, progress) -> Records`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from curation.errors import SettingsError, SourceError
from curation.export_table import NAME, is_export
from curation.importers import (
    arrays,
    coco,
    csv_set,
    cvat,
    exported,
    fiftyone_set,
    filename,
    folder,
    labelme,
    labelstudio,
    oidv4,
    openimages,
    table,
    tfrecord,
    torchvision_set,
    voc,
    yolo,
)
from curation.importers.assemble import shown
from curation.importers.glance import Glance, glance
from curation.importers.options import ImportOptions, check_format, make_options
from curation.importers.places import real_file, real_path
from curation.progress import SILENT, Progress
from curation.records import Records, check_records

__all__ = ["IMPORTERS", "ImportOptions", "load", "recognise"]

Importer = Callable[[str, ImportOptions, Path, Progress], Records]

IMPORTERS: dict[str, Importer] = {
    "folder": folder.load,
    "filename": filename.load,
    "table": table.load,
    "arrays": arrays.load,
    "torchvision": torchvision_set.load,
    "exported": exported.load,
    "fiftyone": fiftyone_set.load,
    "coco": coco.load,
    "labelme": labelme.load,
    "labelstudio": labelstudio.load,
    "cvat": cvat.load,
    "voc": voc.load,
    "oidv4": oidv4.load,
    "yolo": yolo.load,
    "openimages": openimages.load,
    "tfrecord": tfrecord.load,
    "csv": csv_set.load,
}

# Who is asked whether a source is theirs, in this order, before it is taken for class folders: why it is, or "".
RECOGNISERS: tuple[tuple[str, Callable[[Glance], str]], ...] = (
    ("fiftyone", fiftyone_set.recognises),
    ("coco", coco.recognises),
    ("labelstudio", labelstudio.recognises),
    ("cvat", cvat.recognises),
    ("labelme", labelme.recognises),
    ("voc", voc.recognises),
    ("oidv4", oidv4.recognises),
    ("yolo", yolo.recognises),
    ("openimages", openimages.recognises),
    ("tfrecord", tfrecord.recognises),
    ("csv", csv_set.recognises),
)

WITH_LABELS = ("coco", "cvat", "labelstudio")  # one file for all pictures, which may lie elsewhere: --labels

# What people try, and why it is not read.
_REFUSED_SUFFIXES = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth", ".joblib"),
        "a pickle can run any code when it is opened; save arrays as .npz",
    ),
    ".mat": "MATLAB files are not read; save the arrays as .npz (scipy.io.loadmat, then numpy.savez)",
    ".npy": "it holds one array, so there are no labels; put images and labels into one .npz (numpy.savez)",
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), "it is an archive; unpack it and give the folder"),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "spreadsheets are not read; save it as CSV"),
    **dict.fromkeys(
        (".json", ".jsonl", ".xml", ".yaml", ".yml"),
        "it is no annotation file of a known format (see docs/formats.md); give the folder that it is of, or save the "
        "labels as CSV",
    ),
}


def load(
    source: str | Path,
    *,
    format: str | None = None,
    options: ImportOptions | Mapping[str, Any] | None = None,
    workspace: Path = Path(),
    progress: Progress = SILENT,
) -> Records:
    """Read a data set: recognise its format (or take `format`, a name in IMPORTERS) and import it.

    `notes` of the result starts with the format and why it was taken; `settings` has both, and the options that were
    set. Nothing is written, but by `torchvision`, which downloads into `workspace`/.curate.

    Raises
    ------
    SourceError : not there, not recognised, or without pictures.
    LabelParseError : a table row or label that cannot be parsed; names file and line.
    SettingsError : an unknown format or option, or options that do not fit the format.
    """
    options = make_options(options)
    name, why = (format, "as you said") if format else recognise(source, options)
    if name not in IMPORTERS:
        raise SettingsError(f"There is no format {name!r}; there are: {', '.join(IMPORTERS)}.")
    check_format(name, options)
    records = check_records(IMPORTERS[name](str(source), options, Path(workspace), progress))
    settings = {"format": name, "why": why, **options.changed(), **records.settings}
    return replace(records, notes=(f"Read as '{name}': {why}.", *records.notes), settings=settings)


def recognise(source: str | Path, options: ImportOptions = ImportOptions()) -> tuple[str, str]:  # noqa: B008
    """The format of a source, as a name in IMPORTERS, and why.

    Raises
    ------
    SourceError : it is not there, or of no format that can be read; says what to do.
    """
    text = str(source)
    if text.startswith(torchvision_set.PREFIX):
        return "torchvision", "the source names a torchvision data set"
    if text.startswith(fiftyone_set.PREFIX):
        return "fiftyone", "the source names a FiftyOne data set"
    if not text.strip():
        raise SourceError("SOURCE is empty; name a folder, a table or an array file.")
    if text in torchvision_set.names() and not os.path.lexists(text):
        raise SourceError(
            f"{shown(text)} does not exist. For the torchvision data set, write {torchvision_set.PREFIX}{text}."
        )
    path = real_path(text)
    if os.path.isdir(path):
        if options.labels and options.labels.lower().endswith((".json", ".xml")):
            name, why = _ask(real_file(options.labels))
            if name in WITH_LABELS:
                return name, why
            raise SourceError(f"{shown(options.labels, limit=300)} is no annotation file that can be read.")
        if options.labels:
            return "table", f"labels come from {shown(options.labels, limit=300)}"
        if options.label_from_name or options.label_pattern:
            return "filename", "labels come from the file names"
        if is_export(path) and not options.changed():
            return "exported", f"{NAME} in it says what it holds"
        name, why = _ask(path)
        if name:
            return name, why
        return "folder", "the source is a folder, so labels come from its class folders"
    return _recognise_file(Path(text))


def _ask(path: Path) -> tuple[str, str]:
    """The first importer that takes a folder or file for its own, and why; "" for none."""
    seen = glance(path)
    answers = ((name, recognises(seen)) for name, recognises in RECOGNISERS)
    return next(((name, why) for name, why in answers if why), ("", ""))


def _recognise_file(path: Path) -> tuple[str, str]:
    from curation.importers.listing import IMAGE_SUFFIXES
    from curation.importers.table_file import CSV_SUFFIXES, PARQUET_SUFFIXES

    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES + PARQUET_SUFFIXES:
        return "table", f"{shown(path.name)} is a table"
    if suffix in arrays.SUFFIXES:
        return "arrays", f"{shown(path.name)} is an array file"
    name, why = _ask(real_file(path))
    if name:
        return name, why
    if suffix in _REFUSED_SUFFIXES:
        raise SourceError(f"{shown(path.name)} cannot be scored: {_REFUSED_SUFFIXES[suffix]}.")
    if suffix in IMAGE_SUFFIXES:
        raise SourceError(f"{shown(path.name)} is one picture; give the folder that holds the data set.")
    raise SourceError(
        f"The format of {shown(path.name)} is not known. Give a folder of pictures, a table (.csv, .tsv, .parquet), "
        f"an array file (.npz, .h5), or a torchvision data set as {torchvision_set.PREFIX}NAME."
    )
