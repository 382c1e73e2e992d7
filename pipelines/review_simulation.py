"""How many errors a reviewer fixes per 100 decisions: the learning queue against the static order and cleanlab's.

    python pipelines/review_simulation.py [DATA] [--sets cifar10n] [--seeds 0 1 2] [--workspace DIR] [--slips 0 0.1]

DATA is the folder of the real data sets whose true labels are known, default ../shared/data; a set that is not there is
skipped by name. Each seed is a scoring run of its own (minutes each; `--workspace` keeps them for the next time) and
a reviewer of its own, who knows the true labels but slips in a share `--slips` of the decisions: a wrong label is then
kept, a right one changed to what the model suggests. All three orders hand out the same items (a case of duplicates is
one decision); cleanlab's order is that of its label quality score, `self_confidence`, on the run's out-of-fold
probabilities. Counted are the wrong labels put right, less the right ones made wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores

from curation.detectors import DETECTORS, find_issues
from curation.detectors.contract import Inputs
from curation.importers import ImportOptions
from curation.records import empty_samples
from curation.review import build_items
from curation.review.learning import Features, features, fit
from curation.runs import Run, finish, open_partial, read_run
from curation.score import ScoreSettings, score
from curation.scoring.statistics import statistics_from_probs

SETS = {
    "flowers17": ("flowers17", "planted.csv", "given_label"),
    "cifar10n": ("cifar10n", "labels.csv", "given_label"),
    "cifar10n-worse": ("cifar10n", "labels.csv", "given_label_worse"),
}
DEPTHS = (100, 200, 500, 1000, 2000)
REFIT = 10  # decisions between two fits
PUBLISHED_ROWS = 10_000


def scored(name: str, data: Path, seed: int, workspace: Path) -> tuple[Run, pd.Series]:
    """A run of one data set, and the true label by sample_id."""
    folder, table, column = SETS[name]
    settings = ScoreSettings(mode="compact", seed=seed, name=name)
    if name == "flowers17":
        weights = str(data / "weights" / "mobilenet_v2-imagenet.safetensors")
        settings = ScoreSettings(mode="probe", model="mobilenet_v2", weights=weights, seed=seed, name=name)
    options = ImportOptions(labels=str(data / folder / table), image_column="image", label_column=column)
    run = score(data / folder, settings, workspace, options)
    truth = pd.read_csv(data / folder / table, dtype="str").set_index("image")["true_label"]
    samples = run.samples()
    return run, pd.Series(truth.reindex(samples["path"]).to_numpy(), index=samples["sample_id"])


def published(file: Path, seed: int, workspace: Path) -> tuple[Run, pd.Series]:
    """A run made of published out-of-fold probabilities: a random part of them, without pictures and embeddings."""
    with np.load(file, allow_pickle=False) as arrays:
        labels, truth, probs = (arrays[name] for name in ("given_labels", "true_labels", "pred_probs"))
    rows = np.sort(np.random.default_rng(seed).choice(len(labels), PUBLISHED_ROWS, replace=False))
    labels, truth, probs = labels[rows].astype(np.int64), truth[rows], probs[rows].astype(np.float32)
    names = [f"class {k}" for k in range(probs.shape[1])]
    samples = empty_samples(len(rows)).assign(
        sample_id=[f"s{row:06d}" for row in rows], path=[f"{row:06d}.png" for row in rows], status="ok"
    )
    inputs = Inputs(
        samples=samples,
        annotation_id=samples["sample_id"].to_numpy(dtype=object) + "-0",
        labels=labels,
        class_names=names,
        unreadable=samples.iloc[:0],
        statistics=statistics_from_probs(probs, labels),
        pred_probs=probs,
    )
    issues, _ = find_issues(inputs, names=["label_error"], detectors=DETECTORS)
    run_id = f"{file.stem}-{seed}"
    with open_partial(workspace, run_id) as partial:
        given = np.asarray(names, dtype=object)[labels]
        partial.write_table("samples", samples.assign(given_label=given, cluster=np.arange(len(rows))))
        partial.write_table("issues", issues)
        partial.write_array("pred_probs", probs)
        finish(partial, {"dataset": file.stem, "root": "", "classes": names})
    run = read_run(workspace, run_id)
    return run, pd.Series(np.asarray(names, dtype=object)[truth], index=samples["sample_id"])


def cleanlab_order(run: Run, items: pd.DataFrame) -> np.ndarray:
    """Row numbers of the items in the order of cleanlab's score; of a case, that of its worst member."""
    samples = run.samples()
    probs = np.asarray(run.array("pred_probs"))
    labels = pd.Categorical(samples["given_label"], categories=run.info["classes"]).codes.astype(np.int64)[: len(probs)]
    quality = pd.Series(get_label_quality_scores(labels, probs), index=samples["sample_id"][: len(probs)])
    worst = [quality.reindex(json.loads(members)).min() for members in items["members"]]
    return np.argsort(np.nan_to_num(np.array(worst), nan=1.0), kind="stable")


class Reviewer:
    """Answers for the true labels; slips in a share of the decisions, in the same ones whatever the order."""

    def __init__(self, items: pd.DataFrame, run: Run, truth: pd.Series, slips: float, seed: int) -> None:
        given = run.samples().set_index("sample_id")["given_label"]
        self._items = items
        self._members = [json.loads(members) for members in items["members"]]
        self._wrong = [
            [member for member in members if given[member] != truth[member]] for members in self._members
        ]  # fmt: skip
        self._truth = truth
        self._slips = np.random.default_rng(seed).random(len(items)) < slips
        self.errors = sum(map(len, self._wrong))

    def decide(self, row: int) -> tuple[dict[str, str], int]:
        """A row of `verdicts`, and how many labels it put right (-1: made one wrong)."""
        wrong = self._wrong[row]
        changes, gain = bool(wrong), len(wrong)
        label = str(self._truth[wrong[0]]) if wrong else ""
        if self._slips[row]:
            label, changes = (self._items["suggestion"].iat[row], not wrong) if not wrong else ("", False)
            gain = -1 if changes and label else 0
            changes = changes and bool(label)
        return {
            "item_id": self._items["item_id"].iat[row],
            "sample_id": wrong[0] if wrong else self._members[row][0],
            "verdict": "relabel" if changes else "keep",
            "labels": json.dumps([label] if changes else []),
        }, gain


def review_in_order(order: np.ndarray, reviewer: Reviewer, budget: int) -> np.ndarray:
    """Labels put right by each decision, (budget,)."""
    return np.array([reviewer.decide(int(row))[1] for row in order[:budget]])


def review_learning(known: Features, items: pd.DataFrame, reviewer: Reviewer, budget: int) -> np.ndarray:
    """The same, with the queue refitted after every REFIT decisions."""
    row_of = {item_id: row for row, item_id in enumerate(items["item_id"])}
    verdicts: list[dict[str, str]] = []
    gains: list[int] = []
    is_open = np.ones(len(known.ids), dtype=bool)
    odds = known.prior
    while len(gains) < min(budget, len(known.ids)):
        rows = np.flatnonzero(is_open)
        for place in rows[np.argsort(-odds[rows], kind="stable")[:REFIT]].tolist():
            verdict, gain = reviewer.decide(row_of[known.ids[place]])
            verdicts.append(verdict)
            gains.append(gain)
            is_open[place] = False
        odds = fit(known, pd.DataFrame(verdicts))
    return np.array(gains[:budget])


def measure(run: Run, truth: pd.Series, slips: float, seed: int) -> dict[str, list[float]]:
    """Labels put right after DEPTHS decisions, in the three orders."""
    items = build_items(run)
    reviewer = Reviewer(items, run, truth, slips, seed)
    budget = max(DEPTHS)
    fixed = {
        "static": review_in_order(np.arange(len(items)), reviewer, budget),
        "cleanlab": review_in_order(cleanlab_order(run, items), reviewer, budget),
        "learning": review_learning(features(run, items), items, reviewer, budget),
    }
    return {name: [float(gains[:depth].sum()) for depth in DEPTHS] for name, gains in fixed.items()}


def report(name: str, seeds: list[int], slips: list[float], load: Callable[[int], tuple[Run, pd.Series]]) -> None:
    """Measure one set over its seeds; print the means."""
    runs = [load(seed) for seed in seeds]
    for share in slips:
        found = [measure(run, truth, share, seed) for (run, truth), seed in zip(runs, seeds, strict=True)]
        print(f"\n{name}, {len(seeds)} seeds, {share:.0%} of the decisions are slips: labels put right after")
        print(f"{'':10}" + "".join(f"{depth:>16,}" for depth in DEPTHS) + f"{'per 100':>12}")
        for order in ("cleanlab", "static", "learning"):
            table = np.array([result[order] for result in found])
            mean, spread = table.mean(axis=0), table.std(axis=0)
            cells = "".join(f"{m:10.1f} ({s:3.1f})" for m, s in zip(mean, spread, strict=True))
            print(f"{order:10}{cells}{100 * mean[-1] / DEPTHS[-1]:12.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["cifar10n"], help=f"{', '.join(SETS)}, or files of probabilities")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--slips", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--workspace", type=Path, help="keep the runs there; default: a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = args.workspace or Path(temporary)
        for name in args.sets:
            if name.endswith(".npz"):
                load = lambda seed, name=name: published(Path(name), seed, Path(temporary))  # noqa: E731
            elif name in SETS and (args.data / SETS[name][0] / SETS[name][1]).is_file():
                load = lambda seed, name=name: scored(name, args.data, seed, workspace)  # noqa: E731
            else:
                print(f"{name}: skipped, it is not there")
                continue
            report(name, args.seeds, args.slips, load)


if __name__ == "__main__":
    main()
