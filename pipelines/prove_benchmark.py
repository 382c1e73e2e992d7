"""Whether `curate prove` finds a gain where there is one, and claims none where there is none.

    python pipelines/prove_benchmark.py [DATA] [--only NAME] [--workspace DIR] [--seeds 5] [--repetitions 20]
                                        [--mode probe|compact]

DATA is the folder of the real data sets, default ../shared/data; a set that is not there is skipped by name.

cifar10n: given against true labels of 6,000 pictures, 4,000 others with their true labels as the hold-out, `compact`.
The run that tells the suspects is made first, or read from the workspace; its time is not counted.

flowers17: the same labels in both arms, `probe`, again and again with another hold-out. Equal seeds would give equal
networks, so the two arms get different ones here: a harder test than what `prove` does.

bccd-labels: which kinds of cell are in a picture, a tenth of all yes or noes reversed, against the truth; a fifth of
the pictures with their true labels is the hold-out. bccd-boxes: kinds of boxes, a tenth of them swapped, likewise.
Both `--repetitions` times with other errors and another hold-out, --mode compact or probe. Each time the networks of
the planted labels are also compared with others of the same labels and other seeds: is a gain claimed where there is
none? flowers17-labels: likewise, photos of flowers joined by two and three as in multilabel_benchmark.py.
raccoon-detector: a fifth of the boxes moved by a third of their size, a tenth lost; detectors, of --detector passes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from multilabel_benchmark import mosaics
from PIL import Image
from safetensors.numpy import load_file

from curation.datasets import Dataset
from curation.importers import ImportOptions, load
from curation.manifest import NewVersion, build_rows, manifest_folder, read, write_version
from curation.manifest.changes import diff
from curation.manifest.version_files import versions
from curation.progress import SILENT
from curation.proving import ProofSettings, prove
from curation.proving.compare import Comparison, compare
from curation.records import SAMPLE_COLUMNS, Records
from curation.report.proof import points, verdict
from curation.runs import list_runs
from curation.score import ScoreSettings, score
from curation.training.holdout import ask, prepare
from curation.training.plan import choose_plan

HELD_OUT = 4_000
SETS = {
    "flowers17": "flowers17",
    "cifar10n": "cifar10n",
    "bccd-labels": "bccd",
    "bccd-boxes": "bccd",
    "flowers17-labels": "flowers17",
    "raccoon-detector": "raccoon",
}


def cifar10n(data: Path, workspace: Path, seeds: int) -> None:
    """Given against true labels."""
    name = "cifar10n"
    options = ImportOptions(labels=str(data / name / "labels.csv"), image_column="image", label_column="given_label")
    if not any(run.info["dataset"] == name for run in list_runs(workspace)):
        score(data / name, ScoreSettings(mode="compact", name=name), workspace, options)
    folder = manifest_folder(workspace, name)
    truth = pd.read_csv(data / name / "labels.csv", dtype="str").set_index("image")["true_label"]
    rows = read(folder, "v0001")
    right = rows.assign(label=pd.Series(truth.reindex(rows["path"]).tolist(), dtype="str"))
    if len(versions(folder)) < 2:
        changes = diff(rows, right)
        write_version(right, NewVersion("v0001", "publish", "benchmark", "true labels", changes, dataset=name), folder)
    held_out = np.random.default_rng(0).permutation(len(rows))[:HELD_OUT]
    file = workspace / "holdout.csv"
    right.iloc[np.sort(held_out)][["path", "label"]].to_csv(file, index=False)
    start = time.perf_counter()
    settings = ProofSettings("v0001", "v0002", str(file), drop_overlap=True, seeds=seeds, mode="compact", device="cpu")
    proof = prove(workspace, Dataset(name, folder), settings)
    seconds = time.perf_counter() - start
    print(f"cifar10n: {verdict(proof)}")
    for arm, found in proof.arms.items():
        print(f"  {arm:8} accuracy {found.main.before:.3f} -> {found.main.after:.3f}  {points(found.main)} "
              f"{found.main.proven or 'nothing proven'}; trained on {proof.contest.trained_on[arm]:,}")  # fmt: skip
    print(f"  {seconds:.0f} s, {len(proof.arms) + 1} arms x {seeds} seeds, {proof.contest.epochs} passes", flush=True)


def false_claims(data: Path, workspace: Path, seeds: int, repetitions: int) -> None:
    """The same labels twice."""
    from curation.pixels import decode

    options = ImportOptions(
        labels=str(data / "flowers17/planted.csv"), image_column="image", label_column="given_label"
    )
    records = load(data / "flowers17", options=options, workspace=workspace)
    weights = str(data / "weights" / "mobilenet_v2-imagenet.safetensors")
    plan = choose_plan("probe", "mobilenet_v2", weights, "cpu", n_samples=len(records.samples))
    pixels = decode(records, plan.size_px, workspace / ".curate" / "cache")
    by_sample = records.annotations.set_index("sample_id")["label"].reindex(records.samples["sample_id"])
    labels, classes = pd.factorize(by_sample, sort=True)
    images = pixels.gather(np.arange(len(labels)))
    folder = workspace / ".curate" / "proofs" / "same"
    folder.mkdir(parents=True, exist_ok=True)
    claims = []
    for repetition in range(repetitions):
        asked = np.sort(np.random.default_rng(repetition).permutation(len(labels))[: len(labels) // 5])
        trials = prepare(images, asked, len(classes), plan, folder)
        first = 2 * seeds * repetition
        before, after = (
            np.stack([ask(trials, labels, first + arm * seeds + s, lambda _: None) for s in range(seeds)])
            for arm in range(2)
        )
        found = compare(labels[asked], before, after, asked).main
        claims.append(found.proven)
        print(f"  {repetition}: {points(found)} {found.proven}", flush=True)
    print(
        f"flowers17, same labels, {repetitions} times: {claims.count('gain')} gains and {claims.count('loss')} losses "
        "claimed"
    )


# --- several labels, and boxes ---------------------------------------------------------------------------------------

WRONG = 0.1
MOVED = 0.2
FIFTH = 5


def planted_labels(records: Records, rng: np.random.Generator) -> pd.DataFrame:
    """path and label of each picture's labels after a tenth of all yes or noes were reversed; "" = none of them."""
    paths = records.samples.set_index("sample_id")["path"]
    classes = sorted(records.annotations["label"].unique())
    given = pd.crosstab(records.annotations["sample_id"], records.annotations["label"]).reindex(paths.index) > 0
    flipped = given.to_numpy() ^ (rng.random(given.shape) < WRONG)
    rows = [(path, k) for path, mine in zip(paths, flipped, strict=True) for k in np.flatnonzero(mine).tolist() or [-1]]
    labels = [classes[k] if k >= 0 else "" for _, k in rows]
    return pd.DataFrame({"path": [path for path, _ in rows], "label": labels})


def planted_boxes(records: Records, rng: np.random.Generator) -> pd.DataFrame:
    """path, label and corners of the boxes after a tenth of their labels were swapped for others."""
    boxes = records.annotations[records.annotations["x"].notna()]
    paths = records.samples.set_index("sample_id")["path"]
    classes = np.array(sorted(boxes["label"].unique()))
    own = np.searchsorted(classes, boxes["label"].to_numpy(dtype=str))
    other = (own + rng.integers(1, len(classes), len(own))) % len(classes)
    label = classes[np.where(rng.random(len(own)) < WRONG, other, own)]
    return box_lines(boxes.assign(label=label), paths)


def planted_places(records: Records, rng: np.random.Generator) -> pd.DataFrame:
    """path, label and corners of the boxes after a fifth moved by a third of their size, and a tenth were lost."""
    boxes = records.annotations[records.annotations["x"].notna()]
    moved = rng.random(len(boxes)) < MOVED
    sign = rng.choice([-1.0, 1.0], (len(boxes), 2))
    for axis, (at, size) in enumerate((("x", "w"), ("y", "h"))):
        boxes = boxes.assign(**{at: boxes[at] + np.where(moved, sign[:, axis] * boxes[size] / 3, 0.0)})
    return box_lines(boxes[rng.random(len(boxes)) >= WRONG], records.samples.set_index("sample_id")["path"])


def box_lines(boxes: pd.DataFrame, paths: pd.Series) -> pd.DataFrame:
    """path, label, xmin, ymin, xmax, ymax."""
    return pd.DataFrame(
        {
            "path": paths[boxes["sample_id"]].to_numpy(),
            "label": boxes["label"].to_numpy(),
            "xmin": boxes["x"].to_numpy(),
            "ymin": boxes["y"].to_numpy(),
            "xmax": (boxes["x"] + boxes["w"]).to_numpy(),
            "ymax": (boxes["y"] + boxes["h"]).to_numpy(),
        }
    )


def joined(name: str, data: Path, workspace: Path) -> Records:
    """Photos of a set joined, with the labels of all that are in a picture."""
    root = workspace / f"joined-{name}"
    if not root.exists():
        pixels, true = mosaics(name, data / name)
        root.mkdir(parents=True)
        for number, picture in enumerate(pixels):
            Image.fromarray(picture).save(root / f"{number:05}.png")
        rows, classes = np.nonzero(true)
        table = pd.DataFrame({"path": [f"{row:05}.png" for row in rows], "label": [f"class {k:02}" for k in classes]})
        table.to_csv(root / "labels.csv", index=False)
    return load(str(root), options=ImportOptions(labels="labels.csv", task="multi-label"), workspace=workspace)


def planted(
    name: str,
    data: Path,
    workspace: Path,
    task: str,
    seeds: int,
    repetition: int,
    training: dict[str, Any],
    detector_epochs: int,
    again: bool,
) -> None:
    """Planted against true labels, and, `again`, planted against planted with other seeds, of one task."""
    if name == "flowers17-labels":
        records = joined(SETS[name], data, workspace)
    else:
        records = load(str(data / SETS[name]), options=ImportOptions(task=task), workspace=workspace)
    rng = np.random.default_rng(repetition)
    wrong = PLANTED[name](records, rng)
    paths = records.samples.set_index("sample_id")["path"]
    held = paths.to_numpy()[rng.permutation(len(paths))[: len(paths) // FIFTH]]
    name = f"{name}-{repetition}"
    place = workspace / name
    place.mkdir(parents=True, exist_ok=True)
    version_of(records, wrong, Dataset(name, manifest_folder(workspace, name)), workspace, training)
    if task == "multi-label":
        truth = pd.DataFrame(
            {"path": paths[records.annotations["sample_id"]].to_numpy(), "label": records.annotations["label"]}
        )
    else:
        truth = box_lines(records.annotations[records.annotations["x"].notna()], paths)
    truth[truth["path"].isin(held)].to_csv(place / "holdout.csv", index=False)
    start = time.perf_counter()
    settings = ProofSettings(
        "v0001",
        "v0002",
        str(place / "holdout.csv"),
        drop_overlap=True,
        seeds=seeds,
        detector_epochs=detector_epochs,
        **training,
    )
    proof = prove(workspace, Dataset(name, manifest_folder(workspace, name)), settings)
    print(f"{name}: {proof.changes_told}; {time.perf_counter() - start:.0f} s, {proof.contest.network}")
    for arm, found in proof.arms.items():
        print(f"  {arm:8} {proof.contest.trained_on[arm]:6,} {told(found)}", flush=True)
    if again:
        ask = proof.contest.begin(proof.folder, SILENT)
        one = [load_file(proof.folder / f"before-{seed}.safetensors") for seed in range(seeds)]
        other = [ask("before", seeds + seed, lambda _: None) for seed in range(seeds)]
        print(f"  the same labels, other seeds: {told(proof.contest.compare(one, other))}", flush=True)


def told(found: Comparison) -> str:
    """All measures on one line."""
    return "  ".join(
        f"{name} {change.before:.3f} -> {change.after:.3f} {points(change)} {change.proven or '-'};"
        for name, change in found.measures.items()
    )


PLANTED: dict[str, Callable[[Records, np.random.Generator], pd.DataFrame]] = {
    "bccd-labels": planted_labels,
    "bccd-boxes": planted_boxes,
    "flowers17-labels": planted_labels,
    "raccoon-detector": planted_places,
}


def version_of(
    records: Records, wrong: pd.DataFrame, dataset: Dataset, workspace: Path, training: dict[str, Any]
) -> None:
    """v0001 with the planted labels, scored, and v0002 with those of the records; nothing where they are there."""
    if versions(dataset.folder):
        return
    table = workspace / f"{dataset.name}.csv"
    wrong.to_csv(table, index=False)
    options = ImportOptions(labels=str(table), task=records.task)
    score(records.root, ScoreSettings(name=dataset.name, **training), workspace, options)
    rows = read(dataset.folder, "v0001")
    ids = dict(zip(rows["path"], rows["sample_id"], strict=False))
    paths = records.samples.set_index("sample_id")["path"]
    annotations = records.annotations.assign(
        sample_id=paths[records.annotations["sample_id"]].map(ids).to_numpy(),
    )
    samples = rows.drop_duplicates("sample_id")[list(SAMPLE_COLUMNS)]
    right = build_rows(samples, annotations)
    changes = diff(rows, right)
    write_version(
        right,
        NewVersion("v0001", "publish", "benchmark", "true labels", changes, dataset=dataset.name),
        dataset.folder,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--only", choices=list(SETS), help="one of these")
    parser.add_argument("--mode", default="compact", choices=["compact", "probe"], help="of what is planted")
    parser.add_argument("--workspace", type=Path, help="keep runs and proofs there; default: a temporary folder")
    parser.add_argument("--detector", type=int, default=4, metavar="EPOCHS", help="passes of raccoon-detector")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = arguments.workspace or Path(temporary)
        for name in [arguments.only] if arguments.only else SETS:
            if not (arguments.data / SETS[name]).is_dir():
                print(f"{name}: skipped, there is no {arguments.data / SETS[name]}")
            elif name in PLANTED:
                training: dict[str, Any] = {"mode": arguments.mode, "device": "cpu"}
                if arguments.mode == "probe":
                    weights = arguments.data / "weights" / "mobilenet_v2-imagenet.safetensors"
                    training |= {"model": "mobilenet_v2", "weights": str(weights)}
                task = "multi-label" if name.endswith("-labels") else "detection"
                for repetition in range(arguments.repetitions):
                    passes = arguments.detector if name == "raccoon-detector" else 0
                    planted(
                        name, arguments.data, workspace, task, arguments.seeds, repetition, training, passes,
                        again=not passes,
                    )  # fmt: skip
            elif name == "flowers17":
                false_claims(arguments.data, workspace, arguments.seeds, arguments.repetitions)
            else:
                cifar10n(arguments.data, workspace, arguments.seeds)


if __name__ == "__main__":
    main()
