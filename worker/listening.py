"""For consumers of our notifications, anybody's: repeats are dropped, gaps are found, and what is missing can be asked for.

A provider's notifications carry a ``sequence`` that is contiguous for each node; they come at least once, first in that
order. So a number that is not greater than the last one is a repeat, and a number that is left out was lost. What is
sent again after a gap is handed on as ``late``: it is older than what has been handed on already. So is an allocation
whose ``consumer_generation`` is smaller than one of the same consumer before it: a broker gives back what a dead consumer
had in hand when it notices, and by then another one may have taken what came after.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import oslo_messaging

DATA = "stocktake_object.data"
PROVIDER = "resource_provider."
EXISTS = "resource_provider.exists"
ALLOCATION = "allocation.update"
REMEMBERED = 100_000
"""Ids and consumers that are known again, and numbers of one gap that may still come."""


@dataclasses.dataclass(frozen=True, slots=True)
class Notification:
    """One notification: ``payload`` has the fields alone, those of the objects in it likewise.

    ``late``: a newer one of the same node or consumer was handed on before; of use to whoever adds up, not to whoever
    keeps a state.
    """

    message_id: str
    event_type: str
    payload: Mapping[str, Any]
    publisher_id: str = ""
    timestamp: str = ""
    late: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """Notifications of a node that have not come: from the sequence ``first`` to ``last``."""

    node_uuid: str
    first: int
    last: int

    @property
    def command(self) -> str:
        """What an operator runs to have them sent again."""
        return f"stocktake outbox resend --node {self.node_uuid} --from-seq {self.first}"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a notification is: a repeat, late or new; and the gap before it, if there is one."""

    repeat: bool = False
    late: bool = False
    gap: Gap | None = None


def fields(of: Any) -> Any:
    """Return the fields of a versioned object's primitive, those of the objects in it likewise."""
    if isinstance(of, Mapping):
        return {name: fields(value) for name, value in of.get(DATA, of).items()}
    return [fields(one) for one in of] if isinstance(of, list) else of


class Tracker:
    """Knows what has come: ids, for each node the last sequence and those that are missing, for each consumer the newest
    generation. For one thread.

    ``positions`` are the last sequences of an earlier life; without them the first number of a node is where it begins.
    ``generations`` are those of its consumers.
    """

    def __init__(
        self,
        positions: Mapping[str, int] | None = None,
        remembered: int = REMEMBERED,
        generations: Mapping[str, int] | None = None,
    ) -> None:
        self._last = dict(positions or {})
        self._missing: dict[str, set[int]] = {}
        self._ids: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._generations = collections.OrderedDict(generations or {})
        self._remembered = remembered

    @property
    def positions(self) -> dict[str, int]:
        """The last sequence of each node, to be kept and given to the next life."""
        return dict(self._last)

    def missing(self, node_uuid: str) -> frozenset[int]:
        """Return the numbers of a node that were left out and have not come since."""
        return frozenset(self._missing.get(node_uuid, ()))

    def judge(self, notification: Notification) -> Verdict:
        """Tell what a notification is; nothing is remembered before ``settle``."""
        if notification.message_id in self._ids:
            return Verdict(repeat=True)
        if notification.event_type == ALLOCATION:
            return Verdict(late=self._is_older(notification))
        if not notification.event_type.startswith(PROVIDER):
            return Verdict()
        node_uuid, sequence = notification.payload["node_uuid"], notification.payload["sequence"]
        last = self._last.get(node_uuid)
        if last is None:
            return Verdict()
        if notification.event_type == EXISTS:
            return Verdict(repeat=sequence < last, gap=_gap(node_uuid, last, sequence + 1))
        if sequence <= last:
            late = sequence in self._missing.get(node_uuid, ())
            return Verdict(repeat=not late, late=late)
        return Verdict(gap=_gap(node_uuid, last, sequence))

    def settle(self, notification: Notification) -> None:
        """Remember that a notification has been handled."""
        self._ids[notification.message_id] = None
        if len(self._ids) > self._remembered:
            self._ids.popitem(last=False)
        if notification.event_type.startswith(PROVIDER):
            self._count(notification)
        if notification.event_type == ALLOCATION and not self._is_older(notification):
            keep_generation(self._generations, notification, self._remembered)

    def _is_older(self, notification: Notification) -> bool:
        payload = notification.payload
        return bool(payload["consumer_generation"] < self._generations.get(payload["consumer_uuid"], 0))

    def _count(self, notification: Notification) -> None:
        node_uuid, sequence = notification.payload["node_uuid"], notification.payload["sequence"]
        snapshot = notification.event_type == EXISTS
        last = self._last.get(node_uuid, sequence if snapshot else sequence - 1)
        missing = self._missing.setdefault(node_uuid, set())
        if not snapshot:
            missing.discard(sequence)
        first = max(last + 1, sequence - self._remembered)
        missing.update(range(first, sequence + snapshot))
        if not missing:
            del self._missing[node_uuid]
        self._last[node_uuid] = max(last, sequence)


def keep_generation(
    generations: collections.OrderedDict[str, int], notification: Notification, most: int = REMEMBERED
) -> None:
    """Note the generation of an allocation's consumer; of more than so many consumers the oldest is forgotten."""
    consumer = notification.payload["consumer_uuid"]
    generations[consumer] = notification.payload["consumer_generation"]
    generations.move_to_end(consumer)
    if len(generations) > most:
        generations.popitem(last=False)


def _gap(node_uuid: str, last: int, before: int) -> Gap | None:
    return Gap(node_uuid, last + 1, before - 1) if before - 1 > last else None


class Endpoint:
    """An endpoint of oslo.messaging's notification listener: ``handle`` gets each notification once.

    ``ask`` gets each gap, after the notification that showed it. What ``handle`` raises puts the message back into its
    queue, if the listener allows it; the next time it is not a repeat.
    """

    def __init__(
        self, handle: Callable[[Notification], None], ask: Callable[[Gap], None], tracker: Tracker | None = None
    ) -> None:
        self._handle = handle
        self._ask = ask
        self._lock = threading.Lock()
        self.tracker = tracker or Tracker()

    def info(self, *notification: Any) -> None:
        """Take a notification of priority INFO, in the form of oslo.messaging."""
        self._take(*notification)

    def warn(self, *notification: Any) -> None:
        """Take a notification of priority WARN."""
        self._take(*notification)

    def error(self, *notification: Any) -> None:
        """Take a notification of priority ERROR."""
        self._take(*notification)

    def _take(
        self, _context: Any, publisher_id: str, event_type: str, payload: Any, metadata: Mapping[str, str]
    ) -> None:
        told = Notification(
            metadata["message_id"], event_type, fields(payload), publisher_id, metadata.get("timestamp", "")
        )
        with self._lock:
            verdict = self.tracker.judge(told)
            if verdict.repeat:
                return
            self._handle(dataclasses.replace(told, late=verdict.late))
            self.tracker.settle(told)
            if verdict.gap is not None:
                self._ask(verdict.gap)


class Listener:
    """A notification listener of oslo.messaging on topics of ours, with one thread: two would change the order.

    ``transport`` is one of ``oslo_messaging.get_notification_transport``. Its configuration needs
    ``[oslo_messaging_rabbit] rabbit_quorum_queue``, or the url ``?rabbit_quorum_queue=true``, as the queues are quorum
    queues.
    """

    def __init__(self, transport: Any, topics: Sequence[str], endpoint: Endpoint, exchange: str = "stocktake") -> None:
        targets = [oslo_messaging.Target(exchange=exchange, topic=topic) for topic in topics]
        self._server = oslo_messaging.get_notification_listener(
            transport, targets, [endpoint], executor="threading", allow_requeue=True
        )

    def __enter__(self) -> Self:
        """Listen."""
        self._server.start(override_pool_size=1)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._server.stop()
        self._server.wait()
