"""Messages that could not be applied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from worker import interfaces
from worker.db import bulk, engine, failures, tables, texts

_PARKED = tables.parked.c


class Parked:
    """The parked messages within one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @failures.translated()
    def add(self, messages: Sequence[interfaces.ParkedMessage]) -> None:
        """Keep messages; text in them that a database would refuse is written out."""
        for message in messages:
            self._connection.execute(tables.parked.insert(), _row(message))


def _row(message: interfaces.ParkedMessage) -> dict[str, Any]:
    return {
        "message_id": texts.storable(message.message_id),
        "parked_at": message.parked_at,
        "queue": texts.storable(message.queue),
        "method": texts.storable(message.method),
        "field": texts.storable(message.field),
        "reason": texts.storable(message.reason),
        "error": texts.storable(message.error),
        "traceback": texts.storable(message.traceback),
        "attempts": message.attempts,
        "headers": texts.write_headers(message.headers),
        "body": message.body,
    }


@failures.translated()
def listed(bind: sa.Engine, after: int = 0, limit: int = 100) -> list[interfaces.ParkedMessage]:
    """Return parked messages by their number, from after this one on."""
    query = sa.select(tables.parked).where(_PARKED.id > after).order_by(_PARKED.id).limit(limit)
    with bind.connect() as connection:
        return [_message(row) for row in connection.execute(query)]


@failures.translated()
def get(bind: sa.Engine, number: int) -> interfaces.ParkedMessage | None:
    """Return the parked message of this number, or None."""
    with bind.connect() as connection:
        row = connection.execute(sa.select(tables.parked).where(_PARKED.id == number)).one_or_none()
    return None if row is None else _message(row)


@failures.translated()
def delete(bind: sa.Engine, numbers: Collection[int]) -> int:
    """Drop parked messages and return how many there were."""
    with bind.execution_options(**{engine.WRITING: True}).begin() as connection:
        return bulk.delete(connection, tables.parked, [{"id": number} for number in numbers])


def _message(row: sa.Row[Any]) -> interfaces.ParkedMessage:
    columns = dict(row._mapping)  # noqa: SLF001 (the name of SQLAlchemy's public accessor)
    return interfaces.ParkedMessage(**{**columns, "headers": texts.read_dict(columns["headers"])})
