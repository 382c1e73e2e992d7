"""Many decisions from a file: a table, or JSON lines; all of them right, or none. Nothing is recorded here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from curation.decisions import REASONS, VERDICTS, Action, Decision, check_action
from curation.errors import CurationError, LabelParseError, SettingsError, SourceError
from curation.importers.table_file import Table, read_table
from curation.review.deciding import Subject

SAMPLE_COLUMNS = ("sample_id", "sample", "path", "image")  # names a picture: the first that the table has
LABEL_COLUMNS = ("label", "label_2", "label_3", "label_4", "label_5")  # more than one for `ambiguous`
# `distinct` is said of a case, and a table has no columns for edits.
OF_SAMPLES = tuple(verdict for verdict in VERDICTS if verdict not in ("distinct", "edit"))


@dataclass(frozen=True)
class FromTable:
    """The decisions of a table; skipped : how many of its rows have no verdict and no label."""

    decisions: tuple[Decision, ...]
    skipped: int


def read_edit_lines(file: Path, subject: Subject, new_labels: bool = False) -> FromTable:
    """Decisions from JSON lines, all of them right, or none.

    One object per line: `sample` (sample_id or path), and `edits`, lines as `Subject.edit` takes them, or `verdict`
    with `labels` and `reason`. Empty lines are skipped.

    Raises
    ------
    SourceError : the file cannot be read.
    LabelParseError : a line that cannot be; names file and line, and how many others there are.
    """
    try:
        texts = file.read_bytes().decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from error
    made: dict[str, Decision] = {}
    problems: list[str] = []
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            decision = _from_line(text, subject, new_labels)
            if made.setdefault(decision.sample_id, decision) != decision:
                raise SettingsError("it contradicts an earlier line about the same picture")
        except CurationError as error:
            problems.append(f"{file.name}, line {number}: {error}")
    if problems:
        others = f" Lines that are wrong: {len(problems):,}." if len(problems) > 1 else ""
        raise LabelParseError(f"{problems[0].rstrip('.')}.{others} Nothing was recorded.")
    return FromTable(tuple(made.values()), 0)


def _from_line(text: str, subject: Subject, new_labels: bool) -> Decision:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"it is no JSON ({str(error)[:100]})") from error
    if not isinstance(value, dict) or not isinstance(value.get("sample"), str):
        raise SettingsError('it is no object with a "sample"')
    edits, labels = value.get("edits"), value.get("labels", [])
    if edits is not None:
        if not isinstance(edits, list) or not edits or not all(isinstance(line, dict) for line in edits):
            raise SettingsError('"edits" is no list of changes')
        return subject.edit(value["sample"], edits, new_labels)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise SettingsError('"labels" is no list of texts')
    verdict, reason = str(value.get("verdict", "")), str(value.get("reason", ""))
    return subject.decide(value["sample"], verdict, labels, reason, new_labels)


# --- tables ----------------------------------------------------------------------------------------------------------


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
    said = sorted(
        (d.sample_id, d.verdict, *d.labels, d.reason, *([json.dumps(d.edits)] if d.edits else []))
        for d in action.decisions
    )
    text = json.dumps([action.dataset, action.reviewer, action.comment, said])
    for time in range(len(taken_back) + 1):
        digest = hashlib.blake2b(f"{text}{time}".encode(), digest_size=16).hexdigest()
        if digest not in taken_back:
            break
    return check_action(replace(action, action_id=digest), {label for d in action.decisions for label in d.new_labels})
