"""One Pascal VOC annotation file: what it says of its picture and of the objects in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from curation.errors import LabelParseError
from curation.importers.assemble import shown
from curation.importers.boxes import number
from curation.importers.xml_file import Node, read_xml

MAX_BYTES = 64 * 2**20  # of one file, which is about one picture
CORNERS = ("xmin", "ymin", "xmax", "ymax")
# The challenge's own files count pixels from 1, and the last one is inside of the box; what labelling programs write in
# the same format counts edges from 0, whatever they say of themselves.
_DEVKIT = re.compile(r"\s*the\s+voc\s*\d*\s+database\s*", re.I)
_OWN = ("filename", "folder", "object")  # where the file lies, which an export knows better; and the objects


@dataclass
class VocObject:
    """box : x, y, width, height from 0, negative where corners are in the other order; None, with `fault`: no box"""

    label: str
    line: int
    box: tuple[float, float, float, float] | None
    attributes: dict[str, Any]
    fault: str = ""


@dataclass
class VocFile:
    """stated : (width, height) that the file says, None if it does not"""

    filename: str
    stated: tuple[int, int] | None
    attributes: dict[str, Any]
    objects: list[VocObject] = field(default_factory=list)


def read_voc(data: bytes, where: str, origin: str = "auto") -> VocFile:
    """What one annotation file says.

    origin : as `ImportOptions.box_origin`

    Raises
    ------
    LabelParseError : broken XML, or not an annotation file of this kind; names file and line.
    """
    if len(data) > MAX_BYTES:
        raise LabelParseError(f"{where} has {len(data):,} bytes; no annotation of one picture has that many.")
    root = read_xml(data, where)
    if root.tag != "annotation":
        raise LabelParseError(f"{where}, line {root.line}: it begins with <{root.tag[:60]}>, not <annotation>.")
    attributes = element_value(root, skip=_OWN)
    assert isinstance(attributes, dict)
    from_one = origin == "1" or (origin == "auto" and is_devkit(attributes))
    objects = [_object(node, from_one) for node in root.all("object")]
    return VocFile(root.value("filename").strip(), _stated(root), attributes, objects)


def is_devkit(attributes: dict[str, Any]) -> bool:
    """Whether a file says that it is of the VOC challenge itself, going by its `<source><database>`."""
    source = attributes.get("source")
    database = source.get("database") if isinstance(source, dict) else None
    return isinstance(database, str) and _DEVKIT.fullmatch(database) is not None


def element_value(node: Node, skip: tuple[str, ...] = ()) -> Any:
    """An element as JSON has it: its text, or an object of its children (a list of those with one name) and of its
    attributes with `@` in front; nothing is parsed."""
    children = [child for child in node.children if child.tag not in skip]
    if not children and not node.attributes and not node.children:
        return node.text
    found: dict[str, Any] = {f"@{name}": value for name, value in node.attributes.items()}
    for child in children:
        value = element_value(child)
        if child.tag not in found:
            found[child.tag] = value
        elif isinstance(found[child.tag], list):
            found[child.tag].append(value)
        else:
            found[child.tag] = [found[child.tag], value]
    if not node.children:
        found["#text"] = node.text
    return found


def _object(node: Node, from_one: bool) -> VocObject:
    label = node.value("name")
    attributes = element_value(node, skip=("name", "bndbox"))
    made = VocObject(label, node.line, None, attributes if isinstance(attributes, dict) else {})
    box = node.find("bndbox")
    if box is None:
        made.fault = f"the object {shown(label)} has no <bndbox>"
        return made
    made.line = box.line
    try:
        left, top, right, bottom = (number(box.value(name).strip()) for name in CORNERS)
    except ValueError as error:
        said = ", ".join(f"{name} {shown(box.value(name).strip())}" for name in CORNERS)
        made.fault = f"the box of {shown(label)} is not four numbers ({said}; {error})"
        return made
    if from_one:  # the smaller one begins a pixel earlier, whichever it is
        left, right = (left - 1, right) if left <= right else (left, right - 1)
        top, bottom = (top - 1, bottom) if top <= bottom else (top, bottom - 1)
    made.box = (left, top, right - left, bottom - top)
    return made


def _stated(root: Node) -> tuple[int, int] | None:
    size = root.find("size")
    try:
        found = (int(size.value("width")), int(size.value("height"))) if size else None
    except ValueError:
        return None
    return found if found and min(found) > 0 else None
