"""Opening the review store, and transactions on it: SQLite in the workspace, or PostgreSQL by URL.

SQLite: rollback journal and synchronous=FULL (a commit that was acknowledged survives a power cut; WAL before SQLite
3.51.3 can corrupt with two writers), one connection per transaction, so that threads share nothing. PostgreSQL: a pool;
writers take turns per data set, so that the order of decision_id is the order of the commits.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import NullPool

from curation.errors import CurationError, MissingPackageError, SettingsError, WorkspaceError
from curation.files import failpoint, workspace_errors
from curation.schema import meta, metadata, migrate, newest_schema, schema_of

BUSY_SECONDS = 20.0  # how long to wait for another process's lock
CONNECT_SECONDS = 10
ATTEMPTS = 5  # at a transaction that lost its connection, or a race
SCHEMA_NAME = "curate"  # of the tables in PostgreSQL

# The schema of a file may come from anybody: no functions with side effects in it, and cells are checked. A commit is
# on the disk when it returns. 64 MiB of a large store stay in memory.
PRAGMAS = ("trusted_schema=OFF", "cell_size_check=ON", "foreign_keys=ON", "synchronous=FULL", "cache_size=-65536")

Result = TypeVar("Result")


def store_path(workspace: Path) -> Path:
    """Where the store of a workspace is: `.curate/reviews.db`."""
    return workspace / ".curate" / "reviews.db"


def open_store(target: Path | str, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """The store of a workspace, or the one at a URL; made or brought to the newest schema where needed.

    Parameters
    ----------
    target : workspace folder, or URL: `postgresql://user@host/database`, `sqlite:////folder/reviews.db`
    busy_seconds : how long to wait for other processes that write

    Raises
    ------
    SettingsError : a URL of another kind.
    MissingPackageError : PostgreSQL's driver is not installed.
    WorkspaceError : it cannot be reached or written, is damaged, was written by a newer version, is no review store,
        or has triggers or views that we did not make.
    """
    if isinstance(target, Path) or "://" not in target:
        engine = _sqlite(store_path(Path(target)), busy_seconds)
    else:
        engine = _by_url(target, busy_seconds)
    try:
        _prepare(engine)
        _watch(engine, store_id(engine))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _by_url(text: str, busy_seconds: float) -> Engine:
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise SettingsError("The store's URL cannot be read; it looks like postgresql://user@host/database.") from error
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError("The store's URL names no file; it looks like sqlite:////folder/reviews.db.")
        return _sqlite(Path(url.database), busy_seconds)
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingsError(f"A store is kept by SQLite or PostgreSQL, not by '{url.get_backend_name()}'.")
    return _postgresql(url.set(drivername="postgresql+psycopg"), busy_seconds)


# --- SQLite ----------------------------------------------------------------------------------------------------------


def _sqlite(path: Path, busy_seconds: float) -> Engine:
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
            f"{path.as_uri()}?mode=rw", uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = sa.create_engine(f"sqlite:///{path}", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def remember_file(_: Any, record: Any) -> None:
        record.info["file"] = _identity_of(path)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock first: a reader that turned writer could be refused half-way.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _watch(engine: Engine, expected: str) -> None:
    """Refuse to go on with another store that was put in the place of this one."""

    @event.listens_for(engine, "begin")
    def same_store(connection: Connection) -> None:
        if connection.dialect.name == "sqlite" and _read_store_id(connection) != expected:
            raise WorkspaceError(f"{place(engine)} was replaced by another store while in use; start again.")


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
        pool_size=5,
        max_overflow=15,
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


def take_turns(connection: Connection, dataset: str) -> None:
    """Let one transaction at a time append to a data set's decisions; ends with the transaction.

    PostgreSQL hands out decision_ids before it commits: without this, a reader who asks for all after number 7 could
    miss number 6. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"curate {dataset!a}"))))


# --- preparing -------------------------------------------------------------------------------------------------------


def _prepare(engine: Engine) -> None:
    """Refuse what is not a store of ours; make the tables, or bring them to the newest schema."""
    with store_errors(engine):
        found = read(engine, _inspect)
    if found == newest_schema():
        return
    if found > newest_schema():
        raise WorkspaceError(
            f"{place(engine)} was written by a newer version of curate (schema {found}; this one knows "
            f"{newest_schema()}). Update curate, or use another workspace."
        )
    write(engine, _migrate)


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x637572617465)))  # "curate"
        connection.execute(sa.schema.CreateSchema(SCHEMA_NAME, if_not_exists=True))
    failpoint("store.before_migration")
    migrate(connection)
    failpoint("store.after_migration")


def _inspect(connection: Connection) -> int:
    """The number of the store's schema, 0 for an empty one.

    Raises
    ------
    WorkspaceError : it has tables and is no store of ours, or triggers or views.
    """
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT type, name, tbl_name FROM sqlite_master")
    else:
        found = connection.execute(sa.text(_POSTGRESQL_OBJECTS), {"schema": SCHEMA_NAME})
    objects = [(str(kind), str(name)) for kind, name, _ in found]
    foreign = [name for kind, name in objects if kind in ("trigger", "view", "rule")]
    if foreign:
        raise WorkspaceError(
            f"{place(connection.engine)} has triggers or views that curate did not make ({', '.join(foreign)[:100]}); "
            f"it is not opened, because they could change decisions."
        )
    tables = {name for kind, name in objects if kind == "table" and not name.startswith("sqlite_")}
    missing = set(metadata.tables) - tables
    if tables and missing:
        raise WorkspaceError(f"{place(connection.engine)} is not a review store: it has no table '{min(missing)}'.")
    return schema_of(connection) if tables else 0


_POSTGRESQL_OBJECTS = """
    SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END, c.relname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
    UNION ALL
    SELECT 'trigger', t.tgname, c.relname
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND NOT t.tgisinternal
    UNION ALL
    SELECT 'rule', r.rulename, r.tablename FROM pg_rules r WHERE r.schemaname = :schema
"""


def store_id(engine: Engine) -> str:
    """The id that the store was given when it was made."""
    return read(engine, _read_store_id)


def _read_store_id(connection: Connection) -> str:
    return str(connection.execute(sa.select(meta.c.value).where(meta.c.key == "store_id")).scalar_one())


def place(engine: Engine) -> str:
    """What to call the store in a message: its file, or its URL without the password."""
    return (
        engine.url.database or "" if engine.dialect.name == "sqlite" else repr(engine.url.set(drivername="postgresql"))
    )


# --- transactions ----------------------------------------------------------------------------------------------------


def read(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """What `work` reads in one transaction: everything as of one moment.

    Raises
    ------
    WorkspaceError : the store cannot be read.
    """
    options: dict[str, Any] = {}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return _attempt(engine, work, options)


def write(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """What `work` returns after its transaction is committed: all of it, or after an exception nothing.

    `work` may run several times (a lost connection, a lost race), also when the first commit went through and only its
    acknowledgement was lost: it has to see for itself what is done already.

    Raises
    ------
    WorkspaceError : the store cannot be written; nothing was changed.
    """
    return _attempt(engine, work, {"writes": True})


def _attempt(engine: Engine, work: Callable[[Connection], Result], options: dict[str, Any]) -> Result:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with store_errors(engine):
                return _once(engine, work, options)
        except _RetryError as error:
            if attempt == ATTEMPTS:
                raise WorkspaceError(str(error)) from error.__cause__
            time.sleep(0.05 * 2**attempt if error.disconnected else 0.01 * attempt)
    raise AssertionError("unreachable")


def _once(engine: Engine, work: Callable[[Connection], Result], options: dict[str, Any]) -> Result:
    writes = "writes" in options
    if writes:
        failpoint("store.before_begin")
    with engine.connect().execution_options(**options) as connection:
        with connection.begin():
            result = work(connection)
            if writes:
                failpoint("store.before_commit")
        if writes:
            failpoint("store.after_commit")
            _check_in_place(connection)
    return result


def _check_in_place(connection: Connection) -> None:
    """Refuse to acknowledge a commit to a file that was deleted or replaced meanwhile."""
    path = Path(place(connection.engine))
    if connection.dialect.name == "sqlite" and connection.info["file"] != _identity_of(path):
        raise WorkspaceError(f"{path} was deleted or replaced while it was written; the last change is not saved.")


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _RetryError(CurationError):
    """The transaction had no effect, or its acknowledgement was lost; trying again can help."""

    def __init__(self, text: str, disconnected: bool) -> None:
        super().__init__(text)
        self.disconnected = disconnected


# SQLSTATE of what another attempt can succeed at: serialization failure, deadlock.
_LOST_RACE = {"40001", "40P01"}
_LOCKED = {"55P03"}  # lock_timeout ran out


@contextmanager
def store_errors(engine: Engine) -> Iterator[None]:
    """Turn what the database says into a sentence that says what to do."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _explained(engine, error) from error
    except sa.exc.TimeoutError as error:
        raise WorkspaceError(f"{place(engine)} has no free connection; try again.") from error
    except (sqlite3.Error, UnicodeError) as error:
        raise WorkspaceError(f"{place(engine)}: {error}.") from error


def _explained(engine: Engine, error: sa.exc.DBAPIError) -> CurationError:
    where, said = place(engine), str(error.orig).strip().split("\n")[0]
    state = getattr(error.orig, "sqlstate", None) or ""
    if isinstance(error, sa.exc.IntegrityError):  # another process was first; look again
        return _RetryError(f"{where} refused a row: {said}.", disconnected=False)
    if state in _LOST_RACE:
        return _RetryError(f"{where} is very busy ({said}); try again.", disconnected=False)
    if error.connection_invalidated or state.startswith(("08", "57P")):
        return _RetryError(f"{where} lost the connection ({said}); try again.", disconnected=True)
    if engine.dialect.name == "postgresql" and isinstance(error, sa.exc.OperationalError) and not state:
        return _RetryError(f"{where} cannot be reached ({said}).", disconnected=True)
    if state == "42501":
        return WorkspaceError(f"{where} may not be written by this account ({said}).")
    if "locked" in said or state in _LOCKED:
        return WorkspaceError(f"{where} is locked by another process; nothing was changed. Try again in a moment.")
    if "unable to open database file" in said:
        return WorkspaceError(f"{where} cannot be opened: it was deleted or moved, or may not be read.")
    if "malformed" in said or "not a database" in said or "encrypted" in said:
        return WorkspaceError(f"{where} is damaged, or is no SQLite database; restore it from a backup.")
    if "readonly" in said or "read-only" in said or "during recovery" in said:
        return WorkspaceError(f"{where} cannot be written: it is read-only, or was replaced while in use.")
    if "full" in said or state == "53100":
        return WorkspaceError(f"{where} cannot be written: the disk is full. Free some space and try again.")
    return WorkspaceError(f"{where} cannot be used: {said}.")


# --- clock -----------------------------------------------------------------------------------------------------------


def clock_seconds(connection: Connection) -> sa.ColumnElement[float]:
    """The database's time as seconds since 1970, an SQL expression."""
    if connection.dialect.name == "sqlite":
        return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)
    return sa.literal_column("extract(epoch FROM clock_timestamp())::double precision", sa.Float)


def seconds_now(connection: Connection) -> float:
    """The database's time as seconds since 1970."""
    return float(connection.execute(sa.select(clock_seconds(connection))).scalar_one())


def clock_text(connection: Connection) -> sa.ColumnElement[str]:
    """The database's time as text, UTC, such as 2026-03-01T09:30:00.123Z, an SQL expression."""
    if connection.dialect.name == "sqlite":
        return sa.literal_column("strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", sa.Text)
    return sa.literal_column(
        "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')", sa.Text
    )
