"""What the store knows of an audit: which labels, in which order, and what was decided before; on both databases."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from curation import store
from curation.store import audits, schema
from curation.store.audits import NOT_RELEASED, Audit, add_draws, find_audit, listed, read_draws, release_draws
from tests.reviewing import SET, action, case_item, queue_items

AUDIT = Audit(SET, "run-1", seed=5, design=1, every=3)


def drawn(*numbers: int) -> list[tuple[str, str]]:
    return [(f"s{number}", f"s{number}") for number in numbers]


def released(engine: Engine, audit: Audit = AUDIT) -> list[int]:
    return read_draws(engine, audit)["released"].tolist()


def test_draws_are_kept_in_their_order_and_more_are_added_behind(engine: Engine) -> None:
    assert find_audit(engine, SET) is None
    assert add_draws(engine, AUDIT, 0, drawn(3, 1)) == 2
    assert add_draws(engine, AUDIT, 2, drawn(7)) == 3
    assert read_draws(engine, AUDIT)["sample_id"].tolist() == ["s3", "s1", "s7"]
    assert released(engine) == [NOT_RELEASED] * 3
    assert find_audit(engine, SET, "run-1") == AUDIT
    assert find_audit(engine, "another set") is None


def test_drawing_the_same_twice_adds_nothing(engine: Engine) -> None:
    add_draws(engine, AUDIT, 0, drawn(3, 1))
    assert add_draws(engine, AUDIT, 0, drawn(3, 1)) == 2
    assert add_draws(engine, AUDIT, 1, drawn(1, 7)) == 3
    assert read_draws(engine, AUDIT)["sample_id"].tolist() == ["s3", "s1", "s7"]


def test_the_audit_that_was_drawn_from_last_is_the_one_of_the_queue(engine: Engine) -> None:
    later = Audit(SET, "run-2", seed=6, design=1, every=1)
    add_draws(engine, AUDIT, 0, drawn(0))
    add_draws(engine, later, 0, drawn(1))
    assert find_audit(engine, SET) == later
    add_draws(engine, AUDIT, 1, drawn(2))
    assert find_audit(engine, SET) == AUDIT


def test_a_few_are_handed_out_at_a_time_with_what_was_decided_before(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(8))
    assert release_draws(engine, SET, 2) is None
    add_draws(engine, AUDIT, 0, drawn(5, 2, 7, 0))
    found = release_draws(engine, SET, 2)
    assert found == (AUDIT, [(0, "s5"), (1, "s2")])
    assert release_draws(engine, SET, 2) == found
    assert released(engine) == [0, 0, NOT_RELEASED, NOT_RELEASED]
    store.record(engine, action("s2"))
    store.record(engine, action("s1"))
    last = int(store.decisions(engine, SET)["decision_id"].max())
    assert release_draws(engine, SET, 2) == (AUDIT, [(0, "s5"), (2, "s7")])
    assert released(engine) == [0, 0, last, NOT_RELEASED]


def test_one_that_was_judged_before_its_turn_takes_nobodys_place(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(8))
    add_draws(engine, AUDIT, 0, drawn(5, 2, 7))
    store.record(engine, action("s5"))
    assert release_draws(engine, SET, 1) == (AUDIT, [(1, "s2")])
    assert NOT_RELEASED not in released(engine)[:2]


def test_unsure_is_an_answer_and_an_answer_that_was_taken_back_is_none(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(8))
    add_draws(engine, AUDIT, 0, drawn(5, 2))
    store.record(engine, action("s5", "unsure"))
    assert release_draws(engine, SET, 1) == (AUDIT, [(1, "s2")])
    store.undo(engine, SET, "ann", undo_id="back")
    assert release_draws(engine, SET, 1) == (AUDIT, [(0, "s5"), (1, "s2")])


def test_a_member_of_a_case_waits_as_the_case_until_that_is_taken_apart(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", case_item("d1", "a", "b"))
    add_draws(engine, AUDIT, 0, [("b", "d1")])
    assert release_draws(engine, SET, 1) == (AUDIT, [(0, "d1")])
    store.record(engine, action("d1", "distinct", members=("a", "b")))
    apart = queue_items(2, item_id=["a", "b"], members=['["a"]', '["b"]'])
    store.fill(engine, SET, "run-1", "v0001", apart)
    assert release_draws(engine, SET, 1) == (AUDIT, [(0, "b")])


def test_what_the_run_has_no_longer_is_passed_over(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(3))
    add_draws(engine, AUDIT, 0, drawn(2, 1))
    store.fill(engine, SET, "run-2", "v0002", queue_items(2))
    assert release_draws(engine, SET, 1) == (AUDIT, [(1, "s1")])
    assert listed(engine, SET, ["s1", "s2"]) == {"s1"}


def test_names_and_ids_of_all_kinds_are_kept(engine: Engine) -> None:
    strange = Audit("set \udce9\0", "run '\u2028", seed=2**48, design=1, every=100)
    add_draws(engine, strange, 0, [("\udce9", "d\0")])
    assert find_audit(engine, strange.dataset) == strange
    assert read_draws(engine, strange)[["sample_id", "item_id"]].to_numpy().tolist() == [["\udce9", "d\0"]]


def test_an_older_store_gets_the_tables_and_keeps_what_it_has(store_target: Path | str) -> None:
    engine = store.open_store(store_target)
    store.fill(engine, SET, "run-1", "v0001", queue_items())
    store.record(engine, action("s0"))
    with engine.begin() as connection:  # as session 3's first versions made it
        schema.audits.drop(connection)
        schema.audit_draws.drop(connection)
        connection.execute(sa.delete(schema.migrations).where(schema.migrations.c.number > schema.FIRST_SCHEMA))
    engine.dispose()
    again = store.open_store(store_target)
    assert len(store.decisions(again, SET)) == 1
    assert add_draws(again, AUDIT, 0, drawn(1)) == 1
    assert audits.find_audit(again, SET) == AUDIT
    again.dispose()
