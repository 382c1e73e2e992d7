"""YOLO: one text file per picture, a class number and a box in shares of the picture on each line.

images/train/1.jpg  labels/train/1.txt  data.yaml       Ultralytics, Roboflow
obj_train_data/1.jpg  obj_train_data/1.txt  obj.data  obj.names       darknet, CVAT
1.jpg  1.txt  classes.txt       labelImg and others
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.decoding.sources import read_bytes
from curation.errors import SourceError, UnreadableError
from curation.importers.assemble import shown
from curation.importers.boxes import Builder
from curation.importers.class_maps import merge_class_maps
from curation.importers.glance import Glance
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_file, real_path
from curation.importers.twins import Twins, files_ending, split_of_folders
from curation.importers.yolo_lists import CLASS_FILES, Lists, read_lists
from curation.importers.yolo_text import LOOKS, read_line
from curation.progress import Progress
from curation.records import Records, path_to_text

ABOUT = "data.yaml"  # where `Records.about` has what else such a file says
_LOOKED_AT = 20
_LABEL_FOLDERS = {"labels", "label", "annotations", "obj_train_data", "obj_valid_data", "obj_test_data"}


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    if not seen.is_file and not seen.pictures:
        return ""
    for name in seen.ending(".yaml", ".yml"):
        lines = seen.head(name).splitlines()
        keys = {line.partition(":")[0].strip() for line in lines if line[:1].strip() not in ("", "-", "#")}
        if "names" in keys and keys & {"train", "val", "nc", "path"}:
            return f"{shown(name, limit=200)} lists classes and splits, as for YOLO"
    for name in seen.ending(".names", ".data") if not seen.is_file else ():
        return f"there is {shown(name, limit=200)}, as for YOLO"
    texts = [
        name for name in seen.ending(".txt") if not seen.is_file and name.rpartition("/")[2].lower() not in CLASS_FILES
    ]
    heads = [seen.head(name, 4096).strip() for name in texts[:_LOOKED_AT]]
    said = [head for head in heads if head]
    like = [head for head in said if LOOKS.fullmatch(head.splitlines()[0])]
    if like and 2 * len(like) >= len(said):
        return "its text files hold class numbers and boxes, as for YOLO"
    return ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder of pictures with YOLO label files.

    A line that is none, or whose class number is not in the class list, is a rejected row that names file and line. A
    picture with an empty label file has nothing in it; one without any is unlabelled.

    Raises
    ------
    LabelParseError : the data.yaml is broken.
    SourceError : there is no label file.
    """
    place = real_path(source)  # the folder, or the data.yaml in it
    root = place if place.is_dir() else real_file(source).parent
    listing = list_source(root, workspace, progress)
    builder = Builder(root, "yolo", listing, options)
    pictures = set(map(path_to_text, listing.images))
    others = files_ending(listing, ".txt", ".yaml", ".yml", ".names", ".data")
    lists = read_lists(root, others, listing.folders, pictures)
    texts = [name for name in others if name.lower().endswith(".txt") and path_to_text(name) not in lists.read]
    for name in lists.read:
        builder.used(name)
    for path, reason in lists.rejected:
        builder.reject(path, reason)
    found = _add_files(root, texts, Twins(pictures), lists, builder, progress)
    if not found:
        raise SourceError(f"There is no YOLO label file (.txt) in {shown(str(root), limit=300)}.")
    for path in sorted(pictures):  # background pictures of a split, too
        split = lists.split_of(path) or split_of_folders(path)
        if split:
            builder.picture(path, split)
    classes, notes = merge_class_maps(lists.classes)
    for note in [*lists.notes, *notes]:
        builder.note(note)
    if not classes:
        builder.note(
            "There is no list of class names (data.yaml, obj.names, classes.txt): classes are called as numbers."
        )
    return builder.records(classes, about={ABOUT: lists.about} if lists.about else {}, progress=progress)


def _add_files(
    root: Path, texts: list[str], pictures: Twins, lists: Lists, builder: Builder, progress: Progress
) -> int:
    """Add what every label file says; returns how many of them there are."""
    found = 0
    points = _points(lists.about.get("kpt_shape"))
    with progress.stage("Reading annotations", len(texts), "files") as advance:
        for name in texts:
            advance(1)
            where = path_to_text(name)
            twins = pictures.of(where)
            try:
                data = read_bytes(root, where)
                text = data.decode("utf-8-sig")
            except (UnreadableError, UnicodeDecodeError) as error:
                if len(twins) == 1:
                    found += 1
                    builder.used(name)
                    why = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
                    builder.unlabelled(twins[0], f"{where}: {why}", _split(twins[0], lists))
                continue
            if len(twins) != 1:
                found += _reject_stray(name, text, twins, builder)
                continue
            found += 1
            builder.used(name)
            row = builder.picture(twins[0], _split(twins[0], lists))
            _add_lines(row, twins[0], text, where, lists, points, builder)
    return found


def _add_lines(row: int, path: str, text: str, where: str, lists: Lists, points: int, builder: Builder) -> None:
    file, entries = lists.names_for(where)
    names = {entry["id"]: entry["name"] for entry in entries}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        said = read_line(line, points)
        if not said.fault and names and said.class_id not in names:
            said.fault = f"there is no class {said.class_id} in {file}, which has {len(names)} classes"
        if said.fault:
            builder.reject(path, f"{where} line {number}: {said.fault}")
            continue
        label = names.get(said.class_id, str(said.class_id))
        builder.annotate(row, label, said.box, said.attributes or None, where, number, relative=True)


def _reject_stray(name: str, text: str, twins: list[str], builder: Builder) -> bool:
    """Say so if a text file looks like labels, and its picture cannot be told; whether it does."""
    where = path_to_text(name)
    first = text.strip().partition("\n")[0]
    looks = LOOKS.fullmatch(first) is not None
    if not looks and not _LABEL_FOLDERS & set(where.lower().split("/")[:-1]):
        return False
    builder.used(name)
    why = f"{len(twins)} pictures could be its own" if twins else "its picture is not there"
    builder.reject(where, f"{where}: {why}")
    return looks


def _split(path: str, lists: Lists) -> str:
    return lists.split_of(path) or split_of_folders(path)


def _points(shape: Any) -> int:
    """How many numbers of key points follow a box: `kpt_shape: [17, 3]` are 51."""
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, str) and n.isdigit() for n in shape):
        return int(shape[0]) * int(shape[1])
    return 0
