"""Small data sets in the formats of boxes, with real pictures, and what they say in one comparable form."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curation.decoding.tf_example import write_example
from curation.decoding.tfrecord import write_record
from curation.records import Records

SIZE = (40, 20)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write a picture of noise, another for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def write(path: Path, text: str | bytes) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def voc_xml(*objects: tuple[str, Sequence[Any]], more: str = "", name: str = "1.png") -> str:
    """An annotation file; each object a label and its xmin, ymin, xmax, ymax."""
    made = "".join(
        f"<object>\n<name>{label}</name>\n<bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{a}</xmax><ymax>{b}</ymax></bndbox>"
        f"\n</object>\n"
        for label, (x, y, a, b) in objects
    )
    return f"<annotation>\n<filename>{name}</filename>\n{more}{made}</annotation>\n"


def example(label: str, corners: Sequence[float], data: bytes, **more: Any) -> bytes:
    """A serialised tf.train.Example with one object, corners in shares."""
    features: dict[str, Any] = {
        "image/encoded": [data],
        "image/filename": [b"1.png"],
        "image/object/class/text": [label.encode()],
        "image/object/class/label": [1],
    }
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
        features[f"image/object/bbox/{name}"] = [float(value)]
    return write_example({**features, **more})


def record_file(path: Path, *records: bytes) -> Path:
    """A TFRecord."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for data in records:
            write_record(stream, data)
    return path


def small_set(folder: Path, name: str) -> Path:
    """A data set of two pictures in a format of boxes."""
    if name == "voc":
        picture(folder / "JPEGImages/1.png", 1)
        picture(folder / "JPEGImages/2.png", 2)
        write(folder / "Annotations/1.xml", voc_xml(("cat", (1, 2, 11, 12))))
        write(folder / "ImageSets/Main/train.txt", "1\n2\n")
    elif name == "yolo":
        picture(folder / "images/train/1.png", 1)
        picture(folder / "images/val/2.png", 2)
        write(folder / "labels/train/1.txt", "1 0.5 0.5 0.25 0.5\n")
        write(folder / "labels/val/2.txt", "")
        write(folder / "data.yaml", "train: images/train\nval: images/val\nnames: [dog, cat]\n")
    elif name == "oidv4":
        picture(folder / "train/cat/1.png", 1)
        picture(folder / "validation/dog/2.png", 2)
        write(folder / "train/cat/Label/1.txt", "cat 1 2 11 12\n")
        write(folder / "validation/dog/Label/2.txt", "dog 1.5 2 11 12\n")
    elif name == "openimages":
        picture(folder / "images/train/a.png", 1)
        picture(folder / "images/validation/b.png", 2)
        write(folder / "annotations/class-descriptions.csv", "/m/0,Cat\n/m/1,Dog\n")
        header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"
        write(folder / "annotations/train-annotations-bbox.csv", f"{header}a,xclick,/m/0,1,0.25,0.5,0.1,0.6,1\n")
    elif name == "tfrecord":
        data = picture(folder / "x/1.png", 1).read_bytes()
        os.remove(folder / "x/1.png")
        record_file(folder / "train.record", example("cat", (0.25, 0.1, 0.5, 0.6), data))
        write(folder / "label_map.pbtxt", "item {\n  id: 1\n  name: 'cat'\n}\n")
    elif name == "csv":
        picture(folder / "images/1.png", 1)
        picture(folder / "images/2.png", 2)
        header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        write(folder / "train_labels.csv", f"{header}1.png,40,20,cat,1,2,11,12\n")
    return folder


def boxes_of(records: Records) -> dict[str, list[tuple[Any, ...]]]:
    """Path -> its (label, x, y, w, h), rounded to a millionth; labels of whole pictures without numbers."""
    found: dict[str, list[tuple[Any, ...]]] = {path: [] for path in records.samples["path"]}
    paths = dict(zip(records.samples["sample_id"], records.samples["path"], strict=True))
    for row in records.annotations.itertuples():
        box = () if row.x != row.x else (row.x, row.y, row.w, row.h)
        found[paths[row.sample_id]].append((row.label, *(round(value, 6) for value in box)))
    return found


def attributes_of(records: Records) -> list[Mapping[str, Any]]:
    """The attributes of every annotation, in the order of the table."""
    return [json.loads(text) if text else {} for text in records.annotations["attributes"]]


def facts_of(records: Records) -> dict[str, Any]:
    """Path -> what the source says of the picture."""
    both = zip(records.samples["path"], records.samples["sample_attributes"], strict=True)
    return {path: json.loads(text) if text else {} for path, text in both}


def class_names(records: Records) -> list[str]:
    """The class list of the source, in its order."""
    return [entry["name"] for entry in records.classes]
