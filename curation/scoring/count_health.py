"""The data set as a whole where pictures have counts: how many are wrong, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.scoring.counts import CountQuality, Counts


def count_health(counts: Counts, quality: CountQuality | None, class_names: list[str]) -> dict[str, Any]:
    """Label health, ready for JSON, with the keys of scoring.health.health and more.

    Returns
    -------
    labels : number of counts, one per picture and class, those of 0 included; pictures : that have been counted
    objects : the sum of all counts
    flagged : counts that are flagged
    estimated_wrong : estimate of the number of counts that are wrong, the sum of 1 - score; estimated_pictures : of
        pictures with any that is
    label_health : 1 - estimated_wrong / labels; None without a model
    classes : per class name, labels (pictures that were counted), objects, flagged, estimated_wrong, label_health;
        worst health first
    estimated_wrong_range, cleanlab_estimated_wrong, confused, examples : of sets with one label per picture; None, []
    """
    known, given = counts.known, np.maximum(counts.given, 0)
    found: dict[str, Any] = {
        "labels": int(known.sum()) * given.shape[1], "pictures": int(known.sum()), "objects": int(given.sum()),
        "flagged": 0, "estimated_wrong": None, "estimated_pictures": None, "estimated_wrong_range": None,
        "cleanlab_estimated_wrong": None, "label_health": None, "classes": [], "confused": [], "examples": [],
    }  # fmt: skip
    if quality is None or not quality.judged.any():
        return found
    wrong = np.where(known[:, None], 1.0 - quality.score, 0.0).sum(axis=0, dtype=np.float64)
    pictures = max(int(known.sum()), 1)
    classes = [
        {
            "name": str(class_names[k]),
            "labels": int(known.sum()),
            "objects": int(given[:, k].sum()),
            "flagged": int(quality.is_issue[:, k].sum()),
            "estimated_wrong": round(float(wrong[k]), 1),
            "label_health": round(1 - float(wrong[k]) / pictures, 4),
        }
        for k in np.argsort(-wrong, kind="stable")
    ]
    return found | {
        "flagged": int(quality.is_issue.sum()),
        "estimated_wrong": round(float(wrong.sum())),
        "estimated_pictures": round(float((1 - quality.picture_score[known]).sum())),
        "label_health": round(1 - float(wrong.sum()) / max(found["labels"], 1), 4),
        "classes": classes,
    }


def count_accuracy(counts: Counts, quality: CountQuality) -> dict[str, Any]:
    """How near the model comes to the given counts, out of fold.

    Returns
    -------
    accuracy : None, which is of sets with one label per picture
    mean_absolute_error : of the expected count, over all counts that were judged; None where none was
    chance : the same of the median count of each class
    """
    judged = quality.judged
    if not judged.any():
        return {"accuracy": None, "mean_absolute_error": None, "chance": None}
    given = counts.given.astype(np.float64)
    usual = np.median(given[counts.known], axis=0)
    errors = (np.abs(given - other)[judged].mean() for other in (quality.expected, usual))
    by_model, by_median = (round(float(error), 4) for error in errors)
    return {"accuracy": None, "mean_absolute_error": by_model, "chance": by_median}
