"""Casts and calls off RabbitMQ or kombu's in-process transport, acknowledged only when they are settled.

One connection with one channel consumes, another one answers calls: a broker in alarm stops reading a connection that
has published, its acknowledgements too. Bodies are taken raw, so that no message can raise before our own reader.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from worker import errors, interfaces
from worker.bus import buffered, calls, incoming, session, topology, urls, wire

LOG = logging.getLogger(__name__)

BATCH_BYTES = 64 * 1024 * 1024
"""Bodies in a batch, which may be parked together: a database takes no statement of any length."""
ANSWER_TIMEOUT = 10.0
"""Seconds that one answer may take to leave; longer means a broker that does not read."""


class RabbitConsumer:
    """Consumes the topic's queue and its dead letters; satisfies ``interfaces.Consumer``.

    ``queues`` are others to be consumed instead; those that are not bound have dead letters.
    """

    def __init__(
        self,
        bus: urls.Bus,
        topic: str,
        batch_size: int,
        batch_wait: float,
        queues: Sequence[topology.Queue] | None = None,
    ) -> None:
        self._queue = topic
        self.batch_size = batch_size
        self._batch_wait = batch_wait
        self._queues = list(topology.rpc_queues(topic) if queues is None else queues)
        self._topology = topology.Topology(bus.exchange, self._queues, auto_delete=bus.auto_delete)
        self._takes = session.Dialer(bus, f"stocktake {topic} consumer")
        self._answers = session.Dialer(bus, f"stocktake {topic} replies")
        self._sessions: tuple[session.Session, session.Session] | None = None
        self._consumers: list[str] = []
        self._buffer: collections.deque[interfaces.Delivery] = collections.deque()
        self._unsettled: dict[Any, Any] = {}
        self._bytes = 0  # in the batch that was begun
        self._life = 0
        self._calls = calls.CallsInHand()

    def open(self) -> None:
        """Connect, declare what is missing, start to consume; raises BusUnavailable."""
        self.close()
        taking = self._takes.dial()
        with session.ending(taking):
            answering = self._answers.dial()
        with session.ending(taking, answering):
            self._topology.declare(taking)
            self._listen_for_returns(answering)
            self._consume(taking)
        self._sessions = (taking, answering)
        LOG.info("action=open queue=%s", self._queue)

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        """Return up to batch_size deliveries, or what came within batch_wait; empty after ``idle`` seconds of nothing."""
        taking, answering = self._live()
        with session.ending(taking, answering):
            if self._consumers:
                self._fill(taking, self.batch_size - begun, idle, self._batch_wait * (1 - haste))
            self._keep_alive(taking, answering)
        return self._taken(begun) if self._consumers else []

    def _taken(self, begun: int) -> list[interfaces.Delivery]:
        """Take out of the buffer what goes into a batch that has so many; the first one whatever its size."""
        self._bytes = self._bytes if begun else 0
        taken: list[interfaces.Delivery] = []
        while self._buffer and begun + len(taken) < self.batch_size:
            self._bytes += len(self._buffer[0].body)
            if self._bytes > BATCH_BYTES and begun + len(taken):
                break
            taken.append(self._buffer.popleft())
        return taken

    def settle(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        """Acknowledge exactly these deliveries, in one step where they are the oldest ones of the channel.

        Deliveries of an earlier connection are passed over: the broker has them back and sends them again.
        """
        taking, answering = self._live()
        tags = {delivery.tag: None for delivery in deliveries if delivery.tag in self._unsettled}
        with session.ending(taking, answering):
            if len(tags) > 1 and not taking.memory and self._are_oldest(tags):
                taking.channel.basic_ack(self._unsettled[max(tags)], multiple=True)
            else:
                for tag in tags:
                    taking.channel.basic_ack(self._unsettled[tag])
        for tag in tags:
            del self._unsettled[tag]
            self._calls.forget(tag)

    def beat(self) -> None:
        """Keep both connections alive, and the callers patient, while the batch in hand waits."""
        taking, answering = self._live()
        with session.ending(taking, answering):
            taking.read(0)
            self._keep_alive(taking, answering)

    def answer(self, delivery: interfaces.Delivery, to: interfaces.ReplyTo, reply: Any) -> None:
        """Send the reply of a call once; that the caller is gone is no error."""
        taking, answering = self._live()
        self._calls.forget(delivery.tag)
        with session.ending(taking, answering):
            _send(answering, to, wire.encode_reply(to, reply))

    def stop_taking(self) -> None:
        """Take no further deliveries; those in hand may still be settled, the others go back when it closes."""
        taking, answering = self._live()
        with session.ending(taking, answering):
            for tag in self._consumers:
                taking.channel.basic_cancel(tag)
        self._consumers = []

    def close(self) -> None:
        """Give back what is unsettled and drop the connections; never raises."""
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            if sessions[0].memory:
                _give_back(sessions[0], self._unsettled.values())
            for each in sessions:
                each.drop()
        self._consumers = []
        self._buffer.clear()
        self._unsettled.clear()
        self._calls.clear()

    def _live(self) -> tuple[session.Session, session.Session]:
        if self._sessions is None or not self._sessions[0].live:
            raise errors.BusUnavailable("the consumer is not open")
        return self._sessions

    def _consume(self, taking: session.Session) -> None:
        self._life += 1
        channel = taking.channel
        channel.auto_decode = False
        channel.basic_qos(0, 2 * self.batch_size, False)
        for queue in sorted(self._queues, key=lambda queue: not queue.bound):
            receive = self._receiver(taking.memory, dead=not queue.bound)
            self._consumers.append(queue.name)
            channel.basic_consume(queue.name, no_ack=False, callback=receive, consumer_tag=queue.name)
        if taking.reader is not None:
            taking.reader.deliver(channel.channel_id, self._taker())

    def _receiver(self, memory: bool, *, dead: bool) -> Any:
        read = incoming.from_memory if memory else incoming.from_amqp

        def receive(message: Any) -> None:
            self._keep(*read(message, self._life, dead))

        return receive

    def _taker(self) -> buffered.Take:
        """Return what takes whole deliveries off the connection."""
        dead = {queue.name.encode(): not queue.bound for queue in self._queues}
        life = self._life

        def take(arguments: bytes, properties: bytes, body: bytes) -> bool:
            found = incoming.from_frames(arguments, properties, body, life, dead)
            if found is not None:
                self._keep(*found)
            return found is not None

        return take

    def _keep(self, raw_tag: Any, delivery: interfaces.Delivery) -> None:
        self._unsettled[delivery.tag] = raw_tag
        self._buffer.append(delivery)
        self._calls.add(delivery)

    def _fill(self, taking: session.Session, size: int, idle: float, patience: float) -> None:
        end = None if not self._buffer else time.monotonic() + patience
        while len(self._buffer) < size:
            if not taking.read(idle if end is None else max(end - time.monotonic(), 0)):
                break
            if self._buffer and end is None:
                end = time.monotonic() + patience

    def _keep_alive(self, taking: session.Session, answering: session.Session) -> None:
        taking.beat()
        if not answering.memory:
            while answering.read(0):
                pass
            answering.beat()
        for to in self._calls.due(time.monotonic()):
            _send(answering, to, wire.heartbeat(to))

    def _are_oldest(self, tags: dict[Any, None]) -> bool:
        return all(tag in tags for tag, _ in zip(self._unsettled, tags, strict=False))

    def _listen_for_returns(self, answering: session.Session) -> None:
        if not answering.memory:
            answering.channel.events["basic_return"].add(_note_return)


def _note_return(error: Exception, exchange: str, routing_key: str, message: Any) -> None:  # noqa: ARG001 - py-amqp's form
    LOG.info("action=answer the caller is gone: its reply queue %s does not exist", routing_key)


def _send(answering: session.Session, to: interfaces.ReplyTo, body: bytes) -> None:
    message = answering.channel.prepare_message(
        body, 0, wire.CONTENT_TYPE, wire.CONTENT_ENCODING, {}, {"delivery_mode": 2}
    )
    if answering.memory:
        answering.channel.basic_publish(message, "", to.queue)
    else:
        answering.channel.basic_publish(message, "", to.queue, mandatory=True, timeout=ANSWER_TIMEOUT)


def _give_back(taking: session.Session, tags: Iterable[Any]) -> None:
    """Requeue by hand what kombu's in-process transport would lose."""
    for tag in tags:
        taking.channel.basic_reject(tag, requeue=True)
