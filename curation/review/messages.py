"""What the browser of a tab says, checked: anybody can write to the app's port."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.decisions import LONGEST_NAME
from curation.errors import SettingsError
from curation.review.sheet import read_edits

MOST_ACTIONS, MOST_ITEMS, MOST_LABELS = 1000, 2000, 50
MOST_WANTED = 60
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Pressed:
    """One key press as the browser tells it; `undo` says that it takes back `target` ("" = the reviewer's last).

    tiles : of a page of one class, sample_id and key of each that it is about; then there are no `items`
    """

    action_id: str
    undo: bool = False
    target: str = ""
    items: tuple[str, ...] = ()
    name: str = ""
    labels: tuple[str, ...] = ()
    sample_id: str = ""
    seconds: float = 0.0
    shown: bool = True
    comment: str = ""
    new_label: bool = False
    tiles: tuple[tuple[str, str], ...] = ()
    edits: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Message:
    """What a tab says at once: its id, who sits there, all actions it has no answer to, and what it needs.

    have : items whose cards it has; want : how many items it would like to hold; release : those that it gives back
    group : key of the group that a grid shows, "" = the first, "back" = that of what was just taken back
    page : tiles of that group that a page of one class shows, () = the first ones
    aside : exceptions of a grid's decisions, left to the review page; None where it is not a grid that speaks
    """

    tab: str
    reviewer: str
    pressed: tuple[Pressed, ...] = ()
    have: frozenset[str] = frozenset()
    want: int = 1
    release: tuple[str, ...] = ()
    group: str = ""
    page: tuple[str, ...] = ()
    aside: frozenset[str] | None = None


def read_message(value: Any) -> Message:
    """The message that a browser sent, checked.

    Raises
    ------
    SettingsError : it is not one of ours.
    """
    if not isinstance(value, dict) or not _ID.fullmatch(str(value.get("tab", ""))):
        raise SettingsError("The browser sent what is no message of the review page; reload the page.")
    want = value.get("want")
    return Message(
        tab=str(value["tab"]),
        reviewer=_text(value.get("reviewer"), 200).strip(),
        pressed=tuple(_read_pressed(action) for action in _list(value.get("actions"), MOST_ACTIONS)),
        have=frozenset(_texts(value.get("have"), MOST_ITEMS)),
        want=min(max(want, 1), MOST_WANTED) if isinstance(want, int) else 1,
        release=tuple(_texts(value.get("release"), MOST_ITEMS)),
        group=_text(value.get("group"), 40),
        page=tuple(_texts(value.get("page"), MOST_ITEMS)),
        aside=frozenset(_texts(value["aside"], MOST_ITEMS)) if "aside" in value else None,
    )


def _read_pressed(value: Any) -> Pressed:
    if not isinstance(value, dict) or not _ID.fullmatch(str(value.get("action_id", ""))):
        raise SettingsError("The browser sent an action without an id; reload the page.")
    return Pressed(
        action_id=str(value["action_id"]),
        undo=value.get("kind") == "undo",
        target=_text(value.get("target"), 100),
        items=tuple(_texts(value.get("items"), MOST_ITEMS)),
        name=_text(value.get("name"), 50),
        labels=tuple(_texts(value.get("labels"), MOST_LABELS)),
        sample_id=_text(value.get("sample_id"), 100),
        seconds=_seconds(value.get("seconds")),
        shown=value.get("shown") is not False,
        comment=_text(value.get("comment"), 10_000),
        new_label=value.get("new_label") is True,
        edits=read_edits(value.get("edits")),
        tiles=tuple(
            (pair[0], pair[1]) for one in _list(value.get("tiles"), MOST_ITEMS) if len(pair := _texts(one, 2)) == 2
        ),
    )


def _seconds(value: Any) -> float:
    """0 to a day; what is no number took no time."""
    return float(min(max(value, 0), 86_400)) if isinstance(value, int | float) and value == value else 0.0


def _text(value: Any, longest: int) -> str:
    return value[:longest] if isinstance(value, str) else ""


def _list(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _texts(value: Any, most: int) -> list[str]:
    return [text for text in _list(value, most) if isinstance(text, str)]


def identity_of(claims: Mapping[str, Any]) -> str:
    """Who a signed-in user is, from what the provider says: the e-mail address, else name and a part of the id.

    Names alone are not used: two accounts can have the same. "" where the provider says nothing that identifies.
    """
    email, name, subject = (str(claims.get(key) or "").strip() for key in ("email", "name", "sub"))
    if email and claims.get("email_verified") is not False:
        return email[:LONGEST_NAME]
    mark = hashlib.blake2b(f"{claims.get('iss', '')}\0{subject}".encode("utf-8", "surrogatepass"), digest_size=4)
    return f"{name[:60] or 'user'} ({mark.hexdigest()})" if subject else ""
