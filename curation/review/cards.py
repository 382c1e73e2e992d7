"""Cards: everything that a person is shown about an item, gathered for the asked items only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from curation.duplicates.keeping import Proposal, propose_keep
from curation.edits import Line
from curation.errors import NotFoundError
from curation.records import make_annotation_id
from curation.review.annotations import Annotation, Annotations, by_id, seen_of, several, words_of
from curation.review.findings import Finding, NearBox, findings_of
from curation.review.label_cards import (
    LOOKED_AT,
    as_of_now,
    case_suggestions,
    probability_given,
    settled_label,
    suggestions_of,
    why_of,
)  # fmt: skip
from curation.review.run_index import RunIndex, open_index
from curation.runs import Run

NEAR_SHOWN = 5  # as many as the sentences count
MEASUREMENTS = (
    "brightness", "contrast", "entropy_bits", "sharpness", "saturation", "aspect_ratio", "file_bytes",
)  # fmt: skip
_MEMBER_COLUMNS = (
    "sample_id", "path", "label", "split", "width_px", "height_px", "format", "file_bytes", "sharpness",
)  # fmt: skip


@dataclass(frozen=True)
class Neighbour:
    """A picture nearby in embedding space: its label as it is now, and the cosine distance in [0, 2]."""

    sample_id: str
    label: str
    distance: float


@dataclass(frozen=True)
class Member:
    """One picture of an item: of a case each copy, of a sample itself.

    label : as the data set has it now, "" = none; annotation_id : of that label
    proposed_keep : whether this is the copy that is proposed to be kept (cases only)
    annotations, seen : where pictures have several labels or boxes: those that it has now, and what a reviewer who is
        shown them has seen (recorded with the decision); there, `label` is all their labels in words
    """

    sample_id: str
    path: str
    label: str
    annotation_id: str
    split: str
    width_px: int
    height_px: int
    format: str
    file_bytes: int = 0
    sharpness: float = float("nan")
    proposed_keep: bool = False
    annotations: tuple[Annotation, ...] = ()
    seen: str = ""


@dataclass(frozen=True)
class Card:
    """What is shown about one item.

    kind : "sample" or "duplicates"
    sample_id, path, split, given_label : of the picture, of a case those of its first member
    p_given : the model's probability of the given label, None where no model judged it
    suggestions : up to three (label, probability), the likeliest first, never the given label (of a case: of any member
        that disagrees); probability 0 where a rule suggests it and no model
    why : one plain sentence per finding, safe to print; `why_parts` the same in pieces, class names as explain.Label
    issues : names of the findings, flagged ones only, best rank first
    members : the copies of a case, all of them, in path order; a sample has itself
    keep_why : why the copy marked `proposed_keep` is proposed
    settle_label : of a case, the label that is proposed for all members, "" where nothing favours one
    measurements : what was measured on the picture, by column name
    status, reason : "ok", or "unreadable" and why
    said_by : label -> who says so, where that is known and not the model
    advice : the label that the detectors suggest, recorded with a decision; "" = none
    task : one of curation.records.TASKS. Where it is not `single-label`, `given_label` is all labels in words, there
        are no `suggestions`, and `findings` are all that was found, flagged first, each with what it proposes
    said, confirmed : what the reviewer who is shown it has changed of some annotations, and found right (by id),
        without looking at the whole picture; see curation.review.parts
    """

    item_id: str
    kind: str
    sample_id: str
    path: str
    split: str
    given_label: str
    p_given: float | None
    suggestions: tuple[tuple[str, float], ...]
    why: tuple[str, ...]
    why_parts: tuple[tuple[str, ...], ...]
    issues: tuple[str, ...]
    score: float
    neighbours: tuple[Neighbour, ...]
    members: tuple[Member, ...]
    keep_why: str
    settle_label: str
    measurements: Mapping[str, float]
    status: str
    reason: str
    said_by: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    task: str = "single-label"
    findings: tuple[Finding, ...] = ()
    said: tuple[Line, ...] = ()
    confirmed: tuple[str, ...] = ()

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """Those of the picture, of a case those of its first member."""
        return next((member.annotations for member in self.members if member.sample_id == self.sample_id), ())


def cards(
    run: Run,
    item_ids: Sequence[str],
    members: Mapping[str, Sequence[str]] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Annotations | None = None,
) -> list[Card]:
    """The cards of some items, in the order asked for.

    Parameters
    ----------
    members : sample ids by item id, as the store has them (`Item.members`); an item without an entry has all members
        of its cluster that the run knows
    labels : the data set's present label by sample_id, where it is not the run's (see review.changed_labels)
    annotations : of the version under review; needed where pictures have several labels, or boxes

    Raises
    ------
    NotFoundError : an item that the run does not have.
    """
    index = open_index(run)
    current = labels or {}
    if several(run):
        known = annotations or Annotations.of_nothing()
        return [_card_of_several(index, item_id, (members or {}).get(item_id), known) for item_id in item_ids]
    return [_card(index, item_id, (members or {}).get(item_id), current) for item_id in item_ids]


def _card(index: RunIndex, item_id: str, given: Sequence[str] | None, current: Mapping[str, str]) -> Card:
    rows = _rows_of_item(index, item_id, given)
    is_case = item_id.startswith("d")
    samples = index.samples.iloc[rows]
    names = [current.get(sid, label) for sid, label in zip(samples["sample_id"], _run_labels(samples), strict=True)]
    samples = samples.assign(label=pd.Series(names, index=samples.index, dtype="str"))
    now = dict(zip(samples["sample_id"].tolist(), names, strict=True))
    found = [as_of_now(row, now, current) for row in _findings(index, rows)]
    first = int(rows[0])
    label = names[0]
    suggestions = case_suggestions(index, rows, names, found) if is_case else suggestions_of(index, first, label, found)
    sentences, parts = why_of(found, is_case)
    settled = settled_label(names, found, suggestions) if is_case else ""
    proposal = propose_keep(samples, settled) if is_case else Proposal(0, "")
    return Card(
        item_id=item_id,
        kind="duplicates" if is_case else "sample",
        sample_id=str(samples["sample_id"].iat[0]),
        path=str(samples["path"].iat[0]),
        split=str(samples["split"].iat[0]),
        given_label=label,
        p_given=probability_given(index, first, label),
        suggestions=suggestions,
        why=sentences,
        why_parts=parts,
        issues=tuple(dict.fromkeys(str(row["issue"]) for row in found if row["is_issue"])),
        score=float(min((row["score"] for row in found), default=1.0)),
        neighbours=_neighbours(index, first, current),
        members=_members(index, samples, rows, proposal.place if is_case else -1),
        keep_why=proposal.why,
        settle_label=settled,
        measurements={name: float(samples[name].iat[0]) for name in MEASUREMENTS
                      if name in samples and np.isfinite(samples[name].iat[0])},
        status=str(samples["status"].iat[0]),
        reason=str(samples["reason"].iat[0]),
        advice=settled or (suggestions[0][0] if suggestions else ""),
    )  # fmt: skip


def _card_of_several(index: RunIndex, item_id: str, given: Sequence[str] | None, known: Annotations) -> Card:
    """The card of a picture, or a case of copies, whose labels or boxes are decided one by one."""
    rows = _rows_of_item(index, item_id, given)
    is_case = item_id.startswith("d")
    samples = index.samples.iloc[rows]
    there = {name: known.of(name) for name in samples["sample_id"].tolist()}
    words = [words_of(there[name]) for name in samples["sample_id"]]
    samples = samples.assign(label=pd.Series(words, index=samples.index, dtype="str"))
    sizes = {name: (int(w), int(h)) for name, w, h in zip(samples["sample_id"], samples["width_px"],
                                                          samples["height_px"], strict=True)}  # fmt: skip
    task = str(index.run.info["task"])
    found = tuple(
        replace(one, near=_near_boxes(index, one, known))
        for one in findings_of(_findings(index, rows), there, sizes, task)
    )
    proposal = propose_keep(samples, "") if is_case else Proposal(0, "")
    flagged = tuple(one for one in found if one.is_issue)
    said = {one.why: one.why_parts for one in flagged or found[:1]}
    members = _members(index, samples, rows, proposal.place if is_case else -1)
    near = _neighbours(index, int(rows[0]), {})
    return Card(
        item_id=item_id,
        kind="duplicates" if is_case else "sample",
        sample_id=str(samples["sample_id"].iat[0]),
        path=str(samples["path"].iat[0]),
        split=str(samples["split"].iat[0]),
        given_label=words[0],
        p_given=None,
        suggestions=(),
        why=tuple(said),
        why_parts=tuple(said.values()),
        issues=tuple(dict.fromkeys(one.issue for one in flagged)),
        score=min((one.score for one in found), default=1.0),
        neighbours=tuple(replace(n, label=words_of(known.of(n.sample_id))) for n in near),
        members=tuple(
            replace(m, annotation_id="", annotations=there[m.sample_id], seen=seen_of(m.sample_id, there[m.sample_id]))
            for m in members
        ),
        keep_why=proposal.why,
        settle_label="",
        measurements={name: float(samples[name].iat[0]) for name in MEASUREMENTS
                      if name in samples and np.isfinite(samples[name].iat[0])},
        status=str(samples["status"].iat[0]),
        reason=str(samples["reason"].iat[0]),
        advice=next((one.suggestion for one in found if one.suggestion), ""),
        task=task,
        findings=(*flagged, *(one for one in found if not one.is_issue)),
    )  # fmt: skip


def _near_boxes(index: RunIndex, found: Finding, known: Annotations) -> tuple[NearBox, ...]:
    """What the sentence of a doubted label speaks of, as it is labelled now."""
    if found.issue != "label_error" or not found.is_issue or index.run.info["task"] != "detection":
        return ()
    near = []
    for key in index.near_boxes(found.annotation_id, NEAR_SHOWN):
        owner = str(index.boxes.at[key, "sample_id"])
        one = by_id(known.of(owner)).get(key)
        near += [NearBox(owner, one.label, one.box)] if one is not None and one.box is not None else []
    return tuple(near)


def _rows_of_item(index: RunIndex, item_id: str, members: Sequence[str] | None) -> np.ndarray:
    if members is None and item_id.startswith("d"):
        rows = index.cases.get(item_id, np.zeros(0, dtype=np.int64))
    else:
        rows = index.rows(list(members or [item_id]))
    rows = rows[rows >= 0]
    if not len(rows):
        raise NotFoundError(f"Run {index.run.run_id} has no item '{item_id[:60]}'; it was made from another state of "
                            "the data. Score again, or look at another item.")  # fmt: skip
    if not item_id.startswith("d"):
        return rows[:1]
    # The member that was found first stands for the case.
    best = [int(found[0]) if len(found := index.issue_rows(int(row))) else len(index.issues) for row in rows[:1000]]
    lead = int(np.argmin(best))
    return np.concatenate([rows[lead : lead + 1], np.delete(rows, lead)])


def _run_labels(samples: pd.DataFrame) -> list[str]:
    return samples["given_label"].tolist() if "given_label" in samples else [""] * len(samples)


def _findings(index: RunIndex, rows: np.ndarray) -> list[dict[str, Any]]:
    """The findings on the first pictures of an item, best rank first, with their evidence."""
    at = np.sort(np.concatenate([index.issue_rows(int(row)) for row in rows[:LOOKED_AT]]))
    found: list[dict[str, Any]] = index.issues.iloc[at].to_dict("records")
    for row, text in zip(found, index.evidence(at), strict=True):
        row["evidence"] = text
    return found


def _neighbours(index: RunIndex, row: int, labels: Mapping[str, str]) -> tuple[Neighbour, ...]:
    near, distance = index.arrays.get("neighbours"), index.arrays.get("neighbour_distances")
    if near is None or distance is None or row >= len(near):
        return ()
    ids = index.samples["sample_id"]
    given = index.samples["given_label"]
    return tuple(
        Neighbour(str(ids.iat[n]), labels.get(str(ids.iat[n]), str(given.iat[n])), float(d))
        for n, d in zip(near[row].tolist(), distance[row].tolist(), strict=True)
        if n >= 0 and d == d
    )


def _members(index: RunIndex, samples: pd.DataFrame, rows: np.ndarray, keep: int) -> tuple[Member, ...]:
    """All members in path order; `keep` is the place of the one to keep, -1 = none."""
    annotation_ids = _annotation_ids(index, samples, rows)
    table = pd.DataFrame({name: samples[name].to_numpy(dtype=object) for name in _MEMBER_COLUMNS if name in samples})
    table["annotation_id"] = annotation_ids
    table["proposed_keep"] = np.arange(len(rows)) == keep
    return tuple(
        Member(**line)
        for line in table.sort_values("path", kind="stable").to_dict("records")  # type: ignore[misc]
    )


def _annotation_ids(index: RunIndex, samples: pd.DataFrame, rows: np.ndarray) -> list[str]:
    """As the findings have them; a picture without findings has its first annotation, an unlabelled one none."""
    at = [index.issue_rows(int(row))[:1] for row in rows]
    known = np.full(len(rows), "", dtype=object)
    has = np.array([len(found) > 0 for found in at], dtype=bool)
    if has.any():
        known[has] = index.issues["annotation_id"].iloc[np.concatenate(at)].to_numpy(dtype=object)
    return [
        text or (make_annotation_id(sample_id) if label else "")
        for text, sample_id, label in zip(known, samples["sample_id"], samples["label"], strict=True)
    ]
