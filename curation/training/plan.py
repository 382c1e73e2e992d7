"""What will be trained, on what, and why: the choices behind `auto`, made once, printed, and kept with the run."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curation.errors import SettingsError, WeightsError, WorkspaceError
from curation.files import write_json

MODES = ("auto", "probe", "finetune", "compact")
DEFAULT_MODEL = {"probe": "mobilenet_v2", "finetune": "resnet18", "compact": "compact"}
# The side, in pixels, that pretrained torchvision networks were trained at.
PRETRAINED_SIZE_PX = 224
# Sizes the compact network is offered; its cost does not depend on them (see model.PATCH_GRID), its memory does.
COMPACT_SIZES_PX = (32, 64, 96)
# The compact network sees 16 times as many pictures as there are, but at least the first number of them (a small set
# needs more passes) and at most the second (a large one fewer), within the limits on passes.
COMPACT_PICTURES = (25_000, 100_000)
COMPACT_PASSES = 16
COMPACT_EPOCHS = (8, 60)
# A step sees a sixteenth of a small set: one that sees all of it leaves too few steps.
COMPACT_BATCH = (32, 250)
FINETUNE_EPOCHS = 8
HEAD_EPOCHS = 30
# Of NVIDIA's driver, of Windows' Linux subsystem, and of AMD's driver.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
REMEMBERED_SECONDS = 3600.0  # how long it counts that a host did not answer, or did


@dataclass(frozen=True)
class Plan:
    """What cross-validation will do.

    mode : "probe", "finetune" or "compact"
    model : torchvision's name, or "compact"
    weights : "default", "none" or the path of a safetensors file
    weights_hash : of the file's bytes, "" where there is no file: the same name with other bytes is another run
    device : "cpu" or "cuda"
    size_px : side of the square that every picture is squashed to
    flip : whether mirrored pictures mean the same
    why : one sentence per choice that was made for the user
    """

    mode: str
    model: str
    weights: str
    weights_hash: str
    device: str
    size_px: int
    epochs: int
    batch_size: int
    flip: bool
    why: tuple[str, ...] = field(default=(), compare=False)

    def as_settings(self) -> dict[str, Any]:
        """What decides the result, JSON-able: not the reasons, and a file's content instead of its place."""
        chosen = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "why"}
        if self.weights_hash:
            del chosen["weights"]
        return chosen


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a user can say about training; None and "auto" leave the choice to `choose_plan`, which says what it chose.

    seed : decides every random number; flip : whether mirrored pictures mean the same
    """

    mode: str = "auto"
    model: str | None = None
    weights: str | None = None
    seed: int = 0
    device: str = "auto"
    flip: bool = True
    epochs: int | None = None
    size_px: int | None = None


def choose_plan(
    mode: str = "auto",
    model: str | None = None,
    weights: str | None = None,
    device: str = "auto",
    flip: bool = True,
    epochs: int | None = None,
    size_px: int | None = None,
    n_samples: int = 0,
    median_side_px: int = PRETRAINED_SIZE_PX,
    reachable: Callable[[str], tuple[bool, str]] | None = None,
) -> Plan:
    """Fill in every setting that the user left open.

    Parameters
    ----------
    weights : "default" (torchvision's own), "none", a file, or None = open
    n_samples : pictures that can be trained on
    median_side_px : median of the shorter sides of the source's pictures
    reachable : tells whether torchvision's weights of a model can be had without asking, and why; for tests

    Raises
    ------
    SettingsError : settings that contradict each other, or a device that is not there.
    WeightsError : weights that were asked for and are not there.
    """
    why: list[str] = []
    if mode not in MODES:
        raise SettingsError(f"--mode {mode} does not exist. Choose one of {', '.join(MODES)}.")
    if size_px is not None and not 16 <= size_px <= 1024:
        raise SettingsError(f"--size {size_px} is out of range: choose 16 to 1024 pixels.")
    if epochs is not None and epochs < 1:
        raise SettingsError(f"--epochs {epochs} is too few: choose 1 or more.")
    device = _choose_device(device, why)
    reachable = reachable or weights_reachable
    asked = mode == "auto"
    if asked:
        mode, weights = _choose_mode(model, weights, device, reachable, why)
    if mode == "compact":
        if model not in (None, "compact") or weights not in (None, "none"):
            raise SettingsError(
                "--mode compact trains its own small network from scratch: --model and --weights do not go with it. "
                "Use --mode probe or --mode finetune for a torchvision network."
            )
        size = size_px or _compact_size(median_side_px)
        passes = epochs or _compact_epochs(n_samples)
        batch = min(COMPACT_BATCH[1], max(COMPACT_BATCH[0], n_samples // 16))
        return Plan("compact", "compact", "none", "", device, size, passes, batch, flip, tuple(why))
    model = model or DEFAULT_MODEL[mode]
    weights = weights or "default"
    if mode == "probe" and weights == "none":
        raise SettingsError(
            "--mode probe needs pretrained weights (--weights default or FILE.safetensors); with --weights none use "
            "--mode finetune or --mode compact."
        )
    if weights == "default" and not asked:
        _check_reachable(model, reachable)
    size = size_px or (PRETRAINED_SIZE_PX if mode == "probe" or median_side_px > 64 else max(32, median_side_px))
    passes = epochs or (HEAD_EPOCHS if mode == "probe" else FINETUNE_EPOCHS)
    return Plan(mode, model, weights, _file_hash(weights), device, size, passes, 64, flip, tuple(why))


def _choose_device(device: str, why: list[str]) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"--device {device} does not exist. Choose auto, cpu or cuda.")
    if device == "cpu":
        return device
    if device == "auto" and _has_no_gpu():
        why.append("device cpu: no usable GPU was found")
        return "cpu"
    import torch

    if torch.cuda.is_available():
        if device == "auto":
            why.append(f"device cuda: {torch.cuda.get_device_name()} is there")
        return "cuda"
    if device == "cuda":
        raise SettingsError("--device cuda: no usable GPU was found. `curate doctor` says what is there.")
    why.append("device cpu: no usable GPU was found")
    return "cpu"


def _has_no_gpu() -> bool:
    """Whether it is plain without loading torch, which takes a second: on Linux, no driver has made a device."""
    return sys.platform == "linux" and not any(map(os.path.exists, _GPU_DEVICES))


def _choose_mode(
    model: str | None,
    weights: str | None,
    device: str,
    reachable: Callable[[str], tuple[bool, str]],
    why: list[str],
) -> tuple[str, str | None]:
    pretrained = "finetune" if device == "cuda" else "probe"
    if weights == "none":
        mode = "finetune" if model not in (None, "compact") else "compact"
        why.append(f"mode {mode}: --weights none")
        return mode, weights if mode == "finetune" else None
    if model == "compact":
        why.append("mode compact: --model compact")
        return "compact", None
    if weights not in (None, "default"):
        why.append(
            f"mode {pretrained}: a weights file was given" + (", and there is a GPU" if device == "cuda" else "")
        )
        return pretrained, weights
    if weights == "default" or model is not None:
        why.append(f"mode {pretrained}: {_check_reachable(model or DEFAULT_MODEL[pretrained], reachable)}")
        return pretrained, "default"
    there, reason = reachable(DEFAULT_MODEL[pretrained])
    if there:
        why.append(f"mode {pretrained}: {reason}")
        return pretrained, "default"
    why.append(f"mode compact: {reason}; give pretrained weights with --weights FILE.safetensors for a better ranking")
    return "compact", None


def _check_reachable(model: str, reachable: Callable[[str], tuple[bool, str]]) -> str:
    """Why the pretrained weights of `model` can be had; an error if they cannot."""
    if model not in DEFAULT_MODEL.values():
        check_model(model)
    there, reason = reachable(model)
    if not there:
        raise WeightsError(
            f"The pretrained weights of {model} cannot be had: {reason}. Give a local file with "
            f"--weights FILE.safetensors, or train from scratch with --mode compact."
        )
    return reason


def check_model(name: str) -> None:
    """Refuse a name that torchvision has no classification network for.

    Raises
    ------
    SettingsError : suggests names that are alike.
    """
    import difflib

    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3) or ["resnet18", "mobilenet_v2"]
        raise SettingsError(f"torchvision has no classification model '{name}'. Did you mean {', '.join(close)}?")


def weights_reachable(model: str, timeout_seconds: float = 3.0) -> tuple[bool, str]:
    """Whether torchvision's weights of `model` are in torch's cache, or their host answers; and why."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    import torch
    import torchvision

    try:
        url = torchvision.models.get_model_weights(model).DEFAULT.url
    except (ValueError, AttributeError):
        return False, f"torchvision has no pretrained weights for '{model}'"
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if cached.is_file():
        return True, f"the pretrained weights of {model} are in torch's cache"
    host = urlsplit(url).hostname or ""
    proxy = urlsplit(getproxies().get("https", ""))
    asked, port = (proxy.hostname, proxy.port or 80) if proxy.hostname and not proxy_bypass(host) else (host, 443)
    if not _answers(asked, port, timeout_seconds):
        return False, f"the pretrained weights of {model} are not on this machine and {asked} does not answer"
    return True, f"the pretrained weights of {model} will be downloaded from {host}"


def remembered(ask: Callable[[str], tuple[bool, str]], file: Path) -> Callable[[str], tuple[bool, str]]:
    """`ask`, but what was answered within the last hour is read from `file`: to ask takes seconds, for torchvision has
    to be loaded, and a host that is not there keeps silent. A damaged file counts as none."""

    def answer(model: str) -> tuple[bool, str]:
        key = f"{model} {version('torchvision')}"
        known = _read_answers(file)
        there, reason, asked = known.get(key, (False, "", 0.0))
        if 0 <= time.time() - asked < REMEMBERED_SECONDS:
            return there, reason
        there, reason = ask(model)
        with suppress(WorkspaceError):
            write_json(file, {**known, key: (there, reason, time.time())})
        return there, reason

    return answer


def _read_answers(file: Path) -> dict[str, tuple[bool, str, float]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): (bool(there), str(reason), float(asked)) for key, (there, reason, asked) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _answers(host: str, port: int, timeout_seconds: float) -> bool:
    """Whether `host` takes a connection. In a thread: a name server that keeps silent heeds no time limit."""
    import socket
    import threading

    answered = threading.Event()

    def ask() -> None:
        try:
            socket.create_connection((host, port), timeout_seconds).close()
            answered.set()
        except OSError:
            pass

    worker = threading.Thread(target=ask, daemon=True)
    worker.start()
    worker.join(timeout_seconds)
    return answered.is_set()


def _compact_size(median_side_px: int) -> int:
    """The smallest offered size that does not shrink a typical picture; the largest for photos."""
    return next((size for size in COMPACT_SIZES_PX if size >= median_side_px), COMPACT_SIZES_PX[-1])


def _compact_epochs(n_samples: int) -> int:
    fewest, most = COMPACT_PICTURES
    pictures = min(most, max(fewest, COMPACT_PASSES * n_samples))
    low, high = COMPACT_EPOCHS
    return min(high, max(low, round(pictures / max(1, n_samples))))


def _file_hash(weights: str) -> str:
    if weights in ("default", "none"):
        return ""
    import hashlib

    check_weights_file(Path(weights))
    try:
        with open(weights, "rb") as stream:
            return hashlib.file_digest(stream, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise WeightsError(f"The weights file {os.fspath(weights)} cannot be read: {error.strerror}.") from error


def check_weights_file(file: Path) -> None:
    """Refuse what is not a file of tensors, before anything is decoded.

    Raises
    ------
    WeightsError : not there, not a regular file, not called `.safetensors`, or not one inside.
    """
    if file.suffix != ".safetensors" and os.path.exists(file):
        raise WeightsError(
            f"{file} is not a .safetensors file. Pickled checkpoints (.pt, .pth, .bin) can run code when opened "
            f"and are never read; convert them with safetensors.torch.save_file."
        )
    try:
        regular = stat.S_ISREG(os.stat(file).st_mode)
    except (OSError, ValueError) as error:  # ValueError: a NUL
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise WeightsError(
            f"The weights file {file} cannot be read: {reason}. --weights takes 'default' (those of "
            f"torchvision), 'none', or the name of a .safetensors file."
        ) from error
    if not regular:
        raise WeightsError(f"{file} is a folder, a pipe or a device, not a weights file.")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{file} is not a readable safetensors file: {error}.") from error
