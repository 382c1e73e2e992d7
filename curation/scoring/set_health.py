"""The data set as a whole where pictures have several labels: labels that are wrong or missing, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.scoring.label_sets import LabelSets
from curation.scoring.set_quality import SetQuality


def set_health(sets: LabelSets, quality: SetQuality | None, class_names: list[str]) -> dict[str, Any]:
    """Label health, ready for JSON, with the keys of scoring.health.health and more.

    Returns
    -------
    labels : number of labels; pictures : that have been labelled, those that show none of the classes included
    flagged : labels that are flagged, and missing ones that are
    estimated_wrong : estimate of the number of labels that are not there, and of those that are and were not given;
        the second part is estimated_missing. The sum of 1 - score
    estimated_pictures : pictures with anything wrong
    label_health : 1 - estimated_wrong / (labels + estimated_missing); None without a model
    classes : per class name, labels, flagged, estimated_wrong, estimated_missing, label_health, flagged_wrong,
        flagged_missing; worst health first
    estimated_wrong_range, cleanlab_estimated_wrong, confused, examples : of sets with one label per picture; None, []
    """
    given = sets.given > 0
    known = np.asarray((sets.given >= 0).all(axis=1))
    found: dict[str, Any] = {
        "labels": int(given.sum()), "pictures": int(known.sum()), "flagged": 0, "estimated_wrong": None,
        "estimated_missing": None, "estimated_pictures": None, "estimated_wrong_range": None,
        "cleanlab_estimated_wrong": None, "label_health": None, "classes": [], "confused": [], "examples": [],
    }  # fmt: skip
    if quality is None or not quality.judged.any():
        return found
    doubt = 1.0 - quality.score
    wrong, missing = (
        np.where(part & known[:, None], doubt, 0.0).sum(axis=0, dtype=np.float64) for part in (given, ~given)
    )
    flagged_wrong, flagged_missing = ((quality.is_issue & part).sum(axis=0) for part in (given, ~given))
    labels = given.sum(axis=0)
    share = 1 - (wrong + missing) / np.maximum(labels + missing, 1e-9)
    health = np.clip(share, 0.0, 1.0)
    classes = [
        {
            "name": str(class_names[k]),
            "labels": int(labels[k]),
            "flagged": int(flagged_wrong[k] + flagged_missing[k]),
            "flagged_wrong": int(flagged_wrong[k]),
            "flagged_missing": int(flagged_missing[k]),
            "estimated_wrong": round(float(wrong[k] + missing[k]), 1),
            "estimated_missing": round(float(missing[k]), 1),
            "label_health": round(float(health[k]), 4),
        }
        for k in np.lexsort([np.arange(len(labels)), -(wrong + missing), health])
    ]
    total = float(wrong.sum() + missing.sum())
    found |= {
        "flagged": int(quality.is_issue.sum()),
        "estimated_wrong": round(total),
        "estimated_missing": round(float(missing.sum())),
        "estimated_pictures": round(float((1 - quality.picture_score[known]).sum())),
        "label_health": round(float(np.clip(1 - total / max(labels.sum() + missing.sum(), 1e-9), 0, 1)), 4),
        "classes": classes,
    }
    return found


def set_accuracy(sets: LabelSets, quality: SetQuality, pred_probs: np.ndarray) -> dict[str, Any]:
    """How well the model finds the given labels, out of fold.

    Returns
    -------
    accuracy : None, which is of sets with one label per picture
    mean_average_precision : of finding the pictures of each class by its probability, mean of the classes that some
        judged pictures have and others have not; None where there is none
    chance : the same of a model that guesses: the mean share of pictures that have the class
    """
    found, chance = [], []
    for k in range(sets.given.shape[1]):
        rows = quality.judged[:, k]
        given = sets.given[rows, k] > 0
        if given.any() and not given.all():
            found.append(_average_precision(given, np.asarray(pred_probs[:, k])[rows]))
            chance.append(float(given.mean()))
    return {
        "accuracy": None,
        "mean_average_precision": round(float(np.mean(found)), 4) if found else None,
        "chance": round(float(np.mean(chance)), 4) if found else None,
    }


def _average_precision(given: np.ndarray, prob: np.ndarray) -> float:
    order = np.argsort(-prob, kind="stable")
    hits = given[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
