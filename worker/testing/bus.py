"""Faults between a worker, or whoever takes messages by ``interfaces.Consumer``, and its bus.

What they do is what a broker does on a bad day, and no more. Only what is not acknowledged comes again, and it is marked
as redelivered; an acknowledgement counts once the broker has it; a notification without its confirm may have arrived.
Nothing sleeps: what is delayed waits for a number of polls.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from worker import errors, interfaces
from worker.testing import faults

_ID = re.compile(rb"_unique_id\W+([\w.-]+)")


class FaultyConsumer:
    """A consumer with faults before another one, which has the bus; satisfies ``interfaces.Consumer``.

    Copies that it makes (duplicates, cut off messages) are kept as a broker would keep them: one that is not settled comes
    again after the connection was lost. ``truncated`` are the bodies that were cut off: each is to end parked.
    """

    def __init__(self, consumer: interfaces.Consumer, plan: faults.Faults) -> None:
        self._inner = consumer
        self._place = plan.at("consumer")
        self.batch_size = consumer.batch_size
        self._taking = False
        self._doomed = False
        self._made = 0
        self._later: list[tuple[int, interfaces.Delivery]] = []
        self._copies: dict[Any, interfaces.Delivery] = {}
        self.truncated: list[bytes] = []

    @property
    def pending(self) -> int:
        """How many messages it has, its own copies included, that were not handed over or not settled."""
        return len(self._copies) + sum(one.tag not in self._copies for _, one in self._later)

    def open(self) -> None:
        """Connect; raises BusUnavailable."""
        self.close()
        if self._place.happens("refuse", "open"):
            raise errors.BusUnavailable(self._place.lost("while it is opened"))
        self._inner.open()
        self._taking = True
        self._later = [(0, one) for one in self._copies.values()]

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        """Return up to batch_size deliveries less those ``begun``; while some are kept back, it waits for none."""
        with self._connected("while it polls"):
            fresh = self._inner.batch(0.0 if self._later else idle, begun=begun, haste=haste)
        if not self._taking:
            return []
        coming = [(polls - 1, one) for polls, one in self._later]
        for one in fresh:
            coming.extend(self._fate(one))
        ripe = [one for polls, one in coming if polls <= 0]
        if len(ripe) > 1 and self._place.happens("reorder", f"{len(ripe)} deliveries"):
            self._place.shuffle(ripe)
        room = self.batch_size - begun
        self._later = [(0, one) for one in ripe[room:]] + [pair for pair in coming if pair[0] > 0]
        return ripe[:room]

    def settle(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        """Acknowledge these deliveries, as far as it gets."""
        with self._connected("before it acknowledges"):
            if deliveries and self._place.happens("lose_acks", f"{len(deliveries)} deliveries"):
                deliveries = deliveries[: self._place.number("lose_acks", 0, len(deliveries) - 1)]
                self._doomed = True
            self._inner.settle([one for one in deliveries if one.tag not in self._copies])
        for one in deliveries:
            self._copies.pop(one.tag, None)

    def beat(self) -> None:
        """Keep the connection alive."""
        with self._connected("while the batch waits"):
            self._inner.beat()

    def answer(self, delivery: interfaces.Delivery, to: interfaces.ReplyTo, reply: Any) -> None:
        """Send the reply of a call; the caller may get it although this raises."""
        with self._connected("before it answers"):
            self._inner.answer(delivery, to, reply)
        with self._connected("after it has answered"):
            pass

    def stop_taking(self) -> None:
        """Take no further deliveries; those that are held back go back when it closes."""
        with self._connected("while it stops"):
            self._inner.stop_taking()
        self._taking = False

    def close(self) -> None:
        """Give back what is unsettled and drop the connection; never raises."""
        self._inner.close()
        self._taking = self._doomed = False
        self._later = []
        self._copies = {
            tag: msgspec.structs.replace(one, tag=tag, redelivered=True)
            for tag, one in ((self._next_tag(), one) for one in self._copies.values())
        }

    @contextlib.contextmanager
    def _connected(self, doing: str) -> Iterator[None]:
        """Break the connection now, perhaps; whoever breaks it, what is not settled goes back."""
        try:
            if self._doomed or self._place.happens("drop", doing):
                raise errors.BusUnavailable(self._place.lost(doing))
            yield
        except errors.BusUnavailable:
            self.close()
            raise

    def _fate(self, one: interfaces.Delivery) -> Iterator[tuple[int, interfaces.Delivery]]:
        """Yield what becomes of a delivery, each with the polls that it has to wait."""
        place, name = self._place, _name(one)
        if place.happens("lose", name):
            self._inner.settle([one])
            return
        if len(one.body) > 1 and place.happens("truncate", name):
            cut = one.body[: place.number("truncate", 1, len(one.body) - 1)]
            self.truncated.append(cut)
            yield 0, self._copy(one, body=cut)
        if place.happens("duplicate", name):
            yield place.polls("duplicate"), self._copy(one)
        if not one.redelivered and place.happens("redeliver", name):
            one = msgspec.structs.replace(one, redelivered=True)
        yield place.polls("delay") if place.happens("delay", name) else 0, one

    def _copy(self, one: interfaces.Delivery, **changes: Any) -> interfaces.Delivery:
        tag = self._next_tag()
        self._copies[tag] = msgspec.structs.replace(one, tag=tag, **changes)
        return self._copies[tag]

    def _next_tag(self) -> tuple[str, int]:
        self._made += 1
        return "copy", self._made


class FaultyPublisher:
    """A publisher with faults before another one, which has the bus; satisfies ``interfaces.Publisher``."""

    def __init__(self, publisher: interfaces.Publisher, plan: faults.Faults) -> None:
        self._inner = publisher
        self._place = plan.at("publisher")

    def open(self) -> None:
        """Connect; raises BusUnavailable."""
        if self._place.happens("refuse", "open"):
            self._inner.close()
            raise errors.BusUnavailable(self._place.lost("while it is opened"))
        self._inner.open()

    def publish(self, frames: Sequence[interfaces.Frame]) -> int:
        """Publish; return how many of the first are confirmed, which may be fewer than have arrived."""
        if self._place.happens("drop", f"before {len(frames)} notifications"):
            self._inner.close()
            raise errors.BusUnavailable(self._place.lost("before it publishes"))
        if frames and self._place.happens("lose_confirms", f"{len(frames)} notifications"):
            return self._lose_confirms(frames)
        if frames and self._place.happens("nack", f"one of {len(frames)} notifications"):
            return self._refuse_one(frames)
        return self._inner.publish(frames)

    def close(self) -> None:
        """Drop the connection; never raises."""
        self._inner.close()

    def _lose_confirms(self, frames: Sequence[interfaces.Frame]) -> int:
        """Send some, tell of fewer; the connection is gone then."""
        arrived = self._inner.publish(frames[: self._place.number("lose_confirms", 1, len(frames))])
        self._inner.close()
        return self._place.number("lose_confirms", 0, max(arrived - 1, 0))

    def _refuse_one(self, frames: Sequence[interfaces.Frame]) -> int:
        """Leave one out; what was written behind it meanwhile arrives before it."""
        place = self._place.number("nack", 0, len(frames) - 1)
        ahead = self._place.number("nack", 0, len(frames) - 1 - place)
        if self._inner.publish(frames[:place]) == place:
            self._inner.publish(frames[place + 1 : place + 1 + ahead])
        return place


def _name(one: interfaces.Delivery) -> str:
    """Return what tells a delivery from the others in a list of faults: the id that its sender gave it."""
    found = _ID.search(one.body)
    name = found.group(1).decode() if found else f"{len(one.body)} bytes"
    return f"{name}, redelivered" if one.redelivered else name
