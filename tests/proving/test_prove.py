"""From two versions to a verdict: what is learnt, what is asked about, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curation import cli
from curation.datasets import Dataset
from curation.errors import NotFoundError, SettingsError
from curation.importers import ImportOptions
from curation.manifest import NewVersion, build_rows, manifest_folder, read, write_version
from curation.manifest.changes import diff
from curation.manifest.version_files import versions
from curation.proving import ProofSettings, prove
from curation.proving.single_label import make_arms
from curation.records import empty_annotations, empty_samples
from curation.report.proof import render, verdict, write_page
from curation.score import ScoreSettings, score

NAME = "shapes"
FAST = {"mode": "compact", "epochs": 8, "size_px": 16, "seeds": 2, "device": "cpu"}


def draw(label: str, rng: np.random.Generator) -> Image.Image:
    """A noisy picture whose class is easy to see: a bright bar, lying or standing."""
    pixels = rng.integers(0, 90, (24, 24, 3))
    at = int(rng.integers(4, 17))
    if label == "lying":
        pixels[at : at + 4] += 150
    else:
        pixels[:, at : at + 4] += 150
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """v0001 with 40 % of the training labels wrong, v0002 with all of them right; 60 clean pictures in `test`."""
    root, rng = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    lines = []
    for number in range(220):
        truth = ("lying", "standing")[number % 2]
        split = "test" if number < 60 else "train"
        wrong = split == "train" and rng.random() < 0.4
        given = {"lying": "standing", "standing": "lying"}[truth] if wrong else truth
        draw(truth, rng).save(root / f"{number:03d}.png")
        lines.append({"image": f"{number:03d}.png", "label": given, "split": split, "truth": truth})
    table = pd.DataFrame(lines)
    table.drop(columns="truth").to_csv(root / "labels.csv", index=False)
    workspace = tmp_path_factory.mktemp("workspace")
    options = ImportOptions(labels="labels.csv")
    score(root, ScoreSettings(mode="compact", epochs=2, size_px=16, folds=2, name=NAME), workspace, options)
    folder = manifest_folder(workspace, NAME)
    rows = read(folder, "v0001")
    truth = table.set_index("image")["truth"]
    right = rows.assign(label=pd.Series(truth.reindex(rows["path"]).tolist(), dtype="str"))
    write_version(right, NewVersion("v0001", "publish", "me", "all right", diff(rows, right), dataset=NAME), folder)
    return workspace, Dataset(NAME, folder)


def test_cleaning_that_helps_is_proven_and_drawn_by_lot_it_is_not(scored: tuple[Path, Dataset]) -> None:
    proof = prove(*scored, ProofSettings("v0001", "v0002", **FAST))
    assert proof.verdict == "gain"
    assert verdict(proof).startswith("Proven gain: v0002 against v0001, +")
    assert proof.arms["placebo"].main.proven != "gain"
    assert proof.holdout.name == "split 'test'"
    assert (len(proof.holdout.rows), proof.holdout.reviewed) == (60, 0)
    assert proof.contest.trained_on["before"] == proof.contest.trained_on["after"] == 160
    assert proof.contest.trained_on["pruned"] < 160
    assert proof.contest.changes["relabelled"] > 40
    facts = json.loads((proof.folder / "proof.json").read_text())
    assert facts["verdict"] == "gain"
    assert facts["arms"]["after"]["accuracy"]["low"] > 0
    page = write_page(proof, proof.folder / "proof.html").read_text()
    assert "Proven gain" in page
    assert "<script" not in page


def test_asked_again_nothing_is_trained_and_more_seeds_add_to_what_is_there(
    scored: tuple[Path, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prove(*scored, ProofSettings("v0001", "v0002", **FAST))
    trained: list[int] = []
    import curation.training.holdout as holdout

    ask = holdout.ask
    monkeypatch.setattr(holdout, "ask", lambda *a: trained.append(a[2]) or ask(*a))  # type: ignore[func-returns-value]
    again = prove(*scored, ProofSettings("v0001", "v0002", **FAST))
    assert again.facts() == first.facts()
    assert trained == []
    prove(*scored, ProofSettings("v0001", "v0002", **{**FAST, "seeds": 3}))
    assert trained == [2] * 4


def test_two_versions_with_the_same_labels_show_no_gain(scored: tuple[Path, Dataset]) -> None:
    proof = prove(*scored, ProofSettings("v0001", "v0001", **FAST))
    assert proof.verdict == ""
    assert proof.arms["after"].main.change == 0
    assert "No proven gain" in verdict(proof)
    assert "the same in both versions" in " ".join(proof.notes)


def test_a_hold_out_from_a_table_has_the_labels_of_the_table(scored: tuple[Path, Dataset], tmp_path: Path) -> None:
    rows = read(scored[1].folder, "v0002")
    chosen = rows[rows["path"].str.startswith("1")].head(40)
    chosen[["path", "label"]].to_csv(tmp_path / "truth.csv", index=False)
    proof = prove(*scored, ProofSettings("v0001", "v0002", holdout=str(tmp_path / "truth.csv"), **FAST))
    assert proof.holdout.name == "file truth.csv"
    assert proof.contest.trained_on["before"] == 220 - 40


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("path,label\n150.png,lying\nnone.png,lying\n", NotFoundError, "not in the data set, the first is 'none.png'"),
        ("path,label\n150.png,round\n", SettingsError, "neither version has the label 'round'"),
        ("path,label\n150.png,lying\n150.png,standing\n", SettingsError, "two labels for '150.png'"),
        ("path,label\n150.png,lying\n", SettingsError, "fewer than 20"),
    ],
)
def test_a_table_that_cannot_be_a_hold_out_is_refused(
    scored: tuple[Path, Dataset], tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    file = tmp_path / "truth.csv"
    file.write_text(text)
    with pytest.raises(error, match=said):
        prove(*scored, ProofSettings("v0001", "v0002", holdout=str(file), **FAST))


def test_a_split_or_version_that_is_not_there_is_refused(scored: tuple[Path, Dataset]) -> None:
    with pytest.raises(NotFoundError, match=r"no split 'dev'.*'test', 'train'"):
        prove(*scored, ProofSettings("v0001", "v0002", holdout="dev", **FAST))
    with pytest.raises(NotFoundError):
        prove(*scored, ProofSettings("v0001", "v0009", **FAST))


def relabelled(scored: tuple[Path, Dataset], names: dict[str, str], after: str = "v0002") -> str:
    """A further version whose labels have other names; its number."""
    folder = scored[1].folder
    newest = versions(folder)[-1]
    rows = read(folder, after)
    renamed = rows.assign(label=rows["label"].replace(names).astype("str"))
    changes = diff(read(folder, newest), renamed)
    return write_version(renamed, NewVersion(newest, "publish", "me", "renamed", changes, dataset=NAME), folder)


def test_a_class_that_came_or_vanished_is_named_and_other_classes_altogether_are_refused(
    scored: tuple[Path, Dataset],
) -> None:
    fast = {**FAST, "seeds": 1, "epochs": 1}
    upright = relabelled(scored, {"standing": "upright"})
    proof = prove(*scored, ProofSettings("v0001", upright, **fast))
    assert proof.notes[0].startswith("1 class is in the training data of v0001 only: 'standing'.")
    assert proof.notes[1].startswith(f"1 class is in the training data of {upright} only: 'upright'.")
    others = relabelled(scored, {"standing": "upright", "lying": "flat"})
    with pytest.raises(SettingsError, match=f"v0001 and {others} have no class in common"):
        prove(*scored, ProofSettings("v0001", others, **fast))


def test_a_task_without_networks_and_two_different_ones_are_refused(tmp_path: Path) -> None:
    samples = empty_samples(1).assign(sample_id="s1", path="a.png", status="ok").astype({"status": "str"})
    rows = build_rows(samples, empty_annotations())
    for task in ("counts", "multi-label", "detection"):
        parent = versions(tmp_path)[-1] if versions(tmp_path) else None
        write_version(rows, NewVersion(parent, "import", "a", "m", [], source={"task": task}), tmp_path)
    with pytest.raises(SettingsError, match="v0001 of cells is a counts set"):
        prove(tmp_path, Dataset("cells", tmp_path), ProofSettings("v0001", "v0002", **FAST))
    with pytest.raises(SettingsError, match="v0002 is a multi-label set, v0003 a detection set"):
        prove(tmp_path, Dataset("cells", tmp_path), ProofSettings("v0002", "v0003", **FAST))


def test_a_hold_out_whose_copies_would_be_trained_on_is_refused_or_they_are_dropped(tmp_path: Path) -> None:
    root, rng = tmp_path / "set", np.random.default_rng(1)
    for split, count in (("train", 60), ("test", 30)):
        for number in range(count):
            label = ("lying", "standing")[number % 2]
            folder = root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            draw(label, rng).save(folder / f"{number}.png")
    for name in ("0", "2"):
        (root / "train/lying" / f"copy{name}.png").write_bytes((root / f"test/lying/{name}.png").read_bytes())
    workspace = tmp_path / "workspace"
    score(root, ScoreSettings(mode="compact", epochs=1, size_px=16, folds=2, name=NAME), workspace)
    dataset = Dataset(NAME, manifest_folder(workspace, NAME))
    fast = {**FAST, "seeds": 1, "epochs": 1}
    with pytest.raises(SettingsError, match=r"overlaps the training data: 2 pictures.*copy0\.png.*--drop-overlap"):
        prove(workspace, dataset, ProofSettings("v0001", "v0001", **fast))
    proof = prove(workspace, dataset, ProofSettings("v0001", "v0001", drop_overlap=True, **fast))
    assert proof.contest.trained_on["before"] == 60
    assert "left out of the training" in proof.notes[0]


def test_a_placebo_changes_as_many_labels_but_none_that_was_changed() -> None:
    before = np.array([0] * 30 + [1] * 30)
    after = np.array([0] * 25 + [1] * 5 + [1] * 27 + [-1] * 3)
    arms = make_arms(before, after, None)
    assert arms.changes == {"relabelled": 5, "dropped": 3, "added": 0}
    other = arms.labels("placebo", 0)
    assert ((other != before) & (other >= 0)).sum() <= 5
    assert (other < 0).sum() == 3
    touched = before != after
    assert (other[touched] == before[touched]).all()
    assert not np.array_equal(other, arms.labels("placebo", 1))
    assert arms.names == ["before", "after", "placebo"]


def test_names_from_outside_are_text_on_the_page(scored: tuple[Path, Dataset]) -> None:
    proof = prove(*scored, ProofSettings("v0001", "v0002", **FAST))
    hostile = replace(proof, classes=["<script>alert(1)</script>", "standing"], notes=["<img onerror=x>"])
    page = render(hostile)
    assert "<script" not in page
    assert "<img" not in page


def test_the_command_says_what_was_compared_and_what_came_out(
    scored: tuple[Path, Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prove", "--before", "v1", "--after", "v0002", "--mode", "compact", "--epochs", "3", "--seeds", "1"]
    command += ["--workspace", str(scored[0]), "--device", "cpu"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "Asked about 60 pictures (split 'test'); 1 network for each line" in " ".join(said.split())
    assert all(arm in said for arm in ("v0001 without suspects", "v0001, placebo"))
    assert "proof.html" in said
    assert cli.main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["verdict"] in ("gain", "no proven gain")
    assert Path(facts["page"]).is_file()
