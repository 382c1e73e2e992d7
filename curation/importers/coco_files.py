"""Which files of a source are COCO json, of what kind and split each is, and where its pictures may lie."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.errors import LabelParseError, SourceError
from curation.importers.assemble import SPLITS, canonical_split, shown
from curation.importers.coco_entries import shrunk
from curation.importers.glance import Glance
from curation.importers.json_file import read_json
from curation.importers.twins import split_of_folders

# How COCO's own files begin -> what they hold. Files of other names are told by what is in them.
KINDS = {
    "instances": "boxes",
    "person_keypoints": "keypoints",
    "labels": "labels",
    "captions": "captions",
    "image_info": "pictures",
    "stuff": "stuff",
    "panoptic": "panoptic",
}
_MASKS = ("stuff", "panoptic")  # read only where nothing else is there
_IMAGES = re.compile(r'"images"\s*:\s*\[')
_ANNOTATIONS = re.compile(r'"annotations"\s*:\s*\[')
_IMAGE_ID = re.compile(r'"image_id"\s*:')


@dataclass
class CocoFile:
    """One annotation file.

    path : relative to the root, or as the user gave it
    kind : a value of KINDS, "" = not told by its name
    token : the split as the file's name spells it ("train2017"), for the folder of its pictures
    split : canonical, "" = none
    """

    path: str
    full: Path
    kind: str
    token: str
    split: str
    content: dict[str, Any] = field(default_factory=dict)

    def read(self) -> dict[str, Any]:
        """The object in the file, its lists checked; `split` is what it says itself, where it does.

        Raises
        ------
        LabelParseError : it is broken, or has another shape; names the file and the place.
        """
        value = read_json(self.full, self.path, shrunk)
        name = shown(self.path, limit=300)
        if isinstance(value, list):
            what = "a list of detections (COCO results)" if _is_results(value) else "a list"
            raise LabelParseError(f"{name} is {what}, not a COCO data set, which is an object with 'images'.")
        if not isinstance(value, dict) or not isinstance(value.get("images"), list):
            raise LabelParseError(f"{name} is not a COCO data set: it has no list 'images'.")
        for key in ("annotations", "categories"):
            if not isinstance(value.get(key, []), list):
                raise LabelParseError(f"{name}: {key!r} is not a list.")
        if not isinstance(value.get("split", ""), str):
            del value["split"]  # a field of that name that means something else
        self.split = value.get("split") or self.split
        return value


def looks_like_coco(seen: Glance, name: str) -> bool:
    """Whether the beginning and the end of a json file are those of a COCO data set."""
    head = seen.head(name)
    if not head.lstrip("\ufeff \t\r\n").startswith("{"):
        return False
    text = head + seen.tail(name)
    return bool(_IMAGES.search(text) or (_ANNOTATIONS.search(text) and _IMAGE_ID.search(text)))


def describe(path: str, full: Path) -> CocoFile:
    """Kind and split of a file by its name and folder: `instances_train2017.json`, `train/_annotations.coco.json`."""
    stem = path.rpartition("/")[2].lower().removesuffix(".json")
    kind, token = "", ""
    for prefix, found in KINDS.items():
        if stem == prefix or stem.startswith(f"{prefix}_"):
            kind, token = found, path.rpartition("/")[2][len(prefix) + 1 : -len(".json")]
            break
    if not kind:
        words = re.split(r"[^a-z0-9]+", stem)
        token = next((word for word in words if _without_year(word) in SPLITS), "")
    split = canonical_split(_without_year(token))
    if split.lower() == "default":  # what CVAT and Datumaro write where there are no splits
        token = split = ""
    return CocoFile(path, full, kind, token, split or split_of_folders(path))


def readable(files: list[CocoFile]) -> tuple[list[CocoFile], list[CocoFile]]:
    """Those that are read, in order, and those of masks that are not, since others describe the same pictures."""
    order = ["boxes", "", "keypoints", "labels", "pictures", "captions"]
    main = [file for file in files if file.kind not in _MASKS]
    if not any(file.kind in ("boxes", "", "keypoints", "labels") for file in main):
        return sorted(files, key=lambda file: [*order, *_MASKS].index(file.kind)), []
    left = [file for file in files if file.kind in _MASKS]
    return sorted(main, key=lambda file: order.index(file.kind)), left


def picture_folders(file: CocoFile, known: list[str]) -> list[str]:
    """Folders, relative to the root, in which a file's pictures may lie, likely ones first.

    known : the folders that there are
    """
    here = file.path.rpartition("/")[0]
    above = here.rpartition("/")[0]
    names = dict.fromkeys([file.token, file.split] if file.token or file.split else [])
    found = []
    for base in dict.fromkeys([here, above, ""]):
        for inner in [*(f"images/{name}" for name in names), *names, "images", ""]:
            found.append("/".join(filter(None, (base, inner))))
    there = set(known)
    first = [here] if file.path.lower().endswith("_annotations.coco.json") else []
    return [folder for folder in dict.fromkeys([*first, *found]) if folder in there or folder == ""]


def _without_year(word: str) -> str:
    return re.sub(r"(?<=[a-z])(19|20)\d\d$", "", word, flags=re.I)


def _is_results(value: list[Any]) -> bool:
    return bool(value) and isinstance(value[0], dict) and {"image_id", "category_id"} <= set(value[0])


def no_file(root: Path) -> SourceError:
    return SourceError(f"There is no COCO json in {shown(str(root), limit=300)}: an object with 'images' in it.")
