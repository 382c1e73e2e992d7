"""What a source says of a picture, and of itself, beside labels: kept in the manifest, without changing older ones."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from curation.manifest import NewVersion, build_rows, canonical_hash, read, write_version
from curation.manifest.changes import apply, diff, inverse
from curation.manifest.history import class_list, source_of, task_of
from curation.records import Records, empty_annotations, empty_samples, source_facts


def rows_of(*attributes: str) -> pd.DataFrame:
    samples = empty_samples(len(attributes)).assign(status="ok").astype({"status": "str"})
    for name in ("sample_id", "path"):
        samples[name] = pd.Series([f"s{at}" for at in range(len(attributes))], dtype="str")
    samples["sample_attributes"] = pd.Series(list(attributes), dtype="str")
    return build_rows(samples, empty_annotations())


def write(rows: pd.DataFrame, folder: Path, **source: object) -> str:
    return write_version(rows, NewVersion(None, "import", "a", "m", [], source=source), folder)


def test_a_version_keeps_what_the_source_says_of_a_picture(tmp_path: Path) -> None:
    rows = rows_of('{"license": 1}', "")
    assert read(tmp_path, write(rows, tmp_path))["sample_attributes"].tolist() == ['{"license": 1}', ""]


def test_a_version_without_the_column_is_read_and_keeps_its_hash(tmp_path: Path) -> None:
    rows = rows_of("", "")
    version = write(rows, tmp_path)
    file = tmp_path / f"{version}.parquet"
    old = pq.read_table(file).drop_columns(["sample_attributes"])
    file.unlink()
    pq.write_table(old, file)
    found = read(tmp_path, version)
    assert found["sample_attributes"].tolist() == ["", ""]
    assert canonical_hash(found) == canonical_hash(rows)


def test_they_count_in_the_hash_where_there_are_any() -> None:
    assert len({canonical_hash(rows_of(*said)) for said in (("", ""), ("{}", ""), ("", "{}"))}) == 3


def test_a_change_of_them_is_a_line_that_can_be_applied_and_taken_back() -> None:
    old, new = rows_of('{"a": 1}', ""), rows_of('{"a": 2}', "free text")
    lines = diff(old, new)
    assert [(line["change"], line["annotation_id"], line["to"]) for line in lines] == [
        ("attributes", "", {"a": 2}),
        ("attributes", "", "free text"),
    ]
    assert diff(apply(old, lines), new) == []
    assert diff(apply(new, [inverse(line) for line in lines]), old) == []


def test_a_header_says_the_task_and_the_classes_of_the_source(tmp_path: Path) -> None:
    classes = ({"name": "cola", "id": 7, "supercategory": "drink"}, {"name": "unseen", "id": 9})
    records = Records(
        empty_samples(), empty_annotations(), tmp_path, "coco", "detection", classes=classes, about={"info": {"y": 1}}
    )
    version = write(rows_of(""), tmp_path, **source_facts(records))
    assert task_of(tmp_path, version) == "detection"
    assert class_list(tmp_path, version) == list(classes)
    assert source_of(tmp_path, version)["about"] == {"info": {"y": 1}}


def test_one_label_per_picture_is_the_task_where_nothing_is_said(tmp_path: Path) -> None:
    version = write(rows_of(""), tmp_path, format="folder")
    assert (task_of(tmp_path, version), class_list(tmp_path, version)) == ("single-label", [])
