"""Parquet as Hugging Face's `datasets` lays it out: `data/train-00000-of-00001.parquet`, pictures inside or beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.marks import counts_of
from curation.exporters.names import file_names, word_names
from curation.exporters.pictures import encoded, new_hash, picture_names, place_pictures
from curation.files import failpoint
from curation.progress import Progress

ROWS = 100  # of a row group, as `datasets` writes pictures: few enough to read one by one
SHARD_BYTES = 500_000_000
DIGITS = 6  # of the row number in a path, so that paths sort as the rows do


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write one table per split and 500 MB with the columns `image` (or `file_name`, beside the pictures), `label`
    (a ClassLabel), `labels` (all that are right), `hard`, `group`, `sample_id` and `attributes`; of a set of counts
    `counts`, a list of numbers in the order of the classes, for the first two."""
    splits = dict(zip(content.splits, word_names(content.splits, "train"), strict=True))
    if options.images == "inside":
        saved = _inside(content, splits, folder, progress)
        places = {name: f"data/{name}-*" for name in splits.values()}
    else:
        saved = _beside(content, splits, options.images, folder, progress)
        # All of the folder: with the table alone, `datasets` would read names of files as text.
        places = {name: f"data/{name}/**" for name in splits.values()}
    saved.front_matter = ["---", "configs:", "- config_name: default", "  data_files:"]
    for name, pattern in places.items():  # letters, digits and _ only
        saved.front_matter += [f"  - split: {name}", f"    path: {pattern}"]
    saved.front_matter += ["---", ""]
    renamed = [f"`{name}` is the split {split!r}" for split, name in splits.items() if split not in ("", name)]
    saved.notes += [f"Names of splits can only have letters, digits and `_`: {', '.join(renamed)}."] if renamed else []
    saved.notes.append(
        "counts has a number per class, in the order of the table of classes below."
        if content.task == "counts"
        else "label is -1 where there is none; labels has all that are right, of equal weight."
    )
    return saved


def _inside(content: Content, splits: dict[str, str], folder: Path, progress: Progress) -> Saved:
    import pyarrow as pa

    (folder / "data").mkdir()
    table = _columns(content)
    schema = _schema(content, pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "image")
    names = picture_names(content)
    written: list[tuple[str, str, int, list[int]]] = []  # split, temporary name, number, rows
    hashes = [""] * len(names)
    with progress.stage("Exporting", len(names)) as advance:
        for split, word in splits.items():
            rows = np.flatnonzero(content.samples["split"].to_numpy(object) == split).tolist()
            for number, shard in enumerate(
                _shards(content, rows, names, schema, table, hashes, folder / "data", word, advance)
            ):
                written.append((word, shard[0], number, shard[1]))
    paths, files = [""] * len(names), []
    for word in splits.values():
        mine = [shard for shard in written if shard[0] == word]
        for _, temporary, number, rows in mine:
            name = f"data/{word}-{number:05d}-of-{len(mine):05d}.parquet"
            (folder / "data" / temporary).rename(folder / name)
            files.append(name)
            for at, row in enumerate(rows):
                paths[row] = f"{name}#image/{at:0{DIGITS}d}"
    return Saved(paths, hashes, files)


def _shards(
    content: Content,
    rows: Sequence[int],
    names: list[str],
    schema: Any,
    table: Any,
    hashes: list[str],
    data: Path,
    word: str,
    advance: Any,
) -> Any:
    """Write the shards of one split; yields (file name, rows) of each, and fills `hashes`."""
    start, number = 0, 0
    pictures, formats = encoded(content, rows), content.samples["format"].tolist()
    while start < len(rows):
        name = f".{word}-{number}"
        end, size = start, 0
        with _writer(data / name, schema) as writer:
            while end < len(rows) and size < SHARD_BYTES:
                block = list(rows[end : end + ROWS])
                images: list[dict[str, Any]] = [
                    {"bytes": data, "path": names[row]} for row, data in zip(block, pictures, strict=False)
                ]  # zip takes one from `block` first, so that no picture is read and lost
                size += sum(len(image["bytes"]) for image in images)
                for row, image in zip(block, images, strict=True):
                    hashes[row] = new_hash(formats[row], image["bytes"])
                writer.write_table(_block(schema, images, table, block), row_group_size=ROWS)
                end += len(block)
                failpoint("export.after_picture")
                advance(len(block))
        yield name, list(rows[start:end])
        start, number = end, number + 1


def _beside(content: Content, splits: dict[str, str], images: str, folder: Path, progress: Progress) -> Saved:
    import pyarrow as pa

    folders = [f"data/{splits[split]}/images" for split in content.samples["split"].tolist()]
    paths = file_names(folders, picture_names(content), content.samples["sample_id"].tolist())
    hashes, notes = place_pictures(content, paths, images, folder, progress)
    schema = _schema(content, pa.string(), "file_name")
    table, files = _columns(content), []
    for split, word in splits.items():
        rows = np.flatnonzero(content.samples["split"].to_numpy(object) == split).tolist()
        name = f"data/{word}/metadata.parquet"
        with _writer(folder / name, schema) as writer:
            own = [paths[row].split("/", 2)[2] for row in rows]
            writer.write_table(_block(schema, own, table, rows))
        files.append(name)
    return Saved(paths, hashes, files, notes=notes)


def _writer(path: Path, schema: Any) -> Any:
    import pyarrow.parquet as pq

    # Pictures are compressed already; of each other column, a dictionary says what there is to say.
    none = ["image.bytes", "image.path"]
    lists = ["labels.list.element", "counts.list.element"]
    packed = {name: "NONE" if name in none else "ZSTD" for name in [*none, *schema.names, *lists]}
    return pq.ParquetWriter(
        path, schema, compression=packed, use_dictionary=["group", "label"], write_statistics=["label", "sample_id"]
    )


def _columns(content: Content) -> dict[str, list[Any]]:
    attributes = content.rows.drop_duplicates("sample_id")["attributes"].tolist()
    columns = {name: content.samples[name].tolist() for name in ("hard", "group", "sample_id")}
    labels = {"label": content.samples["class_id"].tolist(), "labels": [list(ids) for ids in content.class_ids]}
    if content.task == "counts":
        labels = {"counts": counts_of(content).tolist()}
    return {**labels, **columns, "attributes": attributes}


def _block(schema: Any, first: list[Any], columns: dict[str, list[Any]], rows: list[int]) -> Any:
    import pyarrow as pa

    values = [first, *([column[row] for row in rows] for column in columns.values())]
    arrays = [pa.array(value, type=field.type) for value, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _schema(content: Content, first: Any, name: str) -> Any:
    """With what `datasets` wants to know in the metadata, so that `label` is a ClassLabel with its names."""
    import pyarrow as pa

    label = {"names": content.classes, "_type": "ClassLabel"}
    text = {"dtype": "string", "_type": "Value"}
    number = {"dtype": "int64", "_type": "Value"}
    labels = {"label": label, "labels": {"feature": label, "_type": "Sequence"}}
    if content.task == "counts":
        labels = {"counts": {"feature": number, "_type": "Sequence"}}
    features: dict[str, Any] = {
        name: {"_type": "Image"} if name == "image" else text,
        **labels,
        "hard": {"dtype": "bool", "_type": "Value"},
        **dict.fromkeys(("group", "sample_id", "attributes"), text),
    }
    numbers = [pa.list_(pa.int64())] if content.task == "counts" else [pa.int64(), pa.list_(pa.int64())]
    types = [first, *numbers, pa.bool_(), pa.string(), pa.string(), pa.string()]
    return pa.schema(
        list(zip(features, types, strict=True)),
        metadata={"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)},
    )


EXPORTER = Exporter(
    save=save,
    images=("inside", "copy", "link", "symlink"),
    sized=False,
    reading="from datasets import load_dataset\n\ndata = load_dataset('DEST')",
    tasks=("single-label", "multi-label", "counts"),
)
