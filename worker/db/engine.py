"""One way to a database: oslo.db's options, and what each of the three databases must be told at the start.

No statement waits longer than a few seconds for a lock and none runs longer than 20: a worker that hangs looks
healthy, one that is told no tries again.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pymysql
import sqlalchemy as sa
import sqlalchemy.exc
from oslo_config import cfg
from oslo_db import exception
from oslo_db.sqlalchemy import engines
from pymysql import cursors
from sqlalchemy import event, pool

from worker import errors

LOCK_SECONDS = 5
STATEMENT_SECONDS = 20
CONNECT_SECONDS = 5
WRITING = "stocktake_writing"
"""Execution option of a connection that will write: on SQLite its transaction takes the write lock at once."""

_POSTGRESQL = (
    f"SET lock_timeout = '{LOCK_SECONDS}s'; SET statement_timeout = '{STATEMENT_SECONDS}s'; "
    f"SET idle_in_transaction_session_timeout = '{3 * STATEMENT_SECONDS}s'; SET jit = off; "
    # a plan that was made while a table was small would be kept while it grows
    "SET plan_cache_mode = force_custom_plan; SET random_page_cost = 1.1"
)
# takes less time than PostgreSQL's own way to compress a notification's text; not every server has it
_LZ4 = (
    "SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings "
    "WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals) AND source = 'default'"
)
_MYSQL = f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}"
# a long list of ids must not be turned into a subquery, whose rows would be locked in no order
_MARIADB = f"SET SESSION max_statement_time = {STATEMENT_SECONDS}, SESSION in_predicate_conversion_threshold = 0"
_HEADER = 1024  # bytes of a packet that we leave to the protocol
_WIDEST = 4  # bytes of one character
_SQLITE = (f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}", "PRAGMA foreign_keys = OFF", "PRAGMA journal_mode = WAL")
_DRIVERS = ("sqlite", "postgresql+psycopg", "mysql+pymysql")


class TooLarge(exception.DBDataError):  # type: ignore[misc]
    """A statement with its values is longer than the database takes: the data's fault, not the database's."""


class _Cursor(cursors.Cursor):
    """Sends no statement that is too long: the server would drop the connection, which looks as if it were away."""

    def execute(self, query: Any, args: Any = None) -> int:
        text = self.mogrify(query, args)
        most = self.connection.max_allowed_packet - _HEADER
        if len(text) > most // _WIDEST and _bytes(text) > most:
            words = f"a statement of {_bytes(text)} bytes is more than max_allowed_packet ({most + _HEADER}) takes"
            raise TooLarge(ValueError(words))
        return super().execute(text)


def _bytes(text: str | bytes | bytearray) -> int:
    return len(text.encode("utf-8", "surrogateescape")) if isinstance(text, str) else len(text)


def create(conf: cfg.ConfigOpts) -> sa.Engine:
    """Return the engine that [database] describes; connects to nothing yet. Raises Misconfigured."""
    said = conf.database
    return _create(
        said.connection,
        connection_parameters=said.connection_parameters,
        sqlite_synchronous=said.sqlite_synchronous,
        mysql_sql_mode=said.mysql_sql_mode,
        mysql_wsrep_sync_wait=said.mysql_wsrep_sync_wait,
        connection_recycle_time=said.connection_recycle_time,
        connection_debug=said.connection_debug,
        connection_trace=said.connection_trace,
        max_pool_size=said.max_pool_size,
        max_overflow=said.max_overflow,
        pool_timeout=said.pool_timeout or STATEMENT_SECONDS,
    )


def of_url(url: str) -> sa.Engine:
    """Return an engine for a URL alone, with oslo.db's defaults; connects to nothing yet. Raises Misconfigured."""
    return _create(url, mysql_sql_mode="TRADITIONAL", pool_timeout=STATEMENT_SECONDS)


def packet(connection: sa.Connection) -> int | None:
    """Return how many bytes a statement may have, its values included; None where the database sets no bound."""
    driver: Any = connection.connection.driver_connection
    return driver.max_allowed_packet - _HEADER if connection.dialect.name == "mysql" else None


def snapshot(bind: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """Return a connection whose queries all see the database as it is at the first of them."""
    if bind.dialect.name == "sqlite":
        return bind.connect()
    return bind.connect().execution_options(isolation_level="REPEATABLE READ")


def give_back(connection: sa.Connection) -> None:
    """Roll back what is not committed and return the connection to its pool; never raises for one that is lost."""
    try:
        connection.close()
    except (sqlalchemy.exc.SQLAlchemyError, exception.DBError):
        # the server has rolled back already, or will when it notices
        if not connection.closed:
            connection.invalidate()


def _create(url: str, **options: Any) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise errors.Misconfigured("[database] connection: this is not the URL of a database") from error
    if parsed.drivername not in _DRIVERS:
        raise errors.Misconfigured(
            f"[database] connection: {parsed.drivername}:// is not one of {', '.join(_DRIVERS)} (as in sqlite:///FILE)"
        )
    # a database that is away is waited for by the service, which says so; not here
    options |= {"max_retries": 0, "thread_checkin": False, "_engine_target": _engine}
    engine: sa.Engine = engines.create_engine(parsed, **options)
    _listen(engine)
    return engine


def _engine(url: sa.URL, **arguments: Any) -> tuple[sa.Engine, sa.Engine]:
    """Return SQLAlchemy's engine, twice as oslo.db asks, with our settings over those of oslo.db."""
    connect = arguments["connect_args"]
    # a lost connection is an error that everything here can repeat after; asking before each use tells no more
    arguments["pool_pre_ping"] = False
    if url.drivername.startswith("sqlite"):
        arguments |= _sqlite_pool(url)
    else:
        arguments["isolation_level"] = "READ COMMITTED"
        connect |= _patience(url)
    # values belong to the senders: an error that is kept or logged must not show them
    engine = sa.create_engine(url, hide_parameters=True, **arguments)
    return engine, engine


def _sqlite_pool(url: sa.URL) -> dict[str, Any]:
    """Return the pool for a file, or for a database in memory: one connection that threads take turns with."""
    if url.database in {None, "", ":memory:"}:
        turns = {"poolclass": pool.QueuePool, "pool_size": 1, "max_overflow": 0, "pool_recycle": -1}
        return {**turns, "pool_timeout": STATEMENT_SECONDS}
    return {"poolclass": pool.QueuePool, "connect_args": {"check_same_thread": False}}


def _patience(url: sa.URL) -> dict[str, Any]:
    """Return the driver's arguments that end the wait for a server that no longer answers."""
    if url.drivername.startswith("mysql"):
        read = STATEMENT_SECONDS + CONNECT_SECONDS
        timeouts = {"connect_timeout": CONNECT_SECONDS, "read_timeout": read, "write_timeout": read}
        return {**timeouts, "charset": "utf8mb4", "cursorclass": _Cursor}
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": STATEMENT_SECONDS,
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    }


def _listen(engine: sa.Engine) -> None:
    settings = {"sqlite": _set_sqlite, "postgresql": _set_postgresql, "mysql": _set_mariadb}
    event.listen(engine, "connect", settings[engine.dialect.name])
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin_writing)


def _set_sqlite(connection: Any, _record: object) -> None:
    for pragma in _SQLITE:
        connection.execute(pragma)


def _set_postgresql(connection: Any, _record: object) -> None:
    connection.execute(_POSTGRESQL)
    connection.commit()
    try:
        connection.execute(_LZ4)
        connection.commit()
    except psycopg.errors.InsufficientPrivilege:  # it only saves time
        connection.rollback()


def _set_mariadb(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL)
        # MySQL has neither of these
        with contextlib.suppress(pymysql.err.OperationalError):
            cursor.execute(_MARIADB)
        cursor.execute("SELECT @@max_allowed_packet")
        (connection.max_allowed_packet,) = cursor.fetchone()


def _begin_writing(connection: sa.Connection) -> None:
    """Take the write lock now: a reading transaction that turns into a writing one is refused without any wait."""
    if not connection.get_execution_options().get(WRITING):
        return
    driver: Any = connection.connection.driver_connection
    driver.rollback()  # oslo.db's listener has just begun a reading one
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except BaseException:
        connection.info.pop("in_transaction", None)  # oslo.db's note that it need not begin one
        raise
