"""One label per picture: a network names the class of each picture."""

from __future__ import annotations

from functools import partial

import numpy as np

from curation.proving.arms import Arms, class_ids, count_rows, without_flagged
from curation.proving.contract import Contest, Material, Prover
from curation.proving.holdout import HoldOut
from curation.proving.naming import naming_contest
from curation.proving.versions import AFTER, BEFORE, Versions, need_two_classes

SUSPECTS = ("label_error",)


def picture_labels(versions: Versions, name: str) -> np.ndarray:
    """(N,) int64 class ids, -1 = no label, or not in that version; of several labels the first counts."""
    first = versions.annotations[name].drop_duplicates("sample_id").set_index("sample_id")["label"]
    return class_ids(first.reindex(versions.samples["sample_id"]).fillna(""), versions.classes)


def contest(material: Material) -> Contest:
    """Networks that learn pictures with one label each."""
    versions, settings = material.versions, material.settings
    need_two_classes(versions.classes, settings.before, settings.after)
    before, after = (np.where(material.learnable, material.labels[name], -1) for name in (BEFORE, AFTER))
    pruned = without_flagged(before, versions.samples, material.flagged, SUSPECTS)
    arms = make_arms(before, after, pruned)
    return naming_contest(
        material,
        arms.names,
        arms.labels,
        arms.changes,
        lambda: material.pixels.gather(material.rows),
        material.holdout.rows,
        truth_of(versions, material.holdout),
        material.units(material.holdout.rows),
    )


def truth_of(versions: Versions, holdout: HoldOut) -> np.ndarray:
    """(n,) int64 class ids of the hold-out's pictures; of several labels the first counts, as in what is learnt."""
    first = holdout.annotations.drop_duplicates("sample_id").set_index("sample_id")["label"]
    return class_ids(first.reindex(versions.samples["sample_id"].iloc[holdout.rows]).fillna(""), versions.classes)


def make_arms(before: np.ndarray, after: np.ndarray, pruned: np.ndarray | None) -> Arms:
    """Arms of class ids (N,), -1 = not trained on."""
    relabelled = int(((before >= 0) & (after >= 0) & (before != after)).sum())
    changes = {"relabelled": relabelled, **count_rows(before, after)}
    return Arms(before, after, pruned, partial(placebo, before, after), changes)


def placebo(before: np.ndarray, after: np.ndarray, seed: int) -> np.ndarray:
    """(N,) `before` with as many labels changed and samples dropped as in `after`, but others, drawn by lot.

    A new label is drawn from those that the changes led to, so that only the choice of samples differs: what remains of
    a gain here is no merit of having looked.
    """
    rng = np.random.default_rng([seed, 1])
    labels = before.copy()
    both = (before >= 0) & (after >= 0)
    changed = both & (before != after)
    relabelled, dropped = int(changed.sum()), int(((before >= 0) & (after < 0)).sum())
    untouched = rng.permutation(np.flatnonzero(both & ~changed))
    relabel, drop = np.split(untouched[: relabelled + dropped], [relabelled])
    labels[relabel] = other_labels(labels[relabel], after[changed], rng)
    labels[drop] = -1
    return labels


def other_labels(own: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of `own` another one of `targets`, drawn by lot; its own where there is no other."""
    found = own.copy()
    for place, label in enumerate(own.tolist()):
        others = targets[targets != label]
        if len(others):
            found[place] = rng.choice(others)
    return found


PROVER = Prover(picture_labels, contest)
