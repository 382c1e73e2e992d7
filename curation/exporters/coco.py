"""COCO json: `annotations/instances_train.json` and `images/train/`, as pycocotools and most detectors read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.exporters.annotations import all_marks, split_words
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import Mark, class_numbers, plain, sample_facts
from curation.exporters.names import file_names
from curation.exporters.pictures import folders_above, picture_names, place_pictures
from curation.importers.coco_files import describe
from curation.progress import Progress

_IMAGE_KEYS = ("id", "file_name", "width", "height", "captions")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox")
_KINDS = ("instances", "labels", "captions")  # of boxes, of whole pictures, of texts


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write per split `instances_*.json` for boxes, `labels_*.json` for labels of whole pictures and `captions_*.json`
    where there are captions, and the pictures in `images/`. Ids are those of the source where it has them."""
    samples = content.samples
    words = split_words(content)
    splits = {split: words[split] for split in content.splits}
    places = ["/".join(filter(None, ("images", splits[split]))) for split in samples["split"].tolist()]
    taken = [*folders_above([f"{place}/x" for place in set(places)])]
    names = file_names(places, picture_names(content), samples["sample_id"].tolist(), taken)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    (folder / "annotations").mkdir()
    marks, facts = all_marks(content), sample_facts(content)
    own = [name[len(place) + 1 :] for name, place in zip(names, places, strict=True)]
    files = []
    with progress.stage("Writing annotations", len(names)) as advance:
        for split, word in splits.items():
            rows = np.flatnonzero(samples["split"].to_numpy(object) == split).tolist()
            for kind, lists in _lists(content, split, rows, own, marks, facts).items():
                name = f"annotations/{kind}_{word or 'default'}.json"
                _write(folder / name, _head(content, split, word), lists)
                files.append(name)
            advance(len(rows))
    notes.append(
        "Boxes are x, y, width, height in pixels of the upright picture, counted from 0; ids need not be 1, 2, 3."
    )
    return Saved(names, hashes, files, notes=notes)


def _lists(
    content: Content,
    split: str,
    rows: Sequence[int],
    names: Sequence[str],
    marks: Sequence[list[Mark]],
    facts: Sequence[dict[str, Any]],
) -> dict[str, dict[str, Iterable[Any]]]:
    """The lists of each file of a split, by its kind."""
    widths, heights = (content.samples[name].tolist() for name in ("width_px", "height_px"))
    ids = _numbers([facts[row].get("id") for row in rows])
    images = [
        {
            "id": key,
            "file_name": names[row],
            "width": widths[row],
            "height": heights[row],
            **_without(facts[row], _IMAGE_KEYS),
        }
        for key, row in zip(ids, rows, strict=True)
    ]
    categories = [
        {**_without(details, ("id", "name")), "id": number, "name": details["name"]}
        for details, number in zip(content.class_details, class_numbers(content.class_details, 1), strict=True)
    ]
    of_class = [entry["id"] for entry in categories]
    both = [(key, mark) for key, row in zip(ids, rows, strict=True) for mark in marks[row]]
    boxes = [(key, mark) for key, mark in both if mark.box is not None]
    whole = [(key, mark) for key, mark in both if mark.box is None]
    texts = [(key, one) for key, row in zip(ids, rows, strict=True) for one in _captions(facts[row])]
    detection = content.task == "detection"
    found: dict[str, dict[str, Iterable[Any]]] = {}
    if detection or boxes:
        found["instances"] = {"images": images, "annotations": _entries(boxes, of_class), "categories": categories}
    if whole or not detection:
        found["labels"] = {"images": images, "annotations": _entries(whole, of_class), "categories": categories}
    if texts:
        numbers = _numbers([one.get("id") for _, one in texts])
        captions = [{"id": n, "image_id": key, **_without(one, ("id", "image_id"))}
                    for n, (key, one) in zip(numbers, texts, strict=True)]  # fmt: skip
        found["captions"] = {"images": images, "annotations": captions, "categories": []}
    return found


def _entries(marks: Sequence[tuple[int | str, Mark]], of_class: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Annotation objects; with an area and `iscrowd`, which evaluation wants, also where the source has none."""
    ids = _numbers([mark.attributes.get("id") for _, mark in marks])
    for number, (image, mark) in zip(ids, marks, strict=True):
        entry: dict[str, Any] = {"id": number, "image_id": image, "category_id": of_class[mark.class_id]}
        if mark.box is not None:
            entry["bbox"] = [plain(value) for value in mark.box]
            entry["area"] = plain(mark.box[2] * mark.box[3])
            entry["iscrowd"] = 0
        yield {**entry, **_without(mark.attributes, _ANNOTATION_KEYS)}


def _numbers(known: Sequence[Any]) -> list[Any]:
    """The ids that are there, each once, and new integers for the others. A text stays one where all are: mixed ids
    would not sort."""
    texts = bool(known) and all(isinstance(value, str) for value in known) and len(set(known)) == len(known)
    if texts:
        return list(known)
    seen: set[int] = set()
    kept: list[int | None] = []
    for value in known:
        good = isinstance(value, int) and not isinstance(value, bool) and value not in seen
        kept.append(value if good else None)
        seen.update([value] if good else [])
    free = max(seen, default=0) + 1
    found = []
    for value in kept:
        found.append(free if value is None else value)
        free += value is None
    return found


def _captions(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    captions = facts.get("captions")
    return [one for one in captions if isinstance(one, dict)] if isinstance(captions, list) else []


def _head(content: Content, split: str, word: str) -> dict[str, Any]:
    """What the source says of all of it, or of this split; and the split where the name of the file does not say it."""
    about = content.about
    by_split = about.get("by_split")
    if isinstance(by_split, dict):
        one = by_split.get(split, next(iter(by_split.values()), {}))
        about = one if isinstance(one, dict) else {}
    head = _without(about, ("images", "annotations", "categories", "split"))
    read = describe(f"annotations/instances_{word or 'default'}.json", Path()).split
    return {**head, "split": split} if read != split else head


def _without(facts: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in keys}


def _write(path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[Any]]) -> None:
    """One entry per line: it can be read with the eye, compared, and is never whole in memory."""
    with path.open("w", encoding="utf-8", newline="", errors="surrogatepass") as stream:
        stream.write("{\n")
        for key, value in head.items():
            stream.write(f"{_text(key)}: {_text(value)},\n")
        for at, (key, entries) in enumerate(lists.items()):
            stream.write(f"{_text(key)}: [")
            for k, entry in enumerate(entries):
                stream.write(",\n" if k else "\n")
                stream.write(_text(entry))
            stream.write("\n]" + (",\n" if at < len(lists) - 1 else "\n"))
        stream.write("}\n")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False)


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="from pycocotools.coco import COCO\n\ntrain = COCO('DEST/annotations/instances_train.json')\n"
    "boxes = train.loadAnns(train.getAnnIds(train.getImgIds()[0]))  # the picture: DEST/images/train/",
    tasks=("single-label", "multi-label", "detection"),
)
