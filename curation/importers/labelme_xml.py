"""The XML of LabelMe's web tool, as the json of the program that was named after it."""

from __future__ import annotations

from typing import Any

from curation.importers.box_tables import number, plain
from curation.importers.xml_file import Node, read_xml

_OWN = ("name", "polygon", "segm", "deleted")


def looks_like_web(head: str) -> bool:
    """Whether an XML file is of the web tool: objects with polygons, and no boxes as Pascal VOC has them."""
    return (
        "<annotation" in head
        and "<object>" in head
        and "<bndbox" not in head
        and ("<polygon" in head or "<segm>" in head)
    )


def read_web(data: bytes, where: str) -> dict[str, Any]:
    """The annotations of a picture as LabelMe's json has them; deleted ones are left out.

    Raises
    ------
    LabelParseError : the file is broken; names the line.
    """
    root = read_xml(data, where)
    shapes = []
    for node in root.all("object"):
        if node.value("deleted").strip() in ("1", "yes"):
            continue
        shape: dict[str, Any] = {"label": node.value("name"), "shape_type": "polygon", "points": _points(node)}
        segment = node.find("segm")
        box = segment.find("box") if segment is not None else None
        if box is not None:
            shape["shape_type"] = "rectangle"
            corners = (("xmin", "ymin"), ("xmax", "ymax"))
            shape["points"] = [[_number(box.value(x)), _number(box.value(y))] for x, y in corners]
        shapes.append({**shape, **{child.tag: _plain(child) for child in node.children if child.tag not in _OWN}})
    size = root.find("imagesize")
    found: dict[str, Any] = {"shapes": shapes, "imagePath": root.value("filename")}
    if size is not None:
        found["imageWidth"], found["imageHeight"] = _whole(size.value("ncols")), _whole(size.value("nrows"))
    known = ("filename", "imagesize", "object")
    return {**{child.tag: _plain(child) for child in root.children if child.tag not in known}, **found}


def _points(node: Node) -> list[list[Any]]:
    polygon = node.find("polygon")
    points = polygon.all("pt") if polygon is not None else ()
    return [[_number(point.value("x")), _number(point.value("y"))] for point in points]


def _number(text: str) -> float | str:
    """A number where the text is one; else the text, for the message about it."""
    try:
        return plain(number(text))
    except ValueError:
        return text


def _plain(node: Node) -> Any:
    """Text, or an object of the children."""
    return {child.tag: _plain(child) for child in node.children} if node.children else node.text


def _whole(text: str) -> int | None:
    return int(text) if text.strip().isascii() and text.strip().isdigit() else None
