"""A steady trickle of casts, and when each was committed and when the first notification of it was heard."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

from tests.benchmark import places, workload
from worker.bus import topology

PERCENTILES = (50, 90, 99)
WARM_UP = 2.0
"""Seconds whose casts count in no percentile."""


class Ear(threading.Thread):
    """Consumes the notifications with plain kombu and notes when it first heard of each cast."""

    def __init__(self, transport_url: str) -> None:
        super().__init__(name="benchmark-ear", daemon=True)
        self._url = transport_url
        self._enough = threading.Event()
        self._heard: list[tuple[float, bytes]] = []

    def run(self) -> None:
        """Listen until told that it is enough."""
        connection = places.connect(self._url)
        channel = connection.channel()
        channel.auto_decode = False
        for queue in topology.notification_queues([places.NOTIFICATIONS]):
            channel.basic_consume(queue.name, no_ack=True, callback=self._hear, consumer_tag=queue.name)
        while not self._enough.is_set():
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
        connection.release()

    def stop(self) -> None:
        """Hear what is there and end."""
        self._enough.set()
        self.join(10)

    def stamps(self) -> dict[str, float]:
        """Return when each cast was first heard of, by its message id."""
        stamps: dict[str, float] = {}
        for at, body in self._heard:
            payload = json.loads(json.loads(body)["oslo.message"])["payload"]
            for cause in next(data for name, data in payload.items() if name.endswith(".data"))["causes"]:
                stamps.setdefault(cause["stocktake_object.data"]["message_id"], at)
        return stamps

    def _hear(self, message: Any) -> None:
        self._heard.append((time.monotonic(), message.body))


def trickle(transport_url: str, casts: Sequence[workload.Cast], rate: float) -> dict[str, float]:
    """Send so many casts a second, evenly; return when each was sent."""
    connection = places.connect(transport_url)
    sender = places.Sender(connection)
    pause = threading.Event()
    began = time.monotonic()
    sent = {}
    for number, cast in enumerate(casts):
        pause.wait(max(began + number / rate - time.monotonic(), 0))
        sent[cast.message_id] = time.monotonic()
        sender.send(cast)
        sender.settle(places.CONFIRM_EVERY)
    sender.settle()
    connection.release()
    return sent


def percentiles(sent: dict[str, float], arrived: dict[str, float]) -> dict[str, float]:
    """Return the percentiles of the delays in milliseconds, those of the warm-up left out."""
    after = min(sent.values()) + WARM_UP
    delays = sorted((arrived[id_] - at) * 1e3 for id_, at in sent.items() if at >= after and id_ in arrived)
    return {**{f"p{share}": _at(delays, share) for share in PERCENTILES}, "count": len(delays)}


def _at(values: Collection[float], share: float) -> float:
    """Return the smallest value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * share / 100) - 1, 0)]
