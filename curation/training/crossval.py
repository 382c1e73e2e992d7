"""Loop over folds: every sample is judged by a network that saw neither it nor anything in its group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from curation.arrays import PixelArray, create_array, open_array
from curation.files import write_atomic
from curation.training.folds import CrossValidation
from curation.training.label_sets import calibrate, known_sets, sigmoid, trainable
from curation.training.model import CompactNet, TorchvisionNet, load_backbone
from curation.training.plan import Plan
from curation.training.train import Batches, Margins, TrainConfig, channel_statistics, fit, predict

EMBEDDING_SIZE = 256


@dataclass(frozen=True)
class OutOfFold:
    """What cross-validation leaves behind, aligned with the N samples that went in.

    pred_probs : (N, K) float32, rows sum to 1; by the one model that did not see the sample or its group, calibrated by
        one temperature on the given labels. With several labels per picture each entry is a probability of its own,
        calibrated by one temperature and an offset per class
    margin : (N,) float32, mean training margin, low = suspicious; NaN where a sample was never trained on; (N, K) with
        several labels
    judged : (N,) bool, False where no model knew the given label when it judged the sample; (N, K) with several labels
    embeddings : (N, D) float32, comparable between all samples
    temperature : what the logits were divided by
    ungrouped_choice : (N,) int64, the most probable class according to models whose folds ignored groups; None where
        there are no groups, and in other modes than "probe": every network would have to be trained twice
    """

    pred_probs: np.ndarray
    margin: np.ndarray
    judged: np.ndarray
    embeddings: np.ndarray
    temperature: float
    ungrouped_choice: np.ndarray | None = None


def out_of_fold(cv: CrossValidation) -> OutOfFold:
    """Train one network per fold and let it judge the samples held out.

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    ungrouped_choice = None
    if cv.plan.mode == "probe":
        from curation.training.probe import train_heads

        logits, margin, embeddings, ungrouped_choice = train_heads(cv)
    else:
        logits, margin, embeddings = _train_networks(cv)
    pred_probs = create_array(cv.checkpoints / "pred_probs.npy", logits.shape)
    if cv.labels.ndim == 2:
        slope, offset = calibrate(logits, cv.labels)
        temperature, to_probs = 1 / slope, lambda some: sigmoid(slope * some + offset)
        judged = known_sets(cv.labels, cv.fold)
    else:
        temperature = fit_temperature(logits, cv.labels)
        to_probs = lambda some: softmax(some / temperature)  # noqa: E731
        judged = known_when_judged(cv.labels, cv.fold, cv.n_classes)
    for start in range(0, len(logits), 65536):
        block = slice(start, start + 65536)
        pred_probs[block] = to_probs(np.asarray(logits[block]))
    return OutOfFold(pred_probs, margin, judged, embeddings, temperature, ungrouped_choice)


def known_when_judged(labels: np.ndarray, fold: np.ndarray, n_classes: int) -> np.ndarray:
    """(N,) bool: the given label occurs in a fold other than the sample's own, so that its judge could know it."""
    n_folds = int(fold.max(initial=0)) + 1
    counts = np.zeros((n_classes, n_folds), dtype=np.int64)
    has_label = labels >= 0
    np.add.at(counts, (labels[has_label], fold[has_label]), 1)
    elsewhere = counts.sum(axis=1)[labels] - counts[labels, fold]
    return has_label & (elsewhere > 0)


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray, sample: int = 50_000) -> float:
    """The temperature in [0.05, 20] under which the given labels are most likely; at most `sample` rows are read.

    Guo et al. (2017), On calibration of modern neural networks. Wrong labels are part of what is calibrated against:
    a probability then means "how often is the given label this one", which is what cleanlab's thresholds expect.
    """
    from scipy.optimize import minimize_scalar

    rows = np.flatnonzero(labels >= 0)
    rows = rows[:: max(1, len(rows) // sample)]
    if len(rows) == 0:
        return 1.0
    picked = np.asarray(logits[rows], dtype=np.float64)
    given = labels[rows]

    def loss(log_temperature: float) -> float:
        scaled = picked / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(rows)), given]).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(best.x))


def _train_networks(cv: CrossValidation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One network per fold; gives the logits (N, K) of held-out samples, mean margins (N,) and embeddings (N, D)."""
    device, epochs = torch.device(cv.plan.device), cv.plan.epochs
    margins = Margins.empty(cv.labels.shape)
    features: list[np.ndarray] = []
    # The logits of a million pictures and a thousand classes fill the memory: they live on disk, and a fold's
    # checkpoint is written after its part of them has reached it.
    logits = open_array(cv.checkpoints / "logits.npy", (len(cv.labels), cv.n_classes))
    key = _content_key(cv)
    folds = np.unique(cv.fold)
    trained_on = [np.flatnonzero((cv.fold != f) & trainable(cv.labels)) for f in folds]
    batches: Batches | None = None
    with cv.progress.stage("Training", epochs * sum(map(len, trained_on)), "views of pictures") as advance:
        for f, rows in zip(folds, trained_on, strict=True):
            file = cv.checkpoints / f"fold-{f}.safetensors"
            done = _read_fold(file, key)
            if done is not None:
                advance(epochs * len(rows))
            else:
                batches = batches or Batches(cv.pixels, device, cv.progress.message)
                held_out = np.flatnonzero(cv.fold == f)
                logits[held_out], done = _train_fold(cv, batches, rows, held_out, cv.seed + int(f), advance)
                logits.flush()
                _write_fold(file, key, done)
            margins.total += done["margin_total"]
            margins.count += done["margin_count"]
            features.append(done["features"])
    return logits, margins.mean(), _common_space(features)


def _train_fold(
    cv: CrossValidation,
    batches: Batches,
    rows: np.ndarray,
    held_out: np.ndarray,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Train one network on `rows`; its logits for `held_out`, and its margins and features of every sample."""
    plan, say = cv.plan, cv.progress.message
    mean, std = (x.to(batches.device) for x in channel_statistics(cv.pixels, rows))
    net = build_network(plan, cv.n_classes, seed, cv.pixels, rows, mean, std).to(batches.device)
    margins = Margins.empty(cv.labels.shape)
    fit(net, batches, cv.labels, rows, mean, std, training_config(plan), seed, margins, advance, say)
    # Shifted views steady small pictures; for big ones they cost more than they bring.
    shift = 1 if plan.mode == "compact" else 0
    logits, _ = predict(net, batches, held_out, mean, std, plan.flip, say, shift_px=shift)
    _, features = predict(net, batches, np.arange(len(cv.labels)), mean, std, False, say)
    return logits, {
        # Of mean length one: features of different networks get the same weight, and float16 cannot overflow.
        "features": (features / max(float(np.linalg.norm(features, axis=1).mean()), 1e-6)).astype(np.float16),
        "margin_total": margins.total,
        "margin_count": margins.count,
    }


def training_config(plan: Plan) -> TrainConfig:
    """The recipe of each mode."""
    if plan.mode == "compact":
        return TrainConfig(plan.epochs, plan.batch_size, flip=plan.flip)
    pretrained = plan.weights != "none"
    return TrainConfig(
        plan.epochs,
        plan.batch_size,
        flip=plan.flip,
        ramp=0.2,
        head_lr=3e-3 if pretrained else 1e-3,
        body_lr=3e-4 if pretrained else 1e-3,
        weight_decay=0.05,
    )


def build_network(
    plan: Plan,
    n_classes: int,
    seed: int,
    pixels: PixelArray,
    rows: np.ndarray,
    mean: torch.Tensor,
    std: torch.Tensor,
) -> nn.Module:
    """The untrained network of `plan`, its random weights decided by `seed` alone, in channels-last memory order."""
    from curation.training.model import normalise

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if plan.mode == "compact":
            net: nn.Module = CompactNet(n_classes, plan.size_px)
            images = torch.from_numpy(pixels[rows[:: max(1, len(rows) // 1000)]])
            net.fit_whitening(normalise(images, mean.cpu(), std.cpu()))  # type: ignore[operator]
        else:
            net = TorchvisionNet(load_backbone(plan.model, plan.weights), n_classes)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _common_space(features: list[np.ndarray]) -> np.ndarray:
    """(N, D) float32, D <= EMBEDDING_SIZE: the features of all folds' networks side by side, projected at random.

    One network's features cannot be compared with another's, so a sample is described by all of them, though all but
    one were trained on it: right for showing neighbours, not for judging a label. Random projections keep distances
    (Johnson & Lindenstrauss 1984).
    """
    side_by_side = np.concatenate([f.astype(np.float32) for f in features], axis=1)
    width = side_by_side.shape[1]
    if width <= EMBEDDING_SIZE:
        return side_by_side
    rng = np.random.default_rng(0)
    projection = (rng.standard_normal((width, EMBEDDING_SIZE)) / np.sqrt(EMBEDDING_SIZE)).astype(np.float32)
    return side_by_side @ projection


def _content_key(cv: CrossValidation) -> str:
    """What a fold's checkpoint belongs to; one from other data, settings or seeds is not read."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((cv.pixels.shape, cv.plan, TrainConfig, cv.seed)).encode())
    for array in (cv.labels, cv.fold, cv.pixels[:: max(1, len(cv.pixels) // 256)]):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_fold(file: Path, key: str) -> dict[str, np.ndarray] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as stored:
            if (stored.metadata() or {}).get("key") != key:
                return None
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError):
        return None


def _write_fold(file: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    content = save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, {"key": key})
    write_atomic(file, lambda stream: stream.write(content), "fold")
