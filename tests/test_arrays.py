"""Pictures that stay in their file give what they would in memory; training does not see the difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation import cores
from curation.arrays import GREY, PixelRows
from curation.progress import SILENT
from curation.training import train
from curation.training.crossval import out_of_fold
from curation.training.folds import CrossValidation
from curation.training.plan import choose_plan


@pytest.fixture
def stored(tmp_path: Path) -> np.ndarray:
    """A memory map of 40 pictures of 24 px."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    return np.load(tmp_path / "pixels.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "part", [slice(None), slice(3, 9), slice(None, None, 4), np.array([5, 0, 5]), np.zeros(0, np.int64)]
)
def test_a_part_is_what_the_array_would_give(stored: np.ndarray, part: slice | np.ndarray) -> None:
    places = np.random.default_rng(1).permutation(40)[:30]
    rows, whole = PixelRows(stored, places), np.asarray(stored)[places]
    assert rows.shape == whole.shape
    assert rows.nbytes == whole.nbytes
    assert len(rows) == 30
    assert np.array_equal(rows[part], whole[part])


def test_what_has_no_picture_is_grey_and_nothing_is_written_back(stored: np.ndarray) -> None:
    rows = PixelRows(stored, np.array([2, -1, 0]))
    assert (rows[:][1] == GREY).all()
    assert np.array_equal(rows[:][[0, 2]], stored[[2, 0]])
    assert (PixelRows(stored[:0], np.array([-1, -1]))[:] == GREY).all()


def test_training_from_the_file_is_training_from_memory(
    stored: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(40) % 2
    plan = choose_plan(mode="compact", device="cpu", n_samples=40, size_px=24, epochs=1)
    said: list[str] = []

    def probabilities(pixels: np.ndarray | PixelRows, folder: Path) -> np.ndarray:
        folder.mkdir()
        cv = CrossValidation(pixels, labels, labels, 2, plan, 0, folder, SILENT)
        return np.array(out_of_fold(cv).pred_probs)

    in_memory = probabilities(np.array(stored), tmp_path / "memory")
    rows = PixelRows(stored, np.arange(40))
    assert np.array_equal(probabilities(rows, tmp_path / "loaded"), in_memory)
    monkeypatch.setattr(train, "free_memory", lambda: 0)
    monkeypatch.setattr(type(SILENT), "message", lambda _, text: said.append(text))
    assert np.array_equal(probabilities(rows, tmp_path / "file"), in_memory)
    assert any("stay on disk" in text for text in said)


def test_a_container_s_limit_counts_and_what_is_only_cached_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = cores.free_memory()
    assert without > 0
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 5\nactive_file 100000\ninactive_file 300000\n")
    monkeypatch.setattr(cores, "_GROUP", tmp_path)
    assert cores.free_memory() == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert cores.free_memory() > 500_000
