"""Scoring how many of each class pictures show, on a small real folder with a table: what a run says and keeps."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.cli import cli
from curation.errors import SettingsError
from curation.explain import explain
from curation.importers import ImportOptions
from curation.score import ScoreSettings, score

QUICK = ScoreSettings(mode="compact", epochs=12, size_px=24, flip=False, device="cpu", folds=3)
OPTIONS = ImportOptions(labels="counts.csv", task="counts")
CLASSES = ("bar", "dot")


def picture(counts, seed):
    """So many long and small bright marks on a dark ground like no other."""
    pixels = np.random.default_rng(seed).integers(0, 60, (24, 24, 3), dtype=np.uint8)
    for place in range(counts[0]):
        pixels[1 + 4 * place : 3 + 4 * place, 2:12, 0] = 250
    for place in range(counts[1]):
        pixels[1 + 6 * place : 5 + 6 * place, 16:20, 2] = 250
    return pixels


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on 120 pictures, in one of which three bars too few were counted, and in one two dots too many."""
    base = tmp_path_factory.mktemp("counts")
    root = base / "source"
    root.mkdir()
    counts = np.random.default_rng(0).integers(0, 4, (120, 2))
    counts[7], counts[8] = (3, 1), (2, 0)
    for row, mine in enumerate(counts):
        Image.fromarray(picture(mine, row)).save(root / f"{row:03}.png")
    given = counts.copy()
    given[7, 0], given[8, 1] = 0, 3
    table = pd.DataFrame(given, columns=list(CLASSES))
    table.insert(0, "image", [f"{row:03}.png" for row in range(120)])
    table.to_csv(root / "counts.csv", index=False)
    return score(root, QUICK, base / "ws", import_options=OPTIONS), base, given


def test_the_wrong_counts_come_first_and_the_right_number_is_proposed(made):
    run, _, _ = made
    issues = run.issues().merge(run.samples()[["sample_id", "path"]], on="sample_id")
    found = issues[issues["issue"] == "odd_count"].head(2)
    assert set(found["path"]) == {"007.png", "008.png"}
    assert found["is_issue"].all()
    by_path = {row["path"]: (row["given_label"], row["suggestion"]) for row in found.to_dict("records")}
    assert by_path["007.png"][0] == "0 x bar"
    assert by_path["008.png"][0] == "3 x dot"
    assert by_path["007.png"][1] in ("3 x bar", "2 x bar")


def test_the_run_says_its_task_and_keeps_a_probability_for_each_step(made):
    run, _, given = made
    assert run.info["task"] == "counts"
    assert run.info["count_steps"] == [3, 3]
    assert run.array("pred_probs").shape == (120, 6)
    health = run.info["health"]
    assert (health["labels"], health["objects"]) == (240, int(given.sum()))
    assert health["flagged"] == (run.issues().query("issue == 'odd_count'")["is_issue"]).sum()
    assert run.info["accuracy"]["mean_absolute_error"] < run.info["accuracy"]["chance"]
    assert run.info["skipped_detectors"] == {}


def test_every_row_is_explained_and_every_command_reads_the_run(made):
    run, base, _ = made
    said = [explain(row) for row in run.issues().to_dict("records")]
    assert not any("Found to be" in sentence for sentence in said)
    for words in (["issues"], ["issues", "--json"], ["report"], ["queue"], ["queue", "--class", "bar"], ["status"]):
        result = CliRunner().invoke(cli, [*words, "--workspace", str(base / "ws")])
        assert result.exit_code == 0, (words, result.output, result.exception)
    report = (run.folder / "report.html").read_text()
    assert "counts estimated to be wrong" in report


@pytest.mark.parametrize(
    "words",
    [["rehearse"], ["retrain", "--output", "model"], ["prove", "--before", "v0001", "--after", "v0001"]],
)
def test_what_no_network_is_trained_for_is_refused(made, words, monkeypatch):
    monkeypatch.chdir(made[1])
    result = CliRunner().invoke(cli, [*words, "--workspace", str(made[1] / "ws")])
    assert isinstance(result.exception, SettingsError), result.output
    assert "counts" in str(result.exception)


def test_copies_with_other_counts_conflict(made, tmp_path):
    root = tmp_path / "source"
    root.mkdir()
    rows = ["image,bar,dot"]
    for row in range(14):
        Image.fromarray(picture((row % 3, row % 2), row)).save(root / f"{row:03}.png")
        rows.append(f"{row:03}.png,{row % 3},{row % 2}")
    Image.open(root / "004.png").save(root / "copy.png")
    (root / "counts.csv").write_text("\n".join([*rows, "copy.png,3,0", ""]))
    run = score(root, ScoreSettings(mode="compact", epochs=1, size_px=16, device="cpu", folds=2), tmp_path / "ws",
                import_options=OPTIONS)  # fmt: skip
    rows = run.issues().query("issue == 'conflicting_duplicate'").merge(run.samples()[["sample_id", "path"]])
    evidence = json.loads(rows.set_index("path").loc["copy.png", "evidence"])
    assert (evidence["labels"], evidence["twin_labels"]) == (["3 x bar"], ["1 x bar"])
    assert explain(rows.set_index("path").loc["copy.png"]) == (
        "Labelled “3 x bar”, while a picture with identical pixels is labelled “1 x bar”."
    )


def test_a_decision_says_a_number_and_the_next_version_has_it(made):
    _, base, _ = made
    run = [*("--workspace", str(base / "ws"))]
    said = CliRunner().invoke(cli, ["decide", "007.png", "--count", "bar=3", "--reviewer", "ann", *run])
    assert "added 3 x “bar”" in said.output, said.output
    assert CliRunner().invoke(cli, ["publish", "-m", "counted", *run]).exit_code == 0
    shown = CliRunner().invoke(cli, ["diff", "v0001", "v0002", "--json", *run])
    changes = json.loads(shown.output)
    lines = changes["changes"] if isinstance(changes, dict) else changes
    assert [line["change"] for line in lines] == ["add"] * 3
    told = CliRunner().invoke(cli, ["diff", "v0001", "v0002", *run]).output
    assert "3 labels added" in told
    assert told.count("007.png") == 1
    assert "3 x bar" in told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--count", "bar=-1"], "write it as LABEL=NUMBER"),
        (["--count", "bar"], "write it as LABEL=NUMBER"),
        (["--count", "bar=1.5"], "write it as LABEL=NUMBER"),
        (["--count", "bra=1"], "Did you mean 'bar'"),
        (["--count", "bar=5000"], "a decision changes 1,000 at most"),
        (["--count", "bar=1", "--count", "bar=2"], "Say one whole number"),
        (["--remove", "dot", "--remove", "dot"], "not as many of 'dot'"),
        (["--relabel", "0=dot"], "change that with --count LABEL=NUMBER"),
    ],
)
def test_what_is_no_count_is_refused(made, words, why):
    result = CliRunner().invoke(cli, ["decide", "007.png", *words, "--reviewer", "ann", "--workspace",
                                      str(made[1] / "ws")])  # fmt: skip
    assert result.exit_code != 0
    assert why in result.output + str(result.exception)


def test_boxes_and_their_counts_are_two_data_sets(tmp_path):
    root = tmp_path / "shelf"
    root.mkdir()
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for row in range(12):
        Image.fromarray(picture((row % 3, 1), row)).save(root / f"{row:03}.png")
        rows += [f"{row:03}.png,24,24,bar,2,{1 + 4 * place},12,{3 + 4 * place}" for place in range(row % 3)]
    (root / "boxes.csv").write_text("\n".join([*rows, ""]))
    quick = ScoreSettings(mode="compact", epochs=1, size_px=16, device="cpu", folds=2)
    boxes = ImportOptions(labels="boxes.csv")
    assert score(root, quick, tmp_path / "ws", import_options=boxes).info["task"] == "detection"
    counts = replace(boxes, task="counts")
    with pytest.raises(SettingsError, match=r"shelf is of the task detection here \(v0001\).*--name shelf-counts"):
        score(root, quick, tmp_path / "ws", import_options=counts)
    run = score(root, replace(quick, name="shelf-counts"), tmp_path / "ws", import_options=counts)
    assert (run.info["dataset"], run.info["task"]) == ("shelf-counts", "counts")
    assert run.info["health"]["objects"] == 12
    with pytest.raises(SettingsError, match="or read it as before, with --task counts"):
        score(root, replace(quick, name="shelf-counts"), tmp_path / "ws", import_options=boxes)
