"""The data set as a whole: how many labels are wrong, which classes suffer, which classes are mixed up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs
from curation.scoring.count_health import count_health
from curation.scoring.label_quality import cleanlab_flags, wrong_range
from curation.scoring.set_health import set_health

# Sample ids that are named as examples of one confused pair, and the number of pairs that are listed.
EXAMPLES = 3
LISTED_PAIRS = 50


def health(inputs: Inputs, issues: pd.DataFrame) -> dict[str, Any]:
    """Label health of the data set, ready for JSON.

    Returns
    -------
    labels : number of labelled samples
    flagged : label errors that are flagged
    estimated_wrong : estimate of the number of wrong labels: the sum of 1 - score over all labels
    estimated_wrong_range : [at least, at most], see label_quality.wrong_range; it holds the estimate
    cleanlab_estimated_wrong : cleanlab's count on the same probabilities, None without a model
    label_health : 1 - estimated_wrong / labels; None without a model
    classes : per class name, labels, flagged, estimated_wrong, label_health; worst health first
    confused : [given, suggested, count] of the flagged labels, most frequent first
    examples : up to three sample ids for each line of `confused`

    Where pictures can have several labels: see set_health; of counts: see count_health.
    """
    if inputs.counts is not None:
        return count_health(inputs.counts, inputs.count_quality, list(inputs.class_names))
    if inputs.label_sets is not None:
        return set_health(inputs.label_sets, inputs.set_quality, list(inputs.class_names))
    known = inputs.labels >= 0
    count = int(known.sum())
    rows = issues[issues["issue"] == "label_error"]
    if inputs.statistics is None or rows.empty:
        return {
            "labels": count, "flagged": 0, "estimated_wrong": None, "estimated_wrong_range": None,
            "cleanlab_estimated_wrong": None, "label_health": None, "classes": [], "confused": [], "examples": [],
        }  # fmt: skip
    wrong = rows.assign(wrong=1.0 - rows["score"])
    by_class = wrong.groupby("given_label", sort=True).agg(
        labels=("wrong", "size"), flagged=("is_issue", "sum"), estimated_wrong=("wrong", "sum")
    )
    by_class["label_health"] = 1 - by_class["estimated_wrong"] / by_class["labels"]
    by_class = by_class.sort_values(["label_health", "estimated_wrong"], ascending=[True, False], kind="stable")
    estimated = float(wrong["wrong"].sum())
    least, most = wrong_range(inputs.statistics, inputs.labels)
    flags = cleanlab_flags(inputs.statistics, inputs.labels, len(inputs.class_names))
    pairs, examples = confused_pairs(rows[rows["is_issue"]])
    return {
        "labels": count,
        "flagged": int(rows["is_issue"].sum()),
        "estimated_wrong": round(estimated),
        "estimated_wrong_range": [round(min(least, estimated)), round(max(most, estimated))],
        "cleanlab_estimated_wrong": int(np.sum(flags)),
        "label_health": round(1 - estimated / count, 4),
        "classes": [
            {
                "name": str(line.Index),
                "labels": int(line.labels),
                "flagged": int(line.flagged),
                "estimated_wrong": round(float(line.estimated_wrong), 1),
                "label_health": round(float(line.label_health), 4),
            }
            for line in by_class.itertuples()
        ],
        "confused": pairs,
        "examples": examples,
    }


def accuracy(inputs: Inputs, groups: np.ndarray, ungrouped_choice: np.ndarray | None) -> dict[str, Any]:
    """How often the model's first choice is the given label, out of fold; what folds without groups would have shown.

    Parameters
    ----------
    groups : (N,) int64, what never straddles a fold
    ungrouped_choice : (N,) int64, see crossval.OutOfFold

    Returns
    -------
    accuracy : share of the judged labels, in [0, 1]; wrong labels count as misses
    in_groups : labels of pictures that share a group (or a duplicate) with another one
    accuracy_in_groups : the same share among those, None where there are none
    ungrouped_accuracy, ungrouped_accuracy_in_groups : the same with folds that ignore groups; None = not measured
    optimism : ungrouped_accuracy - accuracy, None = not measured
    """
    assert inputs.statistics is not None
    judged = inputs.statistics.judged & (inputs.labels >= 0)
    grouped = judged & (np.bincount(groups)[groups] > 1)
    found: dict[str, Any] = {"in_groups": int(grouped.sum())}
    choices = {"": inputs.statistics.top_class[:, 0], "ungrouped_": ungrouped_choice}
    for name, choice in choices.items():
        for part, rows in (("", judged), ("_in_groups", grouped)):
            measured = choice is not None and rows.any()
            share = float((np.asarray(choice) == inputs.labels)[rows].mean()) if measured else None
            found[f"{name}accuracy{part}"] = None if share is None else round(share, 4)
    ungrouped, kept_together = found["ungrouped_accuracy"], found["accuracy"]
    found["optimism"] = None if ungrouped is None or kept_together is None else round(ungrouped - kept_together, 4)
    return found


def accuracy_in_words(found: Mapping[str, Any]) -> str:
    """One or two sentences on what `accuracy` measured; "" if it measured nothing."""
    if found.get("mean_average_precision") is not None:
        return (
            f"On pictures that it never saw, the model finds those with a given label at an average precision of "
            f"{found['mean_average_precision']:.2f} (mean of the classes; guessing: {found['chance']:.2f})."
        )
    if found.get("mean_absolute_error") is not None:
        return (
            f"On pictures that it never saw, the model is {found['mean_absolute_error']:.2f} off the given count, "
            f"on average over all classes (always saying the usual one: {found['chance']:.2f})."
        )
    if found.get("accuracy") is None:
        return ""
    words = (
        f"On pictures that it never saw, the model's first choice is the given label in {_percent(found['accuracy'])}."
    )
    if found.get("optimism") is None:
        return words
    return (
        f"{words} Folds that tore groups and duplicates apart would have shown "
        f"{_percent(found['ungrouped_accuracy'])} ({100 * found['optimism']:+.1f} points; on the "
        f"{found['in_groups']:,} pictures concerned {_percent(found['ungrouped_accuracy_in_groups'])} instead of "
        f"{_percent(found['accuracy_in_groups'])})."
    )


def estimate_in_words(least: int, most: int) -> str:
    """What the estimate of wrong labels is worth; `least`, `most` as in estimated_wrong_range."""
    if most <= 2 * max(least, 1):
        return f"A model's estimate: likely between {least:,} and {most:,}. `curate audit` tells for sure."
    return (
        f"A rough estimate: the model is not sure enough to say more than between {least:,} and {most:,}. "
        "`curate audit` narrows it down."
    )


@dataclass(frozen=True)
class Forecast:
    """How far to review, if the scores are right.

    expected : (N,) float64, wrong labels among the first 1 .. N of the ranking
    half, most : ranks at which half and nine tenths of all wrong labels are met; 0 = there are none
    """

    expected: np.ndarray
    half: int
    most: int


def wrong_forecast(scores: np.ndarray) -> Forecast:
    """What the scores of the labels (N,), in rank order, promise to who reviews them in that order."""
    expected = np.cumsum(1.0 - np.asarray(scores, dtype=np.float64))
    if not len(expected) or expected[-1] <= 0:
        return Forecast(expected, 0, 0)
    half, most = (int(np.searchsorted(expected, share * expected[-1])) + 1 for share in (0.5, 0.9))
    return Forecast(expected, half, most)


def forecast_in_words(forecast: Forecast) -> str:
    """One sentence on how far to review; "" where nothing is expected to be wrong."""
    if not forecast.half:
        return ""
    return (
        f"If the scores are right, half of the wrong labels are among the first {forecast.half:,} of the ranking and "
        f"nine in ten among the first {forecast.most:,} (of {len(forecast.expected):,})."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def confused_pairs(flagged: pd.DataFrame) -> tuple[list[list[Any]], list[list[str]]]:
    """[given, suggested, count] of flagged label errors, most frequent first, and sample ids of each, worst first."""
    pairs = flagged[flagged["suggestion"] != ""].groupby(["given_label", "suggestion"], sort=True)["sample_id"]
    table = pairs.agg(count="size", examples=lambda ids: list(ids[:EXAMPLES])).reset_index()
    table = table.sort_values("count", ascending=False, kind="stable").head(LISTED_PAIRS)
    lines = [[str(line.given_label), str(line.suggestion), int(line.count)] for line in table.itertuples(index=False)]
    return lines, [[str(sample) for sample in line] for line in table["examples"]]
