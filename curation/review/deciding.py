"""Decisions without a screen: one on a picture that is named, or many from a table, judged against the newest version.

What a person or a program writes becomes the same actions that the app records; nothing is recorded here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from curation.decisions import REASONS, VERDICTS, Action, Decision, check_action, check_decision
from curation.errors import CurationError, LabelParseError, NotFoundError, SettingsError
from curation.importers.table_file import Table, read_table

SAMPLE_COLUMNS = ("sample_id", "sample", "path", "image")  # names a picture: the first that the table has
LABEL_COLUMNS = ("label", "label_2", "label_3", "label_4", "label_5")  # more than one for `ambiguous`
OF_SAMPLES = tuple(verdict for verdict in VERDICTS if verdict != "distinct")  # which is said of a case
_LISTED = 3
_COMPARED = 20_000  # names that a misspelt one is compared with
_CLOSE = 0.9  # share of letters in common from which one is a misspelling of the other


@dataclass(frozen=True)
class Subject:
    """What is decided on: the pictures of one version of a data set.

    rows : manifest rows (curation.manifest.COLUMNS), by sample_id
    labels : that the data set has, and that reviewers gave
    """

    dataset: str
    version: str
    rows: pd.DataFrame
    labels: frozenset[str]

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
        following = self.rows.index.get_loc(at) + 1  # rows are sorted by sample_id
        if following < len(self.rows) and self.rows["sample_id"].iloc[following] == sample_id:
            raise SettingsError(f"{row['path']} has more than one label; only pictures with one can be decided yet.")
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

    def _hint(self, labels: Sequence[str]) -> str:
        """What may have been meant by a label that the data set does not have."""
        unknown = [label for label in labels if label and label not in self.labels]
        if not unknown:
            return ""
        near = difflib.get_close_matches(unknown[0][:200], sorted(self.labels)[:_COMPARED], n=_LISTED)
        meant = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        return f"{meant} A new one has to be allowed: --new-label."


# --- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromTable:
    """The decisions of a table; skipped : how many of its rows have no verdict and no label."""

    decisions: tuple[Decision, ...]
    skipped: int


def read_decisions(file: Path, subject: Subject, new_labels: bool = False) -> FromTable:
    """Decisions from a CSV, TSV or Parquet file, all of them right, or none.

    Columns: one of SAMPLE_COLUMNS with a sample_id or path; `verdict`, or for a row with a `label` `relabel`; `label`,
    and `label_2` ... for `ambiguous`; `reason` for `exclude`. Others are not read, so that a table saved by
    `curate issues` can be filled in. One picture twice is fine where both rows say the same.

    Raises
    ------
    SourceError : the file cannot be read.
    LabelParseError : a row that cannot be; names file and line, and how many others there are.
    """
    table = read_table(file)
    name = next((column for column in SAMPLE_COLUMNS if column in table.columns), None)
    if name is None or not {"verdict", "label"} & set(table.columns):
        raise LabelParseError(
            f"{file.name}, line 1: needs a column 'sample_id' or 'path', and one called 'verdict' or 'label'; "
            f"there are {', '.join(map(repr, table.columns)) or 'none'}."
        )
    made: dict[str, tuple[Decision, int]] = {}
    problems: list[str] = []
    skipped = 0
    for row in range(len(table.lines)):
        try:
            decision = _decision(table, row, table.columns[name][row], subject, new_labels)
            if decision is None:
                skipped += 1
                continue
            before = made.setdefault(decision.sample_id, (decision, row))
            if before[0] != decision:
                raise SettingsError(f"it contradicts line {table.lines[before[1]]} about the same picture")
        except CurationError as error:
            problems.append(f"{table.place(row)}: {error}")
    if problems:
        others = f" Lines that are wrong: {len(problems):,}." if len(problems) > 1 else ""
        raise LabelParseError(f"{problems[0].rstrip('.')}.{others} Nothing was recorded.")
    return FromTable(tuple(decision for decision, _ in made.values()), skipped)


def _decision(table: Table, row: int, sample: str, subject: Subject, new_labels: bool) -> Decision | None:
    def cell(name: str) -> str:
        return table.columns[name][row] if name in table.columns else ""

    labels = [_plain(cell(name), subject.labels) for name in LABEL_COLUMNS if cell(name)]
    verdict = cell("verdict").strip().lower() or ("relabel" if labels else "")
    if not verdict:
        return None
    if verdict not in OF_SAMPLES:
        raise SettingsError(f"There is no verdict {cell('verdict')[:100]!r}. There are: {', '.join(OF_SAMPLES)}.")
    takes_labels = verdict in ("relabel", "ambiguous")
    # `curate issues` saves a sentence in a column `reason`, and a filled table may keep it: only `exclude` has its own.
    reason = cell("reason").strip().lower() if verdict == "exclude" else ""
    if verdict == "exclude" and reason not in REASONS:
        said = f"not {cell('reason')[:100]!r}" if reason else "but the column 'reason' is empty"
        raise SettingsError(f"'exclude' needs one of {', '.join(REASONS)} as its reason, {said}.")
    return subject.decide(sample, verdict, labels if takes_labels else (), reason, new_labels)


def _plain(text: str, labels: Collection[str]) -> str:
    """A label without the apostrophe that `curate issues` puts in front of what a spreadsheet would run."""
    return text[1:] if text.startswith("'") and text not in labels and text[1:] in labels else text


def table_action(action: Action, taken_back: Collection[str]) -> Action:
    """The action with an id made of what it says, so that the same table again is the same action.

    taken_back : ids of actions that were undone; after an undo, the table can be given again.
    """
    said = sorted((d.sample_id, d.verdict, *d.labels, d.reason) for d in action.decisions)
    text = json.dumps([action.dataset, action.reviewer, action.comment, said])
    for time in range(len(taken_back) + 1):
        digest = hashlib.blake2b(f"{text}{time}".encode(), digest_size=16).hexdigest()
        if digest not in taken_back:
            break
    return check_action(replace(action, action_id=digest), {label for d in action.decisions for label in d.labels})
