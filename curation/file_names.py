"""File names as text that every table and file format can hold."""

from __future__ import annotations

import re


def path_to_text(path: str) -> str:
    """A file name as UTF-8-safe text: itself, but for bytes that are no UTF-8 (`os.fsdecode` makes them U+DC80..DCFF).

    Those become the six characters of their escape. A backslash that would read as one is itself escaped, so that
    `text_to_path` gives back every name exactly.
    """
    path = re.sub(r"\\(?=u(?:d[89a-f][0-9a-f]{2}|005c))", lambda _: r"\u005c", path)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", path)


def text_to_path(text: str) -> str:
    """The file name that `path_to_text` made `text` from."""
    return re.sub(r"\\u(d[89a-f][0-9a-f]{2}|005c)", lambda found: chr(int(found[1], 16)), text)
