"""FiftyOne data sets: one in MongoDB by its name, `fiftyone:NAME`, or a folder that FiftyOne has exported.

Both come as the same documents: that of the data set, and one per sample. The folder is read without the library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curation.errors import LabelParseError, NotFoundError, SourceError
from curation.exporters.marks import as_object
from curation.fiftyone_link.labels import GROUND_TRUTH, ID, LISTS, OF_PICTURE, REST, Label, is_box, labels_in
from curation.importers.assemble import SPLITS, canonical_split, shown
from curation.importers.boxes import Builder
from curation.importers.glance import Glance
from curation.importers.json_file import read_json
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.places import list_source, real_folder
from curation.progress import Progress
from curation.records import Records, path_to_text

PREFIX = "fiftyone:"
METADATA, SAMPLES = "metadata.json", "samples.json"
_USUAL = (GROUND_TRUTH, "label", "labels", "detections", "classification")
_OWN = ("_id", "id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "split", "group", REST)
_LABELS = frozenset({"Classification", "Detection", *LISTS})


def recognises(seen: Glance) -> str:
    """Why a source is of this format, or ""."""
    if seen.is_file or not {METADATA, SAMPLES} <= set(seen.files):
        return ""
    if not seen.head(SAMPLES, 64).lstrip().startswith('{"samples"'):
        return ""
    return f"{METADATA} and {SAMPLES} are those of a FiftyOne data set"


def load(source: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    """Read a FiftyOne data set; `options.label_column` is the field with the labels (else `ground_truth`, or the only
    one), `options.split_column` that with the split (else `split`, or a tag that is the name of one).

    Raises
    ------
    NotFoundError, SettingsError : no such data set or field, or FiftyOne is not installed.
    SourceError : it holds no pictures.
    LabelParseError : a file of the folder is broken; names it and the place.
    """
    if source.startswith(PREFIX):
        return _load_named(source.removeprefix(PREFIX), options, workspace, progress)
    root = real_folder(source)
    about = read_json(root / METADATA)
    whole = read_json(root / SAMPLES)
    samples = whole.get("samples") if isinstance(whole, dict) else None
    if not isinstance(about, dict) or not isinstance(samples, list):
        raise LabelParseError(f"{SAMPLES} is not what FiftyOne exports: there is no list of samples.")
    builder = Builder(root, "fiftyone", list_source(root, workspace, progress), options)
    builder.used(METADATA)
    builder.used(SAMPLES)
    return _read(builder, about, samples, SAMPLES, progress)


def _load_named(name: str, options: ImportOptions, workspace: Path, progress: Progress) -> Records:
    from curation.fiftyone_link.library import find_fiftyone, open_library, quiet

    dataset = find_fiftyone(open_library(workspace, own=True), name)
    from bson import json_util  # comes with FiftyOne, which is here by now

    with quiet(), progress.stage("Reading from FiftyOne", len(dataset), "samples") as advance:
        about = {key: getattr(dataset, key) for key in ("name", "info", "default_classes", "classes", "description")}
        about = json.loads(json_util.dumps({**about, "tags": list(dataset.tags)}))
        samples = []
        for sample in dataset.iter_samples():
            samples.append(json.loads(json_util.dumps(sample.to_mongo_dict(include_id=True))))
            advance(1)
    paths = [path for one in samples if isinstance(path := one.get("filepath"), str) and os.path.isfile(path)]
    if not paths:
        raise SourceError(f"The pictures of the FiftyOne data set {shown(name)} are not where it says they are.")
    root = Path(os.path.realpath(os.path.commonpath([os.path.dirname(path) for path in paths])))
    inside = (os.path.relpath(os.path.realpath(path), root) for path in paths)
    listing = Listing(images=sorted({path for path in inside if not path.startswith("../")}))
    return _read(Builder(root, "fiftyone", listing, options), about, samples, f"sample of {shown(name)}", progress)


def _read(
    builder: Builder, about: Mapping[str, Any], samples: Iterable[Any], where: str, progress: Progress
) -> Records:
    samples = [one for one in samples if isinstance(one, dict)]
    fields = _fields(samples, builder.options.label_column)
    skipped: set[str] = set()
    with progress.stage("Reading annotations", len(samples), "samples") as advance:
        for number, sample in enumerate(samples, 1):
            _add(builder, sample, fields, f"{where} {number}", skipped)
            advance(1)
    if skipped:
        builder.note(f"Fields that are not kept, being binary: {', '.join(sorted(map(shown, skipped)))}.")
    boxes = any(
        isinstance(value := one.get(name), dict) and value.get("_cls") in ("Detections", "Detection")
        for one in samples for name in fields
    )  # fmt: skip
    known = about.get("classes")
    named = known.get(fields[0]) if isinstance(known, dict) else None
    names = named or about.get("default_classes") or []
    classes = [{"name": name} for name in dict.fromkeys(names) if isinstance(name, str) and name]
    facts = {key: about[key] for key in ("name", "description", "tags", "info") if about.get(key)}
    if isinstance(facts.get("info"), dict):
        facts["info"] = {key: value for key, value in facts["info"].items() if key != "curate"}
    return builder.records(
        classes, {key: value for key, value in facts.items() if value}, {"label_field": fields[0]}, boxes,
        add_unnamed=False, progress=progress,
    )  # fmt: skip


def _fields(samples: Iterable[Mapping[str, Any]], wanted: str) -> list[str]:
    """The field with the labels, and the one with labels of whole pictures where that is ours.

    Raises
    ------
    NotFoundError : no such field, or nobody can say which of several is meant.
    """
    found: dict[str, None] = {}
    for sample in samples:
        for name, value in sample.items():
            if isinstance(value, dict) and value.get("_cls") in _LABELS:
                found.setdefault(name)
    if not wanted:
        wanted = next((name for name in _USUAL if name in found), "")
    if not wanted and len(found) == 1:
        wanted = next(iter(found))
    if wanted not in found:
        some = ", ".join(map(repr, found)) or "none"
        raise NotFoundError(
            f"Which field of the FiftyOne data set has the labels? Fields with labels: {some}. Name one with "
            f"--label-column FIELD."
        )
    return [wanted, *([OF_PICTURE] if wanted == GROUND_TRUTH and OF_PICTURE in found else [])]


def _add(builder: Builder, sample: dict[str, Any], fields: list[str], where: str, skipped: set[str]) -> None:
    name = sample.get("filepath")
    if not isinstance(name, str) or not name:
        builder.reject(where, f"{where}: it has no filepath")
        return
    full = os.path.realpath(name) if os.path.isabs(name) else ""
    inside = os.path.relpath(full, builder.root) if full else name
    path, why = builder.find(path_to_text(inside))
    if not path:
        builder.reject(name, f"{where}: {why}")
        return
    split, tags = _split_of(sample, builder.options.split_column)
    rest = sample.get(REST)
    more = as_object(rest) if isinstance(rest, str) else {}
    attributes = {**more, **({"tags": tags} if tags else {}), **dict(_others(sample, fields, skipped))}
    size = sample.get("metadata")
    stated = None
    if isinstance(size, dict) and all(isinstance(size.get(key), int) for key in ("width", "height")):
        stated = (size["width"], size["height"])
    group = sample.get("group")
    row = builder.picture(path, split, attributes, stated, where, group if isinstance(group, str) else "")
    for field in fields:
        for label in labels_in(sample.get(field)) or []:
            _annotate(builder, row, label, where)


def _annotate(builder: Builder, row: int, label: Label, where: str) -> None:
    if not isinstance(label.label, str):
        builder.reject_of(row, where, 0, "a label has no class")
    elif label.box is None:
        builder.annotate(row, label.label, None, label.attributes, where)
    elif not is_box(label.box):
        builder.reject_of(row, where, 0, f"the box {shown(str(label.box))} is not four numbers")
    else:
        builder.annotate(row, label.label, label.box, label.attributes, where, relative=True)


def _split_of(sample: Mapping[str, Any], column: str) -> tuple[str, list[str]]:
    """The split, and the tags that do not say it."""
    given = sample.get("tags")
    tags = [tag for tag in given if isinstance(tag, str)] if isinstance(given, list) else []
    tags = [tag for tag in tags if not tag.startswith(("issue:", "curate:"))]
    said = sample.get(column or "split")
    if isinstance(said, str) and said:
        return canonical_split(said), [tag for tag in tags if tag != said]
    split = next((tag for tag in tags if tag.strip().lower() in SPLITS), "")
    return canonical_split(split), [tag for tag in tags if tag != split]


def _others(sample: Mapping[str, Any], fields: list[str], skipped: set[str]) -> Iterator[tuple[str, Any]]:
    """What else a sample says, but for what is FiftyOne's own business and what `curate fiftyone` wrote."""
    ours = ID in sample
    for key, value in sample.items():
        if key in _OWN or key in fields or key.startswith(("_", "curate_")) or value in (None, [], {}):
            continue
        if ours and key == "predictions":
            continue
        if isinstance(value, dict) and "$binary" in value:
            skipped.add(key)
            continue
        yield key, value
