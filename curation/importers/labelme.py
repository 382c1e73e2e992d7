"""LabelMe: a json file beside each picture, with its shapes; and the XML of the web tool of that name.

A shape that is no rectangle counts as the box around it, and is kept as it is for a later export. Flags of a picture
that are true are its labels where there are no shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.decoding.sources import read_bytes
from curation.errors import LabelParseError, SourceError, UnreadableError
from curation.importers.assemble import shown
from curation.importers.boxes import Builder
from curation.importers.glance import Glance
from curation.importers.json_file import read_json
from curation.importers.labelme_xml import looks_like_web, read_web
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.importers.shapes import Box, around_circle, bounds
from curation.importers.twins import Twins, files_ending, split_of_folders
from curation.progress import Progress
from curation.records import Records, path_to_text, text_to_path

# What the program writes where nothing was said; left out here, and written again.
DEFAULTS: dict[str, Any] = {"group_id": None, "description": "", "flags": {}, "mask": None}
VERSION = "5.5.0"  # of the program, where a file of ours has none of its own
AREAS = ("rectangle", "polygon", "circle", "mask", "oriented_rectangle")
_LOOKED_AT = 10
_SHAPES = re.compile(r'"shapes"\s*:\s*\[')
_PICTURE = re.compile(r'"(imagePath|imageData|imageHeight)"\s*:')
_MASKS = {"masks", "scribbles"}  # folders of the web tool that hold no photos


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    if seen.is_file or not seen.pictures:
        return ""
    name = next((name for name in seen.ending(".json")[:_LOOKED_AT] if looks_like_labelme(seen, name)), "")
    web = next((name for name in seen.ending(".xml")[:_LOOKED_AT] if looks_like_web(seen.head(name))), "")
    return f"{shown(name or web, limit=200)} is an annotation of LabelMe" if name or web else ""


def looks_like_labelme(seen: Glance, name: str) -> bool:
    """Whether the beginning and the end of a json file are those of LabelMe's."""
    text = seen.head(name) + seen.tail(name)
    return bool(_SHAPES.search(text) and _PICTURE.search(text))


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder of pictures and their json (or XML) files.

    A broken file costs its picture its labels, and nothing else; the picture stays, and the file is a rejected row.

    Raises
    ------
    SourceError : there is nothing of the format in it.
    """
    root = real_folder(source)
    listing = list_source(root, workspace, progress)
    _leave_masks(listing)
    seen = Glance(root)
    pictures = Twins(map(path_to_text, listing.images))
    files = [name for name in files_ending(listing, ".json") if _is_ours(seen, name, pictures)]
    web = [name for name in files_ending(listing, ".xml") if looks_like_web(seen.head(name))]
    if not files and not web:
        raise SourceError(f"There is no annotation of LabelMe (.json) in {shown(str(root), limit=300)}.")
    reader = _Reader(root, listing, options, pictures)
    with progress.stage("Reading annotations", len(files) + len(web), "files") as advance:
        for name in [*files, *web]:
            reader.read(name)
            advance(1)
    return reader.records(progress)


def _leave_masks(listing: Listing) -> None:
    masks = {name for name in listing.images if _MASKS & set(name.lower().split("/")[:-1])}
    if masks:
        listing.images = [name for name in listing.images if name not in masks]
        listing.rejected += [(name, "a mask, which is not read") for name in sorted(masks)]


def _is_ours(seen: Glance, name: str, pictures: Twins) -> bool:
    """Also a file that says nothing, or not what it should, if it is called as the picture beside it."""
    if looks_like_labelme(seen, name):
        return True
    twins = pictures.of(path_to_text(name))
    return any(twin.rpartition("/")[0] == path_to_text(name).rpartition("/")[0] for twin in twins)


class _Reader:
    """Adds the files to a builder, one at a time."""

    def __init__(self, root: Path, listing: Listing, options: ImportOptions, pictures: Twins) -> None:
        self.root, self.pictures = root, pictures
        self.builder = Builder(root, "labelme", listing, options)
        self.flags: list[tuple[int, str, dict[str, Any]]] = []  # row, file, flags
        self.shapes = 0

    def read(self, name: str) -> None:
        where = path_to_text(name)
        self.builder.used(where)
        try:
            value = self._content(name, where)
        except (LabelParseError, UnreadableError) as error:
            twins = self.pictures.of(where)
            reason = str(error) if isinstance(error, LabelParseError) else f"{where}: {error}"
            if len(twins) == 1:
                self.builder.unlabelled(twins[0], reason, split_of_folders(twins[0]))
            else:
                self.builder.reject(where, reason)
            return
        path, why = self._picture(where, value)
        if not path:
            self.builder.reject(where, why)
            return
        own = {"shapes", "imagePath", "imageData", "imageHeight", "imageWidth", "flags", "split"}
        more = {key: one for key, one in value.items() if key not in own and (key, one) != ("version", VERSION)}
        split = value["split"] if isinstance(value.get("split"), str) else split_of_folders(path)
        others = [shape for shape in value["shapes"] if _kind(shape) not in AREAS]
        if others:
            more["shapes"] = others
        row = self.builder.picture(path, split, more, _size(value), where)
        if isinstance(value.get("flags"), dict) and value["flags"]:
            self.flags.append((row, where, value["flags"]))
        for k, shape in enumerate(value["shapes"], 1):
            if _kind(shape) in AREAS:
                self.shapes += 1
                self._add(row, shape, where, k)

    def _content(self, name: str, where: str) -> dict[str, Any]:
        """The object in a file, with a list `shapes`.

        Raises
        ------
        LabelParseError : it is broken, or no such object.
        """
        if name.lower().endswith(".xml"):
            return read_web(read_bytes(self.root, where), where)
        value = read_json(self.root / text_to_path(where), where)
        if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
            raise LabelParseError(f"{where} is no annotation of LabelMe: it has no list 'shapes'.")
        return value

    def _picture(self, where: str, value: dict[str, Any]) -> tuple[str, str]:
        """The picture that a file names, else the one that is called as it."""
        named = value.get("imagePath")
        path, why = "", "it has no imagePath"
        if isinstance(named, str) and named:
            path, why = self.builder.find(named, [where.rpartition("/")[0]])
        twins = self.pictures.of(where) if not path else []
        if len(twins) == 1:
            return twins[0], ""
        if not path and value.get("imageData"):
            why += "; the picture inside the json is not read"
        return path, f"{where}: {shown(str(named), limit=200)}: {why}" if not path else ""

    def _add(self, row: int, shape: dict[str, Any], where: str, k: int) -> None:
        more = {key: one for key, one in shape.items() if key not in ("label", "points", "shape_type")}
        more = {key: one for key, one in more.items() if key not in DEFAULTS or one != DEFAULTS[key]}
        kind, points = _kind(shape), shape.get("points")
        try:
            box = box_of(kind, points)
        except ValueError as error:
            self.builder.reject_of(row, f"{where} shape ", k, str(error))
            return
        if kind != "rectangle" or len(points or ()) != 2:
            more.update(shape_type=kind, points=points)
        self.builder.annotate(row, shape.get("label", ""), box, more, f"{where} shape ", k)

    def records(self, progress: Progress) -> Records:
        classes: dict[str, None] = {}
        for row, where, flags in self.flags:
            if self.shapes:  # they say something of the picture, beside its boxes
                self.builder.add_to_picture(row, {"flags": flags})
                continue
            for name in flags:
                classes.setdefault(name)
            for name in _chosen(flags):
                self.builder.annotate(row, name, where=where)
        listed = [{"name": name} for name in classes if name]
        return self.builder.records(listed, boxes=self.shapes > 0, progress=progress)


def box_of(kind: str, points: Any) -> Box:
    """x, y, width, height of a shape.

    Raises
    ------
    ValueError : its points are none.
    """
    return around_circle(points) if kind == "circle" else bounds(points)


def _chosen(flags: dict[str, Any]) -> Iterator[str]:
    return (name for name, value in flags.items() if value is True)


def _kind(shape: Any) -> str:
    """The type of a shape; "" for what is none, which is kept with the picture."""
    if not isinstance(shape, dict):
        return ""
    kind = shape.get("shape_type") or "polygon"  # which was all there was, once
    return kind if isinstance(kind, str) else ""


def _size(value: dict[str, Any]) -> tuple[int, int] | None:
    size = value.get("imageWidth"), value.get("imageHeight")
    good = all(type(one) is int and 0 < one < 2**31 for one in size)
    return (int(size[0] or 0), int(size[1] or 0)) if good else None
