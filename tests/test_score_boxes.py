"""Sets of boxes from source to run: swapped labels and doubled boxes are found, and extremes stop nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.cli import main
from curation.errors import SettingsError
from curation.explain import explain
from curation.importers import ImportOptions
from curation.runs import Run, read_run
from curation.score import ScoreSettings, score
from tests.boxes import draw_slides, write_csv

QUICK = ScoreSettings(mode="compact", epochs=4, folds=3, device="cpu", size_px=32)


def score_boxes(folder: Path, boxes: pd.DataFrame, settings: ScoreSettings = QUICK) -> Run:
    write_csv(folder / "set", boxes)
    return score(folder / "set", settings, folder / "work")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path, dict[str, Any]]:
    """24 slides of 4 cells: box 10 has the wrong label, a second box lies on box 20, slide 7 has lost its boxes."""
    folder = tmp_path_factory.mktemp("planted")
    boxes = draw_slides(folder / "set", 24)
    boxes.loc[10, "label"] = "disc" if boxes["label"][10] == "square" else "square"
    second = boxes.iloc[[20]].assign(x=boxes["x"][20] + 1, w=boxes["w"][20] - 1)
    boxes = boxes[boxes["path"] != "007.png"]
    run = score_boxes(folder, pd.concat([boxes, second], ignore_index=True))
    return run, folder, {"swapped": boxes.loc[10], "doubled": second.iloc[0]}


def boxes_named(run: Run, issue: str) -> pd.DataFrame:
    """Flagged boxes of an issue, worst first: path, label, x, y, w, h."""
    issues = run.issues()
    flagged = issues[(issues["issue"] == issue) & issues["is_issue"]]
    boxes = run.boxes().set_index("annotation_id").loc[flagged["annotation_id"]].reset_index()
    return boxes.assign(path=run.samples().set_index("sample_id")["path"][boxes["sample_id"]].to_numpy())


def test_a_swapped_label_is_the_most_suspicious_and_its_class_is_suggested(planted) -> None:
    run, _, wrong = planted
    first = boxes_named(run, "label_error").iloc[0]
    assert first["path"].endswith(wrong["swapped"]["path"])
    assert first[["x", "y", "label"]].tolist() == wrong["swapped"][["x", "y", "label"]].tolist()
    issue = run.issues().query("issue == 'label_error'").iloc[0]
    assert {issue["given_label"], issue["suggestion"]} == {"disc", "square"}


def test_a_doubled_box_and_a_picture_without_boxes_are_found(planted) -> None:
    run, _, wrong = planted
    (found,) = boxes_named(run, "duplicate_box").to_dict("records")
    assert found["path"].endswith(wrong["doubled"]["path"])
    assert found["y"] == wrong["doubled"]["y"]
    issues = run.issues()
    assert issues.loc[issues["issue"] == "no_box", "is_issue"].tolist() == [True]


def test_arrays_are_those_of_boxes_and_have_names_of_their_own(planted) -> None:
    run, _, _ = planted
    boxes = run.boxes()
    assert not {"pred_probs", "embeddings", "fold"} & set(run.info["arrays"])
    for name in ("box_pred_probs", "box_embeddings", "box_training_margin", "box_neighbours"):
        assert len(run.array(name)) == len(boxes) == run.info["boxes"] == 93
    assert run.info["task"] == "detection"
    assert boxes["annotation_id"].is_unique
    picture = boxes["sample_id"].to_numpy()
    near = np.asarray(run.array("box_neighbours"))
    assert not ((near >= 0) & (picture[near] == picture[:, None])).any()


def test_all_boxes_of_a_picture_are_judged_by_the_same_model(planted) -> None:
    run, _, _ = planted
    boxes = run.boxes()
    assert (boxes.groupby("sample_id")["fold"].nunique() == 1).all()
    assert set(boxes["fold"]) == {0, 1, 2}
    samples = run.samples().set_index("sample_id")
    assert (samples["fold"][boxes["sample_id"]].to_numpy() == boxes["fold"].to_numpy()).all()


def test_every_finding_about_a_box_says_where_it_is(planted) -> None:
    run, _, _ = planted
    place = run.boxes().set_index("annotation_id")[["x", "y", "w", "h"]]
    issues = run.issues()
    about = issues[issues["annotation_id"] != ""]
    assert len(about) > 90
    for row in about.to_dict("records"):
        assert json.loads(row["evidence"])["box"] == place.loc[row["annotation_id"]].tolist()
        assert re.match(r"Box \d+ at ", explain(row))
    assert not any("box" in json.loads(text) for text in issues.loc[issues["annotation_id"] == "", "evidence"])


def test_pictures_are_not_judged_as_if_each_box_were_one(planted) -> None:
    run, _, _ = planted
    assert not {"odd_size", "blurry", "exact_duplicate"} & set(run.issues()["issue"])
    assert not {"box_count", "duplicate_box"} & set(run.info["skipped_detectors"])


def test_commands_speak_of_boxes(planted, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder, _ = planted
    where = ["--workspace", str(folder / "work")]
    for command in (["issues", "--top", "200"], ["report", "--output", str(folder / "page.html")]):
        assert main([*command, *where]) == 0
    said = capsys.readouterr().out
    assert re.search(r"Box \d+ at ", said)
    assert "it overlaps by" in said
    assert "no box" in said
    page = (folder / "page.html").read_text()
    assert page.count("<img") >= 3
    assert "Traceback" not in page
    assert main(["score", str(folder / "set"), "--mode", "compact", "--epochs", "4", "--folds", "3",
                 "--device", "cpu", "--size", "32", *where]) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "24 pictures" in said
    assert "93 boxes" in said


def test_the_same_boxes_again_are_the_same_run(planted) -> None:
    run, folder, _ = planted
    assert score(folder / "set", QUICK, folder / "work").run_id == run.run_id
    assert read_run(folder / "work").run_id == run.run_id


@pytest.mark.parametrize(
    ("case", "reason"),
    [("one class", "there is one class only"), ("few", "there are too few labelled boxes (8;"),
     ("no crop", "there are no labels")],
)  # fmt: skip
def test_boxes_that_no_model_can_learn_from_are_still_looked_at(tmp_path: Path, case: str, reason: str) -> None:
    boxes = draw_slides(tmp_path / "set", 3 if case == "few" else 6)
    if case == "one class":
        boxes["label"] = "cell"
    if case == "few":
        boxes = boxes.head(8)
    if case == "no crop":
        boxes["x"] += 1000
    boxes = pd.concat([boxes, boxes.head(1)], ignore_index=True) if case != "few" else boxes
    run = score_boxes(tmp_path, boxes)
    assert any(reason in note for note in run.info["notes"])
    assert not run.info["arrays"]
    assert len(run.boxes()) == len(boxes)
    issues = run.issues()
    if case != "few":
        assert (issues.loc[issues["is_issue"], "issue"] == "duplicate_box").sum() == 1
    if case == "no crop":
        assert (issues["issue"] == "box_geometry").sum() == len(boxes)


def test_boxes_that_cannot_be_cut_are_rows_like_the_others(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 8)
    boxes.loc[0, ["x", "y"]] = 500.0
    boxes.loc[1, "w"] = 0.0
    boxes.loc[2, ["w", "h"]] = 1.0
    run = score_boxes(tmp_path, boxes)
    assert len(run.boxes()) == len(run.array("box_pred_probs")) == 32
    issues = run.issues()
    geometry = issues[issues["issue"] == "box_geometry"]
    problems = [json.loads(text)["problem"] for text in geometry["evidence"]]
    assert sorted(problems) == ["hardly a line", "no area", "outside of the picture"]
    errors = issues[issues["issue"] == "label_error"].set_index("annotation_id")
    unjudged = geometry["annotation_id"][:2]
    assert not errors.loc[unjudged, "is_issue"].any()
    assert any(note.startswith("2 boxes could not be judged") for note in run.info["notes"])


def test_predictions_find_what_has_no_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = draw_slides(tmp_path / "set", 12)
    entries = [
        {"image_id": row.path, "category_id": row.label, "bbox": [row.x, row.y, row.w, row.h], "score": 0.9}
        for row in boxes.itertuples()
    ]
    (tmp_path / "results.json").write_text(json.dumps(entries))
    write_csv(tmp_path / "set", boxes.drop(index=5))
    where = ["--workspace", str(tmp_path / "work")]
    arguments = ["score", str(tmp_path / "set"), "--mode", "compact", "--epochs", "1", "--device", "cpu", *where]
    assert main([*arguments, "--predictions", str(tmp_path / "results.json")]) == 0
    run = read_run(tmp_path / "work")
    (found,) = run.issues().query("issue == 'missing_box' and is_issue").to_dict("records")
    assert json.loads(found["evidence"])["proposed"] == boxes.loc[5, list("xywh")].tolist()
    assert explain(found).startswith("A detector sees ")
    assert main(arguments) == 0
    assert read_run(tmp_path / "work").run_id != run.run_id
    assert "missing_box" in capsys.readouterr().out


def test_predictions_for_what_is_no_set_of_boxes_are_refused(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 2)
    write_csv(tmp_path / "set", boxes)
    options = ImportOptions(task="multi-label")
    with pytest.raises(SettingsError, match=r"--predictions is for sets of boxes; this one is read as multi-label"):
        score(tmp_path / "set", QUICK, tmp_path / "work", options, predictions=tmp_path / "none.json")


def test_a_detector_trained_per_fold_runs_end_to_end_with_one_class(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 4).assign(label="cell")
    run = score_boxes(tmp_path, boxes, replace(QUICK, folds=2, detector_epochs=1))
    assert "detector" in run.info["seconds"]
    assert any("there is one class only" in note for note in run.info["notes"])
    assert not {"missing_box", "spurious_box"} & set(run.info["skipped_detectors"])
