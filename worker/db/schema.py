"""The steps of the schema: bring a database to the newest one, tell where it is, refuse one that does not fit."""

from __future__ import annotations

import pathlib

import alembic.command
import alembic.config
import alembic.migration
import alembic.script
import sqlalchemy as sa

from worker import errors
from worker.db import failures

_STEPS = pathlib.Path(__file__).parent / "alembic"


def newest() -> str:
    """Return the revision that this version of the code needs."""
    head = alembic.script.ScriptDirectory(str(_STEPS)).get_current_head()
    if head is None:
        raise errors.Misconfigured("the steps of the schema are missing from this installation")
    return head


@failures.translated()
def sync(engine: sa.Engine) -> str:
    """Take every step that this database has not taken yet and return the revision it has then.

    Raises Misconfigured for a database that a newer version of the code has written.
    """
    before = version(engine)
    if before is not None and before not in _known():
        raise errors.Misconfigured(_newer(before))
    config = alembic.config.Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    with engine.begin() as connection:
        _wait_as_long_as_it_takes(connection)
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
    return newest()


@failures.translated()
def version(engine: sa.Engine) -> str | None:
    """Return the revision of this database, or None for one without tables of ours."""
    with engine.connect() as connection:
        return alembic.migration.MigrationContext.configure(connection).get_current_revision()


def check(engine: sa.Engine) -> None:
    """Raise Misconfigured, saying what to do, unless the database has the newest revision."""
    found = version(engine)
    if found == newest():
        return
    if found is None:
        raise errors.Misconfigured("[database] connection: this database has no tables yet: run stocktake db sync")
    if found not in _known():
        raise errors.Misconfigured(_newer(found))
    raise errors.Misconfigured(
        f"[database] connection: the schema is at revision {found}, {newest()} is needed: run stocktake db sync"
    )


def _newer(found: str) -> str:
    return f"[database] connection: the schema is at revision {found}, which this version of stocktake does not know"


def _known() -> set[str]:
    return {step.revision for step in alembic.script.ScriptDirectory(str(_STEPS)).walk_revisions()}


def _wait_as_long_as_it_takes(connection: sa.Connection) -> None:
    """Lift the limit on how long one statement may run: a step over a large table takes its time."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    elif connection.dialect.name == "mysql":
        # the setting stays with the connection, so it must not go back to the pool
        connection.detach()
        connection.execute(sa.text("SET SESSION max_statement_time = 0"))
