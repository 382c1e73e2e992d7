"""Whole scan without training, beside imagededup's PHash and CleanVision, on the same files in one run.

    python pipelines/scan_benchmark.py ../shared/data/flowers17/images --others PYTHON [--enlarged FOLDER]

Ours: decode, hashes, quality measurements, exact and verified near duplicates, written to the cache; then the same
again from the cache. `--others PYTHON` is the interpreter of an environment of its own in which `pip install imagededup
cleanvision` was run (their dependencies do not go together with ours); whichever is missing there is left out. Every
tool runs in a process of its own, imports not counted, files read once before so that all find them in the page cache,
`--repeat` times in turn, the median counts. imagededup computes perceptual hashes, and is compared without the time to
pair them; CleanVision runs its standard checks.

`--enlarged FOLDER` measures on photos of the size that cameras and web sites give: the pictures at twice their side,
with grain, as JPEG of quality 88, made in FOLDER (from a fixed seed) unless it is there. flowers17 becomes 1,360 photos
of a short side of 512 px and about 82 KB each.

The limit is Huffman decoding: the rate at which the same JPEG bytes are decoded at 1/8 scale, times the cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curation.decoding import FORMATS
from curation.duplicates import find_duplicates
from curation.pixels import decode
from curation.records import Records, empty_annotations, empty_samples, make_sample_id

IMAGEDEDUP = """
import json, sys, time, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
from imagededup.methods import PHash
start = time.perf_counter()
method = PHash(verbose=False)
codes = method.encode_images(image_dir=sys.argv[1], recursive=True, num_enc_workers=int(sys.argv[2]))
hashed = time.perf_counter() - start
method.find_duplicates(encoding_map=codes, num_dist_workers=int(sys.argv[2]))
print(json.dumps({"hashes": hashed, "all": time.perf_counter() - start, "pictures": len(codes)}))
"""
CLEANVISION = """
import json, sys, time, warnings, contextlib, io
warnings.simplefilter("ignore")
from cleanvision import Imagelab
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    lab = Imagelab(data_path=sys.argv[1])
    lab.find_issues(n_jobs=int(sys.argv[2]), verbose=False)
print(json.dumps({"all": time.perf_counter() - start, "pictures": len(lab.issues)}))
"""


def read_records(root: Path) -> Records:
    suffixes = " ".join(suffix for _, _, suffix in FORMATS.values()).split()
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in suffixes)
    samples = empty_samples(len(paths))
    samples["path"] = pd.Series(paths, dtype="str")
    samples["sample_id"] = pd.Series([make_sample_id(path) for path in paths], dtype="str")
    return Records(samples, empty_annotations(), root, "folder")


def make_enlarged(source: Path, target: Path) -> None:
    """Copies of all pictures below `source` at twice their side, with grain of 4 levels, as JPEG files."""
    unfinished = target.with_name(target.name + ".unfinished")
    for seed, path in enumerate(sorted(source / name for name in read_records(source).samples["path"])):
        place = (unfinished / path.relative_to(source)).with_suffix(".jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as small:
            large = small.convert("RGB").resize((small.width * 2, small.height * 2), Image.Resampling.BICUBIC)
        grain = np.random.default_rng(seed).normal(0, 4, (large.height, large.width, 1)).astype(np.float32)
        pixels = np.clip(np.rint(np.asarray(large) + grain), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place, quality=88)
    unfinished.rename(target)


def scan(root: Path, size: int, threads: int) -> dict[str, float]:
    """Seconds of our first and second scan, in this process."""
    import scipy.sparse.csgraph  # noqa: F401  imports are not counted
    import threadpoolctl  # noqa: F401

    records = read_records(root)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        for run in ("first", "cached"):
            start = time.perf_counter()
            pixels = decode(records, size, Path(cache), threads=threads)
            seconds[f"{run} decode"] = time.perf_counter() - start
            found = find_duplicates(pixels, Path(cache))
            seconds[run] = time.perf_counter() - start
    return seconds | {"pictures": len(records.samples), "pairs": len(found.pairs)}


def huffman_rate(root: Path) -> float:
    """JPEG bytes per second and core at 1/8 scale."""
    data = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))[:400]]
    start = time.process_time()
    for item in data:
        picture = Image.open(io.BytesIO(item))
        picture.draft("L", (picture.width // 8, picture.height // 8))
        picture.load()
    return sum(map(len, data)) / max(1e-9, time.process_time() - start)


def run_other(python: str, script: str, root: Path, threads: int) -> dict[str, float] | None:
    command = [python, "-c", script, os.fspath(root), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"left out: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def ratio(other: dict[str, float] | None, name: str, ours: float) -> float | None:
    return round(other[name] / ours, 2) if other else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--others", help="python of an environment with imagededup and cleanvision")
    parser.add_argument("--enlarged", type=Path, help="measure on enlarged photos, made in this folder if need be")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ours-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root = arguments.folder.resolve()
    if arguments.enlarged:
        if not arguments.enlarged.exists():
            make_enlarged(root, arguments.enlarged)
        root = arguments.enlarged.resolve()
    if arguments.ours_only:
        print(json.dumps(scan(root, arguments.size, arguments.threads)))
        return
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and path.read_bytes())
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "imagededup PHash": [], "CleanVision": []}
    for _ in range(arguments.repeat):
        own = [sys.executable, __file__, str(root), "--ours-only", "--size", str(arguments.size)]
        done = subprocess.run([*own, "--threads", str(arguments.threads)], capture_output=True, text=True, check=True)
        runs["ours"].append(json.loads(done.stdout))
        for name, script in (("imagededup PHash", IMAGEDEDUP), ("CleanVision", CLEANVISION)):
            if arguments.others and (found := run_other(arguments.others, script, root, arguments.threads)):
                runs[name].append(found)
    middle = {name: pd.DataFrame(rows).median().to_dict() for name, rows in runs.items() if rows}
    ours, count = middle["ours"], middle["ours"]["pictures"]
    limit = huffman_rate(root) * arguments.threads
    report = {
        "pictures": count,
        "bytes per picture": round(total / count),
        "threads": arguments.threads,
        "seconds": {name: {k: round(v, 3) for k, v in row.items()} for name, row in middle.items()},
        "pictures per second, first": round(count / ours["first"]),
        # imagededup's hashes alone, without pairing them: the stricter comparison
        "times imagededup": ratio(middle.get("imagededup PHash"), "hashes", ours["first"]),
        "times CleanVision": ratio(middle.get("CleanVision"), "all", ours["first"]),
        "cached against first": round(ours["first"] / ours["cached"], 1),
        "JPEG MB per second, decoding": round(total / ours["first decode"] / 1e6, 1),
        "Huffman limit, MB per second": round(limit / 1e6, 1),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
