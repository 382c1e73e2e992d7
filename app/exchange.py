"""The conversation with the component of a tab: take its message, record it, hand out what comes next."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from app import data, state
from app.data import Project
from curation.decisions import LONGEST_NAME, Action, check_action
from curation.errors import CurationError, SettingsError
from curation.explain import visible
from curation.review.actions import Context
from curation.review.cards import Card
from curation.review.conflict_items import ISSUE, conflicts, explained
from curation.review.desk import (
    Message,
    Outcome,
    lay_group,
    lay_out,
    lay_tile,
    lay_words,
    read_message,
    record_all,
)
from curation.review.earlier import explain_earlier
from curation.review.groups import Group
from curation.store import Filters, Item, claim, read_item, record, release, undo
from curation.store.earlier import decided_suspects, said_of

COMPONENTS = Path(__file__).parent / "components"
TILES = 48  # of a grid at once
TRIED = 10  # groups, when others hold the first ones
LEASE_SECONDS = 300  # a tab that is looked at renews its leases every 100
SHOWN_OPINIONS = 5  # on one item, the latest
AHEAD = 6  # cards of the first answer: one to look at, the others loaded ahead


def _source(*names: str) -> str:
    return "\n".join((COMPONENTS / name).read_text(encoding="utf-8") for name in names)


_card = st.components.v2.component(
    "curate_card",
    html='<div class="mount"></div>',
    css=_source("style.css"),
    js=_source("link.js", "search.js", "overlays.js", "page.js", "card.js"),
)
_grid = st.components.v2.component(
    "curate_grid",
    html='<div class="mount"></div>',
    css=_source("style.css"),
    js=_source("link.js", "search.js", "overlays.js", "page.js", "grid.js"),
)
_name = st.components.v2.component("curate_name", html="", js=_source("link.js", "name.js"))


def known_name(user: str) -> None:
    """Let a page without a desk know the name that this browser keeps, and keep the one that was typed there.

    user : who is signed in, "" where nobody has to; then nothing has to be known
    """
    tab = state.tab()
    if not user:
        _name(key="name", data={"chosen": tab.reviewer}, on_message_change=_hear_name)


def _hear_name() -> None:
    said = state.said("name")
    name = said.get("reviewer") if isinstance(said, dict) else None
    if isinstance(name, str) and not state.tab().reviewer:
        state.tab().reviewer = name.strip()[:LONGEST_NAME]


def desk(project: Project, filters: Filters, empty: tuple[str, str], user: str, link: str = "") -> None:
    """The component, answering what it says by running this part of the page only.

    filters : what is handed out
    empty : title and text for when nothing is left
    user : who is signed in, "" where nobody has to; a name that was typed never overrides it
    link : item that the address asks for
    """
    tab = state.tab()
    if link != tab.link_seen:
        tab.link = tab.link_seen = link
    _desk(project, filters, _enter(project, repr(filters)), empty, user)


def grid(project: Project, filters: Filters, by: str, empty: tuple[str, str], user: str) -> None:
    """The grid; `by` is "confusion" or "alike"."""
    _tiles(project, filters, by, _enter(project, f"grid {by} {filters!r}"), empty, user)


def _enter(project: Project, purpose: str) -> str:
    """Name what the tab is about to hold items for; what it held for another purpose is given back."""
    scope = hashlib.blake2b(purpose.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    tab = state.tab()
    if tab.scope != scope:
        leave(project)
        tab.scope = scope
    return scope


@st.fragment
def _desk(project: Project, filters: Filters, scope: str, empty: tuple[str, str], user: str) -> None:
    tab = state.tab()
    message, tab.message = tab.message, None
    answer = _frame(project, scope, empty, user, message) | _answer(project, filters, user, message)
    _card(key="desk", data=answer, on_message_change=lambda: _listen(project, user, "desk"))


@st.fragment
def _tiles(project: Project, filters: Filters, by: str, scope: str, empty: tuple[str, str], user: str) -> None:
    tab = state.tab()
    message, tab.message = tab.message, None
    answer = _frame(project, scope, empty, user, message) | _answer_grid(project, filters, by, user, message)
    _grid(key="grid", data=answer, on_message_change=lambda: _listen(project, user, "grid"))


def _frame(project: Project, scope: str, empty: tuple[str, str], user: str, message: Message | None) -> dict[str, Any]:
    """What every answer has; what does not change comes along when the whole page is drawn."""
    frame: dict[str, Any] = {
        "room": project.room,
        "scope": scope,
        "reviewer": user,
        "verified": bool(user),
        "empty": list(empty),
        "need_hello": message is None,
    }
    if message is None:
        frame["labels"] = [[label, visible(label)] for label in sorted(project.known_labels, key=str.casefold)]
    return frame


def _listen(project: Project, user: str, key: str) -> None:
    """Take what the component said; runs before the fragment is drawn again."""
    tab = state.tab()
    try:
        message = read_message(state.said(key))
        tab.error = ""
    except SettingsError as error:
        tab.message, tab.error = None, str(error)
        return
    message = replace(message, reviewer=user or message.reviewer)
    tab.tab_id, tab.reviewer, tab.message = message.tab, message.reviewer, message
    if message.pressed:
        tab.outcome = _record(project, message, user)
        tab.settled.extend(tab.outcome.settled)
        tab.refused.extend(tab.outcome.refused)
        project.new_labels.update(tab.outcome.new_labels)
        data.learn_soon(project, len(tab.outcome.settled))
    else:
        tab.outcome = Outcome()
    if message.release:
        _tolerant(release, project.engine, project.dataset, tab.tab_id, message.release)


def _record(project: Project, message: Message, user: str) -> Outcome:
    def card_of(item_id: str) -> Card:
        seen = state.tab().cards.get(item_id)  # a decision is about what was seen, also after a publish
        if seen is None:
            item = read_item(project.engine, project.dataset, item_id)
            (seen,) = _cards(project, [item])
        return seen

    def keep(action: Action, known: Any) -> None:
        record(project.engine, check_action(action, known))

    def take_back(target: str, undo_id: str) -> Any:
        return undo(project.engine, project.dataset, message.reviewer, target, undo_id=undo_id, session=message.tab)

    context = Context(project.dataset, message.reviewer, message.tab, project.run.run_id, project.version)
    return record_all(message.pressed, context, project.known_labels, card_of, keep, take_back)


def _answer(project: Project, filters: Filters, user: str, message: Message | None) -> dict[str, Any]:
    """What the tab is handed: answers to its actions, the items that it holds now, and the cards that it lacks."""
    tab = state.tab()
    if not tab.tab_id or not (user or tab.reviewer):
        return {"error": tab.error}
    outcome, shared = tab.outcome, _answered(tab)
    try:
        linked, notice = _follow(project, tab)
        held = _claim(project, filters, tab, message, [*linked, *outcome.returned])
        shared["notice"] = shared["notice"] or notice
        have = message.have if message else frozenset()
        new = [item for item in held if item.item_id not in have]
        cards = _cards(project, new)
        for card in cards:
            tab.show(card)
        laid = [lay_out(card, item, project.album) for card, item in zip(cards, new, strict=True)]
        shared |= _counts(project) | {"earlier": _earlier(project, held, tab.reviewer)}
        data.warm_soon(project, filters, tab.reviewer, {item.item_id for item in held})
    except CurationError as error:
        return shared | {"error": shared["error"] or str(error)}
    return shared | {"queue": [item.item_id for item in held], "cards": laid, "front": [*linked, *outcome.returned]}


def _cards(project: Project, items: list[Item]) -> list[Card]:
    """The cards of items; those of conflicts say what the sides say, and their labels can be chosen."""
    found = project.cards(items)
    if not any(item.issue == ISSUE for item in items):
        return found
    about = conflicts(project.folder, project.version)
    project.new_labels.update(side.wanted for item in items for side in about.get(item.item_id, ()) if side.wanted)
    return explained(found, about)


def _earlier(project: Project, held: list[Item], reviewer: str) -> dict[str, list[Any]]:
    """What was said of held items before, in words; not of those that are to be judged without knowing."""
    known = said_of(project.engine, project.dataset, [item.item_id for item in held if not item.blind])
    return {
        item_id: [lay_words(explain_earlier(one, reviewer)) for one in said[-SHOWN_OPINIONS:]]
        for item_id, said in known.items()
    }


def _counts(project: Project) -> dict[str, int]:
    """How many items are decided, how many were flagged, and how many of those are decided."""
    found = data.counts(project)
    return {**found, "suspects": min(decided_suspects(project.engine, project.dataset), found["done"], found["total"])}


def _answered(tab: state.Tab) -> dict[str, Any]:
    """Answers to the actions that the tab has sent."""
    return {
        "acks": list(tab.settled),
        "rejected": [list(pair) for pair in tab.refused],
        "notice": tab.outcome.notice,
        "error": tab.error or tab.outcome.error,
    }


def _answer_grid(project: Project, filters: Filters, by: str, user: str, message: Message | None) -> dict[str, Any]:
    """The groups that there are, and the items of one of them, held for this tab."""
    tab = state.tab()
    if not tab.tab_id or not (user or tab.reviewer):
        return {"error": tab.error}
    shared = _answered(tab)
    aside = message.aside if message else frozenset()
    wanted = message.group if message else ""
    try:
        release(project.engine, project.dataset, tab.tab_id)
        groups = data.groups(project, filters, by, tab.reviewer, aside)
        back = set(tab.outcome.returned)
        chosen = [g for g in groups if g.key == wanted or (wanted == "back" and back & set(g.item_ids))]
        group, held = _first_free(project, tab, [*chosen, *(g for g in groups if g not in chosen)])
        if chosen and group != chosen[0]:
            shared["notice"] = shared["notice"] or "Somebody else, or another tab, has all of that group open."
        cards = _cards(project, held)
        for card in cards:
            tab.show(card)
        shared |= _counts(project)
    except CurationError as error:
        return shared | {"error": shared["error"] or str(error)}
    return shared | {
        "groups": [lay_group(group) for group in groups],
        "group": group.key if group else "",
        "cells": [lay_tile(card, project.album) for card in cards],
    }


def _first_free(project: Project, tab: state.Tab, groups: list[Group]) -> tuple[Group | None, list[Item]]:
    """The first group of which something is free, and its items that this tab holds now."""
    for group in groups[:TRIED]:
        wanted = Filters(item_ids=group.item_ids[:TILES])
        held = claim(
            project.engine, project.dataset, tab.reviewer, tab.tab_id, wanted, len(wanted.item_ids), LEASE_SECONDS
        )
        if held:
            return group, held
    return None, []


def _claim(project: Project, filters: Filters, tab: state.Tab, message: Message | None, first: list[str]) -> list[Item]:
    """Items for the tab: those that are asked for by name first, then as many as it wants."""
    want = message.want if message else AHEAD

    def get(wanted: Filters, count: int) -> list[Item]:
        return claim(project.engine, project.dataset, tab.reviewer, tab.tab_id, wanted, count, LEASE_SECONDS)

    held = [item for item_id in dict.fromkeys(first) for item in get(Filters(item_id=item_id), 1)]
    known = {item.item_id for item in held}
    return [*held, *(item for item in get(filters, want) if item.item_id not in known)]


def _follow(project: Project, tab: state.Tab) -> tuple[list[str], str]:
    """The item that the address asks for, if this tab can have it; what to say about it. Once per link."""
    link, tab.link = tab.link, ""
    if not link:
        return [], ""
    try:
        item = read_item(project.engine, project.dataset, link, tab.reviewer)
    except CurationError:
        return [], f"The link leads to no item of this data set: {visible(link, 60)}"
    if not claim(project.engine, project.dataset, tab.reviewer, tab.tab_id, Filters(item_id=link), 1, LEASE_SECONDS):
        return (
            [],
            "The item that the link leads to is open in another tab, or with somebody else. Here is the next one.",
        )
    if item.state == "done":
        return [link], "This item is decided. A decision here is another opinion; your own earlier one is replaced."
    return [link], ""


def leave(project: Project) -> None:
    """Give back what the tab holds: it shows another page now."""
    tab = state.tab()
    if tab.tab_id and tab.scope:
        _tolerant(release, project.engine, project.dataset, tab.tab_id)
    tab.scope = ""


def _tolerant(function: Any, *arguments: Any) -> None:
    """Leases end by themselves: that one could not be given back harms nobody."""
    try:
        function(*arguments)
    except CurationError:
        return
