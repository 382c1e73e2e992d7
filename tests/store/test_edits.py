"""Edits in the store: kept as they were, in stores of before they were invented, too."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from curation import store
from curation.decisions import Action, Decision
from curation.seen import facts_of, seen_of_members, write_seen
from curation.store import Filters, find_items, schema
from tests.reviewing import SET, action, case_item, queue_items

LINES = (
    {"change": "relabel", "annotation_id": "s0-0", "from": "cat", "to": "d\udce9g\0"},
    {"change": "drop", "annotation_id": "s0-1", "from": {"label": "cat", "box": [0.1, 2.0, 3.0, 4.0]}, "to": None},
)
SEEN = {"s0-0": facts_of("cat", None), "s0-1": facts_of("cat", (0.1, 2.0, 3.0, 4.0))}


def edit(
    by: str = "ann", lines: tuple[dict[str, object], ...] = LINES, action_id: str = "a1", item: str = "s0"
) -> Action:
    made = Decision(item, "s0", "edit", given_label="cat", edits=lines, seen=write_seen("s0", SEEN))
    return Action(action_id, SET, by, (made,), session=f"tab of {by}")


def boxes(**columns: object) -> object:
    return queue_items(2, seen=write_seen("s0", SEEN), classes=schema.class_mark("cat"), **columns)


def test_what_was_recorded_comes_back_as_it_was(engine: Engine) -> None:
    assert store.record(engine, edit()).new
    assert not store.record(engine, edit()).new
    (row,) = store.decisions(engine, SET).to_dict("records")
    assert tuple(json.loads(row["edits"])) == LINES
    assert row["seen"] == write_seen("s0", SEEN)
    assert store.effective(engine, SET)["edits"].tolist() == [row["edits"]]
    assert store.verdicts(engine, SET)["verdict"].tolist() == ["edit"]
    assert store.undo(engine, SET, "ann", undo_id="u") is not None
    assert store.decisions(engine, SET)["edits"].tolist() == [row["edits"], ""]


def test_an_item_is_open_again_when_what_was_edited_has_changed(engine: Engine) -> None:
    store.fill(engine, SET, "run", "v1", boxes())  # type: ignore[arg-type]
    assert store.record(engine, edit()).states == {"s0": "done"}
    done = {"s0-0": facts_of("d\udce9g\0", None), "s0-2": facts_of("new", None)}
    store.fill(engine, SET, "run", "v2", queue_items(2, seen=[write_seen("s0", done), ""]))
    assert store.read_item(engine, SET, "s0").state == "done"
    other = {"s0-0": facts_of("eel", None)}
    store.fill(engine, SET, "run", "v3", queue_items(2, seen=[write_seen("s0", other), ""]))
    assert store.read_item(engine, SET, "s0").state == "open"
    assert store.rebuild(engine, SET) == 1
    assert store.read_item(engine, SET, "s0").state == "open"


def test_a_case_is_open_again_when_the_boxes_of_a_copy_have_changed(engine: Engine) -> None:
    def case(*labels: str) -> pd.DataFrame:
        texts = {f"s{at}": write_seen(f"s{at}", {f"s{at}-0": facts_of(label, None)}) for at, label in enumerate(labels)}
        return case_item("d1", *texts, seen=seen_of_members(texts), classes="")

    store.fill(engine, SET, "run", "v1", case("cat", "dog"))
    made = tuple(
        Decision("d1", name, "keep", given_label=label, seen=write_seen(name, {f"{name}-0": facts_of(label, None)}))
        for name, label in (("s0", "cat"), ("s1", "dog"))
    )
    assert store.record(engine, Action("a1", SET, "ann", made)).states["d1"] == "done"
    store.fill(engine, SET, "run", "v2", case("cat", "dog"))
    assert store.read_item(engine, SET, "d1").state == "done"
    store.fill(engine, SET, "run", "v3", case("cat", "eel"))
    assert store.read_item(engine, SET, "d1").state == "open"


def test_who_says_that_all_is_right_has_seen_what_the_queue_has(engine: Engine) -> None:
    store.fill(engine, SET, "run", "v1", boxes())  # type: ignore[arg-type]
    store.record(engine, action("s0", "keep", given=""))
    assert store.decisions(engine, SET)["seen"].tolist() == [write_seen("s0", SEEN)]


def test_items_by_the_class_that_a_finding_is_about(engine: Engine) -> None:
    marks = [schema.class_mark("cat") + schema.class_mark("eel"), schema.class_mark("eel"), ""]
    store.fill(engine, SET, "run", "v1", queue_items(3, classes=marks, suggestion=["", "", "dog"]))
    found = {name: [item.item_id for item in find_items(engine, SET, Filters(class_name=name))] for name in
             ("cat", "eel", "dog", "fox")}  # fmt: skip
    assert found == {"cat": ["s0", "s2"], "eel": ["s0", "s1"], "dog": ["s2"], "fox": []}
    assert store.claim(engine, SET, "ann", "tab", Filters(class_name="eel"))[0].item_id == "s0"


@pytest.mark.parametrize("schemas", [1, 2])
def test_an_older_store_gets_the_columns_and_keeps_what_it_has(store_target: Path | str, schemas: int) -> None:
    engine = store.open_store(store_target)
    store.fill(engine, SET, "run-1", "v0001", queue_items())
    store.record(engine, action("s0"))
    with engine.begin() as connection:
        for table, name in (("decisions", "edits"), ("decisions", "seen"), ("items", "seen"), ("items", "classes")):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
        if schemas == 1:
            schema.audits.drop(connection)
            schema.audit_draws.drop(connection)
        connection.execute(sa.delete(schema.migrations).where(schema.migrations.c.number > schemas))
    engine.dispose()
    again = store.open_store(store_target)
    assert store.decisions(again, SET)["edits"].tolist() == [""]
    filled = store.fill(again, SET, "run-2", "v0001", queue_items())
    assert (filled.added, filled.updated, filled.closed) == (0, 0, 0)  # nothing is different for one label
    assert store.record(again, edit(item="s0", by="bob")).states == {"s0": "disagreement"}
    assert json.loads(store.decisions(again, SET)["edits"].iloc[-1]) == list(LINES)
    again.dispose()
