"""The arms of a proof: what each one's networks learn, as one label per sample."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

BEFORE, AFTER, PRUNED, PLACEBO = "before", "after", "pruned", "placebo"


@dataclass(frozen=True)
class Arms:
    """Class ids by sample, -1 = not trained on.

    before, after : (N,) as the two versions have them
    pruned : (N,) before, without what was flagged; None where no run has looked at it
    relabelled, dropped, added : what leads from before to after, in samples that are trained on
    """

    before: np.ndarray
    after: np.ndarray
    pruned: np.ndarray | None
    relabelled: int
    dropped: int
    added: int

    def labels(self, name: str, seed: int) -> np.ndarray:
        """(N,) what the arm `name` learns with this seed; only the placebo is another one for each."""
        if name == PLACEBO:
            return placebo(self, seed)
        found = {BEFORE: self.before, AFTER: self.after, PRUNED: self.pruned}[name]
        assert found is not None
        return found

    @property
    def names(self) -> list[str]:
        return [BEFORE, AFTER, *([PRUNED] if self.pruned is not None else []), PLACEBO]


def make_arms(samples: pd.DataFrame, classes: list[str], held_out: np.ndarray, flagged: Collection[str] | None) -> Arms:
    """Arms from the two versions' labels.

    Parameters
    ----------
    samples : sample_id, `before` and `after` (labels, "" = none or not in the version)
    held_out : rows that nothing is trained on
    flagged : sample ids that a run on the first version flagged as label errors; None = there is no such run
    """
    before, after = (class_ids(samples[name], classes) for name in (BEFORE, AFTER))
    before[held_out] = after[held_out] = -1
    pruned = None
    if flagged is not None:
        pruned = np.where(samples["sample_id"].isin(list(flagged)).to_numpy(), -1, before)
    both = (before >= 0) & (after >= 0)
    return Arms(
        before,
        after,
        pruned,
        relabelled=int((both & (before != after)).sum()),
        dropped=int(((before >= 0) & (after < 0)).sum()),
        added=int(((before < 0) & (after >= 0)).sum()),
    )


def class_ids(labels: Sequence[str] | pd.Series | np.ndarray, classes: list[str]) -> np.ndarray:
    """(n,) int64 place of each label among `classes`, -1 for one that is not there."""
    return pd.Index(classes, dtype=object).get_indexer(np.asarray(labels, dtype=object)).astype(np.int64)


def placebo(arms: Arms, seed: int) -> np.ndarray:
    """(N,) `before` with as many labels changed and samples dropped as in `after`, but others, drawn by lot.

    A new label is drawn from those that the changes led to, so that only the choice of samples differs: what remains of
    a gain here is no merit of having looked.
    """
    rng = np.random.default_rng([seed, 1])
    labels = arms.before.copy()
    both = (arms.before >= 0) & (arms.after >= 0)
    changed = both & (arms.before != arms.after)
    untouched = rng.permutation(np.flatnonzero(both & ~changed))
    relabel, drop = np.split(untouched[: arms.relabelled + arms.dropped], [arms.relabelled])
    targets = arms.after[changed]
    for row in relabel.tolist():
        others = targets[targets != labels[row]]
        if len(others):
            labels[row] = rng.choice(others)
    labels[drop] = -1
    return labels
