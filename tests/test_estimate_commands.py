"""`curate audit` and `curate estimate`: what they print, and what a program gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation import cli, store
from curation.decisions import Action, Decision
from curation.estimate import Estimate, Interval
from curation.estimate_text import facts, lines, sentences
from curation.review.audit import mix_in
from tests.app.workspaces import DATASET, make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "pets", count=40, pictures=False)


def run(workspace: Path, *arguments: str, code: int = 0, capsys: Any) -> str:
    capsys.readouterr()
    assert cli.main([*arguments, "--workspace", str(workspace)]) == code
    return capsys.readouterr().out


def review_next(workspace: Path, count: int) -> None:
    engine = store.open_store(workspace)
    for _ in range(count):
        mix_in(engine, DATASET)
        (item,) = store.find_items(engine, DATASET, count=1)
        made = tuple(Decision(item.item_id, m, "keep", given_label=item.given_label) for m in item.members)
        store.record(engine, Action(f"keep {item.item_id}", DATASET, "ann", made))


def test_without_an_audit_no_interval_is_claimed(workspace: Path, capsys: Any) -> None:
    out = run(workspace, "estimate", capsys=capsys)
    assert "no interval" in out
    assert "curate audit" in out
    found = json.loads(run(workspace, "estimate", "--json", capsys=capsys))
    assert (found["wrong_at_start"]["low"], found["left"]["high"], found["advice"]) == (None, None, "audit")


def test_an_audit_is_drawn_reviewed_and_counted(workspace: Path, capsys: Any) -> None:
    assert "10 labels are drawn at random" in run(workspace, "audit", "--count", "10", "--every", "1", capsys=capsys)
    drawn = json.loads(run(workspace, "audit", "--count", "5", "--every", "1", "--json", capsys=capsys))
    assert (drawn["drawn"], drawn["every"]) == (15, 1)
    review_next(workspace, 12)
    found = json.loads(run(workspace, "estimate", "--json", capsys=capsys))
    assert 10 <= found["audited"] <= 15
    assert found["wrong_at_start"]["low"] <= found["wrong_at_start"]["estimate"] <= found["wrong_at_start"]["high"]
    assert found["audited_to_halve"] > 0
    out = run(workspace, "estimate", capsys=capsys)
    assert "audited labels are few" in out
    assert "95 % confidence" in out


def test_neither_command_nor_the_queue_gives_away_what_was_drawn(workspace: Path, capsys: Any) -> None:
    before = json.loads(run(workspace, "queue", "--json", "--top", "100", capsys=capsys))
    said = [run(workspace, "audit", *more, "--count", "20", "--seed", "1", capsys=capsys) for more in ((), ("--json",))]
    said += [run(workspace, "estimate", *more, capsys=capsys) for more in ((), ("--json",))]
    assert not any(item["item_id"] in text for item in before for text in said)
    assert "seed" not in said[1]
    after = json.loads(run(workspace, "queue", "--json", "--top", "100", capsys=capsys))
    by_id = {item["item_id"]: item for item in before}
    assert [item["item_id"] for item in after] != [item["item_id"] for item in before]
    for item in after:
        assert {**item, "priority": 0} == {**by_id[item["item_id"]], "priority": 0}


def test_another_seed_is_refused(workspace: Path, capsys: Any) -> None:
    run(workspace, "audit", "--seed", "1", capsys=capsys)
    run(workspace, "audit", "--seed", "2", code=2, capsys=capsys)


def test_words_are_exact_where_the_number_is() -> None:
    known, nothing = Interval(7.0, 7.0, 7.0), Interval(0.0, 0.0, 0.0)
    found = Estimate(
        labels=90, reviewed=90, unsettled=1, audited=60, waiting=2, start=known, fixed=7, left=nothing, classes=(),
        halve=None, fixes=0.0, ahead=0, advice="stop", reasons=("Done.",),
    )  # fmt: skip
    assert lines(found)[0] == ("at the start", "7", "exact")
    assert sentences(found)[0] == "Done."
    assert any("2 labels" in sentence for sentence in sentences(found))
    assert any("1 label is unsettled" in sentence for sentence in sentences(found))
    assert (found.fixes_per_100, facts(found)["left"]["high"]) == (0.0, 0.0)
