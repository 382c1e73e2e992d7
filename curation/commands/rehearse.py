"""`curate rehearse`: how many of the wrong labels a review would find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curation.commands.options import COMMON, Command, common, option, print_json, store_option

if TYPE_CHECKING:
    from curation.rehearsing import Rehearsal

WHAT = "What is rehearsed"
MODEL = "Model and training"


@click.command(cls=Command)
@click.argument("dataset", metavar="[DATASET|SOURCE]", required=False)
@option(
    "--rate", group=WHAT, type=float, metavar="SHARE", help="Share of wrong labels, as .05 (default: as estimated)."
)
@option("--seeds", group=WHAT, type=click.IntRange(1, 100), default=3, show_default=True, help="Repetitions.")
@option(
    "--mode",
    "modes",
    group=MODEL,
    multiple=True,
    metavar="MODE[:MODEL[:WEIGHTS]]",
    help="What to compare, several times or with commas: compact, probe, probe:resnet18 ... (default: as the newest "
    "run).",
)
@option("--epochs", group=MODEL, type=click.IntRange(1, 10_000), metavar="N", help="Passes over the pictures.")
@option("--seed", group=MODEL, type=click.IntRange(0, 2**31), default=0, show_default=True, help="Decides all.")
@option(
    "--device",
    group=MODEL,
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where it is computed.",
)
@option("--no-flip", group=MODEL, is_flag=True, help="Do not mirror pictures (default: as the newest run).")
@option(
    "--predictions",
    group=WHAT,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Boxes: what a detector found in pictures that it did not learn from, as COCO results (JSON).",
)
@option("--output", group=COMMON, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Where to write the page (default: rehearsal.html in the rehearsal's folder).")  # fmt: skip
@store_option
@common
def command(
    dataset: str | None,
    rate: float | None,
    seeds: int,
    modes: tuple[str, ...],
    epochs: int | None,
    seed: int,
    device: str,
    no_flip: bool,
    predictions: Path | None,
    output: Path | None,
    store: str,
    as_json: bool,
    workspace: Path,
) -> None:
    """Plant known errors in a copy of your labels, look for them, and say how many a review would find.

    DATASET is a name, or the source that was scored; without it, the only one of the workspace, else that of the latest
    run. The errors are of the kind that the newest run and your reviewers have seen: the same classes are mistaken for
    each other, as often, and rather on pictures that look so. The same training as in `curate score` ranks the copies.
    Where pictures have several labels, or boxes, labels are left out and added, boxes get other classes and are doubled
    (with --predictions also dropped and shifted), and what is reviewed is the picture. Your data and versions are not
    changed. The same command again goes on where a killed one was.
    """
    from curation.rehearsing import RehearsalSettings, rehearse
    from curation.rehearsing.belief import dataset_of
    from curation.report.rehearsal import write_page
    from curation.store import open_store, store_path
    from curation.terminal import RichProgress

    recipes = tuple(part.strip() for mode in modes for part in mode.split(","))
    settings = RehearsalSettings(
        recipes=recipes,
        rate=rate,
        seeds=seeds,
        seed=seed,
        device=device,
        epochs=epochs,
        flip=False if no_flip else None,
        predictions=predictions,
    )
    chosen = dataset_of(workspace, dataset)
    engine = open_store(store or workspace) if store or store_path(workspace).exists() else None
    with RichProgress() as progress:
        found = rehearse(workspace, chosen, settings, engine, progress)
    page = write_page(found, output or found.folder / "rehearsal.html")
    if as_json:
        print_json({**found.facts(), "page": str(page)})
    else:
        _print(found, page)


def _print(found: Rehearsal, page: Path) -> None:
    from rich.text import Text

    from curation.explain import visible
    from curation.report.rehearsal import advice, how_counted, kind_lines, lines_of, planted
    from curation.terminal import shown, stdout_console, table

    console = stdout_console()
    console.print(Text(shown(found.dataset), style="bold"))
    console.print(visible(planted(found), 1000, False) + "\n", soft_wrap=True)
    drawn = table("Trained", ">AP", ">Reviewed", ">Found", ">95 %", ">Precision")
    for name, *figures in lines_of(found):
        drawn.add_row(shown(name) if name else "", *figures)
    console.print(drawn)
    console.print(how_counted(found))
    if kind_lines(found):
        drawn = table("Trained", "Kind of error", ">Reviewed", ">Found", ">95 %")
        for name, *figures in kind_lines(found):
            drawn.add_row(shown(name) if name else "", *figures)
        console.print(drawn)
    for note in found.notes:
        console.print(visible(note, 1000, False), soft_wrap=True)
    console.print(Text(visible(advice(found), 1000, False), style="bold"), soft_wrap=True)
    console.print(f"Page: {visible(str(page), 4096)}", soft_wrap=True)
