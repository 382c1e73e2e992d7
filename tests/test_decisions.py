"""What may be decided, and what several reviewers' verdicts on one item amount to."""

from dataclasses import replace

import pytest

from curation.decisions import (
    Action,
    Decision,
    Opinion,
    agreed,
    case_id,
    check_action,
    item_state,
    lot,
    opinions_of,
)
from curation.errors import SettingsError

RIGHT = Action("a1", "set", "ann", (Decision("s1", "s1", "keep", given_label="cat"),))


def deciding(verdict: str, *labels: str, reason: str = "", item: str = "s1", given: str = "cat") -> Action:
    return replace(RIGHT, decisions=(Decision(item, "s1", verdict, labels, reason, given_label=given),))


def says(reviewer: str, verdict: str, *labels: str, number: int = 0) -> Opinion:
    return Opinion(reviewer, (Decision("s1", "s1", verdict, labels, given_label="cat"),), number)


# --- what may be recorded


@pytest.mark.parametrize(
    "action",
    [
        deciding("keep"),
        deciding("hard"),
        deciding("relabel", "dog"),
        deciding("ambiguous", "dog", "cat"),
        deciding("exclude", reason="broken"),
        deciding("distinct", item="d1"),
        deciding("unsure"),
    ],
)
def test_every_verdict_can_be_recorded(action: Action) -> None:
    assert check_action(action, {"cat", "dog"}) == action


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (deciding("maybe"), "no verdict 'maybe'"),
        (deciding("undo"), "no verdict 'undo'"),
        (deciding("relabel"), "one new label"),
        (deciding("relabel", "dog", "cat"), "one new label"),
        (deciding("ambiguous", "dog"), "two or more"),
        (deciding("ambiguous", "dog", "dog"), "two or more different"),
        (deciding("keep", "dog"), "takes no label"),
        (deciding("exclude"), "needs a reason"),
        (deciding("exclude", reason="ugly"), "needs a reason"),
        (deciding("keep", reason="broken"), "needs a reason"),
        (deciding("keep", reason="ugly"), "needs a reason"),
        (deciding("distinct"), "members of a duplicates case"),
        (deciding("relabel", "horse"), "no label 'horse'"),
        (deciding("ambiguous", "dog", "horse"), "no label 'horse'"),
        (deciding("keep", item=""), "needs the sample"),
        (replace(RIGHT, reviewer=""), "reviewer's name is empty"),
        (replace(RIGHT, reviewer=" ann"), "blanks around"),
        (replace(RIGHT, reviewer="a\nb"), "control characters"),
        (replace(RIGHT, reviewer="a" * 101), "101 characters"),
        (replace(RIGHT, action_id=""), "id is empty"),
        (replace(RIGHT, dataset=""), "data set is empty"),
        (replace(RIGHT, dataset="x" * 256), "256 characters"),
        (replace(RIGHT, seconds=float("nan")), "nan seconds"),
        (replace(RIGHT, seconds=-1.0), "-1.0 seconds"),
        (replace(RIGHT, comment="x" * 10_001), "10,000 characters"),
        (replace(RIGHT, comment="\ud800"), "comment"),
        (replace(RIGHT, undoes="a0"), "taken back with"),
        (replace(RIGHT, decisions=()), "1 to"),
        (replace(RIGHT, decisions=RIGHT.decisions * 2), "same sample"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(action: Action, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_action(action, {"cat", "dog"})


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("x" * 1001, "1,001 characters"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("\x1b[31m", "control"),
        ("\ud800", "control"),
        ("a\u2028b", "control"),
    ],
)
def test_a_new_label_must_be_a_line_of_text(label: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_action(deciding("relabel", label), None)
    known = {label}  # what the data set has can be chosen, whatever it looks like
    assert check_action(deciding("relabel", label), known).decisions[0].labels == (label,)


@pytest.mark.parametrize(
    "label", ["dog", "x" * 1000, "Ünïcode 犬", "👩‍👩‍👧", "=cmd()", "../x", "<b>", "nan", "No", "é"]
)
def test_any_other_text_can_be_a_new_label(label: str) -> None:
    assert check_action(deciding("relabel", label), None).decisions[0].labels == (label,)


def test_relabelling_to_the_given_label_keeps_it() -> None:
    (made,) = check_action(deciding("relabel", "cat"), {"cat"}).decisions
    assert (made.verdict, made.labels) == ("keep", ())


# --- what they amount to


@pytest.mark.parametrize(
    ("opinions", "needed", "state", "verdict"),
    [
        ([], 1, "open", ""),
        ([says("ann", "unsure")], 1, "open", ""),
        ([says("ann", "keep")], 1, "done", "keep"),
        ([says("ann", "keep")], 2, "second", "keep"),
        ([says("ann", "keep"), says("bob", "unsure")], 2, "second", "keep"),
        ([says("ann", "keep"), says("bob", "keep")], 2, "done", "keep"),
        ([says("ann", "keep"), says("bob", "hard")], 2, "disagreement", ""),
        ([says("ann", "keep"), says("bob", "relabel", "dog")], 1, "disagreement", ""),
        ([says("ann", "relabel", "dog"), says("bob", "relabel", "elk")], 1, "disagreement", ""),
        ([says("ann", "ambiguous", "a", "b"), says("bob", "ambiguous", "b", "a")], 2, "done", "ambiguous"),
        ([says("ann", "keep"), says("bob", "hard"), says("cid", "keep")], 2, "done", "keep"),
        ([says("ann", "keep"), says("bob", "hard"), says("cid", "relabel", "x")], 2, "disagreement", ""),
        ([says("ann", "keep"), says("bob", "hard"), says("cid", "keep"), says("dan", "hard")], 2, "disagreement", ""),
        ([says("ann", "keep"), replace(says("bob", "hard", number=2), adjudicates=True)], 2, "done", "hard"),
    ],
)
def test_state_and_verdict_of_an_item(opinions: list[Opinion], needed: int, state: str, verdict: str) -> None:
    assert item_state(opinions, needed) == state
    holding = agreed(opinions)
    assert (holding.verdict if holding else "") == verdict
    assert item_state(opinions[::-1], needed) == state


def test_somebody_new_to_a_disagreement_settles_it() -> None:
    given = [says("ann", "keep", number=1), says("bob", "hard", number=2), says("cid", "relabel", "dog", number=3)]
    opinions = opinions_of(given, 2)
    assert [o.adjudicates for o in opinions] == [False, False, True]
    assert item_state(opinions, 2) == "done"
    assert agreed(opinions) == opinions[2]
    changed = opinions_of([*given, says("cid", "keep", number=4)], 2)  # the judge can have another look
    assert item_state(changed, 2) == "done"
    late = opinions_of([*given, says("dan", "keep", number=4)], 2)  # too late: it is settled
    assert agreed(late) == opinions[2]


def test_one_of_two_who_disagree_can_give_way_but_not_overrule_the_other() -> None:
    given = [says("ann", "keep", number=1), says("bob", "hard", number=2)]
    assert item_state(opinions_of([*given, says("ann", "keep", number=3)], 2), 2) == "disagreement"
    assert item_state(opinions_of([*given, says("ann", "hard", number=3)], 2), 2) == "done"
    unsure = [says("cid", "unsure", number=3), says("cid", "keep", number=4)]
    assert item_state(opinions_of([*given, *unsure], 2), 2) == "done"


def test_the_last_word_of_a_reviewer_counts() -> None:
    given = [says("ann", "keep", number=1), says("ann", "relabel", "dog", number=2)]
    assert [o.verdict for o in opinions_of(given, 1)] == ["relabel"]
    assert opinions_of([*given, says("ann", "unsure", number=3)], 1)[0].verdict == "unsure"


def test_opinions_on_a_case_agree_where_they_agree_on_every_member() -> None:
    def keeps(reviewer: str, kept: str) -> Opinion:
        members = tuple(
            Decision("d1", m, "keep") if m == kept else Decision("d1", m, "exclude", (), "duplicate")
            for m in ("a", "b")
        )
        return Opinion(reviewer, members)

    assert item_state([keeps("ann", "a"), keeps("bob", "a")], 2) == "done"
    assert item_state([keeps("ann", "a"), keeps("bob", "b")], 2) == "disagreement"
    assert keeps("ann", "a").verdict == "exclude"


def test_a_verdict_on_a_case_that_says_nothing_about_its_samples() -> None:
    assert not Decision("d1", "s1", "distinct").about_sample
    assert not Decision("d1", "s1", "unsure").about_sample
    assert Decision("d1", "s1", "exclude", (), "duplicate").about_sample
    assert Decision("s1", "s1", "unsure").about_sample


def test_ids_and_lots_are_the_same_everywhere() -> None:
    assert case_id(["s2", "s1"]) == case_id(["s1", "s2"]) == "dc6783441a2b2ebfb"
    assert lot("second opinion", 0, "s1") == lot("second opinion", 0, "s1")
    drawn = [lot("second opinion", 7, f"s{n}") for n in range(10_000)]
    assert 0 <= min(drawn) < max(drawn) < 1
    assert abs(sum(value < 0.1 for value in drawn) / 10_000 - 0.1) < 0.02
    assert lot("hide suggestion", 7, "s1") != drawn[1] != lot("second opinion", 8, "s1")


def test_the_same_label_is_one_opinion_before_and_after_it_was_published() -> None:
    before = Opinion("ann", (Decision("s1", "s1", "relabel", ("dog",), given_label="cat"),), 1)
    after = Opinion("bob", (Decision("s1", "s1", "keep", given_label="dog"),), 2)
    other = Opinion("cy", (Decision("s1", "s1", "keep", given_label="cat"),), 3)
    assert item_state([before, after], needed=2) == "done"
    assert item_state([before, other], needed=2) == "disagreement"
