"""torchvision's classification data sets by name, fetched by torchvision's own downloader."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import SettingsError, SourceError
from curation.files import write_atomic
from curation.importers import arrays
from curation.importers.assemble import Rows, assemble, shown
from curation.importers.options import ImportOptions
from curation.progress import SILENT, Progress
from curation.records import Records, path_to_text

PREFIX = "torchvision:"
_TIMEOUT_SECONDS = 30  # without a word from the server

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Spec:
    """How a data set is asked for: split name -> arguments of its class."""

    splits: Mapping[str, Arguments]
    download: bool = True


_TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}


def _by_name(*names: str) -> dict[str, Arguments]:
    return {name: {"split": name} for name in names}


SPECS: dict[str, Spec] = {
    # kept as arrays
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "USPS"), Spec(_TRAIN_FLAG)),
    "SVHN": Spec(_by_name("train", "test")),
    "STL10": Spec(_by_name("train", "test")),
    "FakeData": Spec({"": {"size": 100, "image_size": (3, 32, 32)}}, download=False),
    # kept as files
    "EuroSAT": Spec({"": {}}),
    "SUN397": Spec({"": {}}),
    "Flowers102": Spec(_by_name("train", "val", "test")),
    "DTD": Spec(_by_name("train", "val", "test")),
    "FGVCAircraft": Spec(_by_name("train", "val", "test")),
    "Food101": Spec(_by_name("train", "test")),
    "GTSRB": Spec(_by_name("train", "test")),
    "RenderedSST2": Spec(_by_name("train", "val", "test")),
    "Country211": Spec({"train": {"split": "train"}, "val": {"split": "valid"}, "test": {"split": "test"}}),
    "OxfordIIITPet": Spec({"train": {"split": "trainval"}, "test": {"split": "test"}}),
    "Imagenette": Spec(_by_name("train", "val")),
    "ImageNet": Spec(_by_name("train", "val"), download=False),
}


def names() -> tuple[str, ...]:
    """The data sets that can be asked for."""
    return tuple(SPECS)


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a torchvision data set, `torchvision:CIFAR10` or just its name; all its splits together.

    It is fetched once into WORKSPACE/.curate/torchvision. One that is made of arrays is written once more as an .npz in
    WORKSPACE/.curate/imports, which later runs read; pictures in files are used where they lie.

    Raises
    ------
    SettingsError : no data set of that name.
    SourceError : it could not be fetched; says why and what to do without a network.
    """
    name = source.removeprefix(PREFIX)
    known = {each.lower(): each for each in SPECS}
    if name.lower() not in known:
        raise SettingsError(f"torchvision data set {shown(name)} is not known here; there are: {', '.join(SPECS)}.")
    name = known[name.lower()]
    folder = Path(os.path.realpath(workspace)) / ".curate"
    packed = folder / "imports" / f"{name}.npz"
    if not os.path.exists(packed):
        opened = {split: _open(name, arguments, folder, progress) for split, arguments in SPECS[name].splits.items()}
        if not hasattr(next(iter(opened.values())), "data") and name != "FakeData":
            return from_files(name, opened, folder / "torchvision", progress)
        pack(opened, packed, progress)
    records = arrays.load(str(packed), ImportOptions(), workspace, progress)
    return replace(records, source_format="torchvision", settings={"dataset": name})


def pack(opened: Mapping[str, Any], target: Path, progress: Progress = SILENT) -> None:
    """Write data sets that hold arrays as one uncompressed .npz, which is read picture by picture later.

    opened : split name -> data set with `data` (N, H, W[, C]) or (N, C, H, W) and `targets` or `labels`, or one that
        gives pictures of one size by number
    """
    parts: dict[str, np.ndarray] = {}
    classes: list[str] = []
    with progress.stage("Packing", 0, "pictures") as advance:
        for split, dataset in opened.items():
            images, labels = _contents(dataset)
            parts[f"{split}_images" if split else "images"] = images
            parts[f"{split}_labels" if split else "labels"] = labels.astype(np.int64)
            classes = classes or _class_names(dataset)
            advance(len(images))
        if classes:
            parts["class_names"] = np.array(classes, dtype=np.str_)
        write_atomic(target, lambda stream: np.savez(stream, allow_pickle=False, **parts), "import")


def from_files(name: str, opened: Mapping[str, Any], root: Path, progress: Progress = SILENT) -> Records:
    """Records of data sets whose pictures are files below `root`."""
    rows = Rows([], [], [])
    for split, dataset in opened.items():
        classes = _class_names(dataset)
        for path, label in _files(name, dataset):
            rows.paths.append(path_to_text(Path(os.path.relpath(path, root)).as_posix()))
            rows.labels.append(classes[label] if classes else str(label))
            rows.splits.append(split)
    return assemble(rows, root, "torchvision", settings={"dataset": name}, progress=progress)


def _open(name: str, arguments: Arguments, folder: Path, progress: Progress) -> Any:
    import torchvision.datasets

    root = folder / "torchvision"
    download = {"download": True} if SPECS[name].download else {}
    place = {} if name == "FakeData" else {"root": str(root), **download}
    progress.message(f"Opening torchvision's {name} {dict(arguments)}; it is fetched into {root} if it is not there.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _polite():
            return getattr(torchvision.datasets, name)(**place, **arguments)
    except (OSError, RuntimeError, ValueError, ImportError) as error:  # URLError is an OSError
        reason = " ".join(str(error).split())[:300]
        raise SourceError(
            f"torchvision's {name} could not be fetched or read: {reason}. Without a network, put its files into "
            f"{root} as torchvision lays them out, or give your own copy of the data set as a folder or .npz file."
        ) from error


@contextlib.contextmanager
def _polite() -> Iterator[None]:
    """torchvision prints to standard output and waits for ever; standard output is ours alone (--json)."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _contents(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    if not hasattr(dataset, "data"):
        pairs = [dataset[index] for index in range(len(dataset))]
        return np.stack([np.asarray(picture) for picture, _ in pairs]), np.array([int(label) for _, label in pairs])
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return np.asarray(dataset.data), np.asarray(labels)


def _class_names(dataset: Any) -> list[str]:
    """Class names by number; where a class has several names, the first."""
    classes = getattr(dataset, "classes", None) or []
    return [name if isinstance(name, str) else name[0] for name in classes]


def _files(name: str, dataset: Any) -> list[tuple[str, int]]:
    """(path, class number) of every picture; torchvision keeps them in one of these places."""
    for pairs in ("samples", "_samples"):
        if hasattr(dataset, pairs):
            return [(str(path), int(label)) for path, label in getattr(dataset, pairs)]
    for files in ("_image_files", "_images"):
        if hasattr(dataset, files):
            return [(str(p), int(c)) for p, c in zip(getattr(dataset, files), dataset._labels, strict=True)]
    raise SourceError(
        f"This version of torchvision keeps {name} in a way that is not known here; use its folder instead."
    )
