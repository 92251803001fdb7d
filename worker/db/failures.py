"""What an error of a database means for us: repeat the batch, wait for the database, or look at the data."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import psycopg
import pymysql
import sqlalchemy as sa
import sqlalchemy.exc
from oslo_db import exception

from worker import errors

# PostgreSQL's SQLSTATEs: serialization failure, deadlock, lock not available, unique violation
_PG_CONFLICTS = ("40001", "40P01", "55P03", "23505")
# whole classes: connection, transaction rolled back or idle for too long, resources, intervention, system
_PG_AWAY = ("08", "25P03", "25006", "53", "57", "58")
# MariaDB's numbers: duplicate key, lock wait timeout, deadlock, record changed since last read
_MY_CONFLICTS = (1062, 1205, 1213, 1020)
# too many connections (three ways), shutting down, read-only, disk full, statement timeout, connection lost or refused
_MY_AWAY = (1040, 1203, 1226, 1053, 1290, 1836, 1021, 1041, 1969, 3024, 1927, 2002, 2003, 2006, 2013, 2014, 1047)
_SQLITE_AWAY = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)
_PRIMARY = 0xFF


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise Conflict or DatabaseUnavailable for what the database says within; errors of data pass through."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, exception.DBError, psycopg.Error) as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning(_one_line(error)) from error


def _meaning(error: BaseException) -> type[errors.StocktakeError] | None:
    if isinstance(error, exception.DBDeadlock | exception.DBDuplicateEntry):
        return errors.Conflict
    if isinstance(error, exception.DBConnectionError | sqlalchemy.exc.TimeoutError | sqlalchemy.exc.DisconnectionError):
        return errors.DatabaseUnavailable
    return next((found for found in map(_of_driver, _chain(error)) if found is not None), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those it wraps, the driver's own among them."""
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or getattr(error, "inner_exception", None)


def _of_driver(error: BaseException) -> type[errors.StocktakeError] | None:
    if isinstance(error, psycopg.Error):
        return _of_psycopg(error)
    if isinstance(error, pymysql.err.Error):
        return _of_pymysql(error)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    return None


def _of_psycopg(error: psycopg.Error) -> type[errors.StocktakeError] | None:
    state = error.sqlstate
    if state is None:
        # without a state it is not the server that speaks: no connection, or none any more
        return errors.DatabaseUnavailable if isinstance(error, psycopg.OperationalError) else None
    if state in _PG_CONFLICTS:
        return errors.Conflict
    return errors.DatabaseUnavailable if state.startswith(_PG_AWAY) else None


def _of_pymysql(error: pymysql.err.Error) -> type[errors.StocktakeError] | None:
    if isinstance(error, pymysql.err.InterfaceError):
        return errors.DatabaseUnavailable
    number = error.args[0] if error.args else None
    if number in _MY_CONFLICTS:
        return errors.Conflict
    return errors.DatabaseUnavailable if number in _MY_AWAY else None


def _of_sqlite(error: sqlite3.Error) -> type[errors.StocktakeError] | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code in {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE}:
        return errors.Conflict
    return errors.DatabaseUnavailable if code is not None and code & _PRIMARY in _SQLITE_AWAY else None


def _one_line(error: BaseException) -> str:
    """Return the innermost error's own words: those around it repeat the statement and its values."""
    *_, innermost = _chain(error)
    return " ".join(f"{type(innermost).__name__}: {innermost}".split())[:500]


def refused(rows: int, expected: int, table: sa.Table) -> None:
    """Raise Conflict unless every row was found as it had been read."""
    if rows != expected:
        raise errors.Conflict(f"{expected - rows} of {expected} rows of {table.name} were changed by another worker")
