"""Pictures and labels in one NumPy (.npz) or HDF5 (.h5, .hdf5) file."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.decoding.containers import array_shapes, is_picture_array
from curation.errors import SettingsError, SourceError
from curation.importers.assemble import LABEL_LIMIT, SPLITS, Rows, assemble, canonical_split, shown
from curation.importers.options import ImportOptions
from curation.importers.places import real_file, real_path
from curation.progress import Progress
from curation.records import Records, path_to_text

SUFFIXES = (".npz", ".h5", ".hdf5")
IMAGE_KEYS = frozenset(("image", "images", "img", "imgs", "x", "data", "pixels", "pictures", "photos", "features"))
LABEL_KEYS = frozenset(
    ("label", "labels", "y", "target", "targets", "class", "classes", "category", "categories", "gt")
)
NAME_KEYS = frozenset(("classnames", "labelnames", "targetnames", "categorynames", "classes", "categories", "names"))
_LABEL_BYTES = 2**30  # a label array that unpacks to more is refused
_MOST_PICTURES = 20_000_000  # a few bytes of a header can promise any number

Shape = tuple[int, ...]
Shapes = Mapping[str, tuple[Shape, np.dtype]]


@dataclass(frozen=True)
class Pair:
    """One array of pictures and the array of its labels ("" = none), both keys of the file."""

    split: str
    images: str
    labels: str


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read an array file; the path of a picture is `FILE#KEY/INDEX`, relative to the file's folder.

    The arrays are found by their usual names (images, x, data ... and labels, y, target ...), once per split where the
    names have one (x_train, test/images ...), or named with --image-column and --label-column. Labels may be whole
    numbers, text, or one-hot rows; class names are taken from an array such as `class_names`.

    Raises
    ------
    SourceError : damaged, holding Python objects, no array of pictures, lengths or values that do not fit.
    SettingsError : a key that is not there, or could be either of two.
    """
    file = real_path(real_file(source))
    shapes = read_shapes(file)
    pairs = find_pairs(shapes, options, file.name)
    names = _class_names(file, shapes, {pair.labels for pair in pairs})
    rows = Rows([], [], [])
    prefix = path_to_text(file.name)
    for pair in pairs:
        _check_pictures(file, pair.images, shapes)
    with progress.stage("Reading labels", sum(shapes[pair.images][0][0] for pair in pairs), "pictures") as advance:
        for pair in pairs:
            count = shapes[pair.images][0][0]
            labels = read_labels(file, pair.labels, shapes, names, count) if pair.labels else [""] * count
            rows.paths += [f"{prefix}#{pair.images}/{index}" for index in range(count)]
            rows.labels += labels
            rows.splits += [canonical_split(pair.split)] * count
            advance(count)
    notes = [f"Arrays taken: {', '.join(_pair_words(pair, shapes) for pair in pairs)}."]
    if names:
        more = " ..." if len(names) > 5 else ""
        notes.append(f"Class names come from the file: {', '.join(shown(name) for name in names[:5])}{more}.")
    unused = sorted(set(shapes) - {key for pair in pairs for key in (pair.images, pair.labels)})
    if unused and not names:
        notes.append(f"Arrays not used: {', '.join(shown(key) for key in unused[:20])}.")
    return assemble(rows, file.parent, "arrays", notes, progress=progress)


def read_shapes(file: Path) -> Shapes:
    """Key -> (shape, dtype) of every array in a file.

    Raises
    ------
    SourceError : damaged, an array that is stored outside of the file, or two of the same name.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{shown(file.name)} is not an array file; those end in {', '.join(SUFFIXES)}.")
    try:
        if file.suffix.lower() == ".npz":
            with zipfile.ZipFile(file) as archive:
                members = archive.namelist()
            if len(set(members)) < len(members):
                raise SourceError(f"{file.name} holds two arrays of the same name.")
        else:
            _refuse_outside(file)
        shapes = array_shapes(file)
    except SourceError:
        raise
    except Exception as error:  # zip, npy and HDF5 readers raise anything when fed damaged bytes
        raise SourceError(f"{file.name} is damaged, or no array file: {_first_line(error)}.") from error
    for key in shapes:
        try:
            key.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SourceError(f"{file.name} has an array whose name is not text: {key!a}.") from error
    return shapes


def find_pairs(shapes: Shapes, options: ImportOptions, where: str) -> list[Pair]:
    """The arrays of pictures and of labels, one pair per split, in the order of their splits' names."""
    for given in (options.image_column, options.label_column):
        if given and given not in shapes:
            raise SettingsError(f"{where} has no array {shown(given)}; it has {describe(shapes)}.")
    images = {key for key in shapes if is_picture_array(*shapes[key])}
    if options.image_column:
        if options.image_column not in images:
            raise _no_pictures(where, shapes, options.image_column)
        chosen = {split_of(options.image_column)[0]: [options.image_column]}
    else:
        chosen = _by_split(images, IMAGE_KEYS) or ({"": sorted(images)} if len(images) == 1 else {})
    if not chosen:
        raise _no_pictures(where, shapes, "")
    labels = _by_split(set(shapes) - images, LABEL_KEYS - NAME_KEYS) or _by_split(set(shapes) - images, LABEL_KEYS)
    pairs = []
    for split, keys in sorted(chosen.items()):
        image_key = _only(keys, "pictures", "--image-column", where)
        if options.label_column:
            if len(chosen) > 1:
                raise SettingsError(f"{where} has several splits; name one array of pictures with --image-column, too.")
            label_key = options.label_column
        elif labels.get(split):
            label_key = _only(labels[split], "labels", "--label-column", where)
        else:
            label_key = _only_of_length(shapes, shapes[image_key][0][0]) if len(chosen) == 1 else ""
        pairs.append(Pair(split, image_key, label_key))
    return pairs


def split_of(key: str) -> tuple[str, str]:
    """(split, rest) of a key such as x_train, TestImages or val/images, in small letters; split "" if it has none."""
    words = [word for word in re.split(r"[^a-z0-9]+", key.lower()) if word]
    for split in sorted(SPLITS, key=len, reverse=True):
        if split in words:
            words.remove(split)
            return split, "".join(words)
        joined = "".join(words)
        for rest in (joined.removeprefix(split), joined.removesuffix(split)):
            if rest != joined and rest in IMAGE_KEYS | LABEL_KEYS:
                return split, rest
    return "", "".join(words)


def read_labels(file: Path, key: str, shapes: Shapes, names: Sequence[str], count: int) -> list[str]:
    """The labels of an array as text.

    Raises
    ------
    SourceError : another length than the pictures, NaN, fractions, rows that are not one-hot, Python objects.
    """
    shape, _ = shapes[key]
    where = f"{file.name}, array {shown(key)}"
    if not shape or shape[0] != count:
        raise SourceError(f"{where}: {shape[0] if shape else 1} labels for {count} pictures.")
    values = read_array(file, key, shapes)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        values = _from_one_hot(values, where)
    if values.ndim != 1:
        raise SourceError(f"{where}: labels of shape {shape}; one label or one one-hot row per picture is needed.")
    if values.dtype.kind in "SUO":
        return _as_text(values, where)
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind == "f":
        _check_whole(values, where)
    if values.dtype.kind not in "iuf":
        raise SourceError(f"{where}: labels of type {values.dtype} cannot be read.")
    numbers = [int(value) for value in values.tolist()]
    if names and numbers and min(numbers) >= 0 and max(numbers) < len(names):
        return [names[number] for number in numbers]
    return [str(number) for number in numbers]


def read_array(file: Path, key: str, shapes: Shapes) -> np.ndarray:
    """One small array (labels, names) as a whole; text of HDF5 as an array of str objects."""
    shape, dtype = shapes[key]
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size > _LABEL_BYTES:
        raise SourceError(f"{file.name}, array {shown(key)}: {size:,} bytes are too many for labels.")
    try:
        if file.suffix.lower() != ".npz":
            return _read_hdf5(file, key)
        with zipfile.ZipFile(file) as archive:
            _check_length(file, archive, key, size)
            with archive.open(f"{key}.npy") as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    except SourceError:
        raise
    except Exception as error:  # as in read_shapes
        hint = " (Python objects are never unpickled; save text as dtype str)" if dtype.hasobject else ""
        raise SourceError(f"{file.name}, array {shown(key)} cannot be read: {_first_line(error)}{hint}.") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def describe(shapes: Shapes) -> str:
    """The arrays of a file in words: name, shape and type of each."""
    listed = [f"{shown(key)} {shape} {dtype}" for key, (shape, dtype) in list(shapes.items())[:12]]
    return ", ".join(listed) or "no arrays"


def _check_pictures(file: Path, key: str, shapes: Shapes) -> None:
    """Refuse an array of pictures that its header alone makes large, before a row is made for every picture."""
    shape, dtype = shapes[key]
    if shape[0] > _MOST_PICTURES:
        raise SourceError(f"{file.name}, array {shown(key)}: {shape[0]:,} pictures; {_MOST_PICTURES:,} are the most.")
    if file.suffix.lower() == ".npz":
        with zipfile.ZipFile(file) as archive:
            _check_length(file, archive, key, int(np.prod(shape, dtype=object)) * dtype.itemsize)


def _check_length(file: Path, archive: zipfile.ZipFile, key: str, size: int) -> None:
    if archive.getinfo(f"{key}.npy").file_size < size:
        raise SourceError(f"{file.name}, array {shown(key)}: it is shorter than it says.")


def _read_hdf5(file: Path, key: str) -> np.ndarray:
    import h5py

    with h5py.File(file, "r") as opened:
        dataset = opened[key]
        if h5py.check_string_dtype(dataset.dtype) is not None and dataset.dtype.kind == "O":
            return np.asarray(dataset.asstr("utf-8", "strict")[()], dtype=object)
        if dataset.dtype.hasobject:
            raise SourceError(f"{file.name}, array {shown(key)} holds objects, not labels.")
        return np.asarray(dataset[()])


def _refuse_outside(file: Path) -> None:
    """HDF5 can point to other files (external storage, virtual arrays); links to other files are never followed."""
    import h5py

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise SourceError(
                f"{file.name}: the array {shown(name)} is stored outside of the file; it is not followed."
            )

    with h5py.File(file, "r") as opened:
        opened.visititems(check)


def _by_split(keys: set[str], names: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in sorted(keys):
        split, rest = split_of(key)
        if rest in names:
            found.setdefault(split, []).append(key)
    return found


def _only(keys: Sequence[str], what: str, flag: str, where: str) -> str:
    if len(keys) > 1:
        listed = ", ".join(map(shown, keys))
        raise SettingsError(f"{where} has several arrays that may hold the {what}: {listed}. Choose one with {flag}.")
    return keys[0]


def _only_of_length(shapes: Shapes, count: int) -> str:
    """The one array with as many entries as there are pictures, "" if there are none or several."""
    fits = [key for key, (shape, dtype) in shapes.items() if shape in ((count,), (count, 1)) and dtype.kind in "iubSUO"]
    return fits[0] if len(fits) == 1 else ""


def _no_pictures(where: str, shapes: Shapes, key: str) -> SourceError:
    text = f"{where} has no array of pictures" if not key else f"{where}: the array {shown(key)} cannot be pictures"
    text += (
        f"; pictures are (N, H, W), (N, H, W, C) or (N, C, H, W) numbers with C = 1, 3 or 4. It has {describe(shapes)}."
    )
    flat = [name for name in shapes if len(shapes[name][0]) == 2 and split_of(name)[1] in IMAGE_KEYS]
    if flat:
        text += f" Flat rows as in {shown(flat[0])} need a reshape first."
    elif any(dtype.hasobject for _, dtype in shapes.values()):
        text += " Arrays of type object hold pickled Python objects, which are never loaded."
    elif not key and sum(is_picture_array(*entry) for entry in shapes.values()) > 1:
        text = (
            f"{where} has several arrays that may hold the pictures: {describe(shapes)}. Name one with --image-column."
        )
    return SourceError(text)


def _class_names(file: Path, shapes: Shapes, taken: set[str]) -> list[str]:
    """The class names that a file brings, [] if none: a list of text that is not itself the labels."""
    for key, (shape, dtype) in shapes.items():
        if key not in taken and split_of(key)[1] in NAME_KEYS and len(shape) == 1 and dtype.kind in "SUO":
            names = _as_text(read_array(file, key, shapes), f"{file.name}, array {shown(key)}")
            if len(set(names)) == len(names) and all(names):
                return names
    return []


def _as_text(values: np.ndarray, where: str) -> list[str]:
    texts = []
    for index, value in enumerate(values.tolist()):
        try:
            text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
            text.encode("utf-8")
        except UnicodeError as error:
            raise SourceError(f"{where}, entry {index}: the label is not UTF-8 text.") from error
        if "\0" in text or len(text) > LABEL_LIMIT:
            raise SourceError(f"{where}, entry {index}: {shown(text)} is no class name (a NUL, or too long).")
        texts.append(text)
    return texts


def _from_one_hot(values: np.ndarray, where: str) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise SourceError(f"{where}: rows of {values.dtype} are no labels.")
    wrong = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1) | (values.sum(axis=1) != 1))
    if len(wrong):
        raise SourceError(
            f"{where}, row {wrong[0]}: not one-hot (one 1, else 0); soft labels and several labels "
            f"per picture cannot be read."
        )
    return values.argmax(axis=1)


def _check_whole(values: np.ndarray, where: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
    if len(wrong):
        raise SourceError(
            f"{where}, entry {wrong[0]}: {values[wrong[0]]} is no class; labels are whole numbers or text."
        )


def _pair_words(pair: Pair, shapes: Shapes) -> str:
    labels = f"labels {shown(pair.labels)}" if pair.labels else "no labels"
    return f"pictures {shown(pair.images)} {shapes[pair.images][0]} with {labels}"
