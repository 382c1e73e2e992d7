"""Decisions become a version: which are applied, which wait, which conflict, and what undoing and reverting mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import store
from curation.decisions import Action, Decision
from curation.errors import NotFoundError, WorkspaceError
from curation.manifest import NewVersion, canonical_hash, read, write_version
from curation.manifest.changes import apply, diff
from curation.manifest.publish import Plan, id_ranges, plan, propose, publish, published_ids, read_ranges
from curation.manifest.version_files import read_header, read_lines, versions
from tests.manifest.test_changes import make_rows, same

COLUMNS = (
    "decision_id", "dataset", "action_id", "item_id", "sample_id", "annotation_id", "verdict", "labels", "reason",
    "given_label", "suggestion", "reviewer", "decided_at", "seconds", "run_id", "manifest_version", "comment", "undoes",
)  # fmt: skip


class Reviews:
    """A list of decisions as the store would have it, made row by row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def say(self, sample: str, verdict: str, *labels: str, by: str = "ann", given: str = "cat", **more: Any) -> int:
        """Record a decision; its id, which is also its action's."""
        number = len(self.rows) + 1
        blank = dict.fromkeys(COLUMNS, "") | {"decision_id": number, "seconds": 1.0, "dataset": "set"}
        self.rows.append(
            {**blank, "action_id": f"a{number}", "item_id": sample, "sample_id": sample, "verdict": verdict,
             "labels": json.dumps(labels), "given_label": given, "reviewer": by, "decided_at": f"t{number}", **more}
        )  # fmt: skip
        return number

    def undo(self, number: int, by: str = "ann") -> int:
        return self.say("", "undo", by=by, given="", undoes=self.rows[number - 1]["action_id"])

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(self.rows, columns=list(COLUMNS))
        texts = {name: "str" for name in COLUMNS if name not in ("decision_id", "seconds")}
        return table.astype({**texts, "decision_id": "int64", "seconds": "float64"})


HEAD = make_rows(*({"id": name} for name in "abcdef"))


def planned(reviews: Reviews, head: pd.DataFrame = HEAD, published: Any = (), **states: str) -> Plan:
    return plan(head, reviews.table(), states, published)


def labels(found: Plan) -> dict[str, str]:
    return dict(zip(found.rows["sample_id"], found.rows["label"], strict=True))


def row(found: Plan, sample: str) -> dict[str, Any]:
    return found.rows[found.rows["sample_id"] == sample].to_dict("records")[0]


# --- what each verdict does


def test_each_verdict_does_what_it_says() -> None:
    reviews = Reviews()
    reviews.say("a", "keep")
    reviews.say("b", "hard")
    reviews.say("c", "relabel", "dog")
    reviews.say("d", "ambiguous", "eel", "cat")
    reviews.say("e", "exclude", reason="broken")
    reviews.say("f", "unsure")
    found = planned(reviews)
    assert labels(found) == {"a": "cat", "b": "cat", "c": "dog", "d": "eel", "e": "cat", "f": "cat"}
    assert json.loads(row(found, "b")["attributes"]) == {"curate:hard": True}
    assert json.loads(row(found, "d")["attributes"]) == {"curate:labels": ["eel", "cat"]}
    assert (row(found, "e")["status"], row(found, "e")["reason"]) == ("excluded", "broken")
    assert [(c["change"], c["sample_id"]) for c in found.changes] == [
        ("confirm", "a"), ("attributes", "b"), ("relabel", "c"), ("relabel", "d"), ("ambiguous", "d"), ("exclude", "e"),
    ]  # fmt: skip
    assert found.decision_ids == (1, 2, 3, 4, 5)
    assert [w["sample_id"] for w in found.waiting] == ["f"]
    assert found.conflicts == []
    assert found.pending[("relabel", "ann")] == 1


def test_lines_say_who_when_and_why() -> None:
    reviews = Reviews()
    reviews.say("a", "relabel", "dog", comment="ears", run_id="run-1", suggestion="dog")
    (line,) = planned(reviews).changes
    assert line == {
        "change": "relabel", "sample_id": "a", "annotation_id": "a-0", "path": "a.png", "from": "cat", "to": "dog",
        "verdict": "relabel", "reviewer": "ann", "decided": "t1", "decision": [1], "comment": "ears", "run": "run-1",
        "suggestion": "dog",
    }  # fmt: skip


def test_the_lines_are_the_difference() -> None:
    reviews = Reviews()
    for sample, verdict in zip("abc", ("keep", "hard", "ambiguous"), strict=True):
        reviews.say(sample, verdict, *(["dog", "cat"] if verdict == "ambiguous" else []))
    found = planned(reviews)
    assert same(apply(HEAD, found.changes), found.rows)
    bare = [{k: c[k] for k in ("change", "sample_id", "annotation_id", "path", "from", "to")} for c in found.changes]
    assert [line for line in bare if line["change"] != "confirm"] == diff(HEAD, found.rows)


def test_nothing_decided_changes_nothing() -> None:
    found = planned(Reviews())
    assert (found.changes, found.conflicts, found.waiting, found.decision_ids) == ([], [], [], ())
    assert same(found.rows, HEAD)


def test_a_picture_without_a_label_gets_one_and_other_attributes_are_kept() -> None:
    head = make_rows(
        {"id": "a", "labels": []},
        {"id": "b", "annotations": [{"label": "cat", "attributes": '{"camera":7}'}]},
        {"id": "c", "annotations": [{"label": "cat", "attributes": "free text"}]},
    )
    reviews = Reviews()
    first = reviews.say("a", "relabel", "dog", given="")
    reviews.say("b", "hard")
    reviews.say("c", "hard")
    found = planned(reviews, head)
    assert (row(found, "a")["annotation_id"], row(found, "a")["label"]) == ("a-0", "dog")
    assert json.loads(row(found, "b")["attributes"]) == {"camera": 7, "curate:hard": True}
    assert json.loads(row(found, "c")["attributes"]) == {"curate:text": "free text", "curate:hard": True}
    reviews.undo(first)
    back = planned(reviews, found.rows, found.decision_ids)
    assert row(back, "a")["annotation_id"] == ""


# --- several reviewers


def test_what_waits_is_held_back_and_said() -> None:
    reviews = Reviews()
    reviews.say("a", "relabel", "dog")
    reviews.say("b", "relabel", "dog")
    reviews.say("c", "relabel", "dog")
    reviews.say("c", "keep", by="bob")
    found = planned(reviews, a="second", b="done")
    assert labels(found)["b"] == "dog"
    assert [(w["sample_id"], w["state"], w["reviewers"]) for w in found.waiting] == [
        ("a", "second", ["ann"]),
        ("c", "disagreement", ["ann", "bob"]),
    ]
    assert found.decision_ids == (2,)


def test_of_several_reviewers_what_they_agree_on_is_taken() -> None:
    reviews = Reviews()
    reviews.say("a", "relabel", "dog", by="ann")
    reviews.say("a", "relabel", "eel", by="bob")
    reviews.say("a", "relabel", "eel", by="cy")
    reviews.say("b", "relabel", "dog", by="ann")
    reviews.say("b", "relabel", "dog", by="bob")
    found = planned(reviews, a="done", b="done")
    assert labels(found)["a"] == "eel"
    one, two = found.changes
    assert (one["reviewer"], one["reviewers"], one["decision"]) == ("cy", ["bob", "cy"], [2, 3])
    assert (two["reviewer"], two["reviewers"], two["decision"]) == ("bob", ["ann", "bob"], [4, 5])
    assert found.decision_ids == (2, 3, 4, 5)


def test_the_members_of_a_case_are_settled_with_it() -> None:
    reviews = Reviews()
    reviews.say("a", "keep", item_id="d1")
    reviews.say("b", "exclude", reason="duplicate", item_id="d1")
    reviews.say("c", "distinct", item_id="d2")
    reviews.say("e", "relabel", "dog", item_id="d3")
    found = planned(reviews, d1="done", d2="done", d3="second", a="done", c="open")
    assert [(c["change"], c["sample_id"], c["verdict"]) for c in found.changes] == [
        ("confirm", "a", "keep"),
        ("exclude", "b", "exclude"),
        ("confirm", "c", "distinct"),
    ]
    assert [w["sample_id"] for w in found.waiting] == ["e"]


# --- decisions on older versions


def test_a_decision_on_another_label_is_a_conflict() -> None:
    head = make_rows({"id": "a", "labels": ["eel"]}, {"id": "b", "labels": ["dog"]})
    reviews = Reviews()
    reviews.say("a", "relabel", "dog")
    reviews.say("b", "relabel", "dog")  # it has become what was asked for
    reviews.say("gone", "keep")
    found = planned(reviews, head)
    assert same(found.rows, head)
    assert [(c["change"], c["sample_id"]) for c in found.changes] == [("confirm", "b")]
    assert [(c["sample_id"], c["why"]) for c in found.conflicts] == [
        ("gone", "the picture is not in the data set any more"),
        ("a", "its label was 'cat' when it was decided, and is 'eel' now"),
    ]
    assert found.decision_ids == (2,)


def test_a_newer_look_settles_a_conflict() -> None:
    head = make_rows({"id": "a", "labels": ["eel"]})
    reviews = Reviews()
    reviews.say("a", "relabel", "dog")
    reviews.say("a", "keep", given="eel", by="bob")
    found = planned(reviews, head, a="done")
    assert found.conflicts == []
    assert labels(found) == {"a": "eel"}
    assert found.decision_ids == (2,)


def test_what_a_reviewer_said_before_does_not_come_back_when_his_last_word_is_stale() -> None:
    reviews = Reviews()
    reviews.say("a", "relabel", "dog")
    reviews.say("a", "keep", given="eel")
    found = planned(reviews)
    assert len(found.conflicts) == 1
    assert same(found.rows, HEAD)


def test_what_somebody_else_excluded_is_a_conflict() -> None:
    head = make_rows({"id": "a", "status": "excluded", "reason": "broken"})
    reviews = Reviews()
    reviews.say("a", "relabel", "dog")
    found = planned(reviews, head)
    assert "excluded meanwhile" in found.conflicts[0]["why"]


def test_a_sample_with_several_labels_needs_to_know_which() -> None:
    head = make_rows({"id": "a", "labels": ["cat", "dog"]}, {"id": "b", "labels": ["cat", "dog"]})
    reviews = Reviews()
    reviews.say("a", "relabel", "eel")
    reviews.say("a", "relabel", "eel", annotation_id="a-1", given="dog", by="bob")
    reviews.say("b", "exclude", reason="off-topic")
    found = planned(reviews, head, a="done", b="done")
    assert sorted(found.rows["label"]) == ["cat", "cat", "dog", "eel"]
    assert set(found.rows.loc[found.rows["sample_id"] == "b", "status"]) == {"excluded"}
    reviews = Reviews()
    reviews.say("a", "relabel", "eel")
    assert "several labels" in planned(reviews, head).conflicts[0]["why"]


# --- again and again: what is published, undone, decided anew


class Story:
    """Publishing again and again: head and published ids move on."""

    def __init__(self) -> None:
        self.reviews, self.head, self.published = Reviews(), HEAD, set()

    def publish(self, **states: str) -> Plan:
        found = planned(self.reviews, self.head, self.published, **states)
        self.head = found.rows
        self.published |= set(found.decision_ids)
        return found

    def label(self, sample: str = "a") -> str:
        return str(self.head.loc[self.head["sample_id"] == sample, "label"].item())

    def attributes(self, sample: str = "a") -> str:
        return str(self.head.loc[self.head["sample_id"] == sample, "attributes"].item())


def test_publishing_twice_changes_nothing() -> None:
    story = Story()
    story.reviews.say("a", "relabel", "dog")
    assert len(story.publish().changes) == 1
    again = story.publish()
    assert (again.changes, again.decision_ids, again.pending) == ([], (), {})


@pytest.mark.parametrize("verdict", ["relabel", "hard", "ambiguous", "exclude"])
def test_what_was_replaced_holds_again_when_the_other_is_undone(verdict: str) -> None:
    story = Story()
    labels = {"relabel": ["dog"], "ambiguous": ["dog", "cat"]}.get(verdict, [])
    story.reviews.say("a", verdict, *labels, reason="broken" if verdict == "exclude" else "")
    story.publish()
    first = story.head
    later = story.reviews.say("a", "keep")
    story.publish()
    assert not same(story.head, first)
    story.reviews.undo(later)
    story.publish()
    assert same(story.head, first)


@pytest.mark.parametrize("verdict", ["relabel", "hard", "ambiguous", "exclude", "keep"])
def test_undone_after_it_was_published_is_taken_back(verdict: str) -> None:
    story = Story()
    given_labels = {"relabel": ["dog"], "ambiguous": ["dog", "cat"]}.get(verdict, [])
    number = story.reviews.say("a", verdict, *given_labels, reason="broken" if verdict == "exclude" else "")
    story.publish()
    undo = story.reviews.undo(number)
    taken = story.publish()
    blank = HEAD.assign(status=story.head["status"])  # whether it was readable is not known any more
    assert same(story.head, blank.astype(HEAD.dtypes.to_dict()))
    assert story.head["status"][0] in ("ok", "unreadable")
    assert taken.decision_ids == (undo,)
    assert story.published == {number, undo}
    for line in taken.changes:
        assert (line["verdict"], line["reviewer"], line["decision"]) == ("undo", "ann", [number, undo])
    assert story.publish().changes == []


def test_undone_before_it_was_published_never_happens() -> None:
    story = Story()
    story.reviews.undo(story.reviews.say("a", "relabel", "dog"))
    assert story.publish().changes == []
    assert same(story.head, HEAD)


def test_an_earlier_decision_holds_again_when_the_later_one_is_undone() -> None:
    story = Story()
    story.reviews.say("a", "hard")
    story.publish()
    later = story.reviews.say("a", "relabel", "dog")
    story.publish()
    assert (story.label(), story.attributes()) == ("dog", "")
    story.reviews.undo(later)
    story.publish()
    assert (story.label(), story.attributes()) == ("cat", '{"curate:hard": true}')


@pytest.mark.parametrize("between", [True, False])
def test_a_reviewer_may_change_his_mind(between: bool) -> None:
    story = Story()
    for verdict, labels_of in (("relabel", ["dog"]), ("exclude", []), ("keep", []), ("relabel", ["eel"])):
        story.reviews.say("a", verdict, *labels_of, reason="broken" if verdict == "exclude" else "")
        if between:
            story.publish()
    story.publish()
    assert story.label() == "eel"
    assert story.head["status"][0] != "excluded"


def test_what_was_reverted_is_not_applied_again_but_may_be_decided_again() -> None:
    story = Story()
    story.reviews.say("a", "relabel", "dog")
    story.publish()
    story.head = HEAD  # reverted
    assert story.publish().changes == []
    assert same(story.head, HEAD)
    story.reviews.undo(story.reviews.say("a", "exclude", reason="broken"))
    story.publish()
    assert same(story.head, HEAD), "something that came to nothing does not bring it back"
    story.reviews.say("a", "relabel", "dog")
    story.publish()
    assert story.label() == "dog"


def test_undoing_what_was_reverted_does_nothing() -> None:
    story = Story()
    number = story.reviews.say("a", "relabel", "dog")
    story.publish()
    story.head = HEAD
    story.reviews.undo(number)
    assert story.publish().changes == []
    assert same(story.head, HEAD)


def test_unsure_afterwards_takes_nothing_back() -> None:
    story = Story()
    story.reviews.say("a", "relabel", "dog")
    story.publish()
    story.reviews.say("a", "unsure")
    found = story.publish(a="open")
    assert story.label() == "dog"
    assert [w["sample_id"] for w in found.waiting] == ["a"]


def test_a_majority_overrules_what_was_published() -> None:
    story = Story()
    story.reviews.say("a", "relabel", "dog")
    story.publish()
    story.reviews.say("a", "keep", by="bob")
    assert story.publish().waiting
    story.reviews.say("a", "keep", by="cy")
    story.publish(a="done")
    assert story.label() == "cat"


def test_one_undo_of_many_decisions_is_used_up_only_when_all_are_settled() -> None:
    story = Story()
    for sample in "ab":
        story.reviews.say(sample, "relabel", "dog", action_id="grid")
    story.publish()
    story.reviews.undo(1)
    story.publish(b="disagreement")
    assert (story.label("a"), story.label("b")) == ("cat", "dog")
    story.publish(b="open")
    assert story.label("b") == "cat"
    assert story.published == {1, 2, 3}


# --- order

verdict = st.sampled_from(
    [("keep",), ("hard",), ("relabel", "dog"), ("relabel", "eel"), ("ambiguous", "cat", "dog"), ("exclude",)]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ann", "bob"]), verdict), max_size=8), st.randoms())
def test_the_order_in_which_reviewers_arrive_does_not_matter(said: list[Any], chance: Any) -> None:
    latest = {(sample, by): what for sample, by, what in said}  # one word of each on each
    tables = []
    for _ in range(2):
        order = list(latest.items())
        chance.shuffle(order)
        reviews = Reviews()
        for (sample, by), (name, *asked) in order:
            reviews.say(sample, name, *asked, by=by, reason="broken" if name == "exclude" else "")
        tables.append(reviews.table())
    one, two = (plan(HEAD, table, {}, ()) for table in tables)
    assert canonical_hash(one.rows) == canonical_hash(two.rows)
    assert [w["sample_id"] for w in one.waiting] == [w["sample_id"] for w in two.waiting]
    shuffled = plan(HEAD, tables[0].sample(frac=1, random_state=chance.randrange(9)), {}, ())
    assert shuffled.changes == one.changes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), verdict, st.sampled_from(["say", "undo", "publish"])), max_size=8))
def test_publishing_in_steps_ends_where_publishing_at_once_does(steps: list[Any]) -> None:
    """Of one reviewer who sees the same labels all the time: the last word counts, whenever it was published."""
    stepwise, at_once = Story(), Story()
    for sample, (name, *asked), what in steps:
        for story in (stepwise, at_once):
            made = [row for row in story.reviews.rows if row["verdict"] != "undo"]
            undone = {row["undoes"] for row in story.reviews.rows}
            left = [row for row in made if row["action_id"] not in undone]
            if what == "undo" and left:
                story.reviews.undo(left[-1]["decision_id"])
            elif what == "say":
                story.reviews.say(sample, name, *asked, reason="broken" if name == "exclude" else "")
        if what == "publish":
            stepwise.publish()
    stepwise.publish()
    at_once.publish()
    one, two = (
        story.head.assign(status=story.head["status"].replace("unreadable", "ok")) for story in (stepwise, at_once)
    )
    assert canonical_hash(one) == canonical_hash(two)


@pytest.mark.parametrize("ids", [(), (1,), (1, 2, 3), (1, 3, 4, 9), range(5, 2000)])
def test_ranges_of_ids_come_back(ids: Any) -> None:
    assert read_ranges(id_ranges(ids)) == set(ids)
    for text in ("x", "1-", "1-99999999999", "-1", "1,,x"):
        with pytest.raises(WorkspaceError, match="damaged"):
            read_ranges(text)


# --- with a real store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "data_manifest" / "set"
    write_version(HEAD, NewVersion(None, "import", "curate score", "first", dataset="set"), found)
    return found


def record(engine: Any, number: int, *decisions: Decision, by: str = "ann") -> None:
    store.record(engine, Action(f"action-{number}", "set", by, decisions, run_id="run-1", comment="why"))


def test_decisions_of_a_real_store_become_a_version(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    record(engine, 1, Decision("a", "a", "relabel", ("dog",), given_label="cat", suggestion="dog"))
    record(
        engine,
        2,
        Decision("d9", "b", "keep", given_label="cat"),
        Decision("d9", "c", "exclude", (), "duplicate", given_label="cat"),
    )
    record(engine, 3, Decision("e", "e", "keep", given_label="cat"))
    record(engine, 4, Decision("e", "e", "relabel", ("eel",), given_label="cat"), by="bob")
    store.undo(engine, "set", "ann", "action-3", undo_id="undo-3")
    assert publish(folder, engine, "set", "first corrections", "lead") == "v0002"
    header = read_header(folder, "v0002")
    assert (header["parent"], header["kind"], header["author"]) == ("v0001", "publish", "lead")
    assert header["changes"] == {"confirm": 1, "exclude": 1, "relabel": 2}
    assert header["decisions"] == {"store": store.store_id(engine), "ids": "1-3,5"}
    assert header["parent_hash"] == read_header(folder, "v0001")["hash"]
    rows = read(folder, "v0002")
    assert dict(zip(rows["sample_id"], rows["label"], strict=True)) | {} == {
        "a": "dog", "b": "cat", "c": "cat", "d": "cat", "e": "eel", "f": "cat",
    }  # fmt: skip
    lines = read_lines(folder / "v0002.changes.jsonl")
    assert [(line["change"], line["path"], line["reviewer"]) for line in lines] == [
        ("relabel", "a.png", "ann"), ("confirm", "b.png", "ann"), ("exclude", "c.png", "ann"),
        ("relabel", "e.png", "bob"),
    ]  # fmt: skip
    assert publish(folder, engine, "set", "again", "lead") == ""
    assert versions(folder) == ["v0001", "v0002"]
    store.undo(engine, "set", "ann", "action-1", undo_id="undo-1")
    assert publish(folder, engine, "set", "back", "lead") == "v0003"
    assert read(folder, "v0003").loc[0, "label"] == "cat"
    assert published_ids(folder, "v0003", store.store_id(engine)) == {1, 2, 3, 5, 7}
    assert published_ids(folder, "v0003", "another store") == set()


def test_a_header_that_claims_a_decision_hides_none(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path / "store")
    store.record(engine, Action("a1", "set", "ann", (Decision("a", "a", "relabel", ("dog",), given_label="cat"),)))
    assert publish(folder, engine, "set", "first", "lead") == "v0002"
    store.record(engine, Action("a2", "set", "ann", (Decision("b", "b", "relabel", ("dog",), given_label="cat"),)))
    header = folder / "v0002.json"
    header.write_text(header.read_text().replace('"ids": "1"', '"ids": "1-99"'))
    with pytest.raises(WorkspaceError, match="was edited since"):
        publish(folder, engine, "set", "second", "lead")


def test_a_second_opinion_and_a_disagreement_are_waited_for(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    store.set_policy(engine, "set", second_opinion=1.0)
    record(engine, 1, Decision("a", "a", "relabel", ("dog",), given_label="cat"))
    assert publish(folder, engine, "set", "too early", "lead") == ""
    record(engine, 2, Decision("a", "a", "keep", given_label="cat"), by="bob")
    waiting = propose(folder, engine, "set").plan.waiting
    assert [(w["sample_id"], w["state"]) for w in waiting] == [("a", "disagreement")]
    record(engine, 3, Decision("a", "a", "relabel", ("dog",), given_label="cat"), by="cy")
    assert publish(folder, engine, "set", "settled", "lead") == "v0002"
    assert read(folder, "v0002").loc[0, "label"] == "dog"


def test_of_two_publishers_one_is_told_what_the_other_changed(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    record(engine, 1, Decision("a", "a", "relabel", ("dog",), given_label="cat"))
    shown = propose(folder, engine, "set")
    assert publish(folder, engine, "set", "one", "lead") == "v0002"
    with pytest.raises(WorkspaceError, match=r"v0002 by lead \(1 relabelled\).* publish again"):
        publish(folder, engine, "set", "two", "other", proposal=shown)
    with pytest.raises(WorkspaceError, match="publish again"):
        publish(folder, engine, "set", "two", "other", expected_head="v0001")
    assert versions(folder) == ["v0001", "v0002"]
    record(engine, 2, Decision("b", "b", "relabel", ("dog",), given_label="cat"))
    assert publish(folder, engine, "set", "two", "other", expected_head="v0002") == "v0003"


def test_nothing_to_publish_from_before_there_is_a_version(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="curate score"):
        propose(tmp_path / "data_manifest" / "none", store.open_store(tmp_path), "none")


def test_any_comment_survives_a_version(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    comment = "\0 \u2028 \x85 \n \x1b[31m \U0001f600"
    said = Decision("a", "a", "relabel", ("dog",), given_label="cat")
    store.record(engine, Action("one", "set", "ann", (said,), comment=comment))
    publish(folder, engine, "set", comment, "lead \ud800")  # a terminal that is not UTF-8
    (line,) = read_lines(folder / "v0002.changes.jsonl")
    assert line["comment"] == comment
    assert (folder / "v0002.changes.jsonl").read_bytes().count(b"\n") == 1
    assert len((folder / "v0002.changes.jsonl").read_text("utf-8").splitlines()) == 1
    assert read_header(folder, "v0002")["message"] == comment
