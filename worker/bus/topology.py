"""Exchange, queues and bindings: what is there is used as it is, what is missing is made.

A passive declaration names no property and so never collides with what another party declared first; an active one
with other properties is refused (406) and closes its channel. Hence each declaration has a channel of its own.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Any

from kombu.transport.virtual import base as virtual

from worker.bus import session

LOG = logging.getLogger(__name__)

PRIORITIES = ("info", "warn", "error")
NOT_FOUND, NOT_ALLOWED, DIFFERENT = 404, 403, 406
QUORUM = {"x-queue-type": "quorum"}


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """A queue as we would make it; ``bound`` if messages for its name reach it through the exchange."""

    name: str
    arguments: dict[str, Any]
    bound: bool = True


def dead_letters(topic: str) -> str:
    """Name the queue that takes what the broker gave up on."""
    return f"{topic}.dead"


def rpc_queues(topic: str) -> list[Queue]:
    """Return the queue of the casts and its dead-letter queue; no delivery limit, for -1 means 0 to RabbitMQ 3."""
    dead = dead_letters(topic)
    arguments = QUORUM | {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return [Queue(dead, QUORUM, bound=False), Queue(topic, arguments)]


def notification_queues(topics: Iterable[str]) -> list[Queue]:
    """Return one queue for each topic and priority, with the arguments that oslo's own listener declares."""
    return [Queue(f"{topic}.{priority}", QUORUM) for topic in topics for priority in PRIORITIES]


class Topology:
    """Makes what is missing on the broker, at each connect; warns once about what another party made differently."""

    def __init__(self, exchange: str, queues: list[Queue], *, auto_delete: bool = False) -> None:
        self._exchange = exchange
        self._queues = queues
        self._auto_delete = auto_delete
        self._compared: set[str] = set()

    def declare(self, on: session.Session) -> None:
        """Declare everything; errors of the transport come through."""
        self._ensure(on, f"exchange {self._exchange}", self._declare_exchange)
        for queue in self._queues:
            self._ensure(on, f"queue {queue.name}", _declaration(queue))
        channel = on.open_channel()
        for queue in self._queues:
            if queue.bound:
                channel.queue_bind(queue=queue.name, exchange=self._exchange, routing_key=queue.name)
        channel.close()

    def _declare_exchange(self, channel: Any, *, passive: bool) -> None:
        options = {"durable": True, "auto_delete": self._auto_delete}
        channel.exchange_declare(exchange=self._exchange, type="topic", passive=passive, **options)

    def _ensure(self, on: session.Session, what: str, declare: Callable[..., None]) -> None:
        refusal = _try(on, declare, passive=True)
        if refusal is not None and _code(refusal) != NOT_FOUND:
            raise refusal
        if refusal is None and what in self._compared:
            return
        difference = _try(on, declare, passive=False)
        if difference is not None:
            self._warn(what, difference, missing=refusal is not None)
        self._compared.add(what)

    def _warn(self, what: str, difference: Exception, *, missing: bool) -> None:
        if _code(difference) == DIFFERENT:
            LOG.warning("action=declare %s was made by another party and is used as it is: %s", what, difference)
        elif missing or _code(difference) != NOT_ALLOWED:
            raise difference


def _declaration(queue: Queue) -> Callable[..., None]:
    def declare(channel: Any, *, passive: bool) -> None:
        channel.queue_declare(
            queue=queue.name,
            passive=passive,
            durable=True,
            exclusive=False,
            auto_delete=False,
            arguments=queue.arguments,
        )

    return declare


def _try(on: session.Session, declare: Callable[..., None], *, passive: bool) -> Exception | None:
    """Declare on a channel of its own; return the refusal of the broker, if any."""
    channel = on.open_channel()
    refusal: Exception | None = None
    try:
        declare(channel, passive=passive)
    except (*on.connection.channel_errors, virtual.NotEquivalentError) as error:
        refusal = error
    channel.close()  # py-amqp has opened it again after a refusal
    return refusal


def _code(error: Exception) -> int:
    """The AMQP code of a refusal; kombu's in-process transport gives it as text, or none for another exchange."""
    return int(getattr(error, "reply_code", None) or DIFFERENT)
