"""The ranked issues of a run as one table for people and other programs, and as a file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from curation.detectors import DETECTORS
from curation.errors import NotFoundError, SettingsError
from curation.explain import explain, read_evidence
from curation.files import write_atomic
from curation.runs import Run

SUFFIXES = (".csv", ".parquet", ".json")
# What a spreadsheet takes for the start of a formula, also after blanks that it strips.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def ranked_issues(run: Run, names: Sequence[str] = (), top: int | None = None) -> pd.DataFrame:
    """The issues of a run in rank order, with the `path` and `split` of each sample.

    Parameters
    ----------
    names : only issues of these names; all if empty
    top : only so many rows; all if None. `rank` stays the rank among all issues.

    Raises
    ------
    NotFoundError : no issue of that name; lists the known ones.
    """
    issues = run.issues()
    known = list(dict.fromkeys([*DETECTORS, *issues["issue"].unique()]))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFoundError(f"There is no issue called '{unknown[0]}'. Known: {', '.join(known)}.")
    if names:
        issues = issues[issues["issue"].isin(names)]
    issues = issues.sort_values("rank", kind="stable").head(len(issues) if top is None else top)
    where = run.samples()[["sample_id", "path", "split"]]
    return issues.merge(where, on="sample_id", how="left").fillna({"path": "", "split": ""})


def with_reasons(issues: pd.DataFrame) -> pd.DataFrame:
    """The same rows with a column `reason` after `suggestion`: why each is listed, one plain sentence, safe to print.

    `curate decide --from` reads a column of that name for `exclude` alone, and says so where it still holds a sentence.
    """
    reasons = pd.Series([explain(row) for row in issues.to_dict("records")], index=issues.index, dtype="str")
    issues = issues.copy()
    issues.insert(issues.columns.get_loc("suggestion") + 1, "reason", reasons)  # type: ignore[arg-type, operator]
    return issues


def issue_records(issues: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON values, `evidence` as an object."""
    rows: list[dict[str, Any]] = issues.to_dict("records")
    return [{**row, "evidence": read_evidence(row)} for row in rows]


def save_issues(issues: pd.DataFrame, output: Path) -> Path:
    """Write the table as CSV, Parquet or JSON, by the suffix of `output`, atomically; `output` comes back.

    Parquet and JSON hold all text as it is. In CSV, a text that a spreadsheet would run as a formula gets an
    apostrophe in front, and so does one that starts with an apostrophe: taking one leading apostrophe off each text
    gives back the data.

    Raises
    ------
    SettingsError : another suffix, or `output` is a folder.
    WorkspaceError : it cannot be written.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"{output} ends in '{output.suffix}'; issues are saved as {', '.join(SUFFIXES)}.")
    if os.path.isdir(output):
        raise SettingsError(f"{output} is a folder; name a file in it, such as {output / 'issues.csv'}.")
    if output.suffix.lower() == ".parquet":
        write_atomic(output, lambda stream: issues.to_parquet(stream, index=False), "issues", option="--output FILE")
        return output
    text = _csv(issues) if output.suffix.lower() == ".csv" else _json(issues)
    write_atomic(output, lambda stream: stream.write(text.encode()), "issues", option="--output FILE")
    return output


def defuse(text: str) -> str:
    """`text` with an apostrophe in front where a spreadsheet would take it for a formula, or it has one already."""
    start = text.lstrip(" \u00a0\u3000\n\v\f\ufeff\u200b\0")
    return "'" + text if start.startswith(_FORMULA_STARTS) or text.startswith("'") else text


def _csv(issues: pd.DataFrame) -> str:
    # Quotes around every text keep "01" from becoming a number, and a semicolon from starting a cell of its own.
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(issues.columns)
    for row in issues.itertuples(index=False):
        writer.writerow([defuse(value) if isinstance(value, str) else value for value in row])
    return stream.getvalue()


def _json(issues: pd.DataFrame) -> str:
    return json.dumps(issue_records(issues), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
