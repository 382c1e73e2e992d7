"""The tables of the review store, the migrations that make them, and text that every database can hold.

decisions   append-only, the only truth about what was decided; an undo is another row
items       the queue: what `fill` put there, and where each item stands
opinions    the current verdict of each reviewer on each item: a cache that `rebuild` makes again from decisions
leases      who is looking at what, until when
audits      which runs are audited, and how the labels were drawn; audit_draws: which, in which order. Nothing that a
            reviewer or a program in the reviewer's place is handed says what is in there
policy      per data set: run, manifest version, shares of second opinions and of hidden suggestions
meta        the store's id
migrations  which of MIGRATIONS this store has been through
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    inspect,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from curation.decisions import STATES


def encode_text(value: str) -> str:
    """`value` as every database can hold it: NUL and halves of surrogate pairs become `\\u0000`, `\\udce9` ...

    A backslash that would read as the start of such an escape is itself escaped, so that `decode_text` gives back
    every text exactly.
    """
    if value.isascii() and "\0" not in value and "\\" not in value:
        return value
    value = re.sub(r"\\(?=u(?:0000|005c|d[89a-f][0-9a-f]{2}))", lambda _: r"\u005c", value)
    return re.sub("[\0\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", value)


def decode_text(value: str) -> str:
    """The text that `encode_text` made `value` from."""
    if "\\" not in value:
        return value
    return re.sub(r"\\u(0000|005c|d[89a-f][0-9a-f]{2})", lambda found: chr(int(found[1], 16)), value)


def text_key(text: str) -> int:
    """A number that stands for a text where it is too long for an index; 64 bits, signed."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


label_key = lru_cache(maxsize=10_000)(text_key)


def class_mark(label: str) -> str:
    """A class as `items.classes` has it: 16 hex digits between blanks."""
    return f" {label_key(label) % 2**64:016x} "


class Data(TypeDecorator[str]):
    """A text column for labels, paths and names, whatever is in them; compared by code point on every database."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else encode_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else decode_text(value)


# Where an item waits: in the queue of its state, or, no longer in the run, in none.
GONE = "gone"
QUEUES = (*STATES, GONE)

metadata = MetaData()

# PostgreSQL counts in 64 bits; SQLite numbers rows only in a column that is called INTEGER.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str, **settings: Any) -> Column[str]:
    return Column(name, Data(), nullable=False, **settings)


def _number(name: str, **settings: Any) -> Column[int]:
    return Column(name, Integer, nullable=False, **settings)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _real(name: str) -> Column[float]:
    return Column(name, Float(53), nullable=False)


items = Table(
    "items",
    metadata,
    _text("dataset", primary_key=True),
    _text("item_id", primary_key=True),
    _text("kind"),  # sample, duplicates
    _text("members"),  # JSON list of sample ids
    _text("issue"),  # the first and surest
    _text("issues"),  # all, joined by commas
    _real("priority"),  # higher = sooner
    _text("given_label"),
    _text("suggestion"),
    _text("split"),
    _text("path"),
    _real("score"),
    _text("search"),  # path, given label and suggestion without case and accents
    _number("facet"),
    Column("label_key", BigInteger, nullable=False),  # stands for given_label, which can be too long for an index
    Column("digest", BigInteger, nullable=False),  # of what `fill` wrote, so that filling again writes what has changed
    _text("seen", server_default=""),  # what there is to be seen of several annotations, of a case by sample id
    _text("classes", server_default=""),  # that the findings are about: 16 hex digits of each, blanks around them
    _text("queue"),  # one of QUEUES
    _text("state"),  # what the opinions amount to: one of STATES
    _text("verdict"),  # of the opinion that holds, "" until there is one
    _number("opinions"),  # how many reviewers' verdicts count
)
_IN_ORDER = (items.c.priority.desc(), items.c.item_id)
Index("items_by_priority", items.c.dataset, items.c.queue, *_IN_ORDER)
Index("items_by_facet", items.c.dataset, items.c.queue, items.c.facet, *_IN_ORDER)
Index("items_by_label", items.c.dataset, items.c.queue, items.c.label_key, *_IN_ORDER)

facets = Table(
    "facets",
    metadata,
    _text("dataset", primary_key=True),
    _number("facet", primary_key=True, autoincrement=False),
    _text("kind"),
    _text("issues"),
    _text("split"),
)

opinions = Table(
    "opinions",
    metadata,
    _text("dataset", primary_key=True),
    _text("item_id", primary_key=True),
    _text("reviewer", primary_key=True),
    _text("verdict"),  # `part`: of some annotations only, which decides nothing about the item
    Column("decision_id", _SERIAL, nullable=False),
    _flag("adjudicates"),  # settled a disagreement
    _flag("holds"),  # what the item's verdict is
    ForeignKeyConstraint(["dataset", "item_id"], ["items.dataset", "items.item_id"]),
)
Index("opinions_by_reviewer", opinions.c.dataset, opinions.c.reviewer, opinions.c.item_id)

leases = Table(
    "leases",
    metadata,
    _text("dataset", primary_key=True),
    _text("item_id", primary_key=True),
    _text("session"),
    _text("reviewer"),
    _real("expires_at"),  # seconds since 1970 by the database's clock
)
Index("leases_by_session", leases.c.dataset, leases.c.session)

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", _SERIAL, primary_key=True, autoincrement=True),
    _text("dataset"),
    _text("action_id"),
    _text("item_id"),
    _text("sample_id"),
    _text("annotation_id"),
    _text("verdict"),  # one of VERDICTS, or UNDO
    _text("labels"),  # JSON list
    _text("reason"),
    _text("given_label"),
    _text("suggestion"),
    _text("reviewer"),
    _text("decided_at"),  # by the database's clock, UTC; shown only: the order is that of decision_id
    _real("seconds"),
    _text("run_id"),
    _text("manifest_version"),
    _flag("suggestion_shown"),
    _text("comment"),
    Column("undoes", Data(), nullable=True),  # action_id that this row takes back; NULL for a decision
    _text("edits", server_default=""),  # JSON list of change lines; "" = none
    _text("seen", server_default=""),  # the annotations as they were, see curation.edits; "" = it is about one label
    UniqueConstraint("action_id", "item_id", "sample_id"),
    UniqueConstraint("undoes"),
    sqlite_autoincrement=True,
)
Index("decisions_by_item", decisions.c.dataset, decisions.c.item_id)
Index("decisions_by_sample", decisions.c.dataset, decisions.c.sample_id)
Index("decisions_by_reviewer", decisions.c.dataset, decisions.c.reviewer, decisions.c.decision_id)

policy = Table(
    "policy",
    metadata,
    _text("dataset", primary_key=True),
    _text("run_id"),  # what the queue was filled from last
    _text("manifest_version"),
    _number("fills"),  # how often the queue was filled with something else than before
    Column("contents", BigInteger, nullable=False),  # stands for what it was filled with
    _real("second_opinion"),  # share of items that a second reviewer decides, too
    _real("hide_suggestion"),  # share of those whose suggestion the second reviewer does not see
    _number("seed"),
)

audits = Table(
    "audits",
    metadata,
    _text("dataset", primary_key=True),
    _text("run_id", primary_key=True),
    Column("audit_id", _SERIAL, nullable=False),  # rises: the greatest is the one that is mixed into the queue
    Column("seed", BigInteger, nullable=False),
    _number("design"),  # curation.estimate.DESIGN
    _number("every"),  # one of so many items in the queue
)

audit_draws = Table(
    "audit_draws",
    metadata,
    _text("dataset", primary_key=True),
    _text("run_id", primary_key=True),
    _number("number", primary_key=True, autoincrement=False),  # 0, 1 ... in the order of the draw
    _text("sample_id"),
    _text("item_id"),  # the case that it was a member of, or the sample's own
    Column("released", _SERIAL, nullable=True),  # the last decision before it was handed out; NULL = it was not
    UniqueConstraint("dataset", "run_id", "sample_id"),
)

meta = Table("meta", metadata, _text("key", primary_key=True), _text("value"))

migrations = Table("migrations", metadata, _number("number", primary_key=True, autoincrement=False), _text("name"))


# --- migrations ------------------------------------------------------------------------------------------------------


# What brings an older store to the next schema, in order: `metadata` is what all of them together make of the first
# one. Never change one that was released, add another.
def _add_audits(connection: Connection) -> None:
    metadata.create_all(connection, tables=[audits, audit_draws])


def _add_edits(connection: Connection) -> None:
    for table, name in ((decisions, "edits"), (decisions, "seen"), (items, "seen"), (items, "classes")):
        if name not in {column["name"] for column in inspect(connection).get_columns(table.name)}:
            kind = Data().compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {name} {kind} NOT NULL DEFAULT ''")


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_add_audits, _add_edits)
FIRST_SCHEMA = 1
ADDED = {"audits": 2, "audit_draws": 2}  # tables that the first schema did not have, and the one that brought them


def tables_of(number: int) -> set[str]:
    """The tables that a store of this schema has; 0 = those that any store has."""
    return {name for name in metadata.tables if ADDED.get(name, FIRST_SCHEMA) <= max(number, FIRST_SCHEMA)}


def newest_schema() -> int:
    """The number of the schema that this program knows."""
    return FIRST_SCHEMA + len(MIGRATIONS)


def schema_of(connection: Connection) -> int:
    """The number of the store's schema; 0 where there are no tables yet."""
    if not inspect(connection).has_table("migrations"):
        return 0
    return int(connection.execute(select(func.coalesce(func.max(migrations.c.number), 0))).scalar_one())


def migrate(connection: Connection) -> None:
    """Bring the store to the newest schema, in the caller's transaction: a kill leaves the old one whole."""
    before = schema_of(connection)
    steps = [(FIRST_SCHEMA + number, step) for number, step in enumerate(MIGRATIONS, 1)]
    if before == 0:
        metadata.create_all(connection)
        connection.execute(meta.insert().values(key="store_id", value=uuid.uuid4().hex))
        connection.execute(migrations.insert().values(number=FIRST_SCHEMA, name="first_tables"))
    for number, step in steps:
        if number > before:
            if before:
                step(connection)
            connection.execute(migrations.insert().values(number=number, name=step.__name__.strip("_")))
