"""`curate prove`: whether networks learn more from one version than from another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import COMMON, Command, common, dataset_option, option, print_json
from curation.commands.training_options import training_options

if TYPE_CHECKING:
    from curation.proving import Proof

WHAT = "What is compared"
CLASSES_SHOWN = 10


@click.command(cls=Command)
@option("--before", group=WHAT, required=True, metavar="VERSION", help="The version to compare with, as v0001.")
@option("--after", group=WHAT, required=True, metavar="VERSION", help="The version that should be better.")
@option(
    "--holdout",
    group=WHAT,
    default="",
    metavar="SPLIT|FILE",
    help="What the networks are asked about: a split, or a table of pictures and labels, a row each (default: test, "
    "else val, else a fifth drawn by lot).",
)
@option("--drop-overlap", group=WHAT, is_flag=True, help="Train without copies of the hold-out, instead of refusing.")
@option(
    "--detector",
    "detector_epochs",
    group=WHAT,
    type=click.IntRange(1, 10_000),
    metavar="EPOCHS",
    help="Boxes: train detectors, so many passes each, and ask where objects are; slow without a GPU. Else a network "
    "is asked what is in the boxes.",
)
@option("--seeds", group=WHAT, type=click.IntRange(1, 100), default=5, show_default=True, help="Networks for each arm.")
@training_options
@option("--output", group=COMMON, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Where to write the page (default: proof.html in the proof's folder).")  # fmt: skip
@dataset_option
@common
def command(
    before: str,
    after: str,
    holdout: str,
    drop_overlap: bool,
    detector_epochs: int | None,
    seeds: int,
    training: dict[str, Any],
    output: Path | None,
    name: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Train on two versions and say whether the second one is better, with an interval.

    The same recipe is trained with the same seeds on both versions, on the first without its suspects, and on a
    placebo: the first with as many changes, drawn by lot. All are asked about one hold-out, of which nothing is trained
    on. The same command again goes on where a killed one was.

    What decides is accuracy; of several labels per picture mean average precision; of boxes accuracy of naming what is
    in them, or with --detector average precision.
    """
    from curation.datasets import find_dataset
    from curation.manifest.history import resolve
    from curation.proving import ProofSettings, prove
    from curation.report.proof import write_page
    from curation.terminal import RichProgress

    dataset = find_dataset(workspace, name)
    versions = resolve(dataset.folder, before), resolve(dataset.folder, after)
    settings = ProofSettings(
        before=versions[0],
        after=versions[1],
        holdout=holdout,
        drop_overlap=drop_overlap,
        seeds=seeds,
        detector_epochs=detector_epochs or 0,
        **training,
    )
    with RichProgress() as progress:
        proof = prove(workspace, dataset, settings, progress)
    page = write_page(proof, output or proof.folder / "proof.html")
    if as_json:
        print_json({**proof.facts(), "page": str(page)})
    else:
        _print(proof, page)


def _print(proof: Proof, page: Path) -> None:
    from rich.text import Text

    from curation.explain import visible
    from curation.proving.compare import MEASURES
    from curation.report.proof import ARMS, lower, points, verdict
    from curation.terminal import shown, stdout_console, table
    from curation.wording import counted

    console, contest, first = stdout_console(), proof.contest, proof.arms["after"]
    console.print(
        f"Asked about {len(proof.holdout.rows):,} pictures ({visible(proof.holdout.name)}); "
        f"{counted(proof.settings.seeds, 'network')} for each line: {visible(contest.network)}, "
        f"{counted(contest.epochs, 'pass', 'passes')}.\n"
    )
    measures = [f">{MEASURES[name]}" for name in first.measures]
    drawn = table("Trained on", f">{contest.things.capitalize()}", *measures, ">Change, points (95 %)")
    names = {arm: words.format(before=proof.settings.before, after=proof.settings.after) for arm, words in ARMS.items()}
    values = [f"{change.before:.1%}" for change in first.measures.values()]
    drawn.add_row(Text(names["before"]), f"{contest.trained_on['before']:,}", *values, "")
    for name, found in proof.arms.items():
        values = [f"{change.after:.1%}" for change in found.measures.values()]
        drawn.add_row(Text(names[name]), f"{contest.trained_on[name]:,}", *values, points(found.main))
    console.print(drawn)
    console.print(f"The change is that of {lower(MEASURES[next(iter(first.measures))])}.")
    changed = [(k, change) for k, change in first.by_class.items() if change.proven]
    changed.sort(key=lambda pair: -abs(pair[1].change))
    if changed:
        console.print(f"\nClasses that changed: {MEASURES[first.class_measure]}")
        classes = table("Class", ">Before", ">After", ">Change, points (95 %)")
        for k, change in changed[:CLASSES_SHOWN]:
            classes.add_row(shown(proof.classes[k]), f"{change.before:.1%}", f"{change.after:.1%}", points(change))
        console.print(classes)
    if contest.asked_about:
        console.print(contest.asked_about)
    console.print("Placebo: as many changes as in the second version, but drawn by lot.\n")
    for note in proof.notes:
        console.print(visible(note, 1000, False), soft_wrap=True)
    console.print(verdict(proof), style="bold")
    console.print(f"Page: {visible(str(page), 4096)}", soft_wrap=True)
