"""A YAML file as plain text, lists and objects: every value is the text that stands there, nothing is constructed.

So `no` stays "no" and `01` stays "01" as labels, and a tag cannot make anything.
"""

from __future__ import annotations

from typing import Any

from curation.errors import LabelParseError
from curation.importers.assemble import shown

MAX_BYTES = 16 * 2**20
MAX_VALUES = 1_000_000  # after aliases are followed
MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"
_KINDS = {
    f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp", "value")
}


def read_yaml(data: bytes, where: str) -> Any:
    """What the one document of a file says: str, list and dict; null and nothing are "".

    Raises
    ------
    LabelParseError : broken, too deep, more than one document, aliases that unfold without end, tags of programs, or a
        key that is there twice; names file and line.
    """
    import yaml

    if len(data) > MAX_BYTES:
        raise LabelParseError(f"{where} has {len(data):,} bytes; no list of classes has that many.")
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
        return "" if root is None else _Values(where).of(root, 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise LabelParseError(f"{where}{line}: broken YAML ({problem[:120]}).") from error
    except RecursionError as error:
        raise LabelParseError(f"{where}: broken YAML (nested too deeply).") from error


class _Values:
    def __init__(self, where: str) -> None:
        self._where = where
        self._count = 0

    def of(self, node: Any, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise self._error(node, "aliases (*name) that unfold without end, or lists nested too deeply")
        if node.tag not in _KINDS:
            raise self._error(node, f"the tag {shown(node.tag)}, which is for a program; nothing is made of it")
        if node.id == "scalar":
            return "" if node.tag == f"{_TAG}null" else node.value
        if node.id == "sequence":
            return [self.of(child, depth + 1) for child in node.value]
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = self.of(key, depth + 1)
            if not isinstance(name, str):
                raise self._error(key, "a key that is no text")
            if name in found:
                raise self._error(key, f"the key {shown(name)} is there twice")
            found[name] = self.of(value, depth + 1)
        return found

    def _error(self, node: Any, what: str) -> LabelParseError:
        return LabelParseError(f"{self._where}, line {node.start_mark.line + 1}: {what}.")
