"""Whether the intervals on the number of wrong labels hold, and how wide they are: simulated audits of known truth.

    python pipelines/estimate_benchmark.py [DATA] [--audits 400] [--sets NAME ...] [--designs NAME ...]

DATA is the folder of the real data sets whose true labels are known, default ../shared/data; a set that is not there is
skipped by name. Every audit is drawn with another seed, goes to 2,000 reviews (or to the whole set), and is looked at
after every single draw: it counts as covered if *all* its intervals contain the truth. The worst single look is the one
at which the fewest intervals do. Half-widths are shares of the truth, in per cent, means over the first audits.

Designs: `audit` = every review is of the audit; `mixed` = every third, the others are the most suspicious labels left,
as in the queue (reviews count both); for comparison `equal` = all labels alike probable to be drawn, and `plain` = that
and nothing known of the labels from a model.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from review_simulation import scored

from curation.confidence import Draws, draw_order, is_refuted, limits
from curation.estimate import NEVER, Evidence, audit_weights, sequence
from curation.scoring.label_quality import fused_score
from curation.scoring.statistics import statistics_from_probs

LOOKS = (100, 200, 500, 1000, 2000)
BLOCK = 5  # draws that are released at a time
MEASURED = 40  # audits whose widths are measured
PUBLISHED = {
    "cifar10n-aggregate": "cifar10n-aggregate-resnet18.npz",
    "cifar10n-worst": "cifar10n-worst-resnet18.npz",
    "cifar10n-aggregate-swin": "cifar10n-aggregate-swin.npz",
}
SETS = ("cifar10n-aggregate", "cifar10n-worst", "flowers17")


@dataclass(frozen=True)
class Known:
    """A set whose truth is known: the run's probability that each label is wrong, and whether it is; (N,) each."""

    name: str
    wrong_prob: np.ndarray
    wrong: np.ndarray


def load(name: str, data: Path, workspace: Path) -> Known | None:
    """One of SETS, None where its files are missing."""
    if name == "flowers17":
        if not (data / name / "planted.csv").is_file():
            return None
        run, truth = scored(name, data, 0, workspace)
        samples, issues = run.samples(), run.issues()
        score = issues[issues["issue"] == "label_error"].set_index("sample_id")["score"]
        wrong = samples["given_label"].to_numpy(dtype=object) != truth.to_numpy(dtype=object)
        return Known(name, 1 - score.reindex(samples["sample_id"]).to_numpy(), wrong.astype(np.float64))
    file = data / "pred_probs" / PUBLISHED[name]
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as arrays:
        labels, truth, probs = (arrays[key] for key in ("given_labels", "true_labels", "pred_probs"))
    labels = labels.astype(np.int64)
    score = fused_score(statistics_from_probs(probs, labels), labels, probs.shape[1])
    return Known(name, 1 - score, (labels != truth).astype(np.float64))


def audit(known: Known, weight: np.ndarray, every: int, seed: int, model: bool) -> Evidence:
    """One audit of at most LOOKS[-1] reviews; `since` counts them."""
    count = len(known.wrong)
    order = draw_order(weight, seed)
    suspects = np.argsort(-known.wrong_prob, kind="stable")
    since = np.full(count, NEVER)
    draws: list[int] = []
    released: list[int] = []
    place = first = reviews = 0
    while reviews < min(LOOKS[-1], count):
        now = reviews
        for _ in range(BLOCK):
            while place < count and since[order[place]] != NEVER:
                place += 1
            if place == count:
                break
            draws.append(int(order[place]))
            released.append(now)
            reviews += 1
            since[order[place]] = reviews
        for _ in range(BLOCK * (every - 1)):
            while first < count and since[suspects[first]] != NEVER:
                first += 1
            if first == count:
                break
            reviews += 1
            since[suspects[first]] = reviews
    answered = since != NEVER
    return Evidence(
        wrong_prob=known.wrong_prob if model else np.full(count, 0.1),
        weight=weight,
        least=np.where(answered, known.wrong, 0.0),
        most=np.where(answered, known.wrong, 1.0),
        since=since,
        answered=answered,
        draws=np.array(draws),
        released=np.array(released),
        given=np.zeros(count, dtype=np.int64),
    )


DESIGNS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int, bool]] = {
    "audit": (audit_weights, 1, True),
    "mixed": (audit_weights, 3, True),
    "equal": (lambda prob: np.full(len(prob), 1 / len(prob)), 1, True),
    "plain": (lambda prob: np.full(len(prob), 1 / len(prob)), 1, False),
}


def simulate(known: Known, design: str, audits: int) -> dict[str, object]:
    """Coverage and half-widths of one design on one set."""
    weights, every, model = DESIGNS[design]
    weight = weights(known.wrong_prob)

    def drawn(seed: int) -> tuple[Draws, np.ndarray]:
        evidence = audit(known, weight, every, seed, model)
        return sequence(evidence), evidence.since[evidence.draws]

    found = measured(drawn, float(known.wrong.sum()), audits)
    return {"set": known.name, "labels": len(known.wrong), "wrong": int(known.wrong.sum()), "design": design, **found}


def measured(drawn: Callable[[int], tuple[Draws, np.ndarray]], total: float, audits: int) -> dict[str, object]:
    """How often the truth is covered, and how wide the intervals are; drawn : the draws of an audit by its seed, and
    how many reviews had been made with each, (T,)."""
    missed_at = np.zeros(LOOKS[-1] + 1)
    whole = 0
    widths: list[list[float]] = []
    started = time.perf_counter()
    for seed in range(audits):
        draws, reviews = drawn(seed)
        refuted = is_refuted(draws, total)
        whole += not refuted.any()
        missed_at[reviews[refuted]] += 1
        if seed >= MEASURED:
            continue
        widths.append([])
        for look in LOOKS:
            done = int(np.searchsorted(reviews, min(look, reviews[-1]), side="right"))
            low, high = limits(draws.first(done), 0.0, float(draws.count))
            widths[-1].append((high - low) / 2 / total)
    return {
        "audits": audits,
        "all looks": whole / audits,
        "worst look": 1 - missed_at.max() / audits,
        **{f"±{look}": 100 * value for look, value in zip(LOOKS, np.mean(widths, axis=0), strict=True)},
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--audits", type=int, default=400)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=[*PUBLISHED, "flowers17"])
    parser.add_argument("--designs", nargs="+", default=["audit", "mixed"], choices=list(DESIGNS))
    parser.add_argument("--workspace", type=Path, help="keep the run of flowers17 there; default: a temporary folder")
    args = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.sets:
            known = load(name, args.data, args.workspace or Path(temporary))
            if known is None:
                print(f"{name}: skipped, it is not there")
                continue
            for design in args.designs:
                lines.append(simulate(known, design, args.audits))
                print(
                    pd.DataFrame(lines[-1:]).to_string(index=False, float_format="%.3f", header=len(lines) == 1),
                    flush=True,
                )
    print()
    print(pd.DataFrame(lines).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
