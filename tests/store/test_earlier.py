"""What was said of an item before: who, what and when, and never more than its index holds."""

from __future__ import annotations

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Engine

from curation import store
from curation.decisions import Decision
from curation.review.earlier import ago, explain_earlier
from curation.store.earlier import Said, decided_suspects, said_of
from tests.reviewing import SET, action, case_item, queue_items


def told(engine: Engine, item_id: str, reviewer: str = "ann") -> list[str]:
    said = said_of(engine, SET, [item_id]).get(item_id, [])
    return ["".join(explain_earlier(one, reviewer)) for one in said]


def filled(engine: Engine) -> Engine:
    """Four samples, of which s3 is no suspect, and a case of s0 and s1."""
    items = queue_items(issues=["label_error", "label_error", "label_error", ""])
    store.fill(engine, SET, "run-1", "v0001", pd.concat([items, case_item("d1", "s0", "s1")]))
    return engine


def test_each_reviewer_is_told_with_the_latest_verdict(engine: Engine) -> None:
    filled(engine)
    assert said_of(engine, SET, ["s2", "nothing"]) == {}
    store.record(engine, action("s2", "keep"))
    store.record(engine, action("s2", "relabel", "dog", by="bo", comment="a tail"))
    last = action("s2", "exclude")
    store.record(engine, last)
    assert told(engine, "s2") == [
        "bo changed the label cat to dog just now. Note: a tail",
        "You excluded it (off-topic) just now.",
    ]
    store.undo(engine, SET, "ann", last.action_id, undo_id="undo")
    assert told(engine, "s2")[0].startswith("You kept the label cat just now.")


def test_a_case_is_told_as_one_and_its_members_each_with_their_own(engine: Engine) -> None:
    filled(engine)
    store.record(engine, action("d1", "relabel", "dog", members=("s0", "s1"), by="bo"))
    assert told(engine, "d1") == ["bo gave all copies the label dog just now."]
    assert told(engine, "s1") == ["bo changed the label cat to dog just now."]


def test_no_table_is_read_from_its_beginning(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        return
    plans: list[str] = []
    filled(engine)

    def explain(
        connection: sa.Connection, cursor: object, statement: str, parameters: tuple[str, ...], *_: object
    ) -> None:
        if statement.startswith("SELECT") and "opinions" in statement:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            plans.extend(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))  # type: ignore[attr-defined]

    sa.event.listen(engine, "before_cursor_execute", explain)
    said_of(engine, SET, ["s0", "s1"])
    assert len(plans) >= 3
    assert not [plan for plan in plans if plan.startswith("SCAN")]


def test_suspects_are_counted_apart_from_what_nothing_flagged(engine: Engine) -> None:
    filled(engine)
    assert decided_suspects(engine, SET) == 0
    store.record(engine, action("s3"))
    assert decided_suspects(engine, SET) == 0
    store.record(engine, action("s2"))
    store.record(engine, action("d1", members=("s0", "s1")))
    assert decided_suspects(engine, SET) == 4


def test_times_are_said_in_words() -> None:
    words = {0.0: "just now", 59.9: "just now", 60: "1 minute ago", 7_300: "2 hours ago", 86_400 * 3: "3 days ago"}
    assert {seconds: ago(seconds) for seconds in words} == words


def test_every_verdict_has_its_words() -> None:
    def words(*made: tuple[str, ...]) -> str:
        decisions = [
            d for name, (verdict, *labels) in enumerate(made) for d in _decisions(f"s{name}", verdict, *labels)
        ]
        return "".join(explain_earlier(Said("bo", tuple(decisions), 0.0), "ann")).removeprefix("bo ")

    assert words(("hard",)) == "kept the label cat, as hard to see, just now."
    assert words(("ambiguous", "cat", "dog")) == "found several labels right, cat, dog, just now."
    assert words(("unsure",)) == "could not tell just now."
    assert words(("keep",), ("keep",)) == "left all copies as they are just now."
    assert words(("distinct",), ("distinct",)) == "said that these are no duplicates just now."
    assert words(("keep",), ("exclude",)) == "kept one copy as cat and excluded 1 other just now."
    assert words(("exclude",), ("exclude",)) == "excluded all copies (off-topic) just now."
    assert words(("keep",), ("relabel", "dog")) == "decided the copies one by one just now."


def _decisions(sample: str, verdict: str, *labels: str) -> tuple[Decision, ...]:
    return action(sample, verdict, *labels).decisions
