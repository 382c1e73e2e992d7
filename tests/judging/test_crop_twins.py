"""Boxes of different pictures that show the same thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from curation.crops import cut_crops
from curation.judging import crop_twins as module
from curation.judging.crop_twins import crop_twins
from curation.pixels import decode
from curation.progress import SILENT
from tests.boxes import records_of


def textured(seed: int, width: int, height: int, strength: float = 5.0) -> Image.Image:
    """Something that no other seed looks like."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3))
    pixels = np.asarray(blurred, dtype=np.float64)
    return Image.fromarray(np.clip((pixels - pixels.mean()) * strength + 128, 0, 255).astype(np.uint8))


def twins(root: Path, boxes: pd.DataFrame, doubtful: tuple[int, ...] = ()) -> tuple[set[tuple[int, int, str]], str]:
    pixels = decode(records_of(root, boxes), 64, root.parent / "cache")
    place = {path: row for row, path in enumerate(pixels.samples["path"])}
    picture = boxes["path"].map(place).to_numpy(np.int64)
    numbers = boxes[["x", "y", "w", "h"]].to_numpy(np.float64)
    crops = cut_crops(pixels, picture, numbers, 64, root.parent / "cache")
    some = np.isin(np.arange(len(boxes)), doubtful)
    pairs, note = crop_twins(crops, numbers, picture, some, root, root.parent / "cache", SILENT)
    return {(int(a), int(b), str(kind)) for a, b, kind in pairs[["a", "b", "kind"]].to_numpy().tolist()}, note


@pytest.fixture
def shelf(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """The product 7 stands in both pictures, at other places, drawn a pixel differently; twice in the second."""
    root, product = tmp_path / "shelf", textured(7, 60, 60)
    root.mkdir()
    rows = []
    for name, seed, places in (("a.png", 1, [(20, 30)]), ("b.png", 2, [(90, 40), (180, 100)])):
        picture = textured(seed, 260, 180, 1.0)
        for x, y in places:
            picture.paste(product, (x, y))
            rows.append((name, "cola", x - 1.0, y + 1.0, 61.0, 60.0))
        picture.save(root / name)
        rows.append((name, "shelf", 150.0, 10.0, 50.0, 50.0))
        rows.append((name, "speck", *(float(value) + 5 for value in places[0]), 12.0, 12.0))
    return root, pd.DataFrame(rows, columns=["path", "label", "x", "y", "w", "h"])


def test_the_same_object_in_two_pictures_is_a_pair(shelf: tuple[Path, pd.DataFrame]) -> None:
    root, boxes = shelf
    found, note = twins(root, boxes)
    here = int(boxes.index[(boxes["path"] == "a.png") & (boxes["label"] == "cola")][0])
    there = boxes.index[(boxes["path"] == "b.png") & (boxes["label"] == "cola")].tolist()
    assert note == ""
    assert {(a, b) for a, b, _ in found} == {(here, int(at)) for at in there}


def test_among_too_many_the_doubtful_ones_are_compared_or_none_and_that_is_said(
    shelf: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BOXES", 2)
    found, note = twins(*shelf, doubtful=(0, 4))
    assert found == {(0, 4, "near")}
    assert "3 are too many (2 are the most), only the 2 near to boxes of another label were compared" in note
    monkeypatch.setattr(module, "MOST_BOXES", 1)
    found, note = twins(*shelf, doubtful=(0, 4))
    assert found == set()
    assert "they were not looked for" in note


def test_turned_and_mirrored_ones_are_others_of_their_kind(tmp_path: Path) -> None:
    root = tmp_path / "shelf"
    root.mkdir()
    rows = []
    for name, turn in (("a.png", None), ("b.png", Image.Transpose.FLIP_LEFT_RIGHT)):
        product = textured(7, 60, 60)
        picture = textured(ord(name[0]), 260, 180, 1.0)
        picture.paste(product if turn is None else product.transpose(turn), (50, 50))
        picture.save(root / name)
        rows.append((name, "cola", 50.0, 50.0, 60.0, 60.0))
    assert twins(root, pd.DataFrame(rows, columns=["path", "label", "x", "y", "w", "h"]))[0] == set()
