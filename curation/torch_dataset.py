"""A version as a torch data set, without exporting anything: pictures are decoded when they are asked for."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from curation.datasets import find_dataset
from curation.decoding import decode_picture, pixel_cache
from curation.decoding.chunks import decoder_tag
from curation.decoding.sources import open_picture, read_bytes, split_member
from curation.errors import SettingsError, SourceError, UnreadableError
from curation.exporters.content import make_content
from curation.exporters.contract import Content
from curation.manifest import read
from curation.manifest.history import source_of
from curation.manifest.version_files import resolve
from curation.status import source_root
from curation.targets import TARGETS

Transform = Callable[..., Any]


class VersionDataset(torch.utils.data.Dataset[tuple[Any, Any]]):
    """Item i is (picture, target): row i of `table`.

    A picture is a (3, H, W) uint8 tensor, upright RGB, or whatever `transform` makes of a PIL picture. It can be sent
    to other processes: use it with `DataLoader(..., num_workers=...)`. The target is, by `task`:

    single-label : the class id, -1 where there is no label
    multi-label : (K,) float32, 1 where the picture has the class, as `binary_cross_entropy_with_logits` wants it
    counts : (K,) int64, how many of each class
    detection : as torchvision's detectors want it, {"boxes": BoundingBoxes (M, 4), left, top, right, bottom in pixels
        of the picture as it is given, clipped to it; "labels": (M,) int64, class id + 1, as 0 is their background;
        "image_id": i}. `transform` gets both, the picture and this, as transforms of torchvision.transforms.v2 do, and
        a loader needs `collate_fn=lambda batch: tuple(zip(*batch))`

    table : one row per picture, sorted by sample_id: `sample_id`, `path`, `split`, `group`, `label`, `class_id`,
        `hard`, `labels` (all that are right, a tuple), `format`, `width_px`, `height_px`, `content_hash`
    classes : labels by class id; the same list for every split of the version
    version : its name; task : one of curation.records.TASKS
    """

    def __init__(
        self, content: Content, version: str, transform: Transform | None = None, size: int | None = None,
        cache: Path | None = None,
    ) -> None:  # fmt: skip
        names = [tuple(content.classes[k] for k in ids) for ids in content.class_ids]
        self.table: pd.DataFrame = content.samples.drop(columns="pixel_hash").assign(
            labels=pd.Series(names, dtype=object)
        )
        self.classes, self.version, self.root = content.classes, version, content.root
        self.task = content.task
        self.transform, self.size = transform, size
        self._paths = content.samples["path"].tolist()
        self._sizes = content.samples[["width_px", "height_px"]].to_numpy(np.float32)
        self._targets = TARGETS[content.task](content)
        self._stem = None if cache is None or size is None else cache / f"{decoder_tag()}_s{size}"
        self._row, self._crc = self._find_cached(content.samples["content_hash"].tolist())
        self._rows: np.ndarray | None = None  # a memory map; each process opens its own

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = range(len(self._paths))[index]  # an IndexError where there is none, as iteration wants it
        pixels = self._cached(index)
        if self.transform is None:
            if pixels is None:
                pixels = np.array(self._picture(index))
            # Channels last in memory, as it was decoded: no copy, and what convolutions on modern hardware like.
            return torch.from_numpy(pixels).permute(2, 0, 1), self._target(index)
        picture = self._picture(index) if pixels is None else Image.fromarray(pixels)
        if self.task == "detection":
            transformed: tuple[Any, Any] = self.transform(picture, self._target(index))
            return transformed
        return self.transform(picture), self._target(index)

    def _target(self, index: int) -> Any:
        found = self._targets[index]
        if self.task == "detection":
            from torchvision.tv_tensors import BoundingBoxes  # here: no other task needs torchvision

            corners, class_ids = found
            width, height = (self.size, self.size) if self.size else self._sizes[index].astype(int).tolist()
            scale = np.tile([width, height] / self._sizes[index], 2).astype(np.float32)
            boxes = BoundingBoxes(torch.from_numpy(corners * scale), format="XYXY", canvas_size=(height, width))
            return {"boxes": boxes, "labels": torch.from_numpy(class_ids + 1), "image_id": index}
        return torch.from_numpy(found.copy()) if isinstance(found, np.ndarray) else found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": None}

    def _picture(self, index: int) -> Image.Image:
        """Decoded from its file, squashed to `size` where there is one.

        Raises
        ------
        SourceError : it cannot be read any more.
        """
        path = self._paths[index]
        try:
            if "#" in path and split_member(path) is not None:
                rgb = open_picture(self.root, path, self.size).rgb
            else:
                rgb = decode_picture(read_bytes(self.root, path), self.size).rgb
        except UnreadableError as error:
            raise SourceError(f"{path!r} in {self.root} cannot be read any more: {error}.") from error
        if self.size is None or rgb.size == (self.size, self.size):
            return rgb
        return rgb.resize((self.size, self.size), Image.Resampling.BILINEAR)

    def _find_cached(self, contents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """For each picture the row of the cache that has it, -1 = none, and the checksum of that row."""
        row, crc = np.full(len(contents), -1, np.int64), np.zeros(len(contents), np.uint32)
        if self._stem is None:
            return row, crc
        found, position = pixel_cache.read_entries(self._stem)
        for at, content in enumerate(contents):
            place = position.get(bytes.fromhex(content)) if content else None
            if place is not None:
                row[at], crc[at] = found["row"][place], found["row_crc"][place]
        return row, crc

    def _cached(self, index: int) -> np.ndarray | None:
        """(S, S, 3) uint8 of its own, None where the cache does not have it whole."""
        row = int(self._row[index])
        if row < 0 or self._stem is None or self.size is None:
            return None
        if self._rows is None:
            self._rows = pixel_cache.open_rows(self._stem, self.size)
        if row >= len(self._rows):
            return None
        data = self._rows[row].tobytes()
        if zlib.crc32(data) != self._crc[index]:
            return None
        pixels: np.ndarray = np.frombuffer(bytearray(data), self._rows.dtype)["pixels"][0]
        return pixels


def open_dataset(
    version: str | None = None,
    workspace: str | Path = ".",
    dataset: str | None = None,
    split: str | Sequence[str] | None = None,
    transform: Transform | None = None,
    size: int | None = None,
    source: str | Path | None = None,
) -> VersionDataset:
    """A version of a data set for training, without exporting it.

    Parameters
    ----------
    version : any name of one (`v0003`, a tag, a branch); None = the newest
    workspace : where `curate score` keeps its files
    dataset : its name; None = the only one, else that of the latest run
    split : one or several; None = all
    transform : makes what is wanted of a PIL picture (RGB, upright), of a set of boxes of (picture, target); None gives
        (3, H, W) uint8 tensors
    size : pictures are squashed to size x size pixels; those that a run decoded at that size come from its cache
    source : where the pictures are now; None = where the latest run found them

    Raises
    ------
    NotFoundError : no such data set, version or split.
    SettingsError : nothing is left, or a size that cannot be.
    """
    if size is not None and size < 1:
        raise SettingsError(f"size is {size}; it can be 1 or more pixels.")
    place = Path(workspace)
    known = find_dataset(place, dataset)
    name = resolve(known.folder, version or "head")
    root = Path(os.path.realpath(source)) if source is not None else source_root(place, known)
    splits = () if split is None else (split,) if isinstance(split, str) else tuple(split)
    content = make_content(read(known.folder, name), root, splits, source_of(known.folder, name))
    return VersionDataset(content, name, transform, size, place / ".curate" / "cache")
