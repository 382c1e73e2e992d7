"""How long a large annotation file takes from the disk to a version, and how much memory.

    python pipelines/formats_benchmark.py [--images 100000] [--boxes 1000000] [--polygon 0] [--place DIR] [--keep]

Made in a temporary folder: a COCO json of 80 classes with so many pictures and boxes, spread unevenly (some pictures
have none, some hundreds), each annotation with id, bbox, area, iscrowd and, with --polygon N, an outline of N points,
as COCO's own instances files have; and the pictures, small JPEG files in 10 folders: hard links to 64 different
files, since what is in a picture does not matter here: the walk, the matching of names and the reading of every
picture's header see as many files as in a real set. All files were just written, so they are in the page cache.

Measured in a process of its own, as `curate score` does it before and after it decodes the pictures:

load      the walk, json, matching, checks of every box against its picture's own size, `Records`
version   rows, hash, and the first version of the manifest, written and on disk

Decoding and hashing the pictures lies between the two, and is not counted: it is the same for every format, and
measured elsewhere; its columns are filled with made-up hashes. Peak memory and processor time are of the whole process,
which on a shared machine says more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 80
KINDS = 64  # different picture files; a file system allows some ten thousand links to one


def make_pictures(folder: Path, count: int) -> list[tuple[str, int, int]]:
    """(name, width, height) of each."""
    made = folder / "kinds"
    made.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = [(int(w), int(h)) for w, h in rng.integers(240, 641, (KINDS, 2))]
    for k, (width, height) in enumerate(sizes):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((width, height)).save(made / f"{k}.jpg", quality=80)
    found = []
    for k in range(count):
        name = f"{k % 10:02d}/{k:012d}.jpg"
        if k < 10:
            (folder / "images" / "train" / f"{k:02d}").mkdir(parents=True)
        os.link(made / f"{k % KINDS}.jpg", folder / "images" / "train" / name)
        found.append((name, *sizes[k % KINDS]))
    shutil.rmtree(made)
    return found


def make_json(path: Path, pictures: list[tuple[str, int, int]], boxes: int, points: int) -> None:
    rng = np.random.default_rng(1)
    share = rng.gamma(0.6, size=len(pictures))
    share[rng.random(len(pictures)) < 0.01] = 0
    owner = np.sort(rng.choice(len(pictures), boxes, p=share / share.sum()))
    label = np.minimum(rng.geometric(0.06, boxes), CLASSES)
    place = rng.random((boxes, 4))
    with path.open("w", encoding="utf-8") as stream:
        stream.write(
            '{"info": {"description": "made up", "year": 2026}, "licenses": [{"id": 1, "name": "none"}], "images": ['
        )
        for k, (name, width, height) in enumerate(pictures):
            entry = {"license": 1, "file_name": name, "coco_url": f"http://example.org/{name}", "height": height,
                     "width": width, "date_captured": "2026-11-21 10:00:00", "id": 7 * k + 3}  # fmt: skip
            stream.write((", " if k else "") + json.dumps(entry))
        stream.write('], "annotations": [')
        outlines = np.round(rng.random((1000, max(points, 1), 2)), 3)
        for k in range(boxes):
            _, width, height = pictures[owner[k]]
            w, h = round(float(place[k, 0] ** 2 * width), 2), round(float(place[k, 1] ** 2 * height), 2)
            x, y = round(float(place[k, 2]) * (width - w), 2), round(float(place[k, 3]) * (height - h), 2)
            entry = {"segmentation": [], "area": w * h, "iscrowd": 0, "image_id": int(7 * owner[k] + 3),
                     "bbox": [x, y, w, h], "category_id": int(label[k]), "id": 100_000_000_000 + k}  # fmt: skip
            if points:
                outline = outlines[k % 1000] * (w, h) + (x, y)
                entry.update(segmentation=[np.round(outline, 2).ravel().tolist()], area=round(0.6 * w * h, 4))
            stream.write((", " if k else "") + json.dumps(entry))
        names = [{"supercategory": f"group {k % 9}", "id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
        stream.write('], "categories": ' + json.dumps(names) + "}")


def measure(folder: Path) -> dict[str, float]:
    """Seconds of each step, and the peak of this process's memory in GB."""
    from curation.importers import load
    from curation.manifest import write_first
    from curation.records import source_facts

    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock = time.perf_counter()
    records = load(folder)
    loaded = time.perf_counter()
    samples = records.samples.assign(
        content_hash=records.samples["sample_id"].str.slice(1) * 2,
        pixel_hash=records.samples["sample_id"].str.slice(1) * 2,
        width_px=np.int32(1), height_px=np.int32(1), format="JPEG",
    )  # fmt: skip
    filled = time.perf_counter()
    write_first(
        samples, records.annotations, folder / "manifest", source=source_facts(records),
        author="me", message="first", dataset="made up",
    )  # fmt: skip
    ended = time.perf_counter()
    return {
        "images": len(records.samples),
        "boxes": len(records.annotations),
        "rejected": len(records.rejected),
        "load_s": round(loaded - clock, 2),
        "version_s": round(ended - filled, 2),
        "both_s": round(loaded - clock + ended - filled, 2),
        "processor_s": round(time.process_time(), 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
        "before_gb": round(started / 1e6, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--boxes", type=int, default=1_000_000)
    parser.add_argument("--polygon", type=int, default=0, help="points of each outline")
    parser.add_argument("--place", type=Path, help="where the temporary folder is made")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure)))
        return
    folder = Path(tempfile.mkdtemp(dir=chosen.place))
    try:
        pictures = make_pictures(folder, chosen.images)
        (folder / "annotations").mkdir()
        path = folder / "annotations" / "instances_train.json"
        make_json(path, pictures, chosen.boxes, chosen.polygon)
        print(f"{path.stat().st_size / 1e6:.0f} MB of json", flush=True)
        done = subprocess.run(
            [sys.executable, __file__, "--measure", folder], check=True, capture_output=True, text=True
        )
        print(done.stdout.strip())
    finally:
        if chosen.keep:
            print(folder)
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
