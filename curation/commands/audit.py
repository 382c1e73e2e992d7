"""`curate audit`: labels, or pictures with several, drawn at random, into the queue."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import Command, common, option, print_json, run_argument, store_option

COUNT, EVERY = 200, 3
SAMPLE = "The sample"


@click.command(cls=Command)
@run_argument
@option(
    "--count",
    group=SAMPLE,
    type=click.IntRange(1, 1_000_000),
    default=COUNT,
    show_default=True,
    metavar="N",
    help="How many labels (of boxes or several labels: pictures) to draw, beside those that were drawn before.",
)
@option(
    "--every",
    group=SAMPLE,
    type=click.IntRange(1, 100),
    default=EVERY,
    show_default=True,
    metavar="N",
    help="One of so many items in the queue is a drawn one; 1 = nothing but drawn ones.",
)
@option("--seed", group=SAMPLE, type=click.IntRange(0, 2**48), metavar="N", help="Of the draw (default: a secret one).")
@store_option
@common
def command(
    run_id: str | None, count: int, every: int, seed: int | None, store: str, as_json: bool, workspace: Path
) -> None:
    """Mix labels drawn at random into the review queue, unmarked.

    RUN is a run id or the beginning of one; without it, the latest run. Suspicious labels are drawn more often, with
    known chances, so that a few hundred verdicts tell how many of all labels are wrong: `curate estimate` says so.
    Where pictures have several labels, or boxes, pictures are drawn, and whoever reviews one corrects all of it.
    Reviewers are not told which items these are. Drawing again goes on with the same order.
    """
    from curation.manifest import manifest_folder
    from curation.review.annotations import several
    from curation.review.audit import draw, mix_in
    from curation.review.work_queue import refill
    from curation.runs import read_run
    from curation.store import open_store
    from curation.terminal import RichProgress, stdout_console

    run = read_run(workspace, run_id)
    dataset = str(run.info["dataset"])
    engine = open_store(store or workspace)
    with RichProgress() as progress:
        refill(engine, run, manifest_folder(workspace, dataset), progress)
    what = ("pictures", "pictures have an error") if several(run) else ("labels", "labels are wrong")
    made, drawn = draw(engine, run, count, every, seed)
    mix_in(engine, dataset)
    if as_json:
        print_json({"dataset": dataset, "run_id": run.run_id, "drawn": drawn, "every": made.every})
        return
    console = stdout_console()
    console.print(
        f"{drawn:,} {what[0]} are drawn at random. They are mixed into the queue, one in {made.every}, unmarked."
    )
    console.print(f"Review as usual; `curate estimate` then says how many {what[1]}, and when to stop.")
