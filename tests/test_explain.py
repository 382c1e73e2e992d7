import json

import pytest

from curation.detectors import DETECTORS
from curation.explain import MEANINGS, Label, explain, explain_case, explain_parts, percent, title_of, visible


def row(issue, given="cat", suggestion="", is_issue=True, **evidence):
    return {
        "issue": issue, "score": 0.1, "is_issue": is_issue, "given_label": given, "suggestion": suggestion,
        "evidence": json.dumps(evidence),
    }  # fmt: skip


LABEL_ERROR = {
    "p_given": 0.021,
    "top3": [["dog", 0.94], ["cat", 0.021], ["cow", 0.01]],
    "neighbours": [["a", "dog", 0.1], ["b", "dog", 0.1], ["c", "cat", 0.2]],
    "judged": True,
}


def test_label_error_names_both_labels_their_probabilities_and_the_neighbours():
    assert explain(row("label_error", suggestion="dog", **LABEL_ERROR)) == (
        "Labelled “cat”, to which the model gives 2 %; it sees “dog” with 94 %; "
        "2 of its 3 nearest neighbours are labelled “dog”."
    )


def test_neighbours_that_disagree_are_not_a_majority():
    scattered = {**LABEL_ERROR, "neighbours": [["a", "dog", 0.1], ["b", "cow", 0.1]]}
    assert explain(row("label_error", **scattered)).endswith("; its 2 nearest neighbours all have different labels.")


def test_label_error_without_neighbours_or_model():
    assert explain(row("label_error", **{**LABEL_ERROR, "neighbours": []})).endswith("with 94 %.")
    assert "look for yourself" in explain(row("label_error", **{**LABEL_ERROR, "judged": False}))


def test_flagged_label_that_the_model_agrees_with_is_explained_by_training():
    agreed = {**LABEL_ERROR, "p_given": 0.6, "top3": [["cat", 0.6]], "neighbours": [["a", "cat", 0.1]]}
    assert explain(row("label_error", **agreed)) == (
        "Labelled “cat”, to which the model gives 60 %, but it was hard to learn in training; "
        "its nearest neighbour is labelled the same."
    )
    assert "nothing speaks against it" in explain(row("label_error", is_issue=False, **agreed))


def test_copies():
    conflict = row(
        "conflicting_duplicate", suggestion="dog", twin="a", twin_label="dog", kind="exact", favoured_by="model"
    )
    assert explain(conflict) == (
        "Labelled “cat”, while a picture with identical pixels is labelled “dog”; the model favours “dog”."
    )
    assert "".join(explain_case(conflict)) == "Identical pixels, labelled cat and dog; the model favours dog."
    leak = row("split_leak", twin="a", twin_label="cat", kind="near", split="train", twin_split="test")
    assert explain(leak) == "A changed copy of a picture in the split “test”, while this one is in “train”."
    assert "".join(explain_case(leak)) == "Changed copies of one picture, in the splits train and test."
    three = row(
        "exact_duplicate", suggestion="exclude", twin="a", twin_label="cat", kind="exact", member_count=3, keep="a"
    )
    assert explain(three) == (
        "The pixels are identical to those of a picture labelled “cat”, and of 1 more; that is the one to keep."
    )


@pytest.mark.parametrize(
    ("suggestion", "keep", "said"),
    [("exclude", "a", "; that is"), ("exclude", "c", "; another copy is"), ("", "self", "; this is")],
)
def test_the_copy_to_keep_is_the_one_that_the_rule_keeps(suggestion, keep, said):
    same = {"twin": "a", "twin_label": "cat", "kind": "exact", "keep": keep}
    assert explain(row("exact_duplicate", suggestion=suggestion, **same)).endswith(f"{said} the one to keep.")
    assert "to keep" not in explain(row("exact_duplicate", suggestion=suggestion, **{**same, "keep": ""}))


def test_which_copy_to_keep_is_left_to_the_pair_where_the_labels_differ():
    other = row("exact_duplicate", suggestion="exclude", twin="a", twin_label="dog", kind="exact", keep="a")
    assert explain(other) == "The pixels are identical to those of a picture labelled “dog”."


def test_measurements():
    assert explain(row("dark", measured="brightness", value=0.031, threshold=0.1)) == (
        "Brightness 0.031 is below the limit of 0.1."
    )
    assert explain(row("dark", measured="brightness_p99", value=0.0392, threshold=0.32)) == (
        "Even its lightest parts have a brightness of only 0.0392 (0 is black, 1 is white), below the limit of 0.32."
    )
    assert explain(row("odd_size", measured="side_px", value=3000, threshold=900)) == (
        "Its side length is 3,000 pixels, above the limit of 900."
    )
    assert explain(row("outlier", distance=0.6, usual_distance=0.2)) == (
        "Its nearest pictures are 3.0 times as far away as is usual in this set."
    )
    assert (
        explain(row("unreadable", path="a.png", reason="the file is empty (0 bytes)")) == "The file is empty (0 bytes)."
    )


@pytest.mark.parametrize("issue", [*DETECTORS, "an_issue_of_tomorrow"])
@pytest.mark.parametrize(
    "evidence", ["", "{", "null", "[]", "{}", '{"twin": 3}', '{"top3": []}', '{"top3": [[]]}', "[" * 9999]
)
def test_evidence_that_makes_no_sense_still_gives_a_sentence(issue, evidence):
    sentence = explain({**row(issue), "evidence": evidence})
    assert sentence.endswith((".", "look for yourself."))


def test_new_issue_with_known_kinds_of_evidence_is_explained():
    assert "limit of 5" in explain(row("too_green", measured="greenness", value=9, threshold=5))
    assert "labelled “dog”" in explain(row("rotated_duplicate", twin="a", twin_label="dog", kind="rotated"))
    assert title_of("too_green") == "too green"


def test_every_detector_has_a_meaning_for_people():
    assert set(MEANINGS) == set(DETECTORS)


def test_labels_are_marked_so_that_they_can_be_isolated():
    parts = explain_parts(row("label_error", **LABEL_ERROR))
    assert [part for part in parts if isinstance(part, Label)] == ["cat", "dog", "dog"]


def test_nothing_invisible_or_reordering_gets_through():
    assert visible("a\x1b[31m\n\x00\x7f") == "a␛[31m␊␀␡"
    assert visible("cat\u202egpj") == "cat⟨U+202E⟩gpj"
    assert visible(" cat") == "␣cat"
    assert visible("cat ") == "cat␣"
    assert visible("\ufeffcat\u200b\x85") == "⟨U+FEFF⟩cat⟨U+200B⟩⟨U+0085⟩"
    assert visible("a\u00a0b\u00a0") == "a⟨U+00A0⟩b⟨U+00A0⟩"
    assert visible("caf\udce9") == "caf⟨U+DCE9⟩"
    assert visible("family 👩‍👩‍👧 and می‌خواهم") == "family 👩‍👩‍👧 and می‌خواهم"
    assert visible("x" * 10**6) == "x" * 120 + "… (1,000,000 characters)"
    assert visible("") == ""


def test_hostile_label_in_a_sentence_is_shown_not_obeyed():
    sentence = explain(row("label_error", given="\x1b[2Jcat\u202e", **LABEL_ERROR))
    assert sentence.startswith("Labelled “␛[2Jcat⟨U+202E⟩”, to")


def test_percent_never_claims_certainty():
    assert [percent(p) for p in (0, 0.004, 0.5, 0.996, 1)] == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
