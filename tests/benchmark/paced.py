"""A steady trickle of casts, and when each was committed and when the first notification of it was heard."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

from tests.benchmark import places, workload

PERCENTILES = (50, 90, 99)
WARM_UP = 2.0
"""Seconds whose casts count in no percentile."""


class Ear(places.Listener):
    """Notes when it first heard of each cast."""

    def __init__(self, transport_url: str) -> None:
        super().__init__(transport_url)
        self._heard: list[tuple[float, bytes]] = []

    def stamps(self) -> dict[str, float]:
        """Return when each cast was first heard of, by its message id."""
        stamps: dict[str, float] = {}
        for at, body in self._heard:
            payload = json.loads(json.loads(body)["oslo.message"])["payload"]
            for cause in next(data for name, data in payload.items() if name.endswith(".data"))["causes"]:
                stamps.setdefault(cause["stocktake_object.data"]["message_id"], at)
        return stamps

    def hear(self, message: Any) -> None:
        """Note it."""
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
