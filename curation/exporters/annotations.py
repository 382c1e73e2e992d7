"""What exporters of text files beside pictures have in common: names of files that go together, numbers, refusals."""

from __future__ import annotations

import os
from collections.abc import Sequence

from curation.errors import SettingsError
from curation.exporters.contract import Content
from curation.exporters.marks import Mark, marks_of
from curation.exporters.names import file_names, folder_names
from curation.exporters.pictures import picture_names
from curation.importers.assemble import shown

OURS = "curate:"  # attributes that begin so are ours, not of any format


def all_marks(content: Content) -> list[list[Mark]]:
    """The annotations of each of `content.samples`, without attributes that are ours.

    Of whole pictures, all labels that a review found right are there.
    """
    marks = []
    for own, ids in zip(marks_of(content), content.class_ids, strict=True):
        found = [Mark(mark.label, mark.class_id, mark.box, _of_format(mark.attributes)) for mark in own]
        if all(mark.box is None for mark in found):
            there = {mark.class_id for mark in found}
            found += [Mark(content.classes[k], k, None, {}) for k in ids if k not in there]
        marks.append(found)
    return marks


def _of_format(attributes: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in attributes.items() if not key.startswith(OURS)}


def sizes_of(content: Content) -> list[tuple[int, int]]:
    """(width, height) of each of `content.samples`, upright."""
    columns = (content.samples[name].tolist() for name in ("width_px", "height_px"))
    return list(zip(*columns, strict=True))


def stem_names(content: Content, folders: Sequence[str], apart: bool = False) -> list[str]:
    """`folder/name` for each picture, no two of them alike but for their endings, so that a file `name.txt` is of one.

    apart : names in different folders are different, too
    """
    names = picture_names(content)
    stems = [f"{os.path.splitext(name)[0]}.x" for name in names]
    ids = content.samples["sample_id"].tolist()
    above = [""] * len(stems) if apart else list(folders)
    found = (os.path.splitext(path)[0] for path in file_names(above, stems, ids))
    endings = (os.path.splitext(name)[1] for name in names)
    if not apart:
        return [stem + ending for stem, ending in zip(found, endings, strict=True)]
    return ["/".join(filter(None, (folder, s + e))) for folder, s, e in zip(folders, found, endings, strict=True)]


def split_words(content: Content, blank: str = "") -> dict[str, str]:
    """A name for a folder or file for each split; `blank` for pictures that are in none."""
    named = [split for split in content.splits if split]
    return {"": blank, **dict(zip(named, folder_names(named), strict=True))}


def dense_numbers(content: Content, first: int) -> list[int]:
    """A number for each class: the source's own, where they are first, first + 1 ... in any order; else by position."""
    ids = [number for entry in content.class_details if type(number := entry.get("id")) is int]  # True is no number
    wanted = list(range(first, first + len(content.classes)))
    return ids if sorted(ids) == wanted else wanted


def decimal(value: float) -> str:
    """A number as short text that means the same to a millionth: `81`, `0.3333333333`; never with an exponent."""
    rounded = round(value, 10)
    return str(int(rounded)) if rounded == int(rounded) else f"{rounded:.10f}".rstrip("0")


def refuse_labels(labels: Sequence[str], format_name: str, why: str) -> None:
    """Say that a format cannot hold some labels, if there are any.

    Raises
    ------
    SettingsError : names the first ones.
    """
    if labels:
        some = ", ".join(shown(label, codes=True) for label in labels[:3])
        raise SettingsError(
            f"--format {format_name} cannot hold {'the label' if len(labels) == 1 else 'labels as'} {some}: {why}. "
            f"Rename the class, or take another format."
        )
