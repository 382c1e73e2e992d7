"""One class at a time: every annotation of a class, and what is thought to be missing of it, worst first.

a version's annotations + a run's findings --ClassIndex--> places --open_tiles--> tiles that a page shows
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation.edits import Line
from curation.review.annotations import Annotation, Annotations
from curation.review.findings import Finding, findings_of
from curation.review.proposals import ADDING
from curation.review.run_index import RunIndex

GIVEN, MISSING = "given", "missing"


@dataclass(frozen=True)
class Tile:
    """One annotation of the class, or one that is thought to be missing.

    key : names it among the tiles of its picture: the annotation_id, or `?` and the number of the finding
    annotation : as it is now, None where it is missing
    findings : about it, flagged first; proposal : of the first that has one, () where nothing is proposed
    others : annotations of the picture that it is compared with
    """

    sample_id: str
    key: str
    label: str
    annotation: Annotation | None
    findings: tuple[Finding, ...] = ()
    proposal: tuple[Line, ...] = ()
    others: tuple[Annotation, ...] = ()

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Where it is, in pixels of the upright picture; None where it has no place."""
        if self.annotation is not None:
            return self.annotation.box
        box = self.proposal[0]["to"].get("box") if self.proposal else None
        return None if box is None else (box[0], box[1], box[2], box[3])

    @property
    def is_suspect(self) -> bool:
        """Whether a finding about it is flagged."""
        return any(found.is_issue for found in self.findings)


class ClassIndex:
    """Where the annotations of each class are, and the findings about each, worst first; made once for a version.

    samples : the pictures whose annotations count: those that are items of their own
    """

    def __init__(self, index: RunIndex, annotations: Annotations, samples: Collection[str]) -> None:
        self.index, self.annotations = index, annotations
        rows, issues = annotations.rows, index.issues
        known = rows["sample_id"].isin(set(samples)).to_numpy() & (rows["annotation_id"] != "").to_numpy()
        given = rows.loc[known, ["sample_id", "annotation_id", "label"]].reset_index(drop=True)
        # Issues are in rank order, flagged ones first: the first row is the worst. What has none comes last.
        about = np.flatnonzero((issues["annotation_id"] != "").to_numpy())
        at = pd.Index(given["annotation_id"]).get_indexer(issues["annotation_id"].iloc[about])
        about, at = about[at >= 0], at[at >= 0]
        said = issues["given_label"].to_numpy(dtype=object)[about]
        fits = (said == "") | (said == given["label"].to_numpy(dtype=object)[at])
        about, at = about[fits], at[fits]
        place = np.full(len(given), len(issues), dtype=np.int64)
        place[at[::-1]] = about[::-1]
        flagged = np.append(issues["is_issue"].to_numpy(dtype=bool), False)[place]
        order = np.argsort(place, kind="stable")
        self._given = given.assign(place=place, flagged=flagged).iloc[order].reset_index(drop=True)
        adding = issues["issue"].isin(ADDING) & (issues["annotation_id"] == "") & (issues["suggestion"] != "")
        lacking = issues.loc[adding & issues["sample_id"].isin(set(samples)), ["sample_id", "suggestion", "is_issue"]]
        self._missing = lacking.rename(columns={"suggestion": "label", "is_issue": "flagged"})
        self._missing = self._missing.assign(place=lacking.index, annotation_id="").reset_index(drop=True)
        if str(index.run.info.get("task")) == "multi-label":
            there = pd.MultiIndex.from_frame(given[["sample_id", "label"]])
            mine = pd.MultiIndex.from_frame(self._missing[["sample_id", "label"]])
            self._missing = self._missing[~mine.isin(there)].drop_duplicates(["sample_id", "label"])

    def classes(self) -> list[str]:
        """The classes that have annotations, or might, in alphabetical order."""
        return sorted(set(self._given["label"]) | set(self._missing["label"]), key=str.casefold)

    def counts(self, answered: Answered) -> dict[tuple[str, str], tuple[int, int]]:
        """(kind, class) -> how many are flagged, and how many there are, of those that nobody has said anything of."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for kind, table in ((GIVEN, self._given), (MISSING, self._missing)):
            rows = table[self._is_open(kind, table, answered)].groupby("label")["flagged"].agg(["sum", "size"])
            found |= {(kind, str(name)): (int(row["sum"]), int(row["size"])) for name, row in rows.iterrows()}
        return found

    def _is_open(self, kind: str, table: pd.DataFrame, answered: Answered) -> np.ndarray:
        is_open = ~table["sample_id"].isin(answered.samples).to_numpy()
        done = answered.annotations if kind == GIVEN else answered.findings
        column = "annotation_id" if kind == GIVEN else "place"
        return is_open & ~table[column].isin(done).to_numpy()

    def places(self, kind: str, label: str, answered: Answered) -> pd.DataFrame:
        """sample_id, annotation_id, place (row of the run's issues) of those that are open, worst first."""
        table = self._given if kind == GIVEN else self._missing
        return table[(table["label"] == label).to_numpy() & self._is_open(kind, table, answered)]

    def missing_findings(self, names: Sequence[str]) -> dict[str, list[tuple[int, Finding]]]:
        """Of some pictures, what is thought to be missing: row of the run's issues, and the finding."""
        if not names:
            return {}
        places = self._missing.loc[self._missing["sample_id"].isin(set(names)), "place"].tolist()
        return self._findings(names, {name: self.annotations.of(name) for name in names}, (), places)

    # --- tiles

    def tiles(self, places: pd.DataFrame) -> list[Tile]:
        """The tiles of rows of `places`, in that order; without those that have become something else meanwhile."""
        names = places["sample_id"].drop_duplicates().tolist()
        there = {name: self.annotations.of(name) for name in names}
        wanted = set(places["annotation_id"]) - {""}
        found = self._findings(names, there, wanted, set(places["place"]))
        tiles = []
        for row in places.to_dict("records"):
            tile = self._tile(str(row["sample_id"]), str(row["annotation_id"]) or f"?{row['place']}", there, found)
            tiles += [tile] if tile is not None else []
        return tiles

    def tile(self, sample_id: str, key: str) -> Tile | None:
        """One tile by its names; None where there is none such."""
        there = {sample_id: self.annotations.of(sample_id)}
        places = {int(key[1:])} if key.startswith("?") and key[1:].isdecimal() else set()
        return self._tile(sample_id, key, there, self._findings([sample_id], there, {key}, places))

    def _findings(
        self,
        names: Sequence[str],
        there: Mapping[str, Sequence[Annotation]],
        keys: Collection[str],
        places: Collection[int],
    ) -> dict[str, list[tuple[int, Finding]]]:
        """Row of the issues, and finding, of each picture, best rank first: those about annotations, or in places."""
        index = self.index
        rows = index.rows(names)
        at = np.sort(np.concatenate([index.issue_rows(int(row)) for row in rows if row >= 0] or [np.zeros(0, int)]))
        at = at[index.issues["annotation_id"].iloc[at].isin(keys).to_numpy() | np.isin(at, list(places))]
        table: list[dict[str, Any]] = index.issues.iloc[at].to_dict("records")
        chosen = index.samples.iloc[rows[rows >= 0]]
        sizes = {
            str(name): (int(w), int(h))
            for name, w, h in zip(chosen["sample_id"], chosen["width_px"], chosen["height_px"], strict=True)
        }
        found: dict[str, list[tuple[int, Finding]]] = {}
        task = str(index.run.info["task"])
        for place, row, text in zip(at.tolist(), table, index.evidence(at), strict=True):
            row["evidence"] = text
            for one in findings_of([row], there, sizes, task):
                found.setdefault(one.sample_id, []).append((place, one))
        return found

    def _tile(
        self,
        sample_id: str,
        key: str,
        there: Mapping[str, Sequence[Annotation]],
        found: Mapping[str, Sequence[tuple[int, Finding]]],
    ) -> Tile | None:
        mine = found.get(sample_id, ())
        if key.startswith("?"):
            one = next((finding for place, finding in mine if f"?{place}" == key and finding.proposal), None)
            if one is None or one.proposal[0]["change"] != "add":
                return None
            return Tile(sample_id, key, str(one.proposal[0]["to"]["label"]), None, (one,), one.proposal)
        annotation = next((one for one in there[sample_id] if one.annotation_id == key), None)
        if annotation is None:
            return None
        about = tuple(finding for _, finding in mine if finding.annotation_id == key)
        proposal = next((finding.proposal for finding in about if finding.proposal and finding.is_issue), ())
        compared = {finding.other for finding in about if finding.is_issue}
        others = tuple(one for one in there[sample_id] if one.annotation_id in compared)
        return Tile(sample_id, key, annotation.label, annotation, about, proposal, others)


@dataclass(frozen=True)
class Answered:
    """What somebody has said something of: samples as a whole, annotations by id, findings by row of the issues."""

    samples: frozenset[str] = frozenset()
    annotations: frozenset[str] = frozenset()
    findings: frozenset[int] = frozenset()
