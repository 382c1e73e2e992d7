"""Decisions without a screen: on a picture that is named, judged against the newest version.

What a person or a program writes becomes the same actions that the app records; nothing is recorded here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from curation.decisions import Decision, check_decision
from curation.edits import Box, new_annotation_id, refuse_doubled
from curation.errors import NotFoundError, SettingsError
from curation.review.annotations import Annotation, Annotations, by_id, seen_of, words_of
from curation.review.counting import count_edits
from curation.wording import counted

_SHOWN = 12
_LISTED = 3
_COMPARED = 20_000  # names that a misspelt one is compared with
_CLOSE = 0.9  # share of letters in common from which one is a misspelling of the other


@dataclass(frozen=True)
class Subject:
    """What is decided on: the pictures of one version of a data set.

    rows : manifest rows (curation.manifest.COLUMNS), by sample_id
    labels : that the data set has, and that reviewers gave
    task : one of curation.records.TASKS
    """

    dataset: str
    version: str
    rows: pd.DataFrame
    labels: frozenset[str]
    task: str = "single-label"

    @cached_property
    def annotations(self) -> Annotations:
        """Those of every picture."""
        return Annotations(self.rows)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The first row of each picture by path and, where one is both, rather by sample_id."""
        first = self.rows.drop_duplicates("sample_id")
        by_path = dict(zip(first["path"], first.index, strict=True))
        return by_path | dict(zip(first["sample_id"], first.index, strict=True))

    def find(self, text: str) -> str:
        """The sample_id of the picture whose sample_id or path this is.

        Raises
        ------
        NotFoundError : there is none; names some that are alike.
        """
        row = self._places.get(text)
        if row is None:
            near = self._alike(text[:200]) if text else []
            some = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
            raise NotFoundError(f"Version {self.version} of {self.dataset} has no picture {text[:200]!r}.{some}")
        return str(self.rows["sample_id"].at[row])

    def _alike(self, text: str) -> list[str]:
        """Paths that may have been meant: those that end so, else those that differ in a letter or two.

        No wider: names like 813cde.png and 803cdf.png are alike by chance.
        """
        paths = self.rows["path"].drop_duplicates()
        name = text.removeprefix("./").rpartition("/")[2]
        for end in ("/" + text.removeprefix("./"), "/" + name):
            ending = paths[paths.str.endswith(end)] if name else paths[:0]
            if len(ending):
                return [str(path) for path in ending.head(_LISTED)]
        return difflib.get_close_matches(text, paths.head(_COMPARED).tolist(), n=_LISTED, cutoff=_CLOSE)

    def path_of(self, sample_id: str) -> str:
        """The path of a picture of this version."""
        return str(self.rows["path"].at[self._places[sample_id]])

    def decide(
        self, sample: str, verdict: str, labels: Sequence[str] = (), reason: str = "", new_labels: bool = False
    ) -> Decision:
        """One decision on the label that a picture has in this version.

        Parameters
        ----------
        sample : sample_id or path
        new_labels : whether labels may be such as the data set does not have yet

        Raises
        ------
        NotFoundError : no such picture.
        SettingsError : a verdict, label or reason that cannot be, or that does not fit the picture.
        """
        sample_id = self.find(sample)
        at = self._places[sample_id]
        row = self.rows.loc[at]
        if self.task != "single-label":
            return self._decide_all(sample_id, verdict, labels, reason, new_labels)
        following = self.rows.index.get_loc(at) + 1  # rows are sorted by sample_id
        if following < len(self.rows) and self.rows["sample_id"].iloc[following] == sample_id:
            raise SettingsError(f"{row['path']} has more than one label, in a data set of one label per picture.")
        given = str(row["label"])
        if verdict in ("keep", "hard") and not row["annotation_id"]:
            raise SettingsError(f"{row['path']} has no label that could be kept; give it one with relabel.")
        decision = Decision(
            sample_id, sample_id, verdict, tuple(labels), reason, str(row["annotation_id"]), given_label=given
        )
        known: Collection[str] | None = None if new_labels else self.labels
        try:
            return check_decision(decision, known)
        except SettingsError as error:
            raise SettingsError(f"{error}{'' if new_labels else self._hint(labels)}") from None

    def _decide_all(
        self, sample_id: str, verdict: str, labels: Sequence[str], reason: str, new_labels: bool
    ) -> Decision:
        """A decision on all annotations of a picture; `relabel` where there is one that it can be about."""
        there = self.annotations.of(sample_id)
        path = self.path_of(sample_id)
        if verdict == "relabel" and len(there) == 1 and len(labels) == 1:
            return self.edit(sample_id, [{"change": "relabel", "annotation": "", "to": labels[0]}], new_labels)
        if verdict in ("relabel", "ambiguous"):
            raise SettingsError(
                f"{path} has {counted(len(there), 'annotation')}: say which one is wrong, with --relabel ID=LABEL, "
                f"--add or --remove.{_listing(there)}"
            )
        seen = seen_of(sample_id, there) if verdict in ("keep", "hard") else ""
        given = words_of(there)
        return check_decision(
            Decision(sample_id, sample_id, verdict, (), reason, given_label=given, seen=seen), self.labels
        )

    def edit(
        self, sample: str, lines: Sequence[Mapping[str, Any]], new_labels: bool = False, action_id: str = ""
    ) -> Decision:
        """One decision on some of a picture's annotations.

        Parameters
        ----------
        sample : sample_id or path
        lines : `change` (relabel, box, drop, add); `annotation`: an annotation_id, the end of one after its sample's id
            (`0`, `2`), or a label that one of them has; `to`: a label, a box, or for `add` `{"label": ..., "box": ...}`
        action_id : from which what is added gets its id; "" = from what is said

        Raises
        ------
        NotFoundError, SettingsError : no such picture or annotation, or a change that cannot be.
        """
        sample_id = self.find(sample)
        if self.task == "single-label":
            raise SettingsError(f"{self.path_of(sample_id)} has one label; say which is right with --relabel LABEL.")
        there = self.annotations.of(sample_id)
        action_id = action_id or json.dumps([self.version, list(map(dict, lines))], sort_keys=True)
        edits = self._lines(sample_id, there, lines, action_id)
        given = words_of(there)
        made = Decision(
            sample_id, sample_id, "edit", given_label=given, edits=edits, seen=seen_of(sample_id, there)
        )  # fmt: skip
        try:
            return check_decision(made, None if new_labels else self.labels)
        except SettingsError as error:
            hint = "" if new_labels else self._hint([str(name) for name in _labels_in(edits)])
            raise SettingsError(f"{error}{hint}") from None

    def split_relabel(self, sample: str, text: str) -> tuple[str, str]:
        """`ID=LABEL` in two, "" for the ID where there is none. Labels can have `=` in them, too: one that the data set
        has counts, and what names an annotation of the picture."""
        first, equals, rest = text.partition("=")
        if not equals:
            return "", text
        parts = text.split("=")
        cuts = [("=".join(parts[:at]), "=".join(parts[at:])) for at in range(1, len(parts))]
        known = [cut for cut in cuts if cut[1] in self.labels]
        sample_id = self.find(sample)
        there = self.annotations.of(sample_id)
        named = [cut for cut in known if cut[0] and _meant(cut[0], sample_id, there)]
        return next(iter([*named, *known]), (first, rest))

    def _lines(
        self, sample_id: str, there: Sequence[Annotation], lines: Sequence[Mapping[str, Any]], action_id: str
    ) -> tuple[dict[str, Any], ...]:
        """Full lines; of counts also those of `{"change": "count", "annotation": LABEL, "to": NUMBER}`."""
        if self.task == "counts":
            return count_edits(sample_id, there, lines, action_id, self.path_of(sample_id))
        edits = tuple(self._line(sample_id, there, line, place, action_id) for place, line in enumerate(lines))
        refuse_doubled(edits)
        return edits

    def _line(
        self, sample_id: str, there: Sequence[Annotation], line: Mapping[str, Any], place: int, action_id: str
    ) -> dict[str, Any]:
        kind, to = str(line.get("change", "")), line.get("to")
        path = self.path_of(sample_id)
        if kind == "add":
            value = {"label": to} if isinstance(to, str) else to
            boxed = isinstance(value, Mapping) and value.get("box") is not None
            if boxed != (self.task == "detection"):
                raise SettingsError("What is added here needs a box: --add LABEL=X,Y,W,H." if not boxed else
                                    "Labels of this data set have no boxes.")  # fmt: skip
            label = value.get("label") if isinstance(value, Mapping) else None
            if not boxed and any(one.label == label for one in there):
                raise SettingsError(f"{path} has the label {str(label)[:100]!r} already.")
            key = new_annotation_id(sample_id, action_id, place)
            return {"change": kind, "annotation_id": key, "from": None, "to": value}
        one = _named(str(line.get("annotation", "")), sample_id, there, path)
        if kind == "box" and one.box is None:
            raise SettingsError("Labels of this data set have no boxes.")
        before = {"relabel": one.label, "box": list(one.box or ())}.get(kind, one.as_value)
        return {
            "change": kind,
            "annotation_id": one.annotation_id,
            "from": before,
            "to": None if kind == "drop" else to,
        }

    def _hint(self, labels: Sequence[str]) -> str:
        """What may have been meant by a label that the data set does not have."""
        unknown = [label for label in labels if label and label not in self.labels]
        if not unknown:
            return ""
        near = difflib.get_close_matches(unknown[0][:200], sorted(self.labels)[:_COMPARED], n=_LISTED)
        meant = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        return f"{meant} A new one has to be allowed: --new-label."


def _labels_in(edits: Sequence[Mapping[str, Any]]) -> list[Any]:
    values = [line["to"] for line in edits if line["change"] in ("relabel", "add")]
    return [value.get("label", "") if isinstance(value, Mapping) else value for value in values]


def _named(text: str, sample_id: str, there: Sequence[Annotation], path: str) -> Annotation:
    """The annotation that a person means."""
    found = _meant(text, sample_id, there)
    if len(found) == 1:
        return found[0]
    if len({one.label == text for one in found}) == 2:
        what = f"a label {text[:100]!r}, and an annotation of that number: give its annotation_id"
    else:
        what = f"several annotations {text[:100]!r}" if found else f"no annotation {text[:100]!r}"
    raise SettingsError(f"{path} has {what}.{_listing(there)}")


def _meant(text: str, sample_id: str, there: Sequence[Annotation]) -> list[Annotation]:
    """The annotations that a text can stand for: its id, its number, its label; "" for all. A class can be called `0`,
    so that who says `0` where one is called so and another is the first has said nothing."""
    known = by_id(there)
    if text in known:
        return [known[text]]
    number = known.get(f"{sample_id}-{text}")
    found = [one for one in there if not text or one.label == text]
    return found if number is None or number in found else [number, *found]


def _listing(there: Sequence[Annotation]) -> str:
    """The annotations of a picture as they can be named."""
    if not there:
        return " It has none."
    short = [f"{one.annotation_id.rpartition('-')[2]} {one.label[:40]!r}{_place(one.box)}" for one in there[:_SHOWN]]
    return f" It has: {', '.join(short)}{' ...' if len(there) > _SHOWN else ''}."


def _place(box: Box | None) -> str:
    return "" if box is None else f" at {box[0]:.0f},{box[1]:.0f},{box[2]:.0f},{box[3]:.0f}"
