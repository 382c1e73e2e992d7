"""Arrays too big for memory: `.npy` files that are mapped, and pictures that are read where they are asked for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.files import workspace_errors

GREY = 128


@dataclass(frozen=True, eq=False)
class PixelRows:
    """Pictures (N, S, S, 3) uint8 that stay in the file in which they are cached; asked as an array is, for a slice or
    an array of row numbers, it gives these as an array.

    stored : (M, S, S, 3) uint8, a memory map
    places : (N,) int64, the row of `stored` that each picture is, -1 = there is none, it is grey
    """

    stored: np.ndarray
    places: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.stored.shape[1:])

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        places = self.places[rows]
        if len(places) and (places < 0).all():
            return np.full((len(places), *self.stored.shape[1:]), GREY, np.uint8)
        found = self.stored[np.maximum(places, 0)]
        found[places < 0] = GREY
        return found


# What training reads: all of it in memory, or not.
PixelArray = np.ndarray | PixelRows


def create_array(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new float32 `.npy` file as a writable memory map, its disk space reserved at once: a full disk is then an error
    here, and not a signal in the middle of an assignment."""
    with workspace_errors(file):
        array = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return array


def open_array(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """The array that a killed run left, where it has this shape; else a new one."""
    try:
        array = np.lib.format.open_memmap(file, mode="r+")
        if array.shape == shape and array.dtype == np.float32:
            return array
    except (OSError, ValueError):
        pass
    return create_array(file, shape)
