"""What a detector predicted, in the format of COCO's results: a JSON list of image_id, category_id, bbox and score."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.errors import LabelParseError, SourceError
from curation.importers.assemble import shown
from curation.importers.json_file import read_json
from curation.records import Records
from curation.wording import counted

_NAMED = 5


@dataclass(frozen=True)
class Predictions:
    """Boxes that a detector found.

    table : `path` of the picture, `label`, x, y, w, h in pixels of the upright picture, `score` in [0, 1]
    key : hash of the table, since other predictions make another run
    notes : what was left out
    """

    table: pd.DataFrame
    key: str
    notes: tuple[str, ...] = ()


def read_predictions(file: Path, records: Records) -> Predictions:
    """Read the predictions for the pictures of a set.

    `image_id` is the id that COCO's json gave a picture, or its path, or its file name with or without extension where
    only one picture has it. `category_id` is the number of a class where the source has numbers, or its name.

    Raises
    ------
    SourceError : not one of them is about a picture of this set, or the file cannot be read.
    LabelParseError : an entry is no prediction; names it by its place in the list.
    """
    name = shown(file.name, limit=300)
    entries = read_json(file)
    if not isinstance(entries, list):
        raise LabelParseError(f"{name} is no list of predictions; COCO's results begin with [.")
    pictures, classes = _picture_names(records.samples), _class_names(records)
    rows: list[tuple[Any, ...]] = []
    unknown: Counter[str] = Counter()
    for place, entry in enumerate(entries, 1):
        image, label, box, score = _parts(entry, f"{name} prediction {place}", classes)
        path = pictures.get(image)
        if path is None:
            unknown[str(image)] += 1
        else:
            rows.append((path, label, *box, score))
    left = ", ".join(shown(key) for key, _ in unknown.most_common(_NAMED))
    if entries and not rows:
        raise SourceError(
            f"No prediction in {name} is about a picture of this set. It names the image_id {left}; expected are the "
            f"ids of the set's own json, or file names such as {shown(str(records.samples['path'].iat[0]))}."
        )
    notes = [
        f"{counted(sum(unknown.values()), 'prediction')} in {name} left out: no picture, or several, are called {left}."
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "x", "y", "w", "h", "score"])
    table = table.astype({"path": "str", "label": "str", **dict.fromkeys(["x", "y", "w", "h", "score"], "float64")})
    key = hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()
    return Predictions(table, key, tuple(notes if unknown else ()))


def _parts(entry: Any, where: str, classes: Mapping[Any, str]) -> tuple[Hashable, str, list[float], float]:
    """image_id, class name, box and score of one entry."""
    if not isinstance(entry, dict):
        raise LabelParseError(f"{where} is no object.")
    image, category = entry.get("image_id"), entry.get("category_id")
    if not isinstance(image, int | str) or isinstance(image, bool):
        raise LabelParseError(f"{where} has no image_id that is a number or a name.")
    if not isinstance(category, int | str) or isinstance(category, bool) or category not in classes:
        known = ", ".join(shown(str(key)) for key in list(classes)[:_NAMED])
        raise LabelParseError(f"{where}: the category_id {shown(str(category))} is no class of this set ({known} ...).")
    box, score = entry.get("bbox"), entry.get("score")
    numbers = [*(box if isinstance(box, list) else []), score]
    if len(numbers) != 5 or not all(_is_number(value) for value in numbers):
        raise LabelParseError(f"{where} needs a bbox of four numbers [x, y, width, height] and a score.")
    if not 0 <= float(numbers[4]) <= 1:
        raise LabelParseError(f"{where}: the score {numbers[4]} is not between 0 and 1.")
    return image, classes[category], [float(value) for value in numbers[:4]], float(numbers[4])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _picture_names(samples: pd.DataFrame) -> dict[Hashable, str]:
    """Everything that a picture may be called -> its path, surer names first; what several are called is left out."""
    paths = samples["path"].tolist()
    names: dict[Hashable, str] = {path: path for path in paths}
    for called in (
        [_source_id(text) for text in samples["sample_attributes"]],
        [path.rpartition("/")[2] for path in paths],
        [path.rpartition("/")[2].rpartition(".")[0] for path in paths],
    ):
        count = Counter(called)
        for name, path in zip(called, paths, strict=True):
            if count[name] == 1 and name not in (None, ""):
                names.setdefault(name, path)
    return names


def _source_id(attributes: str) -> int | str | None:
    """The id that the source itself gave a picture."""
    found = json.loads(attributes).get("id") if attributes else None
    return found if isinstance(found, int | str) and not isinstance(found, bool) else None


def _class_names(records: Records) -> dict[Hashable, str]:
    """Number and name of each class -> its name."""
    names: dict[Hashable, str] = {label: label for label in sorted(records.annotations["label"].unique())}
    for one in records.classes:
        names.setdefault(one["name"], one["name"])
        if isinstance(one.get("id"), int | str):
            names.setdefault(one["id"], one["name"])
    return names
