"""The queue learns while it is worked on: verdicts in the store --reorder--> priorities in the store."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Engine

from curation.review.audit import mix_in
from curation.review.learning import TOP, Features, reorder
from curation.store import find_items, set_priorities, verdicts

EVERY = 10  # verdicts between two looks at the order


def relearn(engine: Engine, dataset: str, known: Features, given: pd.DataFrame | None = None) -> int:
    """Put the head of the queue in the order that all verdicts so far suggest; how many items changed their place.

    known : curation.review.learning.features of the items that the queue was filled with
    given : the store's `verdicts`, where they were read already

    Labels that were drawn for an audit get their places among the others again.

    What earlier calls changed is read from the store (static priorities are below 0), so that any process can go on
    where another one stopped.

    Raises
    ------
    WorkspaceError : the store cannot be read or written; the order is as it was, or partly the new one.
    """
    given = verdicts(engine, dataset) if given is None else given
    before = {item.item_id: item.priority for item in find_items(engine, dataset, count=2 * TOP) if item.priority > 0}
    changed = set_priorities(engine, dataset, reorder(known, given, before))
    mix_in(engine, dataset)
    return changed
