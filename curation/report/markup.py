"""Text as HTML that can never be anything but text."""

from __future__ import annotations

import html
from collections.abc import Iterable

from curation.explain import MAX_SHOWN, Label, visible

# Isolates: what stands between them cannot reorder what stands around them. For places where <bdi> is not allowed.
_ISOLATE, _END = "\u2068", "\u2069"


def text(value: object, limit: int = MAX_SHOWN, mark_blanks: bool = False) -> str:
    """`value` escaped, for element content and for quoted attributes."""
    return html.escape(visible(str(value), limit, mark_blanks), quote=True)


def bdi(value: object, kind: str = "label") -> str:
    """A label, name or path from outside, isolated from the text around it; "(none)" where it is empty."""
    return (
        f'<bdi class="{kind}">{text(value, mark_blanks=True)}</bdi>'
        if str(value)
        else '<span class="muted">(none)</span>'
    )


def plain(value: object, limit: int = 60) -> str:
    """As `bdi`, for attributes and SVG text, which cannot hold elements."""
    return f"{_ISOLATE}{text(value, limit, mark_blanks=True)}{_END}"


def sentence(parts: Iterable[str]) -> str:
    """What `explain_parts` returns, as HTML."""
    return "".join(bdi(part) if isinstance(part, Label) else text(part, 500) for part in parts)


def table(head: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "") -> str:
    """An HTML table; all cells are HTML already."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    class_name = f' class="{kind}"' if kind else ""
    return (
        f'<div class="scroll"><table{class_name}><thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'
    )


def number(value: object) -> str:
    """A count with thousands separated, a dash for None."""
    return "–" if value is None else f"{value:,}"
