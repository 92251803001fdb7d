"""Measures how fast notifications get into a real Placement: ``python -m tests.placement.rate [--database URL]``.

No bus: what is measured is the work that stocktake-placement does for a batch. One thread, as the daemon has it.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import random
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from keystoneauth1 import adapter, session, token_endpoint

from tests.placement import server
from worker import listening
from worker.placement import client, desired, memory, patience, sync

NODES = 100
WAITING = 500
RECORD = {"reserved": 0, "min_unit": 1, "step_size": 1, "allocation_ratio": 1.0}


class Kept(memory.ReadOnly):
    """Remembers in this process."""

    def __init__(self) -> None:
        self.kept: dict[str, memory.Mark] = {}

    def marks(self, uuids: Any) -> dict[str, memory.Mark]:
        """Return what is kept of these providers."""
        return {one: self.kept[one] for one in uuids if one in self.kept}

    def mark(self, uuid: str, mark: memory.Mark) -> None:
        """Keep this of a provider."""
        self.kept[uuid] = mark

    def pending(self) -> dict[str, str]:
        """Return nothing."""
        return {}


class Cloud:
    """Tells of instances that are built and moved about."""

    def __init__(self, instances: int) -> None:
        self._instances = instances
        self._chance = random.Random(1)
        self._nodes = [str(uuid.UUID(int=number + 1)) for number in range(NODES)]
        self._sequences = dict.fromkeys(self._nodes, 0)

    def reports(self) -> list[listening.Notification]:
        """Return one notification for each node."""
        return [self._provider(node) for node in self._nodes]

    def turn(self, generation: int) -> Iterator[listening.Notification]:
        """Yield what a build or a move of every instance causes: one allocation, one or two providers."""
        for number in range(self._instances):
            yield self._provider(self._chance.choice(self._nodes))
            node = self._chance.choice(self._nodes)
            yield self._provider(node)
            yield _allocation(number, generation, node)

    def waiting(self) -> list[listening.Notification]:
        """Return updates of the inventory of one provider, as they wait in a queue that nobody took for a while."""
        return [self._provider(self._nodes[0], vcpus=10**4 + number) for number in range(1, WAITING + 1)]

    def gone(self) -> list[listening.Notification]:
        """Return that every instance is deleted."""
        told = [_allocation(number, 3, "") for number in range(self._instances)]
        return [dataclasses.replace(one, payload={**one.payload, "allocations": {}}) for one in told]

    def _provider(self, node: str, vcpus: int = 10**4) -> listening.Notification:
        self._sequences[node] += 1
        totals = {"VCPU": vcpus, "MEMORY_MB": 10**7, "DISK_GB": 10**6}
        payload = {
            "uuid": node, "name": node, "parent_provider_uuid": None, "root_provider_uuid": node, "node_uuid": node,
            "sequence": self._sequences[node], "usages": {}, "traits": ["COMPUTE_NODE", "OWNER_NOVA"],
            "inventories": {name: {**RECORD, "total": total, "max_unit": total} for name, total in totals.items()},
        }  # fmt: skip
        return listening.Notification(str(uuid.uuid4()), "resource_provider.update", payload)


def _allocation(number: int, generation: int, node: str) -> listening.Notification:
    consumer = str(uuid.UUID(int=10**6 + number))
    payload = {
        "consumer_uuid": consumer, "consumer_type": "INSTANCE", "instance_uuid": consumer, "project_id": "p",
        "user_id": "u", "consumer_generation": generation,
        "allocations": {node: {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 10}},
    }  # fmt: skip
    return listening.Notification(str(uuid.uuid4()), "allocation.update", payload)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.placement.rate", description=__doc__)
    parser.add_argument("--database", metavar="URL", help="of Placement, empty; SQLite without it")
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--consumers", type=int, nargs="+", default=[1, 50, 200], help="in one request")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server.running(pathlib.Path(folder), said.database) as placement:
        for consumers in said.consumers:
            _measure(placement.url, consumers, Cloud(said.instances))


def _measure(url: str, consumers: int, cloud: Cloud) -> None:
    auth = token_endpoint.Token(url, "admin")
    asking = session.Session(auth=auth, timeout=60)
    service = client.Placement(adapter.Adapter(asking, service_type="placement", endpoint_override=url))
    patient = patience.Patience(10, random.random, threading.Event().wait)
    feeder = sync.Sync(service, Kept(), patient, consumers)
    parts: list[tuple[str, Sequence[listening.Notification]]] = [
        ("reports", cloud.reports()), ("builds", list(cloud.turn(1))), ("moves", list(cloud.turn(2))),
        ("gone", cloud.gone()), ("waiting", cloud.waiting()),
    ]  # fmt: skip
    for name, told in parts:
        asked, began = service.requests, time.monotonic()
        for first in range(0, len(told), 500):
            feeder.apply(desired.coalesced(told[first : first + 500]))
        took = time.monotonic() - began
        requests = service.requests - asked
        sys.stdout.write(
            f"{consumers:4} consumers a request, {name:8} {len(told):6} notifications {requests:6} requests "
            f"{took:7.2f} s {len(told) / took:8.0f}/s {1000 * took / max(requests, 1):7.1f} ms a request\n"
        )


if __name__ == "__main__":
    main()
