"""`curate score`: a labelled image data set in, ranked issues and a short summary out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curation.commands.options import COMMON, Command, common, option, print_json

TASKS = ["single-label", "multi-label", "detection", "counts"]
SOURCE, MODEL = "Reading the source", "The model that judges the labels"


@click.command(cls=Command)
@click.argument("source")
@option(
    "--labels",
    group=SOURCE,
    metavar="TABLE",
    help="Table of labels (or COCO json, CVAT, Label Studio), paths in SOURCE.",
)
@option("--image-column", group=SOURCE, metavar="NAME", help="Column with the image paths (guessed).")
@option("--label-column", group=SOURCE, metavar="NAME", help="Column with the labels (guessed).")
@option("--split-column", group=SOURCE, metavar="NAME", help="Column with train, val, test ... (guessed).")
@option("--group-column", group=SOURCE, metavar="NAME", help="Column with what belongs together: patient, burst ...")
@option("--label-from-name", group=SOURCE, is_flag=True, help="Take the label from the file name, as in cat.0.jpg.")
@option("--label-pattern", group=SOURCE, metavar="REGEX", help="The same, by a regular expression with one group.")
@option(
    "--class-folder",
    group=SOURCE,
    type=click.Choice(["first", "last", "path"]),
    help="Which of several nested folders is the class (first).",
)
@option("--encoding", group=SOURCE, metavar="NAME", help="Encoding of a CSV table (UTF-8).")
@option(
    "--task",
    group=SOURCE,
    type=click.Choice(TASKS),
    help="What the labels are for (as the source is); multi-label of boxes: which classes are in the picture; counts: "
    "how many of each are, by boxes or by numbers.",
)
@option(
    "--count-column",
    group=SOURCE,
    metavar="NAME",
    help="Column with how many of the label there are, or of what it is called itself (counts).",
)
@option(
    "--label-delimiter",
    group=SOURCE,
    metavar="TEXT",
    help="A cell of the label column has several labels, with this between them: '|', ';', ',' or ' '.",
)
@option(
    "--box-origin",
    group=SOURCE,
    type=click.Choice(["auto", "0", "1"]),
    help="Pascal VOC: corners counted from 0, or from 1 with the last pixel included (auto).",
)
@option(
    "--predictions",
    group=SOURCE,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Boxes: what a detector found in pictures that it did not learn from, as COCO results (JSON).",
)
@option(
    "--detector",
    "detector_epochs",
    group=MODEL,
    type=click.IntRange(1, 10_000),
    metavar="EPOCHS",
    help="Boxes: train a detector for each fold, too, and compare with what it finds; slow without a GPU.",
)
@option("--format", "source_format", group=SOURCE, metavar="NAME", help="Force the format instead of recognising it.")
@option(
    "--mode",
    group=MODEL,
    type=click.Choice(["auto", "probe", "finetune", "compact"]),
    default="auto",
    help="probe: linear heads on a pretrained network; finetune: the network trained per fold; compact: a small "
    "network from scratch; auto: whichever suits this machine.",
)
@option("--model", group=MODEL, metavar="NAME", help="Network of torchvision, such as mobilenet_v2 or resnet18.")
@option("--weights", group=MODEL, metavar="default|none|FILE", help="Pretrained: torchvision's, none, or a file.")
@option(
    "--folds",
    group=MODEL,
    default=5,
    type=click.IntRange(2),
    metavar="N",
    help="Of the cross-validation (5).",
)
@option(
    "--seed",
    group=MODEL,
    default=0,
    type=click.IntRange(0, 2**62),
    metavar="N",
    help="Decides all that is random (0).",
)
@option("--device", group=MODEL, type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@option("--no-flip", group=MODEL, is_flag=True, help="Never mirror pictures: for text, digits, left and right.")
@option("--epochs", group=MODEL, type=click.IntRange(1, 10_000), metavar="N", help="Passes over the data (by size).")
@option("--size", "size_px", group=MODEL, type=click.IntRange(16, 1024), metavar="PX", help="Side of the pictures.")
@option("--name", group=COMMON, metavar="DATASET", help="Name of the data set (default: that of SOURCE).")
@common
def command(
    source: str,
    workspace: Path,
    as_json: bool,
    no_flip: bool,
    source_format: str | None,
    predictions: Path | None,
    **flags: Any,
) -> None:
    """Score a labelled image data set: find wrong labels, duplicates, leaks, outliers and broken files.

    SOURCE is a folder with one subfolder per class (train/val/test above them or not), a folder of boxes or labels as
    COCO, VOC, YOLO and their like have it, a CSV or Parquet table, an array file (.npz, .h5), torchvision:NAME or
    fiftyone:NAME. Nothing in it is ever changed. What is found is kept in the workspace, under .curate/runs; the same
    command again answers from there, and goes on after an interruption.
    """
    from curation.commands.summary import print_next, print_summary
    from curation.importers.options import ImportOptions
    from curation.score import ScoreSettings, score
    from curation.terminal import RichProgress, stdout_console

    reading = {field: flags.pop(field) for field in ImportOptions.__dataclass_fields__ if field in flags}
    chosen = {name: value for name, value in {**flags, "flip": not no_flip}.items() if value is not None}
    options = ImportOptions(**{name: value for name, value in reading.items() if value is not None})
    with RichProgress() as progress:
        run = score(source, ScoreSettings(**chosen), workspace, options, source_format, progress, predictions)
    if as_json:
        print_json({**run.info, "run_dir": str(run.folder)})
    else:
        console = stdout_console()
        print_summary(run, console, progress.said)
        print_next(workspace, console)
