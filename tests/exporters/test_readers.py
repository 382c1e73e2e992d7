"""What others read from an export: torchvision, Hugging Face datasets, webdataset, h5py and numpy, offline."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curation.export import Exported, ExportSettings, export
from curation.exporters import arrays
from curation.manifest.changes import LABELS
from tests.exporting import HOSTILE_LABELS, make_set, picture


def hostile_set(folder: Path) -> dict[str, Any]:
    """Each hostile label in both splits, one picture without a label, one with two, one hard; entry i is picture i."""
    facts: list[dict[str, Any]] = [
        {"path": f"{split}/{at}.png", "label": label, "split": split}
        for split in ("train", "test")
        for at, label in enumerate(HOSTILE_LABELS)
    ]
    facts[0]["attributes"] = {LABELS: ["cat", "NUL.txt"]}
    facts[1]["attributes"] = {"curate:hard": True}
    facts.append({"path": "train/none.png", "label": "", "split": "train"})
    workspace, dataset, source = make_set(folder, facts)
    return {"workspace": workspace, "dataset": dataset, "source": source, "facts": facts}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return hostile_set(tmp_path_factory.mktemp("hostile"))


def write(hostile: dict[str, Any], dest: Path, format: str, images: str = "", **settings: Any) -> Exported:
    chosen = ExportSettings(format, images=images, source=hostile["source"], **settings)
    return export(dest, chosen, hostile["workspace"], hostile["dataset"])


def truth(hostile: dict[str, Any], split: str) -> list[tuple[bytes, str]]:
    """(pixels, label) of each picture of a split, sorted."""
    facts = enumerate(hostile["facts"])
    return sorted((picture(at).tobytes(), fact["label"]) for at, fact in facts if fact["split"] == split)


@pytest.mark.parametrize("images", ["copy", "link", "symlink"])
def test_image_folder_numbers_the_classes_as_the_export_does(
    hostile: dict[str, Any], images: str, tmp_path: Path
) -> None:
    from torchvision.datasets import ImageFolder

    done = write(hostile, tmp_path / "out", "folder", images)
    classes = done.facts["classes"]
    assert set(classes) == set(HOSTILE_LABELS)
    for split in ("train", "test"):
        data = ImageFolder(str(done.place / split), allow_empty=True)
        assert data.classes == done.facts["class_folders"]
        found = sorted((image.tobytes(), classes[target]) for image, target in data)
        assert found == [one for one in truth(hostile, split) if one[1]]


@pytest.fixture
def load_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets.load_dataset` as it is without a network, its cache in a folder of the test."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def load(place: Path, *arguments: Any, **options: Any) -> Any:
        return datasets.load_dataset(str(place), *arguments, cache_dir=str(tmp_path / "cache"), **options)

    return load


@pytest.mark.parametrize("images", ["inside", "copy", "link", "symlink"])
def test_hugging_face_datasets_reads_the_parquet_export(
    hostile: dict[str, Any], images: str, load_offline: Any, tmp_path: Path
) -> None:
    done = write(hostile, tmp_path / "out", "parquet", images)
    data = load_offline(done.place)
    classes = done.facts["classes"]
    assert set(data) == {"train", "test"}
    for split in data:
        rows = list(data[split])
        named = [
            (row["image"].convert("RGB").tobytes(), classes[row["label"]] if row["label"] >= 0 else "") for row in rows
        ]
        assert sorted(named) == truth(hostile, split)
    features = data["train"].features
    assert features["label"].names == features["labels"].feature.names == classes
    several = [row for row in data["train"] if len(row["labels"]) > 1]
    assert [[classes[k] for k in row["labels"]] for row in several] == [["cat", "NUL.txt"]]
    assert sum(row["hard"] for row in data["train"]) == 1


def test_hugging_face_datasets_reads_class_folders(tmp_path: Path, load_offline: Any) -> None:
    facts = [
        {"path": f"{split}-{label}-{at}.png", "label": label, "split": split}
        for split in ("train", "test")
        for label in ("cat", "dog")
        for at in range(2)
    ]
    workspace, dataset, source = make_set(tmp_path / "set", facts)
    done = export(tmp_path / "out", ExportSettings(source=source), workspace, dataset)
    data = load_offline("imagefolder", data_dir=str(done.place))
    for split in ("train", "test"):
        assert data[split].features["label"].names == done.facts["classes"]
        assert sorted(data[split]["label"]) == [0, 0, 1, 1]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it leaves the closing of its shards to the collector
def test_webdataset_reads_the_shards(hostile: dict[str, Any], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    done = write(hostile, tmp_path / "out", "webdataset")
    classes = done.facts["classes"]
    for split in ("train", "test"):
        data = webdataset.WebDataset(str(done.place / f"{split}-000000.tar"), shardshuffle=False).decode("pil")
        found = []
        for sample in data:
            said = sample["json"]
            assert said["label"] == (classes[sample["cls"]] if "cls" in sample else "")
            assert (len(said["labels"]) > 1) == (said["label"] == "cat" and split == "train")
            found.append((sample["png"].convert("RGB").tobytes(), said["label"]))
        assert sorted(found) == truth(hostile, split)


@pytest.mark.parametrize("format", ["hdf5", "npz"])
def test_arrays_are_what_plain_readers_expect(hostile: dict[str, Any], format: str, tmp_path: Path) -> None:
    done = write(hostile, tmp_path / "out", format)
    classes, arrays = done.facts["classes"], read_arrays(done.place, format)
    assert arrays["class_names"].tolist() == classes
    for split in ("train", "test"):
        images, labels = arrays[f"{split}/images"], arrays[f"{split}/labels"]
        assert (images.dtype, images.shape[1:], labels.dtype) == (np.uint8, (10, 12, 3), np.int64)
        named = [classes[k] if k >= 0 else "" for k in labels.tolist()]
        found = [(image.tobytes(), label) for image, label in zip(images, named, strict=True)]
        assert sorted(found) == truth(hostile, split)
        weights = arrays[f"{split}/soft_labels"]
        assert weights.shape == (len(labels), len(classes))
        assert np.array_equal(weights.sum(axis=1), (labels >= 0).astype(np.float32))
        both = np.flatnonzero(weights.max(axis=1) == 0.5).tolist()
        assert [named[row] for row in both] == (["cat"] if split == "train" else [])
        for row in both:
            assert {classes[k] for k in np.flatnonzero(weights[row])} == {"cat", "NUL.txt"}
        assert arrays[f"{split}/hard"].sum() == (split == "train")


def read_arrays(place: Path, format: str) -> dict[str, np.ndarray]:
    """Every array of an hdf5 or npz export as `split/name`, text as str."""
    if format == "npz":
        with np.load(place / "data.npz", allow_pickle=False) as file:
            return {name.replace("_", "/", 1) if name != "class_names" else name: file[name] for name in file}
    import h5py

    found: dict[str, np.ndarray] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]

    with h5py.File(place / "data.h5", "r") as file:
        file.visititems(take)
    return found


def test_pandas_reads_the_csv_export(hostile: dict[str, Any], tmp_path: Path) -> None:
    done = write(hostile, tmp_path / "out", "csv")
    table = pd.read_csv(done.place / "labels.csv", keep_default_na=False, dtype=str)
    classes, found = done.facts["classes"], defaultdict(list)
    for row in table.itertuples():
        label = classes[int(row.class_id)] if int(row.class_id) >= 0 else ""
        assert row.label in (label, f"'{label}")  # an apostrophe keeps spreadsheets from running it
        with Image.open(io.BytesIO((done.place / row.file_name).read_bytes())) as image:
            found[row.split].append((image.convert("RGB").tobytes(), label))
    for split in ("train", "test"):
        assert sorted(found[split]) == truth(hostile, split)
    several = table[table["labels"] != ""]
    assert [json.loads(text) for text in several["labels"]] == [["cat", "NUL.txt"]]


@pytest.mark.parametrize("format", ["hdf5", "npz", "parquet", "webdataset", "csv"])
def test_the_data_card_says_where_several_labels_are(hostile: dict[str, Any], format: str, tmp_path: Path) -> None:
    done = write(hostile, tmp_path / "out", format)
    card = (done.place / "README.md").read_text().replace("\\", "")
    assert ("soft_labels" if format in ("hdf5", "npz") else "labels") in card
    assert "1 pictures have several right labels" in card


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the lines leave closing to the collector
@pytest.mark.parametrize("format", ["folder", "csv", "parquet", "webdataset", "hdf5", "npz"])
def test_the_lines_of_the_data_card_read_the_export(
    hostile: dict[str, Any], format: str, load_offline: Any, tmp_path: Path
) -> None:
    if format == "webdataset":
        pytest.importorskip("webdataset")
    done = write(hostile, tmp_path / "out", format, splits=("train",))
    card = (done.place / "README.md").read_text()
    lines = card.split("```python\n")[1].split("```")[0]
    read: dict[str, Any] = {}
    if format == "folder":  # as its note says of classes without a picture
        lines = lines.replace("DEST/train'", "DEST/train', allow_empty=True")
    exec(lines.replace("DEST", str(done.place)), read)
    name = {"csv": "table", "folder": "train", "hdf5": "file", "npz": "images"}.get(format, "data")
    assert read[name] is not None
    if format != "hdf5":
        count = sum(1 for _ in (read[name]["train"] if format == "parquet" else read[name]))
        assert count >= (1 if format == "csv" else len(HOSTILE_LABELS))  # of a table, iteration gives columns


@pytest.mark.parametrize("format", ["hdf5", "npz"])
def test_soft_labels_that_would_be_too_many_are_left_out_and_the_card_says_so(
    hostile: dict[str, Any], format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MOST_SOFT_BYTES", 1000)
    done = write(hostile, tmp_path / "out", format)
    assert not [name for name in read_arrays(done.place, format) if "soft_labels" in name]
    assert "they would be too many to store" in (done.place / "README.md").read_text()
