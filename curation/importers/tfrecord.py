"""TFRecord files of tf.train.Example as TensorFlow's Object Detection API has them, and label_map.pbtxt beside them.

The pictures stay in the records: `train.record#000017`. Records of a classifier (`image/class/text`,
`image/class/label`) give labels of whole pictures.
"""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

from curation.decoding.sources import locate, read_bytes
from curation.decoding.tf_example import PICTURE, Value, read_example, read_label_map
from curation.decoding.tfrecord import is_tfrecord, read_records, record_places
from curation.errors import LabelParseError, SourceError, UnreadableError
from curation.importers.assemble import SHOWN, shown
from curation.importers.boxes import Builder
from curation.importers.class_maps import merge_class_maps
from curation.importers.glance import Glance
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_file, real_path
from curation.importers.twins import files_ending, files_like, split_of_name
from curation.progress import Progress
from curation.records import Records, path_to_text
from curation.wording import counted

DIGITS = 6  # of the record number in a path, so that paths sort as the records do
CORNERS = tuple(f"image/object/bbox/{name}" for name in ("xmin", "ymin", "xmax", "ymax"))
TEXTS, IDS = "image/object/class/text", "image/object/class/label"
WHOLE_TEXTS, WHOLE_IDS = "image/class/text", "image/class/label"
# What follows from the picture itself, and is written anew.
DERIVED = {PICTURE, "image/height", "image/width", "image/format", "image/key/sha256"}
OBJECT = "image/object/"


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    found = [name for name in seen.files if is_tfrecord(name)]
    return f"{shown(found[0], limit=200)} is a TFRecord" if found else ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read one TFRecord, or all of a folder.

    Raises
    ------
    LabelParseError : a damaged file: a wrong checksum, one that is cut off, a record of another kind, a broken label
        map; names file and record. Nothing is imported then.
    SourceError : there is no TFRecord.
    """
    path = real_path(source)
    if path.is_dir():
        root, listing = path, list_source(path, workspace, progress)
        files = files_like(listing, is_tfrecord)
        maps = files_ending(listing, ".pbtxt")
    else:
        file = real_file(source)
        root, listing, files = file.parent, Listing(), [file.name]
        maps = sorted(entry.name for entry in root.glob("*.pbtxt") if entry.is_file())
    if not files:
        raise SourceError(f"There is no TFRecord (.record, .tfrecord) in {shown(str(root), limit=300)}.")
    builder = Builder(root, "tfrecord", listing, options)
    label_maps = {path_to_text(name): _label_map(root, path_to_text(name)) for name in maps}
    for name in [*maps, *files]:
        builder.used(name)
    reader = _Reader(root, label_maps, builder)
    places = {name: _count(root, path_to_text(name)) for name in files}
    with progress.stage("Reading records", sum(places.values()), "records") as advance:
        for name, count in places.items():
            reader.add_file(path_to_text(name))
            advance(count)
    classes, notes = merge_class_maps(label_maps)
    for note in [*notes, *reader.notes()]:
        builder.note(note)
    if listing.images:
        builder.note(f"{counted(len(listing.images), 'picture')} beside the records: only those in records are read.")
    return builder.records(classes, boxes=reader.boxes or not reader.whole, add_unnamed=False, progress=progress)


def _count(root: Path, name: str) -> int:
    try:
        return len(record_places(locate(root, name)))
    except UnreadableError as error:
        raise LabelParseError(f"{name}: {error}. Nothing was imported.") from error


def _label_map(root: Path, name: str) -> list[dict[str, Any]]:
    try:
        items = read_label_map(read_bytes(root, name).decode("utf-8-sig"))
    except UnreadableError as error:
        raise LabelParseError(f"{name}: {error}.") from error
    except ValueError as error:  # text that is no UTF-8 is one, too
        raise LabelParseError(f"{name}, {error}.") from error
    return [{"name": item.get("name") or item.get("display_name", ""), **item} for item in items]


class _Reader:
    """Adds files to a builder, and remembers what was odd.

    boxes, whole : whether there was an object with a box, a label of a whole picture
    """

    def __init__(self, root: Path, maps: dict[str, list[dict[str, Any]]], builder: Builder) -> None:
        self.boxes = self.whole = False
        self._root, self._maps, self._builder = root, maps, builder
        self._other: Counter[str] = Counter()

    def add_file(self, name: str) -> None:
        file, names = self._names_for(name)
        split = split_of_name(name)
        try:
            for number, data in enumerate(read_records(locate(self._root, name)), start=1):
                where = f"{name} record {number:,}"
                try:
                    features = read_example(data)
                except UnreadableError as error:
                    raise UnreadableError(f"record {number:,}: {error}") from error
                self._add(features, f"{name}#{number - 1:0{DIGITS}d}", split, where, file, names)
        except UnreadableError as error:
            raise LabelParseError(f"{name}: {error}. Nothing was imported.") from error

    def notes(self) -> list[str]:
        """Sentences on class numbers that mean something else than the record's own text."""
        some = "; ".join(list(self._other)[:SHOWN])
        total = sum(self._other.values())
        objects = counted(total, "object has", "objects have")
        return [f"Class maps differ: {objects} another number than its name: {some}. The name counts."] if total else []

    def _names_for(self, name: str) -> tuple[str, dict[Any, str]]:
        """The label map in the nearest folder on the way up; of several there the one that is called so."""
        folder = name.rpartition("/")[0]
        while True:
            here = [file for file in self._maps if file.rpartition("/")[0] == folder]
            if here or not folder:
                break
            folder = folder.rpartition("/")[0]
        file = next((file for file in here if "label_map" in file.lower()), here[0] if here else "")
        return file, {item["id"]: item["name"] for item in self._maps.get(file, ()) if "id" in item}

    def _add(
        self, features: dict[str, Value], path: str, split: str, where: str, file: str, names: dict[Any, str]
    ) -> None:
        name = _text((features.get("image/filename") or [b""])[0])
        inside = any(features.get(PICTURE) or ())
        if not inside:  # it may lie beside
            path = (self._builder.find(name)[0] if isinstance(name, str) and name else "") or path
        stated = _size(features)
        count = max((len(features.get(key, ())) for key in (*CORNERS, TEXTS, IDS)), default=0)
        per_object = {
            key: values
            for key, values in features.items()
            if key.startswith(OBJECT) and count and len(values) == count and key not in (*CORNERS, TEXTS, IDS)
        }
        own = {*DERIVED, *CORNERS, TEXTS, IDS, WHOLE_TEXTS, WHOLE_IDS, *per_object}
        about = {key: [_text(v) for v in values] for key, values in sorted(features.items()) if key not in own}
        row = self._builder.picture(
            path,
            split,
            {key: values[0] if len(values) == 1 else values for key, values in about.items() if values},
            stated,
            where,
        )
        # Where the picture is nowhere, its size is what the record says.
        size = stated if not inside and "#" in path else None
        self._add_objects(row, path, features, per_object, count, where, file, names, size)
        wholes = max(len(features.get(WHOLE_TEXTS, ())), len(features.get(WHOLE_IDS, ())))
        for at in range(0 if count else wholes):
            label = self._label(features.get(WHOLE_TEXTS, []), features.get(WHOLE_IDS, []), at, where, file, names)
            self.whole |= self._builder.annotate(row, label, None, None, where)

    def _add_objects(
        self,
        row: int,
        path: str,
        features: dict[str, Value],
        per_object: dict[str, Value],
        count: int,
        where: str,
        file: str,
        names: dict[Any, str],
        size: Any,
    ) -> None:
        corners = [features.get(key, []) for key in CORNERS]
        texts, ids = features.get(TEXTS, []), features.get(IDS, [])
        lengths = {len(corner) for corner in corners} | {len(found) for found in (texts, ids) if found}
        if count and lengths != {count}:
            said = ", ".join(map(str, sorted(lengths)))
            self._builder.reject(path, f"{where}: its lists of corners and classes have {said} entries")
            return
        for at in range(count):
            sides = [value for corner in corners if isinstance(value := corner[at], int | float)]
            if len(sides) < len(corners):
                self._builder.reject(path, f"{where}: its corners are no numbers")
                return
            label = self._label(texts, ids, at, where, file, names)
            attributes = {key.removeprefix(OBJECT): _text(values[at]) for key, values in sorted(per_object.items())}
            left, top, right, bottom = sides
            box = [left, top, right - left, bottom - top]
            if size:
                box = [share * side for share, side in zip(box, (*size, *size), strict=True)]
            self.boxes |= self._builder.annotate(row, label, box, attributes, where, relative=size is None)

    def _label(self, texts: Value, ids: Value, at: int, where: str, file: str, names: dict[Any, str]) -> str:
        """The class of one object: its text, else what the label map calls its number, else the number."""
        number = ids[at] if at < len(ids) else None
        text = _text(texts[at]) if at < len(texts) else ""
        if isinstance(text, str) and text:
            if number in names and names[number] != text:
                self._other[f"{where} says {number!r} and {shown(text)}, {file} calls it {shown(names[number])}"] += 1
            return text
        if number in names:
            return names[number]
        return str(int(number)) if isinstance(number, int) and number else ""


def _size(features: dict[str, Value]) -> tuple[int, int] | None:
    """(width, height) that a record says, None if it does not."""
    width, height = ((features.get(key) or [0])[0] for key in ("image/width", "image/height"))
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width > 0 < height else None


def _text(value: Any) -> Any:
    """Bytes as text; those that are none as JSON can hold them."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
