"""Pictures with several labels, or boxes, are audited as a whole: what was wrong in them, and how many are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from curation import cli, manifest, review, store
from curation.decisions import Action, Decision
from curation.estimate_pictures import MOST_COUNTED, ClassEvidence, PictureEvidence, estimate_pictures, most_counted
from curation.manifest.publish import publish
from curation.review import Context, verdict_action
from curation.review.annotations import Annotations
from curation.review.audit import draw, estimate_of, labels_of, mix_in, picture_evidence_of
from curation.review.audit_pictures import Found, annotations_of, judged_pictures, labelled_pictures
from curation.review.work_queue import refill
from curation.runs import Run, read_run
from curation.seen import ENOUGH, WAITS, facts_of, write_seen
from curation.store.audits import release_draws
from tests.app.annotated import DATASET, IDS, make_boxed_workspace, make_tagged_workspace
from tests.test_estimate import population, reviewed

DOUBLED, FINE, SWAPPED = (IDS[name] for name in ("doubled", "fine", "swapped"))


class Place:
    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.engine: Engine = store.open_store(workspace)
        self.run: Run = read_run(workspace)
        self.folder = manifest.manifest_folder(workspace, DATASET)
        refill(self.engine, self.run, self.folder)

    def press(self, item_id: str, name: str, by: str = "ann", **more: Any) -> None:
        queue = refill(self.engine, self.run, self.folder)
        (card,) = review.cards(self.run, [item_id], None, queue.changed, queue.annotations)
        store.record(self.engine, verdict_action(card, name, Context(DATASET, by), **more))

    def found(self, version: str = "v0001") -> dict[str, Found | None]:
        start = Annotations(manifest.read(self.folder, version))
        return judged_pictures(store.effective(self.engine, DATASET), start)


@pytest.fixture
def boxed(tmp_path: Path) -> Place:
    return Place(make_boxed_workspace(tmp_path / "workspace"))


def drop(place: int) -> list[dict[str, Any]]:
    return [{"change": "drop", "annotation_id": f"{DOUBLED}-{place}"}]


# --- what was wrong


def test_a_picture_is_wrong_where_anything_was_changed_and_right_where_it_was_kept(boxed: Place) -> None:
    boxed.press(DOUBLED, "edit", edits=[*drop(1), {"change": "relabel", "annotation_id": f"{DOUBLED}-2", "to": "plate"},
                                        {"change": "box", "annotation_id": f"{DOUBLED}-2", "to": [1, 2, 30, 40]},
                                        {"change": "add", "to": {"label": "plate", "box": [5, 5, 9, 9]}}])  # fmt: skip
    boxed.press(FINE, "keep")
    found = boxed.found()
    assert found[FINE] == Found()
    doubled = found[DOUBLED]
    assert doubled is not None
    assert (doubled.wrong, len(doubled.errors)) == (True, 3)  # one box moved and relabelled is one error
    assert doubled.classes == {"bottle", "cup", "plate"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("off-topic", Found(frozenset([f"{FINE}-0"]), frozenset(["plate"]), True)), ("broken", Found()), ("unsure", None)],
)
def test_what_is_said_of_the_whole_picture(boxed: Place, name: str, expected: Found | None) -> None:
    boxed.press(FINE, name)
    assert boxed.found() == {FINE: expected}


def test_what_two_reviewers_changed_counts_once_and_disagreement_settles_nothing(boxed: Place) -> None:
    store.set_policy(boxed.engine, DATASET, second_opinion=0.0)
    new = {"change": "add", "to": {"label": "plate", "box": [5, 5, 9, 9]}}
    boxed.press(DOUBLED, "edit", edits=[*drop(1), new])
    boxed.press(DOUBLED, "edit", by="bob", edits=[*drop(1), *drop(2), new])
    found = boxed.found()[DOUBLED]
    assert found is not None
    assert len(found.errors) == 3
    boxed.press(SWAPPED, "accept")
    boxed.press(SWAPPED, "keep", by="bob")
    assert boxed.found()[SWAPPED] is None


def test_a_correction_that_was_published_is_no_error_of_the_next_run(boxed: Place) -> None:
    boxed.press(DOUBLED, "edit", edits=drop(1))
    boxed.press(SWAPPED, "accept")
    publish(boxed.folder, boxed.engine, DATASET, "reviewed", "lead")
    assert {name: found and found.wrong for name, found in boxed.found("v0001").items()} == {
        DOUBLED: True, SWAPPED: True,
    }  # fmt: skip
    assert set(boxed.found("v0002").values()) == {Found()}
    boxed.press(DOUBLED, "keep")  # of the corrected picture: the old one is no better for it
    first, second = boxed.found("v0001")[DOUBLED], boxed.found("v0002")[DOUBLED]
    assert first is not None
    assert (first.wrong, second) == (True, Found())


@pytest.mark.parametrize(
    ("part", "places", "expected"),
    [(WAITS, (), "missing"), (WAITS, (1,), "missing"), (ENOUGH, (), None), (ENOUGH, (1,), 1), ("", (), 0)],
)
def test_who_looked_at_a_part_has_not_said_that_the_picture_is_right(
    boxed: Place, part: str, places: tuple[int, ...], expected: Any
) -> None:
    facts = {f"{DOUBLED}-1": facts_of("bottle", (22, 22, 50, 88))}
    if not part:
        facts = {a.annotation_id: facts_of(a.label, a.box) for a in Annotations(annotations_of(boxed.run)).of(DOUBLED)}
    lines = tuple({"change": "drop", "annotation_id": f"{DOUBLED}-{at}", "to": None,
                   "from": {"label": "bottle", "box": [22, 22, 50, 88]}} for at in places)  # fmt: skip
    verdict = "edit" if lines else "keep"
    made = Decision(DOUBLED, DOUBLED, verdict, edits=lines, seen=write_seen(DOUBLED, facts, part))
    draw(boxed.engine, boxed.run, 3, every=1, seed=1)
    mix_in(boxed.engine, DATASET)
    store.record(boxed.engine, Action("one", DATASET, "ann", (made,)))
    found = boxed.found().get(DOUBLED, "missing")
    assert (len(found.errors) if isinstance(found, Found) else found) == expected
    waiting = release_draws(boxed.engine, DATASET, 3)
    assert waiting is not None
    assert (DOUBLED in [name for _, name in waiting[1]]) == (part == WAITS)
    evidence = picture_evidence_of(boxed.engine, boxed.run).pictures
    assert evidence.answered.sum() == (part != WAITS)


# --- how suspicious


@pytest.mark.parametrize("make", [make_boxed_workspace, make_tagged_workspace])
def test_pictures_with_findings_are_drawn_more_often(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    labels = labels_of(Place(make(tmp_path / "workspace")).run).set_index("sample_id")["wrong_prob"]
    assert labels[DOUBLED] > 0.8 > 0.1 > labels[FINE]
    assert labels[SWAPPED] > 0.8


def test_a_split_without_any_label_is_not_counted_a_picture_without_one_is(boxed: Place) -> None:
    rows, samples = annotations_of(boxed.run), boxed.run.samples()
    empty = rows[rows["sample_id"] != FINE]
    assert len(labelled_pictures(samples, empty)) == 3
    other = samples.assign(split=np.where(samples["sample_id"] == FINE, "test", "train"))
    assert len(labelled_pictures(other, empty)) == 2
    assert len(labelled_pictures(other, rows)) == 3


# --- how many


def test_an_audit_of_all_pictures_ends_in_exact_numbers(boxed: Place) -> None:
    _, drawn = draw(boxed.engine, boxed.run, 3, every=1, seed=1)
    assert drawn == 3
    mix_in(boxed.engine, DATASET)
    boxed.press(DOUBLED, "accept")
    boxed.press(FINE, "keep")
    boxed.press(SWAPPED, "edit", edits=[{"change": "relabel", "annotation_id": f"{SWAPPED}-0", "to": "cup"},
                                        {"change": "add", "to": {"label": "plate", "box": [5, 5, 9, 9]}}])  # fmt: skip
    found = estimate_of(boxed.engine, boxed.run)
    assert (found.labels, found.audited, found.fixed, found.unit.one) == (3, 3, 2, "picture")
    assert found.start.low == found.start.high == 2
    assert found.annotations is not None
    assert (found.annotations.start.low, found.annotations.start.high, found.annotations.fixed) == (3, 3, 3)
    assert found.advice == "stop"


def test_the_commands_speak_of_pictures(boxed: Place, capsys: Any) -> None:
    def run(*arguments: str) -> str:
        assert cli.main([*arguments, "--workspace", str(boxed.workspace)]) == 0
        return str(capsys.readouterr().out)

    assert "2 pictures are drawn at random" in run("audit", "--count", "2", "--every", "1")
    boxed.press(DOUBLED, "accept")
    told = run("estimate")
    assert "Pictures with an error" in told
    assert "3 pictures, 1 reviewed" in told
    found = json.loads(run("estimate", "--json"))
    assert (found["unit"], found["pictures"], found["fixed"], found["annotations"]["fixed"]) == ("picture", 3, 1, 1)


def evidence(seed: int, draws: int) -> tuple[PictureEvidence, np.ndarray]:
    """Pictures of which the wrong ones have one to six errors, of a model that sees some of it."""
    prob, wrong = population(seed)
    errors = wrong * np.random.default_rng(seed).integers(1, 7, len(wrong))
    pictures = reviewed(prob, wrong, seed, draws)
    found = np.where(pictures.answered, errors, 0.0)
    return PictureEvidence(pictures, prob * 2, found, MOST_COUNTED), errors


def test_intervals_of_errors_contain_the_truth_in_95_percent() -> None:
    audits, missed = 120, 0
    for seed in range(audits):
        known, errors = evidence(seed, 60)
        found = estimate_pictures(known).annotations
        assert found is not None
        missed += not found.start.low <= np.minimum(errors, MOST_COUNTED).sum() <= found.start.high
    assert missed <= 0.07 * audits


def test_intervals_of_a_class_contain_the_truth_in_95_percent() -> None:
    audits, missed, listed = 100, 0, 0
    for seed in range(audits):
        known, errors = evidence(seed, 100)
        there = np.arange(len(errors)) % 3 < 2
        mine = (errors > 0) & there
        prob = np.where(there, known.pictures.wrong_prob, 0.01)
        one = ClassEvidence("cat", prob, mine & known.pictures.answered, there)
        for line in estimate_pictures(replace(known, classes=(one,))).classes:
            listed += 1
            missed += not line.start.low <= mine.sum() <= line.start.high
            assert (line.name, line.labels, line.fixed) == ("cat", there.sum(), (mine & known.pictures.answered).sum())
    assert listed > audits / 2
    assert missed <= 0.07 * listed


def test_the_number_of_errors_is_told_better_the_more_are_reviewed() -> None:
    widths = []
    for draws in (30, 120, 240):
        found = estimate_pictures(evidence(1, draws)[0]).annotations
        assert found is not None
        widths.append(found.start.half_width)
    assert widths[0] > widths[1] > widths[2] == 0


def test_the_bound_is_that_of_the_pictures_within_reason(boxed: Place) -> None:
    counts = annotations_of(boxed.run)["sample_id"].value_counts()
    assert most_counted(counts) == 3
    assert most_counted(counts * 10) == MOST_COUNTED
    assert most_counted(counts[:0]) == 2


def test_classes_with_enough_data_are_listed(boxed: Place) -> None:
    assert picture_evidence_of(boxed.engine, boxed.run).classes == ()  # three pictures are never enough
