"""What the review store must survive: texts of every kind, files that are no store, databases that go away."""

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from curation import store
from curation.errors import MissingPackageError, SettingsError, WorkspaceError
from curation.store import Filters, open_store, store_path
from curation.store.schema import decode_text, encode_text, migrations
from tests.databases import Server
from tests.reviewing import SET, action, queue_items

TEXTS = [
    "a\0b",
    "\0",
    "half \ud83d of a pair",
    "\udce9.png",
    r"\udce9.png",
    r"\u0000",
    r"\u005cu0000",
    "\\",
    "x" * 1000,
    "犬" * 1000,
    "\U0001f469‍" * 250,
    "a\nb\tc\r\x1b[31m",
    "'; DROP TABLE decisions; --",
    "%_\\%",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "NULL",
    "nan",
    " ",
    "E\u0301",
    "É",
    "\u202eevil",
]


@given(st.text(st.characters() | st.sampled_from("\0\\u05cd\ud800\udfff")))
def test_every_text_comes_back_as_it_was(text: str) -> None:
    encoded = encode_text(text)
    assert decode_text(encoded) == text
    encoded.encode()
    assert "\0" not in encoded


def test_labels_and_paths_are_kept_whatever_is_in_them(engine: Engine) -> None:
    table = queue_items(len(TEXTS), priority=0.0).astype(object)
    for name in ("given_label", "suggestion", "path", "split", "issue", "issues", "kind"):
        table[name] = pd.Series(TEXTS, dtype=object)
    store.fill(engine, SET, "run", "v0001", table)
    assert store.fill(engine, SET, "run", "v0001", table) == store.Filled(0, 0, 0)
    found = {item.item_id: item for item in store.find_items(engine, SET, count=100)}
    for number, text in enumerate(TEXTS):
        item = found[f"s{number}"]
        assert (item.given_label, item.suggestion, item.path, item.split, item.issue) == (text,) * 5
        for name in ("given_label", "suggestion", "split", "kind"):
            (only,) = store.find_items(engine, SET, Filters(**{name: text}))
            assert only.item_id == f"s{number}", name
        assert f"s{number}" in {item.item_id for item in store.find_items(engine, SET, Filters(text=text), 100)}
        made = action(f"s{number}", "keep", given=text)
        assert store.record(engine, made).states == {f"s{number}": "done"}
        assert not store.record(engine, made).new
    rows = store.effective(engine, SET)
    assert dict(zip(rows["sample_id"], rows["given_label"], strict=True)) == {f"s{n}": t for n, t in enumerate(TEXTS)}


def test_long_and_foreign_names_of_everything(engine: Engine) -> None:
    item_id, reviewer, dataset = "犬" * 100, "é" * 100, "犬" * 255
    table = queue_items(1, item_id=item_id)
    store.fill(engine, dataset, "run", "v0001", table)
    (item,) = store.claim(engine, dataset, reviewer, "ж" * 100)
    made = action(item.item_id, by=reviewer, comment="ж" * 10_000)
    assert store.record(engine, type(made)(**{**vars(made), "dataset": dataset})).new
    with pytest.raises(SettingsError, match="256 characters"):
        store.fill(engine, "x" * 256, "run", "v0001", table)


@pytest.mark.parametrize("text", ["x" * 10_000, "\0" * 100, "\ud800", "%" * 5000])
def test_any_search_text_is_answered(engine: Engine, text: str) -> None:
    store.fill(engine, SET, "run", "v0001", queue_items())
    for name in ("text", "given_label", "suggestion", "split", "kind", "issue", "reviewer", "item_id"):
        assert store.find_items(engine, SET, Filters(**{name: text})) == []
    assert store.find_items(engine, text, Filters()) == []
    assert store.decisions(engine, SET, sample_id=text, reviewer=text).empty


# --- files that are no store


def refused(target: Path | str, *words: str) -> None:
    with pytest.raises(WorkspaceError) as error:
        open_store(target)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a store with one decision."""
    engine = open_store(tmp_path)
    store.fill(engine, SET, "run", "v0001", queue_items())
    store.record(engine, action("s0"))
    return store_path(tmp_path)


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough " * 100, b"\0" * 5000, b"SQLite format 3\0" * 300]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = store_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    refused(tmp_path, str(path), "damaged")
    assert path.read_bytes() == content


def test_a_truncated_or_overwritten_store_is_said_to_be_damaged(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkspaceError, match="damaged"):
        store.claim(open_store(tmp_path), SET, "ann", "tab")
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(WorkspaceError, match="damaged"):
        store.claim(open_store(tmp_path), SET, "ann", "tab")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = store_path(tmp_path)
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    refused(tmp_path, "is not a review store")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER sly AFTER INSERT ON decisions BEGIN DELETE FROM decisions; END",
        "CREATE VIEW sly AS SELECT * FROM decisions",
    ],
)
def test_triggers_and_views_that_are_not_ours_are_refused(file: Path, tmp_path: Path, statement: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()
    refused(tmp_path, "triggers or views", "sly")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW curate.sly AS SELECT 1",
        "CREATE RULE sly AS ON DELETE TO curate.decisions DO INSTEAD NOTHING",
        "CREATE FUNCTION curate.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER sly BEFORE INSERT ON curate.decisions FOR EACH ROW EXECUTE FUNCTION curate.f()",
    ],
)
def test_postgresql_with_triggers_views_or_rules_is_refused(postgresql_server: Server, statement: str) -> None:
    url = postgresql_server.empty_database()
    engine = open_store(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
    refused(url, "triggers or views", "sly")


def test_a_store_of_a_newer_version_is_refused(engine: Engine, store_target: Path | str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(migrations).values(number=99, name="from_the_future"))
    refused(store_target, "newer version of curate", "99")


def test_a_store_that_lacks_a_table_is_refused(engine: Engine, store_target: Path | str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE leases")
    refused(store_target, "no table 'leases'")


def test_a_store_that_lacks_a_column_is_refused(engine: Engine, store_target: Path | str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE decisions DROP COLUMN comment")
    refused(store_target, "table 'decisions' has no column 'comment'")


def test_other_tables_beside_ours_in_the_same_server_do_not_matter(postgresql_server: Server) -> None:
    url = postgresql_server.empty_database()
    other = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with other.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS public.items; CREATE TABLE public.items (id int)")
        connection.exec_driver_sql("INSERT INTO public.items VALUES (1)")
    engine = open_store(url)
    assert store.find_items(engine, SET) == []
    with other.begin() as connection:
        assert connection.exec_driver_sql("SELECT id FROM public.items").scalar() == 1
        connection.exec_driver_sql("DROP TABLE public.items")
    engine.dispose()
    other.dispose()


def test_a_place_that_is_no_file_is_refused(tmp_path: Path) -> None:
    store_path(tmp_path).mkdir(parents=True)
    refused(tmp_path, "is no file")
    (tmp_path / "plain").write_text("x")
    refused(tmp_path / "plain", "could not be written")


@pytest.fixture
def read_only(file: Path) -> Iterator[Path]:
    """A workspace whose store may only be read."""
    folder = Path(tempfile.mkdtemp(prefix="curate-read-only-"))  # pytest's own folder is closed to other accounts
    copy = store_path(folder)
    copy.parent.mkdir()
    shutil.copy(file, copy)
    for path, mode in ((copy, 0o444), (copy.parent, 0o555), (folder, 0o555)):
        path.chmod(mode)
    root = os.geteuid() == 0  # whom permissions do not hold for
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    for path in (folder, copy.parent):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_store_that_may_only_be_read_can_be_read(read_only: Path) -> None:
    engine = open_store(read_only)
    assert len(store.decisions(engine, SET)) == 1
    with pytest.raises(WorkspaceError, match="read-only"):
        store.claim(engine, SET, "ann", "tab")


# --- what goes away while in use


def test_a_store_that_was_deleted_does_not_come_back_empty(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    file.unlink()
    for use in (lambda: store.record(engine, action("s1")), lambda: store.decisions(engine, SET)):
        with pytest.raises(WorkspaceError, match="deleted or moved"):
            use()
    assert not file.exists()


def test_a_store_that_was_replaced_by_another_is_not_written_to(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    other = open_store(tmp_path / "other")
    os.replace(store_path(tmp_path / "other"), file)
    with pytest.raises(WorkspaceError, match="replaced by another store"):
        store.record(engine, action("s1"))
    again = open_store(tmp_path)
    assert store.decisions(again, SET).empty
    other.dispose()


def test_a_backup_of_the_same_store_can_be_put_in_its_place(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    shutil.copy(file, tmp_path / "backup")
    store.record(engine, action("s1"))
    os.replace(tmp_path / "backup", file)
    assert store.decisions(engine, SET)["sample_id"].tolist() == ["s0"]
    assert store.record(engine, action("s2")).new


def test_a_store_that_was_replaced_by_rubbish_is_refused(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    file.write_bytes(b"rubbish" * 1000)
    with pytest.raises(WorkspaceError, match="damaged"):
        store.record(engine, action("s1"))


def test_a_decision_on_a_store_that_vanishes_at_the_commit_is_not_acknowledged(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)

    @event.listens_for(engine, "commit")
    def vanish(_: Any) -> None:
        file.unlink()

    with pytest.raises(WorkspaceError, match=r"(deleted|replaced) (or replaced )?while"):
        store.record(engine, action("s1"))


def test_a_full_disk_changes_nothing_and_says_so(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    before = store.decisions(engine, SET)
    with pytest.raises(WorkspaceError, match="disk is full"):
        store.record(engine, action("s1", comment="x" * 10_000))
    pd.testing.assert_frame_equal(store.decisions(open_store(tmp_path), SET), before)


# --- waiting for others


def test_a_store_that_stays_locked_is_said_to_be(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path, busy_seconds=0.2)
    with sqlite3.connect(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (lambda: store.record(engine, action("s1")), lambda: store.decisions(engine, SET)):
            with pytest.raises(WorkspaceError, match="locked by another process"):
                use()
        other.rollback()
    other.close()
    assert store.record(engine, action("s1")).new


def test_a_store_that_is_locked_for_a_moment_is_waited_for(file: Path, tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    other = sqlite3.connect(file, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.3, other.rollback)
    timer.start()
    assert store.record(engine, action("s1")).new
    timer.join()
    other.close()


def test_postgresql_that_stays_locked_is_said_to_be(postgresql_server: Server) -> None:
    url = postgresql_server.empty_database()
    engine = open_store(url, busy_seconds=0.2)
    store.fill(engine, SET, "run", "v0001", queue_items())
    with engine.begin() as other:
        other.exec_driver_sql("LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(WorkspaceError, match="locked by another process"):
            store.record(engine, action("s1"))
    assert store.record(engine, action("s1")).new
    engine.dispose()


# --- URLs


@pytest.mark.parametrize(
    "url", ["mysql://host/reviews", "sqlite://", "sqlite:///:memory:", "://", "postgresql://host:port/x"]
)
def test_a_url_that_cannot_be_a_store_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        open_store(url)


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as error:
        open_store(f"postgresql://ann:secret@/reviews?host={tmp_path}")
    assert "secret" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'curate\[postgres\]'"):
        open_store("postgresql://ann@/reviews")


def test_a_sqlite_url_is_a_file(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/deep/reviews with blank.db")
    assert store.store_id(engine)
    assert (tmp_path / "deep" / "reviews with blank.db").exists()
