"""Many rows in one statement: a text or an array a column on PostgreSQL, the driver's executemany elsewhere.

Rows are mappings that all have the same columns. The statements are built once per table and set of columns.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from worker.db import arrays, engine, texts

CHUNK = 500
_GIVEN = "given"
_BETWEEN = "between"
PART = 4
"""A chunk fills one part in so many of what a statement may have."""

Rows = Sequence[Mapping[str, Any]]
Statement = tuple[str, dict[str, Any]]
"""The text of a statement for PostgreSQL's driver, and its parameters."""


def insert(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Insert rows; those that the database numbers are numbered in this order."""
    if not rows:
        return
    if takes_arrays(connection):
        connection.exec_driver_sql(*insertion(table, rows))
    else:
        connection.execute(_insert(table, tuple(rows[0])), rows)


def update(connection: sa.Connection, table: sa.Table, rows: Rows, kept: Collection[str] = ()) -> int:
    """Update rows that still have the generation they were read with, raise it, and return how many had it.

    Rows are told by the table's key; a null in one of the ``kept`` columns leaves what is there.
    """
    if not rows:
        return 0
    if takes_arrays(connection):
        return connection.exec_driver_sql(*change(table, rows, kept)).rowcount
    if connection.dialect.name == "mysql" and not kept:
        return _update_mariadb(connection, table, rows)
    return connection.execute(_update(table, tuple(rows[0]), frozenset(kept)), rows).rowcount


def delete(connection: sa.Connection, table: sa.Table, rows: Rows) -> int:
    """Delete the rows with these values and return how many there were."""
    if not rows:
        return 0
    if takes_arrays(connection):
        return connection.exec_driver_sql(*removal(table, rows)).rowcount
    return connection.execute(_delete(table, tuple(rows[0])), rows).rowcount


def among(connection: sa.Connection, column: sa.Column[Any], values: Collection[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a column has one of these values; the statement stays the same for any number.

    The values are sorted, since in that order rows are locked.
    """
    ordered = sorted(values)
    if not takes_arrays(connection):
        return column.in_(ordered)
    kind = postgresql.ARRAY(sa.BigInteger() if isinstance(column.type, sa.Integer) else sa.Text())
    text = arrays.joined(ordered)
    if text is None:
        return column == sa.any_(sa.bindparam(None, ordered, type_=kind, unique=True))
    parts = sa.func.string_to_array(sa.bindparam(None, text, type_=sa.Text(), unique=True), arrays.BETWEEN)
    return column == sa.any_(sa.cast(parts, kind))


def found(
    connection: sa.Connection,
    query: sa.Select[Any],
    column: sa.Column[Any],
    values: Collection[Any],
    *,
    lock: bool = False,
) -> Sequence[Any]:
    """Return the rows of a query whose column has one of these values; with ``lock`` they are locked, in its order.

    The query is one that is kept, not made for the occasion: to put it together each time costs more than to ask.
    """
    ordered = sorted(values)
    if not takes_arrays(connection):
        asked = query.where(column.in_(ordered))
        return connection.execute(asked.order_by(column).with_for_update() if lock else asked).all()
    text = arrays.joined(ordered)
    statement = _selection(connection.dialect, query, column, text is not None, lock)
    given = {_GIVEN: ordered} if text is None else {_GIVEN: text, _BETWEEN: arrays.BETWEEN}
    driver: Any = connection.connection.driver_connection
    there: Sequence[Any] = driver.execute(statement, given).fetchall()  # SQLAlchemy's rows cost as much again
    return there


def takes_arrays(connection: sa.Connection) -> bool:
    """Whether this is PostgreSQL, which takes the statements below."""
    return connection.dialect.name == "postgresql"


def insertion(table: sa.Table, rows: Rows) -> Statement:
    """Return what inserts rows in this order."""
    names, joined, values = _columns(rows)
    return _insert_arrays(table, names, joined), values


def change(table: sa.Table, rows: Rows, kept: Collection[str]) -> Statement:
    """Return what updates rows that still have their generation, as ``update`` does."""
    names, joined, values = _columns(rows)
    return _update_arrays(table, names, joined, frozenset(kept)), values


def removal(table: sa.Table, rows: Rows) -> Statement:
    """Return what deletes rows with these values."""
    names, joined, values = _columns(rows)
    return _delete_arrays(table, names, joined), values


def _columns(rows: Rows) -> tuple[tuple[str, ...], bool, dict[str, Any]]:
    """Return the names of the columns, whether each is one text, and the columns: all as texts, or all as lists."""
    names = tuple(rows[0])
    picked = (
        zip(*map(operator.itemgetter(*names), rows), strict=True)
        if len(names) > 1
        else ([row[names[0]] for row in rows],)
    )
    columns = dict(zip(names, map(list, picked), strict=True))
    texts_ = {name: arrays.joined(column) for name, column in columns.items()}
    joined = None not in texts_.values()
    return names, joined, texts_ if joined else columns


def _update_mariadb(connection: sa.Connection, table: sa.Table, rows: Rows) -> int:
    """Update by JSON arrays, each well below max_allowed_packet: PyMySQL would send row by row."""
    statement = _update_json(table, tuple(rows[0]))
    values = [list(row.values()) for row in rows]
    room = (engine.packet(connection) or 0) // PART
    chunks = (values[first : first + CHUNK] for first in range(0, len(values), CHUNK))
    arrays = (text for chunk in chunks for text in _arrays(chunk, room))
    return sum(connection.exec_driver_sql(statement, {"rows": text}).rowcount for text in arrays)


def _arrays(rows: list[list[Any]], room: int) -> Iterator[str]:
    """Yield rows as JSON arrays that have no more than ``room`` bytes in a statement, or one row."""
    text = texts.write(rows)
    if len(rows) == 1 or texts.quoted(text) <= room:
        yield text
    else:
        middle = len(rows) // 2
        yield from _arrays(rows[:middle], room)
        yield from _arrays(rows[middle:], room)


@functools.lru_cache(maxsize=256)
def _selection(dialect: sa.Dialect, query: sa.Select[Any], column: sa.Column[Any], joined: bool, lock: bool) -> str:
    given: sa.ColumnElement[Any] = sa.bindparam(_GIVEN, type_=sa.Text() if joined else postgresql.ARRAY(sa.Text()))
    if joined:
        given = sa.cast(sa.func.string_to_array(given, sa.bindparam(_BETWEEN)), postgresql.ARRAY(sa.Text()))
    asked = query.where(column == sa.any_(given))
    return str((asked.order_by(column).with_for_update() if lock else asked).compile(dialect=dialect))


@functools.lru_cache(maxsize=256)
def _insert(table: sa.Table, names: tuple[str, ...]) -> sa.TextClause:
    values = ", ".join(f":{name}" for name in names)
    return sa.text(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values})")  # noqa: S608 (our own names)


@functools.lru_cache(maxsize=256)
def _update(table: sa.Table, names: tuple[str, ...], kept: frozenset[str]) -> sa.TextClause:
    guards = _guards(table)
    return sa.text(
        f"UPDATE {table.name} SET {_changes(table, names, kept, ':')} "  # noqa: S608 (our own names)
        f"WHERE {' AND '.join(f'{name} = :{name}' for name in guards)}"
    )


@functools.lru_cache(maxsize=256)
def _insert_arrays(table: sa.Table, names: tuple[str, ...], joined: bool) -> str:
    listed = ", ".join(names)
    return f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {_given(table, names, joined)} ORDER BY ordinal"  # noqa: S608


@functools.lru_cache(maxsize=256)
def _update_arrays(table: sa.Table, names: tuple[str, ...], joined: bool, kept: frozenset[str]) -> str:
    return (
        f"UPDATE {table.name} SET {_changes(table, names, kept, 'given.')} FROM {_given(table, names, joined)} "  # noqa: S608
        f"WHERE {_same(table, _guards(table))}"
    )


@functools.lru_cache(maxsize=256)
def _update_json(table: sa.Table, names: tuple[str, ...]) -> str:
    dialect = mysql.dialect()
    changes = ", ".join(f"{table.name}.{name} = given.{name}" for name in names if name not in _guards(table))
    columns = ", ".join(
        f"{name} {table.columns[name].type.compile(dialect)} PATH '$[{number}]'" for number, name in enumerate(names)
    )
    return (
        f"UPDATE {table.name} JOIN JSON_TABLE(%(rows)s, '$[*]' COLUMNS ({columns})) AS given "  # noqa: S608
        f"ON {_same(table, _guards(table))} SET {changes}, {table.name}.generation = {table.name}.generation + 1"
    )


@functools.lru_cache(maxsize=256)
def _delete(table: sa.Table, names: tuple[str, ...]) -> sa.TextClause:
    return sa.text(f"DELETE FROM {table.name} WHERE {' AND '.join(f'{name} = :{name}' for name in names)}")  # noqa: S608


@functools.lru_cache(maxsize=256)
def _delete_arrays(table: sa.Table, names: tuple[str, ...], joined: bool) -> str:
    return f"DELETE FROM {table.name} USING {_given(table, names, joined)} WHERE {_same(table, names)}"  # noqa: S608


def _guards(table: sa.Table) -> tuple[str, ...]:
    return (*(column.name for column in table.primary_key), "generation")


def _changes(table: sa.Table, names: tuple[str, ...], kept: frozenset[str], given: str) -> str:
    new = {name: f"{given}{name}" for name in names if name not in _guards(table)}
    new |= {name: f"COALESCE({new[name]}, {table.name}.{name})" for name in kept}
    new["generation"] = f"{table.name}.generation + 1"
    return ", ".join(f"{name} = {value}" for name, value in new.items())


def _same(table: sa.Table, names: tuple[str, ...]) -> str:
    return " AND ".join(f"{table.name}.{name} = given.{name}" for name in names)


def _given(table: sa.Table, names: tuple[str, ...], joined: bool) -> str:
    """Return a set of rows made of one value for each column: a text to be taken apart, or an array in binary form."""
    columns = []
    for name in names:
        kind = _type(table.columns[name])
        given = f"string_to_array(%({name})s, '{arrays.BETWEEN}', '{arrays.NULL}')" if joined else f"%({name})b"
        columns.append(given if joined and kind == "text" else f"CAST({given} AS {kind}[])")
    return f"unnest({', '.join(columns)}) WITH ORDINALITY AS given ({', '.join(names)}, ordinal)"


def _type(column: sa.Column[Any]) -> str:
    if isinstance(column.type, sa.Boolean):
        return "bool"
    if isinstance(column.type, sa.LargeBinary):
        return "bytea"
    return "int8" if isinstance(column.type, sa.Integer) else "text"
