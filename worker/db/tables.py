"""The tables. Structured values are JSON text, times whole microseconds since 1970, and no row refers to another by key.

Nothing here is special to one database but the widths and collations that MariaDB must be told: there texts are long,
and ids compare by byte. On PostgreSQL ids compare by byte as well, so that every database sorts them as Python does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

BY_BYTE = "C"
ASCII_BY_BYTE = "ascii_nopad_bin"
TEXT_BY_BYTE = "utf8mb4_bin"


def _ascii(length: int) -> sa.types.TypeEngine[Any]:
    """Return the type of an id: short ASCII text that sorts by byte, and in which a trailing space counts."""
    ours = sa.String(length).with_variant(sa.String(length, collation=BY_BYTE), "postgresql")
    return ours.with_variant(mysql.VARCHAR(length, charset="ascii", collation=ASCII_BY_BYTE), "mysql", "mariadb")


UUID = _ascii(36)
MESSAGE_ID = _ascii(64)
NAME = sa.String(255)
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
WHOLE = sa.BigInteger()
# SQLite numbers rows by itself only where the key is called INTEGER
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"},
)


SETTINGS: dict[str, Any] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", TEXT_BY_BYTE))
}


def _table(name: str, *parts: sa.schema.SchemaItem, numbered: bool = False, filled: int = 100) -> sa.Table:
    """Return a table; PostgreSQL fills its pages by so many percent, the rest is for the next versions of their rows."""
    settings = SETTINGS | ({"postgresql_with": {"fillfactor": filled}} if filled < 100 else {})
    return sa.Table(name, metadata, *parts, sqlite_autoincrement=numbered, **settings)


inbox = _table(
    "inbox",
    sa.Column("message_id", MESSAGE_ID, primary_key=True),
    sa.Column("method", NAME, nullable=False),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("reply", TEXT),
    sa.Column("received_at", WHOLE, nullable=False, index=True),
)

nodes = _table(
    "nodes",
    sa.Column("uuid", UUID, primary_key=True),
    sa.Column("account_id", UUID, index=True),
    sa.Column("host", NAME),
    sa.Column("hypervisor_hostname", NAME),
    sa.Column("revision", WHOLE, nullable=False),
    sa.Column("removed_revision", WHOLE, nullable=False),
    sa.Column("disabled", sa.Boolean(), nullable=False),
    sa.Column("disabled_revision", WHOLE, nullable=False),
    sa.Column("failed_builds", WHOLE, nullable=False),
    sa.Column("audited_at", WHOLE, nullable=False),
    sa.Column("sequence", WHOLE, nullable=False),
    sa.Column("generation", WHOLE, nullable=False),
    sa.Column("digest", TEXT, nullable=False),
    sa.Column("capacity", TEXT),
    sa.Column("report", TEXT),
    filled=75,
)

accounts = _table(
    "accounts",
    sa.Column("id", UUID, primary_key=True),
    sa.Column("host", NAME, nullable=False),
    sa.Column("hypervisor_hostname", NAME, nullable=False),
    sa.Column("used", TEXT, nullable=False),
    sa.Column("settled", TEXT, nullable=False),
    sa.Column("counters", TEXT, nullable=False),
    sa.Column("generation", WHOLE, nullable=False),
    filled=50,
)

instances = _table(
    "instances",
    sa.Column("uuid", UUID, primary_key=True),
    sa.Column("revision", WHOLE, nullable=False),
    sa.Column("deleted", sa.Boolean(), nullable=False),
    sa.Column("saved_at", WHOLE, nullable=False),
    sa.Column("generation", WHOLE, nullable=False),
    sa.Column("body", TEXT, nullable=False),
    filled=75,
)

# what the instances' books hold, once more, to be found by account
holdings = _table(
    "holdings",
    sa.Column("instance_uuid", UUID, primary_key=True),
    sa.Column("side", _ascii(16), primary_key=True),
    sa.Column("account_id", UUID, nullable=False, index=True),
    sa.Column("consumer", UUID, nullable=False),
    sa.Column("settled", sa.Boolean(), nullable=False),
    sa.Column("amounts", TEXT, nullable=False),
    sa.Column("place", TEXT),
)

# who holds which PCI device, once more: one holder at most, by the key
devices_held = _table(
    "devices_held",
    sa.Column("account_id", UUID, primary_key=True),
    sa.Column("address", _ascii(16), primary_key=True),
    sa.Column("instance_uuid", UUID, nullable=False, index=True),
    sa.Column("request_id", UUID, nullable=False),
)

ledger = _table(
    "ledger",
    sa.Column("id", ROW, primary_key=True, autoincrement=True),
    sa.Column("at", WHOLE, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("message_id", MESSAGE_ID, nullable=False),
    sa.Column("account_id", UUID, nullable=False),
    sa.Column("node_uuid", UUID),
    sa.Column("instance_uuid", UUID),
    sa.Column("amounts", TEXT, nullable=False),
    sa.Column("settled", TEXT, nullable=False),
    sa.Column("cause", TEXT, nullable=False),
    sa.Index(None, "account_id", "id"),
    sa.Index(None, "instance_uuid", "id"),
    numbered=True,
)

# due: true until it is sent, then null; a null is in no range of the index, so that it stays small to look through
outbox = _table(
    "outbox",
    sa.Column("id", ROW, primary_key=True, autoincrement=True),
    sa.Column("event_id", UUID, nullable=False),
    sa.Column("node_uuid", UUID),
    sa.Column("sequence", WHOLE),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("priority", sa.String(16), nullable=False),
    sa.Column("publisher_id", sa.String(512), nullable=False),
    sa.Column("emitted_at", sa.String(64), nullable=False),
    sa.Column("payload", TEXT, nullable=False),
    sa.Column("created_at", WHOLE, nullable=False),
    sa.Column("due", sa.Boolean()),
    sa.Column("sent_at", WHOLE),
    sa.Index(None, "due", "id"),
    sa.Index(None, "node_uuid", "sequence"),
    numbered=True,
)

parked = _table(
    "parked",
    sa.Column("id", ROW, primary_key=True, autoincrement=True),
    sa.Column("message_id", MESSAGE_ID, index=True),
    sa.Column("parked_at", WHOLE, nullable=False),
    sa.Column("queue", TEXT, nullable=False),
    sa.Column("method", TEXT),
    sa.Column("field", TEXT),
    sa.Column("reason", TEXT, nullable=False),
    sa.Column("error", TEXT),
    sa.Column("traceback", TEXT),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("headers", TEXT, nullable=False),
    sa.Column("body", BYTES, nullable=False),
    numbered=True,
)

# messages that came again and were started: what is still here when they come once more has killed a worker, or was there
starts = _table(
    "starts",
    sa.Column("content", _ascii(64), primary_key=True),
    sa.Column("times", WHOLE, nullable=False),
    sa.Column("at", WHOLE, nullable=False),
)

leases = _table(
    "leases",
    sa.Column("name", _ascii(64), primary_key=True),
    sa.Column("holder", sa.String(255), nullable=False),
    sa.Column("expires_at", WHOLE, nullable=False),
)

# our doing in Placement: providers that we made, and traits that were not there before
placement_marks = _table(
    "placement_marks",
    sa.Column("uuid", UUID, primary_key=True),
    sa.Column("made", sa.Boolean(), nullable=False),
    sa.Column("traits", TEXT, nullable=False),
)

# what Placement has refused, to be tried again
placement_pending = _table(
    "placement_pending",
    sa.Column("subject", UUID, primary_key=True),
    sa.Column("intent", TEXT, nullable=False),
)
