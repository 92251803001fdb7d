"""What alembic runs for every command: the steps on a connection that is given, or on one to ``-x url=...``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from worker.db import engine, tables


def _run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with engine.of_url(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        _run(opened)
