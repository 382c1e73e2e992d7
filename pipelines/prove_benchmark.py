"""Whether `curate prove` finds a gain where there is one, and claims none where there is none.

    python pipelines/prove_benchmark.py [DATA] [--only NAME] [--workspace DIR] [--seeds 5] [--repetitions 20]

DATA is the folder of the real data sets, default ../shared/data; a set that is not there is skipped by name.

cifar10n: given against true labels of 6,000 pictures, 4,000 others with their true labels as the hold-out, `compact`.
The run that tells the suspects is made first, or read from the workspace; its time is not counted.

flowers17: the same labels in both arms, `probe`, again and again with another hold-out. Equal seeds would give equal
networks, so the two arms get different ones here: a harder test than what `prove` does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from curation.datasets import Dataset
from curation.importers import ImportOptions
from curation.manifest import NewVersion, manifest_folder, read, write_version
from curation.manifest.changes import diff
from curation.manifest.version_files import versions
from curation.proving import ProofSettings, prove
from curation.proving.compare import compare
from curation.report.proof import points, verdict
from curation.runs import list_runs
from curation.score import ScoreSettings, score
from curation.training.holdout import ask, prepare
from curation.training.plan import choose_plan

HELD_OUT = 4_000


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
        print(f"  {arm:8} accuracy {found.accuracy.before:.3f} -> {found.accuracy.after:.3f}  {points(found.accuracy)} "
              f"{found.accuracy.proven or 'nothing proven'}; trained on {proof.trained_on[arm]:,}")  # fmt: skip
    print(f"  {seconds:.0f} s, {len(proof.arms) + 1} arms x {seeds} seeds, {proof.plan.epochs} passes", flush=True)


def false_claims(data: Path, workspace: Path, seeds: int, repetitions: int) -> None:
    """The same labels twice."""
    from curation.importers import load
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
        found = compare(labels[asked], before, after, asked).accuracy
        claims.append(found.proven)
        print(f"  {repetition}: {points(found)} {found.proven}", flush=True)
    print(
        f"flowers17, same labels, {repetitions} times: {claims.count('gain')} gains and {claims.count('loss')} losses "
        "claimed"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--only", choices=["flowers17", "cifar10n"], help="one of the two")
    parser.add_argument("--workspace", type=Path, help="keep runs and proofs there; default: a temporary folder")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = arguments.workspace or Path(temporary)
        for name in [arguments.only] if arguments.only else ["flowers17", "cifar10n"]:
            if not (arguments.data / name).is_dir():
                print(f"{name}: skipped, there is no {arguments.data / name}")
            elif name == "flowers17":
                false_claims(arguments.data, workspace, arguments.seeds, arguments.repetitions)
            else:
                cifar10n(arguments.data, workspace, arguments.seeds)


if __name__ == "__main__":
    main()
