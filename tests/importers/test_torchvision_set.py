"""torchvision's data sets, from files laid out as torchvision lays them out; nothing is fetched."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from curation.decoding.sources import open_picture
from curation.errors import SettingsError, SourceError
from curation.importers import load
from curation.importers.torchvision_set import SPECS
from tests.importers.pictures import labels_of, make_pictures, splits_of


def write_mnist(folder: Path, counts: dict[str, int]) -> None:
    """MNIST's four files with `counts` pictures; picture i is all i, its label i modulo 10."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in counts.items():
        pictures = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28)
        files = {
            f"{prefix}-images-idx3-ubyte": struct.pack(">4i", 0x803, count, 28, 28) + pictures.tobytes(),
            f"{prefix}-labels-idx1-ubyte": struct.pack(">2i", 0x801, count) + bytes(i % 10 for i in range(count)),
        }
        for name, data in files.items():
            (raw / name).write_bytes(data)
            (raw / f"{name}.gz").write_bytes(gzip.compress(data))


def test_a_set_of_arrays_becomes_an_array_file_once(tmp_path: Path) -> None:
    write_mnist(tmp_path / ".curate" / "torchvision", {"train": 12, "t10k": 3})
    records = load("torchvision:MNIST", workspace=tmp_path)
    assert records.source_format == "torchvision"
    assert len(records.samples) == 15
    assert splits_of(records)["MNIST.npz#test_images/2"] == "test"
    assert labels_of(records)["MNIST.npz#train_images/11"] == "1 - one"
    picture = open_picture(records.root, "MNIST.npz#train_images/7")
    assert np.asarray(picture.rgb).max() == 7
    (tmp_path / ".curate" / "torchvision" / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"gone")
    again = load("mnist", format="torchvision", workspace=tmp_path)
    assert labels_of(again) == labels_of(records)


def test_a_set_that_makes_its_pictures(tmp_path: Path) -> None:
    records = load("torchvision:FakeData", workspace=tmp_path)
    assert len(records.samples) == 100
    open_picture(records.root, records.samples["path"][99])
    assert records.settings["dataset"] == "FakeData"


def test_a_set_of_files_is_used_where_it_lies(tmp_path: Path) -> None:
    root = tmp_path / ".curate" / "torchvision" / "eurosat"
    make_pictures(root / "2750", "Forest/Forest_1.png", "River/River_1.png")
    records = load("torchvision:EuroSAT", workspace=tmp_path)
    assert labels_of(records) == {
        "eurosat/2750/Forest/Forest_1.png": "Forest",
        "eurosat/2750/River/River_1.png": "River",
    }
    open_picture(records.root, records.samples["path"][0])


def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"MNIST could not be fetched .* Without a network, put its files into"):
        load("torchvision:MNIST", workspace=tmp_path)
    assert not (tmp_path / ".curate" / "imports").exists()


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'Nope' is not known here; there are: MNIST"):
        load("torchvision:Nope", workspace=tmp_path)


def test_every_name_is_a_class_of_torchvision_with_these_arguments() -> None:
    import inspect

    import torchvision.datasets

    for name, spec in SPECS.items():
        parameters = inspect.signature(getattr(torchvision.datasets, name).__init__).parameters
        for arguments in spec.splits.values():
            assert set(arguments) <= set(parameters), name
        assert not spec.download or "download" in parameters, name
