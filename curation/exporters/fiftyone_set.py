"""FiftyOne: the folder that `fiftyone.Dataset.from_dir` reads, written without the library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.errors import SettingsError
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import sample_facts
from curation.exporters.names import file_names
from curation.exporters.pictures import folders_above, picture_names, place_pictures
from curation.fiftyone_link.labels import (
    GROUND_TRUTH,
    ID,
    KINDS,
    LISTS,
    OF_PICTURE,
    REST,
    annotations_of,
    field_document,
    is_key,
    is_plain,
    label_document,
)
from curation.importers.assemble import shown
from curation.progress import Progress

METADATA, SAMPLES = "metadata.json", "samples.json"
VERSION = "1.22.1"  # of FiftyOne, whose layout this is; a newer one migrates it
_TIME = {"$date": "2020-01-01T00:00:00Z"}  # the same version is the same export, whenever it is written
_FIELDS, _LABELS = "fiftyone.core.fields.", "fiftyone.core.labels."
_TAKEN = frozenset(
    [
        "add_labels",
        "clear_field",
        "compute_metadata",
        "copy",
        "created_at",
        "dataset",
        "dataset_id",
        "field_names",
        "filename",
        "filepath",
        "from_dict",
        "from_doc",
        "from_frame",
        "from_json",
        "get_field",
        "get_media_key",
        "has_field",
        "id",
        "in_dataset",
        "iter_fields",
        "last_modified_at",
        "media_reference",
        "media_type",
        "merge",
        "metadata",
        "reload",
        "save",
        "set_field",
        "tags",
        "to_dict",
        "to_json",
        "to_mongo_dict",
        "update_fields",
        "split",
        "group",
    ]
) | {GROUND_TRUTH, OF_PICTURE}


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write the pictures into `data`, a document per sample, and the one of the data set."""
    for label in content.classes:
        if not is_plain(label):
            raise SettingsError(f"--format fiftyone cannot hold the label {shown(label, codes=True)}: no Unicode text.")
    ids = content.samples["sample_id"].tolist()
    names = file_names(["data"] * len(ids), picture_names(content), ids, [*folders_above(["data/x"])])
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    own, rest = _attributes(sample_facts(content))
    values = _documents(content, names, own, rest)
    with (
        progress.stage("Writing annotations", len(names)) as advance,
        (folder / SAMPLES).open("w", encoding="utf-8", newline="") as stream,
    ):
        stream.write('{"samples": [')
        for at, value in enumerate(values):
            stream.write(("\n" if at == 0 else ",\n") + json.dumps(value, ensure_ascii=True, allow_nan=False))
            advance(1)
        stream.write("\n]}\n")
    with (folder / METADATA).open("w", encoding="utf-8", newline="") as stream:
        json.dump(_metadata(content, own, any(OF_PICTURE in value for value in values)), stream, indent=1)
    notes.append("Boxes are shares of the upright picture; splits are tags, and a field.")
    return Saved(names, hashes, files=[METADATA, SAMPLES], notes=notes)


def _documents(
    content: Content, names: Sequence[str], own: Sequence[Mapping[str, Any]], rest: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    annotations, kind = annotations_of(content.rows), KINDS[content.task]
    columns = (content.samples[key].tolist() for key in ("sample_id", "split", "group", "width_px", "height_px"))
    found = []
    for at, (sample_id, split, group, *sides) in enumerate(zip(*columns, strict=True)):
        marks = annotations.get(sample_id, [])
        labels = [label_document(one, (sides[0], sides[1])) for one in marks]
        labels = [{"_id": _object_id(one[ID]), **one} for one in labels]
        tags = own[at].get("tags", [])
        value: dict[str, Any] = {"_id": _object_id(sample_id), "filepath": names[at]}
        value |= {"tags": list(dict.fromkeys([*([split] if split else []), *tags])), "_media_type": "image"}
        value |= {"_rand": int(_object_id(sample_id)["$oid"][:8], 16) / 2**32, "_dataset_id": _object_id("data set")}
        value |= {"created_at": _TIME, "last_modified_at": _TIME}
        value["metadata"] = {"_cls": "ImageMetadata", "width": sides[0], "height": sides[1]}
        value |= {key: one for key, one in own[at].items() if key != "tags"}
        value |= {"split": split or None, "group": group or None, ID: sample_id}
        if rest[at]:
            value[REST] = json.dumps(rest[at], allow_nan=False)
        if content.task == "detection":
            bare = field_document([one for one in labels if one["_cls"] == "Classification"], "Classifications")
            labels = [one for one in labels if one["_cls"] == "Detection"]
            value |= {OF_PICTURE: bare} if bare else {}
        field = field_document(labels, kind)
        value |= {GROUND_TRUTH: field} if field else {}
        found.append(value)
    return found


def _object_id(text: str) -> dict[str, str]:
    """An id as MongoDB has them, always the same one for the same text."""
    return {"$oid": hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()}


# --- what the source said ----------------------------------------------------------------------------------------


def _attributes(facts: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Per sample what becomes fields, which have one kind of value in all samples, and the rest."""
    kinds: dict[str, set[str]] = {}
    for fact in facts:
        for key, value in fact.items():
            kinds.setdefault(key, set()).add(_kind(value))
    good = {
        key for key, found in kinds.items()
        if len(found) == 1 and "" not in found and is_key(key) and key not in _TAKEN
    }  # fmt: skip
    own, rest = [], []
    for fact in facts:
        tags = fact.get("tags")
        is_tags = isinstance(tags, list) and all(isinstance(tag, str) and is_plain(tag) for tag in tags)
        mine = {key for key in fact if key in good or (key == "tags" and is_tags)}
        own.append({key: value for key, value in fact.items() if key in mine})
        rest.append({key: value for key, value in fact.items() if key not in mine and not key.startswith("curate:")})
    return own, rest


def _kind(value: Any) -> str:
    """The kind of field that holds a JSON value, "" for none."""
    if not is_plain(value) or value is None or (isinstance(value, dict) and "_cls" in value):
        return ""
    kinds = {bool: "BooleanField", int: "IntField", float: "FloatField", str: "StringField", list: "ListField"}
    return kinds.get(type(value), "DictField")


# --- the document of the data set ----------------------------------------------------------------------------------


def _field(name: str, kind: str, inner: str = "", sub: str = "", fields: Sequence[Any] = (), db: str = "") -> Any:
    return {
        "name": name,
        "ftype": _FIELDS + kind,
        "embedded_doc_type": inner or None,
        "subfield": _FIELDS + sub if sub else None,
        "fields": list(fields),
        "db_field": db or name,
        "description": None,
        "info": None,
        "read_only": name in ("created_at", "last_modified_at"),
        "created_at": _TIME,
    }


def _label_fields(box: bool) -> list[Any]:
    found = [_field("id", "ObjectIdField", db="_id"), _field("tags", "ListField", sub="StringField")]
    found += [_field("label", "StringField"), _field("confidence", "FloatField")]
    if box:
        found += [_field("bounding_box", "ListField", sub="FloatField"), _field("index", "IntField")]
    return [*found, _field(ID, "StringField"), _field(REST, "StringField")]


def _labels_field(name: str, kind: str) -> Any:
    if kind == "Classification":
        return _field(name, "EmbeddedDocumentField", _LABELS + kind, fields=_label_fields(False))
    one = kind.removesuffix("s")
    inner = _field(
        LISTS[kind], "ListField", _LABELS + one, "EmbeddedDocumentField", _label_fields(one == "Detection")
    )  # fmt: skip
    return _field(name, "EmbeddedDocumentField", _LABELS + kind, fields=[inner])


def _metadata(content: Content, own: Sequence[Mapping[str, Any]], of_picture: bool) -> dict[str, Any]:
    sizes = [_field(name, "IntField") for name in ("size_bytes", "width", "height", "num_channels")]
    sizes.insert(1, _field("mime_type", "StringField"))
    fields = [
        _field("id", "ObjectIdField", db="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", sub="StringField"),
        _field("metadata", "EmbeddedDocumentField", "fiftyone.core.metadata.ImageMetadata", fields=sizes),
        _field("created_at", "DateTimeField"),
        _field("last_modified_at", "DateTimeField"),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        _labels_field(GROUND_TRUTH, KINDS[content.task]),
        *([_labels_field(OF_PICTURE, "Classifications")] if of_picture else []),
        *(_field(name, "StringField") for name in (ID, REST, "split", "group")),
    ]
    more = {key: _kind(value) for fact in own for key, value in fact.items() if key != "tags"}
    fields += [_field(key, kind) for key, kind in sorted(more.items())]
    about = content.about
    info = about.get("info")
    name = about.get("name")
    return {
        "_id": _object_id("data set"),
        "name": name if isinstance(name, str) and name else "curate",
        "version": VERSION,
        "created_at": _TIME,
        "last_modified_at": _TIME,
        "sample_collection_name": "samples.curate",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [one for one in about.get("tags", []) if isinstance(one, str)],
        "description": about["description"] if isinstance(about.get("description"), str) else None,
        "info": info if isinstance(info, dict) and is_plain(info) else {},
        "classes": {GROUND_TRUTH: content.classes},
        "default_classes": content.classes,
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": fields,
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="import fiftyone\n\ndataset = fiftyone.Dataset.from_dir('DEST', fiftyone.types.FiftyOneDataset)",
    tasks=("single-label", "multi-label", "detection"),
)
