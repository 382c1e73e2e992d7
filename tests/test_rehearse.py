"""A rehearsal: what is planted, what is believed, what is expected, and what is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curation import cli
from curation.datasets import Dataset
from curation.decisions import Action, Decision
from curation.errors import CurationError, NotFoundError, SettingsError, WeightsError
from curation.manifest import NewVersion, manifest_folder, read, write_version
from curation.manifest.changes import diff
from curation.rehearsing import Rehearsal, RehearsalSettings, _copy, rehearse
from curation.rehearsing.belief import believe, dataset_of
from curation.rehearsing.outcome import outcome_of, settings_of
from curation.rehearsing.planting import Belief, at_rate, draw_confusions, draw_truth, plant
from curation.rehearsing.recall import SHARES, Trial, average_precision, expect, ranking
from curation.report.rehearsal import render
from curation.score import ScoreSettings, score
from curation.store import open_store, record
from curation.training.folds import CrossValidation

NAME = "shapes"
CLASSES = ("cross", "lying", "standing")
FAST = RehearsalSettings(seeds=2, rate=0.1, epochs=6, device="cpu")


# --- a data set ------------------------------------------------------------------------------------------------------


def draw(label: str, rng: np.random.Generator) -> Image.Image:
    """A noisy picture whose class is easy to see: a bright bar, lying, standing, or one of each."""
    pixels, at = rng.integers(0, 90, (24, 24, 3)), rng.integers(4, 17, 2)
    if label != "standing":
        pixels[at[0] : at[0] + 4] += 150
    if label != "lying":
        pixels[:, at[1] : at[1] + 4] += 150
    return Image.fromarray(np.minimum(pixels, 255).astype(np.uint8))


def make_source(root: Path, count: int = 150, classes: tuple[str, ...] = CLASSES) -> Path:
    """One folder per class, a twelfth of the labels wrong; the last picture has a copy."""
    rng = np.random.default_rng(0)
    for number in range(count):
        truth = classes[number % len(classes)]
        given = classes[(number + 1) % len(classes)] if number % 12 == 5 else truth
        folder = root / given
        folder.mkdir(parents=True, exist_ok=True)
        draw(truth, rng).save(folder / f"{number:03d}.png")
    shutil.copy(folder / f"{count - 1:03d}.png", folder / "copy.png")
    return root


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset, Path]:
    source, workspace = make_source(tmp_path_factory.mktemp("rehearsal") / NAME), tmp_path_factory.mktemp("workspace")
    score(source, ScoreSettings(mode="compact", epochs=6, size_px=16, folds=2), workspace)
    return workspace, Dataset(NAME, manifest_folder(workspace, NAME)), source


@pytest.fixture
def own(scored: tuple[Path, Dataset, Path], tmp_path: Path) -> tuple[Path, Dataset]:
    """A copy of the workspace that a test may change."""
    shutil.copytree(scored[0], tmp_path / "own")
    return tmp_path / "own", Dataset(NAME, manifest_folder(tmp_path / "own", NAME))


# --- planting --------------------------------------------------------------------------------------------------------


def belief_of(given: Any, wrong_prob: Any, probs: Any, known: Any = None, cluster: Any = None) -> Belief:
    count = len(given)
    return Belief(
        np.asarray(given), np.asarray(wrong_prob, dtype=np.float64),
        np.full(count, -1) if known is None else np.asarray(known), np.asarray(probs, dtype=np.float32),
        np.arange(count), np.arange(count) if cluster is None else np.asarray(cluster),
    )  # fmt: skip


def even(count: int, classes: int) -> np.ndarray:
    return np.full((count, classes), 1 / classes)


def test_doubts_are_shifted_to_the_rate_and_what_is_settled_stays() -> None:
    prob, settled = np.random.default_rng(0).random(1000), np.arange(1000) < 100
    prob[settled] = np.arange(100) < 50
    shifted = at_rate(prob, 0.2, settled)
    assert shifted.mean() == pytest.approx(0.2, abs=1e-6)
    assert (shifted[settled] == prob[settled]).all()
    assert (np.argsort(shifted[100:]) == np.argsort(prob[100:])).all()
    assert at_rate(prob, 0.01, settled)[100:].max() < 0.1
    surer = at_rate(prob, 0.2, settled, 3.0)
    assert surer.mean() == pytest.approx(0.2, abs=1e-6)
    assert surer[100:].std() > 1.2 * shifted[100:].std()


def test_a_label_stays_as_often_as_it_is_believed_and_else_becomes_what_the_model_sees() -> None:
    probs = np.tile([0.5, 0.4, 0.1], (3000, 1))
    belief = belief_of(np.zeros(3000, int), np.full(3000, 0.3), probs)
    truth = draw_truth(belief, np.random.default_rng(0))
    assert np.bincount(truth, minlength=3) / 3000 == pytest.approx([0.7, 0.24, 0.06], abs=0.03)
    surer = draw_truth(belief, np.random.default_rng(0), 2.0)  # (.4 / .1) ** 2 = 16
    assert np.bincount(surer, minlength=3) / 3000 == pytest.approx([0.7, 0.3 * 16 / 17, 0.3 / 17], abs=0.03)


def test_what_reviewers_said_is_the_truth_and_copies_have_one() -> None:
    belief = belief_of([0, 0, 1, 1, 0], [0.9, 1.0, 0.0, 0.2, 0.9], even(5, 4), [-1, 3, 1, -1, -1], [0, 1, 2, 3, 3])
    for seed in range(20):
        truth = draw_truth(belief, np.random.default_rng(seed))
        assert truth[1:3].tolist() == [3, 1]
        assert truth[3] == truth[4]


def test_classes_are_confused_as_they_are_believed_to_be() -> None:
    given = np.repeat([0, 1, 2], 400)
    truth = given.copy()
    truth[:60], truth[400:420] = 1, 2  # 60 times 1 was called 0, 20 times 2 was called 1
    probs = np.eye(3)[truth] * 0.98 + 0.01
    drawn = draw_confusions(belief_of(given, even(1200, 1)[:, 0], probs), truth, 4000, np.random.default_rng(0))
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    often = {tuple(pair): count / 4000 for pair, count in zip(pairs.tolist(), counts, strict=True)}
    assert often[1, 0] == pytest.approx(0.67 + 0.018, abs=0.03)
    assert often[2, 1] == pytest.approx(0.22 + 0.018, abs=0.03)
    assert 0 < often[0, 1] < 0.05  # never seen, but it can happen
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_planted_errors_are_the_confusions_asked_for_and_rather_where_the_picture_looks_so() -> None:
    probs = np.tile([0.99, 0.01, 0.0], (600, 1))
    probs[:100] = [0.5, 0.5, 0.0]
    belief = belief_of(np.zeros(600, int), np.zeros(600), probs)
    truth = np.r_[np.zeros(400, int), np.full(200, 2)]
    given = plant(belief, truth, np.array([[0, 1]] * 60 + [[2, 0]] * 20), np.random.default_rng(0))
    assert np.bincount(given[truth == 0], minlength=3).tolist() == [340, 60, 0]
    assert np.bincount(given[truth == 2], minlength=3).tolist() == [20, 0, 180]
    doubtful = (given[:100] == 1).sum()
    assert 25 < doubtful < 55  # by lot alone 15, by doubt alone 57


def test_copies_are_wrong_together_and_no_class_vanishes() -> None:
    cluster = np.repeat(np.arange(10), 3)
    belief = belief_of(np.zeros(30, int), np.zeros(30), even(30, 2), cluster=cluster)
    given = plant(belief, np.zeros(30, int), np.array([[0, 1]] * 100), np.random.default_rng(0))
    assert (given.reshape(10, 3).min(axis=1) == given.reshape(10, 3).max(axis=1)).all()
    assert (given == 1).sum() == 27


# --- what to expect --------------------------------------------------------------------------------------------------


def test_a_perfect_ranking_finds_all_a_blind_one_as_many_as_are_looked_at() -> None:
    wrong = np.arange(1000) < 50
    recall, precision = ranking(Trial(np.where(wrong, 0.0, 1.0), wrong), SHARES)
    assert recall == pytest.approx([0.2, 0.4, 1.0, 1.0])
    assert precision == pytest.approx([1.0, 1.0, 1.0, 0.5])
    blind = Trial(np.random.default_rng(0).random(100_000), np.arange(100_000) < 5000)
    assert ranking(blind, SHARES)[0] == pytest.approx(SHARES, abs=0.01)
    assert average_precision(blind) == pytest.approx(0.05, abs=0.01)


def test_too_many_planted_errors_are_weighed_down_to_what_fewer_would_have_shown() -> None:
    rng = np.random.default_rng(0)
    wrong = np.arange(20_000) < 2_000
    values = np.where(wrong, rng.normal(-1.5, 1, 20_000), rng.normal(0, 1, 20_000))
    fewer = np.r_[np.arange(500), np.arange(2_000, 20_000)]
    heavy, light = Trial(values, wrong), Trial(values[fewer], wrong[fewer])
    for one, other in zip(ranking(heavy, SHARES, 0.25), ranking(light, SHARES), strict=True):
        assert one == pytest.approx(other, abs=0.03)
    assert average_precision(heavy, 0.25) == pytest.approx(average_precision(light), abs=0.03)


@pytest.mark.parametrize(("errors", "apart"), [(20, 1.5), (200, 1.5), (200, 4.0)])
def test_intervals_hold_another_set_of_the_same_kind_as_often_as_they_say(errors: int, apart: float) -> None:
    rng = np.random.default_rng(errors)

    def trial() -> Trial:
        wrong = np.arange(4000) < errors
        return Trial(rng.normal(0, 1, 4000) - apart * wrong, wrong)

    held = []
    for _ in range(60):
        told = expect([trial() for _ in range(3)], errors)
        real = ranking(trial(), SHARES)[0]
        held += [point.low - 1e-9 <= found <= point.high + 1e-9 for point, found in zip(told, real, strict=True)]
    assert np.mean(held) > 0.91
    if apart == 4:  # the first 2 % are nothing but errors: what is found there is what is looked at
        assert told[1].high - told[1].low < 0.03


def test_fewer_errors_make_the_interval_wider() -> None:
    rng = np.random.default_rng(0)
    trials = [Trial(rng.normal(0, 1, 3000) - 2 * (np.arange(3000) < 150), np.arange(3000) < 150) for _ in range(3)]
    many, few = expect(trials, 150)[3], expect(trials, 8)[3]
    assert few.high - few.low > 2 * (many.high - many.low)
    assert many.low < many.recall < many.high


# --- what is believed ------------------------------------------------------------------------------------------------


def test_what_was_published_or_decided_since_the_run_is_believed(own: tuple[Path, Dataset]) -> None:
    workspace, dataset = own
    rows = read(dataset.folder, "v0001")
    fixed, gone, said, off = rows["sample_id"].iloc[:4]
    label = dict(zip(rows["sample_id"], rows["label"], strict=True))
    other = next(name for name in CLASSES if name != label[fixed])
    after = rows.copy()
    after.loc[after["sample_id"] == fixed, "label"] = other
    after.loc[after["sample_id"] == gone, "status"] = "excluded"
    write_version(after, NewVersion("v0001", "publish", "me", "", diff(rows, after), dataset=NAME), dataset.folder)
    engine = open_store(workspace)
    for sample_id, verdict, labels, reason in ((said, "relabel", ("new",), ""), (off, "exclude", (), "off-topic")):
        made = Decision(sample_id, sample_id, verdict, labels, reason, given_label=label[sample_id])
        record(engine, Action(f"of {sample_id}", NAME, "ann", (made,)))
    basis = believe(workspace, dataset, engine)
    right = dict(zip(basis.samples["sample_id"], basis.samples["right"], strict=True))
    assert (right[fixed], right[said]) == (other, "new")
    assert gone not in right
    assert off not in right
    assert (basis.classes, basis.reviewed) == ([*CLASSES, "new"], 2)
    assert basis.left_out == {"excluded or gone since the run": 1, "of no class, reviewers say": 1}
    assert basis.rate_from == "as run and verdicts say"
    plain = believe(workspace, dataset, None)
    assert plain.rate_from == "as the run estimates"
    assert plain.belief.wrong_prob.mean() == pytest.approx(plain.rate, abs=1e-3)


# --- rehearsing ------------------------------------------------------------------------------------------------------


def state(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_planted_errors_that_are_easy_to_see_are_found_and_nothing_of_the_user_is_touched(
    scored: tuple[Path, Dataset, Path],
) -> None:
    workspace, dataset, source = scored
    before = (state(source), state(dataset.folder), state(workspace / ".curate" / "runs"))
    found = rehearse(workspace, dataset, replace(FAST, epochs=12))
    assert (state(source), state(dataset.folder), state(workspace / ".curate" / "runs")) == before
    (outcome,) = found.outcomes
    assert (outcome.name, outcome.plan.size_px) == ("compact", 16)
    assert [point.share for point in outcome.points] == list(SHARES)
    last = outcome.points[-1]
    assert last.recall > 0.4
    assert last.low < last.recall <= last.high
    assert last.precision > 0.4
    assert (found.labels, found.weight) == (151, pytest.approx(1, abs=0.1))
    assert json.loads((found.folder / "rehearsal.json").read_text()) == found.facts()
    assert not list(found.folder.glob("*.unfinished"))


def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Mode and seed of every cross-validation from now on."""
    import curation.training.crossval as crossval

    seen: list[tuple[str, int]] = []
    real = crossval.out_of_fold

    def out_of_fold(cv: CrossValidation) -> Any:
        seen.append((cv.plan.mode, cv.seed))
        return real(cv)

    monkeypatch.setattr(crossval, "out_of_fold", out_of_fold)
    return seen


def test_asked_again_nothing_is_trained_and_more_seeds_add_to_what_is_there(
    scored: tuple[Path, Dataset, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, dataset, _ = scored
    first = rehearse(workspace, dataset, FAST)
    seen = trained(monkeypatch)
    again = rehearse(workspace, dataset, FAST)
    assert again.facts() == first.facts()
    assert seen == []
    rehearse(workspace, dataset, replace(FAST, seeds=3))
    assert seen == [("compact", 2)]
    rehearse(workspace, dataset, replace(FAST, rate=0.2, seeds=1))
    assert seen == [("compact", 2), ("compact", 0)]


def test_the_copies_of_a_picture_are_wrong_together(scored: tuple[Path, Dataset, Path]) -> None:
    basis = believe(*scored[:2], None, 0.5)
    twins = basis.samples.index[basis.samples["cluster"].duplicated(keep=False)].to_numpy()
    assert len(twins) == 2
    copies = [_copy(basis, 70, seed) for seed in range(12)]
    assert all(given[twins[0]] == given[twins[1]] for given, _ in copies)
    assert any(wrong[twins].all() for _, wrong in copies)
    assert np.mean([wrong.sum() for _, wrong in copies]) == pytest.approx(70, abs=6)


def test_few_believed_errors_are_planted_in_greater_number_and_weighed_down(
    scored: tuple[Path, Dataset, Path],
) -> None:
    found = rehearse(*scored[:2], replace(FAST, rate=0.01, seeds=1))
    assert found.planted > 3
    assert found.weight == pytest.approx(1.51 / found.planted)
    assert any("as if there were that many" in note for note in found.notes)
    assert "1 repetition shows too little" in found.notes[0]


def test_a_recipe_takes_from_the_run_what_it_does_not_say() -> None:
    run = {"plan": {"mode": "probe", "model": "resnet18", "weights": "w", "epochs": 7, "size_px": 96, "flip": False}}
    asked = RehearsalSettings()
    same = settings_of("", run, asked)
    assert (same.mode, same.model, same.weights, same.epochs, same.size_px) == ("probe", "resnet18", "w", 7, 96)
    assert settings_of("probe", run, asked) == settings_of("probe:resnet18", run, asked) == same
    other = settings_of("probe:vgg11:C:/w.safetensors", run, replace(asked, epochs=2))
    assert (other.model, other.weights, other.epochs, other.size_px) == ("vgg11", "C:/w.safetensors", 2, None)
    assert (settings_of("compact", run, asked).flip, settings_of("", run, replace(asked, flip=True)).flip) == (0, 1)
    with pytest.raises(SettingsError, match="empty"):
        settings_of("probe::w", run, asked)


def test_a_note_says_so_when_the_copies_are_not_like_the_data(scored: tuple[Path, Dataset, Path]) -> None:
    found = rehearse(*scored[:2], replace(FAST, rate=0.4, seeds=1))
    assert any("Trust this less" in note for note in found.notes)


def test_what_the_run_estimates_is_corrected_by_what_it_says_of_copies_whose_errors_are_counted(
    own: tuple[Path, Dataset],
) -> None:
    shutil.rmtree(own[0] / ".curate" / "rehearsals", ignore_errors=True)
    believed = believe(*own, None)
    found = rehearse(*own, replace(FAST, rate=None, seeds=1))
    (scores,) = map(np.load, found.folder.glob("*.npy"))
    assert found.rate == pytest.approx(believed.rate * np.clip(found.planted / (1 - scores).sum(), 0.5, 2))
    assert found.weight == pytest.approx(found.rate * found.labels / found.planted)
    assert "less its usual error in copies" in found.rate_from
    assert any("curate audit" in note for note in found.notes)
    assert found.rate_range[0] <= found.rate <= found.rate_range[1]
    known = rehearse(*own, replace(FAST, rate=found.rate, seeds=1))
    assert known.rate_range == (found.rate, found.rate)


def test_the_interval_holds_for_all_numbers_of_errors_that_there_may_be(scored: tuple[Path, Dataset, Path]) -> None:
    plan, rng = rehearse(*scored[:2], FAST).outcomes[0].plan, np.random.default_rng(0)
    wrong = np.arange(3000) < 300
    trials = [Trial(rng.normal(0, 1, 3000) - 2 * wrong, wrong) for _ in range(3)]
    known, wide = (outcome_of(plan, trials, 300, 1.0, span, 0.0).points[3] for span in ((1.0, 1.0), (0.5, 2.0)))
    assert wide.recall == known.recall
    for factor in (0.5, 2.0):
        point = outcome_of(plan, trials, 300 * factor, factor, (1.0, 1.0), 0.0).points[3]
        assert wide.low <= point.low <= point.recall <= point.high <= wide.high
    assert wide.high - wide.low > 2 * (known.high - known.low)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"rate": 0.0}, SettingsError, "--rate 0: the share"),
        ({"rate": 0.7}, SettingsError, "at most 0.5"),
        ({"seeds": 0}, SettingsError, "--seeds 0"),
        ({"recipes": ("large",)}, SettingsError, "--mode large does not exist"),
        ({"recipes": ("compact:resnet18",)}, SettingsError, "do not go with it"),
        ({"recipes": ("probe:mobilenet_v2:gone.safetensors",)}, WeightsError, "gone.safetensors"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    scored: tuple[Path, Dataset, Path], change: dict[str, Any], error: type[CurationError], said: str
) -> None:
    with pytest.raises(error, match=said):
        rehearse(*scored[:2], replace(FAST, **change))


@pytest.mark.parametrize(
    ("count", "classes", "said"),
    [(20, CLASSES, "21 judged labels; a rehearsal needs at least 40"), (50, ("cross",), "there is one class only")],
)
def test_too_little_to_rehearse_with_is_a_sentence(
    tmp_path: Path, count: int, classes: tuple[str, ...], said: str
) -> None:
    workspace = tmp_path / "workspace"
    source = make_source(tmp_path / NAME, count, classes)
    score(source, ScoreSettings(mode="compact", epochs=1, size_px=16, folds=2), workspace)
    with pytest.raises(SettingsError, match=said):
        rehearse(workspace, dataset_of(workspace), FAST)


def test_a_data_set_that_was_not_scored_is_not_found(
    scored: tuple[Path, Dataset, Path], own: tuple[Path, Dataset]
) -> None:
    with pytest.raises(NotFoundError, match=r"Nothing called 'digits' was scored.*curate score SOURCE.*'shapes'"):
        dataset_of(scored[0], "digits")
    shutil.rmtree(own[0] / ".curate" / "runs")
    with pytest.raises(NotFoundError, match=r"No run in .* has scored shapes"):
        rehearse(own[0], own[1], FAST)


def test_a_data_set_is_found_by_its_name_and_by_its_source(scored: tuple[Path, Dataset, Path]) -> None:
    assert dataset_of(scored[0], NAME) == dataset_of(scored[0], str(scored[2])) == dataset_of(scored[0]) == scored[1]


# --- what is told ----------------------------------------------------------------------------------------------------


def test_names_from_outside_are_text_on_the_page(scored: tuple[Path, Dataset, Path]) -> None:
    found: Rehearsal = rehearse(*scored[:2], FAST)
    outcome = replace(found.outcomes[0], name="<script>alert(1)</script>")
    page = render(replace(found, dataset="<img src=x>", outcomes=[outcome], notes=["<b>"]))
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page


def test_the_command_tells_what_to_expect(
    scored: tuple[Path, Dataset, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rehearse", str(scored[2]), "--rate", "0.1", "--seeds", "2", "--epochs", "6", "--device", "cpu"]
    command += ["--mode", "compact", "--workspace", str(scored[0])]
    assert cli.main(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "errors planted in 151 labels, 2 times; 10.0% are believed to be wrong, as you said." in said
    assert "Reviewing the first 10% of the queue should find about" in said
    assert "rehearsal.html" in said
    assert cli.main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (recipe,) = facts["recipes"]
    assert [point["by_lot"] for point in recipe["expected"]] == list(SHARES)
    assert Path(facts["page"]).read_text().count("<polyline") == 2


def test_two_recipes_are_compared(scored: tuple[Path, Dataset, Path], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["rehearse", "--mode", "compact,finetune:mobilenet_v3_small:none", "--rate", ".1", "--seeds", "1"]
    command += ["--epochs", "1", "--device", "cpu", "--workspace", str(scored[0])]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "finetune" in said
    assert "the difference may be chance" in " ".join(said.split())


def test_the_command_explains_what_is_not_there(
    scored: tuple[Path, Dataset, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rehearse", "digits", "--workspace", str(scored[0])]) == cli.USER_MISTAKE
    assert "Nothing called 'digits' was scored" in capsys.readouterr().err
