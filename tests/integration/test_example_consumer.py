"""The consumer of docs/examples, as the reader would run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests import bus_sides, plain, services, stands
from tests.architecture import tree
from tests.contract import units_of_work
from worker import service, wiring
from worker.db import engine as db_engine
from worker.db import schema

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]
EXAMPLE = tree.ROOT / "docs/examples/consumer.py"


class Stand:
    """A worker and a conductor, and nobody who listens."""

    def __init__(self, url: str, database: str) -> None:
        self.url = f"{url}?rabbit_quorum_queue=true"
        self.bind = db_engine.of_url(database)
        schema.sync(self.bind)
        self.conductor = stands.Conductor(self.url)
        self.health: list[str] = []
        self.running = wiring.Running(stands.configuration(url, database), self.bind, health=self.health.append)

    def tell(self, method: str, **arguments: Any) -> None:
        """Call, and wait until it is announced."""
        self.conductor.call(method, **arguments)
        bus_sides.until(lambda: stands.nothing_is_due(self.bind), "the notifications to go out")

    def execute(self, *statements: str) -> None:
        """Change what is stored, past everything."""
        with self.bind.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@pytest.fixture
def stand() -> Iterator[Stand]:
    with services.rabbit_vhost() as url, units_of_work.scratch("postgresql") as database:
        made = Stand(url, database)
        with made.running:
            bus_sides.until(lambda: service.WORKING in made.health, "the worker to open the bus")
            yield made
        made.conductor.close()


def test_the_example_prints_each_change_once_and_shows_a_gap(stand: Stand) -> None:
    stand.tell("report_node", node=plain.node())
    stand.tell("claim_instance", instance=plain.instance(), limits=None)
    stand.execute(
        "UPDATE nodes SET sequence = sequence + 2",  # as if two had been lost
        "UPDATE outbox SET due = true WHERE sequence IS NOT NULL",  # sent once more
    )
    stand.tell("delete_instance", instance_uuid=plain.uid(1), revision=2)

    command = [sys.executable, str(EXAMPLE), stand.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tree.ROOT) as example:
        assert example.stdout is not None
        lines = [example.stdout.readline().split(" ", 2) for _ in range(3)]
        gap = example.stdout.readline()
        example.kill()

    assert [(name, number) for name, number, _ in lines] == [(plain.host(), str(number)) for number in (1, 2, 5)]
    assert "'VCPU': 1" in lines[1][2]
    assert "'VCPU': 0" in lines[2][2]
    assert gap == f"3 to 4 are missing: stocktake outbox resend --node {plain.node_uuid()} --from-seq 3\n"


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 33
