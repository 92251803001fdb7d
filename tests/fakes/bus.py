"""A bus in plain Python: what is sent is in lists, what is taken and not settled comes back, and it can go away."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import msgspec

from worker import errors, interfaces


class Broker:
    """What both ends share. ``up`` False makes every use of it raise BusUnavailable."""

    def __init__(self) -> None:
        self.up = True
        self.queue: collections.deque[interfaces.Delivery] = collections.deque()
        self.answers: list[tuple[interfaces.ReplyTo, Any]] = []
        self.frames: list[interfaces.Frame] = []
        self.beats = 0
        self.confirms_left: int | None = None
        self._tags = 0

    def send(self, body: bytes, **properties: Any) -> None:
        """Put a message into the queue; ``properties`` are those of a Delivery."""
        self.queue.append(interfaces.Delivery(tag=self.next_tag(), body=body, **properties))

    def next_tag(self) -> int:
        """Return a tag that no delivery has had."""
        self._tags += 1
        return self._tags

    def check(self) -> None:
        """Raise BusUnavailable while it is down."""
        if not self.up:
            raise errors.BusUnavailable("the broker is down")


class Consumer:
    """Takes from a Broker; satisfies ``interfaces.Consumer``."""

    def __init__(self, broker: Broker, batch_size: int = 100) -> None:
        self._broker = broker
        self.batch_size = batch_size
        self._open = False
        self._taking = False
        self._unsettled: dict[Any, interfaces.Delivery] = {}

    def open(self) -> None:
        self.close()
        self._broker.check()
        self._open = self._taking = True

    def batch(
        self,
        idle: float = interfaces.IDLE,  # noqa: ARG002 - the fake never waits
        *,
        begun: int = 0,
        haste: float = 0.0,  # noqa: ARG002
    ) -> list[interfaces.Delivery]:
        self._check()
        taken: list[interfaces.Delivery] = []
        while self._taking and self._broker.queue and len(taken) < self.batch_size - begun:
            taken.append(self._broker.queue.popleft())
        self._unsettled.update((delivery.tag, delivery) for delivery in taken)
        return taken

    def settle(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        self._check()
        for delivery in deliveries:
            self._unsettled.pop(delivery.tag, None)

    def beat(self) -> None:
        self._check()
        self._broker.beats += 1

    def answer(self, delivery: interfaces.Delivery, to: interfaces.ReplyTo, reply: Any) -> None:  # noqa: ARG002
        self._check()
        self._broker.answers.append((to, reply))

    def stop_taking(self) -> None:
        self._check()
        self._taking = False

    def close(self) -> None:
        back = [
            msgspec.structs.replace(delivery, tag=self._broker.next_tag(), redelivered=True)
            for delivery in self._unsettled.values()
        ]
        self._broker.queue.extendleft(reversed(back))
        self._unsettled.clear()
        self._open = self._taking = False

    def _check(self) -> None:
        if not self._open:
            raise errors.BusUnavailable("the consumer is not open")
        if not self._broker.up:
            self.close()
        self._broker.check()


class Publisher:
    """Publishes to a Broker, which may confirm only the next ``confirms_left``; satisfies ``interfaces.Publisher``."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._open = False

    def open(self) -> None:
        self._broker.check()
        self._open = True

    def publish(self, frames: Sequence[interfaces.Frame]) -> int:
        if not self._open:
            raise errors.BusUnavailable("the publisher is not open")
        self._broker.check()
        for place, frame in enumerate(frames):
            if self._broker.confirms_left == 0:
                return place
            if self._broker.confirms_left is not None:
                self._broker.confirms_left -= 1
            self._broker.frames.append(frame)
        return len(frames)

    def close(self) -> None:
        self._open = False
