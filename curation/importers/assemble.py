"""The last step of every importer: columns to `Records`, with the sentences that the user should see."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.importers.listing import Listing
from curation.progress import SILENT, Progress
from curation.records import (
    Records,
    empty_annotations,
    empty_samples,
    make_annotation_id,
    make_sample_id,
    path_to_text,
)
from curation.wording import counted

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLITS |= {"test": "test", "testing": "test"}
SHOWN = 3  # examples in a note
LABEL_LIMIT = 1000  # characters; what is longer is a broken table, not a class name

# Letters of other scripts that look like Latin ones, as they occur in mixed-keyboard typing (Unicode TR39, extract).
_LOOKALIKES = str.maketrans("аеорсухівнкмтԁԛԝјѕһοανικρτυχεѵɑı", "aeopcyxibhkmtdqwjshoavikptuxevai")
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x034F, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)]
)


@dataclass
class Rows:
    """One entry per picture, in any order; `labels` "" = no label. Lists that are left empty mean "" everywhere."""

    paths: list[str]  # text form, see curation.records.path_to_text
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)  # JSON


def assemble(
    rows: Rows,
    root: Path,
    source_format: str,
    notes: Iterable[str] = (),
    rejected: Sequence[tuple[str, str]] = (),
    settings: dict[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Records:
    """The two tables of a data set, sorted by path, and the notes that its paths and labels themselves give rise to.

    `rejected` : (path, reason); paths are in text form.
    """
    count = len(rows.paths)
    with progress.stage("Making tables", 3 * count, "rows") as advance:
        order = sorted(range(count), key=rows.paths.__getitem__)
        samples = _samples(rows, order)
        advance(count)
        annotations = _annotations(rows, order, samples["sample_id"].tolist())
        advance(count)
        found = [*notes, *class_notes(annotations["label"]), *path_notes(samples["path"].tolist())]
        advance(count)
    if count and annotations.empty:
        found.append(
            "No picture has a label, so nothing can be said about labels. Labels can come from folders, "
            "from the file name (--label-from-name) or from a table (--labels TABLE)."
        )
    refused = pd.DataFrame(list(rejected), columns=["path", "reason"], dtype="str")
    return Records(
        samples, annotations, root, source_format, notes=tuple(found), rejected=refused, settings=settings or {}
    )


def _samples(rows: Rows, order: Sequence[int]) -> pd.DataFrame:
    samples = empty_samples(len(order))
    paths = [rows.paths[i] for i in order]
    samples["sample_id"] = pd.Series([make_sample_id(path) for path in paths], dtype="str")
    samples["path"] = pd.Series(paths, dtype="str")
    for name, values in (("split", rows.splits), ("group", rows.groups)):
        if values:
            samples[name] = pd.Series([values[i] for i in order], dtype="str")
    samples["status"] = pd.Series(np.full(len(order), "ok", dtype=object), dtype="str")
    return samples


def _annotations(rows: Rows, order: Sequence[int], sample_ids: Sequence[str]) -> pd.DataFrame:
    labelled = [(i, k) for k, i in enumerate(order) if rows.labels and rows.labels[i] != ""]
    annotations = empty_annotations(len(labelled))
    annotations["annotation_id"] = pd.Series([make_annotation_id(sample_ids[k]) for _, k in labelled], dtype="str")
    annotations["sample_id"] = pd.Series([sample_ids[k] for _, k in labelled], dtype="str")
    annotations["label"] = pd.Series([rows.labels[i] for i, _ in labelled], dtype="str")
    if rows.attributes:
        annotations["attributes"] = pd.Series([rows.attributes[i] for i, _ in labelled], dtype="str")
    return annotations


def rejected_as_text(rejected: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rejected files of a listing with their paths in text form, sorted."""
    return sorted((path_to_text(path), reason) for path, reason in rejected)


def listing_notes(listing: Listing) -> list[str]:
    """What a walk left out or followed, in sentences."""
    notes = []
    if listing.ignored:
        kinds = ", ".join(
            f"{count} {shown(kind) if kind != 'hidden' else kind}" for kind, count in sorted(listing.ignored.items())
        )
        notes.append(f"Ignored as clutter: {kinds}.")
    if listing.rejected:
        reasons = Counter(reason for _, reason in listing.rejected)
        kinds = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        notes.append(f"Not taken as pictures: {kinds}.")
    if listing.links:
        links = counted(listing.links, "picture is a link", "pictures are links")
        notes.append(f"{links} to files inside the folder; a link counts as a picture of its own.")
    return notes


def class_notes(labels: pd.Series) -> list[str]:
    """Sentences on classes that may be one class spelled differently; they stay apart."""
    counts = labels.value_counts()
    twins: dict[str, list[str]] = {}
    for label in sorted(map(str, counts.index)):
        twins.setdefault(look(label), []).append(label)
    notes = []
    for skeleton, spellings in twins.items():
        if len(spellings) > 1:
            listed = ", ".join(f"{shown(label, codes=not label.isascii())} ({counts[label]})" for label in spellings)
            notes.append(
                f"Classes that differ only by case, blanks, spelling of a number or look-alike letters are kept "
                f"apart: {listed}."
            )
        elif not skeleton:
            pictures = counted(int(counts[spellings[0]]), "picture")
            notes.append(f"The label {shown(spellings[0], codes=True)} is blank but not empty ({pictures}).")
    if len(notes) > 20:
        more = counted(len(notes) - 20, "more such group", "more such groups")
        notes = [*notes[:20], f"... and {more} of classes."]
    return notes


def path_notes(paths: Sequence[str]) -> list[str]:
    """A sentence on paths that are one path on file systems that fold case or Unicode forms."""
    folded = [path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold() for path in paths]
    if len(set(folded)) == len(folded):
        return []
    twins = [path for path, count in Counter(folded).items() if count > 1]
    first = [path for path, fold in zip(paths, folded, strict=True) if fold == twins[0]]
    names = " and ".join(shown(path, codes=not path.isascii()) for path in first[:SHOWN])
    groups = counted(len(twins), "group of paths differs", "groups of paths differ")
    return [f"{groups} only by case or Unicode form, and would be one file on some systems: {names}."]


def look(label: str) -> str:
    """What a label looks like to a hurried reader: without case, blanks, invisible and look-alike letters."""
    plain = label if label.isascii() else unicodedata.normalize("NFKC", label).translate(_INVISIBLE)
    plain = "".join(plain.casefold().split())
    plain = plain if plain.isascii() else unicodedata.normalize("NFKC", plain).translate(_LOOKALIKES)
    number = re.fullmatch(r"0*(\d+?)(?:\.0*)?", plain, re.ASCII)
    return number[1] if number else plain


def shown(text: str, codes: bool = False, limit: int = 60) -> str:
    """`text` in quotes, safe on a terminal, cut after `limit` characters; `codes`: other scripts as code points."""
    cut = text if len(text) <= limit else text[:limit]
    return (ascii(cut) if codes else repr(cut)) + ("" if len(text) <= limit else f"... ({len(text):,} characters)")


def canonical_split(name: str) -> str:
    """`train`, `val` or `test` for their usual spellings in any case; any other name as it is."""
    return SPLITS.get(name.strip().lower(), name)
