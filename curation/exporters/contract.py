"""What an exporter gets and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from curation.progress import Progress

IMAGES = ("copy", "link", "symlink", "inside")


@dataclass(frozen=True)
class Content:
    """What leaves the tool: the pictures of a version that can be trained on.

    samples : one row per picture, sorted by sample_id, with `sample_id`, `path` (relative to `root`), `split`, `group`,
        `label` ("" = none), `class_id` (int64 into `classes`, -1 = none), `hard` (bool), `format`, `width_px`,
        `height_px`, `content_hash`, `pixel_hash`
    class_ids : all classes that are right for each row of `samples`, the first one is `class_id`; () = no label
    rows : of the manifest, those of these samples; `split` is that of the export
    classes : the source's own list in its order, unused ones included, then others sorted by code point; the same list
        whatever splits are exported
    left_out : why -> how many samples of the version are not in it
    root : folder that the paths are relative to
    task : one of curation.records.TASKS; for `detection` look at `rows`, which has every box
    class_details : one object per class, aligned with `classes`: `name`, `id` where the source numbers its classes, and
        whatever else it says of it
    about : what the source says of itself as a whole
    """

    samples: pd.DataFrame
    class_ids: list[tuple[int, ...]]
    rows: pd.DataFrame
    classes: list[str]
    left_out: dict[str, int]
    root: Path
    task: str = "single-label"
    class_details: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def splits(self) -> list[str]:
        """Names of the splits that have a picture, sorted; "" where pictures have none."""
        return sorted(set(self.samples["split"]))

    @property
    def ambiguous(self) -> int:
        """How many pictures that have one label have several right ones."""
        return sum(len(ids) > 1 for ids in self.class_ids) if self.task == "single-label" else 0


@dataclass(frozen=True)
class Options:
    """How to write it: `images` one of IMAGES, `size` of resized pictures in pixels (None: as they are, or 224)."""

    images: str
    size: int | None = None


@dataclass
class Saved:
    """What an exporter wrote.

    paths : where each sample is, relative to the export, as `path` of the records table says it; in order of `samples`
    file_hashes : for each sample the first 32 hex digits of the SHA-256 of its image file, also of one in a table or
        archive; "" where that is its `content_hash`, or where it is pixels in an array
    files : names of the files that hold no or many samples (tables, shards)
    class_folders : name of the folder of each class, where there are such
    notes : sentences for whoever trains on it
    front_matter : YAML of the data card, as lines
    """

    paths: list[str]
    file_hashes: list[str]
    files: list[str] = field(default_factory=list)
    class_folders: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    front_matter: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Exporter:
    """A format.

    save : writes all of it into an empty folder, and nothing outside of it
    images : which of IMAGES it can do, the default first
    sized : whether pictures are resized to one size
    reading : Python that reads it, for the data card; `DEST` stands for the export
    tasks : which of curation.records.TASKS it can say; others are refused
    """

    save: Callable[[Content, Options, Path, Progress], Saved]
    images: tuple[str, ...]
    sized: bool
    reading: str
    tasks: tuple[str, ...] = ("single-label",)
