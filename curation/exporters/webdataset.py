"""WebDataset: tar shards with `.jpg`, `.cls` and `.json` of each sample under one key."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from pathlib import Path

import numpy as np

from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.names import word_names
from curation.exporters.pictures import encoded, new_hash, picture_names
from curation.files import failpoint
from curation.progress import Progress

SHARD_SAMPLES = 10_000
SHARD_BYTES = 1_000_000_000
DIGITS = 6  # of the number in a path, so that paths sort as the pictures do
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a dot would end it


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write `train-000000.tar` ..., at most 10,000 samples or about 1 GB each, in the order of sample_id: at random."""
    samples = content.samples
    ids = samples["sample_id"].tolist()
    keys = ids if all(map(_KEY.fullmatch, ids)) else [f"{row:09d}" for row in range(len(ids))]
    endings = [os.path.splitext(name)[1].lower() for name in picture_names(content)]
    attributes = content.rows.drop_duplicates("sample_id")["attributes"].tolist()
    columns = {name: samples[name].tolist() for name in ("sample_id", "label", "split", "group", "hard")}
    splits = dict(zip(content.splits, word_names(content.splits, "data"), strict=True))
    formats = samples["format"].tolist()
    paths, hashes, files = [""] * len(ids), [""] * len(ids), []
    with progress.stage("Exporting", len(ids)) as advance:
        for split, word in splits.items():
            rows = np.flatnonzero(samples["split"].to_numpy(object) == split).tolist()
            pictures = encoded(content, rows)
            start, shard = 0, 0
            while start < len(rows):
                name = f"{word}-{shard:06d}.tar"
                at = size = 0
                with tarfile.open(folder / name, "x:", format=tarfile.USTAR_FORMAT) as archive:
                    while start + at < len(rows) and at < SHARD_SAMPLES and size < SHARD_BYTES:
                        row = rows[start + at]
                        data = next(pictures)
                        hashes[row] = new_hash(formats[row], data)
                        _add(archive, keys[row] + endings[row], data)
                        if content.class_ids[row]:
                            _add(archive, f"{keys[row]}.cls", str(content.class_ids[row][0]).encode())
                        facts = {name: values[row] for name, values in columns.items()}
                        facts["labels"] = [content.classes[k] for k in content.class_ids[row]]
                        facts["attributes"] = attributes[row]
                        _add(archive, f"{keys[row]}.json", json.dumps(facts).encode())
                        paths[row] = f"{name}#{at:0{DIGITS}d}"
                        at, size = at + 1, size + len(data)
                        failpoint("export.after_picture")
                        advance(1)
                files.append(name)
                start, shard = start + at, shard + 1
    notes = [".cls is the class; .json has the label, and in `labels` all that are right, of equal weight."]
    return Saved(paths, hashes, files, notes=notes)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # of nobody, at no time: the same version gives the same bytes
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


EXPORTER = Exporter(
    save=save,
    images=("inside",),
    sized=False,
    reading="import webdataset\n\ndata = webdataset.WebDataset('DEST/train-000000.tar', shardshuffle=False)"
    ".decode('pil')",
    tasks=("single-label", "multi-label"),
)
