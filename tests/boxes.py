"""Small sets of boxes as real files: cells on a slide, drawn as discs, squares and rings, and their records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from curation.records import Records, empty_annotations, empty_samples, make_annotation_id, make_sample_id

KINDS = ("disc", "square")
COLOURS = {"disc": (200, 40, 40), "square": (40, 60, 200)}


def draw_slides(root: Path, count: int, per_picture: int = 4, seed: int = 0) -> pd.DataFrame:
    """Write `count` pictures of 128 x 96 with discs and squares on a grid; path, label, x, y, w, h of each."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        picture = Image.fromarray(random.integers(120, 150, (96, 128, 3), dtype=np.uint8))
        pen = ImageDraw.Draw(picture)
        places = random.permutation(12)[:per_picture]
        for place in places.tolist():
            kind = KINDS[int(random.integers(0, 2))]
            side = int(random.integers(16, 25))
            x, y = (place % 4) * 32 + int(random.integers(0, 6)), (place // 4) * 32 + int(random.integers(0, 6))
            corners = (x, y, x + side - 1, y + side - 1)
            (pen.ellipse if kind == "disc" else pen.rectangle)(corners, fill=COLOURS[kind])
            rows.append((f"{number:03d}.png", kind, float(x), float(y), float(side), float(side)))
        picture.save(root / f"{number:03d}.png")
    return pd.DataFrame(rows, columns=["path", "label", "x", "y", "w", "h"])


def records_of(root: Path, boxes: pd.DataFrame, paths: list[str] | None = None) -> Records:
    """Detection records of pictures below `root` (default: all that are there), ids as importers give them."""
    paths = sorted(path.name for path in root.iterdir()) if paths is None else paths
    samples = empty_samples(len(paths))
    samples["path"] = pd.Series(paths, dtype="str")
    samples["sample_id"] = pd.Series([make_sample_id(path) for path in paths], dtype="str")
    annotations = empty_annotations(len(boxes))
    owner = boxes["path"].map(make_sample_id)
    annotations["sample_id"] = pd.Series(owner.tolist(), dtype="str")
    position = owner.groupby(owner).cumcount()
    ids = [make_annotation_id(sample, at) for sample, at in zip(owner, position, strict=True)]
    annotations["annotation_id"] = pd.Series(ids, dtype="str")
    annotations["label"] = pd.Series(boxes["label"].tolist(), dtype="str")
    for name in "xywh":
        annotations[name] = boxes[name].to_numpy(np.float64)
    return Records(samples, annotations, root, "by hand", "detection")


def write_csv(root: Path, boxes: pd.DataFrame) -> None:
    """The csv that goes with TensorFlow's object detection: filename, width, height, class, corners."""
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    lines += [
        f"{row.path},128,96,{row.label},{row.x},{row.y},{row.x + row.w},{row.y + row.h}" for row in boxes.itertuples()
    ]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
