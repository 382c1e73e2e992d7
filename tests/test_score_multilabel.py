"""Scoring pictures that have several labels each, on small real folders with a table: what a run says and keeps."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.cli import cli
from curation.explain import explain
from curation.importers import ImportOptions
from curation.score import ScoreSettings, score

QUICK = ScoreSettings(mode="compact", epochs=12, size_px=16, flip=False, device="cpu", folds=3)
OPTIONS = ImportOptions(labels="labels.csv", task="multi-label", label_delimiter="|")
SHAPES = {
    "bar": (slice(2, 5), slice(2, 22)),
    "pole": (slice(2, 22), slice(17, 20)),
    "dot": (slice(13, 21), slice(3, 11)),
}


def picture(names, seed):
    """The shapes of `names`, bright on a chequered ground like no other."""
    pixels = np.random.default_rng(seed).integers(0, 90, (6, 6, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    for name in names:
        pixels[SHAPES[name]] += 160
    return pixels


def write_source(root, count=90, changes=None):
    """A folder and its table; `changes`: picture number -> the labels that are given instead of the true ones."""
    root.mkdir()
    rng, lines = np.random.default_rng(0), []
    for i in range(count):
        true = [name for name in SHAPES if rng.random() < 0.5]
        Image.fromarray(picture(true, i)).save(root / f"{i:03}.png")
        lines.append({"image": f"{i:03}.png", "labels": "|".join((changes or {}).get(i, true)), "true": true})
    table = pd.DataFrame(lines)
    table[["image", "labels"]].to_csv(root / "labels.csv", index=False)
    return table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on a source in which one label was taken away, and one added that is not there."""
    base = tmp_path_factory.mktemp("multilabel")
    true = write_source(base / "plain")["true"]
    lacks = next(i for i in range(90) if len(true[i]) == 3)
    extra = next(i for i in range(90) if true[i] == ["dot"])
    changes = {lacks: ["bar", "pole"], extra: ["dot", "bar"]}
    write_source(base / "source", changes=changes)
    run = score(base / "source", QUICK, base / "ws", import_options=OPTIONS)
    return run, base, f"{lacks:03}.png", f"{extra:03}.png"


def issues_with_paths(run):
    return run.issues().merge(run.samples()[["sample_id", "path"]], on="sample_id")


def test_the_missing_and_the_wrong_label_come_first(made):
    run, _, lacks, extra = made
    issues = issues_with_paths(run)
    missing = issues[issues["issue"] == "missing_label"].sort_values("score").iloc[0]
    wrong = issues[issues["issue"] == "wrong_label"].sort_values("score").iloc[0]
    assert (missing["path"], missing["suggestion"], missing["annotation_id"]) == (lacks, "dot", "")
    assert (wrong["path"], wrong["given_label"], wrong["suggestion"]) == (extra, "bar", "remove")
    assert missing["is_issue"]
    assert wrong["is_issue"]
    assert wrong["annotation_id"] != ""
    assert json.loads(wrong["evidence"])["labels"] == ["bar", "dot"]


def test_the_run_says_its_task_and_keeps_probabilities_per_class(made):
    run, _, lacks, _ = made
    assert run.info["task"] == "multi-label"
    probs = run.array("pred_probs")
    assert probs.shape == (90, 3)
    assert np.ptp(probs.sum(axis=1)) > 1
    assert run.array("training_margin").shape == (90, 3)
    assert "label_error" not in run.info["skipped_detectors"]
    samples = run.samples().set_index("path")
    assert json.loads(samples.loc[lacks, "given_labels"]) == ["bar", "pole"]
    assert samples.loc[lacks, "label_score"] < 0.6
    assert (run.issues()["issue"] == "wrong_label").sum() == sum(map(len, samples["given_labels"].map(json.loads)))


def test_health_speaks_of_wrong_and_missing_labels(made):
    health = made[0].info["health"]
    assert health["pictures"] == 90
    assert {line["name"] for line in health["classes"]} == set(SHAPES)
    dot = next(line for line in health["classes"] if line["name"] == "dot")
    assert dot["flagged_missing"] >= 1
    assert 0 < health["estimated_missing"] <= health["estimated_wrong"]
    assert 0 < health["label_health"] < 1


def test_every_row_is_explained_and_every_command_reads_the_run(made):
    run, base, _, _ = made
    said = [explain(row) for row in run.issues().to_dict("records")]
    assert not any("Found to be" in sentence for sentence in said)
    assert any(sentence.startswith("Not labelled “dot”") for sentence in said)
    for words in (["issues"], ["issues", "--json"], ["report"], ["queue"], ["status"], ["estimate"]):
        result = CliRunner().invoke(cli, [*words, "--workspace", str(base / "ws")])
        assert result.exit_code == 0, (words, result.output, result.exception)


def test_copies_with_other_labels_conflict_and_the_evidence_names_them(tmp_path):
    write_source(tmp_path / "source", count=20, changes={3: ["bar", "dot"]})
    Image.open(tmp_path / "source" / "003.png").save(tmp_path / "source" / "copy.png")
    with (tmp_path / "source" / "labels.csv").open("a") as table:
        table.write("copy.png,bar|pole\n")
    run = score(tmp_path / "source", replace(QUICK, epochs=1), tmp_path / "ws", import_options=OPTIONS)
    rows = issues_with_paths(run).query("issue == 'conflicting_duplicate'").set_index("path")
    assert set(rows.index) == {"003.png", "copy.png"}
    evidence = json.loads(rows.loc["copy.png", "evidence"])
    assert (evidence["labels"], evidence["twin_labels"]) == (["bar", "pole"], ["bar", "dot"])
    assert evidence["differs"] == ["dot", "pole"]
    assert explain(rows.loc["copy.png"]) == (
        "Labelled “bar”, “pole”, while a picture with identical pixels is labelled “bar”, “dot”."
    )


def test_a_set_without_a_class_to_learn_is_scored_without_a_model(tmp_path):
    write_source(tmp_path / "source", count=12, changes={i: ["dot"] for i in range(12)})
    run = score(tmp_path / "source", QUICK, tmp_path / "ws", import_options=OPTIONS)
    assert any("No model was trained" in note for note in run.info["notes"])
    assert run.info["health"]["label_health"] is None
    assert not run.has_array("pred_probs")


def test_two_runs_agree_to_the_last_bit(made):
    run, base, _, _ = made
    again = score(base / "source", QUICK, base / "other", import_options=OPTIONS)
    assert again.run_id == run.run_id
    assert np.array_equal(again.array("pred_probs"), run.array("pred_probs"))
    assert again.issues().equals(run.issues())
