"""One transaction over everything."""

from __future__ import annotations

from typing import Self

import sqlalchemy as sa

from worker import interfaces, mapping
from worker.db import books, engine, failures, inbox, ledger, outbox, parked, writes


class UnitOfWork:
    """One transaction over everything, to be entered once or many times, one after the other."""

    inbox: interfaces.Inbox
    books: interfaces.Books
    ledger: interfaces.Ledger
    outbox: interfaces.Outbox
    parked: interfaces.Parked

    def __init__(self, bind: sa.Engine) -> None:
        """Take an engine of ``engine.create``."""
        self._engine = bind.execution_options(**{engine.WRITING: True})
        self._connection: sa.Connection | None = None

    @failures.translated()
    def __enter__(self) -> Self:
        """Begin; raises DatabaseUnavailable."""
        connection = self._engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._writes = writes.Writes(connection)
        self.inbox = inbox.Inbox(self._writes)
        self.books = books.Books(self._writes)
        self.ledger = ledger.Ledger(self._writes)
        self.outbox = outbox.Outbox(self._writes, mapping.notification)
        self.parked = parked.Parked(self._writes)
        return self

    def __exit__(self, *_: object) -> None:
        """Roll back what is not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._writes.abandon()
            engine.give_back(connection)

    @failures.translated()
    def commit(self) -> None:
        """Make it permanent; raises Conflict or DatabaseUnavailable."""
        if self._connection is not None:
            self._writes.finish()
            self._connection.commit()
