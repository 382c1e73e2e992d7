"""A workspace to review: a finished run on real pictures, its first manifest version, and nothing decided."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from curation import manifest, runs
from curation.detectors import ISSUE_COLUMNS
from curation.manifest.reimport import ensure_version
from curation.records import SAMPLE_COLUMNS, empty_annotations, empty_samples, make_annotation_id, make_sample_id

LABELS = ("cat", "dog", "owl", "fox")
COLOURS = ((200, 80, 60), (70, 110, 200), (120, 170, 70), (230, 170, 40))
DATASET = "pets"


def make_workspace(
    folder: Path, count: int = 30, labels: Sequence[str] = LABELS, names: Sequence[str] = (), pictures: bool = True
) -> Path:
    """`count` pictures in `labels` by turns, all flagged, the first four of them two pairs of copies.

    Every picture is suggested to be the label after its own. The first pair of copies has different labels, the second
    the same one. `names` are file names of the first pictures.
    """
    root = folder / "pictures"
    root.mkdir(parents=True)
    paths = [*names, *(f"p{number:03d}.png" for number in range(len(names), count))]
    samples, annotations = _tables(paths, labels)
    for number, path in enumerate(paths if pictures else []):
        _draw(root / path, number if number > 3 else number // 2 * 2, labels)
    probs = np.full((count, len(labels)), 0.05 / max(1, len(labels) - 1), dtype=np.float32)
    suggested = (np.arange(count) + 1) % len(labels)
    probs[np.arange(count), suggested] = 0.95
    given = annotations["label"].tolist()
    near = (np.arange(count)[:, None] + np.arange(1, 6)) % count
    facts = {
        "dataset": DATASET, "root": str(root), "classes": list(labels), "manifest_version": "v0001", "samples": count,
        "issues": {"label_error": count, "conflicting_duplicate": 2, "exact_duplicate": 4},
    }  # fmt: skip
    with runs.open_partial(folder, f"{DATASET}-0") as partial:
        partial.write_table("samples", samples.assign(given_label=given, cluster=_clusters(count), sharpness=5.0))
        partial.write_table("issues", _findings(samples["sample_id"].tolist(), given, [labels[k] for k in suggested]))
        partial.write_array("pred_probs", probs)
        partial.write_array("neighbours", near)
        partial.write_array("neighbour_distances", np.full(near.shape, 0.2, dtype=np.float32))
        partial.write_array("embeddings", np.eye(len(labels), dtype=np.float32)[suggested])
        runs.finish(partial, facts)
    manifest.write_first(samples, annotations, manifest.manifest_folder(folder, DATASET), author="test", message="made")
    return folder


def import_again(folder: Path, labels: Mapping[int, str], count: int = 30) -> str:
    """The source says other labels by now, by number of the picture; the version that makes of it."""
    samples, annotations = _tables([f"p{number:03d}.png" for number in range(count)], LABELS)
    for number, label in labels.items():
        annotations.loc[number, "label"] = label
    place = manifest.manifest_folder(folder, DATASET)
    return ensure_version(samples, annotations, place, author="test", message="again", dataset=DATASET).version


def sample_ids(count: int) -> list[str]:
    """The ids of the pictures of a workspace without names of its own."""
    return [make_sample_id(f"p{number:03d}.png") for number in range(count)]


def _tables(paths: Sequence[str], labels: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    count = len(paths)
    samples = empty_samples(count)
    samples["sample_id"] = [make_sample_id(path) for path in paths]
    samples["path"] = list(paths)
    samples["split"] = ["train" if number % 3 else "test" for number in range(count)]
    samples["content_hash"] = [f"{number:032x}" for number in range(count)]
    samples["status"], samples["format"] = "ok", "PNG"
    samples["width_px"], samples["height_px"] = np.int32(120), np.int32(90)
    samples = samples.astype(SAMPLE_COLUMNS)
    annotations = empty_annotations(count)
    annotations["annotation_id"] = [make_annotation_id(sample_id) for sample_id in samples["sample_id"]]
    annotations["sample_id"] = samples["sample_id"]
    given = [labels[number % len(labels)] for number in range(count)]
    given[3] = given[2]
    annotations["label"] = pd.Series(given, dtype="str")
    return samples, annotations.astype({"annotation_id": "str", "sample_id": "str", "label": "str"})


def _clusters(count: int) -> np.ndarray:
    """The first two are one picture, the next two another one."""
    return np.array([0, 0, 1, 1, *range(2, count - 2)], dtype=np.int64)


def _draw(path: Path, number: int, labels: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (120, 90), COLOURS[number % len(labels) % len(COLOURS)])
    ImageDraw.Draw(picture).text((8, 8), str(number), fill="white", font_size=60)
    picture.save(path, "PNG")


def _findings(ids: list[str], given: list[str], suggested: list[str]) -> pd.DataFrame:
    rows = []
    for one, other in ((0, 1), (2, 3)):
        conflict = given[one] != given[other]
        for mine, twin in ((one, other), (other, one)):
            evidence = {"twin": ids[twin], "twin_label": given[twin], "twin_split": "train", "kind": "exact",
                        "member_count": 2, "members": [[ids[m], given[m]] for m in (one, other)]}  # fmt: skip
            issue, suggestion = ("conflicting_duplicate", given[one]) if conflict else ("exact_duplicate", "")
            rows.append((ids[mine], issue, given[mine], suggestion, evidence))
    for number, sample_id in enumerate(ids):
        evidence = {"p_given": 0.01, "top3": [[suggested[number], 0.95]], "neighbours": [], "judged": True}
        rows.append((sample_id, "label_error", given[number], suggested[number], evidence))
    table = pd.DataFrame(
        {
            "sample_id": [row[0] for row in rows], "annotation_id": [make_annotation_id(row[0]) for row in rows],
            "issue": [row[1] for row in rows], "score": 0.1, "is_issue": True, "rank": range(1, len(rows) + 1),
            "given_label": [row[2] for row in rows], "suggestion": [row[3] for row in rows],
            "evidence": [json.dumps(row[4]) for row in rows],
        }
    )  # fmt: skip
    texts = {name: "str" for name in ISSUE_COLUMNS if name not in ("score", "is_issue", "rank")}
    return table[list(ISSUE_COLUMNS)].astype({**texts, "score": "float64", "rank": "int64"})
