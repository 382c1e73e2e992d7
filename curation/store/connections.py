"""Connections to the store's database: a file of SQLite's, or a PostgreSQL server.

SQLite: rollback journal and synchronous=FULL (a commit that was acknowledged survives a power cut; WAL before SQLite
3.51.3 can corrupt with two writers), one connection per transaction, so that threads share nothing. PostgreSQL: a pool.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import NullPool

from curation.errors import MissingPackageError, SettingsError, WorkspaceError
from curation.files import workspace_errors

CONNECT_SECONDS = 10
POOL, MORE = 5, 15  # connections to PostgreSQL that are kept, and that are opened beside them where needed
SCHEMA_NAME = "curate"  # of the tables in PostgreSQL

# The schema of a file may come from anybody: no functions with side effects in it, and cells are checked. A commit is
# on the disk when it returns: a journal that is truncated is synced, one that is deleted (the default) could come back
# after a power cut and take the commit back. 64 MiB of a large store stay in memory.
PRAGMAS = (
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "foreign_keys=ON",
    "journal_mode=TRUNCATE",
    "synchronous=FULL",
    "cache_size=-65536",
)
_POLL_SECONDS = (0.001, 0.006)


def by_url(text: str, busy_seconds: float) -> Engine:
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise SettingsError("The store's URL cannot be read; it looks like postgresql://user@host/database.") from error
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError("The store's URL names no file; it looks like sqlite:////folder/reviews.db.")
        return by_file(Path(url.database), busy_seconds)
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingsError(f"A store is kept by SQLite or PostgreSQL, not by '{url.get_backend_name()}'.")
    return _postgresql(url.set(drivername="postgresql+psycopg"), busy_seconds)


# --- SQLite ----------------------------------------------------------------------------------------------------------


def by_file(path: Path, busy_seconds: float) -> Engine:
    """An engine that opens the file anew for each transaction, and never makes one but the first time."""
    path = path.absolute()
    with workspace_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise WorkspaceError(f"{path} is no file.")
        os.close(os.open(path, os.O_RDONLY | (0 if path.exists() else os.O_CREAT), 0o666))

    def connect() -> sqlite3.Connection:
        # mode=rw: a store that was deleted while in use must not come back empty.
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            _patiently(connection, [f"PRAGMA {pragma}" for pragma in PRAGMAS], busy_seconds)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = sa.create_engine(f"sqlite:///{path}", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def remember_file(_: Any, record: Any) -> None:
        record.info["file"] = identity_of(path)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        # IMMEDIATE takes the write lock first: a reader that turned writer could be refused half-way.
        writes = connection.get_execution_options().get("writes", False)
        _patiently(driver, ["BEGIN IMMEDIATE"] if writes else ["BEGIN", "SELECT 1 FROM sqlite_master"], busy_seconds)
        # With the lock held, SQLite itself may wait: for readers to end before the commit.
        driver.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")

    return engine


def _patiently(connection: sqlite3.Connection, statements: Sequence[str], busy_seconds: float) -> None:
    """Execute what others may have locked, again and again until it goes through.

    SQLite's own waiting sleeps longer and longer, up to 0.1 s: beside processes that write all the time, its turn may
    never come. Short sleeps of random length are fair enough.

    Raises
    ------
    sqlite3.OperationalError : it stayed locked for `busy_seconds`.
    """
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            for statement in statements:
                connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.rollback()
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(*_POLL_SECONDS))


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def _postgresql(url: sa.URL, busy_seconds: float) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "PostgreSQL needs its driver, which is not installed: pip install 'curate[postgres]'"
        ) from error
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=POOL,
        max_overflow=MORE,
        pool_timeout=busy_seconds,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "curate"},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SET search_path TO {SCHEMA_NAME}")
        connection.execute(f"SET lock_timeout TO {int(busy_seconds * 1000)}")
        connection.autocommit = False

    return engine


def identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def place(engine: Engine) -> str:
    """What to call the store in a message: its file, or its URL without the password."""
    return (
        engine.url.database or "" if engine.dialect.name == "sqlite" else repr(engine.url.set(drivername="postgresql"))
    )
