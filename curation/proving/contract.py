"""What each task's file makes of two versions, so that the rest of a proof is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curation.pixels import Pixels
from curation.progress import Progress
from curation.proving.compare import Comparison
from curation.proving.holdout import HoldOut
from curation.proving.versions import Versions
from curation.training.plan import Plan, TrainingSettings

PRUNED, PLACEBO = "pruned", "placebo"

# What one network says of everything it was asked about, as named arrays.
Answer = dict[str, np.ndarray]
# (arm, seed, called with the number of views done) -> answer
Ask = Callable[[str, int, Callable[[int], None]], Answer]


@dataclass(frozen=True)
class ProofSettings(TrainingSettings):
    """What a user can choose, beside what is said of training.

    before, after : versions; holdout : see curation.proving.holdout.choose_holdout
    drop_overlap : train without the pictures that are copies of the hold-out's, instead of refusing
    seeds : how many networks per arm, from `seed` on
    detector_epochs : of boxes: passes of detectors, that are asked where objects are; 0 = a network is asked what is in
        the boxes
    """

    before: str
    after: str
    holdout: str = ""
    drop_overlap: bool = False
    seeds: int = 5
    detector_epochs: int = 0


@dataclass(frozen=True, eq=False)
class Material:
    """What a proof is made of.

    versions : of N pictures, all readable; `samples` has a column `unit`, equal for copies and for groups
    labels : by version, of the pictures as the task's `picture_labels` gives them
    learnable : (N,) bool, False for what is in the hold-out or overlaps it
    flagged : issues of a run on the first version; None = there is none
    pixels, rows : decoded pictures, and which of them are the N
    cache : folder
    """

    versions: Versions
    labels: Mapping[str, np.ndarray]
    holdout: HoldOut
    learnable: np.ndarray
    flagged: pd.DataFrame | None
    pixels: Pixels
    rows: np.ndarray
    plan: Plan
    settings: ProofSettings
    cache: Path
    progress: Progress

    def units(self, rows: np.ndarray) -> np.ndarray:
        """int64 of pictures; equal for copies and for groups."""
        return self.versions.samples["unit"].to_numpy(dtype=np.int64)[rows]


@dataclass(frozen=True, eq=False)
class Contest:
    """Arms that are trained and asked, and how the answers are compared.

    names : of the arms, `before` first
    lesson : (arm, seed) -> arrays that say all that its network learns; equal ones give equal networks
    views : (arm, seed) -> how many views of pictures (or of what is learnt from) it takes
    begin : (folder, progress) -> Ask; what all networks share is prepared here, when any has to be trained
    compare : (answers of `before` by seed, answers of an arm) -> differences
    asked : what the answers belong to, as arrays: another hold-out is another proof
    trained_on : number of things by arm; changes : what leads from `before` to `after`, in what is trained on
    taught : class ids by version
    network : what is trained, for people; epochs : its passes
    things : what is counted in `trained_on`; asked_about : what the measures say, a sentence or ""
    """

    names: list[str]
    lesson: Callable[[str, int], Sequence[np.ndarray]]
    views: Callable[[str, int], int]
    begin: Callable[[Path, Progress], Ask]
    compare: Callable[[Sequence[Answer], Sequence[Answer]], Comparison]
    asked: Sequence[np.ndarray]
    trained_on: dict[str, int]
    changes: dict[str, int]
    taught: Mapping[str, set[int]]
    network: str
    epochs: int
    things: str = "pictures"
    asked_about: str = ""


@dataclass(frozen=True)
class Prover:
    """How one task is proven.

    picture_labels : (versions, BEFORE or AFTER) -> (N,) class ids or (N, K) yes or no; -1 = nothing is known
    contest : refuses, as a SettingsError, what there is nothing to learn from
    """

    picture_labels: Callable[[Versions, str], np.ndarray]
    contest: Callable[[Material], Contest]
