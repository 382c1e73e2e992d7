"""Several labels per picture: from two versions to a verdict, and to a network that names new pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.cli import cli
from curation.datasets import Dataset
from curation.errors import SettingsError
from curation.importers import ImportOptions
from curation.manifest import NewVersion, build_rows, manifest_folder, read, write_version
from curation.manifest.changes import diff
from curation.proving import ProofSettings, prove
from curation.proving.compare import compare_sets
from curation.proving.multi_label import make_arms
from curation.records import SAMPLE_COLUMNS, empty_annotations
from curation.report.proof import render, verdict
from curation.retraining import RetrainSettings, open_model, predict, retrain
from curation.score import ScoreSettings, score
from curation.training.set_scale import SetScale, scale_of
from tests.test_score_multilabel import SHAPES, picture

NAME = "shapes"
KINDS = list(SHAPES)
FAST = {"mode": "compact", "epochs": 10, "size_px": 16, "device": "cpu", "flip": False}
Made = tuple[Path, Dataset]


def annotations_of(rows: pd.DataFrame, true: dict[str, list[str]]) -> pd.DataFrame:
    """The true labels of a version's pictures."""
    pairs = [(sample, path, label) for sample, path in zip(rows["sample_id"], rows["path"], strict=True)
             for label in true[path]]  # fmt: skip
    table = empty_annotations(len(pairs))
    table["sample_id"] = pd.Series([sample for sample, _, _ in pairs], dtype="str")
    table["annotation_id"] = pd.Series([f"{sample}-{label}" for sample, _, label in pairs], dtype="str")
    table["label"] = pd.Series([label for _, _, label in pairs], dtype="str")
    return table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """v0001 with a third of the training labels reversed, v0002 with all right; 50 clean pictures in `test`."""
    root, rng, lines = tmp_path_factory.mktemp("set"), np.random.default_rng(0), []
    true: dict[str, list[str]] = {}
    for number in range(210):
        names = [name for name in KINDS if rng.random() < 0.5]
        split, path = "test" if number < 50 else "train", f"{number:03}.png"
        Image.fromarray(picture(names, number)).save(root / path)
        reversed_ = {name for name in KINDS if split == "train" and rng.random() < 0.33}
        given = sorted(set(names) ^ reversed_)
        lines.append({"image": path, "labels": "|".join(given), "split": split})
        true[path] = names
    pd.DataFrame(lines).to_csv(root / "labels.csv", index=False)
    workspace = tmp_path_factory.mktemp("workspace")
    options = ImportOptions(labels="labels.csv", task="multi-label", label_delimiter="|")
    quick = ScoreSettings(mode="compact", epochs=2, size_px=16, folds=2, name=NAME, flip=False, device="cpu")
    score(root, quick, workspace, options)
    folder = manifest_folder(workspace, NAME)
    rows = read(folder, "v0001")
    samples = rows.drop_duplicates("sample_id")[list(SAMPLE_COLUMNS)]
    right = build_rows(samples, annotations_of(samples, true))
    unchanged = set(samples.loc[samples["split"] == "test", "sample_id"])
    right = pd.concat([right[~right["sample_id"].isin(unchanged)], rows[rows["sample_id"].isin(unchanged)]])
    right = right.sort_values(["sample_id", "annotation_id"], ignore_index=True)
    write_version(right, NewVersion("v0001", "publish", "me", "right", diff(rows, right), dataset=NAME), folder)
    return workspace, Dataset(NAME, folder)


def test_labels_put_right_are_a_proven_gain_and_as_many_by_lot_are_none(made: Made) -> None:
    proof = prove(*made, ProofSettings("v0001", "v0002", seeds=3, **FAST))
    assert list(proof.arms["after"].measures) == ["mean_average_precision", "macro_f1", "micro_f1"]
    assert proof.verdict == "gain"
    assert proof.arms["placebo"].main.proven != "gain"
    assert (proof.holdout.name, len(proof.holdout.rows), proof.holdout.reviewed) == ("split 'test'", 50, 0)
    assert proof.contest.trained_on["before"] == 160
    assert proof.contest.changes["removed"] > 50
    assert proof.contest.changes["given"] > 50
    facts = json.loads((proof.folder / "proof.json").read_text())
    assert facts["measure"] == "mean_average_precision"
    assert set(facts["arms"]["after"]["average_precision"]) == set(KINDS)
    page = render(proof)
    assert "Mean average precision" in page
    assert "chosen on a fifth" in page
    assert verdict(proof).startswith("Proven gain")


def test_the_same_labels_twice_are_no_gain(made: Made) -> None:
    proof = prove(*made, ProofSettings("v0001", "v0001", seeds=1, **{**FAST, "epochs": 2}))
    assert (proof.verdict, proof.arms["after"].main.change) == ("", 0.0)
    assert "the same in both versions" in " ".join(proof.notes)


def test_a_table_is_a_hold_out_with_a_row_per_label_and_pictures_without_any(made: Made, tmp_path: Path) -> None:
    rows = [(f"{n:03}.png", name) for n in range(60, 90) for name in KINDS[: n % 3]]
    rows += [(f"{n:03}.png", "") for n in range(60, 90) if n % 3 == 0]
    pd.DataFrame(rows, columns=["path", "label"]).to_csv(tmp_path / "truth.csv", index=False)
    settings = ProofSettings("v0001", "v0002", str(tmp_path / "truth.csv"), seeds=1, **{**FAST, "epochs": 1})
    proof = prove(*made, settings)
    assert len(proof.holdout.rows) == 30
    assert proof.contest.trained_on["before"] == 180
    assert set(proof.arms["after"].by_class) == {0, 2}  # the dot is nowhere in it: nothing to rank


def test_a_placebo_flips_as_many_of_each_class_but_others() -> None:
    rng = np.random.default_rng(0)
    before = (rng.random((80, 3)) < 0.4).astype(np.int8)
    after = before.copy()
    after[:10, 0] = 1 - after[:10, 0]
    after[10:14, 2] = 1 - after[10:14, 2]
    after[70:] = -1
    arms = make_arms(before, after, None)
    other = arms.labels("placebo", 0)
    assert (other < 0).all(axis=1).sum() == 10
    kept = other[:, 0] >= 0
    for k, first, last in ((0, 0, 10), (2, 10, 14)):
        for value in (0, 1):
            wanted = ((before[:, k] == value) & (after[:, k] == 1 - value)).sum()
            assert (kept & (before[:, k] == value) & (other[:, k] == 1 - value)).sum() == wanted
        assert (other[first:last, k] == before[first:last, k]).all()
    assert (other[kept, 1] == before[kept, 1]).all()


def test_measures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, f1_score

    rng = np.random.default_rng(1)
    truth = (rng.random((150, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(np.int8)
    probs = np.clip(0.3 * truth + 0.7 * rng.random(truth.shape), 0, 1).round(2)  # rounded: there are ties
    thresholds = np.array([0.5, 0.4, 0.6, 0.5])
    arm = [(probs, thresholds)]
    found = compare_sets(truth, arm, arm, np.arange(150))
    by_class = [average_precision_score(truth[:, k], probs[:, k]) for k in range(4)]
    assert [found.by_class[k].before for k in range(4)] == pytest.approx(by_class, abs=1e-5)
    assert found.measures["mean_average_precision"].before == pytest.approx(np.mean(by_class), abs=1e-5)
    said = probs >= thresholds
    for name in ("macro", "micro"):
        assert found.measures[f"{name}_f1"].before == pytest.approx(f1_score(truth, said, average=name), abs=1e-5)


def test_a_threshold_is_low_where_a_class_is_rare_and_knowledge_small() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random((3000, 2)) < [0.5, 0.03]).astype(np.int8)
    logits = 1.5 * (2.0 * labels - 1) + rng.normal(0, 1.5, labels.shape)
    scale = scale_of(logits, labels)
    probs = scale.probabilities(logits)
    assert probs.mean(axis=0) == pytest.approx([0.5, 0.03], abs=0.01)
    assert scale.threshold[1] < scale.threshold[0] < 0.5
    for k in range(2):

        def expected(t: float, p: np.ndarray = probs[:, k]) -> float:
            """F1 if the probabilities are right."""
            return 2 * p[p >= t].sum() / (p.sum() + (p >= t).sum())

        best = max(expected(t) for t in np.linspace(0.01, 0.99, 99))
        assert expected(scale.threshold[k]) >= best - 1e-6
    rare = [2 * (labels[:, 1] & (probs[:, 1] >= t)).sum() / (labels[:, 1].sum() + (probs[:, 1] >= t).sum())
            for t in (scale.threshold[1], 0.5)]  # fmt: skip
    assert rare[0] > rare[1]


def test_what_thresholds_are_chosen_on_is_not_learnt_and_the_hold_out_is_not_looked_at(made: Made) -> None:
    from curation.training.holdout import ask_sets, prepare
    from curation.training.plan import choose_plan

    pixels = np.stack([picture(KINDS[: n % 3], n) for n in range(60)])
    labels = np.array([[int(k < n % 3) for k in range(3)] for n in range(60)], dtype=np.int8)
    plan = choose_plan("compact", device="cpu", epochs=2, size_px=24, n_samples=60)
    asked, tuning = np.arange(12), np.arange(60) % 5 == 4
    trials = prepare(pixels, asked, 3, plan, made[0])
    probs, scale = ask_sets(trials, labels, tuning, 0, lambda _: None)
    reversed_ = labels.copy()
    reversed_[asked] = 1 - reversed_[asked]
    again, same = ask_sets(trials, reversed_, tuning, 0, lambda _: None)
    assert np.array_equal(again, probs)
    assert np.array_equal(same.threshold, scale.threshold)
    # Other labels in the part that thresholds are chosen on: the network is the same, its scale is not.
    part = np.flatnonzero(tuning & (np.arange(60) >= 12))
    reversed_[part] = 1 - reversed_[part]
    again, other = ask_sets(trials, reversed_, tuning, 0, lambda _: None)
    assert not np.array_equal(other.offset, scale.offset)

    def logits(probs: np.ndarray, scale: SetScale) -> np.ndarray:
        return (np.log(probs / (1 - probs)) - scale.offset) / scale.slope

    assert logits(again, other) == pytest.approx(logits(probs, scale), abs=0.02)


def test_a_network_names_new_pictures_with_the_thresholds_that_it_was_written_with(made: Made, tmp_path: Path) -> None:
    workspace, dataset = made
    output = tmp_path / "model"
    facts = retrain(workspace, dataset, RetrainSettings("v0002", **FAST), output)
    assert facts["task"] == "multi-label"
    assert facts["trained_on"] == 160
    assert facts["metrics"]["mean_average_precision"] > 0.9
    assert len(facts["scale"]["threshold"]) == 3
    assert json.loads((output / "model.json").read_text()) == facts
    assert "mAP" in (output / "README.md").read_text()
    rng, true, names = np.random.default_rng(5), [], []
    for number in range(30):
        true.append([name for name in KINDS if rng.random() < 0.5])
        names.append(f"new{number}.png")
        Image.fromarray(picture(true[-1], 1000 + number)).save(tmp_path / names[-1])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = predict(open_model(output, "cpu"), tmp_path, [*names, "broken.png"], workspace)
    right = [set(json.loads(said)) == set(names) for said, names in zip(found["labels"][:30], true, strict=True)]
    assert sum(right) >= 24
    assert list(found.columns) == ["path", "labels", *(f"probability {name}" for name in sorted(KINDS)), "reason"]
    assert found["labels"].iloc[30] == ""
    assert found["reason"].iloc[30] != ""
    everything = {**facts, "scale": {**facts["scale"], "threshold": [0.0, 0.0, 0.0]}}
    (output / "model.json").write_text(json.dumps(everything))
    assert json.loads(predict(open_model(output, "cpu"), tmp_path, names[:1], workspace)["labels"][0]) == sorted(KINDS)


def test_the_commands_say_it_all_and_what_was_predicted_can_be_scored(made: Made, tmp_path: Path) -> None:
    workspace, _ = made
    common = ["--workspace", str(workspace), "--mode", "compact", "--epochs", "2", "--device", "cpu", "--no-flip"]
    done = CliRunner().invoke(cli, ["prove", "--before", "v1", "--after", "v2", "--seeds", "1", *common])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "The change is that of mAP." in said
    assert "v0001, placebo" in said
    model = str(tmp_path / "model")
    done = CliRunner().invoke(cli, ["retrain", "--output", model, *common])
    assert done.exit_code == 0, done.output
    assert "mAP" in done.output
    for number in range(12):
        Image.fromarray(picture(KINDS[: number % 3], 50 + number)).save(tmp_path / f"new{number}.png")
    output, where = tmp_path / "seen.csv", ["--workspace", str(workspace)]
    done = CliRunner().invoke(cli, ["predict", model, str(tmp_path), *where])
    assert done.exit_code == 0, done.output
    assert "Labels" in done.output
    done = CliRunner().invoke(cli, ["predict", model, str(tmp_path), "--output", str(output), *where])
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(output)) == 12
    done = CliRunner().invoke(cli, ["predict", model, str(tmp_path), "--output", str(tmp_path / "a.json"), *where])
    assert done.exit_code == 2
    assert "JSON is for boxes" in done.output


def test_a_detector_for_what_has_no_boxes_is_refused(made: Made) -> None:
    with pytest.raises(SettingsError, match="--detector is for sets of boxes"):
        prove(*made, ProofSettings("v0001", "v0002", detector_epochs=1, **FAST))
