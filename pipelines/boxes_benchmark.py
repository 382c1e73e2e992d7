"""Plant wrong boxes in a set of boxes, and measure which of them `curate score` puts first.

    python pipelines/boxes_benchmark.py ../shared/data/bccd --seeds 0 1 2 --weights FILE.safetensors

Per seed, of all boxes 10 % get another class, 5 % are dropped, 5 % are shifted by a third of their size, and 3 % are
doubled: a second box, drawn a little differently, every other one of them under another class. No box gets two of
these. Average precision: of the whole ranking of a kind of issue against the boxes that were planted; of a doubled
pair, either box counts, once. What is wrong by itself counts against it, but for two things that count neither way:
boxes with a planted fault of another kind (a second box under another class is a wrong label, too), and those that lay
on each other before anything was planted (overlap above 0.8). `counted`: with these as false, kind by kind.

Dropped and shifted boxes need the predictions of a detector that did not see the picture. With --simulate one is
imitated: it finds a share of the objects as they were before anything was planted, a little misplaced, invents others,
and is surer of the former. What it measures is the comparison, not a detector. --predictions FILE (COCO results json,
image_id = file name in SOURCE) takes those of a real one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from curation.importers import load
from curation.records import Records, text_to_path
from curation.score import ScoreSettings, score
from curation.scoring.overlap import iou, overlapping_pairs

SHARES = {"swapped": 0.10, "dropped": 0.05, "shifted": 0.05, "doubled": 0.03}
SAME_PLACE = 0.8  # intersection over union
JITTER = 0.06  # of the size of a box, by which a second one of the same object differs


def plant(records: Records, seed: int, times: float = 1.0) -> pd.DataFrame:
    """The annotations with what was planted: columns of records.annotations, `planted` (the kind or "") and `pair`, the
    number of a doubled pair that both of its boxes share, -1 elsewhere; `times` as many as SHARES says."""
    rng = np.random.default_rng(seed)
    table = records.annotations[records.annotations["x"].notna()].reset_index(drop=True)
    classes = sorted(table["label"].unique())
    table["planted"], table["pair"] = "", -1
    order, start = rng.permutation(len(table)), 0
    rows: dict[str, np.ndarray] = {}
    for kind, share in SHARES.items():
        count = round(times * share * len(table))
        rows[kind] = order[start : start + count]
        table.loc[rows[kind], "planted"] = kind
        start += count

    def other(label: str) -> str:
        return str(rng.choice([name for name in classes if name != label] or [label]))

    table.loc[rows["swapped"], "label"] = [other(label) for label in table["label"][rows["swapped"]]]
    angle = rng.uniform(0, 2 * np.pi, len(rows["shifted"]))
    table.loc[rows["shifted"], "x"] += np.cos(angle) * table["w"][rows["shifted"]] / 3
    table.loc[rows["shifted"], "y"] += np.sin(angle) * table["h"][rows["shifted"]] / 3
    table.loc[rows["doubled"], "pair"] = np.arange(len(rows["doubled"]))
    copies = table.loc[rows["doubled"]].reset_index(drop=True)
    size = copies[["w", "h", "w", "h"]].to_numpy()
    copies[["x", "y", "w", "h"]] += rng.normal(0, JITTER, size.shape) * size
    copies.loc[::2, "label"] = [other(label) for label in copies["label"][::2]]
    return pd.concat([table, copies], ignore_index=True)


def write_coco(records: Records, table: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Pictures and one json in COCO's format, without what is dropped; file name of each sample id."""
    names = {
        sample: f"{number:06d}{Path(path).suffix}"
        for number, (sample, path) in enumerate(zip(records.samples["sample_id"], records.samples["path"], strict=True))
    }
    for sample, path in zip(records.samples["sample_id"], records.samples["path"], strict=True):
        shutil.copyfile(records.root / text_to_path(path), folder / names[sample])
    number = {sample: at for at, sample in enumerate(names)}
    classes = sorted(table["label"].unique())
    content = {
        "images": [{"id": number[sample], "file_name": name} for sample, name in names.items()],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(classes)],
        "annotations": [
            {
                "id": i + 1, "image_id": number[row["sample_id"]], "category_id": classes.index(row["label"]) + 1,
                "bbox": [row["x"], row["y"], row["w"], row["h"]], "area": row["w"] * row["h"], "iscrowd": 0,
            }
            for i, row in enumerate(table[table["planted"] != "dropped"].to_dict("records"))
        ],
    }  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    return names


def keys_of(table: pd.DataFrame, file: pd.Series) -> list[tuple[object, ...]]:
    """What a box is known by: its picture, numbers and label."""
    numbers = table[["x", "y", "w", "h"]].round(4).to_numpy().tolist()
    return [(name, *four, label) for name, four, label in zip(file, numbers, table["label"], strict=True)]


def average_precision(hit: np.ndarray, planted: int) -> float:
    """Planted ones that are not in the ranking count 0."""
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return round(float(precision[hit].sum() / max(planted, 1)), 4)


def rank_quality(
    names: list[str], flagged: np.ndarray, wanted: set[str], left_out: dict[str, set[str]]
) -> dict[str, object]:
    """Of a ranking of `names`, a second mention of a planted one ignored: average precision, and what the flags say."""
    hit = np.array([name in wanted for name in names], dtype=bool)
    keep = ~(hit & pd.Series(names, dtype="str").duplicated().to_numpy())

    def without(names_left_out: set[str]) -> np.ndarray:
        return keep & np.array([name not in names_left_out for name in names], dtype=bool)

    def but(kind: str) -> set[str]:
        return set().union(*(some for other, some in left_out.items() if other != kind)) - left_out[kind]

    counted = {kind: average_precision(hit[without(but(kind))], len(wanted)) for kind in left_out}
    kept = without(set().union(*left_out.values()))
    hit, flagged = hit[kept], flagged[kept]
    return {
        "planted": len(wanted),
        "average_precision": average_precision(hit, len(wanted)),
        "counted": counted,
        "flagged": int(flagged.sum()),
        "precision": round(float(hit[flagged].mean()), 4) if flagged.any() else 0.0,
        "recall": round(float(hit[flagged].sum() / max(len(wanted), 1)), 4),
    }


def simulate(records: Records, recall: float, seed: int) -> list[dict[str, object]]:
    """Predictions of an imitated detector: sample_id, category_id (the name), bbox, score."""
    rng = np.random.default_rng([seed, 1])
    table = records.annotations[records.annotations["x"].notna()]
    classes = sorted(table["label"].unique())
    found: list[dict[str, object]] = []
    for row in table.to_dict("records"):
        box = np.array([row["x"], row["y"], row["w"], row["h"]])
        if rng.random() < recall:
            moved = box + rng.normal(0, 0.04, 4) * np.tile(box[2:], 2)
            label = row["label"] if rng.random() < 0.98 else str(rng.choice(classes))
            found.append(_predicted(row["sample_id"], label, moved, float(rng.beta(8, 2))))
        if rng.random() < 0.2:  # something that is not there, of an ordinary size, anywhere near
            invented = box + np.array([*(rng.normal(0, 2, 2) * box[2:]), 0, 0])
            found.append(_predicted(row["sample_id"], str(rng.choice(classes)), invented, float(rng.beta(2, 4))))
    return found


def _predicted(sample: str, label: str, box: np.ndarray, score: float) -> dict[str, object]:
    return {"sample_id": sample, "category_id": label, "bbox": box.round(2).tolist(), "score": round(score, 4)}


def run_seed(
    records: Records, seed: int, settings: ScoreSettings, predictions: list[dict[str, object]] | None
) -> dict[str, object]:
    """Plant, score, and measure every kind."""
    with tempfile.TemporaryDirectory() as place:
        folder, workspace = Path(place) / "set", Path(place) / "workspace"
        folder.mkdir()
        workspace.mkdir()
        table = plant(records, seed)
        files = write_coco(records, table, folder)
        start = time.perf_counter()
        results = None
        if predictions is not None:
            results = Path(place) / "results.json"
            results.write_text(json.dumps([{**one, "image_id": files[str(one["sample_id"])]} for one in predictions]))
        run = score(folder, settings, workspace, format="coco", predictions=results)
        seconds = time.perf_counter() - start
        boxes, issues = run.boxes(), run.issues()
        path = run.samples().set_index("sample_id")["path"]
        theirs = keys_of(boxes, path[boxes["sample_id"]].map(lambda name: Path(name).name))
        known = dict(zip(theirs, boxes["annotation_id"], strict=True))
    there = table[table["planted"] != "dropped"].reset_index(drop=True)
    there["id"] = [known[key] for key in keys_of(there, there["sample_id"].map(files))]
    in_pair = there[there["pair"] >= 0]
    pair = dict(zip(in_pair["id"], "pair " + in_pair["pair"].astype(str), strict=True))
    planted = {kind: set(there.loc[there["planted"] == kind, "id"]) for kind in ("swapped", "shifted", "doubled")}

    def others(kind: str) -> dict[str, set[str]]:
        return {other: ids for other, ids in planted.items() if other != kind}

    found: dict[str, object] = {"seed": seed, "boxes": len(boxes), "seconds": round(seconds, 1)}
    for kind, issue, wanted, left_out in (
        ("swapped", "label_error", planted["swapped"], others("swapped")),
        (
            "doubled",
            "duplicate_box",
            set(pair.values()),
            {**others("doubled"), "doubled already": doubled_already(records, there)},
        ),
    ):
        rows = issues[issues["issue"] == issue]
        names = rows["annotation_id"].tolist()
        if kind == "doubled":
            names = [pair.get(name, name) for name in names]
        found[kind] = rank_quality(names, rows["is_issue"].to_numpy(dtype=bool), wanted, left_out)
    if predictions is not None:
        rows = issues[issues["issue"] == "badly_located_box"]
        flagged = rows["is_issue"].to_numpy(dtype=bool)
        found["shifted"] = rank_quality(rows["annotation_id"].tolist(), flagged, planted["shifted"], others("shifted"))
        rows = issues[issues["issue"] == "missing_box"]
        flagged = rows["is_issue"].to_numpy(dtype=bool)
        dropped = table[table["planted"] == "dropped"]
        found["dropped"] = rank_quality(
            proposals(rows, path, dropped, files), flagged, set(dropped["annotation_id"]), {}
        )
    return found


def proposals(rows: pd.DataFrame, path: pd.Series, dropped: pd.DataFrame, files: dict[str, str]) -> list[str]:
    """For each proposed box the dropped one in whose place it is, else a name of its own."""
    by_file = {name: part for name, part in dropped.groupby(dropped["sample_id"].map(files))}
    names = []
    for place, row in enumerate(rows.to_dict("records")):
        part = by_file.get(Path(path[row["sample_id"]]).name)
        name = f"proposal {place}"
        if part is not None:
            proposed = np.array([json.loads(row["evidence"])["proposed"]])
            shared = iou(proposed, part[["x", "y", "w", "h"]].to_numpy())[0]
            if shared.max() >= 0.5:
                name = str(part["annotation_id"].iloc[int(shared.argmax())])
        names.append(name)
    return names


def doubled_already(records: Records, there: pd.DataFrame) -> set[str]:
    """Ids of the boxes that lay on another one before anything was planted, and are in no planted pair."""
    before = records.annotations[records.annotations["x"].notna()]
    numbers = before[["x", "y", "w", "h"]].to_numpy(dtype=np.float64)
    first, second, _ = overlapping_pairs(pd.factorize(before["sample_id"])[0], numbers, SAME_PLACE)
    ids = set(before["annotation_id"].to_numpy()[np.concatenate([first, second])])
    return set(there.loc[there["annotation_id"].isin(ids) & (there["pair"] < 0), "id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a set of boxes in any format")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--simulate", type=float, metavar="RECALL", help="imitate a detector that finds this share")
    parser.add_argument("--predictions", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        records = load(str(arguments.source), workspace=Path(place))
    settings = ScoreSettings(mode=arguments.mode, weights=arguments.weights)
    for seed in arguments.seeds:
        predictions = None
        if arguments.simulate is not None:
            predictions = simulate(records, arguments.simulate, seed)
        elif arguments.predictions is not None:
            sample = dict(
                zip(records.samples["path"].str.rpartition("/")[2], records.samples["sample_id"], strict=True)
            )
            given = json.loads(arguments.predictions.read_text())
            predictions = [{**one, "sample_id": sample[Path(one["image_id"]).name]} for one in given]
        print(json.dumps(run_seed(records, seed, settings, predictions)), flush=True)


if __name__ == "__main__":
    main()
