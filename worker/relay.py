"""From the outbox to the bus: one active relay for all nodes, held by a lease in the database.

Rows go out in the order of their ids, which for one node is the order of its sequence, since a node's rows are written
under the lock of its account. What is not confirmed is sent again from the first missing on; consumers tell repeats by
``message_id`` and ``sequence``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from oslo_log import log

from worker import errors, interfaces

LOG = log.getLogger(__name__)

LEASE = "relay"


class Store(Protocol):
    """The outbox as the relay sees it."""

    def acquire(self, name: str, holder: str, now: int, seconds: float) -> bool:
        """Take or renew a lease; False while another holds it."""

    def release(self, name: str, holder: str) -> None:
        """Give a lease up."""

    def due(self, limit: int) -> Sequence[tuple[int, interfaces.Frame]]:
        """Return the oldest rows that are to be sent, by id."""

    def sent(self, ids: Sequence[int], now: int) -> None:
        """Mark rows as sent."""


class Backoff(Protocol):
    """How long to wait before the next try."""

    def wait(self) -> float:
        """Return seconds."""

    def reset(self) -> None:
        """Begin anew after a success."""


class Relay:
    """Publishes what is due. ``clock`` gives microseconds since 1970; one thread at a time."""

    def __init__(
        self,
        store: Store,
        publisher: interfaces.Publisher,
        clock: Callable[[], int],
        holder: str,
        settings: Callable[[], tuple[int, float]],
    ) -> None:
        """``settings`` gives rows a batch and seconds a lease."""
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._holder = holder
        self._settings = settings
        self._open = False
        self._renew_at = 0
        self.published = 0

    def turn(self) -> int | None:
        """Publish one batch of what is due; return how many, or None while another relay is the active one.

        Raises BusUnavailable (also if nothing at all was confirmed), DatabaseUnavailable or Conflict; what was confirmed
        by then may be sent again.
        """
        size, seconds = self._settings()
        now = self._clock()
        if now >= self._renew_at:
            if not self._store.acquire(LEASE, self._holder, now, seconds):
                return None
            self._renew_at = now + int(seconds * 1_000_000 / 3)
        rows = self._store.due(size)
        if not rows:
            return 0
        return self._publish(rows)

    def _publish(self, rows: Sequence[tuple[int, interfaces.Frame]]) -> int:
        if not self._open:
            self._publisher.open()
            self._open = True
        confirmed = self._publisher.publish([frame for _, frame in rows])
        if confirmed:
            self._store.sent([number for number, _ in rows[:confirmed]], self._clock())
        self.published += confirmed
        if confirmed < len(rows):
            LOG.warning("action=republish only %d of %d notifications were confirmed", confirmed, len(rows))
            self._drop()
        if not confirmed:
            raise errors.BusUnavailable("the broker has confirmed nothing")
        return confirmed

    def _drop(self) -> None:
        self._publisher.close()
        self._open = False

    def stand_down(self) -> None:
        """Drop the connection, and the lease, so that another relay takes over; safe to call at any time."""
        self._drop()
        self._renew_at = 0
        try:
            self._store.release(LEASE, self._holder)
        except (errors.DatabaseUnavailable, errors.Conflict) as error:
            LOG.info("action=release the relay's lease runs out by itself: %s", error)


class RelayLoop:
    """Runs a relay until it is told to stop: woken after each commit, else looking every ``INTERVAL`` seconds.

    ``backoff`` says how long to wait after a failure; ``chores`` is called after each turn of the active relay.
    """

    INTERVAL = 0.1
    STANDBY = 1.0

    def __init__(self, relay: Relay, backoff: Backoff, chores: Callable[[], None]) -> None:
        self._relay = relay
        self._backoff = backoff
        self._chores = chores
        self._awake = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """There may be something to publish."""
        self._awake.set()

    def stop(self) -> None:
        """Publish what is due and end."""
        self._stopping.set()
        self._awake.set()

    def run(self) -> None:
        """Relay until stopped."""
        while True:
            stopping = self._stopping.is_set()
            self._awake.clear()
            done = self._turn()
            if stopping and not done:
                break
            if done is None:
                self._stopping.wait(self.STANDBY)
            elif not done:
                self._awake.wait(self.INTERVAL)
        self._relay.stand_down()

    def _turn(self) -> int | None:
        try:
            done = self._relay.turn()
            self._backoff.reset()
            if done is not None:
                self._chores()
        except (errors.BusUnavailable, errors.DatabaseUnavailable, errors.Conflict) as error:
            LOG.warning("action=wait the relay cannot work: %s", error)
            self._relay.stand_down()
            self._stopping.wait(self._backoff.wait())
            return None
        return done
