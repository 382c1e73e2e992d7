"""The frame of every page that is written: a policy that forbids scripts and requests, the style sheet, a foot."""

from __future__ import annotations

import base64
import hashlib

from curation.report.style import STYLE

MADE_BY = "Made by curate; nothing on it is fetched from elsewhere."


def document(title: str, body: str, foot: str) -> str:
    """A whole HTML document; all three are HTML already."""
    # The policy names the style sheet by its hash: a label that broke out of its escaping could not even set a colour.
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}"
        f'<footer><p class="note">{foot}</p></footer>\n</body>\n</html>\n'
    )
