"""Whole runs for tests, made by hand: what report, summary and `curate issues` show can be read off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from curation import runs
from curation.detectors import ISSUE_COLUMNS
from curation.records import SAMPLE_COLUMNS, empty_samples


def evidence_of(issue: str, **more: Any) -> str:
    """Evidence as its detector writes it, with `more` or other values."""
    known = {
        "label_error": {"p_given": 0.02, "top3": [["b", 0.9]], "neighbours": [], "judged": True},
        "outlier": {"distance": 0.6, "usual_distance": 0.2},
        "dark": {"measured": "brightness", "value": 0.03, "threshold": 0.1},
    }
    return json.dumps({**known.get(issue, {}), **more})


def make_run(
    folder: Path,
    labels: Any,
    findings: Any,
    sizes: Any = None,
    unreadable: Any = (),
    pictures: bool = True,
    columns: dict[str, Any] | None = None,
    arrays: dict[str, np.ndarray] | None = None,
    **info: Any,
) -> runs.Run:
    """A real run folder: one small picture per label, findings as dicts of issue columns by row number `at`.

    columns : of the sample table, instead of or beside the usual ones, for the readable pictures (`cluster`, `split`)
    """
    root = folder / "pictures"
    root.mkdir(parents=True, exist_ok=True)
    samples = empty_samples(len(labels) + len(unreadable))
    samples["sample_id"] = [*(f"s{row}" for row in range(len(labels))), *(f"u{row}" for row in range(len(unreadable)))]
    samples["path"] = [*(f"p{row}.png" for row in range(len(labels))), *(path for path, _ in unreadable)]
    samples["split"] = "train"
    samples["status"] = ["ok"] * len(labels) + ["unreadable"] * len(unreadable)
    samples["reason"] = [""] * len(labels) + [reason for _, reason in unreadable]
    samples = samples.astype(dict.fromkeys(["sample_id", "path", "status", "reason"], "str"))
    for row in range(len(labels) if pictures else 0):
        size = sizes[row] if sizes else (24, 16)
        Image.new("RGB", size, (row * 40 % 255, 90, 160)).save(root / f"p{row}.png")
    rows = [
        {
            "sample_id": f"s{finding['at']}", "annotation_id": f"s{finding['at']}-0", "score": 0.1, "is_issue": True,
            "given_label": labels[finding["at"]], "suggestion": "", "evidence": evidence_of(finding["issue"]),
            **{key: value for key, value in finding.items() if key != "at"}, "rank": rank,
        }
        for rank, finding in enumerate(findings, start=1)
    ]  # fmt: skip
    rows += [
        {
            "sample_id": f"u{place}", "annotation_id": "", "score": 0.0, "is_issue": True, "given_label": "",
            "suggestion": "exclude", "evidence": json.dumps({"path": path, "reason": reason}), "issue": "unreadable",
            "rank": len(findings) + place + 1,
        }
        for place, (path, reason) in enumerate(unreadable)
    ]  # fmt: skip
    table = {name: pd.Series([row[name] for row in rows]) for name in ISSUE_COLUMNS}
    issues = pd.DataFrame(table).astype(
        {name: "str" for name in ISSUE_COLUMNS if name not in ("score", "is_issue", "rank")}
    )
    issues = issues.astype({"score": "float64", "is_issue": "bool", "rank": "int64"})
    more = {"given_label": list(labels), "cluster": list(range(len(labels))), **(columns or {})}
    samples = samples[list(SAMPLE_COLUMNS)]
    for name, values in more.items():
        blank = "" if len(values) and isinstance(values[0], str) else -1
        samples[name] = pd.Series([*values, *[blank] * len(unreadable)])
    samples = samples.astype({"given_label": "str"})
    facts = {
        "dataset": "pets", "source": "labels.csv", "root": str(root), "manifest_version": "v0001",
        "samples": len(labels),
        "unreadable": len(unreadable), "classes": sorted(set(labels)), "notes": [], "rejected": [],
        "seconds": {"decode": 1.5}, "settings": {"seed": 0}, "versions": {"numpy": np.__version__}, "hardware": {},
        "skipped_detectors": {}, "source_format": "folder",
        "plan": {"mode": "compact", "device": "cpu", "why": ["no GPU was found"]},
        "health": {"labels": len(labels), "estimated_wrong": 3, "cleanlab_estimated_wrong": 2, "label_health": 0.9,
                   "classes": []},
        **info,
    }  # fmt: skip
    with runs.open_partial(folder, "pets-0") as partial:
        partial.write_table("samples", samples)
        partial.write_table("issues", issues)
        for name, array in (arrays or {}).items():
            partial.write_array(name, array)
        runs.finish(partial, facts)
    return runs.read_run(folder)


def twin(at: int, other: int, labels: Any, issue: str = "near_duplicate", **more: Any) -> dict[str, Any]:
    """A finding that sample `at` has the twin `other`."""
    evidence = {"twin": f"s{other}", "twin_label": labels[other], "twin_split": "train", "kind": "near", **more}
    return {"at": at, "issue": issue, "evidence": json.dumps(evidence)}
