"""Opening the review store, and transactions on it: tried again where that can help, explained where it cannot.

Writers take turns per data set, so that the order of decision_id is the order of the commits.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event

from curation.errors import CurationError, WorkspaceError
from curation.files import failpoint
from curation.store.connections import SCHEMA_NAME, by_file, by_url, identity_of, place
from curation.store.schema import meta, metadata, migrate, newest_schema, schema_of, tables_of

BUSY_SECONDS = 20.0  # how long to wait for another process's lock
ATTEMPTS = 5  # at a transaction that lost its connection, or a race

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
        engine = by_file(store_path(Path(target)), busy_seconds)
    else:
        engine = by_url(target, busy_seconds)
    try:
        _prepare(engine)
        _watch(engine, store_id(engine))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _watch(engine: Engine, expected: str) -> None:
    """Refuse to go on with another store that was put in the place of this one."""

    @event.listens_for(engine, "begin")
    def same_store(connection: Connection) -> None:
        if connection.dialect.name == "sqlite" and _read_store_id(connection) != expected:
            raise WorkspaceError(f"{place(engine)} was replaced by another store while in use; start again.")


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
    found_schema = schema_of(connection) if tables else 0
    missing = tables_of(found_schema) - tables
    if tables and missing:
        raise WorkspaceError(f"{place(connection.engine)} is not a review store: it has no table '{min(missing)}'.")
    if found_schema == newest_schema():
        _check_columns(connection)
    return found_schema


def _check_columns(connection: Connection) -> None:
    known = sa.inspect(connection)
    for name, table in metadata.tables.items():
        missing = {column.name for column in table.columns} - {column["name"] for column in known.get_columns(name)}
        if missing:
            raise WorkspaceError(
                f"{place(connection.engine)} is not a review store of this version of curate: its table '{name}' has "
                f"no column '{min(missing)}'."
            )


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
    if connection.dialect.name == "sqlite" and connection.info["file"] != identity_of(path):
        raise WorkspaceError(f"{path} was deleted or replaced while it was written; the last change is not saved.")


class _RetryError(CurationError):
    """The transaction had no effect, or its acknowledgement was lost; trying again can help."""

    def __init__(self, text: str, disconnected: bool) -> None:
        super().__init__(text)
        self.disconnected = disconnected


# SQLSTATE of what another attempt can succeed at: serialization failure, deadlock.
_LOST_RACE = {"40001", "40P01"}


@contextmanager
def store_errors(engine: Engine) -> Iterator[None]:
    """Turn what the database says into a sentence that says what to do."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _explained(engine, error.orig or error, error.connection_invalidated) from error
    except sqlite3.Error as error:
        raise _explained(engine, error, False) from error
    except sa.exc.TimeoutError as error:
        raise WorkspaceError(f"{place(engine)} has no free connection; try again.") from error


def _explained(engine: Engine, error: BaseException, lost: bool) -> CurationError:
    """What the driver said, as a sentence; `lost` says that the connection is gone."""
    where, said = place(engine), str(error).strip().split("\n")[0]
    state = getattr(error, "sqlstate", None) or ""
    remote = engine.dialect.name == "postgresql"
    if state == "23505" or "UNIQUE constraint failed" in said:  # another process was first; look again
        return _RetryError(f"{where} refused a row: {said}.", disconnected=False)
    if state in _LOST_RACE:
        return _RetryError(f"{where} is very busy ({said}); try again.", disconnected=False)
    if lost or state.startswith(("08", "57P")):
        return _RetryError(f"{where} lost the connection ({said}); try again.", disconnected=True)
    if remote and type(error).__name__ in ("OperationalError", "ConnectionTimeout") and not state:
        return _RetryError(f"{where} cannot be reached ({said}).", disconnected=True)
    for words, meaning in _MEANINGS:
        if any(word in said or word == state for word in words):
            return WorkspaceError(f"{where} {meaning}")
    return WorkspaceError(f"{where} cannot be used: {said}.")


# Parts of what SQLite and PostgreSQL say, or SQLSTATEs, and what they mean for whoever reads it.
_MEANINGS = (
    (
        ("database is locked", "table is locked", "55P03"),
        "is locked by another process; nothing was changed. Try again.",
    ),
    (("unable to open database file",), "cannot be opened: it was deleted or moved, or may not be read."),
    (("malformed", "not a database", "encrypted"), "is damaged, or is no SQLite database; restore it from a backup."),
    (("readonly", "read-only", "during recovery"), "cannot be written: it is read-only, or was replaced while in use."),
    (("disk is full", "53100"), "cannot be written: the disk is full. Free some space and try again."),
    (("42501",), "may not be written by this account."),
)


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
