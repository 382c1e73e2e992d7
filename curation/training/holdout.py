"""One network, trained on some samples and asked about others: what `prove` and `retrain` are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from curation.arrays import PixelArray
from curation.progress import SILENT, Progress
from curation.training.crossval import build_network, training_config
from curation.training.folds import CrossValidation
from curation.training.label_sets import trainable
from curation.training.model import CompactNet, TorchvisionNet, load_backbone
from curation.training.plan import Plan
from curation.training.set_scale import SetScale, scale_of
from curation.training.train import Batches, Margins, TrainConfig, channel_statistics, fit, predict


@dataclass(frozen=True, eq=False)
class Trials:
    """Pixels that several networks are trained on, one after the other, with other labels and seeds.

    pixels : (N, S, S, 3) uint8
    asked : (n,) int64, the rows that every network is asked about, and that none is trained on
    views : of mode "probe", the frozen features (N, V, D) of all pictures, made once; None in other modes
    """

    pixels: PixelArray
    asked: np.ndarray
    n_classes: int
    plan: Plan
    folder: Path
    progress: Progress
    views: np.ndarray | None = None


def prepare(
    pixels: PixelArray, asked: np.ndarray, n_classes: int, plan: Plan, folder: Path, progress: Progress = SILENT
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
    return _learn_and_ask(trials, labels, seed, trials.asked, advance).argmax(axis=1)


def ask_sets(
    trials: Trials, labels: np.ndarray, tuning: np.ndarray, seed: int, advance: Callable[[int], None]
) -> tuple[np.ndarray, SetScale]:
    """(n, K) float32 probabilities that a network trained on several labels per picture gives to each of
    `trials.asked`; and its scale, with a threshold for each class.

    Parameters
    ----------
    labels : (N, K), see curation.training.label_sets; those of `trials.asked` are never looked at
    tuning : (N,) bool, what of the rest the scale is made with, and not trained on
    advance : as for `ask`

    Raises
    ------
    SettingsError : the device's memory is too small, or training diverged.
    """
    learnt = labels.copy()
    learnt[trials.asked] = -1
    rows = np.flatnonzero(tuning & trainable(learnt))
    learnt[rows] = -1
    logits = _learn_and_ask(trials, learnt, seed, np.concatenate([trials.asked, rows]), advance)
    advance(pictures_per_trial(trials, len(rows)))
    count = len(trials.asked)
    scale = scale_of(logits[count:], labels[rows])
    return scale.probabilities(logits[:count]), scale


def _learn_and_ask(
    trials: Trials, labels: np.ndarray, seed: int, rows: np.ndarray, advance: Callable[[int], None]
) -> np.ndarray:
    """(len(rows), K) float32 logits of a network that learns `labels`."""
    if trials.views is None:
        trained = train(trials, labels, seed, advance)
        return answers(trained, trials.pixels, rows, trials.plan, trials.progress)
    head = _learn_head(trials, labels, seed, advance)
    with torch.inference_mode():
        asked = torch.from_numpy(trials.views[rows].mean(axis=1))
        return np.asarray(head(asked.to(head.weight.device)).cpu().numpy())


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that gives logits (B, K) and features, and how pictures are normalised for it: mean and std (3,)."""

    net: nn.Module
    mean: Tensor
    std: Tensor


def train(trials: Trials, labels: np.ndarray, seed: int, advance: Callable[[int], None]) -> Trained:
    """One network, trained on all samples whose label (N,), or labels (N, K), are known.

    Raises
    ------
    SettingsError : the device's memory is too small, or training diverged.
    """
    rows = np.flatnonzero(trainable(labels))
    plan, device = trials.plan, torch.device(trials.plan.device)
    if trials.views is not None:
        from curation.training.probe import IMAGENET_MEAN, IMAGENET_STD

        whole = TorchvisionNet(load_backbone(plan.model, plan.weights), trials.n_classes)
        whole.head = _learn_head(trials, labels, seed, advance)
        return Trained(whole.to(device), torch.tensor(IMAGENET_MEAN).to(device), torch.tensor(IMAGENET_STD).to(device))
    batches = Batches(trials.pixels, device, trials.progress.message)
    mean, std = (x.to(device) for x in channel_statistics(trials.pixels, rows))
    net = build_network(plan, trials.n_classes, seed, trials.pixels, rows, mean, std).to(device)
    margins, config = Margins.empty(labels.shape), final_config(plan)
    fit(net, batches, labels, rows, mean, std, config, seed, margins, advance, trials.progress.message)
    return Trained(net, mean, std)


def final_config(plan: Plan) -> TrainConfig:
    """The recipe of each mode with cross entropy to the end, as training code has it.

    The robust loss of cross-validation is for ranking labels: it hides what wrong labels cost, and classifies worse
    (docs/decisions.md has both).
    """
    return replace(training_config(plan), plain=1.0, robustness=0.0)


def _learn_head(trials: Trials, labels: np.ndarray, seed: int, advance: Callable[[int], None]) -> nn.Linear:
    """The layer that takes the frozen backbone's features to logits."""
    from curation.training.probe import learn_heads

    assert trials.views is not None
    fold, nothing = np.zeros(len(labels), dtype=np.int64), torch.zeros(1, len(labels), dtype=torch.bool)
    cv = CrossValidation(trials.pixels, labels, fold, trials.n_classes, trials.plan, seed, trials.folder)
    heads = learn_heads(trials.views, cv, nothing, 1, robustness=0.0)
    advance(pictures_per_trial(trials, int(trainable(labels).sum())))
    layer = nn.Linear(trials.views.shape[2], trials.n_classes, device=heads.weight.device)
    with torch.no_grad():
        layer.weight.copy_((heads.scale * heads.weight[:, 0]).T)
        layer.bias.copy_(heads.bias[0, 0])
    return layer


def empty_network(plan: Plan, n_classes: int) -> nn.Module:
    """The network of a plan, its weights still to be loaded."""
    if plan.mode == "compact":
        return CompactNet(n_classes, plan.size_px)
    return TorchvisionNet(load_backbone(plan.model, "none"), n_classes)


def answers(
    trained: Trained, pixels: PixelArray, rows: np.ndarray, plan: Plan, progress: Progress = SILENT
) -> np.ndarray:
    """(n, K) float32 logits of a trained network for some pictures, averaged over the views that its mode looks at."""
    batches = Batches(pixels, torch.device(plan.device), progress.message)
    shift = 1 if plan.mode == "compact" else 0
    logits, _ = predict(
        trained.net, batches, rows, trained.mean, trained.std, plan.flip, progress.message, shift_px=shift
    )
    return logits
