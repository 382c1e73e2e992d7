"""CVAT for images 1.1: one XML for all pictures, with boxes, tags and other shapes.

A shape that is no box but has an area counts as the box around it, and is kept as it is for a later export; lines and
points are kept with the picture. Tracks of a video are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.errors import LabelParseError, SourceError
from curation.importers.annotation_files import annotation_files
from curation.importers.assemble import canonical_split, shown
from curation.importers.box_tables import number
from curation.importers.boxes import Builder
from curation.importers.class_maps import merge_class_maps
from curation.importers.glance import Glance
from curation.importers.json_file import read_bytes
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.shapes import Box, bounds
from curation.importers.twins import split_of_folders
from curation.importers.xml_file import Node, read_xml
from curation.progress import Progress
from curation.records import Records, path_to_text

CORNERS = ("xtl", "ytl", "xbr", "ybr")
DEFAULTS = {"occluded": "0", "source": "manual", "z_order": "0"}  # left out here, and written again
_AREAS = ("box", "polygon", "ellipse", "mask")
_OWN = ("name", "subset", "width", "height")


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    name = next((name for name in seen.ending(".xml") if looks_like_cvat(seen.head(name))), "")
    return f"{shown(name, limit=200)} is an annotation file of CVAT" if name else ""


def looks_like_cvat(head: str) -> bool:
    """Whether the beginning of an XML file is that of a file of CVAT."""
    return "<annotations>" in head and ("<meta>" in head or "<image " in head)


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder with annotation files and pictures, or one file with the pictures beside it.

    Raises
    ------
    SourceError : nothing to read, or only tracks of a video.
    LabelParseError : a file is broken; names the file and the line.
    """
    root, listing, files = annotation_files(
        source,
        options,
        workspace,
        progress,
        ".xml",
        lambda seen, name: looks_like_cvat(seen.head(name)),
        "annotation file of CVAT (.xml)",
    )
    reader = _Reader(root, listing, options)
    with progress.stage("Reading annotations", len(files), "files") as advance:
        for where, full in files:
            reader.read(where, read_xml(read_bytes(full, where), where))
            advance(1)
    return reader.records(progress)


class _Reader:
    """Adds the files to a builder, one at a time."""

    def __init__(self, root: Path, listing: Listing, options: ImportOptions) -> None:
        self.builder = Builder(root, "cvat", listing, options)
        self.folders = {path.rpartition("/")[0] for path in map(path_to_text, listing.images)}
        self.classes: dict[str, list[dict[str, Any]]] = {}
        self.about: dict[str, Any] = {}
        self.shapes = self.tags = self.turned = self.images = 0

    def read(self, where: str, root: Node) -> None:
        if root.tag != "annotations":
            raise LabelParseError(f"{where} line {root.line}: <{root.tag}> is not what a file of CVAT begins with.")
        self.builder.used(where)
        meta = root.find("meta")
        classes = _classes(meta, where)
        if classes:
            self.classes[where] = classes
        if meta is not None and not self.about:
            self.about = {"meta": [_tree(child) for child in meta.children]}
        tracks = sum(1 for _ in root.all("track"))
        if tracks:
            self.builder.note(
                f"{shown(where, limit=200)}: {tracks:,} tracks of a video were not read; export single frames."
            )
        for image in root.all("image"):
            self.images += 1
            self._add_picture(where, image)

    def _add_picture(self, where: str, image: Node) -> None:
        name, subset = image.attributes.get("name", ""), image.attributes.get("subset", "")
        path, why = self._find(where, name, subset)
        if not path:
            self.builder.reject(name or where, f"{where} line {image.line}: {why}")
            return
        more: dict[str, Any] = {key: value for key, value in image.attributes.items() if key not in _OWN}
        split = "" if subset.lower() == "default" else canonical_split(subset)
        others = [_tree(child) for child in image.children if child.tag not in (*_AREAS, "tag")]
        if others:
            more["shapes"] = others
        row = self.builder.picture(path, split or split_of_folders(path), more, _size(image), where)
        for shape in image.children:
            if shape.tag == "tag":
                self.tags += 1
                more = _more(shape, ("label",))
                self.builder.annotate(row, shape.attributes.get("label", ""), None, more, where, shape.line)
            elif shape.tag in _AREAS:
                self.shapes += 1
                self._add_shape(row, where, shape)

    def _find(self, where: str, name: str, subset: str) -> tuple[str, str]:
        if not name:
            return "", "the picture has no name"
        here = where.rpartition("/")[0]
        likely = [
            f"{here}/images/{subset}",
            f"{here}/{subset}",
            f"{here}/images",
            here,
            f"images/{subset}",
            "images",
            "",
        ]
        folders = [folder.strip("/") for folder in likely]
        return self.builder.find(name, [one for one in dict.fromkeys(folders) if one in self.folders or one == ""])

    def _add_shape(self, row: int, where: str, shape: Node) -> None:
        try:
            box = box_of(shape.tag, shape.attributes)
        except ValueError as error:
            self.builder.reject_of(row, where, shape.line, str(error))
            return
        self.turned += shape.attributes.get("rotation", "0") not in ("0", "0.0", "0.00")
        more = _more(shape, ("label", *CORNERS) if shape.tag == "box" else ("label",))
        if shape.tag != "box":
            more["shape"] = shape.tag
        self.builder.annotate(row, shape.attributes.get("label", ""), box, more, where, shape.line)

    def records(self, progress: Progress) -> Records:
        if not self.images:
            raise SourceError("There is no picture in the annotation files of CVAT; tracks of a video are not read.")
        if self.turned:
            self.builder.note(
                f"{self.turned:,} boxes are turned; they are judged as if they were not, and keep their angle."
            )
        classes, notes = merge_class_maps(self.classes)
        for note in notes:
            self.builder.note(note)
        boxes = self.shapes > 0 or not self.tags
        return self.builder.records(classes, self.about, boxes=boxes, progress=progress)


def box_of(kind: str, said: dict[str, Any]) -> Box:
    """x, y, width, height of a shape by its attributes.

    Raises
    ------
    ValueError : they do not say it.
    """
    if kind == "box":
        left, top, right, bottom = _numbers(said, *CORNERS)
        return left, top, right - left, bottom - top
    if kind == "ellipse":
        x, y, rx, ry = _numbers(said, "cx", "cy", "rx", "ry")
        return x - rx, y - ry, 2 * rx, 2 * ry
    if kind == "mask":
        left, top, width, height = _numbers(said, "left", "top", "width", "height")
        return left, top, width, height
    return bounds([point.split(",") for point in str(said.get("points", "")).split(";") if point])


def _numbers(said: dict[str, Any], *names: str) -> list[float]:
    found = []
    for name in names:
        if name not in said:
            raise ValueError(f"it has no {name}")
        try:
            found.append(number(said[name]))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return found


def _more(shape: Node, own: tuple[str, ...]) -> dict[str, Any]:
    """Attributes of the element, and those that its label has, by their names."""
    more: dict[str, Any] = {key: value for key, value in shape.attributes.items() if key not in own}
    more = {key: value for key, value in more.items() if DEFAULTS.get(key) != value}
    named = [(child.attributes.get("name", ""), child.text) for child in shape.all("attribute")]
    return {**more, "attributes": dict(named)} if named else more


def _classes(meta: Node | None, where: str) -> list[dict[str, Any]]:
    """Labels of the task or project, wherever in `meta` they are; each with what it says beside its name."""
    found = []
    waiting = [meta] if meta is not None else []
    while waiting:
        node = waiting.pop(0)
        if node.tag == "labels":
            for label in node.all("label"):
                name = label.value("name")
                if name == "":
                    raise LabelParseError(f"{where} line {label.line}: a label without a name.")
                more = {child.tag: child.text for child in label.children if not child.children and child.text.strip()}
                parts = [_tree(child) for child in label.children if child.children]
                found.append({**more, "name": name, **({"elements": parts} if parts else {})})
        else:
            waiting += node.children
    return found


def _tree(node: Node) -> dict[str, Any]:
    """An element as JSON that can become the same element again; the labels are kept elsewhere."""
    found: dict[str, Any] = {"tag": node.tag}
    if node.attributes:
        found["attributes"] = node.attributes
    if node.text.strip() or not node.children:
        found["text"] = node.text
    if node.children and node.tag != "labels":
        found["children"] = [_tree(child) for child in node.children]
    return found


def _size(image: Node) -> tuple[int, int] | None:
    size = [image.attributes.get(name, "") for name in ("width", "height")]
    good = all(one.isascii() and one.isdigit() and 0 < int(one[:12]) < 2**31 for one in size)
    return (int(size[0]), int(size[1])) if good else None
