"""How long manifests of a million rows take: import, first version, publishing, comparing, importing again.

    python pipelines/manifest_benchmark.py [--rows 1000000] [--changes 10000] [--files 100000] [--skip-files]

Everything is made in a temporary folder first (empty picture files, a table, decisions in a real SQLite store); only
what is printed is timed.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from curation import store
from curation.decisions import Action, Decision
from curation.importers import ImportOptions, load
from curation.manifest import read, write_first
from curation.manifest.history import blame, compare
from curation.manifest.publish import propose, publish
from curation.manifest.reimport import ensure_version
from curation.manifest.revert import revert_version
from curation.manifest.verify import verify
from curation.records import empty_annotations, empty_samples, make_annotation_id, make_sample_id

CLASSES = 100
Result = TypeVar("Result")


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Print how long `work` takes, waiting included and computing alone, and return what it returns."""
    started, computed = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - started, time.process_time() - computed
    print(f"{what}: {wall:.2f} s ({cpu:.2f} s of processor time)", flush=True)
    return result


def make_tables(rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples and annotations of a single-label set, as an import gives them."""
    paths = [f"class{row % CLASSES:03d}/{row:07d}.jpg" for row in range(rows)]
    ids = pd.Series([make_sample_id(path) for path in paths], dtype="str")
    samples = empty_samples(rows).assign(sample_id=ids, path=pd.Series(paths, dtype="str"))
    for column in ("content_hash", "pixel_hash"):
        values = [f"{row * 2654435761 % 2**128:032x}" for row in range(rows)]
        samples[column] = pd.Series(values, dtype="str")
    samples["status"] = pd.Series(["ok"] * rows, dtype="str")
    samples[["width_px", "height_px"]] = np.int32(32)
    annotations = empty_annotations(rows).assign(
        annotation_id=pd.Series([make_annotation_id(name) for name in ids], dtype="str"),
        sample_id=ids,
        label=pd.Series([path.partition("/")[0] for path in paths], dtype="str"),
    )
    return samples, annotations


def decide(engine: object, samples: pd.DataFrame, annotations: pd.DataFrame, changes: int) -> None:
    """Record that many decisions on samples spread over the set: relabel, keep, exclude, hard, ambiguous in turn."""
    chosen = np.random.default_rng(0).permutation(len(samples))[:changes]
    made = []
    for place, row in enumerate(chosen.tolist()):
        name, given = samples["sample_id"][row], annotations["label"][row]
        verdict = ("relabel", "relabel", "exclude", "hard", "ambiguous")[place % 5]
        labels = {"relabel": ("another",), "ambiguous": (given, "another")}.get(verdict, ())
        reason = "broken" if verdict == "exclude" else ""
        made.append(Decision(name, name, verdict, labels, reason, annotations["annotation_id"][row], given))
    for start in range(0, changes, 1000):
        action = Action(f"action-{start}", "set", f"reviewer {start % 3}", tuple(made[start : start + 1000]))
        store.record(engine, action)  # type: ignore[arg-type]


def versions(workspace: Path, rows: int, changes: int) -> None:
    """Print the times of everything that is done with versions of `rows` rows."""
    samples, annotations = make_tables(rows)
    folder = workspace / "data_manifest" / "set"
    timed(f"v0001 of {rows:,} rows", lambda: write_first(samples, annotations, folder, author="me", message="first"))
    engine = store.open_store(workspace)
    decide(engine, samples, annotations, changes)
    timed(f"what publishing {changes:,} decisions would do", lambda: propose(folder, engine, "set"))
    timed(f"publish them (bar {10 if rows >= 1_000_000 else '-'} s)", lambda: publish(folder, engine, "set", "m", "me"))
    found = timed("diff of the two versions (bar 5 s)", lambda: compare(folder, "v0001", "v0002"))
    lines, table = (folder / f"v0002.{part}" for part in ("changes.jsonl", "parquet"))
    sizes = f"{lines.stat().st_size / 2**20:.1f} MiB of changes, {table.stat().st_size / 2**20:.0f} MiB of rows"
    print(f"  {len(found):,} lines; {sizes}")
    timed("blame of one sample", lambda: blame(folder, found[0]["sample_id"]))

    def again(table: pd.DataFrame, labels: pd.DataFrame) -> str:
        return ensure_version(table, labels, folder, author="me", message="again").version

    assert timed("import of the unchanged source again", lambda: again(samples, annotations)) == "v0002"
    fewer, more = samples.iloc[1000:].reset_index(drop=True), annotations.iloc[1000:].reset_index(drop=True)
    fewer.loc[:999, "path"] = fewer.loc[:999, "path"].str.replace(".jpg", "-renamed.jpg")
    more.loc[2000:2999, "label"] = "another"
    assert timed("import: 1,000 gone, 1,000 renamed, 1,000 relabelled", lambda: again(fewer, more)) == "v0003"
    timed("revert of that", lambda: revert_version(folder, "v0003", "me"))
    timed("verify of all four versions", lambda: verify(folder))
    timed("reading a version", lambda: read(folder, "v0002"))


def files(workspace: Path, count: int, rows: int) -> None:
    """Print the times of importing a folder of `count` files, and a table of `rows` rows."""
    root = workspace / "folder"
    make_files(root, count)
    timed(f"folder of {count:,} files", lambda: load(root))
    root = workspace / "table"
    paths = make_files(root, rows)
    table = workspace / "labels.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "label", "camera"])
        writer.writerows((path, path.partition("/")[0], f"camera {place % 7}") for place, path in enumerate(paths))
    records = timed(f"CSV of {rows:,} rows", lambda: load(root, options=ImportOptions(labels=str(table))))
    assert len(records.samples) == rows


def make_files(root: Path, count: int) -> list[str]:
    """Empty files that are called pictures, in class folders; import does not open them, decoding would."""
    paths = [f"class{place % CLASSES:03d}/{place:07d}.jpg" for place in range(count)]
    for name in {path.partition("/")[0] for path in paths}:
        (root / name).mkdir(parents=True)
    for path in paths:
        (root / path).touch()
    return paths


def main() -> None:
    """Measure all of it in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--skip-files", action="store_true", help="leave out the imports, which need 1,100,000 files")
    options = parser.parse_args()
    command = [sys.executable, "-m", "curation", "--help"]
    timed("curate --help (bar 0.5 s)", lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    with tempfile.TemporaryDirectory() as folder:
        versions(Path(folder), options.rows, options.changes)
        if not options.skip_files:
            files(Path(folder), options.files, options.rows)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
