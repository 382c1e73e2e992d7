"""The networks and the batch augmentations: a compact network from scratch, torchvision's by name (plain torch)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curation.errors import SettingsError, WeightsError
from curation.training.plan import PRETRAINED_SIZE_PX, Plan, check_model, check_weights_file

# First feature map of the compact network, whatever the size of the picture: bigger pictures get bigger patches, so
# that a 96 px photo costs what a 32 px one does.
PATCH_GRID = 32
COMPACT_WIDTHS = (64, 128, 256)


class CompactNet(nn.Module):
    """A small residual-free convolutional network that learns well from scratch within a few epochs.

    Frozen whitening of small patches, then three blocks (convolution, pooling, normalisation, GELU, convolution,
    normalisation, GELU) and a linear head, each convolution starting as an identity; after Keller Jordan,
    "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024), with narrower blocks for the CPU's sake.

    forward : (B, 3, S, S) -> logits (B, K) and features (B, D)
    """

    def __init__(self, n_classes: int, size_px: int, widths: tuple[int, ...] = COMPACT_WIDTHS) -> None:
        super().__init__()
        stride = max(1, round(size_px / PATCH_GRID))
        patch = 2 * stride
        # Principal directions beyond the first dozen per colour are noise; both signs of each are kept.
        directions = min(3 * patch * patch, 12)
        # Nothing of it is trained: that spares the backward pass through the largest feature map.
        self.whiten = nn.Conv2d(3, 2 * directions, patch, stride=stride).requires_grad_(False)
        inputs = (2 * directions, *widths[:-1])
        self.blocks = nn.Sequential(*(_block(a, b) for a, b in zip(inputs, widths, strict=True)))
        self.head = nn.Linear(widths[-1], n_classes, bias=False)

    @torch.no_grad()
    def fit_whitening(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """Set the first layer to the principal directions of the patches of `images` (n, 3, S, S), scaled to unit
        variance."""
        patch, stride = self.whiten.kernel_size[0], self.whiten.stride[0]
        columns = F.unfold(images.float(), patch, stride=stride).transpose(1, 2).reshape(-1, 3 * patch * patch)
        covariance = columns.T @ columns / len(columns)
        # LAPACK on the CPU: equal results whatever the device.
        values, vectors = torch.linalg.eigh(covariance.cpu().double())
        keep = self.whiten.out_channels // 2
        scaled = (vectors / torch.sqrt(values + epsilon))[:, -keep:].flip(1).T
        weight = scaled.reshape(keep, 3, patch, patch).to(self.whiten.weight)
        self.whiten.weight.copy_(torch.cat([weight, -weight]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(F.gelu(self.whiten(x))).amax((2, 3))
        # 1/9 keeps the first logits small, so that a high learning rate is stable (same source).
        return self.head(features) / 9, features


def _block(inputs: int, outputs: int) -> nn.Sequential:
    first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
    for conv in (first, second):
        nn.init.dirac_(conv.weight.data[: conv.in_channels])
    # Training is short, so the running statistics must forget fast (same source).
    norms = [nn.BatchNorm2d(outputs, momentum=0.4) for _ in range(2)]
    return nn.Sequential(first, nn.MaxPool2d(2), norms[0], nn.GELU(), second, norms[1], nn.GELU())


class TorchvisionNet(nn.Module):
    """A torchvision classifier with its last linear layer replaced; gives logits (B, K) and features (B, D)."""

    def __init__(self, model: nn.Module, n_classes: int) -> None:
        super().__init__()
        last, width = _last_linear(model)
        _replace(model, last, nn.Identity())
        self.body = model
        self.head = nn.Linear(width, n_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return self.head(features), features


def _last_linear(model: nn.Module) -> tuple[str, int]:
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise SettingsError(f"{type(model).__name__} has no linear layer at its end, so it cannot be used here.")
    return linear[-1][0], linear[-1][1].in_features


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def load_backbone(name: str, weights: str) -> nn.Module:
    """A torchvision classification model by name, with weights.

    Parameters
    ----------
    name : torchvision's name, such as "mobilenet_v2"
    weights : "none", "default" (torchvision's own, downloaded once into torch's cache) or the path of a `.safetensors`
        file with torchvision's tensor names

    Raises
    ------
    SettingsError : torchvision has no such classification model.
    WeightsError : the weights cannot be reached, are not a safetensors file, or belong to another model.
    """
    import torchvision

    check_model(name)
    if weights == "none":
        return _unseeded(lambda: torchvision.models.get_model(name))
    if weights == "default":
        try:
            return torchvision.models.get_model(name, weights="DEFAULT", progress=False)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"The pretrained weights of {name} could not be downloaded ({error}). Give a local file with "
                f"--weights FILE.safetensors, or train without pretrained weights with --mode compact."
            ) from error
    model = _unseeded(lambda: torchvision.models.get_model(name))
    _load_safetensors(model, name, Path(weights))
    return model


def _unseeded(build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` makes, its random weights the same whenever it is called."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def check_network(plan: Plan) -> None:
    """Refuse a torchvision network that cannot do what `plan` asks of it, before a picture is decoded.

    The network is built without memory (on torch's meta device) and shown two pictures without values.

    Raises
    ------
    SettingsError : no such model, no linear layer at its end, or it cannot take pictures of this size.
    WeightsError : the file of weights belongs to another model.
    """
    check_model(plan.model)
    try:
        with torch.device("meta"):
            model = load_backbone(plan.model, "none")
            _check_file(model, plan)
            net = TorchvisionNet(model, 2).train(plan.mode == "finetune")
            net(torch.zeros(2, 3, plan.size_px, plan.size_px))
    except NotImplementedError:  # RegNet computes with values while it is built
        return
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0][:120]
        raise SettingsError(
            f"--model {plan.model} cannot be used with --mode {plan.mode} and pictures of {plan.size_px} px: {reason}. "
            f"Choose another --model, or another --size (most were made for {PRETRAINED_SIZE_PX})."
        ) from error


def _check_file(model: nn.Module, plan: Plan) -> None:
    """Compare the names and shapes in the header of the plan's weights file, if it has one, with those of the model."""
    if plan.weights in ("default", "none"):
        return
    from safetensors import safe_open

    with safe_open(plan.weights, "np") as stored:
        shapes = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118 (no mapping)
    _refuse_misfits(model, plan.model, Path(plan.weights), shapes)


def _load_safetensors(model: nn.Module, name: str, file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_weights_file(file)
    try:
        state = load_file(os.fspath(file))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{file} is not a readable safetensors file: {error}") from error
    _refuse_misfits(model, name, file, {key: tuple(value.shape) for key, value in state.items()})
    expected, head = model.state_dict(), _last_linear(model)[0]
    model.load_state_dict({k: v for k, v in state.items() if k in expected and not k.startswith(head)}, strict=False)


def _refuse_misfits(model: nn.Module, name: str, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    # The classifier is replaced anyway: another number of classes there is no reason to refuse the file.
    head = _last_linear(model)[0]
    problems = [
        key
        for key, value in model.state_dict().items()
        if not key.startswith(head)
        and not key.endswith("num_batches_tracked")
        and shapes.get(key) != tuple(value.shape)
    ]
    if problems:
        raise WeightsError(
            f"{file} does not hold the weights of {name}: {len(problems)} tensors are missing or of another shape, "
            f"first '{problems[0]}'. Choose the model they belong to with --model."
        )


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (B, S, S, 3) in 0..255 to float32 (B, 3, S, S), channels-last in memory; mean and std (3,) of x / 255."""
    x = images.permute(0, 3, 1, 2).float()
    return (x - (mean * 255).view(1, 3, 1, 1)) / (std * 255).view(1, 3, 1, 1)


def augment(images: Tensor, generator: torch.Generator, flip: bool, shift_px: int) -> Tensor:
    """Shift each picture of a batch (B, S, S, C) by up to `shift_px` (edges reflected), mirror half of them if `flip`.

    Random numbers come from the CPU generator, so that every device trains on the same pictures.
    """
    count, height, width = images.shape[:3]
    device = images.device
    dy, dx = torch.randint(-shift_px, shift_px + 1, (2, count, 1), generator=generator).to(device)
    rows = _reflect(torch.arange(height, device=device) + dy, height)
    columns = _reflect(torch.arange(width, device=device) + dx, width)
    if flip:
        mirrored = (torch.rand(count, 1, generator=generator) < 0.5).to(device)
        columns = torch.where(mirrored, columns.flip(1), columns)
    sample = torch.arange(count, device=device)[:, None, None]
    return images[sample, rows[:, :, None], columns[:, None, :]]


def _reflect(index: Tensor, length: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= length, 2 * (length - 1) - index, index).clamp(0, length - 1)
