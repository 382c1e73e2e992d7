"""How many foreign pictures are found among real ones, and how many flags are false.

    python pipelines/outlier_benchmark.py [DATA] [--sets flowers17+bccd ...] [--seeds 0 1 2]

DATA is the folder of the real data sets, default ../shared/data; a set that is not there is skipped by name. A dozen
pictures of one data set are put into another's class folders, each under a class drawn by lot; `digits` is the demo's
own set. Every flag on another picture counts as false, though some of those are odd in earnest. Average precision (AP)
counts pictures that are not listed as the least suspicious.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import average_precision_score

from curation import demo
from curation.score import ScoreSettings, score

PLANTED = 12
# Name of the set -> folder of the set, folder of the foreign pictures, mode.
SETS = {
    "flowers17+bccd": ("flowers17/images", "bccd/JPEGImages", "probe"),
    "flowers17+raccoon": ("flowers17/images", "raccoon/images", "probe"),
    "trashnet+bccd": ("trashnet", "bccd/JPEGImages", "probe"),
    "trashnet+flowers17": ("trashnet", "flowers17/images", "probe"),
    "digits": ("", "", "compact"),
    "trashnet+bccd, compact": ("trashnet", "bccd/JPEGImages", "compact"),
    "cifar10n+raccoon": ("cifar10n", "raccoon/images", "compact"),
}


def pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".png"))


def build(name: str, data: Path, root: Path, seed: int) -> set[str]:
    """Write the set into `root`, one folder per class, and say which of its files are foreign."""
    host, guest, _ = SETS[name]
    if host == "cifar10n":
        table = pd.read_csv(data / host / "labels.csv")
        files = list(zip([data / host / path for path in table["image"]], table["given_label"], strict=True))
    else:
        files = [(file, file.parent.name) for file in pictures(data / host)]
    rng = np.random.default_rng(seed)
    classes = sorted({label for _, label in files})
    for label in classes:
        (root / label).mkdir(parents=True)
    for file, label in files:
        shutil.copyfile(file, root / label / file.name)
    foreign, guests = set(), pictures(data / guest)
    for number, choice in enumerate(rng.choice(len(guests), PLANTED, replace=False)):
        picture = Image.open(guests[choice]).convert("RGB")
        if host == "cifar10n":
            picture = picture.resize((32, 32), Image.Resampling.LANCZOS)
        path = f"{classes[rng.integers(len(classes))]}/{number:02d}_{rng.integers(1 << 30):08x}.png"
        picture.save(root / path)
        foreign.add(path)
    return foreign


def measure(name: str, data: Path, seed: int, workspace: Path) -> dict[str, float]:
    """Plant, score, count."""
    mode = SETS[name][2]
    if name == "digits":
        planted = demo.plant(workspace, seed)
        root, foreign = planted.root, {fault.path for fault in planted.faults if fault.kind == "foreign_picture"}
        # A dark picture is planted there, too, and rightly an outlier.
        also_right = {fault.path for fault in planted.faults if fault.kind == "dark_picture"}
        settings = ScoreSettings(mode=mode, flip=False, seed=seed, epochs=demo.EPOCHS)
    else:
        root, also_right = workspace / "set", set()
        foreign = build(name, data, root, seed)
        weights = str(data / "weights" / "mobilenet_v2-imagenet.safetensors") if mode == "probe" else None
        settings = ScoreSettings(mode=mode, model="mobilenet_v2" if weights else None, weights=weights, seed=seed)
    run = score(root, settings, workspace)
    samples = run.samples().query("status == 'ok'")
    issues = run.issues().query("issue == 'outlier'").set_index("sample_id").reindex(samples["sample_id"])
    is_foreign = samples["path"].isin(foreign).to_numpy()
    flagged = issues["is_issue"].eq(True).to_numpy() & ~samples["path"].isin(also_right).to_numpy()
    found = int((flagged & is_foreign).sum())
    return {
        "planted": int(is_foreign.sum()),
        "flagged": int(flagged.sum()),
        "right": found,
        "ap": round(float(average_precision_score(is_foreign, -issues["score"].fillna(1).to_numpy())), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    for name in args.sets:
        missing = [folder for folder in SETS[name][:2] if folder and not (args.data / folder).is_dir()]
        if missing:
            print(f"{name}: skipped, {args.data / missing[0]} is not there")
            continue
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as temporary:
                print(
                    json.dumps({"set": name, "seed": seed, **measure(name, args.data, seed, Path(temporary))}),
                    flush=True,
                )


if __name__ == "__main__":
    main()
