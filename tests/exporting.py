"""Small data sets with versions, for tests of exports: hostile labels and names among them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from curation.datasets import Dataset
from curation.importers.assemble import Rows, assemble
from curation.manifest import manifest_folder, write_first
from curation.pixels import decode
from curation.records import path_to_text

HOSTILE_LABELS = (
    "cat", "Cat", "CAT", "../../x", "con", "NUL.txt", "trailing.", "trailing ", " leading", "x" * 1000, "caf\u00e9",
    "cafe\u0301", "\u202egnp", "<img src=x onerror=alert(1)>", "=cmd|' /C calc'!A0", "'quoted", "a/b", "a\\b", "..",
    ".", "-rf", "~", "\U0001f469\u200d\U0001f680", "tab\there", "new\nline", "#1", "100%", "nan", "None",
    "01", "1.0",
    "README.md",
    "curate-export.json", "train", ".hidden", "[x](javascript:alert(1))", "|", "\u00a0", "--- \nconfigs: evil",
)  # fmt: skip
HOSTILE_NAMES = (
    "a.png", "A.png", "b/a.png", "B/a.png", "con.png", "trailing. .png", "-rf.png", "new\nline.png", "caf\u00e9.png",
    "cafe\u0301.png", "x" * 200 + ".png", "\u202egnp.png", "no_ending", "upper.PNG", "two.dots.png", "a.npz#1.png",
    "=1+1.png", "sp ace.png", "#.png", "100%.png", "'q'.png", "deep/er/than/usual/a.png", "cat/a.png/b.png",
    "wrong.jfif",
    os.fsdecode(b"latin\xe9.png"),
)  # fmt: skip


def picture(seed: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    """Noise, another for each seed."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def make_set(folder: Path, facts: list[dict[str, Any]], sizes: Any = None) -> tuple[Path, Dataset, Path]:
    """(workspace, data set, source): one PNG per entry with `path` and `label`, perhaps `split`, `group`,
    `attributes`, `same_as` (number of the entry with the same picture), `broken`."""
    source, workspace = folder / "source", folder / "workspace"
    for at, fact in enumerate(facts):
        file = source / fact["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        if fact.get("broken"):
            file.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
        else:
            size = sizes[at] if sizes else (12, 10)
            picture(fact.get("same_as", at), size).save(file, "PNG")
    rows = Rows(
        [path_to_text(fact["path"]) for fact in facts],
        [fact["label"] for fact in facts],
        [fact.get("split", "") for fact in facts],
        [fact.get("group", "") for fact in facts],
        [json.dumps(fact["attributes"]) if "attributes" in fact else "" for fact in facts],
    )
    records = assemble(rows, source, "table")
    pixels = decode(records, 16, workspace / ".curate" / "cache")
    samples = pixels.samples[list(records.samples)].copy()
    out = {path_to_text(fact["path"]) for fact in facts if fact.get("excluded")}
    samples["status"] = samples["status"].mask(samples["path"].isin(out), "excluded")
    dataset = Dataset("pets", manifest_folder(workspace, "pets"))
    write_first(samples, records.annotations, dataset.folder, author="me", message="first", dataset="pets")
    return workspace, dataset, source


def said(samples: pd.DataFrame, annotations: pd.DataFrame) -> dict[str, tuple[Any, ...]]:
    """What a data set says of each sample, comparable: split, group, and label and attributes by annotation id."""
    found = {row.sample_id: (row.split, row.group, {}) for row in samples[["sample_id", "split", "group"]].itertuples()}
    for row in annotations.itertuples():
        found[row.sample_id][2][row.annotation_id] = (row.label, row.attributes)
    return found
