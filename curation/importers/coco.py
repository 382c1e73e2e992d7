"""COCO json: boxes, or labels of whole pictures; whatever else it says is kept as it stands."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.errors import LabelParseError, SourceError
from curation.importers.assemble import shown
from curation.importers.boxes import Builder
from curation.importers.class_maps import merge_class_maps
from curation.importers.coco_entries import OWN, small
from curation.importers.coco_files import CocoFile, describe, looks_like_coco, no_file, picture_folders, readable
from curation.importers.glance import Glance, glance
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.picture_finder import PictureFinder
from curation.importers.places import list_source, real_file, real_folder
from curation.importers.table_paths import list_mentioned
from curation.importers.twins import files_ending, split_of_folders
from curation.progress import Progress
from curation.records import Records, path_to_text, text_to_path
from curation.wording import counted

_LISTS = ("images", "annotations", "categories", "split")

Category = tuple[str, str]  # label, and why there is none


def recognises(seen: Glance) -> str:
    """Why a source is COCO json, "" where it is not."""
    name = next((name for name in seen.ending(".json") if looks_like_coco(seen, name)), "")
    return f"{shown(name, limit=200)} is COCO json" if name else ""


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read all COCO files of a folder, or one file with the pictures beside it; see docs/formats.md for the layouts.

    Raises
    ------
    SourceError : nothing to read, or none of its pictures is there.
    LabelParseError : a file is broken, or contradicts itself; names the file and the place.
    """
    whole = os.path.isdir(source)
    if whole and not options.labels:
        root = real_folder(source)
        listing = list_source(root, workspace, progress)
        files = _files(root, listing)
        _set_masks_aside(files, listing)
    else:
        root, listing, files = _one_file(source, options, workspace, progress)
    reader = _Reader(root, listing, options)
    if not whole:
        listing.rejected.clear()  # what else lies about is nobody's business
    taken, left = readable(files)
    reader.keypoints = any(file.kind == "keypoints" for file in taken)
    for file in left:
        reader.builder.used(file.path)
        reader.builder.note(
            f"{shown(file.path, limit=200)} was not read: its masks are of pictures that other files label."
        )
    with progress.stage("Reading annotations", len(taken), "files") as advance:
        for file in taken:
            reader.read(file)
            advance(1)
    return reader.records(whole, progress)


def _files(root: Path, listing: Listing) -> list[CocoFile]:
    seen = Glance(root)
    named = [path_to_text(path) for path in files_ending(listing, ".json")]
    files = [describe(path, root / text_to_path(path)) for path in named]
    found = [file for file in files if file.kind or looks_like_coco(seen, text_to_path(file.path))]
    if not found:
        raise no_file(root)
    return found


def _set_masks_aside(files: list[CocoFile], listing: Listing) -> None:
    """Pictures in a folder beside `panoptic_train.json` that is called as it are masks, no samples."""
    folders = tuple(file.path.removesuffix(".json") + "/" for file in files if file.kind in ("panoptic", "stuff"))
    masks = [path for path in listing.images if folders and path.startswith(folders)]
    if masks:
        chosen = set(masks)
        listing.images = [path for path in listing.images if path not in chosen]
        listing.rejected += [(path, "a mask of a picture, not a picture") for path in masks]


def _one_file(
    source: str, options: ImportOptions, workspace: Path, progress: Progress
) -> tuple[Path, Listing, list[CocoFile]]:
    """A file that was named: with `--labels`, its pictures are in the source; else they are looked for around it."""
    if options.labels:
        full, root = real_file(options.labels), real_folder(source)
        inside = full.is_relative_to(root)
        file = describe(full.relative_to(root).as_posix() if inside else full.name, full)
        return root, list_source(root, workspace, progress), [file]
    full = real_file(source)
    value = describe(full.name, full).read()
    names = [image["file_name"] for image in value["images"] if _is_named(image)]
    parts = {name.replace("\\", "/").rpartition("/")[0] for name in names}
    above = full.parent.parent
    roots = [above, full.parent] if full.parent.name.lower() in ("annotations", "annotation") else [full.parent, above]
    for root in dict.fromkeys(roots):
        file = describe(full.relative_to(root).as_posix(), full)
        folders = picture_folders(file, _some_folders(root))
        cells = [f"{folder}/{part}/x".replace("//", "/").lstrip("/") for folder in folders for part in parts]
        listing = list_mentioned(root, cells)
        if _any_there(listing, names, folders):
            return root, listing, [_as_file(full, root, value)]
    listing = list_source(full.parent, workspace, progress)
    if _any_there(listing, names, [""]):
        return full.parent, listing, [_as_file(full, full.parent, value)]
    raise SourceError(
        f"None of the {len(names):,} pictures of {shown(full.name)} is beside it"
        f"{f', the first is {shown(names[0], limit=200)}' if names else ''}. Give the folder of the pictures as the "
        f"source, and the file with --labels."
    )


def _any_there(listing: Listing, names: list[str], folders: list[str]) -> bool:
    finder = PictureFinder(listing)
    return any(finder.find_below(name, folders)[0] for name in names)


def _as_file(full: Path, root: Path, content: dict[str, Any]) -> CocoFile:
    """A file that was read already; its folder may say the split, also where it is the root."""
    file = describe(full.relative_to(root).as_posix(), full)
    said = content.pop("split", "")
    file.content = content
    file.split = said or file.split or split_of_folders(f"{full.parent.name}/x")
    return file


def _some_folders(root: Path) -> list[str]:
    return ["", *glance(root).folders]


def _is_named(image: Any) -> bool:
    return isinstance(image, dict) and isinstance(image.get("file_name"), str)


class _Reader:
    """Adds the files to a builder, one at a time."""

    def __init__(self, root: Path, listing: Listing, options: ImportOptions) -> None:
        self.builder = Builder(root, "coco", listing, options)
        self.folders = ["", *listing.folders]
        self.categories: dict[str, dict[str, list[dict[str, Any]]]] = {}  # kind -> file -> list
        self.about: dict[str, dict[str, Any]] = {}  # split -> facts
        self.captions: dict[int, list[dict[str, Any]]] = {}
        self.boxes = False
        self.polygons = 0
        self.keypoints = False
        self.named: dict[
            tuple[int, Any], int
        ] = {}  # picture and annotation id -> annotation, where keypoints may follow

    def read(self, file: CocoFile) -> None:
        value = file.content or file.read()
        self.builder.used(file.path)
        self.boxes |= file.kind in ("boxes", "keypoints", "stuff", "panoptic")
        categories = self._categories(file, value)
        rows, twice = self._pictures(file, value["images"])
        facts = {key: one for key, one in value.items() if key not in _LISTS}
        self.about.setdefault(file.split, facts)
        self._annotations(file, value.get("annotations", []), categories, rows, twice)
        file.content = {}

    def _categories(self, file: CocoFile, value: Mapping[str, Any]) -> dict[Any, str]:
        """id -> label. Two categories of one name are one class; two of one id are a broken file."""
        found: dict[Any, str] = {}
        listed = []
        for k, entry in enumerate(value.get("categories", []), 1):
            where = f"{shown(file.path, limit=300)} category {k}"
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, int | float) and not isinstance(name, bool):
                name = json.dumps(name)
            if not isinstance(entry, dict) or not isinstance(name, str) or name == "":
                raise LabelParseError(f"{where} has no name.")
            key = _key(entry.get("id"))
            if key is None:
                raise LabelParseError(f"{where} ({shown(name)}) has no id.")
            if found.setdefault(key, name) != name:
                raise LabelParseError(f"{where}: the id {key} is that of {shown(found[key])} and of {shown(name)}.")
            listed.append({**entry, "name": name})
        if listed:
            self.categories.setdefault(file.kind, {})[file.path] = listed
        return found

    def _pictures(self, file: CocoFile, images: list[Any]) -> tuple[dict[Any, int], set[Any]]:
        """id -> row of the builder (-1 = no such picture), and ids that several pictures have."""
        folders = picture_folders(file, self.folders)
        rows: dict[Any, int] = {}
        twice: set[Any] = set()
        builder = self.builder
        for k, image in enumerate(images, 1):
            where = f"{file.path} image {k}"
            key = _key(image.get("id")) if isinstance(image, dict) else None
            if key is None or not _is_named(image):
                builder.reject(file.path, f"{where} has no {'id' if key is None else 'file_name'}")
                continue
            path, why = builder.find(image["file_name"], folders)
            if path and file.split and split_of_folders(path) not in ("", file.split):
                path, why = "", f"the only picture of that name is in another split: {shown(path, limit=200)}"
            if not path:
                builder.reject(image["file_name"], f"{where}: {why}")
                row = -1
            else:
                more = {name: one for name, one in image.items() if name not in ("file_name", "width", "height")}
                stated = _size(image.get("width"), image.get("height"))
                row = builder.picture(path, file.split, more, stated, where)
            if rows.setdefault(key, row) != row:
                twice.add(key)
        if twice:
            ids = counted(len(twice), "id is", "ids are")
            builder.note(
                f"{shown(file.path, limit=200)}: {ids} that of several pictures, the first {min(twice, key=str)}; the "
                "annotations that name such an id are left out."
            )
        return rows, twice

    def _annotations(
        self,
        file: CocoFile,
        entries: list[Any],
        categories: Mapping[Any, str],
        rows: Mapping[Any, int],
        twice: set[Any],
    ) -> None:
        where = f"{file.path} annotation "
        builder = self.builder
        for k, entry in enumerate(_segments(entries) if file.kind == "panoptic" else entries, 1):
            if not isinstance(entry, dict):
                builder.reject(file.path, f"{where}{k} is no object")
                continue
            image = _key(entry.get("image_id"))
            row = rows.get(image)
            if row is None or image in twice:
                why = f"two pictures have the id {image}" if image in twice else f"no picture has the id {image}"
                builder.reject(file.path, f"{where}{k}: {why}")
                continue
            if row < 0:
                continue  # its picture is listed as missing
            if "caption" in entry and "bbox" not in entry:
                self.captions.setdefault(row, []).append({n: v for n, v in entry.items() if n not in OWN})
                continue
            key = _key(entry.get("category_id"))
            if key not in categories:
                why = "it has no category_id" if key is None else f"no category has the id {key}"
                builder.reject_of(row, where, k, why)
                continue
            one = small(entry, f"{where}{k}")
            box = one.get("bbox") or None
            self.polygons += one.around
            self.boxes |= box is not None
            known = self.named.get((row, _key(entry.get("id")))) if file.kind == "keypoints" else None
            if known is not None:  # as in COCO itself: instances_*.json has the same annotation without them
                builder.add_to_annotation(known, json.loads(one.more or "{}"))
                continue
            if self.keypoints and file.kind == "boxes":
                self.named[row, _key(entry.get("id"))] = builder.count
            builder.annotate(row, categories[key], box, one.more, where, k)

    def records(self, whole: bool, progress: Progress) -> Records:
        builder = self.builder
        for row, captions in self.captions.items():
            builder.add_to_picture(row, {"captions": captions})
        if self.polygons:
            builder.note(
                f"{counted(self.polygons, 'box is that', 'boxes are those')} around a polygon, since there is no bbox."
            )
        merged: dict[str, Any] = {}
        for kind, maps in self.categories.items():
            merged[kind], notes = merge_class_maps(maps)
            for note in notes:
                builder.note(note)
        classes, _ = merge_class_maps(merged)
        facts = list(self.about.values())
        about: dict[str, Any] = {}
        if facts and all(one == facts[0] for one in facts):
            about = facts[0]
        elif facts:
            about = {"by_split": self.about}
        return builder.records(classes, about, boxes=self.boxes, add_unnamed=whole, progress=progress)


def _segments(entries: list[Any]) -> list[Any]:
    """The segments of panoptic annotations, as annotations of their own."""
    return [
        {**part, "image_id": one.get("image_id")} if isinstance(part, dict) else part
        for one in entries
        if isinstance(one, dict) and isinstance(one.get("segments_info"), list)
        for part in one["segments_info"]
    ]


def _key(value: Any) -> int | str | None:
    """An id as a key: integers exactly, also where they are written as 5.0; None for what can be none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) else None


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    good = all(
        isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < 2**31 for one in (width, height)
    )
    return (int(width), int(height)) if good else None
