"""The writes of one transaction: on PostgreSQL each is under way while the next one is made ready."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

import psycopg
import sqlalchemy as sa

from worker.db import bulk, failures


class Writes:
    """Changes of rows that must all be as they were read.

    On PostgreSQL what goes wrong with one, a Conflict too, is told by a later one, by ``connection`` or by ``finish``.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._piped = bulk.takes_arrays(connection) and psycopg.Pipeline.is_supported()
        self._pipeline = contextlib.ExitStack()
        self._sent: list[tuple[Any, int, sa.Table]] = []

    @property
    def connection(self) -> sa.Connection:
        """The connection, with nothing under way on it."""
        if self._sent:
            self.finish()
        return self._connection

    def insert(self, table: sa.Table, rows: bulk.Rows) -> None:
        """Insert rows; those that the database numbers are numbered in this order."""
        if rows and self._piped:
            self._send(bulk.insertion(table, rows), len(rows), table)
        else:
            bulk.insert(self._connection, table, rows)

    def update(self, table: sa.Table, rows: bulk.Rows, kept: Collection[str] = ()) -> None:
        """Update rows by the table's key and raise their generation; a null in a ``kept`` column leaves what is there."""
        if rows and self._piped:
            self._send(bulk.change(table, rows, kept), len(rows), table)
        else:
            failures.refused(bulk.update(self._connection, table, rows, kept), len(rows), table)

    def delete(self, table: sa.Table, rows: bulk.Rows) -> None:
        """Delete the rows with these values."""
        if rows and self._piped:
            self._send(bulk.removal(table, rows), len(rows), table)
        else:
            failures.refused(bulk.delete(self._connection, table, rows), len(rows), table)

    def finish(self) -> None:
        """Wait until the last one is carried out; raises Conflict if a row was not as it was read."""
        self._pipeline.close()
        sent, self._sent = self._sent, []
        for cursor, expected, table in sent:
            failures.refused(cursor.rowcount, expected, table)

    def abandon(self) -> None:
        """Wait for nothing more than what is under way: the transaction is given up."""
        with contextlib.suppress(psycopg.Error):
            self._pipeline.close()

    def _send(self, statement: bulk.Statement, expected: int, table: sa.Table) -> None:
        driver: Any = self._connection.connection.driver_connection
        if not self._sent:
            self._pipeline.enter_context(driver.pipeline())
        cursor = driver.cursor()
        self._sent.append((cursor, expected, table))
        cursor.execute(*statement)
