"""One network, trained on some samples and asked about others: what `prove` and `retrain` are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from curation.progress import SILENT, Progress
from curation.training.crossval import build_network, training_config
from curation.training.folds import CrossValidation
from curation.training.plan import Plan
from curation.training.train import Batches, Margins, channel_statistics, fit, predict


@dataclass(frozen=True, eq=False)
class Trials:
    """Pixels that several networks are trained on, one after the other, with other labels and seeds.

    pixels : (N, S, S, 3) uint8
    asked : (n,) int64, the rows that every network is asked about, and that none is trained on
    views : of mode "probe", the frozen features (N, V, D) of all pictures, made once; None in other modes
    """

    pixels: np.ndarray
    asked: np.ndarray
    n_classes: int
    plan: Plan
    folder: Path
    progress: Progress
    views: np.ndarray | None = None


def prepare(
    pixels: np.ndarray, asked: np.ndarray, n_classes: int, plan: Plan, folder: Path, progress: Progress = SILENT
) -> Trials:
    """What all trials share; `folder` keeps it for the next time.

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    views = None
    if plan.mode == "probe":
        from curation.training.probe import embed

        views = embed(pixels, plan, folder, progress)
    return Trials(pixels, asked, n_classes, plan, folder, progress, views)


def pictures_per_trial(trials: Trials, rows: int) -> int:
    """How many pictures one trial on `rows` samples goes through, the unit in which `ask` reports progress."""
    return trials.plan.epochs * rows


def ask(trials: Trials, labels: np.ndarray, seed: int, advance: Callable[[int], None]) -> np.ndarray:
    """(n,) int64: the class that a network trained on `labels` sees in each of `trials.asked`.

    Equal labels and an equal seed give an equal answer on a CPU; two trials with one seed share the first weights, the
    order of the pictures as far as these are the same, and their augmentation.

    Parameters
    ----------
    labels : (N,) int64 class ids, -1 = not trained on; those of `trials.asked` are never looked at
    advance : called with the number of pictures done

    Raises
    ------
    SettingsError : the device's memory is too small, or training diverged.
    """
    labels = labels.copy()
    labels[trials.asked] = -1
    rows = np.flatnonzero(labels >= 0)
    plan, say = trials.plan, trials.progress.message
    if trials.views is not None:
        from curation.training.probe import fit_heads

        fold = np.zeros(len(labels), dtype=np.int64)
        fold[trials.asked] = 1  # the head that holds these out learns from all others
        cv = CrossValidation(trials.pixels, labels, fold, trials.n_classes, plan, seed, trials.folder)
        logits, _, _ = fit_heads(trials.views, cv)
        advance(pictures_per_trial(trials, len(rows)))
        return np.asarray(logits[trials.asked]).argmax(axis=1)
    batches = Batches(trials.pixels, torch.device(plan.device), say)
    mean, std = (x.to(batches.device) for x in channel_statistics(trials.pixels, rows))
    net = build_network(plan, trials.n_classes, seed, trials.pixels, rows, mean, std).to(batches.device)
    margins = Margins.empty(len(labels))
    fit(net, batches, labels, rows, mean, std, training_config(plan), seed, margins, advance, say)
    shift = 1 if plan.mode == "compact" else 0
    logits, _ = predict(net, batches, trials.asked, mean, std, plan.flip, say, shift_px=shift)
    return logits.argmax(axis=1)
