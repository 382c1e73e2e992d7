"""Small real pictures for the importers' tests."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from PIL import Image

from curation.records import Records


def make_pictures(root: Path, *paths: str) -> Path:
    """Write a 4x4 PNG of its own colour at each path below `root`; return `root`."""
    for path in paths:
        target = os.path.join(root, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Image.new("RGB", (4, 4), zlib.crc32(os.fsencode(path)) & 0xFFFFFF).save(target, format="PNG")
    return root


def labels_of(records: Records) -> dict[str, str]:
    """Path -> label, "" for a picture without one."""
    joined = records.samples.merge(records.annotations, on="sample_id", how="left")
    return dict(zip(joined["path"], joined["label"].fillna(""), strict=True))


def splits_of(records: Records) -> dict[str, str]:
    """Path -> split."""
    return dict(zip(records.samples["path"], records.samples["split"], strict=True))


def rejected_of(records: Records) -> dict[str, str]:
    """Path -> reason of what is not a sample."""
    return dict(zip(records.rejected["path"], records.rejected["reason"], strict=True))


def note_with(records: Records, words: str) -> str:
    """The one note that has these words; fails if there is none or several."""
    found = [note for note in records.notes if words in note]
    assert len(found) == 1, records.notes
    return found[0]
