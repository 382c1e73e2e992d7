"""Corrections made in FiftyOne as decisions: what its labels and tags say now, against the version that was sent.

What was sent need not be remembered there: the data set names its version, and a version never changes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from curation.decisions import REASONS, Action, Decision, check_action, check_decision
from curation.edits import Line, new_annotation_id
from curation.errors import CurationError, SettingsError
from curation.fiftyone_link.labels import (
    GROUND_TRUTH,
    ID,
    OF_PICTURE,
    Annotation,
    Box,
    Label,
    annotations_of,
    is_box,
    labels_in,
    pixels,
    relative,
)
from curation.importers.assemble import shown
from curation.seen import seen_text
from curation.wording import counted

TAG = "curate:"  # of a sample: curate:keep, curate:hard, curate:unsure, curate:exclude, curate:exclude:broken
COMMENT = "made in FiftyOne"
NEAR = 1e-9  # of a picture's side: a box that is nearer to the one that was sent has not been moved
_NEW = "\0new"  # stands for the id of an annotation that has none yet
_SHOWN = 3


@dataclass(frozen=True)
class Corrections:
    """decisions : one per picture that says something; notes : sentences about what could not be understood"""

    decisions: tuple[Decision, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Odd:
    """What is told and not decided: sentence -> paths."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, sentence: str, path: str) -> None:
        self.found.setdefault(sentence, []).append(path)

    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{counted(len(paths), 'picture')} {sentence}: {', '.join(shown(path) for path in paths[:_SHOWN])}."
            for sentence, paths in self.found.items()
        )


def read_corrections(dataset: Any, rows: pd.DataFrame, task: str, known: Collection[str] | None) -> Corrections:
    """What was corrected in a FiftyOne data set.

    Parameters
    ----------
    rows : of the version that was sent
    known : the labels that can be given; None = any

    Raises
    ------
    SettingsError : a label that the data set does not have, or that cannot be one; says for which picture.
    """
    sent = annotations_of(rows)
    first = rows.drop_duplicates("sample_id")
    columns = (first[name].tolist() for name in ("sample_id", "path", "width_px", "height_px"))
    about = {sample_id: (path, (width, height)) for sample_id, path, width, height in zip(*columns, strict=True)}
    fields = [name for name in (GROUND_TRUTH, OF_PICTURE) if name in dataset.get_field_schema()]
    values = zip(*(dataset.values(name) for name in (ID, "tags", *fields)), strict=True)
    odd, decisions, seen = _Odd(), [], set()
    for sample_id, tags, *labels in values:
        if sample_id not in about:
            odd.add("that curate did not send", str(sample_id))
            continue
        path, size = about[sample_id]
        if sample_id in seen:
            odd.add("there more than once, the first counts", path)
            continue
        seen.add(sample_id)
        now = [one for value in labels if value is not None for one in labels_in(value.to_dict()) or []]
        try:
            decision = _decision(sample_id, path, sent.get(sample_id, []), now, tags or [], size, task, odd)
            if decision is not None:
                decisions.append(_checked(decision, known))
        except CurationError as error:
            raise SettingsError(f"{shown(path)}: {error}") from None
    return Corrections(tuple(decisions), odd.notes())


def _checked(decision: Decision, known: Collection[str] | None) -> Decision:
    try:
        check_decision(_with_ids(decision, "check"), known)
    except SettingsError as error:
        new = known is not None and any(label not in known for label in decision.new_labels)
        raise SettingsError(f"{error}{' A new one has to be allowed: --new-label.' if new else ''}") from None
    return decision


def _decision(
    sample_id: str,
    path: str,
    sent: Sequence[Annotation],
    now: Sequence[Label],
    tags: Sequence[str],
    size: tuple[int, int],
    task: str,
    odd: _Odd,
) -> Decision | None:
    """What a picture's labels and tags say; None where nothing was said."""
    lines = _lines(sample_id, sent, now, size)
    said = _said(tags)
    if task == "single-label" and len(sent) <= 1:
        given = sent[0].label if sent else ""
        shared = Decision(sample_id, sample_id, "", annotation_id=sent[0].annotation_id if sent else "")
    else:
        given = ""
        annotations = {
            one.annotation_id: {"label": one.label, **dict(zip("xywh", one.box or (math.nan,) * 4, strict=True))}
            for one in sent
        }
        shared = Decision(sample_id, sample_id, "", seen=seen_text(sample_id, annotations))
    shared = replace(shared, given_label=given)
    if len(said) > 1:
        odd.add("with tags of curate that contradict each other", path)
        return None
    verdict, reason = said[0] if said else ("", "")
    if verdict in ("exclude", "unsure"):
        return replace(shared, verdict=verdict, reason=reason, seen="")
    if lines and verdict:
        odd.add(f"tagged {TAG}{verdict}, although the labels are others: the labels count", path)
    if not lines:
        if not verdict or (verdict in ("keep", "hard") and not sent and task == "single-label"):
            return None
        return replace(shared, verdict=verdict)
    if shared.seen:
        return replace(shared, verdict="edit", edits=lines)
    labels = [one.label for one in now]
    if len(labels) == 1 and isinstance(labels[0], str):
        return replace(shared, verdict="relabel", labels=(labels[0],))
    odd.add(f"without the one label that they had; to take a picture out, tag it {TAG}exclude", path)
    return None


def _said(tags: Sequence[str]) -> list[tuple[str, str]]:
    """Verdict and reason of each tag that is for us; others that begin so are nothing."""
    found = []
    for tag in dict.fromkeys(tags):
        if not tag.startswith(TAG):
            continue
        verdict, _, reason = tag.removeprefix(TAG).strip().lower().partition(":")
        if verdict in ("keep", "hard", "unsure") and not reason:
            found.append((verdict, ""))
        elif verdict == "exclude" and (not reason or reason in REASONS):
            found.append((verdict, reason or REASONS[0]))
    return found


# --- labels ------------------------------------------------------------------------------------------------------


def _lines(sample_id: str, sent: Sequence[Annotation], now: Sequence[Label], size: tuple[int, int]) -> tuple[Line, ...]:
    """The changes that lead from what was sent to what is there, new annotations with a stand-in for their id."""
    there: dict[str, Label] = {}
    fresh = []
    known = {one.annotation_id for one in sent}
    for label in now:
        if label.annotation_id in known and label.annotation_id not in there:
            there[label.annotation_id] = label
        else:
            fresh.append(label)  # drawn there, or a copy of another one
    # An editor that replaces a label by a new one loses its id: what is where it was, alone there, is still the same.
    for one in sent:
        if one.annotation_id not in there and (twin := _twin(one, fresh, sent, size)) is not None:
            there[one.annotation_id] = twin
            fresh.remove(twin)
    lines: list[Line] = []
    for one in sent:
        found = there.get(one.annotation_id)
        if found is None:
            gone: dict[str, Any] = {"label": one.label, **({"box": list(one.box)} if one.box else {})}
            gone |= {"attributes": one.attributes} if one.attributes else {}
            lines.append(_line("drop", one.annotation_id, gone, None))
            continue
        name, box = _checked_label(found, size)
        if name != one.label:
            lines.append(_line("relabel", one.annotation_id, one.label, name))
        if _moved(one, found, size):
            before = list(one.box) if one.box else [None] * 4
            lines.append(_line("box", one.annotation_id, before, list(box or ())))
    for number, found in enumerate(fresh):
        name, box = _checked_label(found, size)
        to = {"label": name, **({"box": list(box)} if box else {})}
        lines.append(_line("add", f"{sample_id}-{_NEW}{number}", None, to))
    return tuple(lines)


def _line(change: str, key: str, before: Any, after: Any) -> Line:
    return {"change": change, "annotation_id": key, "from": before, "to": after}


def _checked_label(found: Label, size: tuple[int, int]) -> tuple[str, Box | None]:
    if not isinstance(found.label, str):
        raise SettingsError("A label in FiftyOne has no class.")
    if found.box is None:
        return found.label, None
    if not is_box(found.box):
        raise SettingsError(f"The box of {shown(found.label)} in FiftyOne is not four numbers.")
    return found.label, pixels(found.box, size)


def _moved(one: Annotation, found: Label, size: tuple[int, int]) -> bool:
    if one.box is None or found.box is None:
        return (one.box is None) != (found.box is None)
    return any(abs(a - b) > NEAR for a, b in zip(relative(one.box, size), found.box, strict=True))


def _twin(one: Annotation, fresh: Sequence[Label], sent: Sequence[Annotation], size: tuple[int, int]) -> Label | None:
    if one.box is None:
        alike = [label for label in fresh if label.box is None and (label.label == one.label or len(sent) == 1)]
    else:
        alike = [label for label in fresh if is_box(label.box) and not _moved(one, label, size)]
    return alike[0] if len(alike) == 1 else None


# --- what is new, as an action -------------------------------------------------------------------------------------


def not_said_yet(found: Sequence[Decision], effective: pd.DataFrame, reviewer: str = "") -> list[Decision]:
    """The decisions that nobody, or not this reviewer, has made already; `effective` is the store's."""
    if reviewer:
        effective = effective[effective["reviewer"] == reviewer]
    standing = {
        _content(
            row["sample_id"], row["verdict"], json.loads(row["labels"]), row["reason"], json.loads(row["edits"] or "[]")
        )
        for row in effective.to_dict("records")
    }
    return [d for d in found if _content(d.sample_id, d.verdict, d.labels, d.reason, d.edits) not in standing]


def _content(
    sample_id: str, verdict: str, labels: Sequence[str], reason: str, edits: Sequence[Mapping[str, Any]]
) -> str:
    """What a decision says, whatever ids its new annotations have."""
    lines = sorted(
        json.dumps(
            [line["change"], "" if line["change"] == "add" else line["annotation_id"], line["to"]], sort_keys=True
        )
        for line in edits
    )
    return json.dumps([sample_id, verdict, list(labels), reason, lines])


def pull_action(action: Action, found: Sequence[Decision], taken_back: Collection[str]) -> Action:
    """One action of decisions; its id, and those of new annotations, are made of what it says.

    taken_back : ids of actions that were undone; after an undo, the same corrections can be pulled again
    """
    said = sorted(_content(d.sample_id, d.verdict, d.labels, d.reason, d.edits) for d in found)
    text = json.dumps([action.dataset, action.reviewer, action.manifest_version, said])
    for time in range(len(taken_back) + 1):
        digest = hashlib.blake2b(f"fiftyone {text}{time}".encode(), digest_size=16).hexdigest()
        if digest not in taken_back:
            break
    made = tuple(_with_ids(decision, digest) for decision in found)
    whole = replace(action, action_id=digest, decisions=made)
    return check_action(whole, {label for decision in made for label in decision.new_labels})


def _with_ids(decision: Decision, action_id: str) -> Decision:
    """The decision with real ids for the annotations that it adds."""
    lines = tuple(
        {**line, "annotation_id": new_annotation_id(decision.sample_id, action_id, number)}
        if line["change"] == "add"
        else line
        for number, line in enumerate(decision.edits)
    )
    return replace(decision, edits=lines)
