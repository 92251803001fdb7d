"""What the inner layers ask of the outer ones: one Protocol per thing that can be swapped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, Self

import msgspec

from worker.core import commands, events, places, records, world

IDLE = 1.0
"""Seconds for which a consumer waits for a first delivery."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One message as it came off a queue, undecoded and unacknowledged.

    ``tag`` is the transport's own handle and means nothing outside the consumer that made it.
    ``dead`` says that it came from the dead-letter queue, ``death_reason`` why the broker put it there
    (``delivery_limit``, ``rejected``, ``expired``).
    """

    tag: Any
    body: bytes
    headers: Mapping[str, Any] = msgspec.field(default_factory=dict)
    content_type: str | None = None
    content_encoding: str | None = None
    redelivered: bool = False
    dead: bool = False
    death_reason: str | None = None


class ReplyTo(msgspec.Struct, frozen=True, gc=False):
    """Where a call waits for its answer; ``timeout`` is the caller's call-monitor interval in seconds or None."""

    msg_id: str
    queue: str
    timeout: float | None = None


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A cast or call as its sender meant it; ``reply`` is None for a cast, ``context`` never holds a token.

    ``plain``: it is known that no text in it holds a NUL or a lone surrogate.
    """

    message_id: str
    method: str
    args: dict[str, Any]
    version: str
    namespace: str | None
    context: dict[str, Any]
    reply: ReplyTo | None
    plain: bool = False


class RemoteFailure(msgspec.Struct, frozen=True, gc=False):
    """An error for the caller of a read method: a class of ``module`` that the caller can rebuild from the message."""

    exc_class: str
    message: str
    module: str = "objects.exceptions"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One notification ready to be published: oslo's ``messagingv2`` frame without its wire envelope.

    ``payload`` is the primitive of a versioned object, as plain data or as JSON text that is passed on as it is.
    """

    event_id: str
    event_type: str
    priority: str
    publisher_id: str
    payload: Any
    timestamp: str


class Consumer(Protocol):
    """Takes casts and calls off the bus; one thread only, and nothing is acknowledged before ``settle``."""

    batch_size: int
    """Most deliveries of a batch."""

    def open(self) -> None:
        """Connect, declare what is missing, start to consume; raises BusUnavailable."""

    def batch(self, idle: float = IDLE, *, begun: int = 0, haste: float = 0.0) -> list[Delivery]:
        """Return up to batch_size deliveries, or what came within batch_wait; empty after ``idle`` seconds of nothing.

        ``begun`` are in the batch already. ``haste`` from 0 to 1 shortens batch_wait, 1 to nothing.
        """

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge exactly these deliveries, whose transaction is committed."""

    def beat(self) -> None:
        """Keep the connection alive while the batch in hand waits for the database."""

    def answer(self, delivery: Delivery, to: ReplyTo, reply: Any) -> None:
        """Send the reply of a call once: a JSON value, or a RemoteFailure."""

    def stop_taking(self) -> None:
        """Take no further deliveries; those in hand may still be settled."""

    def close(self) -> None:
        """Give back what is unsettled and drop the connection; never raises."""


class Publisher(Protocol):
    """Publishes notifications with confirmation."""

    def open(self) -> None:
        """Connect and declare what is missing; raises BusUnavailable."""

    def publish(self, frames: Sequence[Frame]) -> int:
        """Publish in order, pipelined; return how many of the first are confirmed: all, unless something failed."""

    def close(self) -> None:
        """Drop the connection; never raises."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """What the inbox knows of a message: its outcome's word and, for a call, the whole answer as JSON text."""

    message_id: str
    method: str
    outcome: str
    reply: str | None = None


class ParkedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that could not be applied, as it is kept; ``body`` is free of secrets, ``parked_at`` in microseconds.

    ``id`` is the parking number (None before it is stored). ``host`` and ``cause`` go into its notification only: the
    machine that parked it, and the sender's request as far as it could be read.
    """

    reason: str
    body: bytes
    parked_at: int
    queue: str
    message_id: str | None = None
    method: str | None = None
    field: str | None = None
    error: str | None = None
    traceback: str | None = None
    attempts: int = 1
    headers: Mapping[str, Any] = msgspec.field(default_factory=dict)
    id: int | None = None
    host: str = ""
    cause: commands.Cause | None = None


class Inbox(Protocol):
    """Which messages have been applied."""

    def seen(self, message_ids: Collection[str]) -> Mapping[str, Mark]:
        """Return the marks of those ids that are known."""

    def add(self, marks: Sequence[Mark], now: int) -> None:
        """Mark messages as applied; raises Conflict if another worker has marked one of them meanwhile."""


class Books(Protocol):
    """The records and the figures. What is read here is locked until the end of the transaction, in one fixed order."""

    def instances(self, uuids: Collection[str]) -> Sequence[records.Book]:
        """Return the stored books of these instances; unknown ones are left out."""

    def accounts(self, pairs: Collection[records.Pair], ids: Collection[str]) -> Sequence[records.Account]:
        """Return the accounts of these pairs and ids; one that is not stored yet comes back empty (pairs only)."""

    def hold(self, accounts: Collection[str]) -> None:
        """Lock these accounts without reading what is in them; one that is not stored cannot be locked."""

    def nodes(self, uuids: Collection[str], accounts: Collection[str]) -> Sequence[records.Node]:
        """Return the nodes with these uuids and those whose newest report names one of these accounts."""

    def residents(self, accounts: Collection[str]) -> Collection[str]:
        """Return the uuids of the instances that hold something on one of these accounts."""

    def places_on(self, accounts: Collection[str]) -> Mapping[str, Mapping[places.Key, records.Place]]:
        """Return every place on each of these accounts, by instance and side."""

    def hardware_of(self, nodes: Collection[str]) -> Mapping[str, places.Hardware]:
        """Return what the newest reports of these nodes say of cells and devices."""

    def save(self, changed: world.World) -> None:
        """Store every book, account and node that differs from what was read; raises Conflict if one is not as read."""


class Ledger(Protocol):
    """The append-only explanation of every figure."""

    def add(self, entries: Sequence[events.Entry], now: int) -> None:
        """Append entries."""


class Outbox(Protocol):
    """Events to be published after the commit."""

    def add(self, happened: Sequence[events.Event], now: int) -> None:
        """Append one notification for each event, in this order."""


class Parked(Protocol):
    """Messages that could not be applied."""

    def add(self, messages: Sequence[ParkedMessage]) -> None:
        """Keep messages."""


class UnitOfWork(Protocol):
    """One transaction over everything; left without ``commit`` it changes nothing."""

    inbox: Inbox
    books: Books
    ledger: Ledger
    outbox: Outbox
    parked: Parked

    def __enter__(self) -> Self:
        """Begin; raises DatabaseUnavailable."""

    def __exit__(self, *_: object) -> None:
        """Roll back what is not committed."""

    def commit(self) -> None:
        """Make it permanent; raises Conflict or DatabaseUnavailable."""


class Starts(Protocol):
    """How often deliveries that came again were started, by their content; each method is a transaction of its own.

    They raise DatabaseUnavailable.
    """

    def known(self, contents: Sequence[str]) -> Mapping[str, int]:
        """Return how often those were started that did not end well."""

    def begin(self, contents: Sequence[str]) -> None:
        """Count a start of each."""

    def finish(self, contents: Sequence[str]) -> None:
        """Forget those that ended well."""


class Library(Protocol):
    """Answers questions from committed rows; each raises NotFound or DatabaseUnavailable."""

    def node_usage(self, node_uuid: str) -> dict[str, Any]:
        """Return the NodeUsage primitive of a node, or of a pair by its placeholder uuid."""

    def node_usages(self, marker: str | None, limit: int) -> list[dict[str, Any]]:
        """Return NodeUsage primitives in the order of their uuids, from after ``marker`` on."""

    def instance_usage(self, instance_uuid: str, now: int) -> dict[str, Any]:
        """Return the InstanceUsage primitive; moves are overdue as of ``now`` (microseconds)."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of one delivery; ``to`` is None for a cast. ``word`` is the outcome's, or ``read``."""

    delivery: Delivery
    word: str
    to: ReplyTo | None = None
    reply: Any = None
