"""The calls in hand whose callers want to hear now and then that somebody works on them."""

from __future__ import annotations

from typing import Any

from worker import errors, interfaces
from worker.bus import wire


class CallsInHand:
    """Calls received and not yet answered, by delivery tag, with the time (seconds, monotonic) of the last heartbeat."""

    def __init__(self) -> None:
        self._calls: dict[Any, tuple[interfaces.ReplyTo, float]] = {}

    def add(self, delivery: interfaces.Delivery) -> None:
        """Note a delivery if it is a call that asks for heartbeats; what cannot be read is none."""
        to = _monitored(delivery)
        if to is not None:
            self._calls[delivery.tag] = (to, float("-inf"))

    def forget(self, tag: Any) -> None:
        """Drop a call that is answered or given back."""
        self._calls.pop(tag, None)

    def clear(self) -> None:
        """Drop all: their deliveries belong to a connection that is gone."""
        self._calls.clear()

    def due(self, now: float) -> list[interfaces.ReplyTo]:
        """Return the calls whose callers are to hear now: at once, then at each half of their timeout."""
        due = []
        for tag, (to, last) in self._calls.items():
            if now - last >= (to.timeout or 0) / 2:
                self._calls[tag] = (to, now)
                due.append(to)
        return due


def _monitored(delivery: interfaces.Delivery) -> interfaces.ReplyTo | None:
    if wire.REPLY_QUEUE not in delivery.body and "compression" not in delivery.headers:
        return None  # a cast, without the price of reading it twice
    try:
        to = wire.decode(delivery).reply
    except errors.Malformed as error:
        to = error.reply  # it is answered once it is parked
    return to if to is not None and to.timeout else None
