"""The conversation with the component of a tab: take its message, record it, hand out what comes next."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from app import data, state
from app.data import Project
from curation.decisions import LONGEST_NAME, Action, check_action
from curation.errors import CurationError, NotFoundError, SettingsError
from curation.explain import visible
from curation.review.actions import Context
from curation.review.cards import Card
from curation.review.desk import Outcome, lay_group, lay_out, lay_tile, record_all
from curation.review.earlier import explain_earlier, explain_undone
from curation.review.groups import Group, together
from curation.review.messages import Message, Pressed, read_message
from curation.review.sheet import lay_words
from curation.store import Filters, Item, claim, find_items, read_item, record, release, undo
from curation.store.earlier import can_undo, said_in, said_of
from curation.wording import counted

COMPONENTS = Path(__file__).parent / "components"
TILES = 48  # of a grid at once
TRIED = 10  # groups, when others hold the first ones
LEASE_SECONDS = 300  # a tab that is looked at renews its leases every 100
SHOWN_OPINIONS = 5  # on one item, the latest
AHEAD = 6  # cards of the first answer: one to look at, the others loaded ahead


def source(*names: str) -> str:
    return "\n".join((COMPONENTS / name).read_text(encoding="utf-8") for name in names)


_card = st.components.v2.component(
    "curate_card",
    html='<div class="mount"></div>',
    css=source("style.css", "counted.css"),
    js=source("link.js", "search.js", "overlays.js", "page.js", "annotate.js", "counted.js", "card.js"),
)
_grid = st.components.v2.component(
    "curate_grid",
    html='<div class="mount"></div>',
    css=source("style.css"),
    js=source("link.js", "search.js", "overlays.js", "page.js", "grid.js"),
)
_name = st.components.v2.component("curate_name", html="", js=source("link.js", "name.js"))


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
    _desk(project, filters, enter(project, repr(filters)), empty, user)


def grid(project: Project, filters: Filters, by: str, empty: tuple[str, str], user: str) -> None:
    """The grid; `by` is "confusion" or "alike"."""
    _tiles(project, filters, by, enter(project, f"grid {by} {filters!r}"), empty, user)


def enter(project: Project, purpose: str) -> str:
    """Name what the tab is about to hold items for; what it held for another purpose is given back."""
    scope = hashlib.blake2b(purpose.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    tab = state.tab()
    if tab.scope != scope:
        leave(project)
        tab.scope, tab.fresh = scope, True
    return scope


@st.fragment
def _desk(project: Project, filters: Filters, scope: str, empty: tuple[str, str], user: str) -> None:
    tab = state.tab()
    message, tab.message = tab.message, None
    answer = frame(project, scope, empty, user, message) | _answer(project, filters, user, message)
    _card(key="desk", data=answer, on_message_change=lambda: listen(project, user, "desk"))


@st.fragment
def _tiles(project: Project, filters: Filters, by: str, scope: str, empty: tuple[str, str], user: str) -> None:
    tab = state.tab()
    message, tab.message = tab.message, None
    answer = frame(project, scope, empty, user, message) | _answer_grid(project, filters, by, user, message)
    _grid(key="grid", data=answer, on_message_change=lambda: listen(project, user, "grid"))


def frame(project: Project, scope: str, empty: tuple[str, str], user: str, message: Message | None) -> dict[str, Any]:
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


def listen(project: Project, user: str, key: str) -> None:
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
    if message.aside is not None:
        tab.aside = message.aside
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
            (seen,) = project.cards([item])
        return seen

    def keep(action: Action, known: Any) -> None:
        record(project.engine, check_action(action, known))

    def take_back(target: str, undo_id: str) -> Any:
        return undo(project.engine, project.dataset, message.reviewer, target, undo_id=undo_id, session=message.tab)

    def of_tiles(press: Pressed) -> Action:
        return data.tile_action(project, press, context, state.tab().tiles)

    context = Context(project.dataset, message.reviewer, message.tab, project.run.run_id, project.version)
    return record_all(message.pressed, context, project.known_labels, card_of, keep, take_back, of_tiles)


def _answer(project: Project, filters: Filters, user: str, message: Message | None) -> dict[str, Any]:
    """What the tab is handed: answers to its actions, the items that it holds now, and the cards that it lacks."""
    tab = state.tab()
    if not tab.tab_id or not (user or tab.reviewer):
        return {"error": tab.error}
    outcome, shared = tab.outcome, answered(tab)
    try:
        followed = _follow(project, tab)
        if message is not None:  # the component is there, and gets this answer
            tab.link, tab.fresh = "", False
        first = [*followed.first, *outcome.returned]
        held = _claim(project, filters, tab, message, first)
        shared["notice"] = shared["notice"] or followed.notice
        shared |= undoing(project, tab) | ({"halt": list(followed.halt)} if followed.halt else {})
        have = message.have if message else frozenset()
        new = [item for item in held if item.item_id not in have]
        cards = data.as_said(project, project.cards(new), new, tab.reviewer)
        for card in cards:
            tab.show(card)
        laid = [lay_out(card, item, project.album) for card, item in zip(cards, new, strict=True)]
        shared |= data.counts(project) | {"earlier": _earlier(project, held, tab.reviewer)}
        data.warm_soon(project, filters, tab.reviewer, {item.item_id for item in held})
    except CurationError as error:
        return shared | {"error": shared["error"] or str(error)}
    return shared | {"queue": [item.item_id for item in held], "cards": laid, "front": first}


def _earlier(project: Project, held: list[Item], reviewer: str) -> dict[str, list[Any]]:
    """What was said of held items before, in words; not of those that are to be judged without knowing."""
    known = said_of(project.engine, project.dataset, [item.item_id for item in held if not item.blind])
    return {
        item_id: [lay_words(explain_earlier(one, reviewer)) for one in said[-SHOWN_OPINIONS:]]
        for item_id, said in known.items()
    }


def answered(tab: state.Tab) -> dict[str, Any]:
    """Answers to the actions that the tab has sent."""
    return {
        "acks": list(tab.settled),
        "rejected": [list(pair) for pair in tab.refused],
        "notice": tab.outcome.notice,
        "error": tab.error or tab.outcome.error,
    }


def undoing(project: Project, tab: state.Tab) -> dict[str, Any]:
    """Whether there is something to take back, and what was taken back just now."""
    said = said_in(project.engine, project.dataset, tab.outcome.undone[-1]) if tab.outcome.undone else None
    found: dict[str, Any] = {"can_undo": can_undo(project.engine, project.dataset, tab.reviewer)}
    return found | ({"notice": lay_words(explain_undone(said))} if said else {})


def _answer_grid(project: Project, filters: Filters, by: str, user: str, message: Message | None) -> dict[str, Any]:
    """The groups that there are, and the items of one of them, held for this tab."""
    tab = state.tab()
    if not tab.tab_id or not (user or tab.reviewer):
        return {"error": tab.error}
    shared = answered(tab)
    try:
        release(project.engine, project.dataset, tab.tab_id)
        aside = _still_open(project, tab)
        groups = data.groups(project, filters, by, tab.reviewer, frozenset(aside))
        chosen, groups = _chosen(project, tab, groups, message.group if message else "")
        group, held = _first_free(project, tab, [*chosen, *(g for g in groups if g not in chosen)])
        if chosen and group != chosen[0]:
            shared["notice"] = shared["notice"] or "Somebody else, or another tab, has all of that group open."
        cards = project.cards(held)
        for card in cards:
            tab.show(card)
        shared |= data.counts(project) | undoing(project, tab) | {"aside": list(aside)}
        if any(item_id.startswith("d") for item_id in tab.outcome.returned):
            shared["halt"] = ["Taken back.", "It is a case of copies, and open again on the Review page.", []]
    except CurationError as error:
        return shared | {"error": shared["error"] or str(error)}
    return shared | {
        "groups": [lay_group(group) for group in groups],
        "group": group.key if group else "",
        "cells": [lay_tile(card, project.album) for card in cards],
    }


def _chosen(project: Project, tab: state.Tab, groups: list[Group], wanted: str) -> tuple[list[Group], list[Group]]:
    """The group that is asked for, and all of them; what was taken back is one, also where it is but one picture."""
    returned = [item_id for item_id in tab.outcome.returned if not item_id.startswith("d")]
    back = set(returned) if wanted == "back" else set()
    chosen = [group for group in groups if group.key == wanted or back & set(group.item_ids)]
    if not back or chosen:
        return chosen, groups
    items = [read_item(project.engine, project.dataset, item_id, tab.reviewer) for item_id in returned]
    group = together(items[:TILES])
    return [group], [group, *groups]


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


@dataclass(frozen=True)
class Followed:
    """Where a link led: the items to be shown first, what to say beside them, or why there is nothing to show.

    halt : title, text, and what was said before; to be acknowledged before anything else is shown
    """

    first: tuple[str, ...] = ()
    notice: str = ""
    halt: tuple[str, str, list[Any]] | None = None


def _follow(project: Project, tab: state.Tab) -> Followed:
    """The item that the address asks for, if this tab can have it. Else what was set aside."""
    if not tab.link:
        return _set_aside(project, tab)
    try:
        item = project.find(tab.link, tab.reviewer)
    except NotFoundError:
        said = said_of(project.engine, project.dataset, [tab.link]).get(tab.link, [])
        told = [lay_words(explain_earlier(one, tab.reviewer)) for one in said[-SHOWN_OPINIONS:]]
        gone = "It is no part of the data set any more, or never was: " if not said else "It is not in the queue now: "
        return Followed(halt=("The link leads to no item that can be shown.", gone + visible(tab.link, 60), told))
    only = Filters(item_id=item.item_id)
    if not claim(project.engine, project.dataset, tab.reviewer, tab.tab_id, only, 1, LEASE_SECONDS):
        text = "It is open in another tab, or with somebody else. It is free again a few minutes after that is closed."
        return Followed(halt=("The link leads to an item that is taken.", text, []))
    if item.state != "done":
        return Followed((item.item_id,))
    return Followed(
        (item.item_id,), "This item is decided. A decision here is another opinion; your own earlier one is replaced."
    )


def _set_aside(project: Project, tab: state.Tab) -> Followed:
    """What was set aside on the grid and is still open comes first where items are shown one by one."""
    waiting = _still_open(project, tab) if tab.fresh and tab.aside else ()
    if not waiting:
        return Followed()
    return Followed(waiting, f"First comes what you set aside on Grid: {counted(len(waiting), 'picture')}.")


def _still_open(project: Project, tab: state.Tab) -> tuple[str, ...]:
    """Of what was set aside, what still waits for this reviewer."""
    if not tab.aside:
        return ()
    wanted = Filters(item_ids=tuple(sorted(tab.aside)))
    found = find_items(project.engine, project.dataset, wanted, len(wanted.item_ids), tab.reviewer)
    return tuple(item.item_id for item in found)


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
