"""Pictures with several labels, or boxes: items, cards, what one key accepts, and what is recorded of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from curation import manifest, review, store
from curation.decisions import check_action
from curation.edits import new_annotation_id
from curation.errors import LabelParseError, SettingsError
from curation.manifest.changes import samples_of
from curation.manifest.publish import propose, publish
from curation.review import Card, Context, verdict_action
from curation.review.annotations import Annotation, seen_of
from curation.review.consensus import answers
from curation.review.decision_files import read_edit_lines, table_action
from curation.review.learning import features, off_because, reorder
from curation.review.proposals import propose as propose_lines
from curation.review.sheet import lay_sheet
from curation.review.work_queue import WorkQueue, open_subject, refill
from curation.runs import Run, read_run
from curation.seen import read_seen, seen_facts
from curation.store import Filters, find_items
from tests.app.annotated import DATASET, IDS, finding, make_boxed_workspace, make_tagged_workspace

ME = Context(DATASET, "ann")
DOUBLED, FINE, SWAPPED = (IDS[name] for name in ("doubled", "fine", "swapped"))


class Place:
    def __init__(self, workspace: Path) -> None:
        self.engine: Engine = store.open_store(workspace)
        self.run: Run = read_run(workspace)
        self.folder = manifest.manifest_folder(workspace, DATASET)
        self.queue: WorkQueue = refill(self.engine, self.run, self.folder)

    def card(self, item_id: str) -> Card:
        self.queue = refill(self.engine, self.run, self.folder)
        return review.cards(self.run, [item_id], None, self.queue.changed, self.queue.annotations)[0]

    def press(self, item_id: str, name: str, by: str = "ann", **more: Any) -> str:
        action = verdict_action(self.card(item_id), name, Context(DATASET, by), **more)
        return store.record(self.engine, action).states[item_id]

    def publish(self) -> dict[str, list[tuple[Any, ...]]]:
        publish(self.folder, self.engine, DATASET, "reviewed", "lead")
        version = manifest.version_files.head(self.folder)
        rows = manifest.read(self.folder, str(version))
        known = review.Annotations(rows)
        return {name: [(a.label, a.box) for a in known.of(key)] for name, key in IDS.items()}


@pytest.fixture
def boxed(tmp_path: Path) -> Place:
    return Place(make_boxed_workspace(tmp_path / "workspace"))


@pytest.fixture
def tagged(tmp_path: Path) -> Place:
    return Place(make_tagged_workspace(tmp_path / "workspace"))


# --- items


def test_an_item_is_the_picture_with_all_its_labels_and_what_is_to_be_seen_of_it(boxed: Place) -> None:
    items = boxed.queue.items
    assert items["item_id"].tolist() == [DOUBLED, SWAPPED, FINE]
    assert items["given_label"].tolist() == ["bottle, cup", "bottle", "plate"]
    assert items["suggestion"].tolist() == ["remove", "cup", ""]
    assert boxed.queue.rows is not None
    for name, text in zip(items["item_id"], items["seen"], strict=True):
        there = samples_of(boxed.queue.rows, [name])[name].annotations
        assert read_seen(name, text) == seen_facts(there)
        assert text == seen_of(name, boxed.queue.annotations.of(name))


@pytest.mark.parametrize(
    ("name", "found"), [("bottle", ["doubled", "swapped"]), ("cup", ["swapped"]), ("plate", []), ("remove", [])]
)
def test_one_class_at_a_time(boxed: Place, name: str, found: list[str]) -> None:
    items = find_items(boxed.engine, DATASET, Filters(class_name=name))
    assert [item.item_id for item in items] == [IDS[one] for one in found]


def test_classes_of_what_is_missing_and_of_what_is_too_much(tagged: Place) -> None:
    items = find_items(tagged.engine, DATASET, Filters(class_name="plate"))
    assert [item.item_id for item in items] == [DOUBLED, SWAPPED]
    assert find_items(tagged.engine, DATASET, Filters(class_name="plate", issue="wrong_label"))[0].item_id == SWAPPED


# --- cards and keys


def test_a_card_has_every_annotation_and_what_each_finding_proposes(boxed: Place) -> None:
    card = boxed.card(DOUBLED)
    assert [(a.label, a.box) for a in card.annotations][:2] == [
        ("bottle", (20, 20, 50, 90)),
        ("bottle", (22, 22, 50, 88)),
    ]
    (found,) = card.findings
    assert (found.annotation_id, found.box, found.does) == (f"{DOUBLED}-1", (22, 22, 50, 88), "remove “bottle”")
    assert [line["change"] for line in found.proposal] == ["drop"]
    assert (card.suggestions, card.p_given, card.task) == ((), None, "detection")


def test_a_doubted_box_has_its_nearest_ones_in_other_pictures_as_they_are_labelled_now(boxed: Place) -> None:
    (found,) = boxed.card(SWAPPED).findings
    near = [(one.sample_id, one.label, one.box) for one in found.near]
    assert near == [(DOUBLED, "bottle", (20, 20, 50, 90)), (DOUBLED, "bottle", (22, 22, 50, 88))]
    boxed.press(DOUBLED, "edit", edits=[{"change": "relabel", "annotation_id": f"{DOUBLED}-0", "to": "plate"}])
    boxed.publish()
    assert [one.label for one in boxed.card(SWAPPED).findings[0].near] == ["plate", "bottle"]
    sheet = lay_sheet(boxed.card(SWAPPED), True, lambda name, box: f"{name} {box}")
    assert [one["shown"] for one in sheet["findings"][0]["near"]] == ["plate", "bottle"]


def test_findings_about_one_box_are_one_question(tmp_path: Path) -> None:
    second = finding("swapped", 0, "box_outlier", "bottle", "", {"measured": "size", "value": 0.2, "usual": 0.1})
    place = Place(make_boxed_workspace(tmp_path / "workspace", more=[second]))
    (asked,) = lay_sheet(place.card(SWAPPED), True)["findings"]
    assert len(asked["why"]) == 2
    assert [line["to"] for line in asked["lines"]] == ["cup"]


def test_one_key_accepts_a_proposal_and_publishing_makes_it_so(boxed: Place) -> None:
    assert boxed.press(DOUBLED, "accept") == "done"
    assert boxed.press(SWAPPED, "accept_all") == "done"
    assert boxed.press(FINE, "keep") == "done"
    assert boxed.publish() == {
        "doubled": [("bottle", (20, 20, 50, 90)), ("cup", (120, 60, 40, 40))],
        "fine": [("plate", (30, 40, 80, 60))],
        "swapped": [("cup", (60, 30, 70, 70))],
    }
    assert boxed.card(DOUBLED).findings == ()  # about a box that is gone


def test_labels_that_are_missing_or_too_much(tagged: Place) -> None:
    tagged.press(DOUBLED, "accept", action_id="a" * 32)
    tagged.press(SWAPPED, "accept")
    found = tagged.publish()
    assert found["doubled"] == [("bottle", None), ("cup", None), ("plate", None)]
    assert found["swapped"] == [("bottle", None)]
    (new,) = [a.annotation_id for a in tagged.card(DOUBLED).annotations if a.label == "plate"]
    assert new == new_annotation_id(DOUBLED, "a" * 32, 0)


def test_what_the_browser_says_is_completed_from_the_card(boxed: Place) -> None:
    lines = [
        {"change": "relabel", "annotation_id": f"{DOUBLED}-0", "to": "cup", "from": "a lie"},
        {"change": "box", "annotation_id": f"{DOUBLED}-2", "to": [1, 2, 3, 4]},
        {"change": "add", "annotation_id": "whatever", "to": {"label": "plate", "box": [5, 5, 5, 5]}},
    ]
    card = boxed.card(DOUBLED)
    (decision,) = verdict_action(card, "edit", ME, edits=lines, action_id="x").decisions
    assert [line["from"] for line in decision.edits] == ["bottle", [120.0, 60.0, 40.0, 40.0], None]
    assert decision.edits[2]["annotation_id"] == new_annotation_id(DOUBLED, "x", 2)
    assert (decision.verdict, decision.seen) == ("edit", card.members[0].seen)
    assert verdict_action(card, "edit", ME).decisions == verdict_action(card, "keep", ME).decisions
    again = verdict_action(card, "edit", ME, edits=lines, action_id="x")
    assert store.record(boxed.engine, again).new
    assert not store.record(boxed.engine, again).new
    other = verdict_action(card, "edit", ME, edits=lines[:1], action_id="x")
    with pytest.raises(SettingsError, match="used for another decision"):
        store.record(boxed.engine, other)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("pick", {"label": "cup"}),
        ("ambiguous", {"labels": ["cup", "plate"]}),
        ("accept_2", {}),
        ("edit", {"edits": [{"change": "drop", "annotation_id": "s1-0"}]}),
        ("edit", {"edits": [{"change": "add", "to": {"label": "cup"}}]}),
        ("edit", {"edits": [{"change": "add", "to": {"label": "cup", "box": [0, 0, 0, 9]}}]}),
        ("edit", {"edits": [{"change": "add", "to": {"label": "\n", "box": [0, 0, 9, 9]}}]}),
    ],
)
def test_what_does_not_fit_boxes_is_refused(boxed: Place, name: str, more: Any) -> None:
    with pytest.raises(SettingsError):
        check_action(verdict_action(boxed.card(DOUBLED), name, ME, **more), {"bottle", "cup", "plate"})


def test_a_picture_whose_annotations_changed_is_asked_again(boxed: Place) -> None:
    boxed.press(FINE, "keep")
    rows = manifest.read(boxed.folder, "v0001")
    rows.loc[rows["sample_id"] == FINE, "label"] = "cup"
    new = manifest.NewVersion("v0001", "import", "me", "again", [], source={"task": "detection"}, dataset=DATASET)
    manifest.write_version(rows, new, boxed.folder)
    refill(boxed.engine, boxed.run, boxed.folder)
    assert store.read_item(boxed.engine, DATASET, FINE).state == "open"
    (conflict,) = propose(boxed.folder, boxed.engine, DATASET).plan.conflicts
    assert conflict["why"] == "since it was decided, 1 has another label ('cup')"


def test_two_reviewers_on_different_boxes_are_done_on_the_same_one_they_disagree(boxed: Place) -> None:
    one = [{"change": "drop", "annotation_id": f"{DOUBLED}-1"}]
    two = [{"change": "relabel", "annotation_id": f"{DOUBLED}-0", "to": "cup"}]
    boxed.press(DOUBLED, "edit", edits=one)
    assert boxed.press(DOUBLED, "edit", by="bob", edits=two) == "done"
    assert set(store.effective(boxed.engine, DATASET)["holds"]) == {True}
    assert boxed.press(DOUBLED, "keep", by="cy") == "disagreement"
    assert store.undo(boxed.engine, DATASET, "cy", undo_id="u") is not None
    assert store.read_item(boxed.engine, DATASET, DOUBLED).state == "done"


def test_a_second_opinion_that_changes_more_is_a_disagreement(boxed: Place) -> None:
    store.set_policy(boxed.engine, DATASET, second_opinion=1.0)
    one = {"change": "drop", "annotation_id": f"{DOUBLED}-1"}
    two = {"change": "relabel", "annotation_id": f"{DOUBLED}-0", "to": "cup"}
    assert boxed.press(DOUBLED, "edit", edits=[one]) == "second"
    assert boxed.press(DOUBLED, "edit", by="bob", edits=[one, two]) == "disagreement"
    assert propose(boxed.folder, boxed.engine, DATASET).plan.changes == []
    assert boxed.press(DOUBLED, "edit", by="cy", edits=[one]) == "done"
    assert [c["change"] for c in propose(boxed.folder, boxed.engine, DATASET).plan.changes] == ["drop"]


def test_what_counts_single_labels_says_so_and_learns_nothing(boxed: Place) -> None:
    boxed.press(DOUBLED, "accept")
    given = store.verdicts(boxed.engine, DATASET)
    assert off_because(boxed.run).startswith("The order of this queue stays")
    assert reorder(features(boxed.run, boxed.queue.items), given) == {}
    said = answers(store.effective(boxed.engine, DATASET))
    assert said["answer"].tolist() == [json.dumps([["drop", f"{DOUBLED}-1", ""]])]


# --- proposals


@pytest.mark.parametrize(
    ("issue", "key", "suggestion", "evidence", "task", "line"),
    [
        ("label_error", "s-0", "dog", {}, "detection", {"change": "relabel", "to": "dog"}),
        ("swapped_box", "s-0", "dog", {}, "detection", {"change": "relabel", "to": "dog"}),
        ("swapped_box", "s-0", "", {}, "detection", None),
        ("wrong_label", "s-0", "remove", {}, "multi-label", {"change": "drop", "to": None}),
        ("missing_label", "", "dog", {}, "multi-label", {"change": "add", "to": {"label": "dog"}}),
        ("missing_label", "", "cat", {}, "multi-label", None),
        ("odd_combination", "s-0", "dog", {}, "multi-label", {"change": "add", "to": {"label": "dog"}}),
        ("spurious_box", "s-0", "remove", {}, "detection", {"change": "drop", "to": None}),
        ("box_geometry", "s-0", "clip", {}, "detection", {"change": "box", "to": [0.0, 5.0, 15.0, 20.0]}),
        ("badly_located_box", "s-0", "", {"proposed": [1, 2, 3, 4]}, "detection",
         {"change": "box", "to": [1.0, 2.0, 3.0, 4.0]}),
        ("badly_located_box", "s-0", "", {"proposed": [1, 2, 0, 4]}, "detection", None),
        ("badly_located_box", "s-0", "", {"proposed": [90, 40, 30, 40]}, "detection",
         {"change": "box", "to": [90.0, 40.0, 10.0, 10.0]}),
        # classes that are called like an action
        ("label_error", "s-0", "remove", {}, "detection", {"change": "relabel", "to": "remove"}),
        ("label_error", "s-0", "clip", {}, "detection", {"change": "relabel", "to": "clip"}),
        ("swapped_box", "s-0", "exclude", {}, "detection", {"change": "relabel", "to": "exclude"}),
        ("missing_label", "", "remove", {}, "multi-label", {"change": "add", "to": {"label": "remove"}}),
        ("duplicate_box", "s-0", "remove", {}, "detection", {"change": "drop", "to": None}),
        ("missing_box", "", "dog", {"proposed": [1, 2, 3, 4]}, "detection",
         {"change": "add", "to": {"label": "dog", "box": [1.0, 2.0, 3.0, 4.0]}}),
        ("missing_box", "", "dog", {}, "detection", None),
        ("box_outlier", "s-0", "", {}, "detection", None),
        ("box_count", "", "", {}, "detection", None),
    ],
)  # fmt: skip
def test_what_a_finding_proposes(
    issue: str, key: str, suggestion: str, evidence: dict[str, Any], task: str, line: dict[str, Any] | None
) -> None:
    box = (-5.0, 5.0, 20.0, 20.0) if task == "detection" else None
    row = {"issue": issue, "annotation_id": key, "suggestion": suggestion, "evidence": json.dumps(evidence)}
    lines, words = propose_lines(row, [Annotation("s-0", "cat", box)], (100, 50), task)
    assert [{name: one[name] for name in ("change", "to")} for one in lines] == ([] if line is None else [line])
    assert bool(words) == bool(lines)


# --- without a screen


def test_annotations_are_named_by_number_by_id_or_by_a_label_that_is_alone(boxed: Place) -> None:
    subject = open_subject(boxed.engine, DATASET, boxed.folder)
    for name in ("2", f"{DOUBLED}-2", "cup"):
        made = subject.edit("doubled.png", [{"change": "drop", "annotation": name}])
        assert made.edits[0]["annotation_id"] == f"{DOUBLED}-2"
    with pytest.raises(SettingsError, match=r"several annotations 'bottle'\. It has: 0 'bottle' at 20,20,50,90, 1 "):
        subject.edit("doubled.png", [{"change": "drop", "annotation": "bottle"}])
    with pytest.raises(SettingsError, match=r"no label 'cupp'\. Did you mean 'cup'"):
        subject.edit("doubled.png", [{"change": "relabel", "annotation": "0", "to": "cupp"}])
    with pytest.raises(SettingsError, match="say which one is wrong"):
        subject.decide("doubled.png", "relabel", ["cup"])
    assert subject.decide("swapped.png", "relabel", ["cup"]).edits[0]["to"] == "cup"
    assert subject.decide("fine.png", "keep").seen


def test_classes_that_are_called_like_a_number_or_a_command(tmp_path: Path) -> None:
    place = Place(make_boxed_workspace(tmp_path / "workspace", {"bottle": "remove", "cup": "0", "plate": "a=b"}))
    subject = open_subject(place.engine, DATASET, place.folder)
    with pytest.raises(SettingsError, match="a label '0', and an annotation of that number: give its annotation_id"):
        subject.edit("doubled.png", [{"change": "drop", "annotation": "0"}])
    for key, label in ((f"{DOUBLED}-0", "remove"), (f"{DOUBLED}-2", "0"), ("2", "0")):
        made = subject.edit("doubled.png", [{"change": "drop", "annotation": key}])
        assert made.edits[0]["from"]["label"] == label
    for text, split in {
        "1=0": ("1", "0"), "1=a=b": ("1", "a=b"), "remove": ("", "remove"), "1=new": ("1", "new"),
        "1=new=er": ("1", "new=er"),
    }.items():  # fmt: skip
        assert subject.split_relabel("doubled.png", text) == split
    assert subject.split_relabel("fine.png", "a=b=0") == ("a=b", "0")
    (found,) = place.card(SWAPPED).findings
    assert (found.does, found.proposal[0]["to"]) == ("change “remove” to “0”", "0")
    found = find_items(place.engine, DATASET, Filters(class_name="remove"))
    assert [item.item_id for item in found] == [DOUBLED, SWAPPED]


def test_json_lines_are_all_right_or_nothing_is_recorded(boxed: Place, tmp_path: Path) -> None:
    subject = open_subject(boxed.engine, DATASET, boxed.folder)
    file = tmp_path / "edits.jsonl"
    good = {"sample": "doubled.png", "edits": [{"change": "add", "to": {"label": "cup", "box": [1, 1, 9, 9]}}]}
    file.write_text(json.dumps(good) + "\n\n" + json.dumps({"sample": "fine.png", "verdict": "keep"}) + "\n")
    found = read_edit_lines(file, subject)
    assert [d.verdict for d in found.decisions] == ["edit", "keep"]
    assert found == read_edit_lines(file, subject)
    shared = verdict_action(boxed.card(FINE), "keep", ME)
    once = table_action(replace(shared, decisions=found.decisions), ())
    assert store.record(boxed.engine, once).new
    assert not store.record(boxed.engine, table_action(replace(shared, decisions=found.decisions), ())).new
    file.write_text("{}\n" + json.dumps(good) + '\n{"sample": "fine.png", "edits": []}\n')
    with pytest.raises(LabelParseError, match=r"line 1: it is no object with a .sample.\. Lines that are wrong: 2\."):
        read_edit_lines(file, subject)
