"""The only training loop: one network, on pixels that lie on the device as one array; and prediction with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curation.arrays import PixelArray
from curation.cores import free_memory
from curation.errors import SettingsError
from curation.training.label_sets import set_loss, set_margin
from curation.training.model import CompactNet, augment, normalise

MIN_BATCH = 8
# Pictures are loaded as a whole where they take no more than this share of the memory that is free.
LOADED = 0.5

# Logits (B, K) and labels (B,) to a loss per sample (B,).
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrainConfig:
    """How one fold's network is trained.

    warm_up : share of the steps before training margins count; early on every label looks doubtful
    ramp : share of the steps in which the learning rate rises; it falls linearly to zero afterwards
    robustness : q of the generalised cross entropy (1 - p**q) / q that follows the plain one after the first
        `plain` share of the steps; 0 = cross entropy to the end
    head_lr, body_lr : peak learning rates of the last layer and of the layers before it
    """

    epochs: int
    batch_size: int = 250
    robustness: float = 0.7
    plain: float = 0.15
    label_smoothing: float = 0.2
    flip: bool = True
    shift_share: float = 0.1
    warm_up: float = 0.3
    ramp: float = 0.0
    head_lr: float = 0.67
    body_lr: float = 0.24
    weight_decay: float = 5e-4


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is made orthogonal before each step, on filters kept at a fixed norm.

    Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), in the form of his CIFAR-10 speed
    runs: convolution filters (O, I, h, w) count as (O, I*h*w) matrices; torch.optim.Muon takes 2-D
    weights only.
    """

    def __init__(self, filters: list[nn.Parameter], lr: float, momentum: float = 0.6) -> None:
        super().__init__(filters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
                velocity.mul_(group["momentum"]).add_(weight.grad)
                gradient = weight.grad.add(velocity, alpha=group["momentum"])
                weight.mul_(math.sqrt(len(weight)) / weight.norm())
                update = orthogonalise(gradient.reshape(len(gradient), -1)).view_as(weight)
                weight.add_(update, alpha=-group["lr"])


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Nearly the orthogonal factor of `matrix` (n, m), by a quintic Newton-Schulz iteration in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


@dataclass
class Margins:
    """Running mean of the training margin of each sample: logit of the given label minus the best other.

    Pleiss et al. (2020), Identifying mislabeled data using the area under the margin ranking; here with augmentation,
    and only after the warm-up.
    """

    total: np.ndarray
    count: np.ndarray

    @staticmethod
    def empty(shape: int | tuple[int, ...]) -> Margins:
        """Of N samples, or of (N, K) labels."""
        return Margins(np.zeros(shape, dtype=np.float64), np.zeros(shape, dtype=np.int64))

    def add(self, rows: np.ndarray, margins: np.ndarray) -> None:
        np.add.at(self.total, rows, margins)
        np.add.at(self.count, rows, 1)

    def mean(self) -> np.ndarray:
        """(N,) or (N, K) float32, NaN where a sample was never trained on."""
        with np.errstate(invalid="ignore"):
            return (self.total / np.where(self.count == 0, np.nan, self.count)).astype(np.float32)


def label_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) logit of the given label minus the best other; +inf with one class only."""
    given = logits.gather(1, labels[:, None])[:, 0]
    return given - logits.scatter(1, labels[:, None], -math.inf).amax(1)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: every recent GPU, and CPUs with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """bfloat16 autocast where the device is fast at it, plain float32 elsewhere."""
    with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
        yield


def halve_on_oom(run: Callable[[int], Tensor], batch: int, say: Callable[[str], None]) -> tuple[Tensor, int]:
    """Call `run(batch)`, halving `batch` each time the device is out of memory; gives its result and the batch used.

    Raises
    ------
    SettingsError : not even MIN_BATCH pictures fit.
    """
    while True:
        try:
            return run(batch), batch
        except torch.OutOfMemoryError as error:
            if batch // 2 < MIN_BATCH:
                raise SettingsError(
                    f"The device ran out of memory even with {batch} pictures at a time. Choose smaller pictures with "
                    f"--size, a smaller --model, or --device cpu."
                ) from error
            batch //= 2
        # Outside the except block: the traceback would keep the failed step's tensors alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(f"The device ran out of memory; going on with {batch} pictures at a time.")


class Batches:
    """Pixels (N, S, S, 3) uint8: on the device where they fit, else in memory, else in the file that holds them."""

    def __init__(self, pixels: PixelArray, device: torch.device, say: Callable[[str], None]) -> None:
        self.device, self.side = device, pixels.shape[1]
        self._source = pixels
        self._loaded: Tensor | None = None
        if isinstance(pixels, np.ndarray):
            self._loaded = torch.from_numpy(pixels)
        elif pixels.nbytes < LOADED * free_memory():
            self._loaded = torch.from_numpy(pixels[:])
        else:
            say(f"The pictures ({pixels.nbytes / 2**30:.1f} GB) stay on disk: they would fill this machine's memory.")
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self._loaded is not None and pixels.nbytes < LOADED * free:
                self._loaded = self._loaded.to(device)
            else:
                say("The pictures do not fit into the device's memory; they are sent batch by batch.")

    def take(self, rows: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) on the device."""
        if self._loaded is None:
            return torch.from_numpy(self._source[rows.cpu().numpy()]).to(self.device, non_blocking=True)
        return self._loaded[rows.to(self._loaded.device)].to(self.device, non_blocking=True)


def fit(
    net: nn.Module,
    batches: Batches,
    labels: np.ndarray,
    rows: np.ndarray,
    mean: Tensor,
    std: Tensor,
    config: TrainConfig,
    seed: int,
    margins: Margins,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> nn.Module:
    """Train `net` in place on `rows` of `batches`, and add each sample's training margins to `margins`.

    Parameters
    ----------
    labels : (N,) int64 class ids, not -1 for any of `rows`; or (N, K) of several labels per picture, see
        curation.training.label_sets
    rows : (n,) int64, what to train on; with fewer than two the network stays as it is
    advance : called with the number of pictures done after each step

    Raises
    ------
    SettingsError : not even a tiny batch fits into memory, or the loss stopped being a number.
    """
    if len(rows) < 2:
        return net
    device = batches.device
    generator = torch.Generator().manual_seed(seed)
    given = torch.from_numpy(labels)
    order_of = torch.from_numpy(rows)
    size = min(config.batch_size, max(2, len(rows)))
    steps = max(1, len(rows) // size)  # the shuffled remainder waits for another epoch: tiny batches upset batch norm
    total_steps = config.epochs * steps
    optimizers = _optimizers(net, config)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    several = set_loss(labels) if labels.ndim == 2 else None
    shift = max(1, round(config.shift_share * batches.side))
    micro, done = size, 0
    net.train()
    for _ in range(config.epochs):
        shuffled = order_of[torch.randperm(len(rows), generator=generator)]
        measured: list[tuple[Tensor, Tensor]] = []
        for step in range(steps):
            batch = shuffled[step * size : (step + 1) * size]
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                for group, lr in zip(optimizer.param_groups, peak, strict=True):
                    group["lr"] = lr * _schedule(done / total_steps, config.ramp)
            images = augment(batches.take(batch), generator, config.flip, shift)
            target = given[batch].to(device)
            loss = several or _choose_loss(config, done / total_steps)
            gradient = partial(_gradient, net, normalise(images, mean, std), target, loss)
            logits, micro = halve_on_oom(gradient, micro, say)
            for optimizer in optimizers:
                optimizer.step()
            if done >= config.warm_up * total_steps:
                margin_of = set_margin if several else label_margin
                measured.append((batch, margin_of(logits, target)))
            done += 1
            advance(len(batch))
        advance(len(rows) - steps * size)
        if measured:  # once per pass: a GPU would have to wait for every single copy
            seen, values = (torch.cat(column) for column in zip(*measured, strict=True))
            margins.add(seen.numpy(), values.cpu().double().numpy())
        if not torch.isfinite(logits).all():
            raise SettingsError("Training diverged: the network's outputs are no longer numbers. Try another --seed.")
    return net


def _gradient(net: nn.Module, images: Tensor, target: Tensor, loss: Loss, part: int) -> Tensor:
    """Leave the mean loss's gradient in the parameters, computed `part` pictures at a time; gives the logits."""
    for parameter in net.parameters():
        parameter.grad = None
    outputs = []
    # Even parts: a last one of a single picture would upset batch norm.
    n_parts = math.ceil(len(images) / part)
    for some, given in zip(images.tensor_split(n_parts), target.tensor_split(n_parts), strict=True):
        with autocast(images.device):
            logits, _ = net(some)
        (loss(logits.float(), given).sum() / len(images)).backward()
        outputs.append(logits.detach().float())
    return torch.cat(outputs)


def _choose_loss(config: TrainConfig, done: float) -> Loss:
    """The loss per sample after the share `done` of all steps."""
    if done < config.plain:
        return partial(F.cross_entropy, label_smoothing=config.label_smoothing, reduction="none")
    return partial(generalised_cross_entropy, q=config.robustness)


def generalised_cross_entropy(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """(B,) loss (1 - p**q) / q of the given label's probability p; a wrong label pulls less than in cross entropy,
    which is its limit for q = 0.

    Zhang & Sabuncu (2018), Generalized cross entropy loss for training deep neural networks with noisy labels; q = 0.7
    is theirs.
    """
    loss = F.cross_entropy(logits, labels, reduction="none")
    if q == 0:
        return loss
    return (1 - torch.exp(-q * loss)) / q


def _optimizers(net: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    if not isinstance(net, CompactNet):
        head = [p for name, p in net.named_parameters() if name.startswith("head")]
        body = [p for name, p in net.named_parameters() if not name.startswith("head") and p.requires_grad]
        groups = [{"params": head, "lr": config.head_lr}, {"params": body, "lr": config.body_lr}]
        return [torch.optim.AdamW(groups, weight_decay=config.weight_decay)]
    trained = [p for p in net.parameters() if p.requires_grad]
    filters = [p for p in trained if p.ndim == 4]
    others = [p for p in trained if p.ndim == 1]
    sgd = torch.optim.SGD(
        [{"params": others, "lr": 0.053}, {"params": [net.head.weight], "lr": config.head_lr}],
        lr=config.head_lr,
        momentum=0.85,
        nesterov=True,
        weight_decay=config.weight_decay,
    )
    return [sgd, Muon(filters, config.body_lr)]


def _schedule(done: float, ramp: float) -> float:
    """Share of the peak learning rate after the share `done` of all steps: one cycle, linear up and linear down."""
    if done < ramp:
        return 0.1 + 0.9 * done / ramp
    return (1 - done) / (1 - ramp)


@torch.no_grad()
def predict(
    net: nn.Module,
    batches: Batches,
    rows: np.ndarray,
    mean: Tensor,
    std: Tensor,
    flip: bool,
    say: Callable[[str], None],
    batch_size: int = 500,
    shift_px: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, K) and features (n, D) of `rows`, float32, averaged over the views: as is, mirrored if `flip`, and
    shifted by `shift_px` to two corners if that is not 0."""
    net.eval()
    shifts = [(0, 0)] if shift_px == 0 else [(0, 0), (shift_px, shift_px), (-shift_px, -shift_px)]
    logits, features = [], []
    n_classes = int(net.head.out_features)  # type: ignore[union-attr,arg-type]
    start = 0
    while start < len(rows):

        def run(part: int, start: int = start) -> Tensor:
            images = normalise(batches.take(torch.from_numpy(rows[start : start + part])), mean, std)
            views = [torch.roll(images, shift, (2, 3)) if any(shift) else images for shift in shifts]
            views += [view.flip(3) for view in views] if flip else []
            outputs = []
            for view in views:
                with autocast(batches.device):
                    outputs.append(torch.cat([part.float() for part in net(view)], dim=1))
            return torch.stack(outputs).mean(0)

        both, batch_size = halve_on_oom(run, batch_size, say)
        logits.append(both[:, :n_classes].cpu().numpy())
        features.append(both[:, n_classes:].cpu().numpy())
        start += batch_size
    if not logits:
        return np.zeros((0, n_classes), np.float32), np.zeros((0, 0), np.float32)
    return np.concatenate(logits), np.concatenate(features)


def channel_statistics(pixels: PixelArray, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (3,) of each colour channel / 255 over at most 2,000 of `rows`; never zero."""
    sample = pixels[rows[:: max(1, len(rows) // 2000)]].astype(np.float64) / 255
    mean, std = sample.mean((0, 1, 2)), sample.std((0, 1, 2))
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(np.maximum(std, 0.05), dtype=torch.float32)
