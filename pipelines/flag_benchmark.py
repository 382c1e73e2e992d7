"""How long and how much memory it takes to flag 1,000,000 labels of 1,000 classes, from per-sample statistics.

    python pipelines/flag_benchmark.py [--samples 1000000] [--classes 1000]

The probabilities are made block by block and never exist as a whole: the point is that flags do not need them to.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from curation.scoring.label_quality import cleanlab_flags, judge_labels
from curation.scoring.statistics import Statistics, statistics_from_probs


def make_statistics(samples: int, classes: int, block: int = 4096) -> tuple[Statistics, np.ndarray]:
    """Statistics of random probabilities that put their mass near the given label in nine of ten cases."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, samples)
    parts = []
    for start in range(0, samples, block):
        given = labels[start : start + block]
        logits = random.standard_normal((len(given), classes), dtype=np.float32)
        shown = np.where(random.random(len(given)) < 0.1, random.integers(0, classes, len(given)), given)
        logits[np.arange(len(given)), shown] += random.normal(9, 2, len(given))
        probs = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts.append(statistics_from_probs(probs / probs.sum(axis=1, keepdims=True), given))
    margin = random.normal(size=samples).astype(np.float32)
    fields = {name: np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])}
    return Statistics(**{**fields, "margin": margin}), labels


def main() -> None:
    """Print seconds for cleanlab's flags and for the fused score with its own flags, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=1_000)
    options = parser.parse_args()
    statistics, labels = make_statistics(options.samples, options.classes)
    kept = sum(array.nbytes for array in vars(statistics).values())
    print(f"{options.samples:,} samples, {options.classes:,} classes: statistics take {kept / 2**20:.0f} MiB")
    started = time.perf_counter()
    flags = cleanlab_flags(statistics, labels, options.classes)
    print(f"cleanlab's flags: {flags.sum():,} in {time.perf_counter() - started:.2f} s")
    started = time.perf_counter()
    quality = judge_labels(statistics, labels, options.classes)
    print(f"fused score and its flags: {quality.is_issue.sum():,} in {time.perf_counter() - started:.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
