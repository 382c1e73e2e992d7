"""`curate retrain`: one network for use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curation.commands.options import Command, common, dataset_option, option, print_json
from curation.commands.training_options import training_options

WHAT = "What is learnt"


@click.command(cls=Command)
@option("--version", group=WHAT, default="", metavar="VERSION", help="As v0002, or a tag (default: the newest).")
@option(
    "--holdout",
    group=WHAT,
    default="",
    metavar="SPLIT|FILE|none",
    help="What is measured on and not learnt (default: test, else val, else none).",
)
@option(
    "--output",
    group=WHAT,
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to write weights, classes, measurements and a model card.",
)
@option(
    "--detector",
    "detector_epochs",
    group=WHAT,
    type=click.IntRange(1, 10_000),
    metavar="EPOCHS",
    help="Boxes: passes of the detector that learns them; slow without a GPU.",
)
@training_options
@dataset_option
@common
def command(
    version: str,
    holdout: str,
    output: Path,
    detector_epochs: int | None,
    training: dict[str, Any],
    name: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Train one network on a version, and write it with all that is needed to use it.

    The network is that of curate score, with cross entropy as its loss; of boxes, a detector. `curate predict` asks it
    about new pictures.
    """
    from curation.datasets import find_dataset
    from curation.explain import visible
    from curation.manifest.history import resolve
    from curation.manifest.version_files import head
    from curation.proving.compare import MEASURES
    from curation.retraining import RetrainSettings, retrain
    from curation.terminal import RichProgress, stdout_console

    dataset = find_dataset(workspace, name)
    chosen = resolve(dataset.folder, version) if version else str(head(dataset.folder))
    settings = RetrainSettings(version=chosen, holdout=holdout, detector_epochs=detector_epochs or 0, **training)
    with RichProgress() as progress:
        facts = retrain(workspace, dataset, settings, output, progress)
    if as_json:
        print_json({**facts, "output": str(output)})
        return
    console, metrics = stdout_console(), facts["metrics"]
    console.print(f"Trained on {facts['trained_on']:,} pictures of {visible(chosen)}: {visible(str(output), 4096)}")
    if metrics is None:
        why = "as you said" if holdout else "there is no split test or val; name one with --holdout"
        console.print(f"Nothing was measured: {why}.")
    else:
        console.print(
            f"On {metrics['pictures']:,} pictures ({visible(metrics['holdout'])}): "
            + ", ".join(f"{MEASURES[name]} {value:.1%}" for name, value in metrics.items() if isinstance(value, float))
            + "."
        )
    console.print(f"Next: curate predict {visible(str(output), 4096)} PICTURES", soft_wrap=True)
