"""Plant copies of real pictures, changed in known ways, and count which of them are found and what else is.

    python pipelines/duplicates_benchmark.py ../shared/data/flowers17/images --pictures 600 --seeds 0 1 2
    python pipelines/duplicates_benchmark.py digits            # scikit-learn's 8 x 8 digits, 32 px

Per seed, `--pictures` pictures are drawn, and every third gets one changed copy per kind. A pair is false when it joins
two pictures of different origin that are no duplicates before anything is planted; `--sheet FILE` draws those that
were there before, and the false ones, for a look with one's own eyes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curation.duplicates import Duplicates, find_duplicates
from curation.pixels import Pixels, decode
from curation.records import Records, empty_annotations, empty_samples, make_sample_id

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    part = rng.uniform(0.5, 0.8)
    return picture.resize([max(4, round(part * side)) for side in picture.size], Image.Resampling.BICUBIC)


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = picture.size
    part = rng.uniform(0.03, 0.10)
    left, top = rng.uniform(0, part, 2)
    return picture.crop(
        [round(v) for v in (left * width, top * height, (left + 1 - part) * width, (top + 1 - part) * height)]
    )


CHANGES: dict[str, Change] = {
    "resized": resized,
    "jpeg": lambda picture, rng: picture,
    "cropped": cropped,
    "mirrored": lambda picture, rng: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "grey": lambda picture, rng: picture.convert("L"),
    "rotated 90": lambda picture, rng: picture.transpose(Image.Transpose.ROTATE_270),
    "rotated 180": lambda picture, rng: picture.transpose(Image.Transpose.ROTATE_180),
    "rotated 270": lambda picture, rng: picture.transpose(Image.Transpose.ROTATE_90),
    "format": lambda picture, rng: picture,
}


def plant(pictures: list[Image.Image], folder: Path, seed: int) -> pd.DataFrame:
    """Write the pictures, and changed copies of every third; one row per file: path, origin, change ("" = original)."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, picture in enumerate(pictures):
        copies = [("", picture)]
        if number % 3 == 0:
            copies += [(name, change(picture, rng)) for name, change in CHANGES.items()]
        for name, copy in copies:
            # Lossless, so that one change is measured at a time; JPEG at quality 30-80 is a change of its own.
            suffix, options = (".jpg", {"quality": int(rng.integers(30, 81))}) if name == "jpeg" else (".png", {})
            suffix, options = (".webp", {"quality": 80}) if name == "format" else (suffix, options)
            path = f"{number:05d}_{name.replace(' ', '')}{suffix}"
            copy.save(folder / path, **options)
            rows.append({"path": path, "origin": number, "change": name})
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def read_records(root: Path, paths: list[str]) -> Records:
    samples = empty_samples(len(paths))
    samples["path"] = pd.Series(paths, dtype="str")
    samples["sample_id"] = pd.Series([make_sample_id(path) for path in paths], dtype="str")
    return Records(samples, empty_annotations(), root, "folder")


def find(root: Path, paths: list[str], size: int) -> tuple[Pixels, Duplicates, float]:
    with tempfile.TemporaryDirectory() as cache:
        pixels = decode(read_records(root, paths), size, Path(cache))
        start = time.perf_counter()
        return pixels, find_duplicates(pixels, Path(cache)), time.perf_counter() - start


def measure(
    pictures: list[Image.Image], seed: int, size: int
) -> tuple[dict[str, float], pd.DataFrame, list[Image.Image]]:
    """Figures of one seed, and the pairs that nobody planted (columns a, b, transform, distance, real) as origins."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        truth = plant(pictures, root, seed)
        _, found, seconds = find(root, truth["path"].tolist(), size)
        originals = truth[truth["change"] == ""]
        _, before, _ = find(root, originals["path"].tolist(), size)
    origin = originals["origin"].to_numpy()
    real = {(origin[a], origin[b]) for a, b in before.pairs[["a", "b"]].to_numpy()}
    pairs = found.pairs.assign(
        one=truth["origin"].to_numpy()[found.pairs["a"]], two=truth["origin"].to_numpy()[found.pairs["b"]]
    )
    together = {frozenset(p) for p in pairs[["a", "b"]].to_numpy().tolist()}
    figures: dict[str, float] = {}
    first = dict(zip(originals["origin"], originals.index, strict=True))
    for change in CHANGES:
        copies = truth[truth["change"] == change]
        hits = [frozenset((row, first[o])) in together for row, o in zip(copies.index, copies["origin"], strict=True)]
        joined = [
            found.cluster[row] == found.cluster[first[o]] for row, o in zip(copies.index, copies["origin"], strict=True)
        ]
        figures[f"recall {change}"] = float(np.mean(hits))
        figures[f"same cluster {change}"] = float(np.mean(joined))
    other = pairs[pairs["one"] != pairs["two"]].copy()
    other["real"] = [(min(p), max(p)) in real for p in other[["one", "two"]].to_numpy().tolist()]
    figures["pairs"] = len(pairs)
    figures["real pairs before planting"] = len(real)
    figures["false pairs"] = int((~other["real"].astype(bool)).sum())
    figures["precision"] = 1 - figures["false pairs"] / max(1, len(pairs))
    figures["seconds"] = round(seconds, 2)
    return figures, other, pictures


def read_pictures(source: str, count: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    if source == "digits":
        from sklearn.datasets import load_digits

        images = load_digits().images
        some = np.sort(rng.permutation(len(images))[:count])
        return [Image.fromarray(np.uint8(images[i] * 255 / 16)).resize((32, 32)).convert("RGB") for i in some]
    files = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in SUFFIXES)
    some = np.sort(rng.permutation(len(files))[:count])
    return [Image.open(files[i]).convert("RGB") for i in some]


def draw(other: pd.DataFrame, pictures: list[Image.Image], path: Path, side: int = 120) -> None:
    """A sheet of the pairs that nobody planted, the false ones framed red."""
    once = other.drop_duplicates(["one", "two"]).head(80)
    sheet = Image.new("RGB", (5 * (2 * side + 12), max(1, -(-len(once) // 5)) * (side + 12)), "white")
    for at, row in enumerate(once.itertuples()):
        left, top = at % 5 * (2 * side + 12), at // 5 * (side + 12)
        sheet.paste("white" if row.real else "red", (left, top, left + 2 * side + 6, top + side + 6))
        for place, number in enumerate((row.one, row.two)):
            sheet.paste(pictures[number].resize((side, side)), (left + 3 + place * side, top + 3))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a folder of pictures, or 'digits'")
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        pictures = read_pictures(arguments.source, arguments.pictures, seed)
        figures, other, _ = measure(pictures, seed, arguments.size)
        rows.append(figures)
        if arguments.sheet:
            draw(other, pictures, arguments.sheet.with_stem(f"{arguments.sheet.stem}-{seed}"))
    table = pd.DataFrame(rows)
    summary = {name: [round(float(v), 4) for v in (table[name].mean(), table[name].min())] for name in table}
    print(json.dumps({"source": arguments.source, "pictures": arguments.pictures, "mean and worst": summary}, indent=1))


if __name__ == "__main__":
    main()
