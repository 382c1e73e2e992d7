"""Pascal VOC: one XML per picture, and text files that say which picture is in which split.

    Annotations/1.xml  JPEGImages/1.jpg  ImageSets/Main/{train,val,test,trainval}.txt

or XML files beside the pictures, in any folders. Without any box, `ImageSets/Main/<class>_<split>.txt` with 1, 0 or -1
behind each name says what is in the pictures as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from curation.decoding.sources import read_bytes
from curation.errors import LabelParseError, SourceError, UnreadableError
from curation.importers.assemble import canonical_split, shown
from curation.importers.boxes import Builder
from curation.importers.glance import Glance
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.importers.twins import Twins, files_ending, leave_masks, split_of_folders
from curation.importers.voc_xml import VocFile, read_voc
from curation.progress import Progress
from curation.records import Records, path_to_text

SETS = "imagesets/main/"
ALL = "all"  # a list of pictures that are in no split
LABEL_MAP = "labelmap.txt"  # name:color:parts:actions, as CVAT and Datumaro write it
_LOOKED_AT = 20  # XML files of a folder, to find out whether they are of this format
_MARKED = re.compile(r".*\S\s+(?:1|0|-1)")
_MASKS = frozenset({"segmentationclass", "segmentationobject"})  # folders beside JPEGImages that hold no photos
_WHOLE = ("train", "val", "trainval", "test")  # names of sets that are no class


@dataclass
class _Sets:
    """splits : name in the file -> its split; marks : (class, name) -> mark; files : those that were read"""

    splits: dict[str, str] = field(default_factory=dict)
    marks: dict[tuple[str, str], tuple[str, str, int]] = field(default_factory=dict)
    wheres: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    if seen.is_file or not seen.pictures:
        return ""
    sets = any(f"/{name.lower()}/".endswith(f"/{SETS}") for name in seen.folders)
    for name in seen.ending(".xml")[:_LOOKED_AT]:
        head = seen.head(name)
        if "<annotation" in head and ("<bndbox" in head or (sets and "<polygon" not in head)):
            return f"{shown(name, limit=200)} is an annotation in Pascal VOC's XML"
    return "it has ImageSets/Main, as Pascal VOC does" if sets else ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder of Pascal VOC annotations.

    A broken XML file costs its picture its labels, and nothing else; the picture stays, and the file is a rejected row.

    Raises
    ------
    SourceError : there is nothing of the format in it.
    """
    root = real_folder(source)
    listing = list_source(root, workspace, progress)
    leave_masks(listing, _MASKS)
    builder = Builder(root, "voc", listing, options)
    xml = files_ending(listing, ".xml")
    texts = files_ending(listing, ".txt")
    sets = _read_sets(root, [name for name in texts if SETS in f"/{name.lower()}"], builder)
    pictures = Twins(map(path_to_text, listing.images))
    if not xml and not sets.splits and not sets.marks:
        raise SourceError(f"There is no Pascal VOC annotation (.xml) in {shown(str(root), limit=300)}.")
    boxes = _add_files(xml, root, options, pictures, sets, builder, progress)
    for name, split in sets.splits.items():
        for path in _named(pictures, name, sets.wheres[name], builder):
            builder.picture(path, split)
    if not boxes:
        _add_marks(sets, pictures, builder)
    classes = _classes(root, texts, builder)
    for note in sets.notes:
        builder.note(note)
    return builder.records(classes, boxes=bool(xml) and (boxes > 0 or not sets.marks), progress=progress)


def _add_files(
    xml: list[str],
    root: Path,
    options: ImportOptions,
    pictures: Twins,
    sets: _Sets,
    builder: Builder,
    progress: Progress,
) -> int:
    """Add what every annotation file says; returns how many objects there are."""
    count = 0
    with progress.stage("Reading annotations", len(xml), "files") as advance:
        for name in xml:
            advance(1)
            where = path_to_text(name)
            builder.used(name)
            try:
                said = read_voc(read_bytes(root, where), where, options.box_origin)
            except (LabelParseError, UnreadableError) as error:
                reason = str(error) if isinstance(error, LabelParseError) else f"{where}: {error}"
                twins = pictures.of(where)
                if len(twins) == 1:
                    builder.unlabelled(twins[0], reason, _split(twins[0], where, sets))
                else:
                    builder.reject(where, reason)
                continue
            path, why = _picture_of(where, said, pictures)
            if not path:
                builder.reject(where, why)
                continue
            row = builder.picture(path, _split(path, where, sets), said.attributes, said.stated, where)
            for thing in said.objects:
                count += 1
                if thing.fault:
                    builder.reject(path, f"{where} line {thing.line}: {thing.fault}")
                else:
                    builder.annotate(row, thing.label, thing.box, thing.attributes, where, thing.line)
    return count


def _picture_of(where: str, said: VocFile, pictures: Twins) -> tuple[str, str]:
    """The picture of an annotation file: the one with its name, else the one that it names."""
    for stem in ("", said.filename.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]):
        twins = pictures.of(where, stem)
        if len(twins) == 1:
            return twins[0], ""
        if twins:
            return "", f"{len(twins)} pictures could be that of {where}: {', '.join(map(shown, sorted(twins)[:3]))}"
    return "", f"the picture of {where} ({shown(said.filename)}) is not there"


def _split(path: str, where: str, sets: _Sets) -> str:
    """The split of a picture: by the lists, where a list names it or its annotation file, else by its folders."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    return sets.splits.get(stem) or _by_tail(where, sets) or split_of_folders(path)


def _by_tail(where: str, sets: _Sets) -> str:
    """Lists may name files in folders below Annotations: `a/1` is Annotations/a/1.xml."""
    parts = where.rpartition(".")[0].split("/")
    tails = ("/".join(parts[at:]) for at in range(len(parts)))
    return next((sets.splits[tail] for tail in tails if tail in sets.splits), "")


# --- ImageSets/Main --------------------------------------------------------------------------------------------------


def _read_sets(root: Path, files: list[str], builder: Builder) -> _Sets:
    """train, val and test first, since trainval says less; class files are those with a mark behind every name."""
    sets = _Sets()
    texts = {}
    for name in files:
        builder.used(name)
        texts[path_to_text(name)] = _lines(root, path_to_text(name), builder)
    marked = {where for where, lines in texts.items() if lines and all(_MARKED.fullmatch(line) for _, line in lines)}
    words = {_stem(where).lower() for where in texts if where not in marked} | set(_WHOLE)
    marked = {where for where in marked if _stem(where).rpartition("_")[2].lower() in words and "_" in _stem(where)}
    for where in sorted(texts, key=lambda where: (where in marked, _stem(where).lower() in ("trainval", ALL), where)):
        if where not in marked:
            for number, line in texts[where]:
                _put(sets, line, _split_name(_stem(where)), f"{where} line {number}")
            continue
        label, _, split = _stem(where).rpartition("_")
        for number, line in texts[where]:
            named, mark = line.rsplit(None, 1)
            sets.marks[label, named] = (mark, where, number)
            sets.splits.setdefault(named, _split_name(split))
            sets.wheres.setdefault(named, f"{where} line {number}")
    return sets


def _stem(where: str) -> str:
    return where.rpartition("/")[2][:-4]


def _lines(root: Path, where: str, builder: Builder) -> list[tuple[int, str]]:
    """The lines of a list that say something, with their numbers; a list that cannot be read is a rejected row."""
    try:
        text = read_bytes(root, where).decode("utf-8-sig")
    except UnreadableError as error:
        builder.reject(where, f"{where}: {error}")
        return []
    except UnicodeDecodeError as error:
        builder.reject(where, f"{where}: it is no UTF-8 text ({error.reason} at byte {error.start:,})")
        return []
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _put(sets: _Sets, name: str, split: str, where: str) -> None:
    earlier = sets.splits.setdefault(name, split)
    sets.wheres.setdefault(name, where)
    if earlier != split and split not in ("trainval", ""):
        sets.notes.append(
            f"{shown(name)} is in two splits: {sets.wheres[name]} says {shown(earlier)}, which counts, and {where} "
            f"{shown(split)}."
        )
        del sets.notes[3:]


def _split_name(name: str) -> str:
    return "" if name.lower() == ALL else canonical_split(name)


def _named(pictures: Twins, name: str, where: str, builder: Builder) -> list[str]:
    """The picture that a list names, or nothing and a rejected row."""
    stem = name.rpartition("/")[2]
    above = where[: f"/{where.lower()}".rindex(f"/{SETS}")]
    twins = pictures.of(f"{above}JPEGImages/", stem)
    twins = twins or pictures.of(name)  # written with its ending
    if len(twins) > 1:
        twins = [path for path in twins if f"/{path}".rpartition(".")[0].endswith(f"/{name}")]
    if len(twins) == 1:
        return twins
    builder.reject(name, f"{where}: there is no picture of that name" if not twins else f"{where}: several pictures")
    return []


def _add_marks(sets: _Sets, pictures: Twins, builder: Builder) -> None:
    """Labels of whole pictures: 1 = there, 0 = there but hard to see, -1 = not there."""
    for (label, name), (mark, where, line) in sets.marks.items():
        if mark == "-1":
            continue
        twins = pictures.of(name) or pictures.of(f"{name}.")
        if len(twins) == 1:  # others are in the lists, too, and rejected there
            row = builder.picture(twins[0], sets.splits.get(name, ""))
            builder.annotate(row, label, None, {"difficult": "1"} if mark == "0" else None, where, line)


def _classes(root: Path, texts: list[str], builder: Builder) -> list[dict[str, str]]:
    """The classes of labelmap.txt, where there is one, in its order."""
    found: list[dict[str, str]] = []
    for name in texts:
        if name.rpartition("/")[2].lower() != LABEL_MAP or found:
            continue
        where = path_to_text(name)
        builder.used(name)
        for _, line in _lines(root, where, builder):
            label, *rest = line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":")[:1]
            names = zip(("color_rgb", "parts", "actions"), rest, strict=False)
            found.append({"name": label, **{key: value for key, value in names if value}})
    return found
