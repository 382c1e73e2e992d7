"""A rehearsal where pictures have several labels, or boxes: what is planted, what is believed, what is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation import cli, manifest, review, store
from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.importers import ImportOptions
from curation.manifest import manifest_folder
from curation.rehearsing import RehearsalSettings, rehearse
from curation.rehearsing.believe_pictures import believe_pictures
from curation.rehearsing.pictures import FLAGGED, queue_places
from curation.rehearsing.planting import Belief
from curation.rehearsing.planting_boxes import DOUBLED, DROPPED, SHIFTED, SWAPPED, BoxBelief, plant_boxes
from curation.rehearsing.planting_sets import MISSING, WRONG, SetBelief, plant_sets
from curation.rehearsing.recall import SHARES, Trial, expect, ranking
from curation.report.rehearsal import render
from curation.review import Context, verdict_action
from curation.review.work_queue import refill
from curation.runs import read_run
from curation.score import ScoreSettings, score
from tests.boxes import draw_slides, records_of, write_csv
from tests.test_rehearse import state
from tests.test_score_multilabel import write_source

FAST = RehearsalSettings(seeds=1, rate=0.1, device="cpu")
Scored = tuple[Path, Dataset]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    base = tmp_path_factory.mktemp("rehearse_tags")
    write_source(base / "tags")
    settings = ScoreSettings(mode="compact", epochs=6, size_px=16, flip=False, device="cpu", folds=3)
    score(base / "tags", settings, base / "work", ImportOptions(labels="labels.csv", task="multi-label",
                                                                label_delimiter="|"))  # fmt: skip
    return base / "work", Dataset("tags", manifest_folder(base / "work", "tags"))


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    base = tmp_path_factory.mktemp("rehearse_boxes")
    boxes = draw_slides(base / "slides", 48)
    write_csv(base / "slides", boxes)
    settings = ScoreSettings(mode="compact", epochs=4, folds=3, device="cpu", size_px=32)
    score(base / "slides", settings, base / "work")
    return base / "work", Dataset("slides", manifest_folder(base / "work", "slides"))


# --- several labels


def sets(seed: int = 0, count: int = 400) -> SetBelief:
    rng = np.random.default_rng(seed)
    given = (rng.random((count, 3)) < [0.8, 0.3, 0.1]).astype(np.int8)
    wrong = rng.random(given.shape) * 0.1
    return SetBelief(given, wrong, np.zeros(given.shape, bool), np.where(given > 0, 0.9, 0.1), np.arange(count))


def test_planted_errors_of_labels_are_those_that_are_told_and_of_both_kinds() -> None:
    labels, errors = plant_sets(sets(), 0.05, 60, 1, 1.0)
    assert set(np.unique(labels)) == {0, 1}
    assert errors[WRONG].sum() + errors[MISSING].sum() == pytest.approx(60, abs=3)
    assert min(errors[WRONG].sum(), errors[MISSING].sum()) > 10


def test_copies_of_a_picture_get_the_same_labels_and_what_is_settled_stays_the_truth() -> None:
    belief = sets()
    twins = replace(belief, cluster=np.arange(400) // 2, settled=np.ones((400, 3), bool))
    labels, errors = plant_sets(twins, 0.05, 60, 2, 1.0)
    assert (labels[::2] == labels[1::2]).all()
    truth = np.repeat(belief.given[::2], 2, axis=0)
    assert ((labels != truth).sum(axis=1) == errors[WRONG] + errors[MISSING]).all()


def test_labels_are_left_out_rather_where_the_model_does_not_see_the_class() -> None:
    belief = sets()
    doubtful = np.arange(400) < 80
    probs = np.where(belief.given > 0, np.where(doubtful[:, None], 0.3, 0.99), 0.01)
    _, errors = plant_sets(replace(belief, pred_probs=probs, wrong_prob=belief.wrong_prob * 0), 0.001, 80, 3, 1.0)
    assert errors[MISSING][doubtful].mean() > 2 * errors[MISSING][~doubtful].mean()


# --- boxes


def boxes_of(tmp_path: Path, expected: dict[str, float]) -> BoxBelief:
    table = records_of(tmp_path / "set", draw_slides(tmp_path / "set", 30)).annotations
    picture = pd.factorize(table["sample_id"])[0]
    given = (table["label"] == "square").to_numpy(dtype=np.int64)
    count = len(table)
    labels = Belief(given, np.full(count, 0.02), np.full(count, -1), np.full((count, 2), 0.5), np.arange(count),
                    np.arange(count))  # fmt: skip
    table = table.assign(picture=picture)
    missed = table.iloc[:0].assign(prob=1.0)
    return BoxBelief(table, labels, np.arange(count), np.zeros(count), missed, expected, ["disc", "square"])


def test_planted_errors_of_boxes_are_of_every_kind_that_can_be_found(tmp_path: Path) -> None:
    belief = boxes_of(tmp_path, dict.fromkeys((SWAPPED, DOUBLED, DROPPED, SHIFTED), 5.0))
    belief = replace(belief, labels=replace(belief.labels, known=belief.labels.given))
    table, errors = plant_boxes(belief, 30, 0.1, 20, 0)
    assert {kind: found.sum() for kind, found in errors.items()} == dict.fromkeys(errors, 5)
    before = belief.boxes.set_index("annotation_id")
    after = table.set_index("annotation_id")
    old = after[after.index.isin(before.index)]
    assert (len(after) - len(old), len(before) - len(old)) == (5, 5)
    mine = before.loc[old.index]
    moved = (mine[["x", "y"]] != old[["x", "y"]]).any(axis=1)
    assert ((mine["label"] != old["label"]).sum(), moved.sum()) == (5, 5)
    distance = np.hypot(*((old["x"] - mine["x"]) / mine["w"], (old["y"] - mine["y"]) / mine["h"]))[moved]
    assert distance.to_numpy() == pytest.approx(1 / 3)


def test_what_the_run_says_is_there_twice_or_missing_is_put_right_before_anything_is_planted(tmp_path: Path) -> None:
    belief = boxes_of(tmp_path, {SWAPPED: 1.0, DOUBLED: 1.0})
    spare = np.zeros(len(belief.boxes))
    spare[:10] = 1.0
    missed = belief.boxes.iloc[:3].assign(annotation_id=["a", "b", "c"], prob=[1.0, 1.0, 0.0])
    table, _ = plant_boxes(replace(belief, spare=spare, missed=missed), 30, 0.1, 4, 0)
    assert not table["annotation_id"].isin(belief.boxes["annotation_id"].iloc[:10]).any()
    assert {"a", "b"} <= set(table["annotation_id"])
    assert "c" not in set(table["annotation_id"])
    few, _ = plant_boxes(replace(belief, spare=spare, missed=missed), 30, 0.001, 4, 0)
    assert few["annotation_id"].isin(belief.boxes["annotation_id"].iloc[:10]).sum() > 5  # nearly none is believed in


# --- what to expect


def test_errors_are_counted_where_pictures_are_reviewed() -> None:
    counts = np.array([3.0, 0.0, 1.0] + [0.0] * 97)
    trial = Trial(np.arange(100) / 100, counts > 0, counts)
    recall, precision = ranking(trial, (0.01, 0.02, 0.03))
    assert recall.tolist() == [0.75, 0.75, 1.0]
    assert precision == pytest.approx([1, 0.5, 2 / 3])


def test_errors_that_come_together_tell_less_than_as_many_apart() -> None:
    rng = np.random.default_rng(0)
    wrong = np.arange(3000) < 100
    scores = [rng.normal(0, 1, 3000) - wrong for _ in range(3)]
    apart = expect([Trial(score, wrong, wrong * 1.0) for score in scores], 100)[3]
    together = expect([Trial(score, wrong, wrong * 6.0) for score in scores], 600)[3]
    assert together.high - together.low == pytest.approx(apart.high - apart.low, rel=0.05)
    many = Trial(scores[0], wrong, np.where(np.arange(3000) < 10, 30.0, wrong * 1.0))
    assert many.apart < 0.1


def test_pictures_are_in_the_order_of_their_first_finding() -> None:
    issues = pd.DataFrame({"sample_id": ["b", "a", "b", "d"], "rank": [1, 2, 3, 4],
                           "is_issue": [True, True, True, False]})  # fmt: skip
    places = queue_places(issues, pd.Series(list("abcd")))
    assert [list("abcd")[at] for at in places.argsort()] == ["b", "a", "d", "c"]
    assert (places < FLAGGED).tolist() == [True, True, False, False]


# --- from end to end


@pytest.mark.parametrize(("name", "kinds"), [("tagged", {WRONG, MISSING}), ("boxed", {SWAPPED, DOUBLED})])
def test_planted_errors_are_found_again_and_nothing_of_the_user_is_touched(
    name: str, kinds: set[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, dataset = request.getfixturevalue(name)
    before = (state(dataset.folder), state(workspace / ".curate" / "runs"))
    found = rehearse(workspace, dataset, FAST)
    assert (state(dataset.folder), state(workspace / ".curate" / "runs")) == before
    (outcome,) = found.outcomes
    assert set(outcome.kinds) == kinds
    assert (found.unit, found.pictures) == ("picture", len(read_run(workspace).samples()))
    assert [point.share for point in outcome.points] == list(SHARES)
    assert outcome.points[-1].recall > 0.15  # by lot: .1
    assert not list(found.folder.glob("*.unfinished"))
    assert json.loads((found.folder / "rehearsal.json").read_text()) == found.facts()
    assert ("--predictions" in " ".join(found.notes)) == (name == "boxed")
    page = render(found)
    assert "By kind of error" in page

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("curation.rehearsing.pictures.judge", never)
    assert rehearse(workspace, dataset, FAST).facts() == found.facts()


def test_with_predictions_dropped_and_shifted_boxes_are_planted_and_found(boxed: Scored, tmp_path: Path) -> None:
    workspace, dataset = boxed
    run = read_run(workspace)
    boxes = run.boxes().merge(run.samples()[["sample_id", "path"]], on="sample_id")
    told = [{"image_id": row.path, "category_id": row.label, "bbox": [row.x, row.y, row.w, row.h], "score": 0.9}
            for row in boxes.itertuples()]  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(told))
    found = rehearse(workspace, dataset, replace(FAST, predictions=tmp_path / "results.json"))
    assert set(found.outcomes[0].kinds) == {SWAPPED, DOUBLED, DROPPED, SHIFTED}
    assert "--predictions FILE" not in " ".join(found.notes)
    assert "the detector's word" in " ".join(found.notes)
    assert found.outcomes[0].points[-1].recall > 0.15


def test_what_was_published_or_kept_is_not_doubted_any_more(tagged: Scored, tmp_path: Path) -> None:
    shutil.copytree(tagged[0], tmp_path / "own")
    workspace, dataset = tmp_path / "own", Dataset("tags", manifest_folder(tmp_path / "own", "tags"))
    engine, run = store.open_store(workspace), read_run(workspace)
    queue = refill(engine, run, dataset.folder)
    items = store.find_items(engine, "tags", count=90)
    cards = review.cards(run, [item.item_id for item in items], None, queue.changed, queue.annotations)
    edited = next(card for card in cards if any(finding.proposal for finding in card.findings))
    others = [card for card in cards if card is not edited]
    for card in others:
        store.record(engine, verdict_action(card, "keep", Context("tags", "ann")))
    store.record(engine, verdict_action(edited, "accept", Context("tags", "ann")))
    basis = believe_pictures(workspace, dataset, engine, None, False)
    assert basis.reviewed == len(others)
    assert any("1 picture has corrections that are not published yet" in note for note in basis.notes)
    assert basis.rate_from == "as run and verdicts say"
    manifest.publish.publish(dataset.folder, engine, "tags", "reviewed", "lead")
    basis = believe_pictures(workspace, dataset, engine, 0.1, False)
    assert (basis.reviewed, basis.rate, basis.rate_from) == (len(cards), 0.1, "as you said")
    right, errors = basis.plant(1, 0, 1.0)
    now = basis.records.annotations
    assert len(set(right["annotation_id"]) ^ set(now["annotation_id"])) == sum(one.sum() for one in errors.values())


def test_another_task_and_predictions_of_nothing_are_refused(tagged: Scored, tmp_path: Path) -> None:
    workspace, dataset = tagged
    rows = manifest.read(dataset.folder, "v0001")
    folder = manifest_folder(tmp_path, "other")
    new = manifest.NewVersion(None, "import", "me", "x", [], source={"task": "counts"}, dataset="other")
    manifest.write_version(rows, new, folder)
    with pytest.raises(SettingsError, match="is for sets of boxes"):
        rehearse(workspace, dataset, replace(FAST, predictions=tmp_path / "results.json"))
    with pytest.raises(SettingsError, match="of the task counts"):
        believe_pictures(workspace, Dataset("other", folder), None, None, False)


def test_the_command_tells_of_pictures_and_of_each_kind(tagged: Scored, capsys: Any) -> None:
    command = ["rehearse", "tags", "--rate", "0.1", "--seeds", "1", "--device", "cpu", "--workspace", str(tagged[0])]
    assert cli.main(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "labels of 90 pictures, 1 time; 10.0% of that number" in said
    assert "label missing" in said
    assert "of the errors" in said
    assert cli.main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["recipes"][0]["kinds"]) == {WRONG, MISSING}
    assert facts["unit"] == "picture"
