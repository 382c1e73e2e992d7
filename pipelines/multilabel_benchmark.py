"""Wrong and missing labels among several per picture: ours against cleanlab's functions on the same probabilities.

    python pipelines/multilabel_benchmark.py [DATA] [--seeds 5] [--sets bccd,trashnet,flowers17,cifar10n]

DATA is the folder of the real data sets, default ../shared/data; sets that are not there are skipped by name.

bccd : 364 photos of blood under the microscope, which of three kinds of cell its boxes name
the others : real photos joined, 2 or 3 on one picture (cifar10n 1 to 4, and its later classes rare), with the set of
    their true labels. Each photo is used once. Development sets: numbers of the method were chosen on these (seeds
    0 to 2), none by the figures of bccd, which were seen on the way

Two ways to plant errors: `flips`, a tenth of all yes or noes reversed; `labels`, a tenth of the labels taken away and
as many given to pictures without them. Average precision (AP) of finding the pictures with any error, and the yes or
noes (entries) that are wrong; F1 of the flagged ones. cleanlab: get_label_quality_scores with its default aggregation,
its scores per class (self-confidence), and find_multilabel_issues_per_class.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 224
RATE = 0.1
RARE = 0.05  # of the photos of the last class of cifar10n are used, of the others more, geometrically


def read(path: Path, side: int) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def bccd(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, S, S, 3), and which classes are in them (N, K)."""
    from defusedxml import ElementTree

    found = {}
    for file in sorted((folder / "Annotations").glob("*.xml")):
        picture = folder / "JPEGImages" / f"{file.stem}.jpg"
        if picture.exists():
            found[picture] = {str(name.text) for name in ElementTree.parse(file).getroot().iter("name")}
    names = sorted(set().union(*found.values()))
    pixels = np.stack([read(picture, SIDE_PX) for picture in found])
    return pixels, np.array([[name in mine for name in names] for mine in found.values()])


def photos(name: str, folder: Path, rng: np.random.Generator) -> list[tuple[Path, int]]:
    """Photos with their true class, in random order."""
    if name == "cifar10n":
        with (folder / "labels.csv").open(newline="") as stream:
            rows = [(folder / row["image"], row["true_label"]) for row in csv.DictReader(stream)]
    else:
        root = folder / "images" if (folder / "images").is_dir() else folder
        rows = [(file, file.parent.name) for file in sorted(root.glob("*/*.jpg"))]
    names = sorted({label for _, label in rows})
    kept = np.geomspace(1, RARE, len(names)) if name == "cifar10n" else np.ones(len(names))
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    numbered = [(file, names.index(label)) for file, label in shuffled]
    return [(file, k) for file, k in numbered if rng.random() < kept[k]]


def mosaics(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures made of photos in random quarters of a grey ground, and which classes are in them."""
    rng = np.random.default_rng(0)
    left = photos(name, folder, rng)
    fewest, most = (1, 4) if name == "cifar10n" else (2, 3)
    classes, half = max(k for _, k in left) + 1, SIDE_PX // 2
    pixels, labels = [], []
    while left:
        count = int(rng.integers(fewest, most + 1))
        taken, left = left[:count], left[count:]
        canvas, mine = np.full((SIDE_PX, SIDE_PX, 3), 128, dtype=np.uint8), np.zeros(classes, dtype=bool)
        for place, (file, k) in zip(rng.permutation(4), taken, strict=False):
            y, x = half * (place // 2), half * (place % 2)
            canvas[y : y + half, x : x + half] = read(file, half)
            mine[k] = True
        pixels.append(canvas)
        labels.append(mine)
    return np.stack(pixels), np.array(labels)


def plant(true: np.ndarray, how: str, seed: int) -> np.ndarray:
    """(N, K) bool, which yes or noes are reversed."""
    rng = np.random.default_rng(seed)
    if how == "flips":
        return rng.random(true.shape) < RATE
    wrong, count = np.zeros(true.shape, dtype=bool), round(RATE * true.sum())
    for places in (np.argwhere(true), np.argwhere(~true)):
        chosen = places[rng.permutation(len(places))[: min(count, len(places) // 4)]]
        wrong[chosen[:, 0], chosen[:, 1]] = True
    return wrong


def measure(views: np.ndarray, true: np.ndarray, how: str, seed: int, plan, folder: Path) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """One seed's figures."""
    from cleanlab.multilabel_classification import get_label_quality_scores
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
    from sklearn.metrics import average_precision_score, f1_score

    from curation.scoring.neighbours import nearest
    from curation.scoring.set_quality import judge_sets
    from curation.training.folds import CrossValidation
    from curation.training.label_sets import calibrate, known_sets, sigmoid
    from curation.training.probe import fit_heads
    from curation.training.set_folds import assign_set_folds

    wrong = plant(true, how, seed)
    given = (true ^ wrong).astype(np.int8)
    fold = assign_set_folds(given, np.arange(len(given)), 5, seed)
    pixels = np.zeros((len(given), 1, 1, 3), np.uint8)
    logits, margin, _ = fit_heads(views, CrossValidation(pixels, given, fold, given.shape[1], plan, seed, folder))
    slope, offset = calibrate(logits, given)
    probs = sigmoid(slope * np.asarray(logits) + offset)
    neighbours, _ = nearest(views.mean(axis=1), 10)
    ours = judge_sets(probs, given, known_sets(given, fold), neighbours, margin)
    bad = wrong.any(axis=1)
    lists = [np.flatnonzero(row).tolist() for row in given]
    own = np.where(given > 0, probs, 1 - probs)
    theirs = np.asarray(find_multilabel_issues_per_class(lists, probs))
    return {
        "picture AP, ours": average_precision_score(bad, -ours.picture_score),
        "picture AP, cleanlab": average_precision_score(bad, -get_label_quality_scores(lists, probs)),
        "entry AP, ours": average_precision_score(wrong.ravel(), -ours.score.ravel()),
        "entry AP, cleanlab": average_precision_score(wrong.ravel(), -own.ravel()),
        "entry F1, ours": f1_score(wrong.ravel(), ours.is_issue.ravel()),
        "entry F1, cleanlab": f1_score(wrong.ravel(), theirs.ravel()),
        "estimate / truth": float((1 - ours.score).sum() / wrong.sum()),
    }


def measured(name: str, data: Path, seeds: int) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Figures of one set, by how errors are planted, one line per seed."""
    from curation.training.plan import choose_plan
    from curation.training.probe import embed

    pixels, true = bccd(data / name) if name == "bccd" else mosaics(name, data / name)
    weights = data / "weights" / "mobilenet_v2-imagenet.safetensors"
    plan = choose_plan(mode="probe", weights=str(weights), device="cpu", n_samples=len(pixels))
    with tempfile.TemporaryDirectory() as folder:
        views = np.asarray(embed(pixels, plan, Path(folder)))
        print(f"\n{name}: {len(true):,} pictures; share with each class {', '.join(f'{x:.2f}' for x in true.mean(0))}")
        for how in ("flips", "labels"):
            yield how, [measure(views, true, how, seed, plan, Path(folder)) for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", default="bccd,trashnet,flowers17,cifar10n")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.sets.split(","):
        if not (options.data / name).is_dir() or not (options.data / "weights").is_dir():
            print(f"{name}: not in {options.data}, skipped")
            continue
        for how, lines in measured(name, options.data, options.seeds):
            print(f"  {how}")
            for key in lines[0]:
                values = np.array([line[key] for line in lines])
                print(
                    f"    {key:22} {values.mean():.3f}  ({', '.join(f'{value:.3f}' for value in values)})", flush=True
                )
            if len(lines) > 1:
                for what in ("picture AP", "entry AP", "entry F1"):
                    ahead = np.array([line[f"{what}, ours"] - line[f"{what}, cleanlab"] for line in lines])
                    error = 1.96 * ahead.std(ddof=1) / np.sqrt(len(ahead))
                    print(
                        f"    {what + ', ours ahead by':30} {ahead.mean():+.4f} +- {error:.4f}; "
                        f"in {(ahead > 0).sum()} of {len(ahead)}"
                    )


if __name__ == "__main__":
    main()
