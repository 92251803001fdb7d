"""Notifications with pipelined confirms: many are on their way at once, and none counts before the broker has it.

Theory: the broker numbers what comes on a channel in confirm mode from 1 and acknowledges by these numbers, in any
order and several at a time. A mandatory message that no queue takes comes back first (``basic_return``), and is
acknowledged all the same: a returned one is not sent. What ``publish`` reports is the number of leading frames with
all their copies confirmed, so that whoever sends again from there keeps the order.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from worker import errors, interfaces, steps
from worker.bus import frames as amqp_frames
from worker.bus import session, topology, urls, wire

LOG = logging.getLogger(__name__)

WINDOW = 500
"""Messages on their way without a confirm."""
AT_ONCE = 64
"""Frames that are written in one go."""
TIMEOUT = 30.0
"""Seconds without any progress after which the broker counts as lost."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame with its body as bytes, the same for every topic."""

    frame: interfaces.Frame
    body: bytes

    def key(self, topic: str) -> str:
        """Return the routing key, which is the queue's name, too."""
        return f"{topic}.{self.frame.priority.lower()}"


class Confirms:
    """What is on its way on one channel: confirm number -> place of its frame in the batch."""

    def __init__(self) -> None:
        self._number = 0
        self._pending: dict[int, int] = {}
        self._failed: set[int] = set()
        self._returned: set[str] = set()

    def begin(self) -> None:
        """Start a batch; numbers go on counting with the channel."""
        self._pending.clear()
        self._failed.clear()
        self._returned.clear()

    def register(self, place: int) -> None:
        """Give the next number to a copy of a frame, before it is published: its confirm may come meanwhile."""
        self._number += 1
        self._pending[self._number] = place

    def acked(self, tag: int, multiple: bool = False) -> None:
        """The broker has taken a number, or all up to it."""
        for number in self._numbers(tag, multiple):
            self._pending.pop(number, None)

    def nacked(self, tag: int, multiple: bool = False, requeue: bool = False) -> None:  # noqa: ARG002 - AMQP's form
        """The broker has refused a number, or all up to it."""
        for number in self._numbers(tag, multiple):
            place = self._pending.pop(number, None)
            if place is not None:
                self._failed.add(place)

    def returned(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:  # noqa: ARG002
        """No queue takes a message; its confirm still comes."""
        self._returned.add(str(message.properties.get("message_id")))

    def in_flight(self) -> int:
        """Return how many messages wait for their confirm."""
        return len(self._pending)

    def troubled(self) -> bool:
        """Tell whether anything was refused or came back."""
        return bool(self._failed or self._returned)

    def unroutable(self) -> bool:
        """Tell whether anything came back because a queue is missing."""
        return bool(self._returned)

    def leading(self, frames: Sequence[Outgoing], sent: int) -> int:
        """Return how many of the first ``sent`` frames are confirmed with all their copies."""
        missing = self._failed.union(self._pending.values())
        missing.update(place for place in range(sent) if frames[place].frame.event_id in self._returned)
        return min(missing, default=sent)

    def _numbers(self, tag: int, multiple: bool) -> list[int]:
        if not multiple:
            return [tag]
        numbers = []
        for number in self._pending:  # in the order of registration, so the low ones come first
            if number > tag:
                break
            numbers.append(number)
        return numbers


class RabbitPublisher:
    """Publishes over RabbitMQ or kombu's in-process transport; satisfies ``interfaces.Publisher``.

    A connection that died while nothing was on its way is replaced without a word. ``publish`` of no frames keeps an
    idle one alive, if called more often than the heartbeat. ``meanwhile`` is called about once a second while confirms
    are awaited.
    """

    def __init__(self, bus: urls.Bus, topics: Sequence[str], window: int = WINDOW, timeout: float = TIMEOUT) -> None:
        self._exchange = bus.exchange
        self._topics = tuple(topics)
        self._window = window
        self._at_once = max(min(AT_ONCE, window // max(len(self._topics), 1)), 1)
        self._timeout = timeout
        queues = topology.notification_queues(topics)
        self._topology = topology.Topology(bus.exchange, queues, auto_delete=bus.auto_delete)
        self._dialer = session.Dialer(bus, "stocktake notifications")
        self._session: session.Session | None = None
        self.meanwhile: Callable[[], None] = _nothing
        self._confirms = Confirms()

    def open(self) -> None:
        """Connect and declare what is missing; raises BusUnavailable."""
        self._connect()

    def _connect(self) -> session.Session:
        self.close()
        opened = self._dialer.dial()
        with session.ending(opened):
            self._topology.declare(opened)
            self._confirms = Confirms()
            if not opened.memory:
                _listen(opened.channel, self._confirms)
        self._session = opened
        return opened

    def publish(self, frames: Sequence[interfaces.Frame]) -> int:
        """Publish in order, pipelined; return how many of the first ones are confirmed (all, unless something failed).

        A frame that came back for want of a queue is sent once more, with those behind it, after the queues are
        declared again. A connection that is lost on the way only shortens the count; the next call raises.
        """
        live = self._ready()
        outgoing = [Outgoing(frame, wire.encode_notification(frame)) for frame in frames]
        if live.memory:
            return self._publish_unconfirmed(live, outgoing)
        sent = self._attempt(live, outgoing)
        if sent < len(frames) and self._confirms.unroutable() and live.live:
            sent += self._attempt(live, outgoing[sent:], declare=True)
        return sent

    def close(self) -> None:
        """Drop the connection; never raises."""
        live, self._session = self._session, None
        if live is not None:
            live.drop()

    def _ready(self) -> session.Session:
        live = self._session
        if live is None or not live.live:
            raise errors.BusUnavailable("the publisher is not open")
        if live.memory:
            return live
        try:
            with session.ending(live):
                _keep_alive(live)
        except errors.BusUnavailable as error:
            LOG.info("action=reconnect %s", error)
            live = self._connect()
        return live

    def _attempt(self, live: session.Session, frames: Sequence[Outgoing], *, declare: bool = False) -> int:
        confirms = self._confirms
        confirms.begin()
        sent = 0
        try:
            with session.ending(live):
                if declare:
                    self._topology.declare(live)
                write = amqp_frames.writer(live.channel, self._exchange, wire.CONTENT_TYPE, wire.CONTENT_ENCODING)
                while sent < len(frames) and not confirms.troubled():
                    some = frames[sent : sent + self._at_once]
                    self._send(live, [self._registered(write, sent + place, one) for place, one in enumerate(some)])
                    sent += len(some)
                    self._await(live, self._window - self._at_once * len(self._topics))
                self._await(live, 0)
        except errors.BusUnavailable as error:
            LOG.warning("action=publish %s", error)
        return confirms.leading(frames, sent)

    def _registered(self, write: Callable[[str, str, bytes], bytes], place: int, outgoing: Outgoing) -> bytes:
        """Return the bytes of a frame for every topic; their confirms may come as soon as they are written."""
        copies = []
        for topic in self._topics:
            self._confirms.register(place)
            copies.append(write(outgoing.key(topic), outgoing.frame.event_id, outgoing.body))
        return b"".join(copies)

    def _send(self, live: session.Session, pieces: Sequence[bytes]) -> None:
        """Write in one go; a broker in alarm does not read, and its silence ends the session."""
        connection = live.channel.connection
        with connection.transport.having_timeout(self._timeout):
            connection.transport.write(b"".join(pieces))
        connection.bytes_sent += len(pieces)  # what py-amqp's heartbeat goes by
        steps.WATCH.reached(steps.WRITTEN)

    def _await(self, live: session.Session, most: int) -> None:
        """Read until at most that many are on their way."""
        end = time.monotonic() + self._timeout
        left = self._confirms.in_flight()
        while left > most:
            live.read(1.0)
            live.beat()
            self.meanwhile()
            now, before, left = time.monotonic(), left, self._confirms.in_flight()
            if left < before:
                end = now + self._timeout
            elif now > end:
                raise errors.BusUnavailable(f"no confirm from the broker within {self._timeout:g} s")

    def _publish_unconfirmed(self, live: session.Session, frames: Sequence[Outgoing]) -> int:
        with session.ending(live):
            for outgoing in frames:
                for topic in self._topics:
                    message = _message(live.channel, outgoing)
                    live.channel.basic_publish(message, self._exchange, outgoing.key(topic))
        return len(frames)


def _nothing() -> None:
    pass


def _listen(channel: Any, confirms: Confirms) -> None:
    channel.events["basic_ack"].add(confirms.acked)
    channel.events["basic_nack"].add(confirms.nacked)
    channel.events["basic_return"].add(confirms.returned)
    channel.confirm_select()


def _keep_alive(live: session.Session) -> None:
    while live.read(0):
        pass
    live.beat()


def _message(channel: Any, outgoing: Outgoing) -> Any:
    properties = {"delivery_mode": 2, "message_id": outgoing.frame.event_id}
    return channel.prepare_message(outgoing.body, 0, wire.CONTENT_TYPE, wire.CONTENT_ENCODING, {}, properties)
