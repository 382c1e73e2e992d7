"""The OIDv4 toolkit's layout: `train/Apple/1.jpg` and `train/Apple/Label/1.txt` with `Apple left top right bottom`.

Numbers are pixels, edges from 0. The toolkit saves a picture once for each of its classes, in the folder of each, with
the boxes of that class only: equal pictures of one name in one split are one picture here, with the boxes of all.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from curation.decoding.sources import read_bytes
from curation.errors import SourceError, UnreadableError
from curation.importers.assemble import shown
from curation.importers.boxes import Builder
from curation.importers.glance import Glance
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.importers.twins import Twins, files_ending, split_of_folders, stem_of
from curation.progress import Progress
from curation.records import Records, path_to_text
from curation.wording import counted

FOLDER = "Label"
CLASSES = "classes.txt"
_LOOKED_AT = 20
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_LINE = re.compile(rf"(.*\S)\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s*", re.ASCII | re.S)


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    files = [name for name in seen.ending(".txt") if f"/{FOLDER}/" in f"/{name}"]
    for name in files[:_LOOKED_AT]:
        lines = seen.head(name, 4096).strip().splitlines()
        if lines:
            like = _LINE.fullmatch(lines[0])
            return f"{shown(name, limit=200)} is a label file of the OIDv4 toolkit" if like else ""
    return f"there is a folder {FOLDER!r} with text files, as the OIDv4 toolkit makes it" if files else ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder that the OIDv4 toolkit made; a line that is no box is a rejected row that names file and line.

    Raises
    ------
    SourceError : there is no label file.
    """
    root = real_folder(source)
    listing = list_source(root, workspace, progress)
    texts = files_ending(listing, ".txt")
    files = [name for name in texts if f"/{FOLDER}/" in f"/{name}"]
    if not files:
        raise SourceError(f"There is no folder '{FOLDER}' with text files in {shown(str(root), limit=300)}.")
    pictures = Twins(map(path_to_text, listing.images))
    same = _join(root, listing)
    builder = Builder(root, "oidv4", listing, options)
    if same:
        builder.note(
            f"{counted(len(same), 'picture is', 'pictures are')} saved again for another class, as the toolkit does: "
            f"each is one picture, with the boxes of all its classes."
        )
    with progress.stage("Reading annotations", len(files), "files") as advance:
        for name in files:
            _add_file(root, name, pictures, same, builder)
            advance(1)
    for path in map(path_to_text, listing.images):
        if split_of_folders(path):
            builder.picture(path, split_of_folders(path))
    classes = []
    if CLASSES in texts:
        builder.used(CLASSES)
        lines = read_bytes(root, CLASSES).decode("utf-8-sig", "replace").split("\n")
        classes = [{"name": line} for line in map(str.strip, lines) if line]
    return builder.records(classes, progress=progress)


def _add_file(root: Path, name: str, pictures: Twins, same: dict[str, str], builder: Builder) -> None:
    where = path_to_text(name)
    builder.used(name)
    twins = pictures.of(where)
    if len(twins) != 1:
        builder.reject(where, f"{where}: {'several pictures have its name' if twins else 'its picture is not there'}")
        return
    path = same.get(twins[0], twins[0])
    try:
        text = read_bytes(root, where).decode("utf-8-sig")
    except (UnreadableError, UnicodeDecodeError) as error:
        why = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        builder.unlabelled(path, f"{where}: {why}", split_of_folders(path))
        return
    row = builder.picture(path, split_of_folders(path))
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        said = _LINE.fullmatch(line)
        if said is None:
            builder.reject(path, f"{where} line {number}: {shown(line.strip())} is not a class and four numbers")
            continue
        left, top, right, bottom = map(float, said.groups()[1:])
        builder.annotate(row, said[1].lstrip(), (left, top, right - left, bottom - top), None, where, number)


def _join(root: Path, listing: Listing) -> dict[str, str]:
    """Pictures that are one with another: path -> the one that stays; takes them out of the listing."""
    named: dict[tuple[str, str], list[str]] = {}
    for path in listing.images:
        named.setdefault((split_of_folders(path), stem_of(path)), []).append(path)
    same: dict[str, str] = {}
    for group in named.values():
        first: dict[bytes, str] = {}
        for path in group if len(group) > 1 else []:
            try:
                digest = hashlib.sha256(read_bytes(root, path_to_text(path))).digest()
            except UnreadableError:
                continue
            if first.setdefault(digest, path) != path:
                same[path] = first[digest]
    listing.images = [path for path in listing.images if path not in same]
    return {path_to_text(path): path_to_text(other) for path, other in same.items()}
