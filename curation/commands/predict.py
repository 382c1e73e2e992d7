"""`curate predict`: what a trained network sees in new pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import COMMON, Command, common, option, print_json
from curation.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("pictures", type=click.Path(path_type=Path))
@option(
    "--output",
    group=COMMON,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save all of it as a table (.csv, .parquet); boxes also as COCO results (.json).",
)
@option(
    "--device",
    group=COMMON,
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where it is computed.",
)
@common
def command(model: Path, pictures: Path, output: Path | None, device: str, as_json: bool, workspace: Path) -> None:
    """Say what a trained network sees in new pictures.

    MODEL is a folder that `curate retrain` wrote. PICTURES is a picture or a folder of pictures.
    """
    from curation.files import write_json
    from curation.importers.folder import list_pictures
    from curation.issue_files import save_issues
    from curation.records import path_to_text
    from curation.retraining import open_model, predict
    from curation.retraining.boxes import coco_results
    from curation.terminal import RichProgress, shown_path, stdout_console

    suffix = output.suffix.lower() if output is not None else ""
    if suffix not in ("", ".csv", ".parquet", ".json"):
        raise click.UsageError(f"--output {output}: predictions are saved as .csv or .parquet, boxes also as .json.")
    opened = open_model(model, device)
    task = opened.facts.get("task", "single-label")
    if suffix == ".json" and task != "detection":
        raise click.UsageError(f"--output {output}: JSON is for boxes (COCO results); use .csv, .parquet, or --json.")
    with RichProgress() as progress:
        if pictures.is_dir():
            root, listing = list_pictures(os.fspath(pictures), workspace, progress)
            names = sorted(map(path_to_text, listing.images))
        elif pictures.exists():
            root, names = pictures.absolute().parent, [path_to_text(pictures.name)]
        else:
            raise SourceError(f"{pictures} does not exist.")
        found = predict(opened, root, names, workspace, progress)
    if output is not None and suffix == ".json":
        write_json(output, coco_results(found), "predictions")
    elif output is not None:
        save_issues(found.astype(object).where(found.notna(), ""), output)
    if as_json:
        print_json(found.astype(object).where(found.notna(), None).to_dict("records"))
    elif output is not None:
        stdout_console().print(f"{len(found):,} predictions saved in {shown_path(output, 4096)}.", soft_wrap=True)
    else:
        _print(found, DRAWN[task], opened.facts["classes"])


def _print(found: pd.DataFrame, drawn: Drawn, classes: list[str]) -> None:
    """The first predictions as a table."""
    from curation.terminal import shown, shown_path, stdout_console, table

    head, cells = drawn
    console, lines = stdout_console(), table("Picture", *head)
    for row in found.head(SHOWN).to_dict("records"):
        said = [shown(row["reason"], 40), *[""] * (len(head) - 1)] if row["reason"] else cells(row, classes)
        lines.add_row(shown_path(row["path"], 30), *said)
    console.print(lines)
    if len(found) > SHOWN:
        console.print(f"{len(found) - SHOWN:,} more: --output FILE.csv, or --json.")


def _one_label(row: dict[str, Any], classes: list[str]) -> list[Any]:
    from curation.terminal import shown

    other = f"{shown(row['label_2'])} {row['probability_2']:.0%}" if row.get("label_2") else ""
    return [shown(row["label"]), f"{row['probability']:.0%}", other]


def _several_labels(row: dict[str, Any], classes: list[str]) -> list[Any]:
    from curation.terminal import shown

    said = json.loads(row["labels"])
    others = sorted((name for name in classes if name not in said), key=lambda name: -row[f"probability {name}"])
    there, absent = (
        ", ".join(f"{shown(name)} {row[f'probability {name}']:.0%}" for name in names) for names in (said, others[:1])
    )
    return [there, absent]


def _boxes(row: dict[str, Any], classes: list[str]) -> list[Any]:
    from curation.terminal import shown

    if not row["label"]:
        return ["nothing found", "", ""]
    return [shown(row["label"]), f"{row['score']:.0%}", ", ".join(f"{row[side]:.0f}" for side in "xywh")]


# By task: what stands in the columns, and a function from a row and the classes to cells.
Drawn = tuple[tuple[str, ...], Callable[[dict[str, Any], list[str]], list[Any]]]
DRAWN: dict[str, Drawn] = {
    "single-label": (("Label", ">Probability", "Else"), _one_label),
    "multi-label": (("Labels", "Else"), _several_labels),
    "detection": (("Label", ">Score", "x, y, w, h"), _boxes),
}
