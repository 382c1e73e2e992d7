"""Cards, cases, keys: what a reviewer sees is what the evidence says, and what was meant is what is recorded."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.decisions import case_id, check_action
from curation.duplicates.keeping import propose_keep
from curation.errors import NotFoundError, SettingsError
from curation.explain import Label
from curation.review import with_reviewed
from curation.review.actions import ACTIONS, Context, verdict_action
from curation.review.cards import Card, cards
from curation.review.run_index import open_index
from curation.runs import Run
from tests.building import evidence_of, make_run, twin

LABELS = ["cat", "dog", "cat", "dog", "cat"]
CASE = case_id(["s0", "s3"])
ME = Context("pets", "ann", session="tab", run_id="pets-0", manifest_version="v0001")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    findings = [
        twin(0, 3, LABELS, "conflicting_duplicate", favoured_by="model") | {"suggestion": "dog", "score": 0.0},
        twin(3, 0, LABELS, "conflicting_duplicate", favoured_by="model") | {"suggestion": "dog", "score": 0.0},
        {"at": 1, "issue": "label_error", "suggestion": "cat", "score": 0.2,
         "evidence": evidence_of("label_error", top3=[["bird", 0.6]])},
        {"at": 1, "issue": "dark"},
        {"at": 2, "issue": "label_error", "is_issue": False, "score": 0.9},
    ]  # fmt: skip
    probs = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]])
    neighbours = np.array([[1, 2], [4, 0], [-1, -1], [0, 1], [1, 2]])
    distances = np.where(neighbours >= 0, [[0.1, 0.2]], np.nan)
    return make_run(
        tmp_path,
        LABELS,
        findings,
        unreadable=[("cut.png", "the PNG data are cut off")],
        columns={"cluster": [0, 1, 2, 0, 4], "sharpness": [5.0] * 5, "file_bytes": [100] * 5},
        arrays={
            "pred_probs": probs.astype(np.float32),
            "neighbours": neighbours,
            "neighbour_distances": distances.astype(np.float32),
        },
        classes=["bird", "cat", "dog"],
    )


def one(run: Run, item_id: str, **more: Any) -> Card:
    return cards(run, [item_id], **more)[0]


# --- cards


def test_suggestions_are_other_labels_the_findings_first(run: Run) -> None:
    card = one(run, "s1")
    assert card.given_label == "dog"
    assert [name for name, _ in card.suggestions] == ["cat", "bird"]
    assert card.suggestions[1][1] == pytest.approx(0.6)
    assert card.p_given == pytest.approx(0.1)


def test_reasons_are_sentences_and_the_same_in_pieces_with_labels_marked(run: Run) -> None:
    card = one(run, "s1")
    assert card.why[0].startswith("Labelled “dog”, to which the model gives 2 %; it sees “bird”")
    assert [part for part in card.why_parts[0] if isinstance(part, Label)] == ["dog", "bird"]
    assert len(card.why) == len(card.why_parts) == 2
    assert card.issues == ("label_error", "dark")


def test_an_unflagged_picture_still_says_why_it_is_where_it_is(run: Run) -> None:
    card = one(run, "s2")
    assert card.issues == ()
    assert len(card.why) == 1


def test_neighbours_carry_the_labels_that_reviewers_gave_them(run: Run) -> None:
    decided = pd.DataFrame({"sample_id": ["s0"], "verdict": ["relabel"], "labels": ['["dog"]']})
    (card,) = with_reviewed([one(run, "s1", labels={"s4": "bird"})], decided)
    assert [(n.sample_id, n.label) for n in card.neighbours] == [("s4", "bird"), ("s0", "dog")]
    assert one(run, "s2").neighbours == ()


def test_a_card_shows_the_label_that_the_data_set_has_now(run: Run) -> None:
    card = one(run, "s1", labels={"s1": "bird"})
    assert card.given_label == card.members[0].label == "bird"
    assert "bird" not in [name for name, _ in card.suggestions]
    assert card.p_given == pytest.approx(0.6)


def test_a_case_shows_all_copies_and_what_the_label_should_be(run: Run) -> None:
    card = one(run, CASE)
    assert card.kind == "duplicates"
    assert [(m.sample_id, m.label) for m in card.members] == [("s0", "cat"), ("s3", "dog")]
    assert sum(m.proposed_keep for m in card.members) == 1
    assert card.settle_label == "dog"
    assert [name for name, _ in card.suggestions][:2] == ["dog", "cat"]
    assert card.why == ("Changed copies of one picture, labelled “cat” and “dog”; the model favours “dog”.",)


def test_a_case_has_the_members_that_the_store_says(run: Run) -> None:
    card = one(run, "d0123456789abcdef", members={"d0123456789abcdef": ["s1", "s2", "gone"]})
    assert [m.sample_id for m in card.members] == ["s1", "s2"]


def test_an_unreadable_picture_has_a_card_with_the_reason(run: Run) -> None:
    card = one(run, "u0")
    assert (card.status, card.reason) == ("unreadable", "the PNG data are cut off")
    assert (card.given_label, card.suggestions, card.neighbours, card.p_given) == ("", (), (), None)
    assert card.members[0].annotation_id == ""


def test_every_label_has_its_annotation_also_where_nothing_was_found(run: Run) -> None:
    assert one(run, "s4").members[0].annotation_id == "s4-0"


def test_an_item_of_another_run_is_named_in_the_error(run: Run) -> None:
    with pytest.raises(NotFoundError, match="pets-0 has no item 's99'"):
        cards(run, ["s99"])
    with pytest.raises(NotFoundError):
        cards(run, ["d0000000000000000"])


def test_a_run_without_a_model_has_cards(tmp_path: Path) -> None:
    card = one(make_run(tmp_path, ["a", "b"], [{"at": 0, "issue": "dark"}]), "s0")
    assert (card.suggestions, card.p_given, card.neighbours) == ((), None, ())
    assert card.why == ("Brightness 0.03 is below the limit of 0.1.",)


def test_only_the_evidence_of_the_asked_rows_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_index(run)
    assert "evidence" not in index.issues
    texts = index.evidence([2, 0])
    assert json.loads(texts[0])["top3"] == [["bird", 0.6]]
    assert json.loads(texts[1])["twin"] == "s3"
    assert index.evidence([]) == []


def test_evidence_is_found_in_every_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.runs.ROW_GROUP", 2)
    findings = [{"at": row, "issue": "dark", "evidence": json.dumps({"row": row})} for row in range(5)]
    index = open_index(make_run(tmp_path, ["a"] * 5, findings))
    assert [json.loads(text)["row"] for text in index.evidence([4, 1, 2, 1])] == [4, 1, 2, 1]


def test_a_run_that_was_made_again_shows_its_own_findings(tmp_path: Path) -> None:
    for value in (0.03, 0.07):
        evidence = evidence_of("dark", value=value)
        run = make_run(tmp_path, ["a"], [{"at": 0, "issue": "dark", "evidence": evidence}])
        assert one(run, "s0").why == (f"Brightness {value} is below the limit of 0.1.",)
        shutil.rmtree(run.folder)


# --- which copy to keep


def copies(**columns: Any) -> pd.DataFrame:
    table = {
        "path": ["b.jpg", "a.jpg"], "split": ["train", "train"], "label": ["x", "x"], "width_px": [100, 100],
        "height_px": [80, 80], "format": ["JPEG", "JPEG"], "file_bytes": [5000, 5000], "sharpness": [9.0, 9.0],
        "saturation": [0.3, 0.3],
    }  # fmt: skip
    return pd.DataFrame({**table, **columns})


@pytest.mark.parametrize(
    ("columns", "place", "why"),
    [
        ({"width_px": [100, 200]}, 1, "It is larger: 200 x 80 pixels, not 100 x 80."),
        ({"split": ["test", "train"], "width_px": [100, 200]}, 0, "compared on; the copy in 'train' should go."),
        ({"split": ["val", "test"]}, 1, "It is in 'test'"),
        ({"sharpness": [9.0, 4.0]}, 0, "It is sharper: 9 against 4."),
        ({"sharpness": [9.0, 9.1]}, 1, "the first by name"),
        ({"file_bytes": [9000, 5000]}, 0, "It is less compressed: 9 KB against 5 KB."),
        ({"file_bytes": [9000, 5000], "format": ["PNG", "JPEG"]}, 1, "the first by name"),
        ({"file_bytes": [9000, 5000], "format": ["PNG", "PNG"]}, 1, "the first by name"),
        ({"saturation": [0.3, 0.0]}, 0, "It has its colours"),
        ({"saturation": [0.0, 0.0]}, 1, "the first by name"),
        ({"label": ["x", ""]}, 0, "It has a label"),
        ({"sharpness": [np.nan, np.nan]}, 1, "the first by name"),
        ({"width_px": [100, 101]}, 1, "the first by name"),
    ],
)
def test_the_better_copy_is_proposed_and_the_reason_given(columns: dict[str, Any], place: int, why: str) -> None:
    found = propose_keep(copies(**columns))
    assert found.place == place
    assert why in found.why


def test_of_equal_copies_the_one_with_the_favoured_label_is_proposed() -> None:
    found = propose_keep(copies(label=["x", "y"]), favoured="x")
    assert (found.place, "favoured" in found.why) == (0, True)
    assert propose_keep(copies(label=["x", "y"], width_px=[100, 200]), favoured="x").place == 1


def test_one_criterion_decides_before_the_next_one() -> None:
    found = propose_keep(copies(width_px=[200, 100], sharpness=[1.0, 9.0], file_bytes=[1, 9000]))
    assert (found.place, found.why.split(":")[0]) == (0, "It is larger")


# --- what a key records


def verdicts(card: Card | list[Card], name: str, **more: Any) -> list[tuple[str, str, tuple[str, ...], str]]:
    action = check_action(verdict_action(card, name, ME, **more), None)
    return [(d.sample_id, d.verdict, d.labels, d.reason) for d in action.decisions]


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("keep", {}, ("keep", (), "")),
        ("hard", {}, ("hard", (), "")),
        ("accept", {}, ("relabel", ("cat",), "")),
        ("accept_2", {}, ("relabel", ("bird",), "")),
        ("pick", {"label": "fish"}, ("relabel", ("fish",), "")),
        ("pick", {"label": "dog"}, ("keep", (), "")),
        ("ambiguous", {"labels": ["dog", "cat"]}, ("ambiguous", ("dog", "cat"), "")),
        ("off-topic", {}, ("exclude", (), "off-topic")),
        ("broken", {}, ("exclude", (), "broken")),
        ("duplicate", {}, ("exclude", (), "duplicate")),
        ("unsure", {}, ("unsure", (), "")),
    ],
)
def test_a_key_on_a_picture_records_one_verdict(run: Run, name: str, more: Any, expected: Any) -> None:
    assert verdicts(one(run, "s1"), name, **more) == [("s1", *expected)]


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("accept", {}, [("s0", "relabel", ("dog",), ""), ("s3", "keep", (), "")]),
        ("settle_label", {}, [("s0", "relabel", ("dog",), ""), ("s3", "keep", (), "")]),
        ("settle_label", {"label": "cat"}, [("s0", "keep", (), ""), ("s3", "relabel", ("cat",), "")]),
        ("keep_one", {"sample_id": "s3"}, [("s0", "exclude", (), "duplicate"), ("s3", "keep", (), "")]),
        ("keep_one", {"sample_id": "s0", "label": "dog"},
         [("s0", "relabel", ("dog",), ""), ("s3", "exclude", (), "duplicate")]),
        ("distinct", {}, [("s0", "distinct", (), ""), ("s3", "distinct", (), "")]),
    ],
)  # fmt: skip
def test_a_key_on_a_case_records_a_verdict_on_every_copy(run: Run, name: str, more: Any, expected: Any) -> None:
    assert verdicts(one(run, CASE), name, **more) == expected


def test_without_a_choice_the_proposed_copy_is_kept(run: Run) -> None:
    card = one(run, CASE)
    proposed = next(m.sample_id for m in card.members if m.proposed_keep)
    assert {s: v for s, v, _, _ in verdicts(card, "keep_one")}[proposed] == "keep"


def test_a_decision_says_what_was_seen_and_who_decided(run: Run) -> None:
    action = verdict_action(one(run, "s1"), "keep", ME, seconds=2.5, suggestion_shown=False, action_id="a" * 32)
    assert (action.action_id, action.reviewer, action.session, action.run_id) == ("a" * 32, "ann", "tab", "pets-0")
    assert (action.seconds, action.suggestion_shown) == (2.5, False)
    seen = action.decisions[0]
    assert (seen.given_label, seen.suggestion, seen.annotation_id) == ("dog", "cat", "s1-0")


def test_many_cards_are_decided_with_one_action(run: Run) -> None:
    both = cards(run, ["s1", "s2"])
    assert [s for s, *_ in verdicts(both, "pick", label="fish")] == ["s1", "s2"]


@pytest.mark.parametrize(
    ("item_id", "name", "more"),
    [
        ("s1", "accept_3", {}),
        ("s1", "keep_one", {}),
        ("s1", "settle_label", {}),
        ("s1", "distinct", {}),
        ("s1", "pick", {}),
        ("s1", "delete", {}),
        (CASE, "keep_one", {"sample_id": "s1"}),
    ],
)
def test_what_does_not_fit_the_item_is_refused(run: Run, item_id: str, name: str, more: Any) -> None:
    with pytest.raises(SettingsError):
        verdict_action(one(run, item_id), name, ME, **more)


def test_every_action_makes_something_that_the_store_accepts(run: Run) -> None:
    done = set()
    for card in cards(run, ["s1", CASE]):
        for name in ACTIONS:
            try:
                labels = ["a", "b"] if name == "ambiguous" else ["a"]
                check_action(verdict_action(card, name, ME, labels=labels), None)
                done.add(name)
            except SettingsError:
                continue
    assert done >= set(ACTIONS) - {"accept_3"}
