"""The main path on small real folders: what it leaves behind, and what must never stop it."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from curation.errors import SettingsError, SourceError, WorkspaceError
from curation.runs import list_runs
from curation.score import ScoreSettings, score

QUICK = ScoreSettings(mode="compact", epochs=1, size_px=16, flip=False, device="cpu", folds=3)


def _picture(label, seed):
    """A bright bar whose direction is the class, at a place of its own, on a chequered ground like no other."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 105, (6, 6, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    place = int(rng.integers(2, 16))
    if label % 2:
        pixels[place : place + 5] += 150
    else:
        pixels[:, place : place + 5] += 150
    return pixels


def _folder(root, counts, start=0):
    """One PNG per count and class, none like another."""
    seed = start
    for k, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(_picture(k, seed)).save(root / label / f"{i:03}.png")
            seed += 1
    return root


@pytest.fixture
def source(tmp_path):
    return _folder(tmp_path / "source", {"tall": 9, "wide": 9})


def test_a_run_has_a_label_error_row_for_every_sample_and_all_its_files(source, tmp_path):
    run = score(source, QUICK, tmp_path / "ws")
    issues = run.issues()
    assert (issues["issue"] == "label_error").sum() == 18
    assert issues["rank"].tolist() == list(range(1, len(issues) + 1))
    assert run.array("pred_probs").shape == (18, 2)
    assert run.array("training_margin").shape == (18,)
    assert run.array("embeddings").dtype == np.float32
    assert set(run.samples()["fold"]) == {0, 1, 2}
    evidence = json.loads(issues.loc[issues["issue"] == "label_error", "evidence"].iloc[0])
    assert {"p_given", "top3", "neighbours", "training_margin", "cleanlab_score", "threshold"} <= set(evidence)
    assert (tmp_path / "ws" / "data_manifest" / "source" / "v0001.json").exists()
    assert not list((tmp_path / "ws" / ".curate" / "runs").glob("*.partial"))
    assert run.info["samples"] == 18


def test_the_same_again_is_the_finished_run(source, tmp_path, monkeypatch):
    first = score(source, QUICK, tmp_path / "ws")
    monkeypatch.setattr("curation.training.crossval.out_of_fold", lambda *_: pytest.fail("trained again"))
    assert score(source, QUICK, tmp_path / "ws").run_id == first.run_id


def test_another_seed_or_label_is_another_run(source, tmp_path):
    first = score(source, QUICK, tmp_path / "ws")
    other_seed = score(source, ScoreSettings(**{**vars(QUICK), "seed": 1}), tmp_path / "ws")
    (source / "tall" / "000.png").rename(source / "wide" / "moved.png")
    other_label = score(source, QUICK, tmp_path / "ws")
    assert len({first.run_id, other_seed.run_id, other_label.run_id}) == 3
    assert len(list_runs(tmp_path / "ws")) == 3


def test_two_runs_in_two_workspaces_agree_to_the_last_bit(source, tmp_path):
    first, second = (score(source, QUICK, tmp_path / name) for name in ("a", "b"))
    assert first.run_id == second.run_id
    assert np.array_equal(first.array("pred_probs"), second.array("pred_probs"))
    assert first.issues().equals(second.issues())


def test_a_sample_keeps_its_id_when_its_file_is_renamed(source, tmp_path):
    before = score(source, QUICK, tmp_path / "ws").samples().set_index("path")["sample_id"]
    (source / "tall" / "000.png").rename(source / "tall" / "renamed.png")
    after = score(source, QUICK, tmp_path / "ws").samples().set_index("path")["sample_id"]
    assert after["tall/renamed.png"] == before["tall/000.png"]


def test_broken_files_are_reported_and_the_rest_is_scored(source, tmp_path):
    (source / "tall" / "empty.png").write_bytes(b"")
    (source / "tall" / "cut.png").write_bytes((source / "tall" / "000.png").read_bytes()[:100])
    run = score(source, QUICK, tmp_path / "ws")
    unreadable = run.issues().query("issue == 'unreadable'")
    assert len(unreadable) == 2
    assert unreadable["is_issue"].all()
    assert run.info["unreadable"] == 2
    assert (unreadable["given_label"] == "tall").all()
    assert (unreadable["annotation_id"] != "").all()
    assert set(run.samples().query("status == 'unreadable'")["given_label"]) == {"tall"}
    assert (run.issues()["issue"] == "label_error").sum() == 18


def test_a_class_without_a_readable_picture_is_named(source, tmp_path):
    (source / "lost").mkdir()
    (source / "lost" / "empty.png").write_bytes(b"")
    run = score(source, QUICK, tmp_path / "ws")
    assert any("'lost'" in note for note in run.info["notes"])


def test_an_empty_source_is_not_the_current_folder(tmp_path):
    with pytest.raises(SourceError, match="SOURCE is empty"):
        score("", QUICK, tmp_path / "ws")


def test_a_source_that_cannot_exist_is_the_users_mistake(tmp_path):
    with pytest.raises(SourceError, match="cannot be reached"):
        score("x" * 5000, QUICK, tmp_path / "ws")


def test_a_copy_under_another_label_ranks_first(source, tmp_path):
    copied = source / "wide" / "copy.bmp"
    Image.open(source / "tall" / "003.png").save(copied)
    issues = score(source, QUICK, tmp_path / "ws").issues()
    assert issues["issue"].head(2).tolist() == ["conflicting_duplicate"] * 2
    assert set(issues["given_label"].head(2)) == {"tall", "wide"}


def test_copies_are_never_judged_by_a_network_that_saw_their_twin(source, tmp_path):
    for i in range(9):
        Image.open(source / "tall" / f"{i:03}.png").save(source / "tall" / f"twin{i}.bmp")
    samples = score(source, QUICK, tmp_path / "ws").samples()
    twins = samples[samples["cluster"].duplicated(keep=False)]
    assert len(twins) == 18, "only the planted copies"
    assert (twins.groupby("cluster")["fold"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"only": 5}, "one class only"),
        ({"a": 1, "b": 1}, None),
        ({"a": 6, "b": 6, "lonely": 1}, "could not be judged"),
    ],
)
def test_few_classes_or_pictures_are_a_note_and_no_crash(tmp_path, counts, words):
    run = score(_folder(tmp_path / "s", counts), QUICK, tmp_path / "ws")
    assert run.info["samples"] == sum(counts.values())
    assert words is None or any(words in note for note in run.info["notes"])


def test_a_class_with_one_member_is_not_called_wrong(tmp_path):
    run = score(_folder(tmp_path / "s", {"a": 6, "b": 6, "lonely": 1}), QUICK, tmp_path / "ws")
    lonely = run.issues().query("issue == 'label_error' and given_label == 'lonely'")
    assert len(lonely) == 1
    assert not lonely["is_issue"].any()


def test_all_pictures_identical(tmp_path):
    root = _folder(tmp_path / "s", {"a": 1})
    data = (root / "a" / "000.png").read_bytes()
    (root / "b").mkdir()
    for i in range(6):
        (root / "ab"[i % 2] / f"same{i}.png").write_bytes(data)
    run = score(root, QUICK, tmp_path / "ws")
    assert run.info["issues"]["conflicting_duplicate"] == 7
    assert any("No model was trained" in note for note in run.info["notes"])


def test_constant_pictures_are_scored(tmp_path):
    for label in "ab":
        (tmp_path / "s" / label).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (20, 20), (i * 40, 10, 10 + 9 * (label == "b"))).save(tmp_path / "s" / label / f"{i}.png")
    run = score(tmp_path / "s", QUICK, tmp_path / "ws")
    assert np.isfinite(run.array("pred_probs")).all()


def test_labels_that_look_like_numbers_or_nothing_stay_as_they_are(tmp_path):
    names = {"nan": 4, "None": 4, "1": 4, "01": 4, "1.0": 4}
    run = score(_folder(tmp_path / "s", names), QUICK, tmp_path / "ws")
    assert run.info["classes"] == sorted(names)
    assert set(run.issues()["given_label"]) == set(names)


def test_classes_that_differ_by_case_are_reported_and_not_merged(tmp_path):
    run = score(_folder(tmp_path / "s", {"Cat": 4, "cat": 4, "dog": 4}), QUICK, tmp_path / "ws")
    assert run.info["classes"] == ["Cat", "cat", "dog"]
    assert any("Cat" in note and "cat" in note for note in run.info["notes"])


def test_an_empty_folder_is_one_clear_sentence(tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(SourceError, match="There is no picture"):
        score(tmp_path / "s", QUICK, tmp_path / "ws")


def test_one_fold_is_refused_before_anything_is_written(source, tmp_path):
    with pytest.raises(SettingsError, match="at least 2"):
        score(source, ScoreSettings(folds=1), tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


def test_the_source_is_never_written_to(source, tmp_path):
    def state():
        return sorted((p.as_posix(), p.stat().st_mtime_ns) for p in source.rglob("*"))

    before = state()
    score(source, QUICK, tmp_path / "ws")
    assert state() == before


def test_a_workspace_that_cannot_be_written_is_a_clear_error(source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkspaceError, match="--workspace"):
        score(source, QUICK, tmp_path / "file")


KILLED = """
import sys
from pathlib import Path
from curation.files import set_failpoints
from curation.score import score
from tests.test_score import QUICK
set_failpoints(sys.argv[3])
score(Path(sys.argv[1]), QUICK, Path(sys.argv[2]))
"""

POINTS = [
    "manifest.header.before_rename", "fold.before_rename", "run.samples.before_rename", "run.issues.after_rename",
    "run.before_rename", "run.before_publish", "run.after_publish",
]  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_anywhere_goes_on_and_ends_the_same(source, tmp_path):
    whole = score(source, QUICK, tmp_path / "whole")
    died = []
    for point in POINTS:
        command = [sys.executable, "-c", KILLED, os.fspath(source), os.fspath(tmp_path / "killed"), f"{point}:kill:1"]
        died.append(subprocess.run(command, check=False, cwd=os.getcwd()).returncode == -signal.SIGKILL)
    assert sum(died) >= 6, dict(zip(POINTS, died, strict=True))
    again = score(source, QUICK, tmp_path / "killed")
    assert again.run_id == whole.run_id
    assert again.issues().equals(whole.issues())
    assert not list((tmp_path / "killed" / ".curate" / "runs").glob("*.partial"))


@pytest.mark.slow
def test_five_thousand_classes(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (10_000, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(10_000) % 5_000)
    run = score(tmp_path / "many.npz", QUICK, tmp_path / "ws")
    assert len(run.info["classes"]) == 5_000
    assert (run.issues()["issue"] == "label_error").sum() == 10_000
