"""Whether the recall that `curate rehearse` tells of pictures with several labels, or boxes, agrees with the real one.

    python pipelines/rehearse_pictures_benchmark.py [DATA] [--sets boxes few tags] [--workspace DIR] [--simulate .9]

The sets of estimate_pictures_benchmark.py. The planted errors tell the real share of errors that is found by reviewing
the first pictures of the queue, and the real number, which the rehearsal is told (--rate); and once it is not.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from estimate_pictures_benchmark import made, predictions_file

from curation.datasets import Dataset
from curation.importers import load
from curation.manifest import manifest_folder
from curation.rehearsing import RehearsalSettings, rehearse
from curation.rehearsing.pictures import queue_places
from curation.rehearsing.recall import SHARES, Trial, ranking
from curation.review.audit_pictures import ANNOTATION_ISSUES
from curation.score import ScoreSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["boxes", "few", "tags"])
    parser.add_argument("--workspace", type=Path, help="keep runs and rehearsals there; default: a temporary folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--simulate", type=float, metavar="RECALL", help="imitate a detector that finds this share")
    args = parser.parse_args()
    weights = args.data / "weights" / "mobilenet_v2-imagenet.safetensors"
    if not (args.data / "bccd").is_dir() or not weights.is_file():
        print(f"bccd and its weights are not in {args.data}: skipped")
        return
    settings = ScoreSettings(mode="probe", model="mobilenet_v2", weights=str(weights))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workspace or Path(temporary)
        records = load(str(args.data / "bccd"), workspace=folder)
        for name in args.sets:
            run, errors = made(name, records, folder, settings, args.simulate)
            results = predictions_file(folder, name) if args.simulate and name != "tags" else None
            samples, issues = run.samples(), run.issues()
            task = str(run.info["task"])
            counts = errors.reindex(samples["path"].str.rpartition("/")[2]).fillna(0).to_numpy(dtype=np.float64)
            places = queue_places(issues[issues["issue"].isin(ANNOTATION_ISSUES)], samples["sample_id"])
            recall, precision = ranking(Trial(places, counts > 0, counts), SHARES)
            print(f"{name}: {counts.sum():.0f} errors in {int((counts > 0).sum())} of {len(counts)} pictures")
            print("  really    ", *(f"{value:.3f}" for value in recall), " precision", *(f"{v:.3f}" for v in precision))
            labels = len(run.boxes()) if task == "detection" else int(run.info["health"]["labels"])
            dataset = Dataset(name, manifest_folder(folder, name))
            for rate in (min(counts.sum() / labels, 0.5), None):
                found = rehearse(folder, dataset, RehearsalSettings(rate=rate, seeds=args.seeds, predictions=results))
                told = [f"{p.recall:.3f} ({p.low:.3f} to {p.high:.3f})" for p in found.outcomes[0].points]
                precise = [f"{p.precision:.3f}" for p in found.outcomes[0].points]
                print(f"  at {found.rate:.3f}  ", *told, " precision", *precise, f"({found.rate_from})", flush=True)


if __name__ == "__main__":
    main()
