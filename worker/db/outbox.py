"""Events to be published after the commit."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from worker import interfaces
from worker.core import events
from worker.db import engine, failures, tables, texts, writes

PAGE = 500
PART = 100
"""Rows that are written at once: PostgreSQL takes them in while the next ones are made."""
_ROW = tables.outbox.c
FRAME = sa.select(
    _ROW.id, _ROW.event_id, _ROW.event_type, _ROW.priority, _ROW.publisher_id, _ROW.payload, _ROW.emitted_at
)

Notification = Callable[[events.Event, str, int], interfaces.Frame]
"""Makes the frame of an event, of the id it is to have and of the time in microseconds."""


class Outbox:
    """The outbox within one transaction."""

    def __init__(self, written: writes.Writes, notification: Notification) -> None:
        self._writes = written
        self._notification = notification

    @failures.translated()
    def add(self, happened: Sequence[events.Event], now: int) -> None:
        """Append one notification for each event, in this order."""
        for first in range(0, len(happened), PART):
            rows = [self._row(event, now) for event in happened[first : first + PART]]
            self._writes.insert(tables.outbox, rows)

    def _row(self, event: events.Event, now: int) -> dict[str, Any]:
        frame = self._notification(event, str(uuid.uuid4()), now)
        node_uuid, sequence = _node(event)
        return {
            "event_id": frame.event_id,
            "node_uuid": node_uuid,
            "sequence": sequence,
            "event_type": frame.event_type,
            "priority": frame.priority,
            "publisher_id": frame.publisher_id,
            "emitted_at": frame.timestamp,
            "payload": texts.write_any(frame.payload),
            "created_at": now,
            "due": True,
        }


def _node(event: events.Event) -> tuple[str | None, int | None]:
    """Return the node that an event is about, and its place among that node's provider notifications."""
    if isinstance(event, events.ProviderChanged):
        return event.node.uuid, event.node.sequence
    return getattr(event, "node_uuid", None), None


def frame(row: Sequence[Any]) -> tuple[int, interfaces.Frame]:
    """Return the number and the frame of a row of ``FRAME``."""
    id_, event_id, event_type, priority, publisher_id, payload, emitted_at = row
    return id_, interfaces.Frame(event_id, event_type, priority, publisher_id, texts.as_it_is(payload), emitted_at)


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """How many notifications are due and how many are kept as sent; when the oldest due one was made, or None."""

    due: int
    sent: int
    oldest_due: int | None


@failures.translated()
def status(bind: sa.Engine) -> Status:
    """Return how far the relay has got."""
    waiting = sa.select(sa.func.count(), sa.func.min(_ROW.created_at)).where(_ROW.due.is_not(None))
    kept = sa.select(sa.func.count()).select_from(tables.outbox)
    with engine.snapshot(bind) as connection:
        due, oldest = connection.execute(waiting).one()
        return Status(due, connection.scalar(kept) - due, oldest)


def frames(bind: sa.Engine, node_uuid: str, from_sequence: int) -> Iterator[interfaces.Frame]:
    """Yield what is kept of a node's provider notifications from a sequence on, in order, sent or not."""
    after = (from_sequence, 0)
    while page := _page(bind, node_uuid, after):
        yield from (frame(row[:-1])[1] for row in page)
        after = (page[-1].sequence, page[-1].id)


@failures.translated()
def _page(bind: sa.Engine, node_uuid: str, after: tuple[int, int]) -> Sequence[sa.Row[Any]]:
    """Return the next rows after a sequence and a number: a snapshot has the sequence of the change before it."""
    sequence, number = after
    later = sa.or_(_ROW.sequence > sequence, sa.and_(_ROW.sequence == sequence, _ROW.id > number))
    query = FRAME.add_columns(_ROW.sequence).where(_ROW.node_uuid == node_uuid, _ROW.sequence >= sequence, later)
    with bind.connect() as connection:
        return connection.execute(query.order_by(_ROW.sequence, _ROW.id).limit(PAGE)).all()


@failures.translated()
def resend(bind: sa.Engine, node_uuid: str, from_sequence: int) -> int:
    """Make what is kept of a node's provider notifications from a sequence on due again; return how many were sent."""
    again = (
        tables.outbox.update()
        .where(_ROW.node_uuid == node_uuid, _ROW.sequence >= from_sequence, _ROW.due.is_(None))
        .values(due=sa.true(), sent_at=None)
    )
    with bind.execution_options(**{engine.WRITING: True}).begin() as connection:
        return connection.execute(again).rowcount
