"""Pictures inside an array file: `digits.npz#images/17` is picture 17 of the array `images` in digits.npz."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curation.decoding import MAX_PIXELS, Picture, scale_to_bytes, value_range
from curation.errors import UnreadableError

IMAGE_KEYS = ("images", "image", "x", "X", "data", "x_train", "X_train", "train_images", "imgs", "arr_0")
MAX_ARRAY_BYTES = 16 * 2**30  # of a compressed array, which has to be held in memory as a whole
RANGE_SAMPLE = 1024  # pictures that are looked at to find out the range of values of an array

_lock = threading.Lock()  # so that threads do not unpack the same array twice


@dataclass(frozen=True)
class Container:
    """An array of pictures, read one at a time.

    shape : (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4
    read : picture number to its array, as stored
    span : (low, high), what becomes 0 and 255, of the whole array, so that its pictures stay comparable
    """

    key: str
    shape: tuple[int, ...]
    read: Callable[[int], np.ndarray]
    span: tuple[float, float]

    def __len__(self) -> int:
        return self.shape[0]

    def picture(self, index: int) -> Picture:
        """Picture `index` as upright RGB.

        Raises
        ------
        UnreadableError : no such picture, or its values cannot be pixels.
        """
        return array_picture(*self.values(index))

    def values(self, index: int) -> tuple[np.ndarray, tuple[float, float]]:
        """The values of picture `index` as stored, and what becomes 0 and 255; raises as `picture` does."""
        if not 0 <= index < len(self):
            raise UnreadableError(f"the array '{self.key}' has {len(self):,} pictures, none with the number {index:,}")
        try:
            return self.read(index), self.span
        except OSError as error:
            raise UnreadableError(f"the array file could not be read ({error})") from error


def array_picture(values: np.ndarray, span: tuple[float, float]) -> Picture:
    """An (H, W), (H, W, C) or (C, H, W) array as a picture; `span` is what becomes 0..255."""
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        raise UnreadableError("not one of its values is a finite number")
    if values.ndim == 3 and values.shape[-1] not in (1, 3, 4):
        values = np.moveaxis(values, 0, -1)
    pixels = np.ascontiguousarray(scale_to_bytes(values, *span))
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    picture = Image.fromarray(pixels)
    if picture.mode == "RGBA":
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture)
        picture = paper
    rgb = picture.convert("RGB")
    return Picture(rgb, rgb.width, rgb.height, "ARRAY")


def open_container(path: Path, key: str | None = None) -> Container:
    """The array `key` of an .npz or HDF5 file; without a key the first that can be pictures, by IMAGE_KEYS.

    A stored (not compressed) npz array is memory-mapped, an HDF5 dataset read by slice, a compressed npz array
    unpacked once and kept (the last two of them).

    Raises
    ------
    UnreadableError : no such array, not pictures, pickled objects, larger than MAX_ARRAY_BYTES, or a damaged file.
    """
    try:
        state = os.stat(path)
        with _lock:
            return _open(os.fspath(path), key or "", state.st_size, state.st_mtime_ns)
    except UnreadableError:
        raise
    except Exception as error:  # zip, npy and HDF5 readers raise anything when fed damaged bytes
        raise UnreadableError(f"the array file is damaged ({str(error)[:120]})") from error


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Name -> (shape, dtype) of every array in an .npz or HDF5 file, from the headers alone."""
    if _is_hdf5(os.fspath(path)):
        import h5py

        found: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = (tuple(item.shape or ()), item.dtype)

        with h5py.File(path, "r") as file:
            file.visititems(note)
        return found
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
        headers = {m.filename[:-4]: _npy_header(archive, m) for m in members}
    return {name: (shape, dtype) for name, (shape, dtype, _, _) in headers.items()}


def is_picture_array(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether an array can be N pictures, going by its shape and type."""
    channels = len(shape) == 3 or (len(shape) == 4 and (shape[-1] in (1, 3, 4) or shape[1] in (1, 3, 4)))
    return channels and dtype.kind in "uifb" and 0 < int(np.prod(shape[1:], dtype=object)) <= 4 * MAX_PIXELS


@lru_cache(maxsize=2)
def _open(path: str, key: str, size: int, modified: int) -> Container:
    shapes = array_shapes(Path(path))
    names = [key] if key else [*IMAGE_KEYS, *shapes]
    key = next((name for name in names if name in shapes and is_picture_array(*shapes[name])), "")
    if not key:
        held = ", ".join(f"{name} {shape} {dtype}" for name, (shape, dtype) in list(shapes.items())[:8])
        wanted = f"an array '{names[0]}'" if len(names) == 1 else "an array"
        raise UnreadableError(f"{wanted} of pictures (N, H, W[, C]) was not found in it; it holds {held or 'nothing'}")
    shape, dtype = shapes[key]
    read = _hdf5_reader(path, key) if _is_hdf5(path) else _npz_reader(path, key)
    return Container(key, shape, read, _span(shape, dtype, read))


def _span(shape: tuple[int, ...], dtype: np.dtype, read: Callable[[int], np.ndarray]) -> tuple[float, float]:
    if dtype == np.uint8 or dtype.kind == "b" or not shape[0]:
        return 0.0, 255.0
    sample = np.unique(np.linspace(0, shape[0] - 1, RANGE_SAMPLE).astype(int))
    extremes: list[float] = []
    for index in sample:
        values = read(index)
        finite = values[np.isfinite(values)]
        if finite.size:
            extremes += [finite.min(), finite.max()]
    # float64 unless the array itself is an integer: 0..1 means "full range" for floats only
    return value_range(np.array(extremes, dtype=np.float64 if dtype.kind == "f" else np.int64))


def _is_hdf5(path: str) -> bool:
    return path.lower().endswith((".h5", ".hdf5"))


def _hdf5_reader(path: str, key: str) -> Callable[[int], np.ndarray]:
    import h5py

    dataset = h5py.File(path, "r")[key]  # h5py locks its calls itself
    if dataset.external or dataset.is_virtual:  # its values come from another file, which may be any on this machine
        raise UnreadableError(f"the array '{key}' is stored outside of the file; it is not followed")
    return lambda index: np.asarray(dataset[index])


def _npz_reader(path: str, key: str) -> Callable[[int], np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(key + ".npy")
        shape, dtype, header, fortran = _npy_header(archive, member)
        if member.compress_type == zipfile.ZIP_STORED:
            with open(path, "rb") as stream:
                stream.seek(member.header_offset + 26)
                name_length, extra_length = struct.unpack("<HH", stream.read(4))
            start = member.header_offset + 30 + name_length + extra_length + header
            array: np.ndarray = np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
        else:
            count = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if count > MAX_ARRAY_BYTES:
                raise UnreadableError(f"the array '{key}' unpacks to {count:,} bytes; store it without compression")
            with archive.open(member) as packed:
                array = np.lib.format.read_array(packed, allow_pickle=False)
    return lambda index: np.asarray(array[index])


def _npy_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype, int, bool]:
    """Shape, dtype, header length in bytes, whether in Fortran order."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        return shape, dtype, stream.tell(), fortran
