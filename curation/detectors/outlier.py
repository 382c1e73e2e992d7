"""Pictures unlike all others: posters among shoes, screenshots, empty frames."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curation.detectors.contract import Detector, Inputs, issue_table
from curation.scoring.isolation import (
    FEWEST,
    Isolation,
    isolation,
    principal_components,
    shrunk_directions,
    whitened_directions,
)

NAME = "outlier"
# A picture is an outlier when the log of its distance lies this many spreads above the median; what comes close to
# that is listed, too, so that the ranking goes on past the flags.
FLAG_AT = 4.0
LIST_AT = 2.5


def find(inputs: Inputs) -> pd.DataFrame:
    """One row per picture whose neighbourhood is unusually empty, by what a network sees or by plain appearance.

    Raw measurement: distance to the k-th nearest picture that is no duplicate, see curation.scoring.isolation. Score:
    1 at the median, 0.5 at the threshold, towards 0 beyond.
    """
    assert inputs.embeddings is not None
    if len(inputs.labels) < FEWEST:
        return issue_table(NAME, inputs, np.zeros(0), np.zeros(0), np.zeros(0), [])
    cluster = np.arange(len(inputs.labels)) if inputs.cluster is None else inputs.cluster
    prepare = whitened_directions if inputs.blind_neighbours else shrunk_directions
    found = {"content": isolation(prepare(inputs.embeddings), inputs.labels, cluster)}
    if inputs.appearance is not None:
        found["appearance"] = isolation(principal_components(inputs.appearance), inputs.labels, cluster)
    names = list(found)
    z = np.stack([found[name].z for name in names])
    # Plain appearance says something only where it shouts: among varied photos its ranking is noise.
    z[1:] = np.where(z[1:] > FLAG_AT, z[1:], 0.0)
    by, z = z.argmax(axis=0), z.max(axis=0)
    listed = np.flatnonzero(z > LIST_AT)
    evidence = [_evidence(names[by[row]], found[names[by[row]]], row) for row in listed]
    return issue_table(NAME, inputs, listed, FLAG_AT / (FLAG_AT + z[listed]), z[listed] > FLAG_AT, evidence)


def _evidence(name: str, found: Isolation, row: np.intp) -> dict[str, float | str]:
    limit = found.usual * np.exp(FLAG_AT * found.spread)
    return {
        "by": name,
        "distance": round(float(found.distance[row]), 5),
        "usual_distance": round(found.usual, 5),
        "threshold": round(float(limit), 5),
        "robust_z": round(float(found.z[row]), 2),
        "threshold_z": FLAG_AT,
    }


DETECTOR = Detector(name=NAME, needs=("embeddings",), find=find, title="unlike all others", priority=50)
