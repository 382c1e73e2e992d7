"""The review store on both databases: what is handed out, what a decision and an undo do, what can be read again."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from curation import store
from curation.decisions import Decision
from curation.errors import NotFoundError, SettingsError
from curation.store import Filters
from curation.store.schema import decisions as decisions_table
from curation.store.schema import leases
from tests.reviewing import SET, action, case_item, queue_items


@pytest.fixture
def queue(engine: Engine) -> Engine:
    """A store with four samples, s0 first."""
    store.fill(engine, SET, "run-1", "v0001", queue_items())
    return engine


def claimed(engine: Engine, by: str = "ann", tab: str = "", count: int = 1, **filters: str) -> list[str]:
    found = store.claim(engine, SET, by, tab or f"tab of {by}", Filters(**filters), count)
    return [item.item_id for item in found]


def states(engine: Engine) -> dict[str, str]:
    return {item.item_id: item.state for item in store.find_items(engine, SET, Filters(item_ids=IDS, state=""))} | {
        item.item_id: item.state
        for state in ("disagreement", "done", "gone")
        for item in store.find_items(engine, SET, Filters(state=state))
    }


IDS = tuple(f"s{number}" for number in range(4))


def expire_leases(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(leases).values(expires_at=1.0))


# --- handing out


def test_the_highest_priority_is_handed_out_first(queue: Engine) -> None:
    assert claimed(queue, count=2) == ["s0", "s1"]
    assert store.set_priorities(queue, SET, {"s3": 5.0, "unknown": 9.0}) == 1
    assert claimed(queue, "bob") == ["s3"]


def test_an_item_carries_what_a_view_needs(engine: Engine) -> None:
    table = pd.concat([queue_items(2, issues="label_error,outlier"), case_item("d1", "a", "b")])
    store.fill(engine, SET, "run-1", "v0001", table)
    case, sample = store.claim(engine, SET, "ann", "tab", count=2, lease_seconds=30)
    assert (case.kind, case.members, case.path) == ("duplicates", ("a", "b"), "a\nb")
    assert (sample.issues, sample.given_label, sample.suggestion) == (("label_error", "outlier"), "cat", "dog")
    assert (sample.state, sample.opinions, sample.blind, sample.show_suggestion) == ("open", 0, False, True)
    assert sample.lease_seconds == 30


def test_two_reviewers_are_never_handed_the_same_item(queue: Engine) -> None:
    assert claimed(queue, "ann", count=2) == ["s0", "s1"]
    assert claimed(queue, "bob", count=9) == ["s2", "s3"]
    assert claimed(queue, "cid") == []


def test_one_reviewer_in_two_tabs_is_handed_different_items(queue: Engine) -> None:
    assert claimed(queue, tab="one") == ["s0"]
    assert claimed(queue, tab="two") == ["s1"]
    assert claimed(queue, tab="two", item_id="s0") == []


def test_what_a_session_holds_comes_again_first(queue: Engine) -> None:
    assert claimed(queue, count=2) == ["s0", "s1"]
    store.set_priorities(queue, SET, {"s3": 5.0})
    assert claimed(queue, count=3) == ["s0", "s1", "s3"]


def test_claiming_again_renews_a_lease_before_it_ends(queue: Engine) -> None:
    (first,) = store.claim(queue, SET, "ann", "tab", lease_seconds=100)
    (again,) = store.claim(queue, SET, "ann", "tab", lease_seconds=100)
    assert 90 < again.lease_seconds <= first.lease_seconds == 100
    (longer,) = store.claim(queue, SET, "ann", "tab", lease_seconds=1000)
    assert longer.lease_seconds == 1000


def test_an_expired_lease_frees_the_item(queue: Engine) -> None:
    assert claimed(queue) == ["s0"]
    expire_leases(queue)
    assert claimed(queue, "bob") == ["s0"]
    assert claimed(queue) == ["s1"]
    assert store.renew(queue, SET, "tab of ann") == ["s1"]


def test_a_lease_from_a_clock_that_was_put_back_does_not_hold_for_ever(queue: Engine) -> None:
    assert claimed(queue) == ["s0"]
    with queue.begin() as connection:
        connection.execute(sa.update(leases).values(expires_at=leases.c.expires_at + 86_400))
    assert claimed(queue, "bob") == ["s0"]


def test_releasing_gives_back_all_or_some(queue: Engine) -> None:
    claimed(queue, count=3)
    assert store.release(queue, SET, "tab of ann", ["s1", "s3"]) == 1
    assert claimed(queue, "bob") == ["s1"]
    assert store.release(queue, SET, "tab of ann") == 2
    assert claimed(queue, "bob", count=9) == ["s1", "s0", "s2", "s3"]


def test_renewing_holds_for_longer_and_revives_nothing(queue: Engine) -> None:
    claimed(queue, count=2)
    assert store.renew(queue, SET, "tab of ann", ["s1"], 3000) == ["s1"]
    (_, second) = store.claim(queue, SET, "ann", "tab of ann", count=2)
    assert second.lease_seconds > 2900
    expire_leases(queue)
    assert store.renew(queue, SET, "tab of ann") == []


def test_filters_choose_what_is_handed_out(engine: Engine) -> None:
    table = pd.concat(
        [
            queue_items(
                6,
                issues=["label_error", "outlier,dark", "dark", "label_error", "", "outlier"],
                given_label=["cat", "dog", "cat", "dog", "elk", "cat"],
                suggestion=["dog", "cat", "dog", "elk", "", "cat"],
                split=["train", "test", "train", "test", "", "test"],
                path=["a/100%.png", "a/under_score.png", "b/Ärger.png", "b/x.png", "b/y.png", "c/it's.png"],
            ),
            case_item("d1", "a", "b"),
        ]
    )
    store.fill(engine, SET, "run-1", "v0001", table)

    def found(**filters: str) -> str:
        ids = [item.item_id for item in store.find_items(engine, SET, Filters(**filters))]
        assert claimed(engine, tab=str(filters), count=9, **filters) == ids
        store.release(engine, SET, str(filters))
        return " ".join(ids)

    assert found() == "d1 s0 s1 s2 s3 s4 s5"
    assert found(issue="outlier") == "s1 s5"
    assert found(issue="dark") == "s1 s2"
    assert found(issue="out") == found(issue="outlier,dark") == found(issue="%") == ""
    assert found(given_label="dog") == "s1 s3"
    assert found(given_label="cat", suggestion="dog") == "d1 s0 s2"
    assert found(split="test", issue="outlier", given_label="cat") == "s5"
    assert found(kind="duplicates") == "d1"
    assert found(kind="sample", issue="near_duplicate") == ""
    assert found(text="100%") == "s0"
    assert found(text="%") == "s0"
    assert found(text="r_s") == found(text="_") == "s1"
    assert found(text="ARGER") == "s2"
    assert found(text="'s") == "s5"
    assert found(text="elk") == "s3 s4"
    assert found(text="\\") == ""
    assert found(text="b/", given_label="dog") == "s3"
    assert found(item_id="s4") == "s4"
    assert found(item_id="s4", text="nothing") == "s4"
    assert found(reviewer="bob") == found(state="done") == found(state="gone") == ""
    assert found(given_label="user__password") == found(text="' OR 1=1 --") == ""


def test_only_listed_items(queue: Engine) -> None:
    wanted = Filters(item_ids=("s3", "s1", "nothing"))
    assert [item.item_id for item in store.claim(queue, SET, "ann", "tab", wanted, 9)] == ["s1", "s3"]
    assert store.find_items(queue, SET, replace(wanted, issue="label%")) == []
    assert len(store.find_items(queue, SET, replace(wanted, issue="label_error"))) == 2
    with pytest.raises(SettingsError, match="at once"):
        store.find_items(queue, SET, Filters(item_ids=("s",) * 10_001))


def test_a_text_that_was_looked_for_is_found_in_a_queue_that_was_filled_again(queue: Engine) -> None:
    assert claimed(queue, text="new") == []
    store.fill(queue, SET, "run-2", "v0001", queue_items(path=["new.png", *"abc"]))
    assert claimed(queue, text="new") == ["s0"]


def test_pages_of_the_queue(queue: Engine) -> None:
    assert [item.item_id for item in store.find_items(queue, SET, count=2, start=1)] == ["s1", "s2"]
    assert store.find_items(queue, SET, count=2, start=100) == []
    for count, start in [(0, 0), (1, -1), (2**40, 0), (1, 2**40)]:
        with pytest.raises(SettingsError):
            store.find_items(queue, SET, count=count, start=start)


@pytest.mark.parametrize(
    ("reviewer", "session", "settings"),
    [
        ("", "tab", {}),
        ("ann", "", {}),
        ("ann", "x" * 101, {}),
        ("a\0b", "tab", {}),
        ("ann", "tab", {"count": 0}),
        ("ann", "tab", {"lease_seconds": 0}),
        ("ann", "tab", {"lease_seconds": 1e9}),
        ("ann", "tab", {"filters": Filters(state="lost")}),
    ],
)
def test_a_claim_that_cannot_be_is_refused(queue: Engine, reviewer: str, session: str, settings: dict) -> None:
    with pytest.raises(SettingsError):
        store.claim(queue, SET, reviewer, session, **settings)


def test_an_unknown_item_is_not_found(queue: Engine) -> None:
    assert store.read_item(queue, SET, "s2").priority == -2
    for item_id in ("s9", "", "x" * 10_000, "s1' OR '1'='1"):
        with pytest.raises(NotFoundError):
            store.read_item(queue, SET, item_id)
    with pytest.raises(NotFoundError):  # of another data set
        store.read_item(queue, "other", "s2")


# --- deciding


def test_a_decided_item_is_not_handed_out_again(queue: Engine) -> None:
    claimed(queue)
    done = store.record(queue, action("s0", "relabel", "dog"))
    assert (done.new, done.states) == (True, {"s0": "done"})
    assert claimed(queue) == ["s1"]
    assert claimed(queue, "bob") == ["s2"]


def test_a_decision_is_kept_with_everything_that_was_known(queue: Engine) -> None:
    made = action("s1", "relabel", "dog", seconds=2.5, run_id="r", manifest_version="v", comment="why")
    made = replace(made, suggestion_shown=False, decisions=(replace(made.decisions[0], suggestion="elk"),))
    store.record(queue, made)
    (row,) = store.decisions(queue, SET).to_dict("records")
    assert row["decision_id"] == 1
    assert json.loads(row["labels"]) == ["dog"]
    assert row["decided_at"].startswith("20")
    assert row["decided_at"].endswith("Z")
    assert [row[n] for n in ("sample_id", "verdict", "given_label", "suggestion", "undoes")] == [
        *("s1", "relabel", "cat", "elk"),
        "",
    ]
    assert [row[n] for n in ("reviewer", "seconds", "run_id", "manifest_version", "comment", "suggestion_shown")] == [
        *("ann", 2.5, "r", "v", "why"),
        False,
    ]


def test_the_same_action_again_changes_nothing(queue: Engine) -> None:
    made = action("s0", "relabel", "dog")
    assert store.record(queue, made).new
    again = store.record(queue, made)
    assert (again.new, again.states) == (False, {"s0": "done"})
    assert len(store.decisions(queue, SET)) == 1


def test_the_same_action_again_is_known_after_its_label_was_published(queue: Engine) -> None:
    made = action("s0", "relabel", "dog", given="")
    store.record(queue, made)
    store.fill(queue, SET, "run-2", "v0002", queue_items(given_label=["dog", "cat", "cat", "cat"]))
    assert not store.record(queue, made).new


def test_an_action_id_cannot_be_used_for_something_else(queue: Engine) -> None:
    made = action("s0", action_id="one")
    store.record(queue, made)
    for other in (
        action("s1", action_id="one"),
        action("s0", "hard", action_id="one"),
        action("s0", by="bob", action_id="one"),
        replace(made, dataset="other"),
    ):
        with pytest.raises(SettingsError, match="used for another"):
            store.record(queue, other)
    assert len(store.decisions(queue, SET)) == 1


def test_an_action_is_recorded_whole_or_not_at_all(queue: Engine) -> None:
    good, bad = Decision("s0", "s0", "keep"), Decision("s1", "s1", "keep", ("dog",))
    with pytest.raises(SettingsError):
        store.record(queue, replace(action("s0"), decisions=(good, bad)))
    assert store.decisions(queue, SET).empty


def test_many_items_with_one_key(queue: Engine) -> None:
    grid = replace(action("s0"), decisions=tuple(Decision(i, i, "relabel", ("dog",)) for i in ("s0", "s1", "s2")))
    assert store.record(queue, grid).states == {"s0": "done", "s1": "done", "s2": "done"}
    undone = store.undo(queue, SET, "ann", undo_id="u")
    assert undone is not None
    assert undone.items == ("s0", "s1", "s2")
    assert claimed(queue, count=9) == ["s0", "s1", "s2", "s3"]


def test_a_decision_on_what_was_never_queued_is_kept(engine: Engine) -> None:
    assert store.record(engine, action("s7", "relabel", "dog")).states == {"s7": "done"}
    assert claimed(engine) == []
    store.fill(engine, SET, "run-1", "v0001", queue_items(8))
    assert store.read_item(engine, SET, "s7").state == "done"


def test_a_lease_that_expired_while_deciding_loses_no_decision(queue: Engine) -> None:
    claimed(queue, "ann")
    expire_leases(queue)
    assert claimed(queue, "bob") == ["s0"]
    assert store.record(queue, action("s0", "relabel", "dog")).states == {"s0": "done"}
    assert store.record(queue, action("s0", "keep", by="bob")).states == {"s0": "disagreement"}
    assert len(store.decisions(queue, SET)) == 2


def test_two_tabs_that_decide_the_same_item_are_one_opinion(queue: Engine) -> None:
    store.record(queue, action("s0", "keep", session="one"))
    assert store.record(queue, action("s0", "relabel", "dog", session="two")).states == {"s0": "done"}
    found = store.effective(queue, SET)
    assert found["verdict"].tolist() == ["relabel"]
    assert found["holds"].tolist() == [True]


def test_a_missing_given_label_is_what_the_queue_has(queue: Engine) -> None:
    store.record(queue, action("s0", "relabel", "cat", given=""))
    (row,) = store.decisions(queue, SET).to_dict("records")
    assert (row["verdict"], row["given_label"]) == ("keep", "cat")


# --- duplicates


@pytest.fixture
def with_case(engine: Engine) -> Engine:
    """A store with the case d1 of s0 and s1, which are items, too."""
    store.fill(engine, SET, "run-1", "v0001", pd.concat([queue_items(), case_item("d1", "s0", "s1")]))
    return engine


def test_a_case_decides_its_members(with_case: Engine) -> None:
    made = store.record(with_case, action("d1", "relabel", "dog", members=("s0", "s1")))
    assert made.states == {"d1": "done", "s0": "done", "s1": "done"}
    assert claimed(with_case, count=9) == ["s2", "s3"]
    assert store.effective(with_case, SET)["sample_id"].tolist() == ["s0", "s1"]


@pytest.mark.parametrize("verdict", ["distinct", "unsure"])
def test_a_verdict_on_the_case_alone_leaves_its_members_open(with_case: Engine, verdict: str) -> None:
    store.record(with_case, action("s0", "relabel", "dog"))
    store.record(with_case, action("d1", verdict, members=("s0", "s1")))
    store.rebuild(with_case, SET)
    assert claimed(with_case, count=9) == ["s1", "s2", "s3"]
    found = store.effective(with_case, SET)
    assert list(zip(found["item_id"], found["sample_id"], found["verdict"], strict=True)) == [
        ("s0", "s0", "relabel"),
        ("d1", "s0", verdict),
        ("d1", "s1", verdict),
    ]


def test_a_case_and_a_sample_that_are_decided_differently_disagree(with_case: Engine) -> None:
    store.record(with_case, action("d1", "relabel", "dog", members=("s0", "s1")))
    assert store.record(with_case, action("s0", "keep", by="bob")).states == {"s0": "disagreement"}
    found = store.effective(with_case, SET).set_index(["sample_id", "reviewer"])
    assert found["state"].to_dict() == {
        ("s0", "ann"): "disagreement",
        ("s1", "ann"): "done",
        ("s0", "bob"): "disagreement",
    }
    assert found["holds"].to_dict() == {("s0", "ann"): False, ("s1", "ann"): True, ("s0", "bob"): False}


def test_undoing_a_case_opens_its_members(with_case: Engine) -> None:
    store.record(with_case, action("d1", "relabel", "dog", members=("s0", "s1")))
    undone = store.undo(with_case, SET, "ann", undo_id="u")
    assert undone is not None
    assert undone.items == ("d1",)
    assert claimed(with_case, count=9) == ["d1", "s0", "s1", "s2", "s3"]


# --- undoing


def test_undo_goes_back_as_far_as_one_likes(queue: Engine) -> None:
    for number, item_id in enumerate(IDS):
        store.record(queue, action(item_id, action_id=f"a{number}"))
    store.record(queue, action("s0", by="bob"))
    for number in reversed(range(4)):
        undone = store.undo(queue, SET, "ann", undo_id=f"u{number}")
        assert undone == store.Undone(f"a{number}", (f"s{number}",))
    assert store.undo(queue, SET, "ann", undo_id="more") is None
    assert states(queue) == {"s0": "done", "s1": "open", "s2": "open", "s3": "open"}


def test_undo_works_after_a_restart_and_after_others_decided(queue: Engine, store_target: object) -> None:
    store.record(queue, action("s0", "relabel", "dog", action_id="mine"))
    store.record(queue, action("s0", "keep", by="bob"))
    later = store.open_store(store_target)  # type: ignore[arg-type]
    assert store.undo(later, SET, "ann", undo_id="u") == store.Undone("mine", ("s0",))
    later.dispose()
    assert states(queue)["s0"] == "done"
    assert store.effective(queue, SET)["reviewer"].tolist() == ["bob"]


def test_the_same_undo_twice_takes_one_action_back(queue: Engine) -> None:
    for number in range(3):
        store.record(queue, action(f"s{number}", action_id=f"a{number}"))
    first = store.undo(queue, SET, "ann", undo_id="u")
    again = store.undo(queue, SET, "ann", undo_id="u")
    assert first == store.Undone("a2", ("s2",))
    assert again == store.Undone("a2", ("s2",), new=False)
    assert store.undo(queue, SET, "ann", "a2", undo_id="other") == store.Undone("a2", ("s2",), new=False)
    assert len(store.decisions(queue, SET)) == 4


def test_undo_brings_back_what_was_said_before(queue: Engine) -> None:
    store.record(queue, action("s0", "relabel", "dog"))
    store.record(queue, action("s0", "exclude"))
    store.undo(queue, SET, "ann", undo_id="u")
    assert store.effective(queue, SET)["verdict"].tolist() == ["relabel"]
    assert states(queue)["s0"] == "done"


def test_an_action_in_the_middle_can_be_taken_back(queue: Engine) -> None:
    for number in range(3):
        store.record(queue, action(f"s{number}", action_id=f"a{number}"))
    assert store.undo(queue, SET, "ann", "a1", undo_id="u") == store.Undone("a1", ("s1",))
    assert store.undo(queue, SET, "ann", undo_id="v") == store.Undone("a2", ("s2",))
    assert store.undo(queue, SET, "ann", undo_id="w") == store.Undone("a0", ("s0",))


def test_undoing_hands_the_item_to_the_session_that_undid(queue: Engine) -> None:
    store.record(queue, action("s2"))
    store.undo(queue, SET, "ann", undo_id="u", session="tab of ann")
    assert claimed(queue, "bob", count=9) == ["s0", "s1", "s3"]
    assert claimed(queue) == ["s2"]


def test_undoing_takes_the_item_from_nobody_who_is_looking_at_it(queue: Engine) -> None:
    store.record(queue, action("s0"))
    assert claimed(queue, "bob", state="done") == ["s0"]
    store.undo(queue, SET, "ann", undo_id="u", session="tab of ann")
    assert claimed(queue) == ["s1"]
    assert claimed(queue, "bob") == ["s0"]


def test_only_what_is_ones_own_can_be_taken_back(queue: Engine) -> None:
    store.record(queue, action("s0", action_id="a0"))
    store.undo(queue, SET, "ann", undo_id="u")
    store.record(queue, action("s1", action_id="a1"))
    with pytest.raises(SettingsError, match="cannot take back"):
        store.undo(queue, SET, "bob", "a1", undo_id="v")
    for unknown in ("nothing", "u"):
        with pytest.raises(NotFoundError):
            store.undo(queue, SET, "ann", unknown, undo_id="v")
    with pytest.raises(NotFoundError):
        store.undo(queue, "other", "ann", "a1", undo_id="v")
    for used in ("a1", "", "u"):
        with pytest.raises(SettingsError):
            store.undo(queue, SET, "ann" if used != "u" else "bob", undo_id=used)
    assert store.undo(queue, SET, "bob", undo_id="v") is None


# --- many reviewers


def test_a_share_of_the_items_goes_blind_to_a_second_reviewer(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(200))
    rules = store.set_policy(engine, SET, second_opinion=0.3, hide_suggestion=0.5)
    assert store.policy(engine, SET) == rules
    store.record(engine, replace(action("s0"), decisions=tuple(Decision(f"s{n}", f"s{n}", "keep") for n in range(200))))
    waiting = store.claim(engine, SET, "bob", "tab", count=200)
    assert 40 <= len(waiting) <= 80
    assert {item.item_id for item in waiting} == {f"s{n}" for n in range(200) if rules.needed(f"s{n}") == 2}
    assert all(item.blind and item.state == "second" and item.opinions == 1 for item in waiting)
    assert 0.3 < sum(item.show_suggestion for item in waiting) / len(waiting) < 0.7
    assert claimed(engine, "ann") == []
    first, second = (item.item_id for item in waiting[:2])
    assert store.record(engine, action(first, by="bob")).states == {first: "done"}
    assert store.record(engine, action(second, "hard", by="bob")).states == {second: "disagreement"}


def test_a_new_policy_judges_what_was_decided_before(queue: Engine) -> None:
    store.record(queue, action("s0"))
    store.set_policy(queue, SET, second_opinion=1.0)
    assert claimed(queue, "bob", state="second") == ["s0"]
    store.set_policy(queue, SET)
    assert states(queue)["s0"] == "done"
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingsError):
            store.set_policy(queue, SET, second_opinion=share)


def test_filling_keeps_the_policy(queue: Engine) -> None:
    store.set_policy(queue, SET, 0.5, 0.25, seed=3)
    store.fill(queue, SET, "run-2", "v0002", queue_items(5))
    rules = store.policy(queue, SET)
    assert (rules.second_opinion, rules.hide_suggestion, rules.seed) == (0.5, 0.25, 3)
    assert (rules.run_id, rules.manifest_version) == ("run-2", "v0002")


def test_disagreements_are_a_queue_of_their_own_that_a_third_settles(queue: Engine) -> None:
    store.record(queue, action("s1", "keep"))
    store.record(queue, action("s1", "hard", by="bob"))
    assert claimed(queue, "cid", state="disagreement") == ["s1"]
    assert "s1" not in claimed(queue, "dan", count=9)
    assert store.record(queue, action("s1", "relabel", "dog", by="cid")).states == {"s1": "done"}
    found = store.effective(queue, SET).set_index("reviewer")
    assert found["holds"].to_dict() == {"ann": False, "bob": False, "cid": True}
    assert set(found["state"]) == {"done"}
    opinions = store.verdicts(queue, SET).set_index("reviewer")
    assert opinions["adjudicates"].to_dict() == {"ann": False, "bob": False, "cid": True}


def test_those_who_disagree_see_it_again_and_one_can_give_way(queue: Engine) -> None:
    store.record(queue, action("s1", "keep"))
    store.record(queue, action("s1", "hard", by="bob"))
    (item,) = store.claim(queue, SET, "ann", "tab", Filters(state="disagreement"))
    assert (item.item_id, item.blind, item.opinions) == ("s1", False, 2)
    assert store.record(queue, action("s1", "hard")).states == {"s1": "done"}


def test_unsure_leaves_the_item_to_somebody_else(queue: Engine) -> None:
    assert store.record(queue, action("s0", "unsure")).states == {"s0": "open"}
    assert claimed(queue) == ["s1"]
    assert claimed(queue, state="open", reviewer="ann", tab="mine") == ["s0"]
    store.release(queue, SET, "mine")
    (item,) = store.claim(queue, SET, "bob", "tab of bob")
    assert (item.item_id, item.opinions, item.blind) == ("s0", 0, False)


def test_what_is_done_can_be_looked_at_again(queue: Engine) -> None:
    store.record(queue, action("s0"))
    assert claimed(queue, state="done") == ["s0"]
    assert claimed(queue, "bob", state="done", reviewer="ann") == []  # ann's tab holds it
    store.release(queue, SET, "tab of ann")
    assert claimed(queue, "bob", state="done", reviewer="ann") == ["s0"]
    assert claimed(queue, "bob", state="done", reviewer="cid", tab="other") == []


# --- filling again


def test_filling_again_changes_what_is_different(queue: Engine) -> None:
    assert store.fill(queue, SET, "run-1", "v0001", queue_items()) == store.Filled(0, 0, 0)
    table = queue_items(5, suggestion=["dog", "elk", "dog", "dog", "dog"]).drop(index=3)
    assert store.fill(queue, SET, "run-2", "v0001", table) == store.Filled(1, 1, 1)
    assert claimed(queue, count=9) == ["s0", "s1", "s2", "s4"]
    assert store.fill(queue, SET, "run-1", "v0001", queue_items()) == store.Filled(0, 2, 1)
    assert claimed(queue, "bob", count=9) == ["s3"]
    shuffled = queue_items().iloc[::-1]
    assert store.fill(queue, SET, "run-1", "v0001", shuffled) == store.Filled(0, 0, 0)
    assert store.fill(queue, SET, "run-2", "v0001", shuffled) == store.Filled(0, 0, 0)
    assert store.policy(queue, SET).run_id == "run-2"


def test_another_data_set_is_another_queue(queue: Engine) -> None:
    store.fill(queue, "other", "run-1", "v0001", queue_items(2))
    store.record(queue, replace(action("s0"), dataset="other"))
    assert claimed(queue) == ["s0"]
    assert store.decisions(queue, SET).empty
    assert store.fill(queue, SET, "run-2", "v0001", queue_items(1)) == store.Filled(0, 0, 3)
    assert len(store.find_items(queue, "other", Filters(state="open"))) == 1


def test_members_can_be_lists(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(2, members=[["a", "b"], ("c",)]))
    assert [item.members for item in store.find_items(engine, SET)] == [("a", "b"), ("c",)]


def test_what_the_run_has_no_longer_is_closed_and_comes_back_decided(queue: Engine) -> None:
    store.record(queue, action("s0", "relabel", "dog"))
    store.fill(queue, SET, "run-2", "v0001", queue_items().drop(index=[0, 1]))
    assert claimed(queue, "bob", count=9) == ["s2", "s3"]
    assert store.record(queue, action("s1", "keep")).states == {"s1": "done"}  # it was on the screen
    assert set(store.effective(queue, SET)["state"]) == {"done"}
    store.fill(queue, SET, "run-3", "v0001", queue_items())
    assert claimed(queue, "cid", count=9) == []
    assert states(queue) == {"s0": "done", "s1": "done", "s2": "open", "s3": "open"}


def test_another_label_opens_what_was_decided(queue: Engine) -> None:
    for item_id in IDS:
        store.record(queue, action(item_id, "relabel", "dog"))
    labels = ["cat", "dog", "elk", "cat"]  # as it was, as it was decided, something else
    store.fill(queue, SET, "run-2", "v0002", queue_items(given_label=labels))
    assert states(queue) == {"s0": "done", "s1": "done", "s2": "open", "s3": "done"}
    assert claimed(queue) == ["s2"]  # although ann has decided it, as it was then
    assert store.record(queue, action("s2", "keep", given="elk")).states == {"s2": "done"}
    store.fill(queue, SET, "run-3", "v0003", queue_items())
    assert states(queue)["s2"] == "done"  # what was said of `cat` holds again


def test_a_decision_on_a_label_that_has_changed_meanwhile_leaves_the_item_open(queue: Engine) -> None:
    claimed(queue)
    store.fill(queue, SET, "run-2", "v0002", queue_items(given_label="elk"))
    assert store.record(queue, action("s0", "keep", given="cat")).states == {"s0": "open"}
    assert len(store.decisions(queue, SET)) == 1


def test_another_label_of_a_case_opens_it(with_case: Engine) -> None:
    store.record(with_case, action("d1", "keep", members=("s0", "s1")))
    table = pd.concat([queue_items().drop(index=[0, 1]), case_item("d1", "s0", "s1", given_label="elk")])
    store.fill(with_case, SET, "run-2", "v0002", table)
    assert claimed(with_case) == ["d1"]


# --- reading


def test_decisions_and_undos_in_the_order_in_which_they_came(queue: Engine) -> None:
    store.record(queue, action("s0", action_id="a0"))
    store.record(queue, action("s1", by="bob", action_id="a1"))
    store.undo(queue, SET, "ann", undo_id="u0")
    rows = store.decisions(queue, SET)
    assert rows["action_id"].tolist() == ["a0", "a1", "u0"]
    assert rows["undoes"].tolist() == ["", "", "a0"]
    assert rows["verdict"].tolist() == ["keep", "keep", "undo"]
    assert rows["decision_id"].is_monotonic_increasing
    since = int(rows["decision_id"].iloc[0])
    assert store.decisions(queue, SET, since_id=since)["action_id"].tolist() == ["a1", "u0"]
    assert store.decisions(queue, SET, reviewer="bob")["action_id"].tolist() == ["a1"]
    assert store.decisions(queue, SET, sample_id="s0")["action_id"].tolist() == ["a0", "u0"]


def test_order_is_that_of_the_ids_whatever_the_clock_said(queue: Engine) -> None:
    store.record(queue, action("s0", "relabel", "dog", action_id="first"))
    store.record(queue, action("s0", "relabel", "elk", action_id="second"))
    with queue.begin() as connection:  # as if the clock had been put back by a day in between
        early = sa.update(decisions_table).where(decisions_table.c.action_id == "second")
        connection.execute(early.values(decided_at="1970-01-01T00:00:00.000Z"))
    assert store.rebuild(queue, SET) == 1
    assert store.effective(queue, SET)["labels"].tolist() == ['["elk"]']
    undone = store.undo(queue, SET, "ann", undo_id="u")
    assert undone is not None
    assert undone.action_id == "second"


def test_progress_counts_items_by_issue_state_and_verdict(queue: Engine) -> None:
    store.fill(queue, SET, "run-2", "v0001", queue_items(5, issue=[*["label_error"] * 3, "dark", "dark"]).drop(index=4))
    store.record(queue, action("s0", "relabel", "dog"))
    store.record(queue, action("s1", "keep"))
    store.record(queue, action("s1", "hard", by="bob"))
    store.fill(queue, SET, "run-3", "v0001", queue_items(3))
    counts = {tuple(row)[:3]: row[3] for row in store.progress(queue, SET).itertuples(index=False)}
    assert counts == {
        ("dark", "gone", ""): 1,
        ("label_error", "disagreement", ""): 1,
        ("label_error", "done", "relabel"): 1,
        ("label_error", "open", ""): 1,
    }


def test_verdicts_say_what_was_known_when_they_were_given(queue: Engine) -> None:
    store.record(queue, action("s0", "relabel", "dog", run_id="run-1"))
    store.record(queue, action("s1", "keep", by="bob", run_id="run-0"))
    rows = store.verdicts(queue, SET)
    assert rows["item_id"].tolist() == ["s0", "s1"]
    assert rows["verdict"].tolist() == ["relabel", "keep"]
    assert rows["holds"].tolist() == [True, True]
    assert rows["score"].tolist() == [0.1, 0.1]
    assert store.verdicts(queue, SET, "run-1")["item_id"].tolist() == ["s0"]


def test_tables_without_rows_have_their_columns(engine: Engine) -> None:
    for table in (store.decisions(engine, SET), store.effective(engine, SET), store.verdicts(engine, SET)):
        assert table.empty
        assert table["labels"].dtype == "str"
        assert table["decision_id"].dtype == "int64"
    assert store.effective(engine, SET)["holds"].dtype == bool
    assert store.progress(engine, SET)["items"].dtype == "int64"


def test_what_can_be_rebuilt_is_what_was_there(queue: Engine) -> None:
    store.record(queue, action("s0", "keep"))
    store.record(queue, action("s0", "hard", by="bob"))
    store.record(queue, action("s1", "unsure"))
    before, found = states(queue), store.verdicts(queue, SET)
    with queue.begin() as connection:
        connection.execute(sa.text("DELETE FROM opinions"))
        connection.execute(sa.text("UPDATE items SET queue = 'open', state = 'open', verdict = '', opinions = 0"))
    assert store.rebuild(queue, SET) == 2
    assert states(queue) == before
    pd.testing.assert_frame_equal(store.verdicts(queue, SET), found)
