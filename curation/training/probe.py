"""Probe mode: embeddings of a frozen backbone, computed once, and all folds' linear heads trained together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curation.arrays import PixelArray, create_array, open_array
from curation.progress import SILENT, Progress
from curation.training.folds import CrossValidation
from curation.training.inference import batch_workers, fast_inference
from curation.training.label_sets import set_loss, set_margin, trainable
from curation.training.model import TorchvisionNet, load_backbone, normalise
from curation.training.plan import Plan
from curation.training.train import Margins, autocast, generalised_cross_entropy, halve_on_oom, label_margin

# What torchvision's pretrained networks were normalised with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Small: feature maps of eight pictures stay in a CPU's cache (521 pictures a second; 410 with 32, 355 with 64).
EMBED_BATCH = 8
# After so many pictures what is done is written down.
EMBED_BLOCK = 4096
HEAD_BATCH = 256
HEAD_LR = 2e-3
# Mean length that embeddings are scaled to, so that one learning rate fits every backbone.
EMBEDDING_LENGTH = 20.0
WARM_UP = 0.1
ROBUSTNESS = 0.7


def train_heads(cv: CrossValidation) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Logits (N, K) of the head that did not see the sample, mean training margins (N,), embeddings (N, D); and the
    first choice (N,) of a head whose folds ignored the groups, None where there are none."""
    views = embed(cv.pixels, cv.plan, cv.checkpoints, cv.progress)
    logits, margin, ungrouped_choice = fit_heads(views, cv)
    return logits, margin, views.mean(axis=1), ungrouped_choice


def embed(pixels: PixelArray, plan: Plan, checkpoints: Path, progress: Progress = SILENT) -> np.ndarray:
    """(N, V, D) float32 features of the frozen backbone: as is and, if the plan flips, mirrored.

    Kept in `checkpoints`, with a count of the pictures done: a killed run goes on where it was.
    """
    device, count = torch.device(plan.device), len(pixels)
    backbone = TorchvisionNet(load_backbone(plan.model, plan.weights), 1)
    net, dtype = fast_inference(backbone.body, device)  # without its classifier
    mean, std = torch.tensor(IMAGENET_MEAN, device=device), torch.tensor(IMAGENET_STD, device=device)
    n_views = 2 if plan.flip else 1
    batch = part = EMBED_BATCH * (32 if device.type == "cuda" else 1)

    def forward(start: int, end: int, part: int) -> Tensor:
        rows = torch.from_numpy(pixels[start : min(start + part, end)])
        images = normalise(rows.to(device), mean, std).to(dtype)
        with torch.inference_mode(), autocast(device):
            return torch.stack([net(view).float() for view in [images, images.flip(3)][:n_views]], dim=1)

    def features(start: int) -> np.ndarray:
        nonlocal part
        end, found = min(start + batch, count), []
        while start < end:
            some, part = halve_on_oom(partial(forward, start, end), part, progress.message)
            found.append(some.cpu().numpy())
            start += len(some)
        return np.concatenate(found)

    views = open_array(checkpoints / "views.npy", (count, n_views, backbone.head.in_features))
    marker = checkpoints / "views.done"
    key = hashlib.blake2b(repr((plan, pixels.shape)).encode(), digest_size=8).hexdigest()
    done = _read_marker(marker, key)
    with progress.stage("Embedding", count) as advance, batch_workers(device) as workers:
        advance(done)
        if done < count:
            features(0)  # weights are packed for the first batch that comes: let that be the same one in every run
        for block in range(done, count, EMBED_BLOCK):
            starts = range(block, min(block + EMBED_BLOCK, count), batch)
            for start, found in zip(starts, workers(features, starts), strict=True):
                views[start : start + len(found)] = found
                advance(len(found))
            views.flush()
            marker.write_text(f"{key} {min(block + EMBED_BLOCK, count)}")
    return views


def _read_marker(marker: Path, key: str) -> int:
    try:
        stored, _, count = marker.read_text().partition(" ")
        return int(count) if stored == key else 0
    except (OSError, ValueError):
        return 0


def fit_heads(views: np.ndarray, cv: CrossValidation) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Train one linear head per fold, all in one batched product; out-of-fold logits (N, K), mean margins (N,), and
    the first choice (N,) with folds that ignore groups: a second head per fold, trained along with the first.

    The loss is the generalised cross entropy from the warm-up on, as in train.fit. Each step takes one of the views.
    """
    held_out = _held_out([cv.fold] if cv.ungrouped_fold is None else [cv.fold, cv.ungrouped_fold])
    n_heads, n_folds = len(held_out), len(np.unique(cv.fold))
    heads = learn_heads(views, cv, held_out, n_folds)
    scale, weight, bias = heads.scale, heads.weight, heads.bias
    logits_out = create_array(cv.checkpoints / "logits.npy", (len(cv.labels), cv.n_classes))
    for part, judged in _judge(views, scale, held_out[:n_folds], weight, bias):
        logits_out[part] = judged
    if n_heads == n_folds:
        return logits_out, heads.margins.mean(), None
    choice = np.zeros(len(cv.labels), dtype=np.int64)
    for part, judged in _judge(views, scale, held_out[n_folds:], weight[:, n_folds:], bias[n_folds:]):
        choice[part] = judged.argmax(axis=1)
    return logits_out, heads.margins.mean(), choice


@dataclass(frozen=True, eq=False)
class Heads:
    """H linear heads on features (B, D): logits (B, H, K) = scale * features @ weight + bias.

    weight : (D, H, K); bias : (H, 1, K); margins : of the first heads, one per fold
    """

    scale: float
    weight: Tensor
    bias: Tensor
    margins: Margins


def learn_heads(
    views: np.ndarray, cv: CrossValidation, held_out: Tensor, n_folds: int, robustness: float = ROBUSTNESS
) -> Heads:
    """Train heads together; held_out : (H, N) bool, what each must not learn from; margins are those of the first
    `n_folds` heads; robustness : as in train.TrainConfig."""
    labels, epochs, n_classes, n_heads = cv.labels, cv.plan.epochs, cv.n_classes, len(held_out)
    device = torch.device(cv.plan.device)
    generator = torch.Generator().manual_seed(cv.seed)
    scale = EMBEDDING_LENGTH / max(float(np.linalg.norm(views[:4096, 0], axis=1).mean()), 1e-6)
    weight = torch.zeros(views.shape[2], n_heads, n_classes, device=device, requires_grad=True)
    bias = torch.zeros(n_heads, 1, n_classes, device=device, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=HEAD_LR, weight_decay=1e-4)
    margins = Margins.empty(labels.shape)
    rows = torch.from_numpy(np.flatnonzero(trainable(labels)))
    given = torch.from_numpy(labels)
    several = set_loss(labels) if labels.ndim == 2 else None
    with cv.progress.stage("Training heads", epochs * len(rows)) as advance:
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = HEAD_LR * (1 - epoch / epochs)
            warm = epoch >= WARM_UP * epochs
            for batch in rows[torch.randperm(len(rows), generator=generator)].split(HEAD_BATCH):
                x = torch.from_numpy(views[batch.numpy(), epoch % views.shape[1]] * scale).to(device)
                target = given[batch].to(device)
                # (H, B, K): every head sees the batch, and learns from what its fold does not hold out.
                logits = (x @ weight.flatten(1)).view(len(x), n_heads, n_classes).transpose(0, 1) + bias
                learns = ~held_out[:, batch].to(device)
                flat, repeated = logits.flatten(0, 1), target.repeat(n_heads, *[1] * (labels.ndim - 1))
                q = robustness if warm else 0.0
                loss = several(flat, repeated) if several else generalised_cross_entropy(flat, repeated, q)
                optimizer.zero_grad()
                # Divided by what a head of the run learns from: heads for comparison must not change the others.
                per_head = learns[:n_folds].sum(1).clamp_min(1).float().mean()
                ((loss.view_as(learns) * learns).sum() / per_head).backward()
                optimizer.step()
                if warm and several:
                    teaches = learns[:n_folds, :, None]
                    margin = set_margin(logits.detach()[:n_folds], target)
                    mean = torch.where(teaches, margin, 0).sum(0) / teaches.sum(0)
                    margins.add(batch.numpy(), mean.cpu().double().numpy())
                elif warm and n_classes > 1:
                    margin = label_margin(flat.detach(), repeated).view_as(learns)[:n_folds]
                    mean = torch.where(learns[:n_folds], margin, 0).sum(0) / learns[:n_folds].sum(0)
                    margins.add(batch.numpy(), mean.cpu().double().numpy())
                advance(len(batch))
    return Heads(scale, weight.detach(), bias.detach(), margins)


def _judge(
    views: np.ndarray, scale: float, held_out: Tensor, weight: Tensor, bias: Tensor
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows, and what the head that did not learn from them says of the mean of their views: logits (rows, K)."""
    for part in torch.arange(len(views)).split(4096):
        x = torch.from_numpy(views[part.numpy()].mean(axis=1) * scale).to(weight.device)
        for head, mine in enumerate(held_out[:, part]):
            yield part[mine].numpy(), (x[mine.to(x.device)] @ weight[:, head] + bias[head]).cpu().numpy()


def _held_out(assignments: list[np.ndarray]) -> Tensor:
    """(H, N) bool: which samples each head must not learn from; one head per fold that is used, of each assignment."""
    return torch.from_numpy(np.concatenate([fold == np.unique(fold)[:, None] for fold in assignments]))
