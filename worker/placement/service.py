"""The life of stocktake-placement: take a batch of notifications, apply it, acknowledge it, again.

Nothing is acknowledged before Placement has it, or has refused it and the intent is kept. While Placement is away, the
batch in hand waits with its connection; after ``PATIENCE`` it goes back to the broker, which gives it out again. One
process at a time does this, held by a lease: two would bring the order of a node into disorder.

A batch never ends within a transaction that moved the consumers of one instance, and never before the end of what an
earlier life may have applied already: applied alone, the half of it would take a share away for a moment (``batches``).
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from worker import errors, interfaces, listening
from worker.placement import batches, desired, faults, sync

LOG = logging.getLogger(__name__)

LEASE = "placement"
WORKING, STANDBY, AWAY, STOPPED = "working", "standby", "away", "stopped"


class Leases(Protocol):
    """Who may work, by the database's clock."""

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease; False while another holds it. Raises DatabaseUnavailable."""

    def release(self, name: str, holder: str) -> None:
        """Give a lease up. Raises DatabaseUnavailable."""


class Applies(Protocol):
    """Brings Placement to what is wanted; ``sync.Sync``."""

    findings: sync.Findings

    def apply(self, wanted: desired.Wanted) -> sync.Findings:
        """Apply it; raises Unavailable or DatabaseUnavailable."""

    def retry(self) -> sync.Findings:
        """Try once more what was refused; raises the same."""


class Backoff(Protocol):
    """How long to wait before the next try."""

    def wait(self) -> float:
        """Return seconds."""

    def reset(self) -> None:
        """Begin anew after a success."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What a Feeder is made of. ``read`` raises Malformed; ``heal`` makes one node right, from the database.

    ``lapse`` is called after Placement was away: it may be another one by now.
    """

    consumer: interfaces.Consumer
    read: Callable[[interfaces.Delivery], listening.Notification]
    sync: Applies
    heal: Callable[[str], None]
    lapse: Callable[[], None]
    leases: Leases
    backoff: Backoff


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Seconds between two tries of what is pending, seconds of a lease, and who holds it."""

    retry_interval: float
    lease_seconds: float
    holder: str


@dataclasses.dataclass(slots=True)
class Counts:
    """What has been done so far."""

    notifications: int = 0
    repeats: int = 0
    applied: int = 0
    batches: int = 0


class Feeder:
    """Feeds Placement until it is told to stop; ``health`` is called with a word at each change of it."""

    PATIENCE = 600.0
    BEAT = 1.0
    STANDBY_WAIT = 1.0

    def __init__(self, parts: Parts, settings: Settings, health: Callable[[str], None] = lambda _: None) -> None:
        self._parts = parts
        self._settings = settings
        self._health = health
        self._stopping = threading.Event()
        self._positions: dict[str, int] = {}
        self._generations: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._tracker = listening.Tracker()
        self._state = self._told = ""
        self._open = False
        self._asked = 0
        self._beat_at = self._renew_at = 0.0
        self._retry_at = time.monotonic() + settings.retry_interval
        self.counts = Counts()

    @property
    def findings(self) -> sync.Findings:
        """What Placement has refused and is tried again, by provider or instance uuid."""
        return self._parts.sync.findings

    def stop(self) -> None:
        """Finish the batch in hand, give the rest back and end; may be called from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped; connect anew, after a while, whenever something drops us."""
        while not self._stopping.is_set():
            try:
                self._session()
            except (errors.BusUnavailable, errors.DatabaseUnavailable) as error:
                self._tell(error)
                self._stopping.wait(self._parts.backoff.wait())
            finally:
                self._open = False
                self._parts.consumer.close()
        self._give_up_lease()
        self._say(STOPPED)

    def pulse(self) -> None:
        """Keep the broker's connection and the lease alive; called before every request to Placement.

        Raises BusUnavailable once either of them is lost: what is in hand is then somebody else's.
        """
        self._asked += 1
        now = time.monotonic()
        if self._open and now >= self._beat_at:
            self._beat_at = now + self.BEAT
            self._parts.consumer.beat()
            self._renew(now)

    def _session(self) -> None:
        if not self._parts.leases.acquire(LEASE, self._settings.holder, self._settings.lease_seconds):
            self._say(STANDBY)
            self._stopping.wait(self.STANDBY_WAIT)
            return
        self._renew_at = time.monotonic() + self._settings.lease_seconds / 3
        self._parts.consumer.open()
        self._open = True
        self._tracker = listening.Tracker(self._positions, generations=self._generations)
        taking = batches.Batches(self._parts.consumer, self._read)
        self._say(WORKING)
        while not self._stopping.is_set():
            self._renew(time.monotonic())
            taken = taking.next()
            if taken:
                self._work(taken)
            elif time.monotonic() >= self._retry_at:
                self._attempt(self._retry)
        self._parts.consumer.stop_taking()

    def _work(self, taken: Sequence[batches.Taken]) -> None:
        began = time.monotonic()
        deliveries = [one.delivery for one in taken]
        told = [one.told for one in taken if one.told is not None]
        fresh, gaps = self._judge(told)
        wanted = desired.coalesced(fresh)
        self._attempt(lambda: self._parts.sync.apply(wanted))
        for node_uuid in gaps:
            self._attempt(functools.partial(self._parts.heal, node_uuid))
        self._parts.consumer.settle(deliveries)
        self._parts.backoff.reset()
        self._count(told, fresh)
        LOG.debug(
            "action=batch size=%d repeats=%d providers=%d consumers=%d seconds=%.4f",
            len(deliveries), len(told) - len(fresh), len(wanted.providers), len(wanted.consumers),
            time.monotonic() - began,
        )  # fmt: skip

    def _read(self, delivery: interfaces.Delivery) -> listening.Notification | None:
        """Return what a delivery says; one that cannot be read says nothing, and would not if it came again."""
        try:
            return self._parts.read(delivery)
        except errors.Malformed as error:
            LOG.warning("action=drop a notification that cannot be read: %s", error)
            return None

    def _judge(self, told: Sequence[listening.Notification]) -> tuple[list[listening.Notification], dict[str, None]]:
        """Return what is news, in order, and the nodes of which something was lost."""
        fresh, gaps = [], dict[str, None]()
        for one in told:
            verdict = self._tracker.judge(one)
            if not verdict.repeat:
                self._tracker.settle(one)
            if not verdict.repeat and not verdict.late:
                fresh.append(one)
            if verdict.gap is not None:
                gaps[verdict.gap.node_uuid] = None
                LOG.warning("action=gap node %s: notifications %d to %d are missing; its figures are read from the "
                            "database", verdict.gap.node_uuid, verdict.gap.first, verdict.gap.last)  # fmt: skip
        return fresh, gaps

    def _count(self, told: Sequence[listening.Notification], fresh: Sequence[listening.Notification]) -> None:
        for one in fresh:
            if one.event_type.startswith(listening.PROVIDER):
                self._positions[one.payload["node_uuid"]] = one.payload["sequence"]
            elif one.event_type == listening.ALLOCATION:
                listening.keep_generation(self._generations, one)
        self.counts.notifications += len(told)
        self.counts.repeats += len(told) - len(fresh)
        self.counts.batches += 1

    def _retry(self) -> None:
        self._parts.sync.retry()
        self._retry_at = time.monotonic() + self._settings.retry_interval

    def _attempt(self, work: Callable[[], object]) -> None:
        """Do something with Placement, however long it takes to come back."""
        began = time.monotonic()
        while True:
            before = self._asked
            try:
                work()
            except (faults.Unavailable, errors.DatabaseUnavailable, errors.Conflict) as error:
                if self._stopping.is_set() or time.monotonic() - began > self.PATIENCE:
                    raise errors.BusUnavailable(f"the batch is given back: {error}") from error
                self._tell(error)
                self._parts.lapse()
                if self._asked > before + 2:  # more went well than asking for the version
                    self._parts.backoff.reset()
                self._pause(self._parts.backoff.wait())
            else:
                self._say(WORKING)
                self._told = ""
                return

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, self.BEAT)):
            self.pulse()

    def _renew(self, now: float) -> None:
        if now < self._renew_at:
            return
        if not self._parts.leases.acquire(LEASE, self._settings.holder, self._settings.lease_seconds):
            raise errors.BusUnavailable("another process has taken over")
        self._renew_at = now + self._settings.lease_seconds / 3

    def _give_up_lease(self) -> None:
        try:
            self._parts.leases.release(LEASE, self._settings.holder)
        except errors.DatabaseUnavailable as error:
            LOG.info("action=release the lease runs out by itself: %s", error)

    def _tell(self, error: Exception) -> None:
        """Say what is away, once for as long as it is the same."""
        self._say(AWAY)
        who = "Placement: " if isinstance(error, faults.Unavailable) else ""
        words = f"{who}{error}"
        if words != self._told:
            LOG.warning("action=wait %s", words)
        self._told = words

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            LOG.info("action=health %s", state)
            self._health(state)
