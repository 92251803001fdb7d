"""The conductor's side: casts with confirms; what is not confirmed is cast again with the same id."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import amqp

from tests.chaos import broker, load

BATCH = 50
AGAIN = 0.3  # seconds
TICK = 0.1  # seconds


class Sender(threading.Thread):
    """Casts at a rate until told to stop; then ``sent`` of what the seed gives is with the broker, each at least once."""

    def __init__(self, node: broker.Broker, seed: int, rate: float) -> None:
        super().__init__(name="sender", daemon=True)
        self._broker = node
        self._casts = load.casts(seed)
        self._rate = rate
        self._stopping = threading.Event()
        self._connection: Any = None
        self.sent = 0
        self.published = 0

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopping.set()

    def run(self) -> None:
        """Cast."""
        self._deliver(load.first())
        began = time.monotonic()
        while not self._stopping.wait(TICK):
            wanted = min(int((time.monotonic() - began) * self._rate) - self.sent, BATCH)
            self._deliver([next(self._casts) for _ in range(wanted)])
            self.sent += wanted
        self._drop()

    def _deliver(self, batch: list[load.Cast]) -> None:
        """Hand a batch over; again and again, until the broker has confirmed each of them."""
        waiting = dict(enumerate(batch))
        while waiting:
            try:
                waiting = dict(enumerate(self._once(list(waiting.values()))))
            except broker.LOST:
                self._drop()
                threading.Event().wait(AGAIN)

    def _once(self, batch: list[load.Cast]) -> list[load.Cast]:
        """Publish a batch and return what the broker refused; raises one of LOST."""
        with self._channel() as (channel, waiting, refused):
            waiting |= set(range(1, len(batch) + 1))
            self.published += len(batch)
            for cast in batch:
                message = amqp.Message(
                    cast.body, content_type="application/json", content_encoding="utf-8", delivery_mode=2
                )
                channel.basic_publish(message, "stocktake", "accounts", mandatory=True)
            while waiting:
                self._connection.drain_events(timeout=30)
            return [batch[tag - 1] for tag in refused]

    @contextlib.contextmanager
    def _channel(self) -> Iterator[tuple[Any, set[int], list[int]]]:
        """Lend a channel with confirms, the tags that wait for one, and those that were refused."""
        if self._connection is None:
            self._connection = self._broker.connection()
        channel = self._connection.channel()
        waiting, refused = set[int](), list[int]()

        def settled(tag: int, multiple: bool) -> None:
            waiting.difference_update([one for one in waiting if one == tag or (multiple and one < tag)])

        def nacked(tag: int, multiple: bool) -> None:
            refused.extend(one for one in waiting if one == tag or (multiple and one < tag))
            settled(tag, multiple)

        channel.confirm_select()
        channel.events["basic_ack"].add(settled)
        channel.events["basic_nack"].add(nacked)
        yield channel, waiting, refused
        channel.close()

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*broker.LOST):
                self._connection.collect()
            self._connection = None
