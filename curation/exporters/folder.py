"""Class folders, as torchvision's ImageFolder reads them: `train/cat/1.jpg`."""

from __future__ import annotations

import os
from pathlib import Path

from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.names import file_names, folder_names
from curation.exporters.pictures import IMAGE_FOLDER, picture_names, place_pictures
from curation.progress import Progress
from curation.wording import counted


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write `[split/]class/file`. Every split has a folder of every class, so that all number the classes alike;
    pictures without a label lie beside them, where ImageFolder does not look."""
    samples = content.samples
    class_folders = _class_folders(content.classes)
    splits = split_folders(content)
    for split in splits.values():
        for name in class_folders:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
    places = [
        "/".join(filter(None, (splits[split], class_folders[class_id] if class_id >= 0 else "")))
        for split, class_id in zip(samples["split"].tolist(), samples["class_id"].tolist(), strict=True)
    ]
    taken = [f"{split}/{name}".lstrip("/") for split in splits.values() for name in class_folders]
    names = file_names(places, picture_names(content), samples["sample_id"].tolist(), [*taken, *splits.values()])
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    return Saved(names, hashes, class_folders=class_folders, notes=[*notes, *_notes(content, names, class_folders)])


def _class_folders(classes: list[str]) -> list[str]:
    """A folder name for each class; sorted as the classes are, since that is how ImageFolder numbers them."""
    order = sorted(range(len(classes)), key=classes.__getitem__)
    names = dict(zip(order, folder_names([classes[k] for k in order]), strict=True))
    return [names[k] for k in range(len(classes))]


def split_folders(content: Content) -> dict[str, str]:
    """The folder of each split; "" where no picture is in any."""
    if content.splits == [""]:
        return {"": ""}
    names = folder_names([split or "no split" for split in content.splits])
    return dict(zip(content.splits, names, strict=True))


def _notes(content: Content, names: list[str], class_folders: list[str]) -> list[str]:
    notes = []
    renamed = sum(name != label for name, label in zip(class_folders, content.classes, strict=True))
    if renamed:
        notes.append(
            f"{counted(renamed, 'class')[:-1] if renamed == 1 else f'{renamed:,} classe'}s cannot be the name of a "
            f"folder as they are; curate-export.json says which folder is which class."
        )
    labelled = content.samples[content.samples["class_id"] >= 0]
    for split in content.splits:
        there = labelled.loc[labelled["split"] == split, "class_id"].nunique()
        if there < len(content.classes):
            notes.append(
                f"The split {split!r} has no picture of {len(content.classes) - there:,} of the classes: their folders "
                f"are empty, so read it with ImageFolder(..., allow_empty=True)."
            )
    unseen = sum(os.path.splitext(name)[1].lower() not in IMAGE_FOLDER for name in names)
    if unseen:
        notes.append(f"{counted(unseen, 'picture')} of formats that ImageFolder does not list (GIF, AVIF).")
    return notes


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="from torchvision.datasets import ImageFolder\n\ntrain = ImageFolder('DEST/train')  # or 'DEST'",
)
