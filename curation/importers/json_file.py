"""JSON files that others wrote: read whole, bounded, and with the place of whatever is wrong."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
from collections.abc import Callable
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from curation.errors import LabelParseError, SourceError
from curation.importers.assemble import shown

MAX_BYTES = 4 * 2**30
MAX_DEPTH = 100  # of what is kept as an attribute; a polygon has 3, a mask 2

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class _Refused(ValueError):
    """JSON as the grammar has it, but nothing that we take; the text says what."""


def read_json(path: Path, name: str = "", shrink: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """What a JSON file holds; objects as dicts in their order, integers exact.

    NaN, Infinity and numbers beyond float64 come as floats that are not finite, since Python's own writer makes such
    files: who uses a number has to look at it.

    Parameters
    ----------
    name : how the file is called in messages; "" = its name
    shrink : what to keep of each object, innermost first, while the rest is still being read; None: all of it

    Raises
    ------
    LabelParseError : it is no JSON, not UTF-8, nested too deeply, an object has a key twice, or an integer has
        thousands of digits; names line and column.
    SourceError : it cannot be opened, or is larger than MAX_BYTES.
    """
    name = shown(name or path.name, limit=300)
    text = _decoded(read_bytes(path, name), name)
    try:
        keep = _object if shrink is None else lambda pairs: shrink(_object(pairs))
        return json.loads(text, object_pairs_hook=keep)
    except json.JSONDecodeError as error:
        raise LabelParseError(
            f"{name} line {error.lineno} column {error.colno}: this is not JSON ({_plain(error.msg)})."
        ) from error
    except RecursionError as error:
        raise LabelParseError(f"{name} is nested too deeply to be read.") from error
    except ValueError as error:
        raise _with_place(text, name) from error


def place_of(text: str, at: int) -> str:
    """`line 3 column 7` of a position in a text, both counted from 1."""
    return f"line {text.count(chr(10), 0, at) + 1} column {at - text.rfind(chr(10), 0, at)}"


def read_bytes(path: Path, name: str) -> bytes:
    """All of a file.

    Raises
    ------
    SourceError : it cannot be opened, or is larger than MAX_BYTES.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                raise SourceError(f"{name} has {size:,} bytes; more than {MAX_BYTES:,} are not read.")
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror or error}.") from error


def _decoded(data: bytes, name: str) -> str:
    mark, encoding = next((known for known in _BOMS if data.startswith(known[0])), (b"", "utf-8"))
    data = data[len(mark) :]
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise LabelParseError(
            f"{name} line {line} column {column}: the byte 0x{data[error.start]:02x} is not {encoding.upper()}. "
            f"Save the file as UTF-8."
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for at, key in enumerate(names) if key in names[:at])
        raise _Refused(f"the key {shown(twice)} stands twice in one object, and only one of them can be meant")
    return found


def _with_place(text: str, name: str) -> LabelParseError:
    """The error of `text`, found again by the slow reader, which knows where it is."""
    decoder: Any = json.JSONDecoder(object_pairs_hook=_object)
    inner: Callable[..., Any] = decoder.parse_object
    found: list[tuple[int, str]] = []

    def parse_object(start: tuple[str, int], *more: Any) -> Any:
        try:
            return inner(start, *more)
        except _Refused as error:
            if not found:
                found.append((start[1] - 1, str(error)))
            raise
        except json.JSONDecodeError:
            raise
        except ValueError:
            if not found:
                found.append((start[1] - 1, "a number in here has thousands of digits"))
            raise

    decoder.parse_object = parse_object
    decoder.scan_once = py_make_scanner(decoder)
    with contextlib.suppress(ValueError, RecursionError):
        decoder.decode(text)
    if not found:
        return LabelParseError(f"{name} cannot be read: a number in it has thousands of digits.")
    at, why = found[0]
    return LabelParseError(f"{name}, the object at {place_of(text, at)}: {why}.")


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:]


# --- and out again ---------------------------------------------------------------------------------------------------


def to_json(value: Any, name: str = "") -> str:
    """JSON text of an attribute object, "" for an empty one or None; a number that is not finite becomes null.

    Raises
    ------
    LabelParseError : nested deeper than MAX_DEPTH; `name` is what it belongs to.
    """
    if not value:
        return ""
    try:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=_SEPARATORS)
        except ValueError:
            text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=_SEPARATORS)
    except RecursionError as error:
        raise _too_deep(name) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _too_deep(name)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and UTF-8 cannot
            text = json.dumps(json.loads(text), separators=_SEPARATORS)
    return text


_SEPARATORS = (", ", ": ")


def _too_deep(name: str) -> LabelParseError:
    return LabelParseError(f"{name or 'An attribute'} is nested deeper than {MAX_DEPTH} levels.")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inside
            for one in level
            if isinstance(one, dict | list)
            for inside in (one.values() if isinstance(one, dict) else one)
            if isinstance(inside, dict | list)
        ]
    return depth
