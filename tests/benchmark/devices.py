"""``python -m tests.benchmark.devices``: what a claim with PCI devices costs, held against a plain one.

Nodes have 8 physical and 256 virtual functions and 4 NUMA cells. Claims go through the handler and the database in
batches of 100, a batch of plain ones and a batch of claims with two requests for devices in turns; all are admitted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests import builders
from tests.benchmark import meters
from tests.integration import db_servers
from worker import handler
from worker.core import claims, commands, records
from worker.db import unit_of_work

TARGET = 3.0
BATCH = 100
NODES = 100
CELLS = 4
PHYSICAL = 8
VIRTUAL = 32
"""Of each physical function."""
POLICY = claims.Policy()


def main() -> int:
    """Return 0 when the target is reached, 1 when it is not, 2 without the database."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.devices", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="pairs of batches that are measured")
    rounds = parser.parse_args().rounds
    try:
        with db_servers.migrated("postgresql") as bind:
            found = measured(bind, rounds)
    except (pytest.skip.Exception, pytest.fail.Exception) as reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if found["ratio"] <= TARGET else 1


def measured(bind: sa.Engine, rounds: int) -> dict[str, float]:
    """Return the medians of the processor time of one claim, in microseconds, and their ratio; 3 rounds warm up."""
    tell(bind, [commands.ReportNode(a_host(number), f"digest {number}") for number in range(NODES)])
    numbers = iter(range(1, 10**9))
    costs: dict[str, list[float]] = {"plain_cpu_us": [], "devices_cpu_us": []}
    for _ in range(rounds + 3):
        costs["plain_cpu_us"].append(cost(bind, [a_claim(next(numbers)) for _ in range(BATCH)]))
        costs["devices_cpu_us"].append(cost(bind, [a_claim(next(numbers), devices=True) for _ in range(BATCH)]))
    found = {name: statistics.median(values[3:]) for name, values in costs.items()}
    return {**found, "ratio": found["devices_cpu_us"] / found["plain_cpu_us"]}


def cost(bind: sa.Engine, orders: list[commands.Command]) -> float:
    """Return the processor time of one order of a batch in microseconds, without the database's own."""
    began = meters.process_seconds()
    tell(bind, orders)
    return (meters.process_seconds() - began) / len(orders) * 1e6


def tell(bind: sa.Engine, orders: list[commands.Command]) -> None:
    """Carry out a batch; a claim that is refused is an error of the measurement."""
    name = str(time.monotonic_ns())
    tasks = [builders.a_task(order, f"{name} {number}") for number, order in enumerate(orders)]
    answers = handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), builders.NOW, POLICY)
    refused = [answer for answer in answers if getattr(answer, "reason", None)]
    if refused:
        raise AssertionError(refused[0])


def a_host(number: int) -> records.ComputeNode:
    """Return the report of one node."""
    name = f"h{number}"
    cells = tuple(a_cell(cell) for cell in range(CELLS))
    return builders.a_node(
        builders.uid(50_000 + number), host=name, vcpus=10_000, memory_mb=10**8, local_gb=10**7,
        numa_topology=cells, pci_devices=tuple(functions()),
    )  # fmt: skip


def a_cell(number: int) -> records.HostCell:
    """Return one of the cells."""
    cpus = frozenset(range(number * 32, number * 32 + 32))
    return records.HostCell(number, cpus, frozenset(), 262_144, (), (records.Pages(4, 67_108_864, 0),))


def functions() -> Iterator[records.Device]:
    """Yield physical functions, each with its virtual ones."""
    for card in range(PHYSICAL):
        above = f"0000:{card + 16:02x}:00.0"
        cell = card % CELLS
        yield records.Device(above, "8086", "1572", "type-PF", None, cell)
        for number in range(VIRTUAL):
            address = f"0000:{card + 16:02x}:{1 + number // 8:02x}.{number % 8}"
            yield records.Device(address, "8086", "154c", "type-VF", above, cell, None, {"physical_network": "one"})


def a_claim(number: int, *, devices: bool = False) -> commands.Command:
    """Return the claim of a new instance, with two requests for a virtual function or with none."""
    spec = ({"vendor_id": "8086", "product_id": "154c", "physical_network": "one"},)
    ids = (builders.uid(10**9 + 2 * number + which) for which in range(2 if devices else 0))
    asked = tuple(builders.a_request(request_id=id_, spec=spec) for id_ in ids)
    record = builders.an_instance(builders.uid(number), host=f"h{number % NODES}", pci_requests=asked)
    return commands.ClaimInstance(record)


if __name__ == "__main__":
    raise SystemExit(main())
