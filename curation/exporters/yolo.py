"""YOLO as Ultralytics reads it: `images/train/1.jpg`, `labels/train/1.txt`, `data.yaml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from curation.exporters.annotations import all_marks, decimal, dense_numbers, sizes_of, split_words, stem_names
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark
from curation.exporters.pictures import place_pictures
from curation.importers.yolo import ABOUT
from curation.importers.yolo_text import bounds
from curation.progress import Progress

NAME = "data.yaml"
_SAME_PX = 0.01  # a polygon whose bounds are the box to this is still the box's own


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write a label file for every picture, empty where nothing is in it, and data.yaml."""
    words = split_words(content, "" if content.splits == [""] else "no split")
    above = ["/".join(filter(None, ("images", words[split]))) for split in content.samples["split"].tolist()]
    names = stem_names(content, above)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    numbers = dense_numbers(content, 0)
    about = content.about.get(ABOUT)
    about = about if isinstance(about, dict) else {}
    files = []
    for parent in sorted({name.rpartition("/")[0] for name in names}):
        (folder / _label_file(f"{parent}/x")).parent.mkdir(parents=True)
    for name, marks, size in zip(names, all_marks(content), sizes_of(content), strict=True):
        lines = [_line(mark, numbers, size, "kpt_shape" in about) for mark in marks if mark.box is not None]
        file = _label_file(name)
        (folder / file).write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="")
        files.append(file)
    (folder / NAME).write_text(_yaml(content, words, numbers, about), encoding="utf-8", newline="")
    if "train" not in content.splits or "val" not in content.splits:
        notes.append("Ultralytics wants splits that are called train and val; --resplit 0.8/0.1/0.1 makes such.")
    return Saved(names, hashes, [*files, NAME], notes=notes)


def _label_file(name: str) -> str:
    stem = name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name
    return f"labels{stem.removeprefix('images')}.txt"


def _line(mark: Mark, numbers: list[int], size: tuple[int, int], key_points: bool) -> str:
    assert mark.box is not None
    x, y, w, h = mark.box
    width, height = size
    polygon = mark.attributes.get("polygon")
    if isinstance(polygon, str) and _is_bounds(polygon, mark.box, size):
        return f"{numbers[mark.class_id]} {polygon}"
    shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
    points = mark.attributes.get("keypoints") if key_points else None
    said = [str(numbers[mark.class_id]), *map(decimal, shares), *([points] if isinstance(points, str) else [])]
    return " ".join(said)


def _is_bounds(polygon: str, box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    """Whether a polygon is that of a box still: a box that was moved has lost it."""
    try:
        points = [float(text) for text in polygon.split()]
    except ValueError:
        return False
    if len(points) < 6 or len(points) % 2:
        return False
    inside = [share * side for share, side in zip(bounds(points), (*size, *size), strict=True)]
    return all(abs(one - other) < _SAME_PX for one, other in zip(inside, box, strict=True))


def _yaml(content: Content, words: dict[str, str], numbers: list[int], about: dict[str, Any]) -> str:
    import yaml

    said: dict[str, Any] = {"path": "."}
    said |= {split: f"images/{words[split]}" for split in ("train", "val", "test") if split in content.splits}
    said |= {key: _as_number(value) for key, value in about.items()}
    said["nc"] = len(content.classes)
    said["names"] = dict(sorted(zip(numbers, content.classes, strict=True)))
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=10**9)


def _as_number(value: Any) -> Any:
    """What stood in a data.yaml, with whole numbers as such."""
    if isinstance(value, list):
        return [_as_number(one) for one in value]
    if isinstance(value, dict):
        return {key: _as_number(one) for key, one in value.items()}
    return int(value) if isinstance(value, str) and re.fullmatch(r"0|-?[1-9]\d{0,17}", value, re.ASCII) else value


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="from ultralytics import YOLO\n\nYOLO('yolo11n.pt').train(data='DEST/data.yaml')",
    tasks=("detection",),
)
