"""What stocktake-placement has to remember.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SETTINGS: dict[str, Any] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _uuid() -> sa.types.TypeEngine[Any]:
    ours = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
    theirs = mysql.VARCHAR(36, charset="ascii", collation="ascii_nopad_bin")
    return ours.with_variant(theirs, "mysql", "mariadb")


def _text() -> sa.types.TypeEngine[Any]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "placement_marks",
        sa.Column("uuid", _uuid(), nullable=False),
        sa.Column("made", sa.Boolean(), nullable=False),
        sa.Column("traits", _text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name="pk_placement_marks"),
        **SETTINGS,
    )
    op.create_table(
        "placement_pending",
        sa.Column("subject", _uuid(), nullable=False),
        sa.Column("intent", _text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_placement_pending"),
        **SETTINGS,
    )


def downgrade() -> None:
    op.drop_table("placement_pending")
    op.drop_table("placement_marks")
