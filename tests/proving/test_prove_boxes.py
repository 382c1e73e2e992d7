"""Boxes: what networks and detectors learn of two versions, what they are asked, and a detector for use."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from curation.cli import cli
from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.importers import load
from curation.importers.predictions import read_predictions
from curation.manifest import NewVersion, manifest_folder, read, write_version
from curation.manifest.changes import diff
from curation.proving import ProofSettings, prove
from curation.proving.box_arms import SIDES, BoxArms, Lesson, placebo
from curation.proving.detectors import compare_boxes
from curation.report.proof import render
from curation.retraining import RetrainSettings, open_model, predict, retrain
from curation.score import ScoreSettings, score
from tests.boxes import draw_slides, write_csv

NAME = "slides"
FAST: dict[str, Any] = {"mode": "compact", "epochs": 6, "size_px": 32, "device": "cpu"}
TINY: dict[str, Any] = {"mode": "compact", "size_px": 32, "device": "cpu", "detector_epochs": 1}
Made = tuple[Path, Dataset, Path]


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors see an eighth of the pixels: what they find is not asked here."""
    monkeypatch.setattr("curation.training.detector.SIDE_PX", 112)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """v0001 with most discs called squares, v0002 with all right; a table of the truth of 24 of 60 slides."""
    root, workspace = tmp_path_factory.mktemp("set"), tmp_path_factory.mktemp("workspace")
    boxes = draw_slides(root, 60)
    rng = np.random.default_rng(0)
    wrong = (boxes["label"] == "disc") & (rng.random(len(boxes)) < 0.7)
    write_csv(root, boxes.assign(label=boxes["label"].mask(wrong, "square")))
    quick = ScoreSettings(mode="compact", epochs=1, size_px=32, folds=2, name=NAME, device="cpu")
    score(root, quick, workspace)
    folder = manifest_folder(workspace, NAME)
    rows = read(folder, "v0001")
    true = boxes.set_index(["path", "x", "y"])["label"]
    labels = [
        true[path.rpartition("/")[2], x, y] for path, x, y in zip(rows["path"], rows["x"], rows["y"], strict=True)
    ]
    right = rows.assign(label=pd.Series(labels, dtype="str"))
    write_version(right, NewVersion("v0001", "publish", "me", "right", diff(rows, right), dataset=NAME), folder)
    held = boxes[boxes["path"] < "024.png"]
    corners = held.assign(xmax=held["x"] + held["w"], ymax=held["y"] + held["h"])
    names = {path.rpartition("/")[2]: path for path in rows["path"]}
    corners = corners.assign(path=corners["path"].map(names)).rename(columns={"x": "xmin", "y": "ymin"})
    corners[["path", "label", "xmin", "ymin", "xmax", "ymax"]].to_csv(workspace / "truth.csv", index=False)
    return workspace, Dataset(NAME, folder), workspace / "truth.csv"


def changed(made: Made, change: Any, parent: str = "v0002") -> str:
    """A further version of which `change` (rows -> rows) is what is new; its name."""
    folder = made[1].folder
    newest = sorted(file.stem for file in folder.glob("v*.parquet"))[-1]
    rows = change(read(folder, parent)).sort_values(["sample_id", "annotation_id"], ignore_index=True)
    changes = diff(read(folder, newest), rows)
    return write_version(rows, NewVersion(newest, "publish", "me", "changed", changes, dataset=NAME), folder)


def test_names_put_right_are_a_proven_gain_whole_pictures_held_out(made: Made) -> None:
    workspace, dataset, truth = made
    settings = ProofSettings("v0001", "v0002", holdout=str(truth), seeds=2, **FAST)
    proof = prove(workspace, dataset, settings)
    assert list(proof.arms["after"].measures) == ["accuracy", "macro_f1"]
    assert proof.verdict == "gain"
    assert proof.arms["placebo"].main.proven != "gain"
    assert len(proof.holdout.rows) == 24
    assert proof.contest.trained_on["before"] == proof.contest.trained_on["after"] == 36 * 4
    assert proof.contest.trained_on["pruned"] <= 36 * 4
    assert proof.contest.changes["boxes_relabelled"] > 30
    assert proof.contest.changes["boxes_moved"] == 0
    page = render(proof)
    assert "names, not places" in page
    assert "<th>Boxes</th>" in page or ">Boxes<" in page
    facts = json.loads((proof.folder / "proof.json").read_text())
    assert facts["arms"]["after"]["accuracy"]["low"] > 0
    again = prove(workspace, dataset, settings)
    assert again.facts() == proof.facts()


def test_a_box_that_was_moved_is_another_crop_and_only_the_placebo_moves_others(made: Made) -> None:
    workspace, dataset, truth = made

    def shift(rows: pd.DataFrame) -> pd.DataFrame:
        chosen = rows["path"].str.contains("03")
        return rows.assign(x=rows["x"].where(~chosen, rows["x"] + 5), label=rows["label"])

    version = changed(made, shift)
    settings = ProofSettings("v0002", version, holdout=str(truth), seeds=1, **{**FAST, "epochs": 1})
    proof = prove(workspace, dataset, settings)
    assert proof.contest.changes["boxes_moved"] == 40
    assert proof.changes_told.startswith("0 boxes renamed, 40 boxes moved, 0 boxes removed")
    one, other = (proof.contest.lesson(name, 0)[1] for name in ("before", "after"))
    assert len(one) == len(other) == 144
    assert len({tuple(box) for box in one} & {tuple(box) for box in other}) <= 104
    # The placebo's boxes are others for each seed, and cut out, too; what was trained stays.
    more = prove(workspace, dataset, replace(settings, seeds=2))
    assert more.folder == proof.folder


def lesson(rows: list[tuple[Any, ...]], pictures: int) -> Lesson:
    table = pd.DataFrame(rows, columns=["row", "annotation_id", "class_id", *SIDES])
    return Lesson(table.astype(dict.fromkeys(SIDES, "float64")), np.ones(pictures, dtype=bool))


def test_a_placebo_changes_as_many_boxes_of_each_kind_but_others() -> None:
    rows = [(n // 4, f"b{n}", n % 2, 10.0 * (n % 4), 20.0, 10.0, 8.0) for n in range(80)]
    before = lesson(rows, 20)
    kinds = before.boxes.assign(kind="same", **{f"{name}_after": before.boxes[name] for name in SIDES})
    kinds["class_id_after"] = kinds["class_id"]
    kinds.loc[:4, ["kind", "class_id_after"]] = ["relabelled", 1]
    kinds.loc[5:7, "kind"] = "moved"
    kinds.loc[5:7, "x_after"] += 5.0
    kinds.loc[8:9, "kind"] = "removed"
    added = pd.DataFrame({"row": [0], "annotation_id": ["new"], "kind": ["added"], "class_id_after": [1.0],
                          "x_after": [1.0], "y_after": [2.0], "w_after": [6.0], "h_after": [5.0]})  # fmt: skip
    arms = BoxArms(before, before, None, pd.concat([kinds, added], ignore_index=True), np.full((20, 2), 64.0))
    found = placebo(arms, 0).boxes.set_index("annotation_id")
    old = before.boxes.set_index("annotation_id")
    assert len(found) == 80 - 2 + 1
    assert (found.loc["placebo-0", ["w", "h"]] == [6.0, 5.0]).all()
    assert set(old.index) - set(found.index) <= {f"b{n}" for n in range(10, 80)}
    both = old.index.intersection(found.index)
    relabelled = found.loc[both, "class_id"] != old.loc[both, "class_id"]
    moved = (found.loc[both, SIDES] != old.loc[both, SIDES]).any(axis=1)
    assert 1 <= relabelled.sum() <= 5
    assert (moved.sum(), set(found.loc[both, "x"][moved] - old.loc[both, "x"][moved])) == (3, {5.0})
    assert not set(both[relabelled | moved]) & {f"b{n}" for n in range(10)}
    assert not found.equals(placebo(arms, 1).boxes.set_index("annotation_id"))


def test_one_class_is_nothing_to_tell_apart_and_leads_to_a_detector(made: Made) -> None:
    workspace, dataset, truth = made
    version = changed(made, lambda rows: rows.assign(label=pd.Series(["cell"] * len(rows), dtype="str")))
    file = workspace / "cells.csv"
    pd.read_csv(truth).assign(label="cell").to_csv(file, index=False)
    with pytest.raises(SettingsError, match=r"one class.*--detector EPOCHS"):
        prove(workspace, dataset, ProofSettings(version, version, holdout=str(file), **FAST))


def test_a_detector_that_finds_more_is_a_gain_and_pictures_are_what_is_drawn() -> None:
    rng = np.random.default_rng(0)
    boxes = pd.DataFrame({"row": np.repeat(np.arange(40), 2), "class_id": np.tile([0, 1], 40),
                          "x": np.tile([5.0, 50.0], 40), "y": 5.0, "w": 20.0, "h": 20.0})  # fmt: skip

    def answer(share: float, drawn: int) -> dict[str, np.ndarray]:
        """Boxes are found or not as those of a picture of the first `drawn` are: the others are copies."""
        hit = (rng.random(2 * drawn) < share)[np.arange(80) % (2 * drawn)]
        moved = np.where(hit, 0.0, 60.0)[:, None] * [0.0, 1.0, 0.0, 0.0]
        return {
            "row": boxes["row"].to_numpy(), "class_id": boxes["class_id"].to_numpy(),
            "box": boxes[SIDES].to_numpy() + moved, "score": rng.random(2 * drawn)[np.arange(80) % (2 * drawn)],
        }  # fmt: skip

    before, after = ([answer(share, 40) for _ in range(3)] for share in (0.4, 0.9))
    found = compare_boxes(boxes, before, after, np.arange(40))
    assert found.main.proven == "gain"
    assert set(found.by_class) == {0, 1}
    assert compare_boxes(boxes, before, before, np.arange(40)).main.change == 0
    before, after = ([answer(share, 8)] for share in (0.4, 0.9))
    alone, together = (compare_boxes(boxes, before, after, np.arange(40) % unit).main for unit in (40, 8))
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """24 small slides; v0002 has lost the boxes of one."""
    root, workspace = tmp_path_factory.mktemp("few"), tmp_path_factory.mktemp("workspace")
    boxes = draw_slides(root, 24, per_picture=2)
    write_csv(root, boxes)
    quick = ScoreSettings(mode="compact", epochs=1, size_px=32, folds=2, name=NAME, device="cpu")
    score(root, quick, workspace)
    folder = manifest_folder(workspace, NAME)
    rows = read(folder, "v0001")
    less = rows[~rows["path"].str.contains("023")]
    bare = rows[rows["path"].str.contains("023")].head(1)
    bare = bare.assign(annotation_id="", label="", attributes="", **dict.fromkeys(SIDES, np.nan))
    less = pd.concat([less, bare]).sort_values(["sample_id", "annotation_id"], ignore_index=True)
    write_version(less, NewVersion("v0001", "publish", "me", "less", diff(rows, less), dataset=NAME), folder)
    names = sorted(set(rows["path"]))[:20]
    held = rows[rows["path"].isin(names)]
    held[["path", "label", *SIDES]].to_csv(workspace / "truth.csv", index=False)
    return workspace, Dataset(NAME, folder), workspace / "truth.csv"


def test_a_detector_per_arm_runs_from_end_to_end_and_is_read_the_second_time(
    few: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, dataset, truth = few
    settings = ProofSettings("v0001", "v0002", holdout=str(truth), seeds=1, **TINY)
    proof = prove(workspace, dataset, settings)
    assert list(proof.arms["after"].measures) == ["ap50", "ap"]
    assert proof.contest.changes["boxes_removed"] == 2
    assert proof.contest.trained_on["before"] == proof.contest.trained_on["after"] == 4  # background is a lesson, too
    import curation.training.detector as detector

    monkeypatch.delattr(detector, "learn")
    assert prove(workspace, dataset, settings).facts() == proof.facts()
    with pytest.raises(ImportError):
        prove(workspace, dataset, replace(settings, seeds=2))


def test_a_detector_for_use_gives_boxes_that_score_reads_back(few: Made, tmp_path: Path) -> None:
    workspace, dataset, _ = few
    with pytest.raises(SettingsError, match="--detector EPOCHS"):
        retrain(workspace, dataset, RetrainSettings("v0001", holdout="none", mode="compact"), tmp_path / "model")
    settings = RetrainSettings("v0001", holdout="none", **TINY)
    facts = retrain(workspace, dataset, settings, tmp_path / "model")
    assert (facts["task"], facts["detector_epochs"], facts["metrics"]) == ("detection", 1, None)
    assert "Faster R-CNN" in (tmp_path / "model" / "README.md").read_text()
    root = read_root(workspace)
    (root / "broken.png").write_bytes(b"no picture")
    model = open_model(tmp_path / "model", "cpu")
    model.network.roi_heads.score_thresh = 0.0  # after one pass nothing is sure
    found = predict(model, root, ["000.png", "001.png", "broken.png"], workspace)
    assert list(found.columns) == ["path", "label", *SIDES, "score", "reason"]
    assert found.iloc[-1]["reason"] != ""
    seen = found[found["label"] != ""]
    assert set(seen["path"]) == {"000.png", "001.png"}
    assert seen["score"].between(0, 1).all()
    assert (seen["x"] + seen["w"] <= 128.01).all()
    (root / "broken.png").unlink()

    from curation.retraining.boxes import coco_results

    file = tmp_path / "results.json"
    file.write_text(json.dumps(coco_results(found)))
    back = read_predictions(file, load(str(root), workspace=workspace))
    assert len(back.table) == len(seen)
    assert back.table[SIDES].to_numpy() == pytest.approx(seen[SIDES].to_numpy(), abs=1e-3)


def test_the_commands_of_a_detector(few: Made, tmp_path: Path) -> None:
    workspace, _, truth = few
    common = ["--workspace", str(workspace), "--device", "cpu"]
    model, output = str(tmp_path / "model"), tmp_path / "seen.json"
    command = ["retrain", "--version", "v1", "--detector", "1", "--holdout", str(truth), "--mode", "compact"]
    done = CliRunner().invoke(cli, [*command, "--output", model, *common])
    assert done.exit_code == 0, done.output
    assert "AP50-95" in " ".join(done.output.split())
    pictures = str(read_root(workspace))
    done = CliRunner().invoke(cli, ["predict", model, pictures, "--output", str(output), *common])
    assert done.exit_code == 0, done.output
    assert isinstance(json.loads(output.read_text()), list)
    done = CliRunner().invoke(cli, ["predict", model, pictures, *common])
    assert "x, y, w, h" in done.output


def read_root(workspace: Path) -> Path:
    from curation.status import source_root

    return source_root(workspace, Dataset(NAME, manifest_folder(workspace, NAME)))
