"""The options of every command that trains: mode, network, weights, passes, seed, device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from curation.commands.options import option

MODEL = "Model and training"
NAMES = ("mode", "model", "weights", "epochs", "seed", "device")


def training_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add --mode, --model, --weights, --epochs, --seed, --device, --no-flip.

    The command gets all of them as `training`, keywords of curation.training.plan.TrainingSettings.
    """

    @wraps(function)
    def gathered(no_flip: bool, **said: Any) -> None:
        training = {name: said.pop(name) for name in NAMES} | {"flip": not no_flip}
        function(training=training, **said)

    decorated: Callable[..., None] = gathered
    for decorate in (
        option("--no-flip", group=MODEL, is_flag=True, help="Do not mirror pictures: text, digits, left and right."),
        option(
            "--device",
            group=MODEL,
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="Where it is computed.",
        ),
        option("--seed", group=MODEL, type=click.IntRange(0, 2**31), default=0, show_default=True, help="Decides all."),
        option("--epochs", group=MODEL, type=click.IntRange(1, 10_000), metavar="N", help="Passes over the pictures."),
        option("--weights", group=MODEL, metavar="default|none|FILE", help="Pretrained weights."),
        option("--model", group=MODEL, metavar="NAME", help="A torchvision network, as resnet18."),
        option(
            "--mode",
            group=MODEL,
            type=click.Choice(["auto", "probe", "finetune", "compact"]),
            default="auto",
            show_default=True,
            help="As for curate score.",
        ),
    ):
        decorated = decorate(decorated)
    return decorated
