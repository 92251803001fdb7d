"""Messages that could not be applied."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from worker import interfaces
from worker.db import bulk, engine, failures, tables, texts, writes

TRUNCATED = "truncated"
"""Header of a message whose body is kept in part only: the ``length`` and the ``sha256`` of the whole one."""

_PARKED = tables.parked.c
_LONGEST = 65536  # characters of a text that explains
_WIDEST = 2  # characters of a statement for one byte of a body


class Parked:
    """The parked messages within one transaction."""

    def __init__(self, written: writes.Writes) -> None:
        self._writes = written

    @failures.translated()
    def add(self, messages: Sequence[interfaces.ParkedMessage]) -> None:
        """Keep messages; text in them that a database would refuse is written out, and what is too long is cut."""
        most = engine.packet(self._writes.connection) if messages else None
        for message in messages:
            cut = message if most is None else _cut(message, most * 3 // 4)
            self._writes.insert(tables.parked, [_row(cut)])


def _cut(message: interfaces.ParkedMessage, room: int) -> interfaces.ParkedMessage:
    """Return the message with no more of its body than ``room`` bytes of a statement, and what the whole one was."""
    if len(message.body) * _WIDEST <= room:
        return message
    whole = {"length": len(message.body), "sha256": hashlib.sha256(message.body).hexdigest()}
    headers = {**message.headers, TRUNCATED: whole}
    return msgspec.structs.replace(message, body=message.body[: room // _WIDEST], headers=headers)


def _row(message: interfaces.ParkedMessage) -> dict[str, Any]:
    return {
        "message_id": texts.storable(message.message_id),
        "parked_at": message.parked_at,
        "queue": texts.storable(message.queue),
        "method": texts.storable(message.method, _LONGEST),
        "field": texts.storable(message.field, _LONGEST),
        "reason": texts.storable(message.reason, _LONGEST),
        "error": texts.storable(message.error, _LONGEST),
        "traceback": texts.storable(message.traceback, _LONGEST),
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
