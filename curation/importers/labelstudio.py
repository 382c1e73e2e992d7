"""Label Studio's json exports, the full one and json-min: rectangles in percent, choices; its XML settings are no data.

A polygon or an ellipse counts as the box around it, and is kept as it is for a later export; everything else is kept
with the picture. Where several people annotated a picture, what the first of them said counts, and this is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from curation.errors import LabelParseError
from curation.importers.annotation_files import annotation_files
from curation.importers.assemble import canonical_split, shown
from curation.importers.boxes import Builder
from curation.importers.glance import Glance
from curation.importers.json_file import read_json
from curation.importers.listing import Listing, is_image_name
from curation.importers.options import ImportOptions
from curation.importers.shapes import Box, bounds
from curation.importers.twins import split_of_folders
from curation.progress import Progress
from curation.records import Records
from curation.wording import counted

# What the program writes where nothing was said; left out here, and written again.
DEFAULTS: dict[str, Any] = {"from_name": "label", "to_name": "image", "image_rotation": 0}
AREAS = ("rectanglelabels", "polygonlabels", "ellipselabels")
CHOICES = "choices"
_TASKS = re.compile(r'"data"\s*:\s*\{')
_RESULTS = re.compile(r'"(annotations|completions|predictions)"\s*:\s*\[')
_MIN = re.compile(r'"(annotator|annotation_id|lead_time)"\s*:')
_PREFIX = re.compile(r"[0-9a-f]{8}-")  # in front of the names of uploaded files
SETTINGS = "label_config.xml"  # with the classes, beside what we export; for people
_OWN_OF_MIN = ("image", "img", "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "split")


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    name = next((name for name in seen.ending(".json") if looks_like_tasks(seen, name)), "")
    return f"{shown(name, limit=200)} is a json export of Label Studio" if name else ""


def looks_like_tasks(seen: Glance, name: str) -> bool:
    """Whether the beginning and the end of a json file are those of a list of tasks."""
    head = seen.head(name)
    if not head.lstrip("\ufeff \t\r\n").startswith("["):
        return False
    text = head + seen.tail(name)
    return bool((_TASKS.search(text) and _RESULTS.search(text)) or _MIN.search(text))


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a folder with exports and pictures, or one file with the pictures beside or below it.

    Raises
    ------
    SourceError : nothing to read.
    LabelParseError : a file is broken, or no list of tasks; names the file and the place.
    """
    root, listing, files = annotation_files(
        source, options, workspace, progress, ".json", looks_like_tasks, "json export of Label Studio"
    )
    reader = _Reader(root, listing, options)
    with progress.stage("Reading annotations", len(files), "files") as advance:
        for where, full in files:
            reader.read(where, read_json(full, where))
            advance(1)
    return reader.records(progress)


class _Reader:
    """Adds the files to a builder, one at a time."""

    def __init__(self, root: Path, listing: Listing, options: ImportOptions) -> None:
        self.builder = Builder(root, "labelstudio", listing, options)
        self.shapes = self.choices = self.several = self.turned = 0

    def read(self, where: str, tasks: Any) -> None:
        if not isinstance(tasks, list):
            raise LabelParseError(f"{shown(where, limit=300)} is no export of Label Studio, which is a list of tasks.")
        self.builder.used(where)
        self.builder.used(SETTINGS)
        for k, task in enumerate(tasks, 1):
            if isinstance(task, dict):
                self._add_task(where, k, task if isinstance(task.get("data"), dict) else _of_min(task))
            else:
                self.builder.reject(where, f"{where} task {k} is no object")

    def _add_task(self, where: str, k: int, task: dict[str, Any]) -> None:
        builder, data = self.builder, task["data"]
        key = _picture_key(data)
        if not key:
            builder.reject(where, f"{where} task {k} has no picture")
            return
        path, why = self._find(data[key])
        if not path:
            builder.reject(data[key], f"{where} task {k}: {why}")
            return
        more = {name: one for name, one in task.items() if name not in ("data", "annotations", "completions")}
        rest = {name: one for name, one in data.items() if name not in (key, "split")}
        annotation, results = self._chosen(task)
        regions = list(_joined(results))
        others = [one for one in regions if not _labels_of(one)]
        for name, value in (("data", rest), ("annotation", annotation), ("result", others)):
            more.update({name: value} if value else {})
        more.update({"key": key} if key != "image" else {})
        split = canonical_split(data["split"]) if isinstance(data.get("split"), str) else split_of_folders(path)
        row = builder.picture(path, split, more, _size(regions), where)
        for region in regions:
            for label in _labels_of(region):
                self._add(row, region, label, f"{where} task ", k)

    def _find(self, name: str) -> tuple[str, str]:
        """The picture that a URL or path means: what is behind `?d=`, the path itself, the name without its prefix."""
        why = "there is no such file"
        for candidate in _names_of(name):
            path, why = self.builder.find(candidate)
            if path:
                return path, ""
        return "", why

    def _chosen(self, task: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """What is said of the annotation that counts, and its results: ground truth, else the first one."""
        found = task.get("annotations", task.get("completions"))
        real = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        real = [one for one in real if not one.get("was_cancelled") and isinstance(one.get("result"), list)]
        self.several += len(real) > 1
        if not real:
            return {}, []
        best = next((one for one in real if one.get("ground_truth") is True), real[0])
        return {name: one for name, one in best.items() if name != "result"}, best["result"]

    def _add(self, row: int, region: dict[str, Any], label: Any, where: str, k: int) -> None:
        kind, value = region["type"], region["value"]
        own = {kind, "x", "y", "width", "height"} if kind == "rectanglelabels" else {kind}
        rest = {name: one for name, one in value.items() if name not in own and (name, one) != ("rotation", 0)}
        out = ("type", "value", "original_width", "original_height")
        more = {name: one for name, one in region.items() if name not in out and DEFAULTS.get(name, ...) != one}
        more.update({"value": rest} if rest else {})
        if kind == CHOICES:
            self.choices += 1
            self.builder.annotate(row, label, None, more, where, k)
            return
        self.shapes += 1
        self.turned += bool(value.get("rotation"))
        if kind != "rectanglelabels":
            more["type"] = kind
        try:
            box = box_of(kind, value)
        except (ValueError, TypeError, KeyError) as error:
            self.builder.reject_of(row, where, k, f"a region without its numbers ({error})")
            return
        self.builder.annotate(row, label, [one / 100 for one in box], more, where, k, relative=True)

    def records(self, progress: Progress) -> Records:
        if self.several:
            tasks = counted(self.several, "picture was", "pictures were")
            self.builder.note(
                f"{tasks} annotated more than once; the annotation marked as true counts, else the first."
            )
        if self.turned:
            self.builder.note(
                f"{self.turned:,} boxes are turned; they are judged as if they were not, and keep their angle."
            )
        return self.builder.records(boxes=self.shapes > 0, progress=progress)


def box_of(kind: str, value: Mapping[str, Any]) -> Box:
    """x, y, width, height of a region in percent of the picture.

    Raises
    ------
    ValueError, TypeError, KeyError : it has no such numbers.
    """
    if kind == "polygonlabels":
        return bounds(value["points"])
    x, y = float(value["x"]), float(value["y"])
    if kind == "ellipselabels":
        rx, ry = float(value["radiusX"]), float(value["radiusY"])
        return x - rx, y - ry, 2 * rx, 2 * ry
    return x, y, float(value["width"]), float(value["height"])


def _labels_of(region: Any) -> list[Any]:
    """The labels of a region that is a box, a shape with an area, or a choice for the picture; [] for all others."""
    kind = region.get("type") if isinstance(region, dict) else None
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict) or kind not in (*AREAS, CHOICES):
        return []
    found = value.get(kind)
    return found if isinstance(found, list) else []


def _joined(results: list[Any]) -> Iterator[Any]:
    """Regions; a shape and its labels that stand apart under one id (from a tag and its labels) are put together."""
    plain = {"rectangle": "rectanglelabels", "polygon": "polygonlabels", "ellipse": "ellipselabels"}
    labels = {
        one.get("id"): one["value"]["labels"]
        for one in results
        if isinstance(one, dict)
        and one.get("type") == "labels"
        and isinstance(one.get("value"), dict)
        and isinstance(one["value"].get("labels"), list)
    }
    for one in results:
        if isinstance(one, dict) and one.get("type") in plain and one.get("id") in labels:
            kind = plain[one["type"]]
            value = one["value"] if isinstance(one.get("value"), dict) else {}
            yield {**one, "type": kind, "value": {**value, kind: labels[one["id"]]}}
        elif not (isinstance(one, dict) and one.get("type") == "labels" and one.get("id") in labels):
            yield one


def _of_min(task: dict[str, Any]) -> dict[str, Any]:
    """A task of json-min as one of the full export."""
    results: list[dict[str, Any]] = []
    data: dict[str, Any] = {}
    annotation = {}
    for name, value in task.items():
        if name in ("annotator", "annotation_id", "created_at", "updated_at", "lead_time"):
            annotation[name] = value
        elif name in _OWN_OF_MIN:
            data.update({name: value} if name != "id" else {})
        elif isinstance(value, dict) and isinstance(value.get("choices"), list):
            results.append({"type": CHOICES, "from_name": name, "value": {CHOICES: value["choices"]}})
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for one in value:
                kind = next((kind for kind in AREAS if kind in one), "")
                results.append({"type": kind, "from_name": name, "value": one})
        elif isinstance(value, str) and not is_image_name(value):
            results.append({"type": CHOICES, "from_name": name, "value": {CHOICES: [value]}})
        else:
            data[name] = value
    own = {"id": task["id"]} if "id" in task else {}
    return {**own, "data": data, "annotations": [{**annotation, "result": results}]}


def _picture_key(data: Mapping[str, Any]) -> str:
    """The key of `data` that holds the picture."""
    texts = [name for name, value in data.items() if isinstance(value, str) and value]
    usual = [name for name in ("image", "img", "picture", "photo") if name in texts]
    named = [name for name in texts if any(is_image_name(one) for one in _names_of(data[name]))]
    return next(iter([*usual, *named]), "")


def _names_of(text: str) -> list[str]:
    """What a picture may be called in the folder, by the path or URL that a task has; nothing is fetched."""
    found = [text]
    parts = urlsplit(text) if text.isprintable() and "]" not in text and "[" not in text else None
    if parts is not None and (parts.scheme or text.startswith("/")):
        inside = parse_qs(parts.query).get("d", [""])[0]
        path = unquote(parts.path).lstrip("/")
        found += [inside.lstrip("/"), path.removeprefix("data/"), path.rpartition("/")[2]]
    last = found[-1].rpartition("/")[2]
    if _PREFIX.match(last):
        found.append(last[9:])
    return [name for name in dict.fromkeys(found) if name]


def _size(regions: list[Any]) -> tuple[int, int] | None:
    for region in regions:
        if isinstance(region, dict):
            size = region.get("original_width"), region.get("original_height")
            if all(type(one) is int and 0 < one < 2**31 for one in size):
                return int(size[0] or 0), int(size[1] or 0)
    return None
