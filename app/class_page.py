"""The conversation with the page of one class at a time: its tiles, and what a key said of some of them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import data, exchange, state
from app.data import Project
from curation.errors import CurationError
from curation.explain import visible
from curation.review.desk import lay_tile_of_class, tile_id
from curation.review.messages import Message
from curation.review.tiles import GIVEN, MISSING, Tile
from curation.store import Filters, Item, claim, release
from curation.store.schema import class_mark

TILES = 24  # of a page, where the browser does not say how many there is room for
LOOKED_AT = 400  # places that are tried for a page, when others hold the first ones
MOST_CLASSES = 1_000

_classes = st.components.v2.component(
    "curate_classes",
    html='<div class="mount"></div>',
    css=exchange.source("style.css"),
    js=exchange.source("link.js", "search.js", "overlays.js", "page.js", "classes.js"),
)


def show(project: Project, empty: tuple[str, str], user: str) -> None:
    """The component, answering what it says; `empty` and `user` as of exchange.desk."""
    _show(project, exchange.enter(project, "classes"), empty, user)


@st.fragment
def _show(project: Project, scope: str, empty: tuple[str, str], user: str) -> None:
    tab = state.tab()
    message, tab.message = tab.message, None
    answer = exchange.frame(project, scope, empty, user, message) | _answer(project, user, message)
    _classes(key="classes", data=answer, on_message_change=lambda: exchange.listen(project, user, "classes"))


def _answer(project: Project, user: str, message: Message | None) -> dict[str, Any]:
    """The classes, and the tiles of one of them, whose pictures this tab holds."""
    tab = state.tab()
    if not tab.tab_id or not (user or tab.reviewer):
        return {"error": tab.error}
    shared = exchange.answered(tab)
    try:
        release(project.engine, project.dataset, tab.tab_id)
        told = data.told(project)
        answered = told.answered()
        groups = _groups(told.classes.classes(), told.classes.counts(answered))
        wanted = message.group if message else ""
        group = next((one for one in groups if one["key"] == wanted), groups[0] if groups else None)
        tiles: list[Tile] = []
        if group is not None:
            places = told.classes.places(str(group["kind"]), str(group["label"]), answered)
            tiles = told.classes.tiles(_held(project, tab, *_page(places, message)))
        for tile in tiles:
            tab.show_tile(tile)
        have = message.have if message else frozenset()
        new = [tile for tile in tiles if tile_id(tile) not in have]
        shared |= data.counts(project) | exchange.undoing(project, tab)
        shared["cells"] = [lay_tile_of_class(tile, project.album) for tile in new]
    except CurationError as error:
        return shared | {"error": shared["error"] or str(error)}
    return shared | {
        "drawable": str(project.run.info.get("task")) == "detection",
        "classes": groups,
        "group": group["key"] if group else "",
        "page": [tile_id(tile) for tile in tiles],
    }


def _groups(classes: list[str], counts: dict[tuple[str, str], tuple[int, int]]) -> list[dict[str, Any]]:
    """Each class with how many of it wait, and what is thought to be missing of it; none that is done."""
    found = []
    for label in classes:
        for kind in (GIVEN, MISSING):
            flagged, total = counts.get((kind, label), (0, 0))
            if total:
                key = kind[0] + class_mark(label).strip()
                found.append({"key": key, "kind": kind, "label": label, "shown": visible(label, 60),
                              "flagged": flagged, "total": total})  # fmt: skip
    return found[:MOST_CLASSES]


def _page(places: pd.DataFrame, message: Message | None) -> tuple[pd.DataFrame, int]:
    """What is left of the page that the tab shows, or, if that is nothing, the places of the next one; and how many
    there is room for."""
    if message is None or not message.page:
        return places.head(LOOKED_AT), message.want if message else TILES
    keys = places["annotation_id"].where(places["annotation_id"] != "", "?" + places["place"].astype("str"))
    left = places[(places["sample_id"] + " " + keys).isin(message.page).to_numpy()]
    return (left, len(left)) if len(left) else (places.head(LOOKED_AT), message.want)


def _held(project: Project, tab: state.Tab, places: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first `count` places in pictures that nobody else holds; these are held by this tab then.

    Left out is what a second reviewer is to judge without knowing what was found.
    """
    held: set[str] = set()
    taken = places.head(0)
    for start in range(0, len(places), count):
        part = places.iloc[start : start + count]
        ids = tuple(name for name in part["sample_id"].drop_duplicates() if name not in held)
        if ids:
            held |= {item.item_id for item in _claim(project, tab, ids) if item.show_suggestion and not item.blind}
        taken = pd.concat([taken, part[part["sample_id"].isin(held)]])
        if len(taken) >= count:
            break
    return taken.head(count)


def _claim(project: Project, tab: state.Tab, ids: tuple[str, ...]) -> list[Item]:
    """Of some pictures those that are free: those that wait, and those of which all that was flagged has an answer."""

    def get(filters: Filters) -> list[Item]:
        arguments = (project.engine, project.dataset, tab.reviewer, tab.tab_id, filters)
        return claim(*arguments, len(ids), exchange.LEASE_SECONDS)

    found = get(Filters(item_ids=ids))
    known = {item.item_id for item in found}
    rest = tuple(name for name in ids if name not in known)
    return found + (get(Filters(item_ids=rest, state="done")) if rest else [])
