"""Which label quality score ranks real wrong labels best, and whose flags have the best F1, on saved arrays.

    python pipelines/fusion_benchmark.py FILE.npz ...

Each file has `pred_probs` (N, K) and `labels` (or `given_labels`) and `true_labels` (N,), and optionally `margin` (N,)
and `neighbours` (N, k) of a frozen backbone, which are used with --votes. The true labels are used to measure only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from curation.scoring.label_quality import judge_labels
from curation.scoring.statistics import statistics_from_probs


def average_precision(score: np.ndarray, is_wrong: np.ndarray) -> float:
    """Of finding wrong labels by low score; ties keep the order of the samples."""
    hits = is_wrong[np.argsort(score, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def f1(flags: np.ndarray, is_wrong: np.ndarray) -> float:
    """Of the flags, against the truth."""
    return float(2 * (flags & is_wrong).sum() / max(flags.sum() + is_wrong.sum(), 1))


def measure(file: Path, votes: bool) -> dict[str, float | str]:
    """One line of the table."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from scipy.stats import rankdata

    data = np.load(file, allow_pickle=False)
    probs = data["pred_probs"]
    labels = data["labels" if "labels" in data else "given_labels"].astype(np.int64)
    wrong = labels != data["true_labels"]
    margin = data.get("margin")
    statistics = statistics_from_probs(probs, labels, margin)
    neighbours = data["neighbours"] if votes and "neighbours" in data else None
    quality = judge_labels(statistics, labels, probs.shape[1], neighbours)
    line: dict[str, float | str] = {"file": file.stem, "wrong": int(wrong.sum())}
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        score = get_label_quality_scores(labels, probs, method=method)
        line[f"AP {method}"] = average_precision(score, wrong)
        if margin is not None and method != "confidence_weighted_entropy":
            line[f"AP {method}+margin ranks"] = average_precision(rankdata(score) + rankdata(margin), wrong)
    if margin is not None:
        line["AP margin"] = average_precision(margin, wrong)
    line["AP fused"] = average_precision(quality.score, wrong)
    line["F1 cleanlab"] = f1(find_label_issues(labels, probs, n_jobs=1), wrong)
    line["F1 cleanlab batched"] = f1(quality.cleanlab_flag, wrong)
    line["F1 argmax"] = f1(probs.argmax(axis=1) != labels, wrong)
    line["F1 ours"] = f1(quality.is_issue, wrong)
    line["precision"] = (quality.is_issue & wrong).sum() / max(quality.is_issue.sum(), 1)
    line["recall"] = (quality.is_issue & wrong).sum() / max(wrong.sum(), 1)
    line["estimate/wrong"] = quality.estimated_wrong / max(wrong.sum(), 1)
    line["cleanlab's/wrong"] = quality.cleanlab_flag.sum() / max(wrong.sum(), 1)
    return line


def main() -> None:
    """Print one column per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--votes", action="store_true", help="let `neighbours` vote (they must be label-blind)")
    options = parser.parse_args()
    table = pd.DataFrame([measure(file, options.votes) for file in options.files]).set_index("file")
    print(table.round(4).T.to_string())


if __name__ == "__main__":
    main()
