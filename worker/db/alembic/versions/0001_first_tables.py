"""The first tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SETTINGS: dict[str, Any] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _ascii(length: int) -> sa.types.TypeEngine[Any]:
    ours = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    theirs = mysql.VARCHAR(length, charset="ascii", collation="ascii_nopad_bin")
    return ours.with_variant(theirs, "mysql", "mariadb")


UUID = _ascii(36)
MESSAGE_ID = _ascii(64)
NAME = sa.String(255)
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
WHOLE = sa.BigInteger()
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _must(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _may(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _row() -> sa.Column[Any]:
    return sa.Column("id", ROW, autoincrement=True, nullable=False)


def _table(name: str, *columns: sa.Column[Any], key: tuple[str, ...], numbered: bool = False) -> None:
    of_key = sa.PrimaryKeyConstraint(*key, name=f"pk_{name}")
    op.create_table(name, *columns, of_key, **SETTINGS, sqlite_autoincrement=numbered)


def upgrade() -> None:
    _create_inbox_and_leases()
    _create_nodes()
    _create_accounts()
    _create_instances()
    _create_ledger()
    _create_outbox()
    _create_parked()
    _create_indexes()


def _create_inbox_and_leases() -> None:
    _table(
        "inbox",
        _must("message_id", MESSAGE_ID),
        _must("method", NAME),
        _must("outcome", sa.String(32)),
        _may("reply", TEXT),
        _must("received_at", WHOLE),
        key=("message_id",),
    )
    _table(
        "leases",
        _must("name", _ascii(64)),
        _must("holder", sa.String(255)),
        _must("expires_at", WHOLE),
        key=("name",),
    )


def _create_nodes() -> None:
    _table(
        "nodes",
        _must("uuid", UUID),
        _may("account_id", UUID),
        _may("host", NAME),
        _may("hypervisor_hostname", NAME),
        _must("revision", WHOLE),
        _must("removed_revision", WHOLE),
        _must("disabled", sa.Boolean()),
        _must("disabled_revision", WHOLE),
        _must("failed_builds", WHOLE),
        _must("audited_at", WHOLE),
        _must("sequence", WHOLE),
        _must("generation", WHOLE),
        _must("digest", TEXT),
        _may("capacity", TEXT),
        _may("report", TEXT),
        key=("uuid",),
    )


def _create_accounts() -> None:
    _table(
        "accounts",
        _must("id", UUID),
        _must("host", NAME),
        _must("hypervisor_hostname", NAME),
        _must("used", TEXT),
        _must("settled", TEXT),
        _must("counters", TEXT),
        _must("generation", WHOLE),
        key=("id",),
    )


def _create_instances() -> None:
    _table(
        "instances",
        _must("uuid", UUID),
        _must("revision", WHOLE),
        _must("deleted", sa.Boolean()),
        _must("saved_at", WHOLE),
        _must("generation", WHOLE),
        _must("body", TEXT),
        key=("uuid",),
    )
    _table(
        "holdings",
        _must("instance_uuid", UUID),
        _must("side", _ascii(16)),
        _must("account_id", UUID),
        _must("consumer", UUID),
        _must("settled", sa.Boolean()),
        _must("amounts", TEXT),
        key=("instance_uuid", "side"),
    )


def _create_ledger() -> None:
    _table(
        "ledger",
        _row(),
        _must("at", WHOLE),
        _must("kind", sa.String(16)),
        _must("message_id", MESSAGE_ID),
        _must("account_id", UUID),
        _may("node_uuid", UUID),
        _may("instance_uuid", UUID),
        _must("amounts", TEXT),
        _must("settled", TEXT),
        _must("cause", TEXT),
        key=("id",),
        numbered=True,
    )


def _create_outbox() -> None:
    _table(
        "outbox",
        _row(),
        _must("event_id", UUID),
        _may("node_uuid", UUID),
        _may("sequence", WHOLE),
        _must("event_type", sa.String(64)),
        _must("priority", sa.String(16)),
        _must("publisher_id", sa.String(512)),
        _must("emitted_at", sa.String(64)),
        _must("payload", TEXT),
        _must("created_at", WHOLE),
        _may("due", sa.Boolean()),
        _may("sent_at", WHOLE),
        key=("id",),
        numbered=True,
    )


def _create_parked() -> None:
    _table(
        "parked",
        _row(),
        _may("message_id", MESSAGE_ID),
        _must("parked_at", WHOLE),
        _must("queue", TEXT),
        _may("method", TEXT),
        _may("field", TEXT),
        _must("reason", TEXT),
        _may("error", TEXT),
        _may("traceback", TEXT),
        _must("attempts", sa.Integer()),
        _must("headers", TEXT),
        _must("body", BYTES),
        key=("id",),
        numbered=True,
    )


def _create_indexes() -> None:
    for table, *columns in (
        ("inbox", "received_at"),
        ("nodes", "account_id"),
        ("holdings", "account_id"),
        ("holdings", "consumer"),
        ("ledger", "account_id", "id"),
        ("ledger", "instance_uuid", "id"),
        ("outbox", "due", "id"),
        ("outbox", "node_uuid", "sequence"),
        ("parked", "message_id"),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def downgrade() -> None:
    tables = ("inbox", "leases", "nodes", "accounts", "instances", "holdings", "ledger", "outbox", "parked")
    for table in tables:
        op.drop_table(table)
