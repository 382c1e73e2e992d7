"""The review store when processes are killed, compete, or lose their connection: nothing lost, nothing doubled."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from curation import store
from curation.errors import WorkspaceError
from curation.store import Filters, open_store
from curation.store.database import BUSY_SECONDS, take_turns
from tests import databases
from tests.databases import Server, running_server
from tests.reviewing import SET, action, queue_items

ROOT = Path(__file__).parents[1]
POINTS = ("store.before_begin", "store.after_insert", "store.before_commit", "store.after_commit")


def start(target: Path | str, what: str, failpoint: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store_worker", str(target), what],
        cwd=ROOT,
        env={**os.environ, "CURATE_FAILPOINT": failpoint},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(target: Path | str, what: str, failpoint: str = "") -> tuple[int, list[str]]:
    """Exit status and what was acknowledged."""
    process = start(target, what, failpoint)
    said, errors = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode, said.splitlines()


@pytest.fixture
def queue(engine: Engine) -> Engine:
    store.fill(engine, SET, "run-1", "v0001", queue_items())
    return engine


def contents(engine: Engine) -> dict[str, list[Any]]:
    """All that the store says, but for ids and times."""
    items = [i for state in ("open", "done", "gone") for i in store.find_items(engine, SET, Filters(state=state))]
    rows = store.decisions(engine, SET).drop(columns=["decision_id", "decided_at"])
    return {"items": items, "decisions": rows.to_dict("records"), "run": [store.policy(engine, SET)]}


# --- killed


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("time", [1, 2])
def test_a_kill_while_deciding_keeps_what_was_acknowledged(
    queue: Engine, store_target: Path | str, point: str, time: int
) -> None:
    status, said = run(store_target, "decide", f"{point}:kill:{time}")
    assert status == -signal.SIGKILL
    kept = store.decisions(queue, SET)["action_id"].tolist()
    acknowledged = [line.split()[0] for line in said]
    assert len(acknowledged) == time - 1
    assert kept == [f"a{n}" for n in range(time if point == "store.after_commit" else time - 1)]
    done = [item.item_id for item in store.find_items(queue, SET, Filters(state="done"))]
    assert done == [action_id.replace("a", "s") for action_id in kept]
    # The client tries again: each is counted once.
    assert run(store_target, "decide") == (0, [f"a{n} {f'a{n}' not in kept}" for n in range(2)])
    assert store.decisions(queue, SET)["action_id"].tolist() == ["a0", "a1"]
    assert len(store.find_items(queue, SET, Filters(state="done"))) == 2


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_undoing_leaves_the_old_state_or_the_new(
    queue: Engine, store_target: Path | str, point: str
) -> None:
    store.record(queue, action("s0", action_id="a0"))
    store.record(queue, action("s1", action_id="a1"))
    status, said = run(store_target, "undo", f"{point}:kill:1")
    assert (status, said) == (-signal.SIGKILL, [])
    undone = point == "store.after_commit"
    assert len(store.effective(queue, SET)) == (1 if undone else 2)
    assert run(store_target, "undo") == (0, ["undone a1"])
    assert store.effective(queue, SET)["item_id"].tolist() == ["s0"]


@pytest.mark.parametrize("point", ["store.before_begin", "store.before_commit", "store.after_commit"])
def test_a_kill_while_filling_leaves_the_old_queue_or_the_new(
    queue: Engine, store_target: Path | str, point: str
) -> None:
    store.record(queue, action("s0"))
    before = contents(queue)
    assert run(store_target, "fill", f"{point}:kill:1") == (-signal.SIGKILL, [])
    killed = contents(queue)
    assert run(store_target, "fill") == (0, ["filled"])
    after = contents(queue)
    assert killed == (after if point == "store.after_commit" else before)
    assert [item.suggestion for item in after["items"]] == ["elk"] * 6


@pytest.mark.parametrize("point", ["store.before_migration", "store.after_migration"])
def test_a_kill_while_the_tables_are_made_leaves_none_or_all(store_target: Path | str, point: str) -> None:
    assert run(store_target, "decide", f"{point}:kill:1")[0] == -signal.SIGKILL
    assert run(store_target, "decide") == (0, ["a0 True", "a1 True"])


# --- competing


def test_processes_that_review_one_queue_decide_each_item_once(engine: Engine, store_target: Path | str) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(60))
    workers = [start(store_target, "review") for _ in range(3)]
    ends = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], ends
    rows = store.decisions(engine, SET)
    assert sum(int(said) for said, _ in ends) == len(rows) == 60
    assert rows["item_id"].is_unique
    assert rows["decision_id"].is_monotonic_increasing
    assert len(store.find_items(engine, SET, Filters(state="done"), 100)) == 60


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns in so many threads that start together."""
    ready = threading.Barrier(count)

    def begin(number: int) -> Any:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_threads_share_an_engine_and_never_an_item(engine: Engine) -> None:
    store.fill(engine, SET, "run-1", "v0001", queue_items(24))
    found = at_once(8, lambda n: [store.claim(engine, SET, "ann", f"tab {n}", count=3) for _ in range(2)])
    for first, again in found:
        assert [item.item_id for item in first] == [item.item_id for item in again]
    held = [item.item_id for first, _ in found for item in first]
    assert sorted(held) == sorted({f"s{n}" for n in range(24)})


def test_a_double_click_is_one_decision(queue: Engine) -> None:
    made = action("s0", "relabel", "dog")
    results = at_once(6, lambda _: store.record(queue, made))
    assert sorted(result.new for result in results) == [False] * 5 + [True]
    assert len(store.decisions(queue, SET)) == 1


def test_a_double_click_on_undo_takes_one_action_back(queue: Engine) -> None:
    for number in range(4):
        store.record(queue, action(f"s{number}", action_id=f"a{number}"))
    results = at_once(4, lambda _: store.undo(queue, SET, "ann", undo_id="u"))
    assert {result.action_id for result in results} == {"a3"}
    assert sorted(result.new for result in results) == [False] * 3 + [True]
    assert store.effective(queue, SET)["action_id"].tolist() == ["a0", "a1", "a2"]


def test_an_undo_and_a_decision_at_once_are_both_recorded(queue: Engine) -> None:
    store.record(queue, action("s0", "keep", action_id="a0"))

    def work(number: int) -> Any:
        if number:
            return store.undo(queue, SET, "ann", "a0", undo_id="u")
        return store.record(queue, action("s0", "hard", by="bob"))

    at_once(2, work)
    assert store.effective(queue, SET)["verdict"].tolist() == ["hard"]
    assert [item.item_id for item in store.find_items(queue, SET, Filters(state="done"))] == ["s0"]


def test_two_who_decide_the_same_item_at_once_are_two_opinions(queue: Engine) -> None:
    at_once(2, lambda n: store.record(queue, action("s0", ("keep", "hard")[n], by=("ann", "bob")[n])))
    assert [item.item_id for item in store.find_items(queue, SET, Filters(state="disagreement"))] == ["s0"]


def test_a_store_that_several_open_first_is_made_once(store_target: Path | str) -> None:
    engines = at_once(6, lambda _: open_store(store_target))
    assert len({store.store_id(engine) for engine in engines}) == 1
    for engine in engines:
        engine.dispose()


def test_filling_and_deciding_at_once_lose_nothing(queue: Engine) -> None:
    def work(number: int) -> Any:
        if number:
            return store.fill(queue, SET, "run-2", "v0001", queue_items(40, suggestion="elk"))
        return [store.record(queue, action(f"s{n}")) for n in range(4)]

    at_once(2, work)
    done = store.find_items(queue, SET, Filters(state="done"))
    assert [item.item_id for item in done] == ["s0", "s1", "s2", "s3"]
    assert {item.suggestion for item in done} == {"elk"}


# --- PostgreSQL: connections that are lost


@pytest.fixture
def on_server(postgresql_server: Server) -> Iterator[Engine]:
    engine = open_store(postgresql_server.empty_database())
    store.fill(engine, SET, "run-1", "v0001", queue_items())
    yield engine
    engine.dispose()


def cut_off(server: Server, pid: int) -> None:
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.parametrize("heard", [False, True])
def test_a_connection_that_is_lost_at_the_commit_counts_once(
    on_server: Engine, postgresql_server: Server, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    """Whether the server heard of the commit or not, the client does not hear of its success."""
    commit, losses = on_server.dialect.do_commit, [1]

    def lose(connection: Any) -> None:
        if losses and heard:
            commit(connection)
        if losses:
            losses.clear()
            cut_off(postgresql_server, connection.driver_connection.info.backend_pid)
            connection.driver_connection.execute("SELECT 1")
        commit(connection)

    monkeypatch.setattr(on_server.dialect, "do_commit", lose)
    made = action("s0", "relabel", "dog")
    recorded = store.record(on_server, made)
    assert recorded.states == {"s0": "done"}
    assert recorded.new is not heard
    assert not losses
    assert not store.record(on_server, made).new
    assert len(store.decisions(on_server, SET)) == 1


@pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
def test_a_lost_race_is_run_again(on_server: Engine, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    commit, failures = on_server.dialect.do_commit, [kind("could not serialize")] * 2

    def refuse(connection: Any) -> None:
        if failures:
            connection.rollback()
            raise failures.pop()
        commit(connection)

    monkeypatch.setattr(on_server.dialect, "do_commit", refuse)
    assert store.record(on_server, action("s0")).new
    failures += [kind("could not serialize")] * 100
    with pytest.raises(WorkspaceError, match="very busy"):
        store.record(on_server, action("s1"))
    failures.clear()
    assert store.decisions(on_server, SET)["item_id"].tolist() == ["s0"]


def test_a_server_that_stops_and_comes_back(tmp_path: Path) -> None:
    with running_server() as server:
        engine = open_store(server.empty_database())
        store.fill(engine, SET, "run-1", "v0001", queue_items())
        store.record(engine, action("s0"))
        server.stop(immediately=True)
        with pytest.raises(WorkspaceError, match="cannot be reached"):
            store.record(engine, action("s1"))
        server.start()
        store.record(engine, action("s2"))
        assert store.decisions(engine, SET)["item_id"].tolist() == ["s0", "s2"]
        engine.dispose()


def test_all_connections_in_use_is_said(postgresql_server: Server) -> None:
    engine = open_store(postgresql_server.empty_database(), busy_seconds=0.2)
    taken = [engine.connect() for _ in range(20)]
    with pytest.raises(WorkspaceError, match="no free connection"):
        store.decisions(engine, SET)
    for connection in taken:
        connection.close()
    assert store.decisions(engine, SET).empty
    engine.dispose()


def test_an_account_that_may_only_read_can_read(on_server: Engine, postgresql_server: Server) -> None:
    with on_server.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA curate TO looker")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA curate TO looker")
    engine = open_store(f"postgresql://looker@/postgres?host={postgresql_server.folder}")
    assert len(store.find_items(engine, SET)) == 4
    with pytest.raises(WorkspaceError, match="may not be written by this account"):
        store.record(engine, action("s0"))
    engine.dispose()


def test_writers_of_a_data_set_take_turns_so_that_no_reader_misses_a_lower_id(postgresql_server: Server) -> None:
    engine = open_store(postgresql_server.empty_database(), busy_seconds=0.2)
    with engine.begin() as other:
        take_turns(other, SET)
        with pytest.raises(WorkspaceError, match="locked"):
            store.record(engine, action("s0"))
        assert store.record(engine, replace(action("s0"), dataset="other")).new
    assert store.record(engine, action("s0")).new
    engine.dispose()


def test_tests_on_postgresql_are_skipped_where_it_is_missing_and_fail_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(databases, "binaries", lambda: None)
    for required, outcome in ((False, pytest.skip.Exception), (True, pytest.fail.Exception)):
        monkeypatch.setattr(databases, "REQUIRED", required)
        with pytest.raises(outcome, match="apt-get install postgresql"), running_server():
            pass


def test_busy_is_waited_for_longer_than_any_step_takes() -> None:
    assert BUSY_SECONDS >= 10


def test_a_commit_that_fails_once_changes_nothing(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    store.fill(engine, SET, "run-1", "v0001", queue_items())

    @event.listens_for(engine, "commit", once=True)
    def fail(_: Any) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        store.record(engine, action("s0"))
    assert store.decisions(engine, SET).empty
    assert store.record(engine, action("s0")).new
