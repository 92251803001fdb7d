"""How often a message that came again was started.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SETTINGS: dict[str, Any] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _ascii(length: int) -> sa.types.TypeEngine[Any]:
    ours = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return ours.with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_nopad_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "starts",
        sa.Column("content", _ascii(64), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("content", name="pk_starts"),
        **SETTINGS,
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("starts")
