"""Cross-validation: nobody is judged by a network that saw him; what was trained is not trained again."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from curation.training.crossval import fit_temperature, known_when_judged, out_of_fold, softmax
from curation.training.folds import CrossValidation, assign_folds, ungroup_folds
from curation.training.model import load_backbone
from curation.training.plan import Plan, choose_plan
from curation.training.probe import fit_heads
from tests.training.test_train import _pictures


def _compact(epochs=3):
    return choose_plan("compact", device="cpu", flip=False, epochs=epochs, size_px=16)


def _cross_validate(*data):
    return out_of_fold(CrossValidation(*data))


@pytest.fixture
def small():
    pixels, labels = _pictures(60)
    return pixels, labels, assign_folds(labels, np.arange(60), 3, seed=0)


def test_out_of_fold_probabilities_know_the_classes(small, tmp_path):
    pixels, labels, fold = small
    result = _cross_validate(pixels, labels, fold, 2, _compact(8), 0, tmp_path)
    assert result.pred_probs.shape == (60, 2)
    assert np.allclose(result.pred_probs.sum(1), 1, atol=1e-5)
    assert (result.pred_probs.argmax(1) == labels).mean() > 0.9
    assert result.embeddings.shape[0] == 60
    assert result.judged.all()


def test_a_label_never_reaches_the_network_that_judges_it(small, tmp_path):
    pixels, labels, fold = small
    changed = labels.copy()
    changed[fold == 1] = 1 - changed[fold == 1]
    before = _cross_validate(pixels, labels, fold, 2, _compact(), 0, _new(tmp_path / "a"))
    after = _cross_validate(pixels, changed, fold, 2, _compact(), 0, _new(tmp_path / "b"))
    logit = lambda r: np.log(r.pred_probs[fold == 1]) * r.temperature  # noqa: E731
    difference = [np.diff(logit(r), axis=1) for r in (before, after)]
    assert np.allclose(*difference, atol=1e-3)


def _new(folder):
    folder.mkdir()
    return folder


def test_unlabelled_samples_are_judged_but_teach_nothing(small, tmp_path):
    pixels, labels, fold = small
    labels = labels.copy()
    labels[:6] = -1
    result = _cross_validate(pixels, labels, fold, 2, _compact(8), 0, tmp_path)
    assert np.isnan(result.margin[:6]).all()
    assert np.isfinite(result.margin[6:]).all()
    assert not result.judged[:6].any()
    assert np.allclose(result.pred_probs[:6].sum(1), 1, atol=1e-5)


def test_a_finished_fold_is_not_trained_again(small, tmp_path, monkeypatch):
    pixels, labels, fold = small
    first = _cross_validate(pixels, labels, fold, 2, _compact(), 0, tmp_path)
    monkeypatch.setattr("curation.training.crossval.fit", lambda *_: pytest.fail("trained again"))
    second = _cross_validate(pixels, labels, fold, 2, _compact(), 0, tmp_path)
    assert np.array_equal(first.pred_probs, second.pred_probs)
    assert np.array_equal(first.margin, second.margin)


@pytest.mark.parametrize("damage", ["truncate", "foreign", "other_seed"])
def test_a_checkpoint_that_is_not_ours_is_trained_anew(small, tmp_path, damage):
    pixels, labels, fold = small
    first = _cross_validate(pixels, labels, fold, 2, _compact(), 0, tmp_path)
    file = tmp_path / "fold-1.safetensors"
    if damage == "truncate":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "foreign":
        save_file({"x": torch.zeros(1)}, file)
    else:
        _cross_validate(pixels, labels, fold, 2, _compact(), 7, tmp_path)
    again = _cross_validate(pixels, labels, fold, 2, _compact(), 0, tmp_path)
    assert np.array_equal(first.pred_probs, again.pred_probs)


KILLED = """
import sys, numpy as np
from pathlib import Path
from curation.files import set_failpoints
from tests.training.test_crossval import _compact, _cross_validate
from tests.training.test_train import _pictures
from curation.training.folds import assign_folds
set_failpoints(sys.argv[2])
pixels, labels = _pictures(60)
fold = assign_folds(labels, np.arange(60), 3, seed=0)
result = _cross_validate(pixels, labels, fold, 2, _compact(), 0, Path(sys.argv[1]))
np.save(sys.argv[1] + "/result.npy", result.pred_probs)
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["fold.before_write:kill:2", "fold.before_rename:kill:2", "fold.after_rename:kill:2"])
def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(small, tmp_path, point):
    whole = _cross_validate(*small, 2, _compact(), 0, _new(tmp_path / "whole"))
    killed = _new(tmp_path / "killed")
    run = [sys.executable, "-c", KILLED, os.fspath(killed)]
    assert subprocess.run([*run, point], check=False).returncode == -signal.SIGKILL
    assert (killed / "fold-0.safetensors").exists()
    subprocess.run([*run, ""], check=True)
    assert np.array_equal(np.load(killed / "result.npy"), whole.pred_probs)


def test_a_full_disk_is_a_clear_error(small, tmp_path):
    from curation.errors import WorkspaceError
    from curation.files import set_failpoints

    set_failpoints("fold.before_write:enospc:1")
    try:
        with pytest.raises(WorkspaceError, match="Free some space"):
            _cross_validate(*small, 2, _compact(1), 0, tmp_path)
    finally:
        set_failpoints("")


def test_the_probe_embeds_once_and_judges__cross_validate(small, tmp_path):
    pixels, labels, fold = small
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = load_backbone("mobilenet_v3_small", "none")
    save_file(backbone.state_dict(), tmp_path / "w.safetensors")
    plan = choose_plan(
        "probe", "mobilenet_v3_small", str(tmp_path / "w.safetensors"), device="cpu", flip=False, size_px=64
    )
    big = pixels.repeat(4, axis=1).repeat(4, axis=2)
    first = _cross_validate(big, labels, fold, 2, plan, 0, _new(tmp_path / "a"))
    assert first.embeddings.shape[0] == 60
    assert np.isfinite(first.margin).all()
    changed = labels.copy()
    changed[fold == 1] = 1 - changed[fold == 1]
    second = _cross_validate(big, changed, fold, 2, plan, 0, _new(tmp_path / "b"))
    order = [np.argsort(r.pred_probs[fold == 1][:, 0]) for r in (first, second)]
    assert np.array_equal(*order)


def _twins(tmp_path):
    """Embeddings of pairs of twins with labels drawn by lot: only a head that saw the twin can know them."""
    rng = np.random.default_rng(0)
    views = np.repeat(rng.normal(size=(60, 1, 128)).astype(np.float32), 2, axis=0)
    labels, groups = np.repeat(rng.integers(0, 2, 60), 2), np.repeat(np.arange(60), 2)
    fold = assign_folds(labels, groups, 5, seed=0)
    plan = Plan("probe", "any", "none", "", "cpu", 64, 30, 0, False)
    cv = CrossValidation(np.zeros((120, 1, 1, 3), np.uint8), labels, fold, 2, plan, 0, tmp_path)
    return views, cv, ungroup_folds(fold, labels, groups, seed=0)


def test_folds_that_tear_twins_apart_look_better_than_they_are(tmp_path):
    views, cv, ungrouped = _twins(tmp_path)
    logits, _, choice = fit_heads(views, replace(cv, ungrouped_fold=ungrouped))
    assert (logits.argmax(1) == cv.labels).mean() < 0.65
    assert (choice == cv.labels).mean() > 0.8


def test_heads_for_comparison_change_nothing_else(tmp_path):
    views, cv, ungrouped = _twins(tmp_path)
    with_them = fit_heads(views, replace(cv, ungrouped_fold=ungrouped))
    logits = np.array(with_them[0])
    without = fit_heads(views, cv)
    assert np.allclose(logits, without[0], atol=1e-4)
    assert np.allclose(with_them[1], without[1], atol=1e-4)
    assert without[2] is None


def test_finetune_runs_on_a_cpu(small, tmp_path):
    plan = choose_plan("finetune", "mobilenet_v3_small", "none", device="cpu", flip=False, size_px=32, epochs=1)
    pixels = small[0].repeat(2, axis=1).repeat(2, axis=2)
    result = _cross_validate(pixels, *small[1:], 2, plan, 0, tmp_path)
    assert np.isfinite(result.pred_probs).all()
    assert result.embeddings.shape[0] == 60


def test_a_class_that_lives_in_one_fold_is_not_judged():
    labels = np.array([0, 0, 1, 1, 2, -1])
    fold = np.array([0, 1, 0, 1, 0, 1])
    assert known_when_judged(labels, fold, 3).tolist() == [True, True, True, True, False, False]


def test_temperature_makes_overconfident_logits_honest():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    assert fit_temperature(4 * logits, labels) == pytest.approx(4, rel=0.15)
