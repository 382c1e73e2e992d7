"""What was published and then taken back by `curate revert` is asked again, at its old place in the queue.

A decision that a version has is never applied twice, so that only a new one can change such a sample; and whoever took
it back wants it looked at again, maybe by somebody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from curation.decisions import case_id
from curation.explain import visible
from curation.manifest.history import changes_of
from curation.manifest.version_files import ancestors, read_header
from curation.review.cards import Card


@dataclass(frozen=True)
class TakenBack:
    """Which version took back what was decided on a sample, who made it, when (ISO 8601), and why."""

    version: str
    author: str
    created: str
    message: str


def with_taken_back(items: pd.DataFrame, folder: Path, version: str) -> pd.DataFrame:
    """The items of a queue, those whose published decision was taken back under ids of their own.

    The new id makes an item new to everybody, also to those who decided it before. A case is asked again as a case.

    items : columns of curation.review.ITEM_COLUMNS; version : under review
    """
    found = taken_back(folder, version)
    if not found:
        return items
    ids = items["item_id"].tolist()
    for place in _concerned(items, found):
        members = json.loads(items["members"].iat[place])
        last = next(found[name] for name in members if name in found)
        ids[place] = again_id(ids[place], last.version)
    return items.assign(item_id=pd.Series(ids, index=items.index, dtype=items["item_id"].dtype))


def _concerned(items: pd.DataFrame, found: Mapping[str, TakenBack]) -> list[int]:
    alone = items["item_id"].isin(list(found)).to_numpy()
    places = alone.nonzero()[0].tolist()
    for place in (items["kind"] != "sample").to_numpy().nonzero()[0].tolist():
        if any(name in found for name in json.loads(items["members"].iat[place])):
            places.append(place)
    return places


def again_id(item_id: str, version: str) -> str:
    """The id of an item that is asked again: `d` for a case, `c` for a sample, and 16 hex digits."""
    kind = "d" if item_id.startswith("d") else "c"
    return kind + hashlib.blake2b(f"{item_id}\n{version}".encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4)  # a version never changes
def taken_back(folder: Path, version: str) -> dict[str, TakenBack]:
    """By sample_id, what was taken back last and has not been decided since.

    A revert of a revert brings a decision back, and asks nothing.
    """
    history = ancestors(folder, version)
    reverts = [at for at in history if read_header(folder, at)["kind"] == "revert"]
    found: dict[str, TakenBack] = {}
    later: set[str] = set()
    for at in history[: history.index(reverts[-1]) + 1] if reverts else []:
        header, lines = read_header(folder, at), changes_of(folder, at)
        last = TakenBack(at, str(header["author"]), str(header["created"]), str(header["message"]))
        names = {str(line.get("sample_id", "")) for line in lines if _takes_back(folder, line)}
        found |= dict.fromkeys(names - later, last)
        later |= {str(line.get("sample_id", "")) for line in lines}
    return found


def _takes_back(folder: Path, line: Mapping[str, Any]) -> bool:
    if "reverts_reviewer" in line:
        return True
    version = line.get("reverts")
    return version is not None and read_header(folder, str(version))["kind"] == "publish"


def told(cards: Sequence[Card], found: Mapping[str, TakenBack]) -> list[Card]:
    """The cards; of what is asked again, the first sentence says who took the earlier decision back, and why."""
    return [_told(card, found) for card in cards]


def _told(card: Card, found: Mapping[str, TakenBack]) -> Card:
    last = next((found[member.sample_id] for member in card.members if member.sample_id in found), None)
    own = card.sample_id if card.kind == "sample" else case_id(member.sample_id for member in card.members)
    if last is None or card.item_id != again_id(own, last.version):
        return card
    why = f": {visible(last.message, 200, False)}" if last.message else ""
    who = f"{visible(last.author)} took back what was decided ({last.version}, {visible(last.created[:10])})"
    sentence = f"Asked again: {who}{why}."
    return replace(card, why=(sentence, *card.why), why_parts=((sentence,), *card.why_parts))
