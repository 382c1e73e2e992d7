"""`curate status` and `curate queue` where pictures have boxes, and what progress counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curation import cli
from curation.progress import Advance, Progress
from curation.score import ScoreSettings, score
from tests.app.annotated import make_boxed_workspace, make_tagged_workspace
from tests.boxes import draw_slides, write_csv

QUICK = ScoreSettings(mode="compact", epochs=1, folds=2, device="cpu", size_px=16)


class Heard(Progress):
    def __init__(self) -> None:
        self.units: dict[str, str] = {}

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        self.units[name] = unit
        yield lambda count: None


def told(*arguments: str, workspace: Path, capsys: Any) -> str:
    capsys.readouterr()
    assert cli.main([*arguments, "--workspace", str(workspace)]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Heard]:
    folder, heard = tmp_path_factory.mktemp("slides"), Heard()
    write_csv(folder / "set", draw_slides(folder / "set", 12))
    score(folder / "set", QUICK, folder / "work", progress=heard)
    return folder, heard


def test_status_counts_boxes_and_sees_one_that_was_moved_at_the_source(slides: tuple[Path, Heard], capsys: Any) -> None:
    folder, _ = slides
    said = told("status", workspace=folder / "work", capsys=capsys)
    assert "12 pictures with 48 boxes" in said
    assert "unchanged" in said
    boxes = draw_slides(folder / "other", 12)
    boxes.loc[5, "x"] += 1
    write_csv(folder / "set", boxes)
    assert "1 other labels or boxes" in told("status", workspace=folder / "work", capsys=capsys)


def test_progress_on_boxes_counts_boxes(slides: tuple[Path, Heard]) -> None:
    units = slides[1].units
    assert units["Cutting out boxes"] == units["Finding neighbours"] == "boxes"
    assert {unit for name, unit in units.items() if name.startswith("Training")} == {"views of boxes"}
    assert units["Decoding"] == "images"


def test_the_queue_says_of_every_finding_why_and_what_is_proposed(tmp_path: Path, capsys: Any) -> None:
    said = told("queue", workspace=make_boxed_workspace(tmp_path / "boxed"), capsys=capsys)
    assert "Labelled “bottle”, it overlaps by 90 %" in said
    assert "Proposed: remove “bottle”" in said
    assert "Proposed: change “bottle” to “cup”" in said
    said = told("queue", workspace=make_tagged_workspace(tmp_path / "tagged"), capsys=capsys)
    assert "Proposed: add “plate”" in said
    assert "3 pictures with 5 labels" in told("status", workspace=tmp_path / "tagged", capsys=capsys)
