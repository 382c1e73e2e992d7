"""A version and what a run found of it as a FiftyOne data set: made, or brought up to date in place.

Everything is written in a few bulk updates, one per field. What else a user added to the data set stays: own fields,
own tags, saved views. What was sent is known by the version, which never changes; the data set's `info` names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from curation.decoding.sources import split_member
from curation.errors import SettingsError
from curation.explain import explain, visible
from curation.exporters.contract import Content
from curation.exporters.marks import sample_facts
from curation.exporters.pictures import picture_bytes, suffix_of
from curation.fiftyone_link.labels import (
    FOUND,
    GROUND_TRUTH,
    ID,
    KINDS,
    OF_PICTURE,
    Annotation,
    annotations_of,
    field_document,
    is_plain,
    label_document,
    relative,
)
from curation.fiftyone_link.library import quiet
from curation.files import write_atomic
from curation.progress import SILENT, Progress
from curation.records import text_to_path
from curation.runs import Run

INFO = "curate"  # key of the data set's info: what it was made from
ISSUE_TAG = "issue:"
MAP = "curate_map"  # the picture of embeddings
SUSPECTS = "suspects"  # the saved view
LIKELY = 0.5  # of several labels those with at least this probability are predicted


@dataclass(frozen=True)
class Sent:
    """name : of the FiftyOne data set; the numbers are of pictures"""

    name: str
    pictures: int
    added: int
    removed: int
    flagged: int
    notes: list[str] = field(default_factory=list)


def made_from(dataset: Any) -> dict[str, Any] | None:
    """What a FiftyOne data set was made from: `dataset`, `version`, `run`; None where it is not ours."""
    found = (dataset.info or {}).get(INFO)
    return dict(found) if isinstance(found, Mapping) and {"dataset", "version"} <= set(found) else None


def send(
    library: Any,
    name: str,
    about: Mapping[str, str],
    content: Content,
    run: Run | None,
    workspace: Path,
    progress: Progress = SILENT,
) -> Sent:
    """Make the FiftyOne data set `name`, or bring it up to date.

    Parameters
    ----------
    about : `dataset` and `version` that the content is of, `run`
    content : see curation.exporters.content.make_content; its `root` is where the pictures are
    run : what was found; None = nothing is said of it

    Raises
    ------
    SettingsError : the name is that of a data set that is not ours, or a label cannot be kept in MongoDB, or the labels
        are counts.
    SourceError : a picture that has to be copied cannot be read.
    """
    if content.task not in KINDS:
        raise SettingsError("FiftyOne has no labels that say how many of a class there are; export as csv or parquet.")
    _refuse_labels(content)
    ids = content.samples["sample_id"].tolist()
    with progress.stage("Finding pictures", len(ids)) as advance:
        paths = _paths(content, workspace, name, advance)
    values, notes = _values(content, run)
    with quiet():
        dataset = _open(library, name, content.task)
        with progress.stage("Writing to FiftyOne", len(ids)) as advance:
            added, removed = _add_and_remove(library, dataset, dict(zip(ids, paths, strict=True)))
            key_of = dict(zip(dataset.values(ID), dataset.values("id"), strict=True))
            keys = [key_of[one] for one in ids]
            dataset.set_values("filepath", dict(zip(keys, paths, strict=True)), key_field="id")
            _set_labels(library, dataset, content.task, keys, values)
            tags = _tags(dataset, keys, content, values)
            dataset.set_values("tags", tags, key_field="id")
            advance(len(ids))
        if run is not None:
            notes += _set_embeddings(library, dataset, dict(zip(ids, keys, strict=True)), run)
        dataset.info[INFO] = {"schema": 1, "task": content.task, **about}
        dataset.default_classes = list(content.classes)
        dataset.persistent = True
        dataset.save()
        dataset.save_view(SUSPECTS, dataset.exists("curate_rank").sort_by("curate_rank"), overwrite=True)
    return Sent(name, len(ids), added, removed, sum(map(bool, values["curate_issues"])), notes)


def _refuse_labels(content: Content) -> None:
    for label in content.classes:
        if not is_plain(label):
            raise SettingsError(f"FiftyOne cannot hold the label {visible(label, 100)}: it is no Unicode text.")


def _open(library: Any, name: str, task: str) -> Any:
    """The data set, with the fields that are ours."""
    if name in library.list_datasets():
        dataset = library.load_dataset(name)
        before = made_from(dataset)
        if before is None:
            raise SettingsError(
                f"There is a FiftyOne data set {name!r} that curate did not make; choose another name with --dataset."
            )
        if before.get("task") != task:  # its fields are of other kinds
            dataset.delete()
            dataset = library.Dataset(name)
    else:
        dataset = library.Dataset(name)
    document = library.EmbeddedDocumentField
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        GROUND_TRUTH: (document, {"embedded_doc_type": getattr(library, KINDS[task])}),
        "predictions": (document, {"embedded_doc_type": getattr(library, KINDS[task])}),
        "curate_rank": (library.IntField, {}),
        "curate_issues": (library.ListField, {"subfield": library.StringField}),
        "curate_score": (library.FloatField, {}),
        **{key: (library.StringField, {}) for key in (ID, "split", "curate_suggestion", "curate_reason")},
    }
    if task == "detection":
        kinds[OF_PICTURE] = (document, {"embedded_doc_type": library.Classifications})
    known = dataset.get_field_schema()
    for key, (kind, more) in kinds.items():
        if key not in known:
            dataset.add_sample_field(key, kind, **more)
    return dataset


def _add_and_remove(library: Any, dataset: Any, paths: Mapping[str, str]) -> tuple[int, int]:
    """Make the samples those of `paths` (by sample_id); how many were added, removed."""
    known = dict(zip(dataset.values("id"), dataset.values(ID), strict=True))
    seen: set[str] = set()
    gone = []
    for key, sample_id in known.items():
        if sample_id not in paths or sample_id in seen:  # a copy that was made there stands for nothing
            gone.append(key)
        seen.add(sample_id)
    if gone:
        dataset.delete_samples(gone)
    fresh = [library.Sample(filepath=path, **{ID: one}) for one, path in paths.items() if one not in seen]
    if fresh:
        dataset.add_samples(fresh, progress=False)
    return len(fresh), len(gone)


# --- pictures ----------------------------------------------------------------------------------------------------


def _write(content: bytes, stream: BinaryIO) -> None:
    stream.write(content)


def _paths(content: Content, workspace: Path, name: str, advance: Callable[[int], Any]) -> list[str]:
    """Where each picture is. One that is no file by itself, or whose name is no Unicode, is written beside MongoDB."""
    from curation.manifest import dataset_folder_name

    own = Path(os.path.realpath(workspace)) / ".curate" / "fiftyone" / "pictures" / dataset_folder_name(name)
    found = []
    columns = (content.samples[key].tolist() for key in ("sample_id", "path", "format", "content_hash"))
    for sample_id, path, kind, digest in zip(*columns, strict=True):
        full = os.path.join(content.root, text_to_path(path)) if split_member(path) is None else ""
        if not full or not is_plain(full):
            target = own / f"{sample_id}-{digest[:8]}{suffix_of(kind)}"
            if not target.exists():
                own.mkdir(parents=True, exist_ok=True)
                write_atomic(target, partial(_write, picture_bytes(content.root, path, digest)), "fiftyone")
            full = str(target)
        found.append(full)
        advance(1)
    return found


# --- values ------------------------------------------------------------------------------------------------------


def _values(content: Content, run: Run | None) -> tuple[dict[str, list[Any]], list[str]]:
    """Per field the value of each of `content.samples`, labels as documents; and notes."""
    ids = content.samples["sample_id"].tolist()
    sizes = list(zip(content.samples["width_px"].tolist(), content.samples["height_px"].tolist(), strict=True))
    annotations = annotations_of(content.rows)
    kind = KINDS[content.task]
    found, of_label, notes = _found(run, ids)
    values: dict[str, list[Any]] = {key: [None] * len(ids) for key in (GROUND_TRUTH, OF_PICTURE)}
    for at, (sample_id, size) in enumerate(zip(ids, sizes, strict=True)):
        documents = [_flagged(one, size, of_label) for one in annotations.get(sample_id, [])]
        if content.task == "detection":
            bare = [one for one in documents if one["_cls"] == "Classification"]
            documents = [one for one in documents if one["_cls"] == "Detection"]
            values[OF_PICTURE][at] = field_document(bare, "Classifications")
        values[GROUND_TRUTH][at] = field_document(documents, kind)
    values |= {key: [found.get(one, {}).get(key) for one in ids] for key in ("curate_rank", *FOUND)}
    predicted = {} if run is None else _predictions(content, run, annotations, dict(zip(ids, sizes, strict=True)))
    values["predictions"] = [predicted.get(one) for one in ids]
    values["split"] = [one or None for one in content.samples["split"].tolist()]
    return values, notes


def _flagged(one: Annotation, size: tuple[int, int], of_label: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    document = label_document(one, size)
    found = of_label.get(one.annotation_id, {})
    document |= {key: value for key, value in found.items() if key in FOUND}
    document["tags"] = [*document["tags"], *(ISSUE_TAG + name for name in found.get("curate_issues", ()))]
    return document


def _found(run: Run | None, ids: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], Any]:
    """What a run says of each sample, and of each annotation where it says something of one: the fields of FOUND, and
    `curate_rank`, the best rank of the sample."""
    of_sample: dict[str, dict[str, Any]] = {}
    of_label: dict[str, dict[str, Any]] = {}
    if run is None:
        return {}, {}, []
    issues = run.issues().sort_values("rank", kind="stable")
    issues = issues[issues["sample_id"].isin(list(ids))]
    for row in issues.to_dict("records"):
        places = [of_sample.setdefault(row["sample_id"], {})]
        if row["annotation_id"]:
            places.append(of_label.setdefault(row["annotation_id"], {}))
        flagged = bool(row["is_issue"])
        for place in places:
            place.setdefault("curate_rank", int(row["rank"]))
            place.setdefault("curate_score", float(row["score"]))
            place.setdefault("curate_suggestion", visible(row["suggestion"], 1_000, False) or None)
            place.setdefault("curate_issues", [])
            if flagged:
                if row["issue"] not in place["curate_issues"]:
                    place["curate_issues"].append(row["issue"])
                before = place.get("curate_reason", "")
                place["curate_reason"] = f"{before}\n{explain(row)}".strip()
    return of_sample, of_label, []


def _predictions(
    content: Content, run: Run, annotations: Mapping[str, list[Annotation]], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, dict[str, Any]]:
    """What models that had not seen a picture say of it, by sample_id; {} where the run has none."""
    classes = [str(name) for name in run.info.get("classes") or []]
    if content.task == "detection":
        return _box_predictions(run, classes, annotations, sizes)
    if not run.has_array("pred_probs"):
        return {}
    names, probs = _readable(run), run.array("pred_probs")
    if len(names) != len(probs) or probs.shape[1] != len(classes):
        return {}
    found: dict[str, dict[str, Any]] = {}
    for sample_id, row in zip(names, np.asarray(probs, np.float64), strict=True):
        if not np.isfinite(row).all() or row.sum() == 0:
            continue
        if content.task == "multi-label":
            chosen = [k for k in np.argsort(-row, kind="stable").tolist() if row[k] >= LIKELY]
        else:
            chosen = [int(row.argmax())]
        said = [
            {"_cls": "Classification", "tags": [], "label": classes[k], "confidence": float(row[k])} for k in chosen
        ]
        document = field_document(said, KINDS[content.task])
        if document:
            found[sample_id] = document
    return found


def _box_predictions(
    run: Run, classes: Sequence[str], annotations: Mapping[str, list[Annotation]], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, dict[str, Any]]:
    if not run.has_array("box_pred_probs"):
        return {}
    boxes, probs = run.boxes(), np.asarray(run.array("box_pred_probs"), np.float64)
    if len(boxes) != len(probs) or probs.shape[1] != len(classes):
        return {}
    there = {one.annotation_id: one for own in annotations.values() for one in own}
    said: dict[str, list[dict[str, Any]]] = {}
    for box, row in zip(boxes.to_dict("records"), probs, strict=True):
        one = there.get(box["annotation_id"])
        if one is None or one.box is None or box["sample_id"] not in sizes or box["fold"] < 0 or not row.sum() > 0:
            continue
        best = int(row.argmax())
        document: dict[str, Any] = {"_cls": "Detection", "tags": [], "attributes": {}, "label": classes[best]}
        document["bounding_box"] = list(relative(one.box, sizes[box["sample_id"]]))
        said.setdefault(box["sample_id"], []).append({**document, "confidence": float(row[best])})
    return {sample_id: field_document(own, "Detections") or {} for sample_id, own in said.items()}


def _readable(run: Run) -> list[str]:
    samples = run.samples()
    names: list[str] = samples.loc[samples["status"] == "ok", "sample_id"].tolist()
    return names


# --- writing -----------------------------------------------------------------------------------------------------


def _set_labels(
    library: Any, dataset: Any, task: str, keys: Sequence[str], values: Mapping[str, Sequence[Any]]
) -> None:
    labels = [GROUND_TRUTH, "predictions", *([OF_PICTURE] if task == "detection" else [])]
    for name in labels:
        made = [None if one is None else label_object(library, one) for one in values[name]]
        dataset.set_values(name, dict(zip(keys, made, strict=True)), key_field="id", dynamic=True)
    for name in ("split", "curate_rank", *FOUND):
        dataset.set_values(name, dict(zip(keys, values[name], strict=True)), key_field="id")


def label_object(library: Any, document: Mapping[str, Any]) -> Any:
    """A label of the library, of a document of curation.fiftyone_link.labels."""
    kind = getattr(library, document["_cls"])
    own = {key: value for key, value in document.items() if key not in ("_cls", "attributes")}
    for name in ("detections", "classifications"):
        if name in own:
            own[name] = [label_object(library, one) for one in own[name]]
    return kind(**own)


def _tags(
    dataset: Any, keys: Sequence[str], content: Content, values: Mapping[str, Sequence[Any]]
) -> dict[str, list[str]]:
    """Split, issues, tags of the source, and those that a user has set; what we set before goes."""
    old = dict(zip(dataset.values("id"), dataset.values("tags"), strict=True))
    ours = {split for split in content.splits if split}
    found = {}
    facts = sample_facts(content)
    splits = content.samples["split"].tolist()
    for key, split, issues, said in zip(keys, splits, values["curate_issues"], facts, strict=True):
        given = said.get("tags")
        of_source = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        kept = [tag for tag in old[key] or [] if tag not in ours and not tag.startswith(ISSUE_TAG)]
        wanted = [*([split] if split else []), *(ISSUE_TAG + name for name in issues or []), *of_source, *kept]
        found[key] = [tag for tag in dict.fromkeys(wanted) if is_plain(tag)]
    return found


def _set_embeddings(library: Any, dataset: Any, key_of: Mapping[str, str], run: Run) -> list[str]:
    """Embeddings as a vector field, and the first two principal components as a map of the set."""
    if not run.has_array("embeddings"):
        return []
    names, vectors = _readable(run), run.array("embeddings")
    at = [row for row, name in enumerate(names) if name in key_of]
    if len(names) != len(vectors) or len(at) < 3:
        return []
    chosen = np.asarray(vectors[at], np.float32)
    keys = [key_of[names[row]] for row in at]
    if "curate_embedding" not in dataset.get_field_schema():
        dataset.add_sample_field("curate_embedding", library.VectorField)
    dataset.set_values("curate_embedding", dict(zip(keys, chosen, strict=True)), key_field="id")
    try:
        import fiftyone.brain

        if MAP in dataset.list_brain_runs():
            dataset.delete_brain_run(MAP)
        points = dict(zip(keys, _plane(chosen), strict=True))
        fiftyone.brain.compute_visualization(dataset.select(keys), points=points, brain_key=MAP)
    except Exception as error:  # a picture more or less; everything else has been written
        return [f"The map of embeddings could not be made: {' '.join(str(error).split())[:200]}."]
    return []


def _plane(vectors: np.ndarray) -> np.ndarray:
    """(N, 2) float64: the first two principal components."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if centred.shape[1] < 2:
        centred = np.pad(centred, ((0, 0), (0, 2 - centred.shape[1])))
    _, axes = np.linalg.eigh(centred.T @ centred)
    found: np.ndarray = centred @ axes[:, -2:][:, ::-1]
    return found
