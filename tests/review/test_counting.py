"""Counts under review: what one key accepts, what is past, what two reviewers say, and lines from a number."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curation import store
from curation.edits import MOST_LINES
from curation.errors import LabelParseError, SettingsError
from curation.review import verdict_action
from curation.review.annotations import Annotation, in_words, words_of
from curation.review.counting import is_past_count, lines_to, propose_count
from curation.review.decision_files import read_edit_lines
from curation.review.sheet import lay_sheet
from curation.review.work_queue import open_subject, refill
from curation.store import Filters, find_items
from tests.app.annotated import DATASET, IDS, make_counted_workspace
from tests.review.test_several import ME, Place

DOUBLED, FINE, SWAPPED = (IDS[name] for name in ("doubled", "fine", "swapped"))
THREE = [Annotation(f"s-{k}", "cup") for k in range(3)] + [Annotation("s-3", "plate")]


@pytest.fixture
def counted(tmp_path: Path) -> Place:
    return Place(make_counted_workspace(tmp_path / "workspace"))


def published(place: Place) -> dict[str, Counter[str]]:
    return {name: Counter(label for label, _ in found) for name, found in place.publish().items()}


def test_lines_lead_from_what_there_is_to_a_number() -> None:
    assert lines_to(THREE, "cup", 3) == ()
    assert [line["annotation_id"] for line in lines_to(THREE, "cup", 1)] == ["s-2", "s-1"]
    assert [line["to"] for line in lines_to(THREE, "cup", 5)] == [{"label": "cup"}] * 2
    assert [line["change"] for line in lines_to(THREE, "fork", 2)] == ["add", "add"]
    for wanted in (-1, MOST_LINES + 4):
        with pytest.raises(SettingsError):
            lines_to(THREE, "cup", wanted)


@pytest.mark.parametrize("likely", [True, -1, 2.0, "3", None, 5000])
def test_evidence_that_says_no_number_proposes_nothing(likely: Any) -> None:
    assert propose_count({"class": "cup", "likely": likely}, THREE) == ((), ())


def test_a_count_that_was_changed_since_is_past() -> None:
    assert not is_past_count({"class": "cup", "given": 3}, THREE)
    assert is_past_count({"class": "cup", "given": 3}, THREE[1:])


def test_counts_are_said_where_there_are_several_without_a_place() -> None:
    assert words_of(THREE) == "3 x cup, 1 x plate"
    assert words_of(THREE[2:]) == "cup, plate"
    assert in_words(["cup", "cup"]) == "cup"


def test_one_key_makes_it_the_number_that_the_model_expects(counted: Place) -> None:
    card = counted.card(DOUBLED)
    assert card.given_label == "1 x bottle, 2 x cup"
    (found,) = card.findings
    assert (found.does, found.about) == ("count “bottle”: 3 instead of 1", "bottle")
    action = verdict_action(card, "accept", ME)
    (made,) = action.decisions
    assert [line["to"] for line in made.edits] == [{"label": "bottle"}] * 2
    assert len({line["annotation_id"] for line in made.edits}) == 2
    counted.press(DOUBLED, "accept_all")
    counted.press(SWAPPED, "accept")
    assert published(counted) == {
        "doubled": {"bottle": 3, "cup": 2},
        "fine": {"plate": 1},
        "swapped": {"cup": 1, "plate": 1},
    }
    assert counted.card(DOUBLED).findings == ()


def test_the_sheet_has_every_annotation_and_the_class_that_is_asked_about(counted: Place) -> None:
    sheet = lay_sheet(counted.card(SWAPPED), True)
    assert (sheet["counted"], sheet["drawable"], sheet["hidden"]) == (True, False, 0)
    assert Counter(one["label"] for one in sheet["annotations"]) == {"cup": 4, "plate": 1}
    (found,) = sheet["findings"]
    assert found["about"] == ["cup", "cup"]
    assert [line["change"] for line in found["lines"]] == ["drop"] * 3


def test_the_queue_finds_what_is_about_a_class(counted: Place) -> None:
    refill(counted.engine, counted.run, counted.folder)
    found = find_items(counted.engine, DATASET, Filters(class_name="cup"), 10)
    assert [item.item_id for item in found] == [SWAPPED]


def test_a_label_is_added_twice_in_counts_only(counted: Place) -> None:
    twice = [{"change": "add", "annotation_id": "", "to": {"label": "cup"}}] * 2
    made = verdict_action(counted.card(FINE), "edit", ME, edits=twice).decisions[0]
    assert len(made.edits) == 2


def test_a_file_of_decisions_says_numbers(counted: Place, tmp_path: Path) -> None:
    subject = open_subject(counted.engine, DATASET, counted.folder)
    file = tmp_path / "said.jsonl"
    lines = [
        {"sample": "fine.png", "edits": [{"change": "count", "annotation": "plate", "to": 3}]},
        {"sample": "swapped.png", "edits": [{"change": "drop", "annotation": "cup"}, {"change": "add", "to": "plate"}]},
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    found = read_edit_lines(file, subject).decisions
    assert [[line["change"] for line in one.edits] for one in found] == [["add", "add"], ["drop", "add"]]
    file.write_text(
        json.dumps({"sample": "fine.png", "edits": [{"change": "count", "annotation": "plate", "to": 1.5}]})
    )
    with pytest.raises(LabelParseError, match="How many of 'plate'"):
        read_edit_lines(file, subject)


def test_two_reviewers_who_say_the_same_number_agree_and_others_do_not(counted: Place) -> None:
    store.set_policy(counted.engine, DATASET, second_opinion=1.0)
    one = {"change": "add", "annotation_id": "", "to": {"label": "bottle"}}
    assert counted.press(DOUBLED, "edit", edits=[one, one]) == "second"
    assert counted.press(DOUBLED, "accept", by="bob") == "done"
    assert counted.press(SWAPPED, "edit", edits=[{**one, "to": {"label": "cup"}}]) == "second"
    assert counted.press(SWAPPED, "accept", by="bob") == "disagreement"
    assert published(counted)["doubled"] == {"bottle": 3, "cup": 2}
