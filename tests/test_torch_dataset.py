"""curation.open_dataset: a version as a torch data set, without an export."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import curation
from curation.errors import NotFoundError, SourceError
from curation.records import Records
from tests.boxes import draw_slides, records_of
from tests.exporting import make_set, picture
from tests.round_trips import first_version


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


def of_records(records: Records, tmp_path: Path, **options: Any) -> curation.torch_dataset.VersionDataset:
    dataset = first_version(records, tmp_path / "workspace")
    known = {"workspace": tmp_path / "workspace", "dataset": dataset.name, "source": records.root}
    return curation.open_dataset(**known, **options)


def boxes_of(tmp_path: Path) -> Records:
    """Three slides: two boxes, one of them over the edge; one without size and one outside; none at all."""
    draw_slides(tmp_path / "slides", 3)
    columns = ["path", "label", "x", "y", "w", "h"]
    table = [
        ("000.png", "disc", 10.0, 5.0, 20.0, 10.0),
        ("000.png", "square", -4.0, 80.0, 14.0, 100.0),
        ("001.png", "disc", 3.0, 3.0, 0.0, 5.0),
        ("001.png", "disc", 3000.0, 3.0, 4.0, 5.0),
    ]
    return records_of(tmp_path / "slides", pd.DataFrame(table, columns=columns), ["000.png", "001.png", "002.png"])


def test_boxes_are_what_torchvision_s_detectors_learn(tmp_path: Path) -> None:
    records = boxes_of(tmp_path)
    data = of_records(records, tmp_path)
    items = {data.table["path"][i]: data[i] for i in range(3)}
    (image, target), (_, clipped), (_, none) = (items[f"00{k}.png"] for k in range(3))
    height, width = image.shape[1:]
    assert target["boxes"].tolist() == [[10, 5, 30, 15], [0, 80, 10, min(180, height)]]
    assert [data.classes[k - 1] for k in target["labels"].tolist()] == ["disc", "square"]
    assert len(clipped["boxes"]) == len(none["boxes"]) == 0
    half = of_records(records, tmp_path / "again", size=32)
    scaled = next(half[i][1] for i in range(3) if half.table["path"][i] == "000.png")["boxes"]
    wanted = torch.tensor([[10 / width, 5 / height, 30 / width, 15 / height]]) * 32
    assert torch.allclose(scaled[:1], wanted)


def test_a_detector_of_torchvision_learns_from_it_with_joint_transforms(tmp_path: Path) -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large
    from torchvision.transforms import v2

    joint = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(p=1.0), v2.ToDtype(torch.float32, scale=True)])
    records = boxes_of(tmp_path)
    data, plain = of_records(records, tmp_path, transform=joint), of_records(records, tmp_path / "plain")
    at = data.table["path"].tolist().index("000.png")
    (_, target), width = data[at], plain[at][0].shape[2]
    assert target["boxes"][0].tolist() == [width - 30, 5, width - 10, 15]
    loader = torch.utils.data.DataLoader(data, batch_size=3, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))
    net = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=len(data.classes) + 1)
    for images, targets in loader:
        losses = net(list(images), list(targets))
        assert all(torch.isfinite(value) for value in losses.values())


def test_several_labels_and_counts_are_rows_of_numbers(tmp_path: Path) -> None:
    records = boxes_of(tmp_path)
    table = pd.concat([records.annotations, records.annotations.iloc[:1].assign(annotation_id="another")])
    table[["x", "y", "w", "h"]] = np.nan
    for task, dtype, wanted in (("counts", torch.int64, [2, 1]), ("multi-label", torch.float32, [1, 1])):
        data = of_records(replace(records, annotations=table.reset_index(drop=True), task=task), tmp_path / task)
        at = data.table["path"].tolist().index("000.png")
        assert data[at][1].dtype == dtype
        assert data.classes == ["disc", "square"]
        assert data[at][1].tolist() == wanted
        assert data[data.table["path"].tolist().index("002.png")][1].tolist() == [0, 0]
        _, targets = next(iter(torch.utils.data.DataLoader(data, batch_size=3)))
        assert targets.shape == (3, 2)
        targets.zero_()
        assert data[at][1].sum() > 0
