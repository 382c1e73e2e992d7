"""Export by link and by copy beside `cp -r`, and `curation.open_dataset` beside torchvision's ImageFolder.

    python pipelines/export_benchmark.py [DATA] [--only NAME] [--files 100000] [--repeat 3] [--workers 2]

files: 100,000 small JPEG and PNG files in 100 class folders, each with a picture of its own, made in a temporary folder
(--place says where; it should be on the disk that is to be measured). They are imported and decoded as `curate score`
does, which is not counted. Then `curate export` as `folder`, with --link, and as copies, and `cp -r` of the same files,
in turn, `--repeat` times, everything read once before so that all find it in the page cache, and everything written to
disk before each, so that nobody waits for another's. `cp -r` leaves what it wrote in memory; an export is on disk when
it ends. So there are two figures of cp: alone, which is the bar, and with the `sync` after it.

loader: batches of normalised float tensors of one size, as a training loop gets them, from the pictures of DATA,
default ../shared/data (flowers17, cifar10n): torchvision's `ImageFolder` with Resize, ToTensor and Normalize;
`open_dataset` with the same transforms; and `open_dataset(size=...)`, uint8 tensors that are normalised as whole
batches, at a size that no run has decoded ("cold": decoded from the files in every epoch), and at that of a run
("cached"). The same batch size, workers and order of pictures for all, in turn; epoch 1 (workers start in it) and the
median of the later ones apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

import curation
from curation import datasets
from curation.export import ExportSettings, export
from curation.exporters.verify import verify_export
from curation.importers import load
from curation.manifest import manifest_folder, write_first
from curation.pixels import decode

CLASSES = 100
RUN_SIZE = 8  # pixels that the import of the small files is decoded to
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as everybody has them
BATCH = 64


# --- export ------------------------------------------------------------------------------------------------------


def make_files(folder: Path, count: int) -> None:
    """Pictures of 32 to 64 px, smooth with grain, three in four JPEG, the others PNG; the same for the same number."""
    for label in range(CLASSES):
        (folder / f"class-{label:03d}").mkdir(parents=True)
    with Pool() as pool:
        pool.starmap(_make_some, [(folder, start, min(start + 1000, count)) for start in range(0, count, 1000)])


def _make_some(folder: Path, start: int, end: int) -> None:
    for number in range(start, end):
        random = np.random.default_rng(number)
        size = tuple(random.integers(32, 65, 2).tolist())
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
        grain = random.integers(-6, 7, smooth.shape[:2])[..., None]
        picture = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))
        place = folder / f"class-{number % CLASSES:03d}" / f"{number:06d}"
        if number % 4:
            picture.save(place.with_suffix(".jpg"), quality=88)
        else:
            picture.save(place.with_suffix(".png"))


def first_version(source: Path, workspace: Path, size: int) -> datasets.Dataset:
    """v0001 of a folder, its pictures decoded at `size` in the cache, as `curate score` does before it trains."""
    records = load(str(source), format="folder", workspace=workspace)
    pixels = decode(records, size, workspace / ".curate" / "cache")
    samples = pixels.samples[list(records.samples)]
    dataset = datasets.Dataset(source.name, manifest_folder(workspace, source.name))
    write_first(samples, records.annotations, dataset.folder, author="benchmark", message="first", dataset=source.name)
    return dataset


def files(place: Path | None, count: int, repeat: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        source, workspace = folder / "small", folder / "workspace"
        start = time.perf_counter()
        make_files(source, count)
        print(f"made in {time.perf_counter() - start:.0f} s")
        dataset = first_version(source, workspace, RUN_SIZE)
        print(f"imported and decoded after {time.perf_counter() - start:.0f} s")
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file() and path.read_bytes())
        dest = folder / "out"

        def exported(images: str) -> None:
            export(dest, ExportSettings(images=images, source=source), workspace, dataset)

        def copied(then_sync: bool) -> None:
            subprocess.run(["cp", "-r", os.fspath(source), os.fspath(dest)], check=True)
            if then_sync:
                os.sync()

        ways: dict[str, Callable[[], None]] = {
            "link": lambda: exported("link"),
            "copy": lambda: exported("copy"),
            "cp -r": lambda: copied(False),
            "cp -r, sync": lambda: copied(True),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(repeat):
            for name, write in ways.items():
                os.sync()
                start = time.perf_counter()
                write()
                seconds[name].append(time.perf_counter() - start)
                print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
                if turn == 0 and not name.startswith("cp") and (wrong := verify_export(dest)):
                    raise SystemExit(f"{name}: {wrong[0]}")
                shutil.rmtree(dest)
        middle = {name: float(np.median(values)) for name, values in seconds.items()}
        return {
            "files": count,
            "bytes per file": round(size / count),
            "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
            "median": {name: round(value, 2) for name, value in middle.items()},
            "copy, speed against cp -r": round(middle["cp -r"] / middle["copy"], 2),
            "copy, speed against cp -r and sync": round(middle["cp -r, sync"] / middle["copy"], 2),
        }


# --- feeding a training loop -------------------------------------------------------------------------------------


def epochs(data: Dataset[Any], count: int, workers: int, ready: Callable[[Any], torch.Tensor]) -> Iterator[float]:
    """Seconds of each epoch: every batch in the form that a network takes, and its labels."""
    order = torch.Generator().manual_seed(0)
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, generator=order)
    for _ in range(count):
        start, seen = time.perf_counter(), 0
        for images, labels in loader:
            batch = ready(images)
            assert batch.dtype == torch.float32
            seen += len(labels)
        assert seen == len(data)  # type: ignore[arg-type]
        yield time.perf_counter() - start


def normalised(images: torch.Tensor) -> torch.Tensor:
    """(n, 3, H, W) uint8 as floats, as ToTensor and Normalize make them one by one."""
    scale = torch.tensor(STD).view(1, 3, 1, 1) * 255
    return images.float().sub_(torch.tensor(MEAN).view(1, 3, 1, 1) * 255).div_(scale)


def loader(root: Path, size: int, workers: int, count: int, repeat: int) -> dict[str, Any]:
    """Pictures per second of each way, medians of `repeat` turns."""
    each = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    usual = transforms.Compose(each)
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        dataset = first_version(root, workspace, size)
        folder = ImageFolder(os.fspath(root), usual)
        known = {"workspace": workspace, "dataset": dataset.name, "source": root}
        cached = curation.open_dataset(size=size, **known)
        with tempfile.TemporaryDirectory() as other:
            shutil.copytree(workspace / "data_manifest", Path(other) / "data_manifest")
            cold = curation.open_dataset(size=size, **{**known, "workspace": Path(other)})
        same = curation.open_dataset(transform=usual, **known)
        ways: dict[str, tuple[Dataset[Any], Callable[[Any], torch.Tensor]]] = {
            "ImageFolder": (folder, lambda images: images),
            "open_dataset, the same transforms": (same, lambda images: images),
            "open_dataset(size), cold": (cold, normalised),
            "open_dataset(size), cached": (cached, normalised),
        }
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(repeat):
            for name, (data, ready) in ways.items():
                first, *later = epochs(data, count, workers, ready)
                rates[name].append((len(folder) / first, len(folder) / float(np.median(later))))
        table = pd.DataFrame(
            {name: np.median(np.array(values), axis=0) for name, values in rates.items()}, ["first", "later"]
        ).T
        ratios = table / table.loc["ImageFolder"]
        return {
            "pictures": len(folder),
            "size": size,
            "workers": workers,
            "pictures per second": table.round().to_dict("index"),
            "times ImageFolder": ratios.round(2).to_dict("index"),
        }


def class_folders(data: Path, name: str, place: Path) -> Path | None:
    """The pictures of a set of ../shared/data in class folders, by links in `place` where they are in one folder."""
    if name == "flowers17":
        root = data / name / "images"
        return root if root.is_dir() else None
    table = data / name / "labels.csv"
    if not table.exists():
        return None
    root = place / name
    for path, label in pd.read_csv(table, dtype="str")[["image", "given_label"]].itertuples(index=False):
        target = root / label / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / name / path, target)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--only", choices=("files", "flowers17", "cifar10n"))
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--place", type=Path, help="folder on the disk to measure; default that of temporary files")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the cores belong to the workers
    report: dict[str, Any] = {}
    if arguments.only in (None, "files"):
        report["files"] = files(arguments.place, arguments.files, arguments.repeat)
        print(json.dumps(report["files"], indent=1))
    for name, size in (("flowers17", 224), ("cifar10n", 32)):
        if arguments.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as place:
            root = class_folders(arguments.data, name, Path(place))
            if root is None:
                print(f"{name}: not in {arguments.data}, left out")
                continue
            report[name] = loader(root.resolve(), size, arguments.workers, arguments.epochs, arguments.repeat)
            print(name, json.dumps(report[name], indent=1))


if __name__ == "__main__":
    main()
