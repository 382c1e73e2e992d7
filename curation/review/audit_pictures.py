"""The audit of pictures with several labels, or boxes: how suspicious each is, and what reviewers found wrong in it.

A picture is wrong if what reviewers made of it is not what the run saw: another label or box, one more, one less. That
is looked up in what they saw and changed, whichever version they looked at, so that a correction that was published and
scored again is no error of the new run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors import DETECTORS, LABEL_ISSUES
from curation.detectors.contract import OF_A_TASK
from curation.manifest import manifest_folder, read
from curation.review.annotations import Annotations
from curation.review.run_index import RunIndex
from curation.runs import Run
from curation.seen import WAITS, Facts, Seen, facts_of, label_digest, read_part, read_seen

# Findings about annotations. The score of LABEL_ISSUES is the probability that what is said of one, or of a class, is
# right; the others say the more of an error the lower their score is, where they are flagged.
ANNOTATION_ISSUES = tuple(
    name for name, detector in DETECTORS.items() if name in LABEL_ISSUES or OF_A_TASK.intersection(detector.needs)
)
_ODD = ("box_outlier", "box_count", "no_box", "odd_combination")  # unusual, which is seldom an error
UNKNOWN = 0.05  # probability that an annotation is wrong, where the run trained no model


@dataclass(frozen=True)
class Doubts:
    """What a run thinks of its pictures.

    row, prob : (L,) row of samples.parquet, and the probability that there is an error: one per annotation, or class
        that may be missing
    name, suggestion : (L,) numbers of the classes that it is about in `classes`, -1 = none
    """

    row: np.ndarray
    prob: np.ndarray
    name: np.ndarray
    suggestion: np.ndarray
    classes: list[str]

    def wrong_prob(self, rows: np.ndarray, name: str | None = None) -> np.ndarray:
        """(R,) probability that anything in each picture is wrong, or what is said of the class `name`."""
        use: Any = slice(None)
        if name is not None:
            number = self.classes.index(name) if name in self.classes else -2
            use = (self.name == number) | (self.suggestion == number)
        logs = np.log1p(-np.clip(self.prob[use], 0.0, 1 - 1e-6))
        return np.asarray(1 - np.exp(_sums(self.row[use], logs, rows)))

    def expected(self, rows: np.ndarray) -> np.ndarray:
        """(R,) number of errors that are to be expected in each picture."""
        return _sums(self.row, self.prob, rows)


def _sums(owner: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    size = int(max(owner.max(initial=-1), rows.max(initial=-1))) + 1
    return np.bincount(owner, weights=values, minlength=size)[rows]


def doubts_of(index: RunIndex, annotations: pd.DataFrame) -> Doubts:
    """What a run thinks of its pictures; of several findings about one annotation the worst counts.

    annotations : of the version that the run saw, columns sample_id, annotation_id, label
    """
    issues = index.issues
    kind = issues["issue"].to_numpy(dtype=object)
    sure = np.isin(kind, LABEL_ISSUES)
    doubted = np.isin(kind, [name for name in ANNOTATION_ISSUES if name not in _ODD]) & issues["is_issue"].to_numpy()
    use = (sure | doubted) & (index.issue_owner >= 0)
    lines = pd.DataFrame(
        {
            "row": index.issue_owner[use],
            "key": issues["annotation_id"].to_numpy(dtype=object)[use],
            "name": issues["given_label"].to_numpy(dtype=object)[use],
            "suggestion": issues["suggestion"].to_numpy(dtype=object)[use],
            "prob": 1 - issues["score"].to_numpy(dtype=np.float64)[use],
        }
    )
    if not sure.any():
        plain = pd.DataFrame({"row": index.rows(annotations["sample_id"]), "key": annotations["annotation_id"],
                              "name": annotations["label"], "suggestion": "", "prob": UNKNOWN})  # fmt: skip
        lines = pd.concat([lines, plain[plain["row"] >= 0]], ignore_index=True)
    lines = lines.sort_values(["prob", "row", "key", "suggestion"], ascending=[False, True, True, True], kind="stable")
    again = lines.duplicated(["row", "key"]) & (lines["key"] != "")
    lines = lines[~again]
    codes, classes = pd.factorize(pd.concat([lines["name"], lines["suggestion"]]))
    numbers = np.where(np.append(classes == "", False)[codes], -1, codes)
    return Doubts(
        lines["row"].to_numpy(dtype=np.int64), lines["prob"].to_numpy(dtype=np.float64), numbers[: len(lines)],
        numbers[len(lines) :], list(map(str, classes)),
    )  # fmt: skip


def annotations_of(run: Run) -> pd.DataFrame:
    """Rows of the version that a run saw, of pictures with annotations or without.

    Raises
    ------
    NotFoundError, WorkspaceError : the version is gone, or damaged.
    """
    folder = manifest_folder(run.folder.parents[2], str(run.info["dataset"]))
    return read(folder, str(run.info["manifest_version"]))


def labelled_pictures(samples: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Row numbers of the readable pictures that somebody labelled: all of a split in which any picture has a label.

    A picture without annotations is one in which there is nothing; a split without any was never labelled.
    """
    owner = pd.Index(samples["sample_id"]).get_indexer(rows.loc[rows["annotation_id"] != "", "sample_id"])
    has_any = pd.Series(False, index=samples.index)
    has_any.iloc[np.unique(owner[owner >= 0])] = True
    split = samples["split"] if "split" in samples else pd.Series("", index=samples.index)
    labelled = has_any.groupby(split.to_numpy()).transform("any").to_numpy(dtype=bool)
    return np.flatnonzero(labelled & (samples["status"] == "ok").to_numpy())


# --- what reviewers said ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What reviewers found wrong in a picture.

    errors : one name per annotation that is wrong, missing or too many; classes : those that they are of
    """

    errors: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    wrong: bool = False


def judged_pictures(said: pd.DataFrame, start: Annotations) -> dict[str, Found | None]:
    """What was wrong in each picture as the run saw it; None = not settled.

    Parameters
    ----------
    said : the store's `effective`
    start : what the run saw

    Of a copy that is dropped because there is another, it is wrong if what is kept has other labels; a picture that
    does not belong, with all its labels; one that is broken does not tell, and counts as right. Where reviewers changed
    different annotations, all of that counts. Reviewers who disagree, or are not sure, settle nothing, nor does who
    looked at a part of the annotations, unless it was enough, and something was wrong.
    """
    names = {label_digest(str(label)): str(label) for label in start.rows["label"].unique()}
    lines = said[said["verdict"] != "distinct"].to_dict("records")
    outcomes = {id(line): _outcome(line, start, names) for line in lines if line["verdict"] in ("keep", "hard", "edit")}
    kept: dict[str, Counter[str]] = {}
    for line in lines:
        if id(line) in outcomes:
            kept.setdefault(str(line["action_id"]), Counter(facts.label for facts in outcomes[id(line)].values()))
    found: dict[str, Found | None] = {}
    sure: set[str] = set()
    for line in lines:
        sample_id = str(line["sample_id"])
        if not line["holds"] and (sample_id in sure or read_part(line["seen"]) == WAITS):
            continue
        if line["verdict"] == "unsure" or line["state"] == "disagreement":
            found.setdefault(sample_id, None)
            continue
        before = _facts(start, sample_id)
        if line["verdict"] == "exclude":
            new = _excluded(line, before, kept.get(str(line["action_id"])), names)
        else:
            new = _difference(before, outcomes[id(line)], names)
        if read_part(line["seen"]) and not new.wrong:
            found.setdefault(sample_id, None)
            continue
        earlier = found.get(sample_id) if sample_id in sure else None
        found[sample_id] = new if earlier is None else _both(earlier, new)
        if line["holds"]:
            sure.add(sample_id)
    return found


def _facts(start: Annotations, sample_id: str) -> Seen:
    return {a.annotation_id: facts_of(a.label, a.box) for a in start.of(sample_id)}


def _outcome(line: Mapping[str, Any], start: Annotations, names: dict[str, str]) -> Seen:
    """What a reviewer left: what there was to be seen, with the changes; `names` learns new labels."""
    sample_id = str(line["sample_id"])
    there = dict(read_seen(sample_id, line["seen"]) if line["seen"] else _facts(start, sample_id))
    if read_part(line["seen"]):  # nothing is said of what was not seen
        there = {**_facts(start, sample_id), **there}
    for edit in json.loads(line["edits"]) if line["edits"] else ():
        key, to = edit["annotation_id"], edit["to"]
        if edit["change"] == "drop":
            there.pop(key, None)
        elif edit["change"] == "add":
            there[key] = facts_of(to["label"], to.get("box"))
            names[label_digest(to["label"])] = to["label"]
        elif key in there and edit["change"] == "relabel":
            there[key] = Facts(label_digest(to), there[key].box)
            names[label_digest(to)] = to
        elif key in there:
            there[key] = Facts(there[key].label, facts_of("", to).box)
    return there


def _difference(before: Seen, after: Seen, names: Mapping[str, str]) -> Found:
    other = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    labels = {side[key].label for key in other for side in (before, after) if key in side}
    # What is new has an id of each reviewer who added it, and is to be counted once.
    errors = {key for key in other if key in before} | _numbered(after[key].label for key in other if key not in before)
    return Found(frozenset(errors), _named(labels, names), bool(other))


def _numbered(labels: Iterable[str]) -> set[str]:
    return {f"{label} {place}" for label, count in Counter(labels).items() for place in range(count)}


def _excluded(line: Mapping[str, Any], before: Seen, kept: Counter[str] | None, names: Mapping[str, str]) -> Found:
    labels = Counter(facts.label for facts in before.values())
    if line["reason"] == "off-topic":
        return Found(frozenset(before), _named(labels, names), True)
    if line["reason"] == "duplicate" and kept is not None and kept != labels:
        differing = (labels - kept) + (kept - labels)
        return Found(frozenset(_numbered(differing.elements())), _named(differing, names), True)
    return Found()


def _named(labels: Iterable[str], names: Mapping[str, str]) -> frozenset[str]:
    return frozenset(names[label] for label in labels if label in names)


def _both(one: Found, other: Found) -> Found:
    """What two reviewers changed, each of them something else or the same."""
    return Found(one.errors | other.errors, one.classes | other.classes, one.wrong or other.wrong)
