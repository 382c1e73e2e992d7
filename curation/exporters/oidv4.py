"""The OIDv4 toolkit's layout: `train/Apple/1.jpg` and `train/Apple/Label/1.txt`; `classes.txt` lists the classes."""

from __future__ import annotations

from pathlib import Path

from curation.exporters.annotations import all_marks, decimal, refuse_labels, stem_names
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.names import folder_names
from curation.exporters.pictures import place_pictures
from curation.importers.oidv4 import CLASSES, FOLDER
from curation.progress import Progress

_SPLITS = {"val": "validation"}  # as the toolkit calls it
NOTHING = "no class"  # folder of pictures in which nothing is


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write each picture once, in the folder of the class of its first box, with the boxes of all its classes."""
    bad = [label for label in content.classes if label != " ".join(label.split(" ")).strip() or not _is_one_line(label)]
    refuse_labels(bad, "oidv4", "a class is a word or words on a line there, without blanks around it")
    marks = all_marks(content)
    sorted_names = sorted({*content.classes, NOTHING})
    folders = dict(zip(sorted_names, folder_names(sorted_names), strict=True))
    words = [folders[label] for label in [*content.classes, NOTHING]]
    splits = _split_folders(content)
    first = [next((mark.class_id for mark in own if mark.box is not None), -1) for own in marks]
    above = [
        "/".join(filter(None, (splits[s], words[k]))) for s, k in zip(content.samples["split"], first, strict=True)
    ]
    names = stem_names(content, above, apart=True)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    files = []
    for parent in sorted({name.rpartition("/")[0] for name in names}):
        (folder / parent / FOLDER).mkdir()
    for name, own in zip(names, marks, strict=True):
        place, _, last = name.rpartition("/")
        file = f"{place}/{FOLDER}/{last.rpartition('.')[0]}.txt"
        lines = [f"{mark.label} {_corners(mark.box)}\n" for mark in own if mark.box is not None]
        (folder / file).write_text("".join(lines), encoding="utf-8", newline="")
        files.append(file)
    (folder / CLASSES).write_text("".join(f"{label}\n" for label in content.classes), encoding="utf-8", newline="")
    notes.append(
        "A picture of several classes lies in the folder of the first of them, once, with the boxes of all; the "
        "toolkit itself would save it once per class."
    )
    return Saved(names, hashes, [*files, CLASSES], notes=notes)


def _is_one_line(label: str) -> bool:
    return label.splitlines() == [label]


def _split_folders(content: Content) -> dict[str, str]:
    if content.splits == [""]:
        return {"": ""}
    names = folder_names([_SPLITS.get(split, split) or "no split" for split in content.splits])
    return dict(zip(content.splits, names, strict=True))


def _corners(box: tuple[float, float, float, float]) -> str:
    x, y, w, h = box
    return " ".join(map(decimal, (x, y, x + w, y + h)))


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading=(
        "from glob import glob\n\n"
        "for file in glob('DEST/train/*/Label/*.txt'):\n"
        "    boxes = [line.rsplit(' ', 4) for line in open(file).read().splitlines()]"
    ),
    tasks=("detection",),
)
