"""What a user can say about a source beside its name: columns, label rules, encoding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from curation.errors import SettingsError
from curation.records import TASKS

CLASS_FOLDERS = ("first", "last", "path")
BOX_ORIGINS = ("auto", "0", "1")

# Which options an importer uses; any other one that is set contradicts the format.
_USED_BY: dict[str, frozenset[str]] = {
    "folder": frozenset({"class_folder"}),
    "filename": frozenset({"label_from_name", "label_pattern"}),
    "table": frozenset(
        {
            *("labels", "image_column", "label_column", "split_column", "group_column", "encoding"),
            *("label_delimiter", "task", "count_column"),
        }
    ),
    "csv": frozenset({"encoding", "task", "label_delimiter", "count_column"}),
    "arrays": frozenset({"image_column", "label_column"}),
    "torchvision": frozenset(),
    "fiftyone": frozenset({"label_column", "split_column", "task"}),
    "exported": frozenset(),
    "coco": frozenset({"task", "labels"}),
    "voc": frozenset({"task", "box_origin"}),
    "oidv4": frozenset({"task"}),
    "yolo": frozenset({"task"}),
    "tfrecord": frozenset({"task"}),
    "openimages": frozenset({"task"}),
    "labelme": frozenset({"task"}),
    "cvat": frozenset({"task", "labels"}),
    "labelstudio": frozenset({"task", "labels"}),
}


@dataclass(frozen=True)
class ImportOptions:
    """How to read a source; the defaults recognise everything by themselves.

    labels : table (CSV, TSV, Parquet) whose paths are relative to the source folder, or one annotation file (json, xml)
        of its pictures
    image_column, label_column, split_column, group_column : columns of a table, or keys of an array file (the first
        two); "" = guess from the usual names, and none for the last two where there is no such name
    label_from_name : take the label from the file name (`cat.0.jpg`), see curation.importers.filename
    label_pattern : regular expression with one group (or one named `label`) searched in the file name
    class_folder : which folder is the class where they are nested: "first" below the split, "last", or the whole "path"
    encoding : of a CSV table; "" = UTF-8, or UTF-16 where the file starts with its byte-order mark
    label_delimiter : what stands between the labels of a cell that has several; "" = a cell is one label, but for lists
        in JSON
    task : what the labels are for, one of curation.records.TASKS; "" = what the source holds
    count_column : of a table, the column that says how many of the label a picture has, or how many of what the column
        is called; the task is `counts` then; "" = guess from the usual names where that is the task
    box_origin : where the corners of boxes are counted from in Pascal VOC: "0" = edges, from 0; "1" = pixels, from 1,
        the last one included; "auto" = "1" for files that say they are of the VOC challenge, else "0"
    """

    labels: str = ""
    image_column: str = ""
    label_column: str = ""
    split_column: str = ""
    group_column: str = ""
    label_from_name: bool = False
    label_pattern: str = ""
    class_folder: str = "first"
    encoding: str = ""
    label_delimiter: str = ""
    task: str = ""
    count_column: str = ""
    box_origin: str = "auto"

    def changed(self) -> dict[str, Any]:
        """The options that are not the default, by name."""
        return {name: value for name, value in asdict(self).items() if value != getattr(_DEFAULTS, name)}


_DEFAULTS = ImportOptions()


def make_options(options: ImportOptions | Mapping[str, Any] | None) -> ImportOptions:
    """Options from a mapping, checked; None gives the defaults.

    Raises
    ------
    SettingsError : an unknown name, a value that cannot be, or options that contradict each other.
    """
    if options is None:
        return _DEFAULTS
    if not isinstance(options, ImportOptions):
        known = [field.name for field in fields(ImportOptions)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise SettingsError(f"Unknown import option {unknown[0]!r}; there are: {', '.join(known)}.")
        values: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if isinstance(values.get("labels"), Path):
            values["labels"] = str(values["labels"])
        options = ImportOptions(**values)
    _check(options)
    return replace(options, task="counts") if options.count_column else options


def check_format(name: str, options: ImportOptions) -> None:
    """Say so if an option is set that the importer `name` does not use.

    Raises
    ------
    SettingsError : names the first such option.
    """
    unused = sorted(set(options.changed()) - _USED_BY.get(name, frozenset()))
    if unused:
        raise SettingsError(
            f"The option {_flag(unused[0])} has no meaning for a source of format '{name}'; leave it out, "
            f"or force another format."
        )


def _check(options: ImportOptions) -> None:
    if options.class_folder not in CLASS_FOLDERS:
        raise SettingsError(f"class_folder is {options.class_folder!r}; it can be {', '.join(CLASS_FOLDERS)}.")
    if options.task and options.task not in TASKS:
        raise SettingsError(f"task is {options.task!r}; it can be {', '.join(TASKS)}.")
    if options.count_column and options.task not in ("", "counts"):
        raise SettingsError(f"--count-column is of --task counts; this is --task {options.task}.")
    if options.box_origin not in BOX_ORIGINS:
        raise SettingsError(f"box_origin is {options.box_origin!r}; it can be {', '.join(BOX_ORIGINS)}.")
    if options.labels and (options.label_from_name or options.label_pattern):
        raise SettingsError("Labels come either from a table (--labels) or from the file name, not from both.")
    columns = [options.image_column, options.label_column, options.split_column, options.group_column]
    named = [column for column in columns if column]
    if options.image_column and options.image_column == options.label_column:
        raise SettingsError(f"Image column and label column are the same: {named[0]!r}.")
    if options.label_pattern:
        try:
            pattern = re.compile(options.label_pattern)
        except re.error as error:
            raise SettingsError(
                f"The label pattern {options.label_pattern!r} is not a regular expression: {error}."
            ) from error
        if pattern.groups > 1 and "label" not in pattern.groupindex:
            raise SettingsError(
                f"The label pattern {options.label_pattern!r} has {pattern.groups} groups; name the one that is the "
                f"label: (?P<label>...)."
            )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
