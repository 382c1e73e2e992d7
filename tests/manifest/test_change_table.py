"""Changes in words: every kind of line, and nothing in it that could act."""

from __future__ import annotations

from typing import Any

import pytest

from curation.manifest.change_table import change_table, count_changes


def line(change: str, before: Any, after: Any, **more: Any) -> dict[str, Any]:
    return {
        "change": change,
        "sample_id": "s1",
        "annotation_id": "",
        "path": "p.png",
        "from": before,
        "to": after,
        **more,
    }


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (line("relabel", "cat", "dog"), "cat", "dog"),
        (line("confirm", "cat", "cat"), "cat", "cat"),
        (line("exclude", {"status": "ok", "reason": ""}, {"status": "excluded", "reason": "broken"}), "", "broken"),
        (line("ambiguous", {}, {"curate:labels": ["cat", "dog"]}), None, "cat, dog"),
        (line("rename", "a.png", "b\u202e.png"), "a.png", "b⟨U+202E⟩.png"),
        (line("add", None, {"label": "cat"}), "", "cat"),
        (line("attributes", {}, {"curate:hard": True}, verdict="hard"), "", ""),
    ],
)
def test_each_kind_of_change_is_told_in_few_words(change: dict[str, Any], before: str | None, after: str) -> None:
    (row,) = change_table([change]).to_dict("records")
    assert row["after"] == after
    assert before is None or row["before"] == before


def test_changes_are_counted_in_words() -> None:
    lines = (
        [line("relabel", "a", "b")] * 3 + [line("confirm", "a", "a")] + [line("attributes", {}, {"curate:hard": True})]
    )
    assert count_changes(lines) == "3 relabelled, 1 marked as hard, 1 kept"
    assert count_changes([]) == "nothing"


def test_no_changes_make_an_empty_table() -> None:
    assert len(change_table([])) == 0
