"""A version leaves the tool in the form that training code reads.

version's rows --make_content--> pictures, labels, splits --EXPORTERS--> files in a new folder --publish--> DEST

The folder gets its name when all of it is there, `curate-export.json` written last. The source is only read.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curation
from curation.datasets import Dataset
from curation.decoding.sources import split_member
from curation.errors import CurationError, NotFoundError, SettingsError, SourceError
from curation.export_table import COLUMNS, NAME, write_table
from curation.exporters import EXPORTERS
from curation.exporters.card import NAME as CARD
from curation.exporters.card import data_card
from curation.exporters.content import groups_of, make_content, read_ratios, resplit
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.pictures import MOST_PX
from curation.exporters.place import check_place, new_folder, publish
from curation.files import failpoint
from curation.importers.assemble import shown
from curation.manifest import read
from curation.manifest.changes import diff
from curation.manifest.history import source_of
from curation.manifest.version_files import ancestors, file_hash, read_header, read_lines, resolve
from curation.manifest.wholeness import check_whole
from curation.pixels import content_hashes
from curation.progress import SILENT, Progress
from curation.runs import Run, list_runs
from curation.status import source_root
from curation.wording import counted


@dataclass(frozen=True)
class ExportSettings:
    """What a user can choose.

    format : a name in EXPORTERS
    version : any name of one, "" = the newest
    splits : only these; () = all
    images : "copy", "link" or "symlink"; "" = as the format does it by itself
    size : side of resized pictures in pixels, for the formats that resize; None: their own size where all have one
    ratios : `0.8/0.1/0.1`: new splits; "" = as they are
    seed : decides the new splits
    source : where the pictures are now; None: where the latest run found them
    """

    format: str = "folder"
    version: str = ""
    splits: tuple[str, ...] = ()
    images: str = ""
    size: int | None = None
    ratios: str = ""
    seed: int = 0
    source: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Exported:
    """place : the folder; facts : those of its curate-export.json; notes : sentences about it"""

    place: Path
    facts: dict[str, Any]
    notes: list[str]


def export(
    dest: Path, settings: ExportSettings, workspace: Path, dataset: Dataset, progress: Progress = SILENT
) -> Exported:
    """Write a version of a data set to the new folder `dest`; all of it or nothing.

    Raises
    ------
    SettingsError : an unknown format, an option that the format does not have, or a place where something could be
        lost: see curation.exporters.place.
    NotFoundError : no such version or split, or nobody knows where the pictures are.
    SourceError : a picture is gone, or has other bytes than in the version.
    WorkspaceError : it cannot be written, or the disk is full.
    """
    exporter, options = _options(settings)
    version = resolve(dataset.folder, settings.version or "head")
    check_whole(dataset.folder, version)
    root = settings.source or source_root(workspace, dataset)
    if not os.path.isdir(root):
        raise NotFoundError(f"The pictures were in {root}, which is not there; say where they are with --source DIR.")
    rows, source = read(dataset.folder, version), source_of(dataset.folder, version)
    content = make_content(rows, Path(os.path.realpath(root)), settings.splits, source)
    _check_task(settings.format, content.task)
    run = _latest_run(workspace, dataset)
    cluster = _clusters(run, content)
    if settings.ratios:
        content = resplit(content, read_ratios(settings.ratios), settings.seed, cluster)
    place = check_place(Path(dest), _sources(content, run), workspace, settings.overwrite)
    if options.images in ("link", "symlink"):
        _check_linked(content, workspace, progress)
    with new_folder(place) as folder:
        saved = exporter.save(content, options, folder, progress)
        history = _history(dataset, version, content, cluster)
        with progress.stage("Finishing", 0):
            facts = _facts(settings, options, dataset, version, content, saved, folder)
            (folder / CARD).write_text(
                data_card(content, saved, exporter, facts, history), encoding="utf-8", newline=""
            )
            _write_table(folder, facts, _table(content, saved))
            publish(folder, place, settings.overwrite)
    return Exported(place, facts, [*saved.notes, *history["limits"]])


def _options(settings: ExportSettings) -> tuple[Exporter, Options]:
    if settings.format not in EXPORTERS:
        raise SettingsError(f"There is no format {settings.format!r}; there are: {', '.join(EXPORTERS)}.")
    exporter = EXPORTERS[settings.format]
    images = settings.images or exporter.images[0]
    if images not in exporter.images:
        others = ", ".join(name for name, other in EXPORTERS.items() if images in other.images)
        raise SettingsError(f"--{images} has no meaning for --format {settings.format}; it has for: {others}.")
    if settings.size is not None and not exporter.sized:
        others = ", ".join(name for name, other in EXPORTERS.items() if other.sized)
        raise SettingsError(f"--size has no meaning for --format {settings.format}; it has for: {others}.")
    if settings.size is not None and not 1 <= settings.size <= MOST_PX:
        raise SettingsError(f"--size {settings.size}: it can be 1 to {MOST_PX:,} pixels.")
    return exporter, Options(images, settings.size)


def _check_task(name: str, task: str) -> None:
    """Say so if a format cannot hold what the data set is for.

    Raises
    ------
    SettingsError : names the formats that can.
    """
    if task not in EXPORTERS[name].tasks:
        able = ", ".join(other for other, exporter in EXPORTERS.items() if task in exporter.tasks)
        what = _HOLDS.get(task, "one label per picture")
        raise SettingsError(f"--format {name} cannot hold {what}; these can: {able or 'none yet'}.")


_HOLDS = {
    "detection": "boxes",
    "multi-label": "several labels per picture",
    "counts": "how many of each class there are",
}


def _sources(content: Content, run: Run | None) -> list[Path]:
    """Where nothing may be written. All of a source that is a folder; of the folder that a source file lies in, which
    is perhaps where somebody works, only what at its top holds pictures: all of it where they lie at its top."""
    info = run.info if run is not None else {}
    if not os.path.isfile(os.path.join(str(info.get("root", "")), os.path.basename(str(info.get("source", ""))))):
        return [content.root]
    paths = content.rows["path"].tolist()
    tops = {path.split("/")[0] for path in paths}
    files = {top.partition("#")[0] for top in tops}
    if any("/" not in path and "#" not in path for path in paths):
        return [content.root]
    return sorted(Path(os.path.realpath(content.root / name)) for name in files)


def _check_linked(content: Content, workspace: Path, progress: Progress) -> None:
    """Links are made without a look at the bytes: see to it that they are those of the version."""
    files = content.samples[[split_member(path) is None for path in content.samples["path"].tolist()]]
    paths, expected = files["path"].tolist(), files["content_hash"].tolist()
    found = content_hashes(content.root, paths, workspace / ".curate" / "cache", progress)
    wrong = [path for path, now, then in zip(paths, found, expected, strict=True) if now != then and then]
    if wrong:
        raise SourceError(
            f"{counted(len(wrong), 'picture is gone or has', 'pictures are gone or have')} other bytes than in the "
            f"version, the first is "
            f"{shown(wrong[0], limit=300)}. Score the source again, which makes a new version, and export that."
        )


# --- what the export says of itself ------------------------------------------------------------------------------


def _facts(
    settings: ExportSettings,
    options: Options,
    dataset: Dataset,
    version: str,
    content: Content,
    saved: Saved,
    folder: Path,
) -> dict[str, Any]:
    chosen: dict[str, Any] = {"splits": list(settings.splits), "size": options.size, "seed": settings.seed}
    chosen["resplit"] = read_ratios(settings.ratios) if settings.ratios else None
    counted = content.samples if content.task == "single-label" else content.rows
    labels = Counter(label for label in counted["label"].tolist() if label)
    return {
        "exporter": settings.format,
        "images": options.images,
        "dataset": dataset.name,
        "version": version,
        "manifest_hash": str(read_header(dataset.folder, version)["hash"]),
        "curate": curation.__version__,
        "settings": chosen,
        "task": content.task,
        "classes": content.classes,
        "class_details": content.class_details,
        "about": content.about,
        "class_folders": saved.class_folders,
        "counts": {
            "samples": len(content.samples),
            "splits": dict(sorted(Counter(content.samples["split"].tolist()).items())),
            "classes": dict(sorted(labels.items())),
            "several_labels": content.ambiguous,
            "hard": int(content.samples["hard"].sum()),
        },
        "left_out": content.left_out,
        "files": {name: file_hash(folder / name) for name in saved.files},
    }


def _table(content: Content, saved: Saved) -> pd.DataFrame:
    at = pd.Index(content.samples["sample_id"]).get_indexer(content.rows["sample_id"])
    taken = {"path": saved.paths, "file_hash": saved.file_hashes}
    columns = {name: pd.Series(np.array(values, dtype=object)[at], dtype="str") for name, values in taken.items()}
    return content.rows.assign(source_path=content.rows["path"], **columns)[list(COLUMNS)]


def _write_table(folder: Path, facts: dict[str, Any], rows: pd.DataFrame) -> None:
    failpoint("export.before_table")
    temporary = folder / f".{NAME}"
    with temporary.open("wb") as stream:
        write_table(stream, facts, rows)
        stream.flush()
        os.fsync(stream.fileno())
    os.sync()  # pictures that the disk does not have yet must not be behind a name that says they are complete
    os.rename(temporary, folder / NAME)


def _history(dataset: Dataset, version: str, content: Content, cluster: np.ndarray | None) -> dict[str, Any]:
    """What the data card says of changes, reviewers and limits."""
    lineage = ancestors(dataset.folder, version)
    first = lineage[-1]
    changes = Counter(str(line["change"]) for line in diff(read(dataset.folder, first), read(dataset.folder, version)))
    reviewers: Counter[str] = Counter()
    looked: set[str] = set()
    for name in lineage:
        if read_header(dataset.folder, name)["kind"] != "publish":
            continue
        for line in read_lines(dataset.folder / f"{name}.changes.jsonl"):
            people = line.get("reviewers") or [line.get("reviewer")]
            reviewers.update(person for person in people if isinstance(person, str))
            looked.add(line.get("sample_id", ""))
    reviewed = int(content.samples["sample_id"].isin(looked).sum())
    limits = [
        f"{reviewed:,} of {len(content.samples):,} pictures were looked at by a reviewer; the others are as they came."
    ]
    limits += _leaks(content, cluster)
    return {"changes": dict(changes), "reviewers": dict(reviewers.most_common(50)), "limits": limits}


def _leaks(content: Content, cluster: np.ndarray | None) -> list[str]:
    known = [] if cluster is not None else ["No run says which pictures look alike: only equal pictures are known."]
    groups = pd.DataFrame({"group": groups_of(content, cluster), "split": content.samples["split"].to_numpy(object)})
    across = groups.drop_duplicates()["group"].duplicated(keep=False)
    leaking = groups["group"].isin(groups.drop_duplicates().loc[across, "group"])
    if leaking.any():
        known.append(f"{int(leaking.sum()):,} pictures have a duplicate, or one of their group, in another split.")
    return known


def _latest_run(workspace: Path, dataset: Dataset) -> Run | None:
    try:
        return next((run for run in reversed(list_runs(workspace)) if run.info.get("dataset") == dataset.name), None)
    except CurationError:
        return None


def _clusters(run: Run | None, content: Content) -> np.ndarray | None:
    """(N,) text: the duplicate cluster of each sample by the latest run, "" where it has none; None without a run."""
    if run is None:
        return None
    samples = run.samples()[["sample_id", "cluster"]].drop_duplicates("sample_id")
    at = pd.Index(samples["sample_id"]).get_indexer(content.samples["sample_id"])
    number = np.append(samples["cluster"].to_numpy(np.int64), -1)[at]
    return np.array(["" if value < 0 else str(value) for value in number.tolist()], dtype=object)
