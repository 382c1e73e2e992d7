"""Numbers in sentences, and sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """`1 picture`, `3,000 pictures`: a count and what is counted; `many` is `one` with an s where it is not given.

    Both may go on to the verb: counted(n, "picture is", "pictures are").
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def as_sentence(text: str) -> str:
    """`text` with a capital at its start and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
