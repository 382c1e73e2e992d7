"""Whether the intervals on pictures with an error hold where pictures have several labels, or boxes.

    python pipelines/estimate_pictures_benchmark.py [DATA] [--audits 400] [--sets NAME ...] [--workspace DIR]

Blood cells (bccd) with planted errors, scored by `probe`:

    boxes       of the boxes 10 % get another class, 5 % are dropped, 5 % shifted, 3 % doubled (boxes_benchmark.plant)
    few         a tenth of that
    tags        which cells are in the picture, a tenth of all yes or noes reversed
    few x 20    pictures of `few`, 20 times as many, drawn with replacement: what the width is in a larger set

Simulated audits as in estimate_benchmark.py, `audit` and `mixed`. `what` = pictures with an error, or errors in all of
them, each picture's up to `bound`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from boxes_benchmark import plant, write_coco
from boxes_benchmark import simulate as simulate_detector
from estimate_benchmark import DESIGNS, Known, audit, measured

from curation.confidence import Draws
from curation.estimate import Evidence, sequence
from curation.estimate_pictures import as_share, most_counted, sequence_of_shares
from curation.importers import ImportOptions, load
from curation.records import Records, text_to_path
from curation.review.audit import labels_of
from curation.review.audit_pictures import annotations_of, doubts_of
from curation.review.run_index import open_index
from curation.runs import Run
from curation.score import ScoreSettings, score

SETS = ("boxes", "few", "tags", "few x 20")
FLIPPED = 0.1


@dataclass(frozen=True)
class Pictures:
    """N pictures whose errors are known: what the run thinks, (N,) each, and how many errors there are."""

    name: str
    wrong_prob: np.ndarray
    expected: np.ndarray
    errors: np.ndarray
    bound: int


def boxes(
    records: Records, folder: Path, name: str, share: float, settings: ScoreSettings, recall: float | None = None
) -> tuple[Run, pd.Series]:
    """A run on boxes with errors of `share` times the benchmark's number, and how many there are by file name.

    recall : share of the objects that an imitated detector finds, whose predictions the run compares with; they are
        written to `predictions_file`
    """
    source = folder / name
    source.mkdir(parents=True, exist_ok=True)
    table = plant(records, 0, share)
    files = write_coco(records, table, source)
    results = None
    if recall is not None:
        results = predictions_file(folder, name)
        found = [{**one, "image_id": files[str(one["sample_id"])]} for one in simulate_detector(records, recall, 0)]
        results.write_text(json.dumps(found))
    run = score(source, replace(settings, name=name), folder, format="coco", predictions=results)
    wrong = table[table["planted"] != ""]
    doubled = wrong[wrong["pair"] >= 0].drop_duplicates("pair")
    wrong = pd.concat([wrong[wrong["pair"] < 0], doubled])
    return run, wrong["sample_id"].map(files).value_counts()


def predictions_file(folder: Path, name: str) -> Path:
    """Where `boxes` writes what an imitated detector found."""
    return folder / f"{name}-predictions.json"


def tags(records: Records, folder: Path, settings: ScoreSettings) -> tuple[Run, pd.Series]:
    """A run on which classes are in each picture, some of them reversed, and how many are by file name."""
    source = folder / "tags"
    source.mkdir(parents=True, exist_ok=True)
    there = pd.crosstab(records.annotations["sample_id"], records.annotations["label"]) > 0
    there = there.reindex(records.samples["sample_id"], fill_value=False)
    wrong = np.random.default_rng(0).random(there.shape) < FLIPPED
    names = records.samples["path"].str.rpartition("/")[2]
    for path, name in zip(records.samples["path"], names, strict=True):
        shutil.copyfile(records.root / text_to_path(path), source / name)
    given = (there.to_numpy() ^ wrong).astype(int)
    pd.DataFrame(given, columns=there.columns).assign(image=names.to_numpy()).to_csv(source / "labels.csv", index=False)
    options = ImportOptions(labels=str(source / "labels.csv"), image_column="image", task="multi-label")
    run = score(source, replace(settings, name="tags"), folder, options)
    return run, pd.Series(wrong.sum(axis=1), index=names.to_numpy())


def made(
    name: str, records: Records, folder: Path, settings: ScoreSettings, recall: float | None = None
) -> tuple[Run, pd.Series]:
    """One of SETS, larger ones as they are before; recall : as for `boxes`."""
    if name == "tags":
        return tags(records, folder, settings)
    return boxes(records, folder, name.split()[0], 1.0 if name == "boxes" else 0.1, settings, recall)


def told(run: Run, errors: pd.Series, name: str) -> Pictures:
    """What a run thinks of its pictures, and their errors by file name."""
    labels, annotations, index = labels_of(run), annotations_of(run), open_index(run)
    rows = index.rows(labels["sample_id"])
    files = index.samples["path"].iloc[rows].str.rpartition("/")[2]
    number = errors.reindex(files).fillna(0).to_numpy(dtype=np.float64)
    counts = annotations.loc[annotations["annotation_id"] != "", "sample_id"].value_counts()
    expected = doubts_of(index, annotations).expected(rows)
    return Pictures(name, labels["wrong_prob"].to_numpy(), expected, number, most_counted(counts))


def larger(few: Pictures, times: int) -> Pictures:
    """Pictures drawn from those with replacement."""
    rows = np.random.default_rng(0).integers(0, len(few.errors), times * len(few.errors))
    return Pictures(f"{few.name} x {times}", few.wrong_prob[rows], few.expected[rows], few.errors[rows], few.bound)


def simulate(known: Pictures, design: str, audits: int, bound: int) -> list[dict[str, object]]:
    """Coverage and half-widths of one design on one set, in pictures and in errors."""
    weights, every, model = DESIGNS[design]
    weight = weights(known.wrong_prob)
    pictures = Known(known.name, known.wrong_prob, (known.errors > 0).astype(np.float64))
    counted = np.minimum(known.errors, bound)

    def of_pictures(seed: int) -> tuple[Draws, np.ndarray]:
        evidence = audit(pictures, weight, every, seed, model)
        return sequence(evidence), evidence.since[evidence.draws]

    def of_errors(seed: int) -> tuple[Draws, np.ndarray]:
        evidence = shares(audit(pictures, weight, every, seed, model))
        return sequence_of_shares(evidence, bound), evidence.since[evidence.draws]

    def shares(evidence: Evidence) -> Evidence:
        least, most = (np.where(evidence.answered, counted / bound, limit) for limit in (0.0, 1.0))
        return replace(evidence, wrong_prob=as_share(known.expected, bound), least=least, most=most)

    facts = {"set": known.name, "pictures": len(counted), "design": design}
    return [
        {**facts, "what": "pictures", "truth": int(pictures.wrong.sum()),
         **measured(of_pictures, float(pictures.wrong.sum()), audits)},
        {**facts, "what": f"errors, up to {bound}", "truth": f"{counted.sum():.0f} of {known.errors.sum():.0f}",
         **measured(of_errors, float(counted.sum() / bound), audits)},
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--audits", type=int, default=400)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--designs", nargs="+", default=["audit", "mixed"], choices=list(DESIGNS))
    parser.add_argument("--bound", type=int, help="count so many errors in a picture at most (default: as curate does)")
    parser.add_argument("--workspace", type=Path, help="keep the runs there; default: a temporary folder")
    args = parser.parse_args()
    weights = args.data / "weights" / "mobilenet_v2-imagenet.safetensors"
    if not (args.data / "bccd").is_dir() or not weights.is_file():
        print(f"bccd and its weights are not in {args.data}: skipped")
        return
    settings = ScoreSettings(mode="probe", model="mobilenet_v2", weights=str(weights))
    lines: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workspace or Path(temporary)
        records = load(str(args.data / "bccd"), workspace=folder)
        for name in args.sets:
            known = told(*made(name, records, folder, settings), name.split()[0])
            known = larger(known, 20) if "x" in name.split() else known
            for design in args.designs:
                lines += simulate(known, design, args.audits, args.bound or known.bound)
                print(pd.DataFrame(lines[-2:]).to_string(index=False, float_format="%.3f"), flush=True)
    print()
    print(pd.DataFrame(lines).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
