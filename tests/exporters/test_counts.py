"""Counts leave as numbers, and come back from the numbers alone; what cannot say them refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from curation.errors import SettingsError
from curation.export import ExportSettings, export
from curation.exporters import EXPORTERS
from curation.exporters.verify import verify_export
from curation.importers import load
from curation.records import Records
from tests.exporting import HOSTILE_LABELS
from tests.importers.test_counts import counts_of
from tests.importers.test_table_many import table
from tests.round_trips import assert_same, first_version, said, there_and_back


def counted(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), pictures: int = 5) -> Records:
    """Pictures with 0 to 3 of each class, one of them with none of any."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 4, (pictures, len(classes)))
    numbers[1] = 0
    text = "image,label,count,split\n"
    file = table(folder / "set", text, pictures=pictures)
    rows = [
        {"image": f"{i + 1}.png", "label": name, "count": int(numbers[i, k]), "split": ["train", "test"][i % 2]}
        for i in range(pictures)
        for k, name in enumerate(classes)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)
    return load(file, options={"task": "counts"})


@pytest.mark.parametrize("classes", [("cat", "dog"), HOSTILE_LABELS, ("split", "hard"), (" a", " b"), ("'", "=1")])
def test_numbers_of_a_csv_table_say_all_that_there_was(tmp_path: Path, classes: tuple[str, ...]) -> None:
    records = counted(tmp_path, classes)
    back = there_and_back(records, "csv", tmp_path)
    assert back.task == "counts"
    assert_same(said(records, tmp_path), said(back, tmp_path))
    assert {entry["name"] for entry in back.classes} == set(records.annotations["label"])


def test_a_table_reads_as_numbers_by_pandas(tmp_path: Path) -> None:
    records = counted(tmp_path)
    export(
        tmp_path / "out",
        ExportSettings("csv", source=records.root),
        tmp_path / "ws",
        first_version(records, tmp_path / "ws"),
    )
    read = pd.read_csv(tmp_path / "out" / "labels.csv", keep_default_na=False).set_index("file_name")
    assert read[["cat", "dog"]].dtypes.astype(str).tolist() == ["int64", "int64"]
    theirs = {Path(str(name)).name: {k: v for k, v in row.items() if v} for name, row in
              read[["cat", "dog"]].to_dict("index").items()}  # fmt: skip
    assert theirs == {path: dict(counts) for path, counts in counts_of(records).items()}
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{len(records.annotations):,} in all." in card
    assert "| class | label | in all | pictures with it | at most |" in card
    assert verify_export(tmp_path / "out") == []
    again = load(tmp_path / "out")
    assert again.task == "counts"
    assert_same(said(records, tmp_path), said(again, tmp_path))


def test_parquet_has_a_list_of_numbers(tmp_path: Path) -> None:
    records = counted(tmp_path)
    dataset = first_version(records, tmp_path / "ws")
    done = export(tmp_path / "out", ExportSettings("parquet", source=records.root), tmp_path / "ws", dataset)
    files = sorted((tmp_path / "out" / "data").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file, columns=["sample_id", "counts"]).to_pylist()]
    wanted = counts_of(records)
    path_of = dict(zip(records.samples["sample_id"], records.samples["path"], strict=True))
    assert done.facts["classes"] == ["cat", "dog"]
    assert {path_of[row["sample_id"]]: row["counts"] for row in rows} == {
        path: [counts["cat"], counts["dog"]] for path, counts in wanted.items()
    }
    meta = json.loads(pq.read_schema(files[0]).metadata[b"huggingface"])
    assert meta["info"]["features"]["counts"]["_type"] == "Sequence"
    assert_same(said(records, tmp_path), said(load(tmp_path / "out"), tmp_path))


@pytest.mark.parametrize("name", [name for name, exporter in EXPORTERS.items() if "counts" not in exporter.tasks])
def test_what_cannot_say_how_many_refuses_and_names_what_can(tmp_path: Path, name: str) -> None:
    records = counted(tmp_path, pictures=2)
    dataset = first_version(records, tmp_path / "ws")
    with pytest.raises(SettingsError, match=r"cannot hold how many of each class there are; these can: csv, parquet\."):
        export(tmp_path / "out", ExportSettings(name, source=records.root), tmp_path / "ws", dataset)
    assert not (tmp_path / "out").exists()
