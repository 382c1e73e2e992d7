"""The arms of a proof where an array says all that is learnt: one class id, or one row of yes and no, per sample."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from curation.proving.contract import PLACEBO, PRUNED
from curation.proving.versions import AFTER, BEFORE
from curation.training.label_sets import trainable


@dataclass(frozen=True, eq=False)
class Arms:
    """What each arm's networks learn: (N,) class ids, or (N, K) yes and no; -1 = not trained on.

    before, after : as the two versions have it
    pruned : before, without what was flagged; None where no run has looked at it
    placebo : seed -> before with as many changes as lead to after, drawn by lot
    changes : how many there are, by kind
    """

    before: np.ndarray
    after: np.ndarray
    pruned: np.ndarray | None
    placebo: Callable[[int], np.ndarray]
    changes: dict[str, int] = field(default_factory=dict)

    def labels(self, name: str, seed: int) -> np.ndarray:
        """What the arm `name` learns with this seed; only the placebo is another one for each."""
        if name == PLACEBO:
            return self.placebo(seed)
        found = {BEFORE: self.before, AFTER: self.after, PRUNED: self.pruned}[name]
        assert found is not None
        return found

    @property
    def names(self) -> list[str]:
        return arm_names(self.pruned is not None)


def arm_names(pruned: bool) -> list[str]:
    """The arms of every proof, `before` first."""
    return [BEFORE, AFTER, *([PRUNED] if pruned else []), PLACEBO]


def without_flagged(
    before: np.ndarray, samples: pd.DataFrame, flagged: pd.DataFrame | None, issues: Collection[str]
) -> np.ndarray | None:
    """`before` without the samples that have one of `issues`; None where no run has looked for them."""
    if flagged is None:
        return None
    suspects = flagged.loc[flagged["issue"].isin(issues), "sample_id"]
    pruned = before.copy()
    pruned[samples["sample_id"].isin(suspects).to_numpy()] = -1
    return pruned


def count_rows(before: np.ndarray, after: np.ndarray) -> dict[str, int]:
    """How many samples are left out and added."""
    there, then = trainable(before), trainable(after)
    return {"dropped": int((there & ~then).sum()), "added": int((~there & then).sum())}


def class_ids(labels: Sequence[str] | pd.Series | np.ndarray, classes: list[str]) -> np.ndarray:
    """(n,) int64 place of each label among `classes`, -1 for one that is not there."""
    return pd.Index(classes, dtype=object).get_indexer(np.asarray(labels, dtype=object)).astype(np.int64)
