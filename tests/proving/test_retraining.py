"""A network that leaves the tool: what is written, what it says of new pictures, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.cli import cli
from curation.datasets import Dataset
from curation.errors import NotFoundError, SettingsError, WeightsError
from curation.manifest import manifest_folder
from curation.retraining import RetrainSettings, open_model, predict, retrain
from curation.score import ScoreSettings, score
from tests.proving.test_prove import NAME, draw

Kept = tuple[Path, Path, dict[str, object]]  # workspace, folder of the model, its facts
FAST = {"mode": "compact", "epochs": 8, "size_px": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A workspace with a clean set, and a network trained on it."""
    root, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    for split, count in (("train", 80), ("test", 30)):
        for number in range(count):
            label = ("lying", "standing")[number % 2]
            folder = root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            draw(label, rng).save(folder / f"{number}.png")
    workspace = tmp_path_factory.mktemp("workspace")
    score(root, ScoreSettings(mode="compact", epochs=1, size_px=16, folds=2, name=NAME), workspace)
    dataset = Dataset(NAME, manifest_folder(workspace, NAME))
    output = workspace / "model"
    return workspace, output, retrain(workspace, dataset, RetrainSettings("v0001", **FAST), output)


def test_the_folder_says_what_the_network_is_and_what_it_learnt(trained: Kept) -> None:
    _, output, facts = trained
    assert json.loads((output / "model.json").read_text()) == facts
    assert facts["classes"] == ["lying", "standing"]
    assert facts["version"] == "v0001"
    assert str(facts["version_hash"]).startswith("sha256:")
    assert facts["trained_on"] == 80
    metrics = facts["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["pictures"] == 30
    assert metrics["accuracy"] > 0.8
    card = (output / "README.md").read_text()
    assert "`v0001`" in card
    assert "| `lying` |" in card


def test_new_pictures_are_named_and_unreadable_ones_have_a_reason(trained: Kept, tmp_path: Path) -> None:
    workspace, output, _ = trained
    rng = np.random.default_rng(9)
    names = []
    for number in range(20):
        names.append(f"{number:02d}.png")
        draw(("lying", "standing")[number % 2], rng).save(tmp_path / names[-1])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = predict(open_model(output, "cpu"), tmp_path, [*names, "broken.png"], workspace)
    right = [label == ("lying", "standing")[place % 2] for place, label in enumerate(found["label"][:20])]
    assert sum(right) >= 17
    assert found["probability"][:20].between(0.5, 1).all()
    assert found["label"].iloc[20] == ""
    assert found["reason"].iloc[20] != ""
    assert (found["probability"] + found["probability_2"])[:20].to_numpy() == pytest.approx(np.ones(20), abs=1e-5)


def test_the_same_command_again_gives_the_same_network(trained: Kept) -> None:
    workspace, output, facts = trained
    before = (output / "weights.safetensors").read_bytes()
    dataset = Dataset(NAME, manifest_folder(workspace, NAME))
    assert retrain(workspace, dataset, RetrainSettings("v0001", **FAST), output) == facts
    assert (output / "weights.safetensors").read_bytes() == before


def test_nothing_is_written_over_what_is_no_model(trained: Kept, tmp_path: Path) -> None:
    workspace, _, _ = trained
    (tmp_path / "thesis.txt").write_text("three years of work")
    dataset = Dataset(NAME, manifest_folder(workspace, NAME))
    with pytest.raises(SettingsError, match="no model of curate"):
        retrain(workspace, dataset, RetrainSettings("v0001", **FAST), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_model_that_is_absent_damaged_or_of_another_kind_is_said(trained: Kept, tmp_path: Path) -> None:
    _, output, facts = trained
    with pytest.raises(NotFoundError, match="curate retrain"):
        open_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**facts, "format": "other"}))
    with pytest.raises(WeightsError, match="of format 'other'"):
        open_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(facts))
    (tmp_path / "weights.safetensors").write_bytes((output / "weights.safetensors").read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        open_model(tmp_path)
    (tmp_path / "model.json").write_text("[1]")
    with pytest.raises(WeightsError, match="damaged"):
        open_model(tmp_path)


def test_the_command_line_predicts_a_folder_and_a_file(trained: Kept, tmp_path: Path) -> None:
    workspace, output, _ = trained
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    draw("lying", np.random.default_rng(3)).save(pictures / "=evil.png")
    Image.new("RGB", (30, 30)).save(pictures / "black.png")
    common = ["--workspace", str(workspace), "--device", "cpu"]
    said = CliRunner().invoke(cli, ["predict", str(output), str(pictures), "--json", *common])
    assert [row["path"] for row in json.loads(said.stdout)] == ["=evil.png", "black.png"]
    table = tmp_path / "out.csv"
    said = CliRunner().invoke(
        cli, ["predict", str(output), str(pictures / "=evil.png"), "--output", str(table), *common]
    )
    assert said.exit_code == 0, said.output
    assert "'=evil.png" in table.read_text()
    said = CliRunner().invoke(cli, ["predict", str(output), str(tmp_path / "nowhere"), *common])
    assert said.exit_code != 0
