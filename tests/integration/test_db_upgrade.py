"""From a database of revision 0001 with rows in it to the present one: nothing is lost, and places are given from then on."""

from __future__ import annotations

import json
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import alembic.command
import alembic.config
import msgspec
import pytest
import sqlalchemy as sa

from tests import builders
from tests.integration import test_db_schema
from worker import errors, handler
from worker.cli import database
from worker.core import claims, commands, events, providers, records
from worker.db import engine, invariants, reading, rows, schema, tables, texts, unit_of_work

NOW = builders.NOW
ADDRESS = "0000:81:00.0"
HELD = {"PCPU": 2, "MEMORY_MB": 512, "DISK_GB": 10}
DEVICE = records.Device(ADDRESS, "8086", "1572", "type-PCI")
CELL = records.HostCell(0, frozenset(), frozenset({0, 1, 2, 3}), 16384, (), (records.Pages(4, 4194304, 0),))
REPORT = builders.a_node(numa_topology=(CELL,), pci_devices=(DEVICE,))
RECORD = builders.an_instance(
    flavor=builders.a_flavor(vcpus=2, extra_specs={"hw:cpu_policy": "dedicated"}),
    pci_requests=(builders.a_request(),),
)


@pytest.fixture(params=test_db_schema.NAMES)
def bind(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    """Lend a database that revision 0001 has left behind."""
    with test_db_schema.an_empty_database(request.param, tmp_path) as url:
        made = engine.of_url(url)
        go_to(made, "0001", alembic.command.upgrade)
        with made.begin() as connection:
            for table, row in old_rows():
                insert(connection, table, row)
        yield made
        made.dispose()


def go_to(bind: sa.Engine, revision: str, step: Callable[[alembic.config.Config, str], None]) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(pathlib.Path(schema.__file__).parent / "alembic"))
    with bind.begin() as connection:
        config.attributes["connection"] = connection
        step(config, revision)


def insert(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
    names = [table.columns[name] for name in row]
    connection.execute(sa.table(table.name, *(sa.column(one.name, one.type) for one in names)).insert().values(row))


def old_rows() -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """Yield a node, its account, an instance that asks for CPUs and a device, and the ledger, as 0001 has kept them."""
    account, cause = builders.account_of(), builders.a_cause("old")
    figures = {"used": texts.write(HELD), "settled": texts.write(HELD), "counters": "{}"}
    yield tables.accounts, {"id": account, "host": "h1", "hypervisor_hostname": "h1", "generation": 1, **figures}
    node = records.Node(builders.NODE, builders.pair("h1"), 1, capacity=providers.capacity(REPORT), digest="d")
    yield tables.nodes, rows.first_generation(rows.of_node(node, REPORT))
    holding = {
        "account": account, "consumer": builders.VM, "side": "instance", "settled": True, "amounts": HELD,
    }  # fmt: skip
    body = {"record": json.loads(texts.write(RECORD)), "moves": [], "holdings": [holding]}
    about = {"uuid": builders.VM, "revision": 1, "deleted": False, "saved_at": NOW, "generation": 1}
    yield tables.instances, {**about, "body": json.dumps(body)}
    held = {"side": "instance", "account_id": account, "consumer": builders.VM, "settled": True}
    yield tables.holdings, {"instance_uuid": builders.VM, **held, "amounts": texts.write(HELD)}
    capacity = providers.totals(node)
    for kind, amounts, settled in (("capacity", capacity, {}), ("holding", HELD, HELD)):
        entry = {"at": NOW, "kind": kind, "message_id": "old", "account_id": account, "node_uuid": builders.NODE}
        whole = {"amounts": texts.write(amounts), "settled": texts.write(settled), "cause": texts.write(cause)}
        yield tables.ledger, {**entry, **whole}


def tell(bind: sa.Engine, *orders: commands.Command) -> Any:
    tasks = [builders.a_task(order, str(uuid.uuid4())) for order in orders]
    policy = claims.Policy(claims=claims.LOCAL)
    return handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), NOW, policy)[-1]


def held_devices(bind: sa.Engine) -> list[tuple[str, str]]:
    held = tables.devices_held.c
    with bind.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(held.address, held.instance_uuid))]


def test_a_database_of_the_first_revision_is_refused_until_it_is_brought_up_to_date(bind: sa.Engine) -> None:
    with pytest.raises(errors.Misconfigured, match=f"is at revision 0001, {schema.newest()} is needed: run"):
        database.check(bind)

    assert schema.sync(bind) == schema.newest()
    database.check(bind)


def test_what_the_first_revision_has_kept_is_read_as_before(bind: sa.Engine) -> None:
    schema.sync(bind)

    with unit_of_work.UnitOfWork(bind) as unit:
        (book,) = unit.books.instances([builders.VM])
        placed = unit.books.places_on([builders.account_of()])
        hardware = unit.books.hardware_of([builders.NODE])

    (holding,) = book.holdings
    assert (book.record, book.attachments, holding.place) == (RECORD, (), None)
    assert holding.amounts == HELD
    assert placed == {builders.account_of(): {}}
    assert (hardware[builders.NODE].cells, hardware[builders.NODE].devices) == ((CELL,), (DEVICE,))
    (sheet,) = reading.sheets(bind, [builders.NODE])
    assert sheet.account.used == HELD
    assert list(invariants.differences(bind)) == []


def test_who_had_no_place_gets_one_at_the_next_audit(bind: sa.Engine) -> None:
    schema.sync(bind)
    rival = builders.an_instance(builders.uid(2), pci_requests=(builders.a_request(),))

    tell(bind, commands.AuditNode(builders.NODE, None, NOW))

    assert held_devices(bind) == [(ADDRESS, builders.VM)]
    with unit_of_work.UnitOfWork(bind) as unit:
        (place,) = unit.books.places_on([builders.account_of()])[builders.account_of()].values()
    assert place.topology is not None
    assert len(place.topology.cells[0].cpu_pinning) == 2
    assert tell(bind, commands.ClaimInstance(rival, None)).outcome == events.REFUSED
    assert list(invariants.differences(bind)) == []


def test_an_old_instance_gets_its_place_with_its_next_fact_and_gives_it_back(bind: sa.Engine) -> None:
    schema.sync(bind)

    tell(bind, commands.UpdateInstance(msgspec.structs.replace(RECORD, revision=2)))
    found = held_devices(bind)
    tell(bind, commands.DeleteInstance(builders.VM, 3))

    assert found == [(ADDRESS, builders.VM)]
    assert held_devices(bind) == []
    assert list(invariants.differences(bind)) == []


def test_the_step_can_be_taken_back_with_rows_in_the_tables(bind: sa.Engine) -> None:
    schema.sync(bind)
    tell(bind, commands.AuditNode(builders.NODE, None, NOW))

    go_to(bind, "0001", alembic.command.downgrade)
    taken_back = schema.version(bind)
    schema.sync(bind)

    assert taken_back == "0001"
    assert held_devices(bind) == [(ADDRESS, builders.VM)]
    (sheet,) = reading.sheets(bind, [builders.NODE])
    assert sheet.account.used == HELD
