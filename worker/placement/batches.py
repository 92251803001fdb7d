"""Where one batch of notifications ends and the next begins.

Theory: a transaction that moves an instance tells of each of its consumers, one notification after the other, and only
all of them together may go to Placement: the instance's own, applied alone, would give back the share that its move now
holds. They have the same instance and the same generation. So what stands at the end of a batch and may go on in the
next one waits for it, or for the silence that shows that nothing follows.

And what an earlier life had in hand when it was killed comes again, with its flag. Some of it may be applied already, so
all of it is one batch: a part of it would bring back what was before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from worker import interfaces, listening

Read = Callable[[interfaces.Delivery], listening.Notification | None]
"""Returns what a delivery says; None for one that cannot be read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A delivery, and what it says if it can be read."""

    delivery: interfaces.Delivery
    told: listening.Notification | None


class Batches:
    """The batches of one session with the broker; what is not handed on when it ends goes back to the broker."""

    SILENCE = 0.1
    """Seconds without a notification that show that a transaction has told all."""

    def __init__(self, consumer: interfaces.Consumer, read: Read) -> None:
        self._consumer = consumer
        self._read = read
        self._waiting: list[Taken] = []
        self._again = True

    def next(self) -> list[Taken]:
        """Return what is to be applied together; empty when nothing came. Raises BusUnavailable."""
        came = self._batch(self.SILENCE if self._waiting else interfaces.IDLE)
        while came and self._again and (more := self._batch(self.SILENCE)):
            came += more
        taken = self._waiting + came
        while came and not _end(taken):
            came = self._batch(self.SILENCE)
            taken += came
        end = _end(taken) if came else len(taken)
        self._waiting = taken[end:]
        return taken[:end]

    def _batch(self, idle: float) -> list[Taken]:
        deliveries = self._consumer.batch(idle)
        if deliveries:
            self._again = self._again and any(one.redelivered for one in deliveries)
        return [Taken(delivery, self._read(delivery)) for delivery in deliveries]


def _end(taken: list[Taken]) -> int:
    """Return where the last transaction about an instance begins that may go on, or the end.

    Warnings come on another queue, at any place between the others.
    """
    end, transaction = len(taken), None
    for at in range(len(taken) - 1, -1, -1):
        told = taken[at].told
        if told is None or not told.event_type.startswith((listening.ALLOCATION, listening.PROVIDER)):
            continue
        found = _transaction(told)
        if found is None or found != (transaction or found):
            break
        end, transaction = at, found
    return end


def _transaction(told: listening.Notification) -> tuple[str, int] | None:
    if told.event_type != listening.ALLOCATION:
        return None
    return told.payload["instance_uuid"], told.payload["consumer_generation"]
