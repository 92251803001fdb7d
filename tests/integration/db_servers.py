"""Real databases for the tests of worker.db."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.contract import units_of_work
from worker.db import engine, schema


@contextlib.contextmanager
def migrated(name: str) -> Iterator[sa.Engine]:
    """Lend a scratch database with our tables."""
    with units_of_work.scratch(name) as url:
        bind = engine.of_url(url)
        schema.sync(bind)
        yield bind
        bind.dispose()


def impatient(bind: sa.Engine) -> sa.Engine:
    """Return another engine on the same database that waits a second at most for a lock."""
    other = engine.of_url(bind.url.render_as_string(hide_password=False))
    event.listen(other, "connect", _wait_a_second)
    return other


def _wait_a_second(connection: object, _record: object) -> None:
    with connection.cursor() as cursor:  # type: ignore[attr-defined]
        if type(connection).__module__.startswith("psycopg"):
            cursor.execute("SET lock_timeout = '100ms'")
            connection.commit()  # type: ignore[attr-defined]
        else:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")


def drop_connections(bind: sa.Engine) -> None:
    """End every other session on this database, as a restart of the server would."""
    admin = sa.create_engine(bind.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        if bind.dialect.name == "postgresql":
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            return
        others = sa.text("SELECT id FROM information_schema.processlist WHERE db = :db AND id <> connection_id()")
        for number in connection.scalars(others, {"db": bind.url.database}).all():
            with contextlib.suppress(Exception):
                connection.execute(sa.text(f"KILL {int(number)}"))


def until_somebody_waits(bind: sa.Engine) -> None:
    """Return once a session of this database waits for a lock."""
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }[bind.dialect.name]
    turn, deadline = threading.Event(), 200
    for _ in range(deadline):
        with bind.connect() as connection:
            if connection.scalar(sa.text(waiting)):
                return
        turn.wait(0.15)  # MariaDB refreshes what it tells of locks when nobody has asked for a tenth of a second
    pytest.fail("nobody waits for a lock")


def watched(bind: sa.Engine, doing: Callable[[sa.Engine], object]) -> list[tuple[str, Any]]:
    """Return every statement that is sent to a database while something is done, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def look(statement: str, parameters: Any) -> None:
        seen.append((statement, parameters))

    class Watched(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            look(query, params)
            return super().execute(query, params, **options)

    def lend(connection: Any, *_: object) -> None:
        connection.cursor_factory = Watched

    def look_on(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        look(statement, parameters[0] if many else parameters)

    # what is written to PostgreSQL goes past SQLAlchemy
    watch = ("checkout", lend) if bind.dialect.name == "postgresql" else ("before_cursor_execute", look_on)
    event.listen(bind, *watch)
    doing(bind)
    event.remove(bind, *watch)
    bind.dispose()
    return seen
