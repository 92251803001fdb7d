"""(a) An oslo.messaging RPC server that does nothing; it acknowledges what it has received, not what it has done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_messaging._drivers import amqpdriver

from tests.benchmark import meters, places, settings

PATIENCE = 600.0


class Counting:
    """An endpoint with every method of the workload, for each of which ``work`` is called."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, race: meters.Race) -> None:
        self._race = race
        self._lock = threading.Lock()
        self._left = race.casts
        self.done = threading.Event()

    def work(self, context: dict[str, Any], method: str, arguments: dict[str, Any]) -> None:
        """Do nothing."""

    def _take(self, context: dict[str, Any], method: str, arguments: dict[str, Any]) -> None:
        self.work(context, method, arguments)
        with self._lock:
            self._left -= 1
            if not self._left:
                self._race.end()
                self.done.set()

    def claim_instance(self, context: dict[str, Any], **arguments: Any) -> None:
        """Take a claim."""
        self._take(context, "claim_instance", arguments)

    def update_instance(self, context: dict[str, Any], **arguments: Any) -> None:
        """Take an update."""
        self._take(context, "update_instance", arguments)

    def delete_instance(self, context: dict[str, Any], **arguments: Any) -> None:
        """Take a deletion."""
        self._take(context, "delete_instance", arguments)

    def claim_migration(self, context: dict[str, Any], **arguments: Any) -> None:
        """Take the claim of a move."""
        self._take(context, "claim_migration", arguments)

    def update_migration(self, context: dict[str, Any], **arguments: Any) -> None:
        """Take the update of a move."""
        self._take(context, "update_migration", arguments)


def note_first_delivery(race: meters.Race) -> None:
    """Have oslo.messaging's listener tell when it receives; the endpoint hears of it much later."""
    take: Callable[[Any, Any], None] = amqpdriver.AMQPListener.__call__

    def noting(listener: Any, message: Any) -> None:
        race.begin()
        take(listener, message)

    amqpdriver.AMQPListener.__call__ = noting


def serve(conf: cfg.ConfigOpts, race: meters.Race, endpoint: Counting) -> None:
    """Run oslo.messaging's server, as it is by default, until the endpoint has had everything."""
    note_first_delivery(race)
    server = oslo_messaging.get_rpc_server(
        oslo_messaging.get_rpc_transport(conf),
        oslo_messaging.Target(topic=places.TOPIC, server="benchmark"),
        [endpoint],
        executor="threading",
    )
    server.start()
    if not endpoint.done.wait(PATIENCE):
        raise TimeoutError(f"the server was not done within {PATIENCE:g} s")


def run(task: settings.Task) -> dict[str, Any]:
    """Measure it."""
    race = meters.Race(task.casts)
    serve(settings.configured(task), race, Counting(race))
    return race.result()
