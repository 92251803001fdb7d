"""Somebody's consumer joins late, while casts go on: snapshots and stream bring it to the right state, without a gap."""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import oslo_messaging
import pytest

from tests import bus_sides, invariant, plain, services, stands
from tests.contract import units_of_work
from tests.placement import lives
from worker import errors, listening, maintenance, service, wiring
from worker.core import records
from worker.db import relay_store, schema, unit_of_work

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]
TOPIC = "stocktake_notifications"
NODES, INSTANCES = 3, 40


class Keeper:
    """Keeps what it hears: what each provider is used for, and what each consumer holds; knows of nothing else."""

    def __init__(self) -> None:
        self.used: dict[str, dict[str, int]] = {}
        self.held: dict[str, dict[str, dict[str, int]]] = {}
        self.snapshots = 0
        self.gaps: list[listening.Gap] = []

    def handle(self, told: listening.Notification) -> None:
        """Take the newest word on something."""
        self.snapshots += told.event_type == listening.EXISTS
        if told.late:
            return
        if told.event_type.startswith(listening.PROVIDER):
            figures = told.payload["usages"].items()
            self.used[told.payload["uuid"]] = {name: one["used"] for name, one in figures if one["used"]}
        elif told.event_type == listening.ALLOCATION:
            self.held[told.payload["consumer_uuid"]] = told.payload["allocations"]

    def sums(self) -> dict[str, dict[str, int]]:
        """Return what all consumers hold, by provider."""
        found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for allocations in list(self.held.values()):
            for provider, amounts in allocations.items():
                found[provider].update(amounts)
        return {provider: dict(amounts) for provider, amounts in found.items()}


class Site:
    """A worker, a conductor that may cast on and on, and whoever joins."""

    def __init__(self, url: str, database: str) -> None:
        self.url = f"{url}?rabbit_quorum_queue=true"
        self.conf = stands.configuration(url, database)
        self.bind = wiring.database(self.conf)
        schema.sync(self.bind)
        self.conductor = stands.Conductor(self.url)
        self.health: list[str] = []
        self.running = wiring.Running(self.conf, self.bind, health=self.health.append)

    def lose(self) -> None:
        """Drop what was told so far, as if nobody had kept it."""
        with bus_sides.broker_session(self.conf) as live:
            live.channel.queue_purge(f"{TOPIC}.info")

    def announce(self) -> None:
        """Do what ``stocktake provider announce`` does."""
        for pairs in maintenance.pages(relay_store.RelayStore(self.bind)):
            for pair in pairs:
                bus_sides.until(functools.partial(self._announced, pair), f"{pair} to be announced")

    def _announced(self, pair: records.Pair) -> bool:
        try:
            maintenance.announce_whole(lambda: unit_of_work.UnitOfWork(self.bind), [pair], wiring.clock())
        except errors.Conflict:  # another instance came meanwhile
            return False
        return True

    def cast(self, casts: Sequence[lives.Cast]) -> None:
        """Cast one after the other."""
        for method, arguments in casts:
            self.conductor.cast(method, **arguments)

    def used(self) -> dict[str, dict[str, int]]:
        """Return what each node is used for, as the worker answers."""
        return {plain.node_uuid(number): self.conductor.used(number) for number in range(NODES)}


@pytest.fixture
def site() -> Iterator[Site]:
    with services.rabbit_vhost() as url, units_of_work.scratch("postgresql") as database:
        made = Site(url, database)
        with made.running:
            bus_sides.until(lambda: service.WORKING in made.health, "the worker to open the bus")
            yield made
        made.conductor.close()
        invariant.prove(made.bind)
        made.bind.dispose()


def test_a_consumer_that_joins_while_casts_go_on_has_everything_in_the_end(site: Site) -> None:
    casts = list(lives.casts(INSTANCES, NODES, seed=5))
    keeper = Keeper()
    site.cast([*lives.reports(NODES), *casts[: len(casts) // 3]])
    site.conductor.call("list_node_usages", limit=1)  # everything before it has been carried out
    casting = threading.Thread(target=site.cast, args=(casts[len(casts) // 3 :],))
    casting.start()

    site.lose()
    with _listening(site, keeper):
        site.announce()
        casting.join()
        site.conductor.call("list_node_usages", limit=1)
        bus_sides.until(lambda: stands.nothing_is_due(site.bind), "everything to be told")
        bus_sides.until(lambda: keeper.used == site.used(), "the consumer to know every node")
        bus_sides.until(lambda: _nonempty(keeper.sums()) == _nonempty(site.used()), "it to know every consumer")

    assert keeper.gaps == []
    assert keeper.snapshots >= NODES


def _listening(site: Site, keeper: Keeper) -> listening.Listener:
    transport = oslo_messaging.get_notification_transport(stands.bare(), site.url)
    return listening.Listener(transport, [TOPIC], listening.Endpoint(keeper.handle, keeper.gaps.append))


def _nonempty(of: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {provider: amounts for provider, amounts in of.items() if amounts}
