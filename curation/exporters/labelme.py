"""LabelMe: a json file beside each picture, as the program opens them: `train/1.jpg`, `train/1.json`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.exporters.annotations import all_marks, sizes_of, split_words, stem_names
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, plain, sample_facts
from curation.exporters.pictures import place_pictures
from curation.importers.labelme import AREAS, DEFAULTS, VERSION, box_of
from curation.importers.twins import split_of_folders
from curation.progress import Progress

_OWN = ("version", "flags", "shapes", "split", "imagePath", "imageData", "imageHeight", "imageWidth")
_NEAR = 1e-6  # pixels: a shape is kept while the box around it is still the one that was read


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write each picture and, beside it, its json; labels of whole pictures are flags there."""
    words = split_words(content, "images")
    splits = content.samples["split"].tolist()
    names = stem_names(content, [words[split] for split in splits])
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    files = []
    said = zip(names, splits, all_marks(content), sample_facts(content), sizes_of(content), strict=True)
    with progress.stage("Writing annotations", len(names)) as advance:
        for name, split, marks, facts, size in said:
            file = f"{os.path.splitext(name)[0]}.json"
            value = _annotation(content, name.rpartition("/")[2], marks, facts, size)
            if split_of_folders(name) != split:
                value["split"] = split
            text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
            (folder / file).write_text(text + "\n", encoding="utf-8", newline="")
            files.append(file)
            advance(1)
    notes.append("Corners are in pixels of the upright picture, edges counted from 0.")
    return Saved(names, hashes, files, notes=notes)


def _annotation(
    content: Content, name: str, marks: list[Mark], facts: Mapping[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    others, known = facts.get("shapes"), facts.get("flags")
    flags = dict(known) if isinstance(known, dict) else {}
    if content.task != "detection":
        flags |= dict.fromkeys(content.classes, False)
    flags |= {mark.label: True for mark in marks if mark.box is None}
    shapes = [_shape(mark, mark.box) for mark in marks if mark.box is not None]
    return {
        "version": facts.get("version", VERSION),
        "flags": flags,
        "shapes": [*shapes, *(others if isinstance(others, list) else [])],
        "imagePath": name,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
        **{key: value for key, value in facts.items() if key not in _OWN},
    }


def _shape(mark: Mark, box: tuple[float, float, float, float]) -> dict[str, Any]:
    x, y, w, h = box
    corners = [[plain(x), plain(y)], [plain(x + w), plain(y + h)]]
    kind, points = mark.attributes.get("shape_type"), mark.attributes.get("points")
    if not (isinstance(kind, str) and kind in AREAS and _is_around(box, kind, points)):
        kind, points = "rectangle", corners
    more = {key: value for key, value in mark.attributes.items() if key not in ("label", "points", "shape_type")}
    return {"label": mark.label, "points": points, "shape_type": kind, **DEFAULTS, **more}


def _is_around(box: tuple[float, float, float, float], kind: str, points: Any) -> bool:
    """Whether the box is still the one around a shape, so that nobody has moved it since."""
    try:
        found = box_of(kind, points)
    except ValueError:
        return False
    return all(math.isclose(one, other, abs_tol=_NEAR) for one, other in zip(box, found, strict=True))


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="import json\n\nwith open('DEST/train/NAME.json') as stream:  # or: labelme DEST/train\n"
    "    shapes = json.load(stream)['shapes']",
    tasks=("single-label", "multi-label", "detection"),
)
