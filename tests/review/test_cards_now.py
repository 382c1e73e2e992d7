"""Cards of what has changed since the run: no sentence contradicts the labels that stand beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation import review
from tests.building import evidence_of, make_run


def sentences(tmp_path: Path, findings: list[dict[str, Any]], now: dict[str, str], item: str = "s0") -> list[str]:
    run = make_run(tmp_path, ["cat", "cat", "dog"], findings)
    (card,) = review.cards(run, [item], None, now)
    return list(card.why)


LABEL_ERROR = {
    "at": 0, "issue": "label_error", "suggestion": "dog",
    "evidence": evidence_of("label_error", top3=[["dog", 0.9]]),
}  # fmt: skip
TWIN = {
    "at": 0, "issue": "exact_duplicate", "suggestion": "",
    "evidence": evidence_of("twin", twin="s2", twin_label="dog", kind="exact", member_count=2),
}  # fmt: skip
DARK = {
    "at": 0, "issue": "dark", "suggestion": "",
    "evidence": evidence_of("dark", measured="brightness_p99"),
}  # fmt: skip


def test_a_reason_that_speaks_of_a_label_that_was_changed_says_so(tmp_path: Path) -> None:
    (was,) = sentences(tmp_path / "a", [LABEL_ERROR], {})
    assert was == "Labelled “cat”, to which the model gives 2 %; it sees “dog” with 90 %."
    (told,) = sentences(tmp_path / "b", [LABEL_ERROR], {"s0": "dog"})
    assert told == f"Before its label changed: l{was[1:]}"
    assert sentences(tmp_path / "c", [LABEL_ERROR], {"s1": "dog"}) == [was]


def test_a_reason_that_speaks_of_a_copy_whose_label_was_changed_says_so(tmp_path: Path) -> None:
    (told,) = sentences(tmp_path / "a", [TWIN], {"s2": "fox"})
    assert told.startswith(
        "Before a copy's label changed: the pixels are identical to those of a picture labelled “dog”"
    )
    assert "Before" not in sentences(tmp_path / "b", [TWIN], {"s0": "fox"})[0]


def test_a_reason_that_is_not_about_labels_stays_as_it_is(tmp_path: Path) -> None:
    assert sentences(tmp_path / "a", [DARK], {"s0": "fox"}) == sentences(tmp_path / "b", [DARK], {})
