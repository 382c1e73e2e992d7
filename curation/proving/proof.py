"""What came out of a proof, and the sentences that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.errors import SettingsError
from curation.proving.compare import Comparison
from curation.proving.contract import Contest, ProofSettings
from curation.proving.holdout import LISTED, HoldOut
from curation.proving.versions import AFTER, BEFORE
from curation.run_key import plain
from curation.training.plan import Plan
from curation.wording import counted

MIN_HELD_OUT = 20
# What leads from one version to the other, for people: one, several.
CHANGES = {
    "relabelled": ("label changed", "labels changed"),
    "removed": ("label taken away", "labels taken away"),
    "given": ("label given", "labels given"),
    "boxes_relabelled": ("box renamed", "boxes renamed"),
    "boxes_moved": ("box moved", "boxes moved"),
    "boxes_removed": ("box removed", "boxes removed"),
    "boxes_added": ("box added", "boxes added"),
    "dropped": ("picture left out", "pictures left out"),
    "added": ("picture added", "pictures added"),
}


@dataclass(frozen=True)
class Proof:
    """What came out; `arms` has, for each but the first, the comparison with the first.

    folder : where proof.json and the answers are
    contest : what was trained and asked
    notes : sentences that belong to the result
    """

    folder: Path
    settings: ProofSettings
    task: str
    plan: Plan
    classes: list[str]
    holdout: HoldOut
    contest: Contest
    arms: dict[str, Comparison]
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`gain`, `loss` or "" (nothing is proven): of the second version against the first, by the first measure."""
        return self.arms["after"].main.proven

    @property
    def changes_told(self) -> str:
        """`3 labels changed, 1 picture left out, 0 pictures added`"""
        return ", ".join(counted(count, *CHANGES[kind]) for kind, count in self.contest.changes.items())

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        arms = {
            name: {
                **{measure: change.facts() for measure, change in found.measures.items()},
                found.class_measure: {self.classes[k]: change.facts() for k, change in found.by_class.items()},
            }
            for name, found in self.arms.items()
        }
        held = {"name": self.holdout.name, "pictures": len(self.holdout.rows), "reviewed": self.holdout.reviewed}
        found: dict[str, Any] = plain(
            {
                "verdict": self.verdict or "no proven gain",
                "measure": next(iter(self.arms["after"].measures)),
                "task": self.task,
                "before": self.settings.before,
                "after": self.settings.after,
                "holdout": {**held, "left_out": list(self.holdout.left_out)},
                "seeds": self.settings.seeds,
                "trained_on": self.contest.trained_on,
                "changes": self.contest.changes,
                "arms": arms,
                "plan": self.plan.as_settings(),
                "network": self.contest.network,
                "epochs": self.contest.epochs,
                "notes": self.notes,
                "folder": str(self.folder),
            }
        )
        return found


def check_size(holdout: HoldOut) -> None:
    """Refuse a hold-out that can prove nothing.

    Raises
    ------
    SettingsError
    """
    if len(holdout.rows) < MIN_HELD_OUT:
        raise SettingsError(
            f"The hold-out ({holdout.name}) has {counted(len(holdout.rows), 'picture')}; fewer than {MIN_HELD_OUT} "
            "prove nothing."
        )


def class_notes(taught: Mapping[str, set[int]], classes: list[str], settings: ProofSettings) -> list[str]:
    """Sentences on classes that one version alone teaches.

    Raises
    ------
    SettingsError : the versions have no class in common, so that there is nothing to compare.
    """
    known = {settings.before: taught[BEFORE], settings.after: taught[AFTER]}
    both = set.intersection(*known.values())
    if not both:
        raise SettingsError(
            f"{settings.before} and {settings.after} have no class in common, so networks of one cannot be asked about "
            "the labels of the other."
        )
    notes = []
    for version, found in known.items():
        only = [classes[k] for k in sorted(found - both)]
        if only:
            named = ", ".join(map(repr, only[:LISTED])) + " ..." * (len(only) > LISTED)
            notes.append(
                f"{counted(len(only), 'class is', 'classes are')} in the training data of {version} only: {named}. "
                "Part of the difference is the list of classes, not the labels."
            )
    return notes


def notes_of(contest: Contest, holdout: HoldOut, settings: ProofSettings, scored: bool) -> list[str]:
    """Sentences on how far the result goes; scored : whether a run has looked at the first version."""
    notes = []
    if holdout.reviewed:
        labels = counted(holdout.reviewed, "picture of the hold-out was", "pictures of the hold-out were")
        notes.append(
            f"{labels} changed by the same review: the comparison is with the labels of {settings.after}, and may "
            "flatter it."
        )
    notes += [f"Left out of the hold-out: {what}." for what in holdout.left_out]
    if not scored:
        notes.append(f"No run has scored {settings.before}, so there are no suspects to leave out: no arm 'pruned'.")
    if not any(contest.changes.values()):
        notes.append("What is trained on is the same in both versions.")
    if settings.seeds == 1:
        notes.append("One seed says nothing about the chance in training: the intervals are too narrow.")
    return notes
