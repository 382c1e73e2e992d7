"""curation.open_dataset: a version as a torch data set, without an export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import curation
from curation.errors import NotFoundError, SourceError
from tests.exporting import make_set, picture


@pytest.fixture
def pets(tmp_path: Path) -> dict[str, Any]:
    facts = [
        {"path": f"{split}/{label}/{at}.png", "label": label, "split": split}
        for split in ("train", "val")
        for label in ("dog", "cat")
        for at in range(3)
    ]
    facts[0]["attributes"] = {"curate:labels": ["dog", "fox"]}
    facts[1]["excluded"] = True
    facts[2]["label"] = ""
    facts.append({"path": "train/broken.png", "label": "cat", "split": "train", "broken": True})
    workspace, dataset, source = make_set(tmp_path, facts)
    return {"workspace": workspace, "dataset": dataset.name, "source": source}


def test_pictures_are_uint8_tensors_and_the_table_says_what_they_are(pets: dict[str, Any]) -> None:
    data = curation.open_dataset(split="train", **pets)
    assert len(data) == len(data.table) == 5
    assert data.classes == ["cat", "dog", "fox"]
    at = data.table["path"].tolist().index("train/dog/0.png")
    image, target = data[at]
    assert (image.dtype, tuple(image.shape), target) == (torch.uint8, (3, 10, 12), 1)
    assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(picture(0)))
    assert data.table["labels"][at] == ("dog", "fox")
    assert data[data.table["path"].tolist().index("train/dog/2.png")][1] == -1
    assert curation.open_dataset(split=["train", "val"], **pets).classes == data.classes
    assert data[-1][1] == data[len(data) - 1][1]
    with pytest.raises(IndexError):
        data[len(data)]


def test_pictures_of_the_size_of_a_run_come_from_its_cache(pets: dict[str, Any]) -> None:
    cached, decoded = curation.open_dataset(size=16, **pets), curation.open_dataset(size=17, **pets)
    first = cached[0][0]
    assert tuple(decoded[0][0].shape) == (3, 17, 17)
    for file in pets["source"].rglob("*.png"):
        file.unlink()
    assert torch.equal(cached[0][0], first)
    with pytest.raises(SourceError, match="cannot be read any more"):
        decoded[0]


def test_a_damaged_cache_is_noticed(pets: dict[str, Any]) -> None:
    whole = curation.open_dataset(size=16, **pets)[0][0]
    for file in (pets["workspace"] / ".curate" / "cache").glob("*.rows"):
        file.write_bytes(bytes(file.stat().st_size))
    assert torch.equal(curation.open_dataset(size=16, **pets)[0][0], whole)


def as_array(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).float().mean()


@pytest.mark.parametrize("size", [None, 16])
def test_it_feeds_data_loader_workers_that_are_spawned(pets: dict[str, Any], size: int | None) -> None:
    data = curation.open_dataset(transform=as_array, size=size, **pets)
    alone = [float(image) for image, _ in data]
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context="spawn")
    assert [float(value) for images, _ in loader for value in images] == alone


def test_an_unknown_version_or_split_lists_those_that_there_are(pets: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError, match=r"v0007.*v0001"):
        curation.open_dataset("v0007", **pets)
    with pytest.raises(NotFoundError, match=r"'dev'.*'train', 'val'"):
        curation.open_dataset(split="dev", **pets)


def test_importing_curation_stays_light() -> None:
    code = "import curation, sys; assert callable(getattr(curation, '__getattr__')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = curation.nothing
