"""What is given out one by one: places of holdings, and who holds which PCI device.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SETTINGS: dict[str, Any] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _ascii(length: int) -> sa.types.TypeEngine[Any]:
    ours = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    theirs = mysql.VARCHAR(length, charset="ascii", collation="ascii_nopad_bin")
    return ours.with_variant(theirs, "mysql", "mariadb")


def upgrade() -> None:
    """Add them; what is held so far has no place, unless this step was taken back in between: then bodies know."""
    op.add_column("holdings", sa.Column("place", TEXT, nullable=True))
    op.create_table(
        "devices_held",
        sa.Column("account_id", _ascii(36), nullable=False),
        sa.Column("address", _ascii(16), nullable=False),
        sa.Column("instance_uuid", _ascii(36), nullable=False),
        sa.Column("request_id", _ascii(36), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "address", name="pk_devices_held"),
        **SETTINGS,
    )
    op.create_index("ix_devices_held_instance_uuid", "devices_held", ["instance_uuid"])
    _fill()


def _fill() -> None:
    """Copy the places that bodies have."""
    connection = op.get_bind()
    bodies = connection.execute(sa.text("SELECT uuid, body FROM instances WHERE body LIKE '%\"grants\"%'")).all()
    put = sa.text("UPDATE holdings SET place = :place WHERE instance_uuid = :uuid AND side = :side")
    held = sa.text(
        "INSERT INTO devices_held (account_id, address, instance_uuid, request_id) VALUES (:account, :address, :uuid, :id)"
    )
    for uuid, body in bodies:
        for holding in json.loads(body)["holdings"]:
            place = holding.get("place")
            if place:
                connection.execute(put, {"place": json.dumps(place), "uuid": uuid, "side": holding["side"]})
            for grant in place["grants"] if place else ():
                of = {"address": grant["address"], "id": grant["request_id"], "uuid": uuid}
                connection.execute(held, {"account": holding["account"], **of})


def downgrade() -> None:
    """Drop them; the bodies keep what was given out."""
    op.drop_table("devices_held")
    op.drop_column("holdings", "place")
