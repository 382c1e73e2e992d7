"""How well wrong labels are ranked and flagged on sets whose true labels are known, against cleanlab on the same folds.

    python pipelines/label_benchmark.py [DATA] [--sets flowers17 cifar10n cifar10n-worse] [--seeds 0 1 2]

DATA is the folder of the real data sets (flowers17/, cifar10n/, weights/), default ../shared/data; a set that is not
there is skipped by name. Prints a JSON line per set and seed, then the means.

Average precision (AP) is that of finding the wrong labels; higher is better. `cleanlab_*` are cleanlab's own
scores and its default filter on the very same out-of-fold probabilities.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, f1_score

from curation.importers import ImportOptions
from curation.score import ScoreSettings, score

SETS = {
    "flowers17": ("flowers17", "planted.csv", "given_label"),
    "cifar10n": ("cifar10n", "labels.csv", "given_label"),
    "cifar10n-worse": ("cifar10n", "labels.csv", "given_label_worse"),
}
CLEANLAB_SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def settings_for(name: str, data: Path, seed: int) -> ScoreSettings:
    if name == "flowers17":
        weights = str(data / "weights" / "mobilenet_v2-imagenet.safetensors")
        return ScoreSettings(mode="probe", model="mobilenet_v2", weights=weights, seed=seed, name=name)
    return ScoreSettings(mode="compact", seed=seed, name=name)


def measure(name: str, data: Path, seed: int, workspace: Path) -> dict[str, float]:
    """Score one set once, and compare with its true labels."""
    folder, table, column = SETS[name]
    options = ImportOptions(labels=str(data / folder / table), image_column="image", label_column=column)
    start = time.perf_counter()
    run = score(data / folder, settings_for(name, data, seed), workspace, options)
    seconds = time.perf_counter() - start

    truth = pd.read_csv(data / folder / table).set_index("image")["true_label"]
    samples = run.samples()
    readable = samples[samples["status"] == "ok"]
    wrong = (readable["given_label"] != truth.reindex(readable["path"]).to_numpy()).to_numpy()
    issues = run.issues()
    found = issues[issues["issue"] == "label_error"].set_index("sample_id").reindex(readable["sample_id"])
    labels = pd.Categorical(readable["given_label"], categories=run.info["classes"]).codes.astype(np.int64)
    pred_probs, margin = np.asarray(run.array("pred_probs")), run.array("training_margin")

    result = {
        "seconds": seconds,
        "wrong": int(wrong.sum()),
        "estimated_wrong": run.info["health"]["estimated_wrong"],
        "cleanlab_estimated_wrong": run.info["health"]["cleanlab_estimated_wrong"],
        "ap_fused": average_precision_score(wrong, -found["score"]),
        "ap_margin": average_precision_score(wrong, -margin),
    }
    for method in CLEANLAB_SCORES:
        quality = get_label_quality_scores(labels, pred_probs, method=method)
        result[f"ap_cleanlab_{method}"] = average_precision_score(wrong, -quality)
    result["f1_flagged"] = f1_score(wrong, found["is_issue"].to_numpy(bool))
    result["f1_cleanlab_default"] = f1_score(wrong, find_label_issues(labels, pred_probs, n_jobs=1))
    result["f1_argmax"] = f1_score(wrong, pred_probs.argmax(axis=1) != labels)
    result["flagged"] = int(found["is_issue"].sum())
    return {key: round(float(value), 4) for key, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--workspace", type=Path, help="keep the runs there; default: a temporary folder")
    args = parser.parse_args()
    for name in args.sets:
        if not (args.data / SETS[name][0] / SETS[name][1]).is_file():
            print(f"{name}: skipped, {args.data / SETS[name][0]} is not there")
            continue
        rows = []
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as temporary:
                rows.append(measure(name, args.data, seed, args.workspace or Path(temporary)))
            print(json.dumps({"set": name, "seed": seed, **rows[-1]}), flush=True)
        table = pd.DataFrame(rows)
        print(f"\n{name}: mean of {len(rows)} seeds (standard deviation)")
        for key in table:
            print(f"  {key:32} {table[key].mean():10.4f} ({table[key].std(ddof=0):.4f})")


if __name__ == "__main__":
    main()
