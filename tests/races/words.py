"""What parties say in scripts: casts as method and arguments, by small numbers."""

from __future__ import annotations

from typing import Any

from tests import hardware_job, model, plain
from tests.races import stage


def report(number: int = 1, revision: int = 1, **changes: Any) -> model.Fact:
    """Return a node's report."""
    return "report_node", {"node": plain.node(number, revision, **changes)}


def claim(number: int = 1, revision: int = 1, on: int = 1, **changes: Any) -> model.Fact:
    """Return the claim of a build."""
    values = {"vm_state": "building", "task_state": "spawning"}
    return "claim_instance", {"instance": plain.instance(number, revision, on, **values | changes), "limits": None}


def fact(number: int = 1, revision: int = 2, on: int | None = 1, **changes: Any) -> model.Fact:
    """Return what an instance is now."""
    return "update_instance", {"instance": plain.instance(number, revision, on, **changes)}


def abort(revision: int, number: int = 1, move: int | None = None) -> model.Fact:
    """Return the end of a claim: of a build, or of a move."""
    migration = None if move is None else plain.uid(900_000 + move)
    return "abort_claim", {"instance_uuid": plain.uid(number), "revision": revision, "migration_uuid": migration}


def delete(revision: int, number: int = 1) -> model.Fact:
    """Return a deletion."""
    return "delete_instance", {"instance_uuid": plain.uid(number), "revision": revision}


class Move:
    """A move of instance 1 from one node to another, ``kind`` as in Nova; a resize goes from small to big."""

    def __init__(self, number: int = 1, kind: str = "resize", way: tuple[int, int] = (1, 2), **changes: Any) -> None:
        source, dest = map(plain.host, way)
        resized = kind == "resize"
        self._number = number
        self._values = {
            "migration_type": kind, "source_compute": source, "source_node": source, "dest_compute": dest,
            "dest_node": dest, "created_at": f"2023-11-14T0{number}:00:00.000000+00:00",
            "old_flavor": plain.flavor() if resized else None,
            "new_flavor": plain.flavor("big") if resized else None,
        } | changes  # fmt: skip

    def claim(self, revision: int, instance: plain.Primitive, status: str = "pre-migrating") -> model.Fact:
        """Return its claim; the instance is as it is now."""
        return "claim_migration", {"migration": self._now(revision, status), "instance": instance, "limits": None}

    def now(self, revision: int, status: str, instance: plain.Primitive | None = None) -> model.Fact:
        """Return its status, with the instance as it is now."""
        return "update_migration", {"migration": self._now(revision, status), "instance": instance}

    def _now(self, revision: int, status: str) -> plain.Primitive:
        return plain.migration(self._number, revision, status, **self._values)


def audit(number: int = 1, *listed: plain.Primitive, taken_at: str = "", **said: Any) -> model.Fact:
    """Return an audit with a list; ``recount`` is one without."""
    values = {"node_uuid": plain.node_uuid(number), "instances": list(listed), "taken_at": taken_at or stage.LATER}
    return "audit_node", values | said


def recount(number: int = 1) -> model.Fact:
    """Return an audit that only recounts."""
    return audit(number, instances=None)


def vm(revision: int, on: int | None = 1, number: int = 1, **changes: Any) -> plain.Primitive:
    """Return an instance's record."""
    return plain.instance(number, revision, on, **changes)


NODES = (report(1), report(2))
BIG = plain.flavor("big")
RUNNING = (claim(), fact())
"""Instance 1 was built on node 1: its record is at revision 2."""
CARD = "0000:83:00.0"
OTHER_CARD = "0000:84:00.0"
GPU = {"vendor_id": "10de"}


def card(address: str = CARD) -> plain.Primitive:
    """Return a device of its own."""
    return hardware_job.device(address, dev_type="type-PCI", vendor_id="10de", product_id="1db6", parent_addr=None)


def equipped(number: int = 1, revision: int = 1, *devices: plain.Primitive, cpus: int = 4) -> model.Fact:
    """Return the report of a node with these devices, or one card, and a cell of so many dedicated CPUs."""
    topology = plain.primitive("NUMATopology", {"cells": [hardware_job.cell(0, range(cpus))]})
    return report(number, revision, numa_topology=topology, pci_devices=list(devices) or [card()])


def wanting(number: int = 1, revision: int = 1, on: int | None = 1, **changes: Any) -> plain.Primitive:
    """Return the record of an instance that asks for a card."""
    return plain.instance(number, revision, on, **{"pci_requests": [request(number)]} | changes)


def request(number: int = 1, count: int = 1) -> plain.Primitive:
    """Return a request for cards."""
    return hardware_job.request(number, GPU, count)


def attach(revision: int, number: int = 1, instance: int = 1, count: int = 1) -> model.Fact:
    """Return the claim of a card for a running instance."""
    values = {"instance_uuid": plain.uid(instance), "requests": [request(number, count)], "revision": revision}
    return "attach_devices", values


def detach(revision: int, number: int = 1, instance: int = 1) -> model.Fact:
    """Return that a request's cards are given back."""
    values = {"instance_uuid": plain.uid(instance), "request_ids": [plain.uid(800_000 + number)], "revision": revision}
    return "detach_devices", values


def claim_of(record: plain.Primitive) -> model.Fact:
    """Return the claim of a build or an unshelving with this record."""
    return "claim_instance", {"instance": record, "limits": None}


def fact_of(record: plain.Primitive) -> model.Fact:
    """Return this record as a fact."""
    return "update_instance", {"instance": record}
