"""A process of its own for the store's tests, to be killed or to compete: python -m tests.store_worker TARGET WHAT."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from curation import store
from curation.files import set_failpoints
from tests.reviewing import SET, action, queue_items


def say(text: str) -> None:
    """Acknowledge; what was said before a kill has been said."""
    os.write(1, f"{text}\n".encode())


def decide(engine: Engine) -> None:
    """Decide s0 and s1, always under the same ids."""
    for number in range(2):
        made = action(f"s{number}", "relabel", "dog", action_id=f"a{number}")
        say(f"a{number} {store.record(engine, made).new}")


def undo(engine: Engine) -> None:
    """Take back the latest action."""
    undone = store.undo(engine, SET, "ann", undo_id="u")
    say(f"undone {undone.action_id if undone else None}")


def fill(engine: Engine) -> None:
    """Fill the queue with six items, of which two are new and all have another suggestion."""
    store.fill(engine, SET, "run-2", "v0002", queue_items(6, suggestion="elk"))
    say("filled")


def review(engine: Engine) -> None:
    """Decide item after item until there is none, each as a reviewer of one's own."""
    me = f"reviewer {os.getpid()}"
    decided = 0
    while True:
        found = store.claim(engine, SET, me, me, count=1)
        if not found:
            break
        made = action(found[0].item_id, by=me, session=me)
        assert store.record(engine, made).states == {found[0].item_id: "done"}
        decided += 1
    say(str(decided))


WHAT: dict[str, Callable[[Engine], None]] = {"decide": decide, "undo": undo, "fill": fill, "review": review}

if __name__ == "__main__":
    where, what = sys.argv[1:]
    set_failpoints(os.environ.get("CURATE_FAILPOINT", ""))
    WHAT[what](store.open_store(where if "://" in where else Path(where)))
