"""Whether the recall that `curate rehearse` tells agrees with the real one, where the right labels are known.

    python pipelines/rehearse_benchmark.py [DATA] [--sets NAME ...] [--workspace DIR] [--seeds 3]

DATA is the folder of the real data sets, default ../shared/data; a set that is not there is skipped by name. Each set
is scored once per seed, or the runs of the workspace are read. The right labels tell the real recall of those runs, and
nothing else; the rehearsal knows the newest of these runs only. Twice: at the real rate (`--rate`, as an audit would
tell it), and at the one that this run estimates.
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
from curation.manifest import manifest_folder
from curation.rehearsing import RehearsalSettings, rehearse
from curation.rehearsing.recall import SHARES, Trial, average_precision, ranking
from curation.runs import Run, list_runs
from curation.score import ScoreSettings, score

PROBE = ("probe", "mobilenet_v2")
# Folder, table, column of the given label, mode and network.
SETS = {
    "flowers17": ("flowers17", "planted.csv", "given_label", PROBE),
    "cifar10n-probe": ("cifar10n", "labels.csv", "given_label", PROBE),
    "cifar10n-worse-probe": ("cifar10n", "labels.csv", "given_label_worse", PROBE),
    "cifar10n": ("cifar10n", "labels.csv", "given_label", ("compact", None)),
}


def measure(name: str, data: Path, workspace: Path, seeds: int) -> None:
    """Score, rehearse, compare."""
    folder, table, column, (mode, model) = SETS[name]
    options = ImportOptions(labels=str(data / folder / table), image_column="image", label_column=column)
    weights = str(data / "weights" / "mobilenet_v2-imagenet.safetensors") if mode == "probe" else None
    runs = [run for run in list_runs(workspace) if run.info["dataset"] == name]
    for seed in range(len(runs), seeds):
        settings = ScoreSettings(mode=mode, model=model, weights=weights, seed=seed, name=name)
        runs.append(score(data / folder, settings, workspace, options))
    truth = pd.read_csv(data / folder / table, dtype="str").set_index("image")["true_label"]
    real = [reality(run, truth) for run in runs]
    told("real", f"{real[0].wrong.sum():,} wrong", [average_precision(trial) for trial in real],
         np.mean([ranking(trial, SHARES) for trial in real], axis=0), name)  # fmt: skip
    dataset = Dataset(name, manifest_folder(workspace, name))
    for rate in (float(real[0].wrong.mean()), None):
        start = time.perf_counter()
        found = rehearse(workspace, dataset, RehearsalSettings(rate=rate, seeds=seeds))
        seconds, outcome = time.perf_counter() - start, found.outcomes[0]
        figures = [[p.recall for p in outcome.points], [p.precision for p in outcome.points]]
        what = f"rehearsed at {found.rate:.1%} ({found.rate_from}), {seconds:.0f} s"
        told(what, f"{found.planted:,.0f} planted", outcome.average_precision, figures, name)
        print("  95 %:", *(f"{p.low:.3f} to {p.high:.3f};" for p in outcome.points))
        for note in found.notes:
            print(f"  {note}", flush=True)


def reality(run: Run, truth: pd.Series) -> Trial:
    """The run's scores, and which labels are really wrong."""
    issues = run.issues()
    found = issues[issues["issue"] == "label_error"].set_index("sample_id")["score"]
    samples = run.samples()
    samples = samples[samples["sample_id"].isin(found.index)]
    wrong = samples["given_label"].to_numpy(dtype=object) != truth.reindex(samples["path"]).to_numpy(dtype=object)
    return Trial(found.reindex(samples["sample_id"]).to_numpy(dtype=np.float64), wrong)


def told(what: str, count: str, precisions: object, measured: object, name: str) -> None:
    """One line of figures; measured : recall and precision, at SHARES each."""
    recall, precision = np.asarray(measured)
    average = np.asarray(precisions)
    print(f"{name}: {what}; {count}; AP {average.mean():.3f} ({average.min():.3f} to {average.max():.3f})")
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    for label, values in (("recall", recall), ("precision", precision)):
        print(f"  {label} at {shares}:", *(f"{value:.3f}" for value in values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--workspace", type=Path, help="keep runs and rehearsals there; default: a temporary folder")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.sets:
            if not (arguments.data / SETS[name][0] / SETS[name][1]).is_file():
                print(f"{name}: skipped, {arguments.data / SETS[name][0]} is not there")
            else:
                measure(name, arguments.data, arguments.workspace or Path(temporary), arguments.seeds)


if __name__ == "__main__":
    main()
