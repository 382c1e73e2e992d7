"""The pipeline of `score`, from labels to label quality, on copies of the labels; what is finished is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from curation.arrays import PixelArray
from curation.errors import SettingsError
from curation.files import write_atomic
from curation.pixels import Pixels
from curation.progress import SILENT, Advance, Progress
from curation.rehearsing.belief import Basis
from curation.scoring.label_quality import judge_labels
from curation.scoring.neighbours import nearest
from curation.scoring.statistics import statistics_from_probs
from curation.training.folds import CrossValidation, assign_folds, combine_groups
from curation.training.plan import Plan

NEIGHBOURS = 10  # as in curation.score


def scores_of(
    pixels: Pixels,
    basis: Basis,
    copies: Sequence[np.ndarray],
    plan: Plan,
    seed: int,
    folder: Path,
    progress: Progress = SILENT,
) -> list[np.ndarray]:
    """(R,) float32 label quality for each of `copies`, labels (R,); what an earlier try has finished is read.

    seed : of the first copy, the others have the next ones; folder : where scores and unfinished work are kept

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    folds = int(basis.run.info["settings"].get("folds", 5))
    seeds = [seed + trial for trial in range(len(copies))]
    files = [folder / _file_name(plan, folds, seed, labels) for seed, labels in zip(seeds, copies, strict=True)]
    scores = [read_scores(file, len(basis.samples)) for file in files]
    if all(score is not None for score in scores):
        return [score for score in scores if score is not None]
    images = pixels.gather(np.arange(len(basis.samples)))
    checkpoints = folder / f"{plan.mode}.unfinished"
    checkpoints.mkdir(exist_ok=True)
    size = plan.epochs * len(images) * (1 if plan.mode == "probe" else folds - 1)
    with progress.stage(f"Rehearsing {plan.mode}", size * len(copies), "views of pictures") as advance:
        for trial, labels in enumerate(copies):
            if scores[trial] is None:
                part = _Part(progress, advance, size)
                found = _judge(images, labels, basis, plan, folds, seeds[trial], checkpoints, part).astype(np.float32)
                _write_scores(files[trial], found)
                scores[trial] = found
                part.end()
            else:
                advance(size)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return [score for score in scores if score is not None]


def _judge(
    images: PixelArray,
    labels: np.ndarray,
    basis: Basis,
    plan: Plan,
    folds: int,
    seed: int,
    checkpoints: Path,
    progress: Progress,
) -> np.ndarray:
    """(R,) float64: what `score` would think of labels (R,), low = suspicious."""
    from curation.training.crossval import out_of_fold

    cluster = basis.belief.cluster
    groups = combine_groups(cluster, basis.samples["group"].to_numpy(dtype=object))
    n_folds, n_classes = min(folds, len(np.unique(groups))), len(basis.classes)
    if n_folds < 2:
        raise SettingsError("All pictures are copies of each other, or in one group: no model can judge one of them.")
    fold = assign_folds(labels, groups, n_folds, seed)
    found = out_of_fold(CrossValidation(images, labels, fold, n_classes, plan, seed, checkpoints, progress))
    voters = nearest(found.embeddings, NEIGHBOURS, cluster, progress)[0] if plan.mode == "probe" else None
    statistics = statistics_from_probs(found.pred_probs, labels, found.margin, found.judged)
    return judge_labels(statistics, labels, n_classes, voters).score


class _Part(Progress):
    """The progress of one repetition as a part of the whole: training moves the one bar of all repetitions."""

    def __init__(self, whole: Progress, advance: Advance, size: int) -> None:
        self._whole, self._advance, self._left = whole, advance, size

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        if name.startswith("Training"):
            yield self._forward
        else:
            with self._whole.stage(name, total, unit) as advance:
                yield advance

    def message(self, text: str) -> None:
        self._whole.message(text)

    def _forward(self, count: int) -> None:
        count = min(count, self._left)
        self._left -= count
        self._advance(count)

    def end(self) -> None:
        """What is missing to a whole part."""
        self._forward(self._left)


def read_scores(file: Path, count: int) -> np.ndarray | None:
    """What an earlier try has kept, None where that is nothing or damaged."""
    try:
        scores: np.ndarray = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return scores if scores.shape == (count,) and scores.dtype == np.float32 else None


def _write_scores(file: Path, scores: np.ndarray) -> None:
    write_atomic(file, lambda stream: np.save(stream, scores, allow_pickle=False), "scores")


def _file_name(plan: Plan, folds: int, seed: int, labels: np.ndarray) -> str:
    """Equal names, equal scores."""
    digest = hashlib.blake2b(digest_size=6)
    digest.update(json.dumps([plan.as_settings(), folds], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return f"{plan.mode}-{seed}-{digest.hexdigest()}.npy"
