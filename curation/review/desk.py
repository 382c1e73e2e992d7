"""A reviewer's desk: what the browser of one tab says, what is recorded of it, and what the tab is handed next.

message (from the browser) --messages.read_message--> Message --record_all--> Outcome
items (claimed)            --lay_out--> cards as JSON, pictures as data URLs
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curation.decisions import Action
from curation.edits import labels_of
from curation.errors import CurationError, SettingsError, WorkspaceError
from curation.explain import percent, title_of, visible
from curation.review.actions import Context, verdict_action
from curation.review.cards import Card, Member
from curation.review.cutouts import Frame, cutout_bytes, frame_in
from curation.review.differences import difference
from curation.review.groups import Group
from curation.review.messages import Pressed
from curation.review.pictures import picture_bytes
from curation.review.sheet import lay_sheet, lay_words
from curation.review.tiles import Tile

PICTURE_PX, MEMBER_PX, TILE_PX, THUMB_PX = 1000, 640, 256, 96
SHOWN_NEIGHBOURS = 5  # as many as the sentences count
COMPARED = 8  # copies at most whose differences are worked out
SHOWN_MEMBERS = 24  # side by side; a case of 10,000 copies is still one decision


# --- what is recorded ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What came of a message's actions.

    settled : ids of the actions that the store has; refused : (id, why) of those that it will never have
    returned : items that an undo opened again; undone : ids of the actions that were taken back
    error : why the rest could not be saved now, "" if all is well
    """

    settled: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    returned: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    new_labels: frozenset[str] = frozenset()
    notice: str = ""
    error: str = ""


def record_all(
    pressed: Sequence[Pressed],
    context: Context,
    known_labels: Collection[str],
    card_of: Callable[[str], Card],
    record: Callable[[Action, Collection[str] | None], Any],
    undo: Callable[[str, str], Any],
    of_tiles: Callable[[Pressed], Action] | None = None,
) -> Outcome:
    """Record actions in the order in which the keys were pressed.

    Parameters
    ----------
    context : dataset, reviewer, session, run and version of everything recorded
    card_of : the card as this tab was shown it; raises CurationError for an item that there is not
    record : (action, known labels or None) -> anything; raises SettingsError for one that can never be recorded
    undo : (action to take back or "", undo_id) -> something with `items` and `action_id`, or None if there is nothing
        to take back
    of_tiles : the action of a key press about tiles, see curation.review.parts

    An action that cannot be saved now (a locked database, a full disk) stops the ones after it: the order of a
    decision and its undo must not change. The browser keeps them, and sends them again.
    """
    settled: list[str] = []
    refused: list[tuple[str, str]] = []
    returned: list[str] = []
    taken: list[str] = []
    new_labels: set[str] = set()
    notice = error = ""
    for press in pressed:
        try:
            if press.undo:
                undone = undo(press.target, press.action_id)
                if undone is None:
                    notice = "There is nothing left to take back."
                else:
                    taken.append(str(undone.action_id))
                    returned = [*(item for item in undone.items if item not in returned), *returned]
            else:
                about_tiles = of_tiles is not None and bool(press.tiles)
                action = of_tiles(press) if about_tiles and of_tiles else action_of(press, context, card_of)
                record(action, None if press.new_label else known_labels)
                if press.new_label:
                    new_labels.update(press.labels, *(labels_of(decision.edits) for decision in action.decisions))
            settled.append(press.action_id)
        except WorkspaceError as problem:
            error = str(problem)
            break
        except CurationError as problem:
            refused.append((press.action_id, visible(str(problem), 400, False)))
    return Outcome(tuple(settled), tuple(refused), tuple(returned), tuple(taken), frozenset(new_labels), notice, error)


def action_of(press: Pressed, context: Context, card_of: Callable[[str], Card]) -> Action:
    """The action that a key press stands for; of a grid, one action about all items that were not marked.

    Raises
    ------
    SettingsError, NotFoundError : no such action or item, or one that does not fit the other.
    """
    if not press.items:
        raise SettingsError("The key press was about no item.")
    return verdict_action(
        [card_of(item_id) for item_id in dict.fromkeys(press.items)],
        press.name,
        context,
        labels=press.labels,
        sample_id=press.sample_id,
        edits=press.edits,
        seconds=press.seconds,
        suggestion_shown=press.shown,
        comment=press.comment,
        action_id=press.action_id,
    )


# --- what is laid on the desk -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Album:
    """Pictures of one run as data URLs, by sample_id only."""

    root: Path
    samples: pd.DataFrame

    def url(self, sample_id: str, side_px: int) -> str:
        return _data_url(*picture_bytes(self.root, self.samples, sample_id, side_px))

    def cutout(self, sample_id: str, boxes: Sequence[Sequence[float]], side_px: int) -> tuple[str, list[Frame]]:
        """The first box with its surroundings, and where in that all of them lie: x, y, w, h as shares."""
        content, mime, region = cutout_bytes(self.root, self.samples, sample_id, boxes[0], side_px)
        return _data_url(content, mime), [] if region is None else [frame_in(box, region) for box in boxes]

    def difference(self, one: str, other: str) -> tuple[str, float]:
        """An overlay that shows where `other` differs from `one`, "" where it does not, and the share that does."""
        first, second = (picture_bytes(self.root, self.samples, name, MEMBER_PX)[0] for name in (one, other))
        overlay, share = difference(first, second)
        return (_data_url(overlay, "image/png") if overlay else ""), share


def _data_url(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def lay_out(card: Card, item: Any, album: Album) -> dict[str, Any]:
    """A card as the browser draws it: JSON values; labels as they are for deciding, and `*_shown` for showing.

    item : the claimed item (state, blind, show_suggestion)
    """
    show = bool(item.show_suggestion)
    choices = [
        {
            "label": name,
            "shown": visible(name),
            "p": round(p, 4),
            "percent": percent(p) if p > 0 else "",
            "by": visible(card.said_by.get(name, ""), 60, False),
        }
        for name, p in card.suggestions
        if name and name != card.given_label
    ]
    first = str(choices[0]["label"]) if choices and show else ""
    return {
        "id": card.item_id,
        "kind": card.kind,
        "state": str(item.state),
        "show_suggestion": show,
        "issues": [title_of(name) for name in card.issues],
        "given": card.given_label,
        "given_shown": visible(card.given_label),
        "given_by": visible(card.said_by.get(card.given_label, ""), 100, False),
        "p_given": None if card.p_given is None else percent(card.p_given),
        "choices": choices if show else [],
        "why": [lay_words(parts) for parts in card.why_parts] if show else [],
        "picture": album.url(card.sample_id, PICTURE_PX) if card.kind == "sample" else "",
        "size": _size_of(card),
        "neighbours": _neighbours(card, album, first),
        "members": _members(card, album) if card.kind == "duplicates" else [],
        "member_count": len(card.members),
        "keep_why": visible(card.keep_why, 300, False),
        "settle": card.settle_label if show else "",
        "settle_shown": visible(card.settle_label),
        "path_shown": visible(card.path, 300),
        "facts": _facts(card),
        **(
            lay_sheet(card, show, lambda name, box: album.cutout(name, [box], THUMB_PX)[0])
            if card.kind == "sample" and card.task != "single-label"
            else {}
        ),
    }


def lay_tile(card: Card, album: Album) -> dict[str, Any]:
    """A card as one of many in a grid."""
    return {
        "id": card.item_id,
        "picture": album.url(card.sample_id, TILE_PX),
        "size": _size_of(card),
        "suspect": bool(card.issues),
        "shown": visible(card.given_label, 60),
        "suggestion_shown": visible(card.suggestions[0][0], 60) if card.suggestions else "",
        "percent": percent(card.suggestions[0][1]) if card.suggestions and card.suggestions[0][1] > 0 else "",
    }


def tile_id(tile: Tile) -> str:
    """Names a tile among all of a run."""
    return f"{tile.sample_id} {tile.key}"


def lay_tile_of_class(tile: Tile, album: Album) -> dict[str, Any]:
    """One annotation of a class, or one that may be missing, as one of many on a page: JSON values."""
    frames: list[Frame] = []
    if tile.box is None:
        picture = album.url(tile.sample_id, TILE_PX)
    else:
        others = [one.box for one in tile.others if one.box is not None]
        picture, frames = album.cutout(tile.sample_id, [tile.box, *others], TILE_PX)
    about = next((found for found in tile.findings if found.is_issue), None)
    best = next((found for found in tile.findings if found.proposal and found.is_issue), about)
    proposed = next((line["to"] for line in tile.proposal if line["change"] == "relabel"), None)
    return {
        "id": tile_id(tile),
        "sample": tile.sample_id,
        "key": tile.key,
        "picture": picture,
        "frames": [[round(share, 4) for share in frame] for frame in frames],
        "suspect": tile.is_suspect,
        "title": title_of(best.issue) if best else "",
        "does": lay_words(best.does_parts) if best else [],
        "to": None if proposed is None else [str(proposed), visible(str(proposed), 60)],
        "why": [lay_words(found.shown_parts) for found in tile.findings if found.is_issue or found is tile.findings[0]],
    }


def lay_group(group: Group) -> dict[str, Any]:
    """A group as an entry of the grid's list."""
    return {
        "key": group.key,
        "kind": group.kind,
        "given_shown": visible(group.given, 60),
        "suggestion": group.suggestion,
        "suggestion_shown": visible(group.suggestion, 60),
        "count": len(group.item_ids),
    }


def _size_of(card: Card) -> list[int]:
    own = card.members[0] if card.members else None
    return [own.width_px, own.height_px] if own and own.width_px else []


def _facts(card: Card) -> str:
    own = card.members[0] if card.members else None
    size = f"{own.width_px} × {own.height_px} px" if own and own.width_px else ""
    split = f"split {visible(card.split, 60)}" if card.split else ""
    reason = visible(card.reason, 300, False) if card.status != "ok" else ""
    return " · ".join(part for part in (split, size, reason) if part)


def _neighbours(card: Card, album: Album, suggested: str) -> list[dict[str, Any]]:
    """The nearest pictures; marked where they carry the given label, or the one that is suggested."""
    marks = {suggested: "as-suggested", card.given_label: "as-given"}
    return [
        {
            "picture": album.url(near.sample_id, THUMB_PX),
            "shown": visible(near.label, 60),
            "mark": marks.get(near.label, "") if near.label else "",
        }
        for near in card.neighbours[:SHOWN_NEIGHBOURS]
    ]


def _members(card: Card, album: Album) -> list[dict[str, Any]]:
    """The copies side by side; facts in which they differ are marked, and where they differ from the proposed one."""
    members = _shown_members(card)
    facts = [_member_facts(member) for member in members]
    differing = {name for name in facts[0] if len({f.get(name) for f in facts}) > 1} if facts else set()
    labels = {member.label for member in members}
    kept = next((member for member in members if member.proposed_keep), members[0])
    found = []
    for member, own in zip(members, facts, strict=True):
        same = member is kept or len(members) > COMPARED
        overlay, share = ("", 0.0) if same else album.difference(kept.sample_id, member.sample_id)
        shown = [[name, value, name in differing and name != "file"] for name, value in own.items()]
        if len(members) <= COMPARED:
            place = 1 + members.index(kept)
            differ = f"{percent(share)} differ from copy {place}" if overlay else "no visible difference"
            shown.insert(-1, ["pixels", "compared with this one" if member is kept else differ, bool(overlay)])
        found.append(
            {
                "sample_id": member.sample_id,
                "label": member.label,
                "shown": visible(member.label),
                "conflicts": len(labels) > 1,
                "keep": member.proposed_keep,
                "picture": album.url(member.sample_id, MEMBER_PX),
                "difference": overlay,
                "facts": shown,
            }
        )
    return found


def _shown_members(card: Card) -> list[Member]:
    """The first ones in path order; the one that is proposed to be kept is always among them."""
    kept = [member for member in card.members if member.proposed_keep]
    others = [member for member in card.members if not member.proposed_keep]
    chosen = {member.sample_id for member in [*kept, *others][:SHOWN_MEMBERS]}
    return [member for member in card.members if member.sample_id in chosen]


def _member_facts(member: Member) -> dict[str, str]:
    return {
        "split": visible(member.split, 60) or "none",
        "size": f"{member.width_px} × {member.height_px} px" if member.width_px else "unreadable",
        "bytes": f"{member.file_bytes:,}",
        "format": visible(member.format, 20),
        "file": visible(member.path, 200),
    }
