"""What one browser tab has at the moment: the only file that touches st.session_state."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from curation.review.cards import Card
from curation.review.desk import Outcome
from curation.review.messages import Message
from curation.review.tiles import Tile

KEPT_CARDS = 400
KEPT_TILES = 4_000
KEPT_ANSWERS = 100


@dataclass
class Tab:
    """One tab: who sits there, what it was shown, and what it is to be answered.

    tab_id : made by the browser, so that it survives a reload; "" until the browser has spoken
    cards : what the tab was shown, by item; a decision is about what was seen; tiles : likewise of pages of one class,
        by sample_id and key
    settled, refused : answers to actions, sent again for a while because an answer can get lost
    message : the one being answered, None in a run that none caused
    scope : the filters that the held items were claimed under
    link : item that the address asks for, until it was shown; link_seen : what the address asked for last
    aside : items that were excepted from decisions on the grid; fresh : nothing was handed out under this scope yet
    """

    tab_id: str = ""
    reviewer: str = ""
    scope: str = ""
    cards: OrderedDict[str, Card] = field(default_factory=OrderedDict)
    settled: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_ANSWERS))
    refused: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=KEPT_ANSWERS))
    outcome: Outcome = field(default_factory=Outcome)
    message: Message | None = None
    error: str = ""
    link: str = ""
    link_seen: str = ""
    aside: frozenset[str] = frozenset()
    fresh: bool = False
    tiles: OrderedDict[tuple[str, str], Tile] = field(default_factory=OrderedDict)

    def show(self, card: Card) -> None:
        """Remember a card that the tab is about to be shown."""
        self.cards[card.item_id] = card
        self.cards.move_to_end(card.item_id)
        while len(self.cards) > KEPT_CARDS:
            self.cards.popitem(last=False)

    def show_tile(self, tile: Tile) -> None:
        """Remember a tile that the tab is about to be shown."""
        self.tiles[tile.sample_id, tile.key] = tile
        self.tiles.move_to_end((tile.sample_id, tile.key))
        while len(self.tiles) > KEPT_TILES:
            self.tiles.popitem(last=False)


def tab() -> Tab:
    """The tab that this script run is for."""
    if "tab" not in st.session_state:
        st.session_state["tab"] = Tab()
    found: Tab = st.session_state["tab"]
    return found


def said(key: str) -> Any:
    """The message of the component `key` whose callback is running, None if there is none."""
    found = st.session_state.get(key)
    return found.get("message") if found is not None else None


def get(name: str, default: Any = None) -> Any:
    """A value that outlives a change of page."""
    return st.session_state.get(f"kept:{name}", default)


def put(name: str, value: Any) -> None:
    """Keep a value across pages."""
    st.session_state[f"kept:{name}"] = value


def prefill(key: str, text: str) -> None:
    """What stands in the text field `key` that is about to be drawn, if nobody has written there."""
    if not st.session_state.get(key):
        st.session_state[key] = text
