"""From the outbox to the bus: one active relay for all nodes, held by a lease in the database.

Rows go out in the order of their ids, which for one node is the order of its sequence, since a node's rows are written
under the lock of its account. What is not confirmed is sent again from the first missing on; consumers tell repeats by
``message_id`` and ``sequence``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from oslo_log import log

from worker import errors, interfaces, steps

LOG = log.getLogger(__name__)

LEASE = "relay"


class Store(Protocol):
    """The outbox as the relay sees it."""

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease, by the store's own clock; False while another holds it."""

    def release(self, name: str, holder: str) -> None:
        """Give a lease up."""

    def due(self, limit: int) -> Sequence[tuple[int, interfaces.Frame]]:
        """Return the oldest rows that are to be sent, by id."""

    def last_due(self) -> int | None:
        """Return the highest id that is to be sent, or None."""

    def sent(self, name: str, holder: str, ids: Sequence[int], now: int) -> bool:
        """Mark rows as sent while the lease is this holder's; False, and nothing marked, if it is not."""


class Backoff(Protocol):
    """How long to wait before the next try."""

    def wait(self) -> float:
        """Return seconds."""

    def reset(self) -> None:
        """Begin anew after a success."""


class Relay:
    """Publishes what is due. ``clock`` gives microseconds since 1970; one thread at a time.

    ``monotonic`` tells in seconds when the lease is to be renewed: nobody puts that clock back.
    """

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
        self._renew_at: float | None = None
        self.monotonic: Callable[[], float] = time.monotonic
        self.published = 0
        self.behind = False
        """Whether the last batch was a full one, so that more is due."""

    def last_due(self) -> int | None:
        """Return the highest id that is due now, or None; raises DatabaseUnavailable or Conflict."""
        return self._store.last_due()

    def turn(self, last: int | None = None) -> int | None:
        """Publish one batch of what is due, up to the id ``last``; return how many, or None while another is active.

        Raises BusUnavailable (also if nothing at all was confirmed), DatabaseUnavailable or Conflict; what was confirmed
        by then may be sent again.
        """
        if not self._hold():
            self._lose()
            return None
        if not self._open:  # before anything is due, so that the queues are there for whoever wants to listen
            self._publisher.open()
            self._open = True
        size, _ = self._settings()
        done = self._publish([row for row in self._store.due(size) if last is None or row[0] <= last])
        self.behind = done == size
        return done

    def _hold(self) -> bool:
        """Take the lease, or renew it when it is time to; False while it is another's."""
        _, seconds = self._settings()
        now = self.monotonic()
        if self._renew_at is None or now >= self._renew_at:
            if not self._store.acquire(LEASE, self._holder, seconds):
                return False
            self._renew_at = now + seconds / 3
        return True

    def keep(self) -> None:
        """Keep the lease in the middle of a batch, however slow the broker is: else two would send the same for ever.

        What has gone wrong, the marking of the batch finds.
        """
        with contextlib.suppress(errors.DatabaseUnavailable, errors.Conflict):
            self._hold()

    def _publish(self, rows: Sequence[tuple[int, interfaces.Frame]]) -> int | None:
        """Publish and mark rows; none of them at all keeps an idle connection alive."""
        if rows:
            steps.WATCH.reached(steps.DUE)
        confirmed = self._publisher.publish([frame for _, frame in rows])
        if not rows:
            return 0
        steps.WATCH.reached(steps.CONFIRMED)
        self.published += confirmed
        numbers = [number for number, _ in rows[:confirmed]]
        if numbers and not self._store.sent(LEASE, self._holder, numbers, self._clock()):
            LOG.warning("action=republish another relay has taken over before %d were marked as sent", confirmed)
            self._lose()
            return None
        steps.WATCH.reached(steps.MARKED)
        if confirmed < len(rows):
            LOG.warning("action=republish only %d of %d notifications were confirmed", confirmed, len(rows))
            self._drop()
        if not confirmed:
            raise errors.BusUnavailable("the broker has confirmed nothing")
        return confirmed

    def _lose(self) -> None:
        """Be the active relay no more: another one is."""
        self._drop()
        self._renew_at = None

    def _drop(self) -> None:
        self._publisher.close()
        self._open = False

    def stand_down(self) -> None:
        """Drop the connection, and the lease, so that another relay takes over; safe to call at any time."""
        held = self._renew_at is not None
        self._lose()
        if not held:
            return
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
    LAST_TURNS = 20
    """So many batches at most go out between the word to stop and the end; the rest is the next relay's."""

    def __init__(self, relay: Relay, backoff: Backoff, chores: Callable[[], None]) -> None:
        self._relay = relay
        self._backoff = backoff
        self._chores = chores
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._told = ""

    def wake(self) -> None:
        """There may be something to publish."""
        self._awake.set()

    def stop(self) -> None:
        """Publish what is due now and end."""
        self._stopping.set()
        self._awake.set()

    def run(self) -> None:
        """Relay until stopped."""
        while not self._stopping.is_set():
            self._awake.clear()
            done = self._guarded(self._turn)
            if done is None:
                self._stopping.wait(self.STANDBY)
            elif not self._relay.behind:
                self._awake.wait(self.INTERVAL)
        self._guarded(self._drain)
        self._relay.stand_down()

    def _turn(self) -> int | None:
        done = self._relay.turn()
        self._backoff.reset()
        if done is not None:
            self._chores()
        return done

    def _drain(self) -> None:
        """Publish what is due at this moment; workers elsewhere may make more for ever."""
        last = self._relay.last_due()
        if last is not None:
            turns = 0
            while turns < self.LAST_TURNS and self._relay.turn(last):
                turns += 1

    def _guarded(self, work: Callable[[], int | None]) -> int | None:
        """Do something; whatever it raises is told and waited out, and None returned."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 -- one row or chore that fails must not end the process again and again
            self._tell(error)
        self._relay.stand_down()
        self._stopping.wait(self._backoff.wait())
        return None

    def _tell(self, error: Exception) -> None:
        """Log an error, with its traceback if nobody expects it and it is not the one of before."""
        expected = isinstance(error, errors.BusUnavailable | errors.DatabaseUnavailable | errors.Conflict)
        words = f"{type(error).__name__}: {error}"
        unknown = not expected and words != self._told
        self._told = words if not expected else self._told
        LOG.warning("action=wait the relay cannot work: %s", error if expected else words, exc_info=unknown and error)
