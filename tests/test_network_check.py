"""A network that cannot do what was asked is refused before a picture is decoded, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from curation import runs, score
from curation.errors import SettingsError, WeightsError
from curation.score import ScoreSettings
from curation.training.model import check_network, load_backbone
from curation.training.plan import Plan
from tests.importers.pictures import make_pictures

PLAN = Plan("finetune", "resnet18", "none", "", "cpu", 32, 1, 8, True)
SMALL = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(load_backbone(SMALL, "none").state_dict(), file)
    return str(file)


@pytest.mark.parametrize(
    ("model", "size_px", "words"),
    [
        ("resnet81", 32, "Did you mean resnet18"),
        ("squeezenet1_0", 224, "no linear layer"),
        ("vit_b_16", 32, "Choose another --model, or another --size"),
        ("alexnet", 32, "cannot be used with --mode finetune and pictures of 32 px"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused(model: str, size_px: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_network(replace(PLAN, model=model, size_px=size_px))


@pytest.mark.parametrize(("model", "size_px"), [("resnet18", 32), ("vit_b_32", 224), ("regnet_x_400mf", 64)])
def test_a_network_that_can_be_used_passes(model: str, size_px: int) -> None:
    check_network(replace(PLAN, model=model, size_px=size_px))


def test_weights_of_another_network_are_refused_by_their_header(weights: str) -> None:
    check_network(replace(PLAN, mode="probe", model=SMALL, weights=weights, size_px=64))
    with pytest.raises(WeightsError, match="does not hold the weights of resnet18"):
        check_network(replace(PLAN, mode="probe", weights=weights, size_px=64))


@pytest.mark.parametrize(
    "settings",
    [
        ScoreSettings(mode="finetune", model="resnet81", weights="none", device="cpu"),
        ScoreSettings(mode="probe", model="resnet18", weights="WEIGHTS", device="cpu"),
        ScoreSettings(mode="finetune", model="vit_b_16", weights="none", device="cpu", size_px=32),
    ],
)
def test_a_refused_network_leaves_no_cache_no_manifest_and_no_run(
    tmp_path: Path, weights: str, settings: ScoreSettings
) -> None:
    make_pictures(tmp_path / "set", *(f"{label}/{n}.png" for label in ("a", "b") for n in range(6)))
    settings = replace(settings, weights=str(settings.weights).replace("WEIGHTS", weights))
    with pytest.raises((SettingsError, WeightsError)):
        score.score(tmp_path / "set", settings, tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


def test_a_plan_that_a_run_was_made_with_is_recognised(tmp_path: Path) -> None:
    with runs.open_partial(tmp_path, "a-1") as partial:
        runs.finish(partial, {"plan": {**PLAN.as_settings(), "why": ["no GPU"]}})
    (runs.runs_folder(tmp_path) / "b-2").mkdir()
    (runs.runs_folder(tmp_path) / "b-2" / "run.json").write_text("damaged")
    assert runs.was_made_with(tmp_path, PLAN.as_settings())
    assert not runs.was_made_with(tmp_path, replace(PLAN, size_px=64).as_settings())
    assert not runs.was_made_with(tmp_path / "empty", PLAN.as_settings())
