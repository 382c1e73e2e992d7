"""A detector trained per fold: where objects are in pictures that it never saw. torchvision's Faster R-CNN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.decoding.sources import open_picture
from curation.files import write_atomic
from curation.progress import SILENT, Progress
from curation.training.plan import Plan

# Longer side of the pictures; the network sees a grid of a sixteenth of that.
SIDE_PX, STRIDE = 320, 16
BATCH = 4
LR = 3e-4
LEAST_SCORE = 0.05
SCRATCH_MODEL = "mobilenet_v2"
_COLUMNS = ["row", "class_id", "x", "y", "w", "h", "score"]


@dataclass(frozen=True, eq=False)
class DetectorTask:
    """Pictures with boxes, and in which fold each is held out.

    root, paths : of N pictures; sizes : (N, 2) width and height, upright
    fold : (N,) int64
    picture, boxes, labels : (B,) row number of the picture, (B, 4) x, y, w, h, (B,) class ids 0..n_classes-1
    checkpoints : folder of this very run; the predictions of each finished fold are kept there
    """

    root: Path
    paths: list[str]
    sizes: np.ndarray
    fold: np.ndarray
    picture: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    n_classes: int
    plan: Plan
    epochs: int
    seed: int
    checkpoints: Path
    progress: Progress = SILENT


def predict_out_of_fold(task: DetectorTask) -> pd.DataFrame:
    """What a detector that did not see the picture finds in it: `row`, `class_id`, x, y, w, h, `score`.

    Pictures are read anew in every epoch, since those of a detection set seldom fit into memory.

    Raises
    ------
    WeightsError : the weights of the plan cannot be had.
    """
    folds = np.unique(task.fold)
    found: list[pd.DataFrame] = []
    total = task.epochs * (len(folds) - 1) * len(task.paths) + len(task.paths)
    with task.progress.stage("Training detectors", total, "views of pictures") as advance:
        for f in folds:
            file = task.checkpoints / f"detector-{f}.parquet"
            rows = np.flatnonzero(task.fold == f)
            if file.exists():
                advance(task.epochs * (len(task.paths) - len(rows)) + len(rows))
            else:
                _keep(_one_fold(task, int(f), advance), file)
            found.append(pd.read_parquet(file))
    return pd.concat(found, ignore_index=True)


def _keep(table: pd.DataFrame, file: Path) -> None:
    write_atomic(file, lambda stream: table.to_parquet(stream, index=False), "detector")


def _one_fold(task: DetectorTask, f: int, advance: Callable[[int], None]) -> pd.DataFrame:
    """Train without the pictures of a fold, and predict those."""
    net = learn(task, np.flatnonzero(task.fold != f), task.seed + f, advance)
    return look(task, net, np.flatnonzero(task.fold == f), advance)


def learn(task: DetectorTask, rows: np.ndarray, seed: int, advance: Callable[[int], None]) -> Any:
    """A detector, trained on the pictures `rows` (n,) for `task.epochs` passes, on the plan's device.

    advance : called with the number of views of pictures done
    """
    import torch

    device = torch.device(task.plan.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone, weights = backbone_of(task.plan)
        net = empty_detector(backbone, weights, task.n_classes).to(device)
        optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=LR, weight_decay=1e-4)
        steps = max(task.epochs * -(-len(rows) // BATCH), 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.1)
        rng = np.random.default_rng([seed])
        for _ in range(task.epochs):
            _train_mode(net, weights != "none")
            order = rng.permutation(rows)
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                mirrored = task.plan.flip & (rng.random(len(batch)) < 0.5)
                views = [_view(task, int(row), bool(turn)) for row, turn in zip(batch, mirrored, strict=True)]
                images = [image.to(device) for image, _ in views]
                targets = [{name: value.to(device) for name, value in target.items()} for _, target in views]
                loss = sum(net(images, targets).values())
                optimizer.zero_grad()
                if bool(torch.isfinite(loss)):  # a step that went astray is left out
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                    optimizer.step()
                schedule.step()
                advance(len(batch))
    return net


def _train_mode(net: Any, pretrained: bool) -> None:
    """Batches of four are too small to measure what pretrained layers were normalised with."""
    import torch

    net.train()
    for module in net.backbone.modules() if pretrained else []:
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def backbone_of(plan: Plan) -> tuple[str, str]:
    """The network, and its weights, that a detector of this plan is built on."""
    pretrained = plan.mode != "compact" and plan.weights != "none"
    return (plan.model, plan.weights) if pretrained else (SCRATCH_MODEL, "none")


def empty_detector(model: str, weights: str, n_classes: int) -> Any:
    """Faster R-CNN on the layers of torchvision's network `model` down to STRIDE.

    Raises
    ------
    WeightsError, SettingsError : the weights cannot be had, or there is no such network.
    """
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    from curation.training.model import load_backbone

    return FasterRCNN(
        _down_to_stride(load_backbone(model, weights)),
        n_classes + 1,  # class 0 is the background
        rpn_anchor_generator=AnchorGenerator(((16, 32, 64, 128, 256),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        min_size=SIDE_PX * 3 // 4,
        max_size=SIDE_PX,
        box_score_thresh=LEAST_SCORE,
    )


def _down_to_stride(model: Any) -> Any:
    """The first layers of a classification network, as long as their grid is no coarser than STRIDE."""
    import torch

    layers = list(model.features) if hasattr(model, "features") else list(model.children())
    kept: list[Any] = []
    grid, channels = torch.zeros(1, 3, 8 * STRIDE, 8 * STRIDE), 3
    model.eval()
    with torch.inference_mode():
        for layer in layers:
            grid = layer(grid)
            if grid.dim() != 4 or grid.shape[-1] < 8:
                break
            kept.append(layer)
            channels = grid.shape[1]
    body = torch.nn.Sequential(*kept)
    body.out_channels = channels  # type: ignore[assignment]  # as torchvision's detectors ask for it
    return body


def _view(task: DetectorTask, row: int, mirrored: bool) -> tuple[Any, dict[str, Any]]:
    """A picture (3, H, W) in [0, 1], SIDE_PX on its longer side, and its boxes as torchvision's detectors want them."""
    import torch

    width, height = task.sizes[row].tolist()
    scale = min(1.0, SIDE_PX / max(width, height))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    rgb = open_picture(task.root, task.paths[row], min(size)).rgb.resize(size)
    image = torch.from_numpy(np.asarray(rgb).copy()).permute(2, 0, 1).float() / 255
    mine = task.picture == row
    corners = np.column_stack([task.boxes[mine][:, :2], task.boxes[mine][:, :2] + task.boxes[mine][:, 2:]])
    corners = np.clip(corners * scale, 0, [*size, *size])
    real = (corners[:, 2:] - corners[:, :2] > 1).all(axis=1)
    corners, labels = corners[real], task.labels[mine][real] + 1
    if mirrored:
        image = image.flip(2)
        corners[:, [0, 2]] = size[0] - corners[:, [2, 0]]
    target = {"boxes": torch.from_numpy(corners.astype(np.float32)), "labels": torch.from_numpy(labels)}
    return image, target


def look(task: DetectorTask, net: Any, rows: np.ndarray, advance: Callable[[int], None]) -> pd.DataFrame:
    """What a detector finds in the pictures `rows`: `row`, `class_id`, x, y, w, h in pixels, `score` in [0, 1]."""
    import torch

    net.eval()
    found: list[tuple[float, ...]] = []
    with torch.inference_mode():
        for row in rows.tolist():
            image, _ = _view(task, row, False)
            (answer,) = net([image.to(task.plan.device)])
            scale = task.sizes[row] / np.array([image.shape[2], image.shape[1]])
            corners = answer["boxes"].cpu().numpy().astype(np.float64) * np.tile(scale, 2)
            sure = zip(corners, answer["labels"].cpu().numpy(), answer["scores"].cpu().numpy(), strict=True)
            for (left, top, right, bottom), label, score in sure:
                found.append((row, int(label) - 1, left, top, right - left, bottom - top, float(score)))
            advance(1)
    table = pd.DataFrame(found, columns=_COLUMNS)
    return table.astype({"row": "int64", "class_id": "int64", **dict.fromkeys(_COLUMNS[2:], "float64")})
