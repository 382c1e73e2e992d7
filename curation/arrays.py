"""Arrays too big for memory, as `.npy` files that are mapped."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from curation.files import workspace_errors


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
