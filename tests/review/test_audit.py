"""Labels drawn at random wait among the suspects, nobody can tell which, and what is said of them counts."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from curation import manifest, review, store
from curation.commands.queue import _facts
from curation.decisions import Action, Decision
from curation.errors import SettingsError
from curation.estimate import NEVER
from curation.review.audit import AHEAD, draw, estimate_of, evidence_of, interleave, judged, labels_of, mix_in
from curation.review.learning import features
from curation.review.relearning import relearn
from curation.review.work_queue import refill
from curation.runs import Run, read_run
from curation.store import audits
from tests.app.workspaces import DATASET, make_workspace

COUNT = 40


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "pets", count=COUNT, pictures=False)


@pytest.fixture
def run(workspace: Path, engine: Engine) -> Run:
    found = read_run(workspace)
    refill(engine, found, manifest.manifest_folder(workspace, DATASET))
    return found


def queue(engine: Engine, count: int = COUNT) -> list[str]:
    return [item.item_id for item in store.find_items(engine, DATASET, count=count)]


def waiting(engine: Engine) -> list[str]:
    found = audits.release_draws(engine, DATASET, AHEAD)
    assert found is not None
    return [item_id for _, item_id in found[1]]


def say(engine: Engine, item_id: str, verdict: str = "keep", *labels: str, by: str = "ann", reason: str = "") -> str:
    item = store.read_item(engine, DATASET, item_id)
    made = tuple(Decision(item_id, m, verdict, labels, reason, given_label=item.given_label) for m in item.members)
    name = f"{by} {item_id} {verdict} {labels}"
    store.record(engine, Action(name, DATASET, by, made))
    return name


def review_next(engine: Engine, count: int) -> list[str]:
    """Keep the labels of the next items; their ids."""
    done = []
    for _ in range(count):
        done += queue(engine, 1)
        say(engine, done[-1])
    return done


# --- places in the queue


def test_draws_are_mixed_among_the_suspects_every_few_items(run: Run, engine: Engine) -> None:
    before = queue(engine)
    draw(engine, run, 30, every=3, seed=1)
    assert mix_in(engine, DATASET) > 0
    now = queue(engine)
    mixed = waiting(engine)
    assert len(mixed) == AHEAD
    assert all(now.index(item_id) < 3 * (place + 1) for place, item_id in enumerate(mixed))
    assert sorted(now) == sorted(before)
    assert [item for item in now if item not in mixed] == [item for item in before if item not in mixed]
    assert mix_in(engine, DATASET) == 0


def test_every_review_is_of_the_audit_where_that_is_asked_for(run: Run, engine: Engine) -> None:
    draw(engine, run, 30, every=1, seed=1)
    mix_in(engine, DATASET)
    assert set(queue(engine, AHEAD)) == set(waiting(engine))


def test_their_places_survive_learning_and_filling_again(workspace: Path, run: Run, engine: Engine) -> None:
    known = features(run, review.build_items(run))
    draw(engine, run, COUNT, every=2, seed=2)
    mix_in(engine, DATASET)
    for _ in range(3):
        review_next(engine, 5)
        relearn(engine, DATASET, known)
        now, mixed = queue(engine), waiting(engine)
        assert all(now.index(item_id) < 2 * (place + 1) for place, item_id in enumerate(mixed))
        refill(engine, run, manifest.manifest_folder(workspace, DATASET))
        assert queue(engine) == now
    store.fill(engine, DATASET, "another run", "v0002", review.build_items(run).assign(path="elsewhere"))
    mix_in(engine, DATASET)
    now = queue(engine)
    assert all(now.index(item_id) < 2 * (place + 1) for place, item_id in enumerate(waiting(engine)))


def test_a_draw_that_is_a_suspect_comes_no_later_than_as_a_suspect() -> None:
    now = list("abcdefgh")
    assert interleave(now, {"a": 2, "g": 5, "x": 0}) == list("xabcdgefh")
    assert interleave(now, {}) == now
    assert interleave([], {"x": 4}) == ["x"]


def test_reviewing_to_the_end_makes_the_whole_audit(run: Run, engine: Engine) -> None:
    draw(engine, run, COUNT, every=3, seed=3)
    while queue(engine, 1):
        mix_in(engine, DATASET)
        review_next(engine, min(6, len(queue(engine))))
    mix_in(engine, DATASET)
    found = estimate_of(engine, run)
    assert (found.reviewed, found.waiting) == (found.labels, 0)
    assert found.start.low == found.start.high == found.fixed
    assert found.left.high == 0


# --- nobody is told


def test_nothing_that_a_reviewer_or_a_program_is_given_tells_draws_from_suspects(run: Run, engine: Engine) -> None:
    suspects = store.find_items(engine, DATASET, count=COUNT)
    draw(engine, run, 30, every=3, seed=1)
    mix_in(engine, DATASET)
    mixed = set(waiting(engine))
    items = store.find_items(engine, DATASET, count=COUNT)
    assert {field.name for field in fields(store.Item)}.isdisjoint({"audit", "audited", "drawn", "released"})
    before = {item.item_id: item for item in suspects}
    cards = review.cards(run, [item.item_id for item in items], {item.item_id: item.members for item in items}, {})
    for item, card in zip(items, cards, strict=True):
        facts = {**_facts(item, card), "priority": 0.0}
        assert facts == {**_facts(before[item.item_id], card), "priority": 0.0}
        assert "audit" not in json.dumps(asdict(card)).lower()
    priorities = [item.priority for item in items]
    assert priorities == sorted(set(priorities), reverse=True)
    assert all(value == round(value) for value in priorities)
    steps = {item.item_id: one - other for item, one, other in zip(items, priorities, priorities[1:], strict=False)}
    last = max(place for place, item in enumerate(items) if item.item_id in mixed)
    assert {steps[item.item_id] for item in items[:last]} == {1.0}


def test_verdicts_and_decisions_do_not_say_which_were_drawn(run: Run, engine: Engine) -> None:
    columns = [set(table.columns) for table in (store.verdicts(engine, DATASET), store.decisions(engine, DATASET))]
    draw(engine, run, 30, seed=1)
    mix_in(engine, DATASET)
    review_next(engine, 6)
    assert [set(store.verdicts(engine, DATASET)), set(store.decisions(engine, DATASET))] == columns


# --- drawing


def test_drawing_more_goes_on_with_the_same_order(run: Run, engine: Engine) -> None:
    audit, count = draw(engine, run, 10, seed=7)
    _, more = draw(engine, run, 15)
    assert (count, more) == (10, 25)
    at_once = audits.read_draws(engine, audit)["sample_id"].tolist()
    assert len(set(at_once)) == 25
    with pytest.raises(SettingsError, match="another seed"):
        draw(engine, run, 1, seed=8)
    _, everything = draw(engine, run, 10_000)
    assert everything == len(labels_of(run))


def test_two_audits_of_the_same_seed_are_the_same_and_others_are_not(run: Run, engine: Engine, tmp_path: Path) -> None:
    orders = []
    for number, seed in enumerate((1, 1, 2, None)):
        elsewhere = store.open_store(tmp_path / f"store {number}")
        audit, _ = draw(elsewhere, run, 20, seed=seed)
        orders.append(audits.read_draws(elsewhere, audit)["sample_id"].tolist())
        elsewhere.dispose()
    assert orders[0] == orders[1]
    assert orders[2] != orders[0] != orders[3] != orders[2]


def test_a_run_without_labels_cannot_be_audited(tmp_path: Path, engine: Engine) -> None:
    bare = read_run(make_workspace(tmp_path / "bare", count=6, pictures=False))
    samples = bare.samples().assign(given_label="")
    samples.to_parquet(bare.folder / "samples.parquet")
    with pytest.raises(SettingsError, match="no label that could be audited"):
        draw(engine, bare, 5)


# --- what verdicts mean


def test_evidence_is_what_reviewers_said_and_when(run: Run, engine: Engine) -> None:
    draw(engine, run, 30, every=1, seed=4)
    mix_in(engine, DATASET)
    first, second, third = queue(engine, 3)
    say(engine, first)
    say(engine, second, "relabel", "quokka")
    say(engine, third, "unsure")
    mix_in(engine, DATASET)
    evidence = evidence_of(engine, run)
    row = {sample_id: at for at, sample_id in enumerate(labels_of(run)["sample_id"])}
    member = {item_id: row[store.read_item(engine, DATASET, item_id).members[0]] for item_id in (first, second, third)}
    assert [evidence.least[member[name]] for name in (first, second, third)] == [0, 1, 0]
    assert [evidence.most[member[name]] for name in (first, second, third)] == [0, 1, 1]
    assert [bool(evidence.answered[member[name]]) for name in (first, second, third)] == [True, True, True]
    assert evidence.since[member[first]] < evidence.since[member[second]] < NEVER == evidence.since[member[third]]
    found = estimate_of(engine, run)
    assert found.fixed >= 1
    assert found.unsettled >= 1


def test_a_label_stays_wrong_at_the_start_after_it_was_published_and_kept(run: Run, engine: Engine) -> None:
    (item,) = store.find_items(engine, DATASET, store.Filters(kind="sample"), 1)
    say(engine, item.item_id, "relabel", "quokka")
    later = review.build_items(run)
    later.loc[later["item_id"] == item.item_id, "given_label"] = "quokka"
    store.fill(engine, DATASET, run.run_id, "v0002", later)
    say(engine, item.item_id)
    assert store.effective(engine, DATASET)["verdict"].tolist() == ["keep"]
    assert estimate_of(engine, run).fixed == 1


def test_what_is_in_the_data_set_no_longer_does_not_hold_up_the_audit(run: Run, engine: Engine) -> None:
    draw(engine, run, 30, every=1, seed=4)
    mix_in(engine, DATASET)
    gone, *rest = waiting(engine)
    items = review.build_items(run)
    members = json.loads(items.loc[items["item_id"] == gone, "members"].iloc[0])
    store.fill(engine, DATASET, run.run_id, "v0002", items[~items["item_id"].isin([gone, *members])])
    for item_id in rest[:2]:
        say(engine, item_id)
    assert estimate_of(engine, run).audited >= 3


def said(**columns: str) -> pd.DataFrame:
    one = {
        "sample_id": "a", "verdict": "keep", "labels": "[]", "reason": "", "given_label": "cat", "state": "done",
        "action_id": "x", "holds": True,
    }  # fmt: skip
    return pd.DataFrame([{**one, **columns}])


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        ({}, False),
        ({"verdict": "hard"}, False),
        ({"verdict": "relabel", "labels": '["dog"]'}, True),
        ({"verdict": "ambiguous", "labels": '["dog", "cat"]'}, False),
        ({"verdict": "ambiguous", "labels": '["dog", "owl"]'}, True),
        ({"verdict": "exclude", "reason": "off-topic"}, True),
        ({"verdict": "exclude", "reason": "broken"}, False),
        ({"verdict": "exclude", "reason": "duplicate"}, False),
        ({"given_label": "dog"}, True),  # kept after another version had changed it
        ({"verdict": "relabel", "labels": '["cat"]', "given_label": "dog"}, False),
        ({"verdict": "unsure"}, None),
        ({"state": "disagreement"}, None),
    ],
)
def test_what_a_verdict_says_of_the_label_at_the_start(columns: dict[str, str], wrong: bool | None) -> None:
    assert judged(said(**columns), {"a": "cat"}) == {"a": wrong}


def test_distinct_says_nothing_of_labels() -> None:
    assert judged(said(verdict="distinct"), {"a": "cat"}) == {}


def test_a_copy_that_was_dropped_was_wrong_if_the_one_that_is_kept_has_another_label() -> None:
    table = pd.concat(
        [said(verdict="exclude", reason="duplicate"), said(sample_id="b", given_label="dog")], ignore_index=True
    )
    assert judged(table, {"a": "cat", "b": "dog"}) == {"a": True, "b": False}


def test_the_opinion_that_holds_counts_whoever_spoke_last() -> None:
    table = pd.concat([said(verdict="relabel", labels='["dog"]'), said().assign(holds=False)], ignore_index=True)
    assert judged(table, {"a": "cat"}) == {"a": True}
