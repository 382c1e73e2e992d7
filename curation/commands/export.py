"""`curate export`: a version in the form that training code reads."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.options import VERSION, Command, common, dataset_option, option, print_json

EXPORT = "Export"


@click.command(cls=Command)
@click.argument("dest", type=click.Path(path_type=Path))
@option("--format", "format_name", group=EXPORT, default="folder", metavar="F", show_default=True,
        help="folder, csv, parquet, webdataset, hdf5, npz; coco, voc, yolo, openimages, oidv4, tfrecord, labelme, cvat "
             "and labelstudio, for boxes.")  # fmt: skip
@option("--version", group=VERSION, default="head", metavar="V", help="Which version (the newest).")
@option(
    "--split", "splits", group=EXPORT, multiple=True, metavar="NAME", help="Only this split; several times for more."
)
@option("--copy", "images", group=EXPORT, flag_value="copy", help="Copy the pictures.")
@option("--link", "images", group=EXPORT, flag_value="link",
        help="Hard links: no space, no time; who edits one edits the source.")  # fmt: skip
@option("--symlink", "images", group=EXPORT, flag_value="symlink", help="Links to the pictures in the source.")
@option("--size", group=EXPORT, type=int, metavar="PX", help="Side of the pictures in hdf5 and npz (224).")
@option("--resplit", group=EXPORT, default="", metavar="A/B/C",
        help="New splits train/val/test by these shares, as 0.8/0.1/0.1; duplicates stay together.")  # fmt: skip
@option("--seed", group=EXPORT, type=int, default=0, metavar="N", help="Decides the new splits (0).")
@option("--overwrite", group=EXPORT, is_flag=True, help="Replace an export that is there.")
@option("--source", group=EXPORT, type=click.Path(path_type=Path), metavar="DIR",
        help="Where the pictures are now (default: where the latest run found them).")  # fmt: skip
@dataset_option
@common
def command(
    dest: Path,
    format_name: str,
    version: str,
    splits: tuple[str, ...],
    images: str | None,
    size: int | None,
    resplit: str,
    seed: int,
    overwrite: bool,
    source: Path | None,
    name: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Write a version to the new folder DEST, for training.

    folder: class folders for torchvision's ImageFolder. csv: a table and pictures. parquet: for Hugging Face datasets,
    with the pictures inside; beside it with --copy, --link or --symlink. webdataset: tar shards. hdf5, npz: arrays of
    resized pictures.
    """
    from curation.datasets import find_dataset
    from curation.explain import visible
    from curation.export import ExportSettings, export
    from curation.terminal import RichProgress, stdout_console
    from curation.wording import counted

    settings = ExportSettings(
        format_name, version, splits, images or "", size, resplit, seed, source, overwrite
    )  # fmt: skip
    with RichProgress() as progress:
        done = export(dest, settings, workspace, find_dataset(workspace, name), progress)
    facts = done.facts
    if as_json:
        print_json({"place": str(done.place), **facts, "notes": done.notes})
        return
    console = stdout_console()
    pictures, classes = facts["counts"]["samples"], len(facts["classes"])
    console.print(
        f"Exported {facts['version']} of {visible(facts['dataset'])} as {facts['exporter']} to "
        f"{visible(str(done.place), 4096, False)}: {counted(pictures, 'picture')}, "
        f"{counted(classes, 'class', 'classes')}.",
        soft_wrap=True,
    )
    out = [f"{count:,} {why}" for why, count in facts["left_out"].items() if count]
    if out:
        console.print(f"Left out: {', '.join(out)}.", soft_wrap=True)
    for note in done.notes:
        console.print(visible(note, 1000, False), soft_wrap=True)
