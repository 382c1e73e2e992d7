"""An XML file as a small tree whose elements know their line; no entities, no DTD, nothing from outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from curation.errors import LabelParseError

MAX_DEPTH = 100  # of elements inside each other; annotation files have less than ten


@dataclass(slots=True)
class Node:
    """One element. `text` is what stands in it outside of its children, exactly; `line` is counted from 1."""

    tag: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Node]:
        """The children of that name."""
        return (child for child in self.children if child.tag == tag)

    def find(self, tag: str) -> Node | None:
        """The first child of that name."""
        return next(self.all(tag), None)

    def value(self, tag: str, default: str = "") -> str:
        """The text of the first child of that name."""
        child = self.find(tag)
        return default if child is None else child.text


def read_xml(data: bytes, where: str) -> Node:
    """The root element of an XML document.

    where : the file, for messages

    Raises
    ------
    LabelParseError : it is broken, nested without sense, or has a document type or entities; names file and line.
    """

    import defusedxml.sax
    from defusedxml import DefusedXmlException

    tree = _Tree(where)
    try:
        defusedxml.sax.parseString(data, tree, tree, forbid_dtd=True)
    except DefusedXmlException as error:
        raise LabelParseError(
            f"{where}, line {tree.line()}: it has a document type or entities, which are not read; take the "
            f"<!DOCTYPE ...> part away."
        ) from error
    except (ValueError, LookupError) as error:  # encodings that the parser does not know
        raise LabelParseError(f"{where}, line {tree.line()}: broken XML ({str(error)[:120]}).") from error
    assert tree.root is not None  # the parser says "no element found"
    return tree.root


class _Tree:
    """Content and error handler of a SAX parser; by its methods only, so that nothing of `xml` itself is imported."""

    def __init__(self, where: str) -> None:
        self.root: Node | None = None
        self._where = where
        self._open: list[Node] = []
        self._text: list[list[str]] = []
        self._locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:
        self._locator = locator

    def line(self) -> int:
        return int(self._locator.getLineNumber() or 1) if self._locator is not None else 1

    def startElement(self, name: str, attrs: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise LabelParseError(f"{self._where}, line {self.line()}: more than {MAX_DEPTH} elements in each other.")
        node = Node(name, self.line(), dict(attrs.items()))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)
        self._text.append([])

    def characters(self, content: str) -> None:
        self._text[-1].append(content)

    def endElement(self, name: str) -> None:
        self._open.pop().text = "".join(self._text.pop())

    def fatalError(self, error: Any) -> None:
        raise LabelParseError(f"{self._where}, line {error.getLineNumber()}: broken XML ({error.getMessage()}).")

    def _ignore(self, *_: Any) -> None:
        pass

    startDocument = endDocument = startPrefixMapping = endPrefixMapping = _ignore
    ignorableWhitespace = processingInstruction = skippedEntity = error = warning = _ignore
