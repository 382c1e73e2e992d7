"""`curate predict`: what a trained network sees in new pictures."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curation.commands.options import COMMON, Command, common, option, print_json
from curation.errors import SourceError

SHOWN = 20


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("pictures", type=click.Path(path_type=Path))
@option(
    "--output",
    group=COMMON,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Save all of it as a table.",
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
    from curation.importers.folder import list_pictures
    from curation.issue_files import save_issues
    from curation.records import path_to_text
    from curation.retraining import open_model, predict
    from curation.terminal import RichProgress, shown, shown_path, stdout_console, table

    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise click.UsageError(f"--output {output}: predictions are saved as .csv or .parquet.")
    opened = open_model(model, device)
    with RichProgress() as progress:
        if pictures.is_dir():
            root, listing = list_pictures(os.fspath(pictures), workspace, progress)
            names = sorted(map(path_to_text, listing.images))
        elif pictures.exists():
            root, names = pictures.absolute().parent, [path_to_text(pictures.name)]
        else:
            raise SourceError(f"{pictures} does not exist.")
        found = predict(opened, root, names, workspace, progress)
    if output is not None:
        save_issues(found.astype(object).where(found.notna(), ""), output)
    if as_json:
        print_json(found.astype(object).where(found.notna(), None).to_dict("records"))
        return
    console = stdout_console()
    if output is not None:
        console.print(f"{len(found):,} predictions saved in {shown_path(output, 4096)}.", soft_wrap=True)
        return
    drawn = table("Picture", "Label", ">Probability", "Else")
    for row in found.head(SHOWN).to_dict("records"):
        if row["reason"]:
            drawn.add_row(shown_path(row["path"], 30), "", "", shown(row["reason"], 40))
        else:
            other = f"{shown(row['label_2'])} {row['probability_2']:.0%}" if row.get("label_2") else ""
            drawn.add_row(shown_path(row["path"], 30), shown(row["label"]), f"{row['probability']:.0%}", other)
    console.print(drawn)
    if len(found) > SHOWN:
        console.print(f"{len(found) - SHOWN:,} more: --output FILE.csv, or --json.")
