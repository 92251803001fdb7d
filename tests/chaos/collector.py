"""A consumer of the notifications without any of our code: what it has heard, how often, and in which order."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests import plain
from tests.chaos import broker

QUEUES = tuple(f"stocktake_notifications.{priority}" for priority in ("info", "warn", "error"))
AGAIN = 0.3  # seconds
PREFETCH = 200
NUMBERED = ("resource_provider.create", "resource_provider.update", "resource_provider.delete")


class Collector(threading.Thread):
    """Listens from the first notification to the last, on connections that are cut now and then."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__(name="collector", daemon=True)
        self._connect = connect
        self._stopping = threading.Event()
        self.heard: Counter[str] = Counter()
        """How often each notification came, by its id."""
        self.arrived: dict[str, list[int]] = {}
        """The sequences of each node, in the order in which they came first."""
        self._ids: dict[tuple[str, int], str] = {}
        self.twice: list[str] = []
        """Sequences under which two different notifications came."""
        self.usages: dict[str, tuple[int, dict[str, int]]] = {}
        """The greatest sequence of each node, and what is used there by that."""
        self.allocations: dict[str, tuple[int, dict[str, dict[str, int]]]] = {}
        """The greatest generation of each consumer, and what it holds by that."""

    def stop(self) -> None:
        """Listen no more."""
        self._stopping.set()

    def run(self) -> None:
        """Listen; connect anew whenever the connection is lost."""
        while not self._stopping.wait(AGAIN):
            with contextlib.suppress(*broker.LOST), contextlib.closing(self._connect()) as connection:
                self._listen(connection)

    def _listen(self, connection: Any) -> None:
        channel = connection.channel()
        channel.basic_qos(0, PREFETCH, False)
        for queue in QUEUES:
            channel.basic_consume(queue, callback=self.take)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=1)

    def take(self, message: Any) -> None:
        """Note a notification and acknowledge it."""
        said = json.loads(json.loads(message.body)["oslo.message"])
        data = plain.data(said["payload"])
        first = not self.heard[said["message_id"]]
        self.heard[said["message_id"]] += 1
        if first and said["event_type"] in NUMBERED:
            self._provider(said["message_id"], data)
        elif first and said["event_type"] == "allocation.update":
            self._allocation(data)
        message.channel.basic_ack(message.delivery_tag)

    def _provider(self, message_id: str, data: dict[str, Any]) -> None:
        node, sequence = data["node_uuid"], data["sequence"]
        if self._ids.setdefault((node, sequence), message_id) != message_id:
            self.twice.append(f"{node} {sequence}")
            return
        self.arrived.setdefault(node, []).append(sequence)
        if sequence > self.usages.get(node, (0, {}))[0]:
            used = {name: amounts["used"] for name, amounts in data["usages"].items() if amounts["used"]}
            self.usages[node] = (sequence, used)

    def _allocation(self, data: dict[str, Any]) -> None:
        consumer, generation = data["consumer_uuid"], data["consumer_generation"]
        if generation > self.allocations.get(consumer, (-1, {}))[0]:
            self.allocations[consumer] = (generation, data["allocations"])

    @property
    def repeats(self) -> int:
        """How many notifications came once more."""
        return sum(self.heard.values()) - len(self.heard)
