"""What there is to decide, in which order; labels found by typing."""

import json
from pathlib import Path

import pandas as pd
import pytest

from curation import manifest
from curation.decisions import case_id
from curation.review import ITEM_COLUMNS, build_items, changed_labels, reviewed_labels, search_labels
from curation.runs import Run
from tests.building import make_run, twin

LABELS = ["cat", "dog", "cat", "dog", "cat", ""]


def finding(at: int, issue: str = "label_error", **more: object) -> dict[str, object]:
    return {"at": at, "issue": issue, **more}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Pictures 0 and 3 are copies with two labels; 1 and 2 are doubted, 2 is dark, too; 4 is fine; 5 has no label."""
    findings = [
        twin(0, 3, LABELS, "conflicting_duplicate") | {"suggestion": "dog", "score": 0.0},
        twin(3, 0, LABELS, "conflicting_duplicate") | {"suggestion": "dog", "score": 0.0},
        finding(1, suggestion="cat", score=0.2),
        finding(2, suggestion="dog", score=0.3),
        twin(0, 3, LABELS) | {"suggestion": "exclude"},
        finding(2, "dark"),
        finding(0, score=0.5, is_issue=False),
        finding(4, score=0.9, is_issue=False),
    ]
    columns = {"cluster": [7, 1, 2, 7, 4, 5]}
    return make_run(tmp_path, LABELS, findings, unreadable=[("cut.png", "cut off")], columns=columns)


def rows_of(run: Run) -> pd.DataFrame:
    """The run's data as manifest rows."""
    samples = run.samples()
    labelled = samples[samples["given_label"] != ""]
    annotations = pd.DataFrame(
        {"annotation_id": labelled["sample_id"] + "-0", "sample_id": labelled["sample_id"], "attributes": ""}
    ).assign(label=labelled["given_label"], x=float("nan"), y=float("nan"), w=float("nan"), h=float("nan"))
    return manifest.build_rows(samples.drop(columns=["given_label", "cluster"]), annotations)


def decided(item_id: str, members: list[str], verdict: str, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"item_id": item_id, "sample_id": members, "verdict": verdict, **more})


CASE = case_id(["s0", "s3"])


def test_a_case_is_one_item_and_comes_first_then_every_picture_in_rank_order(run: Run) -> None:
    items = build_items(run)
    assert list(items.columns) == ITEM_COLUMNS
    assert items["item_id"].tolist() == [CASE, "s1", "s2", "s4", "u0", "s5"]
    assert items["kind"].tolist() == ["duplicates"] + ["sample"] * 5
    assert items["priority"].is_monotonic_decreasing
    assert items["priority"].tolist()[:3] == [-1.0, -3.0, -4.0]


def test_a_case_carries_all_its_members_and_what_was_found_on_any_of_them(run: Run) -> None:
    case = build_items(run).iloc[0]
    assert json.loads(case["members"]) == ["s0", "s3"]
    assert case["issue"] == "conflicting_duplicate"
    assert case["issues"] == "conflicting_duplicate,near_duplicate"
    assert (case["given_label"], case["suggestion"]) == ("cat", "dog")
    assert case["path"] == "p0.png\np3.png"


def test_an_item_names_its_flagged_findings_best_first(run: Run) -> None:
    items = build_items(run).set_index("item_id")
    assert items.loc["s2", ["issue", "issues", "suggestion", "score"]].tolist() == [
        "label_error",
        "label_error,dark",
        "dog",
        0.3,
    ]
    assert items.loc["s4", ["issue", "issues"]].tolist() == ["label_error", ""]


def test_unlabelled_and_unreadable_pictures_are_items_too(run: Run) -> None:
    items = build_items(run).set_index("item_id")
    assert items.loc["s5", ["given_label", "issue", "score"]].tolist() == ["", "", 1.0]
    assert items.loc["u0", ["issue", "suggestion"]].tolist() == ["unreadable", "exclude"]


def test_labels_and_paths_are_those_of_the_version_under_review(run: Run) -> None:
    rows = rows_of(run)
    rows.loc[rows["sample_id"] == "s1", ["label", "path", "split"]] = ["bird", "renamed.png", "test"]
    items = build_items(run, rows).set_index("item_id")
    assert items.loc["s1", ["given_label", "path", "split"]].tolist() == ["bird", "renamed.png", "test"]
    assert changed_labels(run, rows) == {"s1": "bird"}


def test_what_a_version_excludes_or_no_longer_has_is_not_asked_again(run: Run) -> None:
    rows = rows_of(run)
    rows.loc[rows["sample_id"] == "s1", "status"] = "excluded"
    items = build_items(run, rows[rows["sample_id"] != "s2"])
    assert set(items["item_id"]) == {CASE, "s4", "s5", "u0"}


def test_a_case_of_which_one_copy_is_left_is_a_picture_like_others(run: Run) -> None:
    rows = rows_of(run)
    rows.loc[rows["sample_id"] == "s3", "status"] = "excluded"
    items = build_items(run, rows).set_index("item_id")
    assert items.loc["s0", "kind"] == "sample"
    assert CASE not in items.index


def test_pictures_judged_to_be_no_copies_become_items_of_their_own(run: Run) -> None:
    items = build_items(run, known=decided(CASE, ["s0", "s3"], "distinct"))
    assert CASE not in set(items["item_id"])
    assert {"s0", "s3"} <= set(items["item_id"])


def test_that_judgement_does_not_count_once_it_was_taken_back(run: Run) -> None:
    undone = pd.concat(
        [
            decided(CASE, ["s0", "s3"], "distinct", action_id="a", undoes=""),
            decided(CASE, [""], "undo", action_id="b", undoes="a"),
        ],
        ignore_index=True,
    )
    assert CASE in set(build_items(run, known=undone)["item_id"])


def test_a_settled_case_stays_one_item(run: Run) -> None:
    known = decided(CASE, ["s0", "s3"], "keep", state="done")
    assert CASE in set(build_items(run, known=known)["item_id"])


def test_what_is_left_of_a_settled_larger_case_is_not_a_new_case(tmp_path: Path) -> None:
    labels = ["cat"] * 3
    run = make_run(tmp_path, labels, [twin(0, 1, labels)], columns={"cluster": [0, 0, 0]})
    larger = case_id(["s0", "s1", "s2"])
    rows = rows_of(run)
    rows.loc[rows["sample_id"] == "s2", "status"] = "excluded"
    known = decided(larger, ["s0", "s1", "s2"], "keep", state="done")
    assert set(build_items(run, rows, known)["item_id"]) == {"s0", "s1"}
    assert set(build_items(run, rows)["item_id"]) == {case_id(["s0", "s1"])}


def test_a_run_without_findings_or_clusters_still_has_its_pictures(tmp_path: Path) -> None:
    items = build_items(make_run(tmp_path, ["a", "b"], []))
    assert items["item_id"].tolist() == ["s0", "s1"]
    assert items["issue"].tolist() == ["", ""]


def test_labels_of_neighbours_follow_the_reviewers() -> None:
    table = pd.DataFrame(
        [
            ("s0", "relabel", '["dog"]'),
            ("s1", "keep", "[]"),
            ("s2", "ambiguous", '["dog", "cat"]'),
            ("s3", "relabel", '["dog"]'),
            ("s3", "keep", "[]"),
        ],
        columns=["sample_id", "verdict", "labels"],
    )
    assert reviewed_labels(table) == {"s0": "dog", "s2": "dog"}


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("CAT", ["cat", "Catfish", "wild-cat", "scatter"]),
        ("katz", ["Kätzchen"]),
        ("kätz", ["Kätzchen"]),
        ("strasse", ["Straße"]),
        (" cat ", ["cat", "Catfish", "wild-cat", "scatter"]),
        ("cat fish", []),
        ("ß", ["grass", "Straße"]),
    ],
)
def test_labels_are_found_by_beginning_then_word_then_part(typed: str, found: list[str]) -> None:
    names = ["scatter", "wild-cat", "Catfish", "cat", "grass", "Kätzchen", "Straße"]
    assert search_labels(names, typed) == found


def test_nothing_typed_offers_the_first_labels() -> None:
    assert search_labels(["b", "a", "c"], " ", limit=2) == ["b", "a"]
