"""Labels without a place that are there several times: who counts alike means the same, whatever the ids.

Where pictures say how many of a class they show, annotations of it cannot be told apart. Two sides that each add one
have both counted one more: taken for two different annotations, they would make two more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Annotations = Mapping[str, Mapping[str, Any]]  # of one sample, by annotation_id
Did = tuple[tuple[str, ...], tuple[str, ...]]  # ids that a side has added of a label, and removed


def level_counts(
    base: Annotations, ours: Annotations, theirs: Annotations, disagree: Callable[[str, Any], Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our and their annotations where no label without a box is added, or removed, by both sides as different ones.

    Where both have made a count the same, it is what the one with the smaller ids did; where they have not, `disagree`
    hears of it (field `count`, and what each side has) and ours stays. Labels that a side has put in another's place
    (relabelled) are left alone: there, annotations can be told apart.
    """
    mine, other = dict(ours), dict(theirs)
    labels = {a["label"] for side in (ours, theirs) for a in side.values()} | {a["label"] for a in base.values()}
    for label in sorted(labels):
        if _is_told_apart(base, (ours, theirs), label):
            continue
        we, they = _did(base, ours, label), _did(base, theirs, label)
        if not any(we) or not any(they) or we == they:
            continue
        alike = len(we[0]) - len(we[1]) == len(they[0]) - len(they[1])
        if not alike:
            disagree("count", tuple({"label": label, "count": _count(side, label)} for side in (base, ours, theirs)))
        if alike and they < we:
            _do_instead(base, mine, we, theirs, they)
        else:
            _do_instead(base, other, they, ours, we)
    return mine, other


def _is_told_apart(base: Annotations, sides: tuple[Annotations, Annotations], label: str) -> bool:
    """Whether one with this label has a box, or was given or has lost it under the id that it had."""
    if any(a["label"] == label and a["x"] is not None for side in (base, *sides) for a in side.values()):
        return True
    both = ((key, side) for side in sides for key in base.keys() & side.keys())
    return any((base[key]["label"] == label) != (side[key]["label"] == label) for key, side in both)


def _did(base: Annotations, side: Annotations, label: str) -> Did:
    added = tuple(sorted(key for key in side.keys() - base.keys() if side[key]["label"] == label))
    return added, tuple(sorted(key for key in base.keys() - side.keys() if base[key]["label"] == label))


def _count(side: Annotations, label: str) -> int:
    return sum(a["label"] == label for a in side.values())


def _do_instead(base: Annotations, side: dict[str, Any], own: Did, other_side: Annotations, other: Did) -> None:
    """Take back what a side did, and do what the other one did."""
    for key in own[0]:
        del side[key]
    side.update({key: base[key] for key in own[1]})
    for key in other[1]:
        side.pop(key, None)
    side.update({key: other_side[key] for key in other[0]})
