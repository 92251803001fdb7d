"""No statement on the way of a cast looks through a whole table."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests import builders
from tests.integration import db_servers
from worker import handler
from worker.core import claims, commands, records
from worker.db import engine, outbox, reading, relay_store, schema, unit_of_work

NOW = builders.NOW
POLICY = claims.Policy(claims=claims.NONE)
HOSTS = [f"h{number}" for number in range(200)]
# a table from end to end, or an index from end to end: on PostgreSQL one without a condition
THROUGH = re.compile(r"^.*Seq Scan on \w+|^.*Index (?:Only )?Scan using.*\n(?! *Index Cond).*|^SCAN .*", re.MULTILINE)


@pytest.fixture(params=["sqlite", "postgresql"])
def bind(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    if request.param == "postgresql":
        with db_servers.migrated("postgresql") as made:
            yield made
    else:
        made = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
        schema.sync(made)
        yield made
        made.dispose()


def handle(bind: sa.Engine, *orders: commands.Command) -> None:
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), NOW, POLICY)


def fill(bind: sa.Engine) -> None:
    nodes = [a_node(builders.uid(5000 + number), host=host) for number, host in enumerate(HOSTS)]
    handle(bind, *(builders.a_report(node) for node in nodes))
    for turn in range(5):
        numbers = range(turn * 40, turn * 40 + 40)
        handle(bind, *(commands.UpdateInstance(an_instance(number, 1)) for number in numbers))
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


def a_node(uuid: str, revision: int = 1, **changes: Any) -> records.ComputeNode:
    """Return a report with a cell of 16 CPUs and 8 devices."""
    cell = records.HostCell(0, frozenset(), frozenset(range(16)), 16384, (), (records.Pages(4, 4194304, 0),))
    devices = tuple(records.Device(f"0000:81:00.{number}", "8086", "1572", "type-PCI") for number in range(8))
    return builders.a_node(uuid, revision, numa_topology=(cell,), pci_devices=devices, **changes)


def an_instance(number: int, revision: int) -> records.Instance:
    """Return an instance; every second one has a device and a CPU of its own."""
    host = HOSTS[(number + revision) % len(HOSTS)]
    if number % 2:
        return builders.an_instance(builders.uid(number), revision, host=host)
    flavor = builders.a_flavor(extra_specs={"hw:cpu_policy": "dedicated"})
    request = builders.a_request(request_id=builders.uid(80_000 + number))
    return builders.an_instance(builders.uid(number), revision, host=host, flavor=flavor, pci_requests=(request,))


def hot_path(bind: sa.Engine) -> None:
    """Everything that a batch can do to rows that are there, and what the relay does afterwards."""
    node = a_node(builders.uid(5001), 2, host="h1", vcpus=9)
    move = builders.a_move(instance_uuid=builders.uid(3), source=builders.pair("h4"), dest=builders.pair("h9"))
    handle(
        bind,
        builders.a_report(node),
        commands.UpdateInstance(an_instance(1, 2)),
        commands.DeleteInstance(builders.uid(2), 9),
        commands.UpdateMigration(move, None),
        commands.AuditNode(builders.uid(5007), None, NOW),
    )
    store = relay_store.RelayStore(bind)
    store.acquire("relay", "me", 15)
    store.acquire("relay", "me", 15)
    store.last_due()
    store.sent("relay", "me", [number for number, _ in store.due(10)], NOW)
    store.release("relay", "me")


def giving_out(bind: sa.Engine) -> None:
    """What a batch does where CPUs and devices are given out and given back."""
    attached = builders.a_request(request_id=builders.uid(81_000))
    handle(bind, commands.ClaimInstance(an_instance(400, 1), None), commands.DeleteInstance(builders.uid(40), 9))
    handle(bind, commands.AttachDevices(builders.uid(7), (attached,), 1))
    handle(bind, commands.DetachDevices(builders.uid(8), (builders.uid(80_008),), 1))
    handle(bind, commands.AuditNode(builders.uid(5008), None, NOW))


def reads(bind: sa.Engine) -> None:
    """What the read methods and the command line ask for one record, or for one page."""
    reading.sheets(bind, [builders.uid(5001), builders.account_of("h2")])
    reading.book(bind, builders.uid(1))
    reading.holdings(bind, builders.account_of("h1"))
    list(reading.lines_of_account(bind, builders.account_of("h1")))
    list(reading.lines_of_instance(bind, builders.uid(1)))
    list(outbox.frames(bind, builders.uid(5001), 2))
    relay_store.RelayStore(bind).pairs("", 10)
    outbox.resend(bind, builders.uid(5001), 2)


def plan(connection: sa.Connection, statement: str, parameters: Any) -> str:
    word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    rows = connection.exec_driver_sql(f"{word} {statement}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("doing", [hot_path, giving_out, reads])
def test_no_statement_looks_through_a_table(bind: sa.Engine, doing: Any) -> None:
    fill(bind)
    seen = [one for one in db_servers.watched(bind, doing) if one[0].startswith(("SELECT", "UPDATE", "DELETE"))]

    with bind.connect() as connection:
        if bind.dialect.name == "postgresql":
            # a table this small is looked through for good reason; where an index fits it is taken now
            connection.execute(sa.text("SET enable_seqscan = off"))
        plans = {statement: plan(connection, statement, parameters) for statement, parameters in seen}

    assert len(plans) >= 8
    if doing is giving_out:
        statements = "\n".join(plans)
        assert all(words in statements for words in ("holdings.place", "nodes.report", "FROM devices_held"))
    assert {statement: found for statement, text in plans.items() if (found := THROUGH.findall(text))} == {}
