"""A table of labels beside the pictures: `labels.csv` and `images/`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.exporters.names import file_names, safe_name
from curation.exporters.pictures import folders_above, picture_names, place_pictures
from curation.issue_files import defuse
from curation.progress import Progress

NAME = "labels.csv"
COLUMNS = ("file_name", "label", "class_id", "split", "group", "hard", "labels", "sample_id", "attributes")


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write `labels.csv`, one line per picture, and the pictures in folders as they are in the source."""
    names = tree_names(content)
    hashes, notes = place_pictures(content, names, options.images, folder, progress)
    (folder / NAME).write_text(_table(content, names), encoding="utf-8", newline="")
    notes.append(
        "In labels.csv, a text that a spreadsheet would run as a formula, or that begins with an apostrophe, has one "
        "apostrophe in front. class_id is -1 where there is no label; labels is a JSON list where several are right."
    )
    return Saved(names, hashes, files=[NAME], notes=notes)


def tree_names(content: Content) -> list[str]:
    """`images/` and the path in the source, each part of it a safe name."""
    above = [_folder(path) for path in content.samples["path"].tolist()]
    files = picture_names(content)
    taken = folders_above([f"{folder}/x" for folder in set(above)])
    return file_names(above, files, content.samples["sample_id"].tolist(), taken)


def _folder(path: str) -> str:
    parts = path.partition("#")[0].split("/")[:-1]
    return "/".join(["images", *(safe_name(part) for part in parts)])


def _table(content: Content, names: list[str]) -> str:
    samples = content.samples
    attributes = content.rows.drop_duplicates("sample_id")["attributes"].tolist()
    stream = io.StringIO()
    # Quotes around every text keep "01" from becoming a number for whoever asks.
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = (samples[name].tolist() for name in ("label", "class_id", "split", "group", "hard"))
    rows = zip(names, *columns, content.class_ids, samples["sample_id"].tolist(), attributes, strict=True)
    for name, label, class_id, split, group, hard, ids, sample_id, more in rows:
        several = json.dumps([content.classes[k] for k in ids], ensure_ascii=False) if len(ids) > 1 else ""
        texts = (defuse(text) for text in (name, label))
        writer.writerow(
            [*texts, class_id, defuse(split), defuse(group), int(hard), several, defuse(sample_id), defuse(more)]
        )
    return stream.getvalue()


EXPORTER = Exporter(
    save=save,
    images=("copy", "link", "symlink"),
    sized=False,
    reading="import pandas as pd\n\ntable = pd.read_csv('DEST/labels.csv', keep_default_na=False, dtype=str)",
    tasks=("single-label", "multi-label"),
)
