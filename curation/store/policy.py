"""How a data set is reviewed: which items two reviewers decide, and which of those without the model's suggestion."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from curation.decisions import lot
from curation.store.schema import policy


@dataclass(frozen=True)
class Policy:
    """How a data set is reviewed.

    second_opinion : share of the items that two reviewers decide, in [0, 1]
    hide_suggestion : share of those second opinions that are given without the model's suggestion, in [0, 1]
    seed : decides which items; the same seed, the same items
    run_id, manifest_version : what the queue was filled from last
    fills : how often it was filled with something new
    contents : stands for what it was filled with
    """

    second_opinion: float = 0.0
    hide_suggestion: float = 0.0
    seed: int = 0
    run_id: str = ""
    manifest_version: str = ""
    fills: int = 0
    contents: int = 0

    def needed(self, item_id: str) -> int:
        """How many opinions an item wants."""
        return 2 if lot("second opinion", self.seed, item_id) < self.second_opinion else 1

    def hides_suggestion(self, item_id: str) -> bool:
        """Whether a second reviewer decides the item without the model's suggestion."""
        return lot("hide suggestion", self.seed, item_id) < self.hide_suggestion


def policy_of(connection: Connection, dataset: str) -> Policy:
    """The policy of a data set; nothing asked for where there is none."""
    row = connection.execute(sa.select(policy).where(policy.c.dataset == dataset)).mappings().first()
    return Policy(**{name: row[name] for name in Policy.__dataclass_fields__}) if row else Policy()


def write_policy(connection: Connection, dataset: str, rules: Policy) -> None:
    """Store the policy of a data set."""
    connection.execute(sa.delete(policy).where(policy.c.dataset == dataset))
    connection.execute(sa.insert(policy).values(dataset=dataset, **vars(rules)))
