"""`curate score --mode probe` against the script that one writes by hand, on flowers17 with planted wrong labels.

    python pipelines/probe_benchmark.py [DATA] [--repeat 3]

DATA is the folder of the real data sets (flowers17/, weights/), default ../shared/data.

Both run as whole processes, in turn, on the same
files and weights. The script: torchvision's mobilenet_v2 features, scikit-learn's cross-validated logistic regression,
cleanlab's ranking by self-confidence. Average precision (AP) is that of finding the planted labels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

SCRIPT = """
import sys
import numpy as np, pandas as pd, torch, torchvision
from pathlib import Path
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from cleanlab.rank import get_label_quality_scores

data = Path(sys.argv[1])
table = pd.read_csv(data / "flowers17" / "planted.csv")
model = torchvision.models.mobilenet_v2()
model.load_state_dict(load_file(data / "weights" / "mobilenet_v2-imagenet.safetensors"))
model.classifier = torch.nn.Identity()
model.eval()
transform = torchvision.models.MobileNet_V2_Weights.DEFAULT.transforms()
features = []
with torch.inference_mode():
    for start in range(0, len(table), 32):
        images = [Image.open(data / "flowers17" / p).convert("RGB") for p in table["image"][start : start + 32]]
        features.append(model(torch.stack([transform(image) for image in images])).numpy())
labels = table["given_label"].astype("category").cat.codes.to_numpy().astype(np.int64)
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
pred_probs = cross_val_predict(classifier, np.concatenate(features), labels, cv=folds, method="predict_proba")
table["score"] = get_label_quality_scores(labels, pred_probs)
table.to_csv(sys.argv[2], index=False)
"""


def average_precision(scored: pd.DataFrame) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(scored["given_label"] != scored["true_label"], -scored["score"]))


def run_script(data: Path, folder: Path) -> tuple[float, float]:
    """Seconds and AP of the hand-written script."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, str(data), str(folder / "script.csv")], check=True)
    return time.perf_counter() - start, average_precision(pd.read_csv(folder / "script.csv"))


def run_curate(data: Path, folder: Path) -> tuple[float, float]:
    """Seconds and AP of `curate score` in a fresh workspace."""
    weights = data / "weights" / "mobilenet_v2-imagenet.safetensors"
    command = [
        sys.executable, "-m", "curation", "score", str(data / "flowers17"),
        "--labels", str(data / "flowers17" / "planted.csv"), "--image-column", "image", "--label-column", "given_label",
        "--mode", "probe", "--model", "mobilenet_v2", "--weights", str(weights), "--workspace", str(folder), "--json",
    ]  # fmt: skip
    start = time.perf_counter()
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    run = Path(json.loads(result.stdout)["run_dir"])
    issues = pd.read_parquet(run / "issues.parquet").query("issue == 'label_error'")
    scored = issues.merge(pd.read_parquet(run / "samples.parquet")[["sample_id", "path"]], on="sample_id")
    truth = pd.read_csv(data / "flowers17" / "planted.csv")[["image", "true_label"]]
    return seconds, average_precision(scored.merge(truth, left_on="path", right_on="image"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    data = args.data.resolve()
    if not (data / "flowers17" / "planted.csv").is_file():
        print(f"flowers17: skipped, {args.data / 'flowers17'} is not there")
        return
    ratios = []
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            script_seconds, script_ap = run_script(data, Path(folder))
            seconds, ap = run_curate(data, Path(folder))
        ratios.append(seconds / script_seconds)
        print(f"script {script_seconds:6.1f} s  AP {script_ap:.3f}   curate {seconds:6.1f} s  AP {ap:.3f}   "
              f"ratio {ratios[-1]:.2f}", flush=True)  # fmt: skip
    print(f"median ratio of the times: {sorted(ratios)[len(ratios) // 2]:.2f}")


if __name__ == "__main__":
    main()
