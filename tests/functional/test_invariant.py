"""The proof that stands behind every test with a database finds what does not add up."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests import builders, invariant
from tests.unit.core import devices
from worker import handler
from worker.core import claims, commands, records
from worker.db import engine, invariants, schema, unit_of_work


@pytest.fixture
def bind(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    made = engine.of_url(f"sqlite:///{tmp_path / 'stocktake.db'}")
    schema.sync(made)
    yield made
    made.dispose()


def _a_pinned_guest(uuid: str = builders.VM, **changes: Any) -> records.Instance:
    flavor = builders.a_flavor(extra_specs={"hw:cpu_policy": "dedicated"})
    return builders.an_instance(uuid, flavor=flavor, **changes)


def _tell(bind: sa.Engine, *orders: commands.Command) -> None:
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), builders.NOW, claims.Policy())


def _work(bind: sa.Engine) -> None:
    """Report a node with a cell of two dedicated CPUs and a device, and an instance that has one of each."""
    cell = records.HostCell(0, frozenset({0, 1}), frozenset({2, 3}), 4096)
    node = builders.a_node(reserved_host_memory_mb=512, numa_topology=(cell,), pci_devices=(devices.plain(7),))
    guest = _a_pinned_guest(pci_requests=(devices.a_request(devices.GPU),))
    _tell(bind, builders.a_report(node), commands.UpdateInstance(guest))


def test_a_database_that_is_worked_on_is_noticed_and_proved(bind: sa.Engine) -> None:
    with invariant.Watch() as databases:
        _work(bind)

    assert databases.prove() == 1


def test_a_database_that_is_gone_or_not_ours_is_passed_over(tmp_path: pathlib.Path) -> None:
    foreign, gone = (engine.of_url(f"sqlite:///{tmp_path / name}") for name in ("foreign.db", "gone.db"))

    with invariant.Watch() as databases:
        for other in (foreign, gone):
            other.connect().close()
            other.dispose()
    (tmp_path / "gone.db").unlink()

    assert databases.prove() == 0


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE accounts SET used = '{}'", {("used", "holdings"), ("used", "ledger")}),
        ("UPDATE accounts SET settled = '{}'", {("settled", "holdings"), ("settled", "ledger")}),
        ("UPDATE holdings SET amounts = '{\"VCPU\": 2}'", {
            ("used", "holdings"), ("settled", "holdings"), ("used", "instances"), ("settled", "instances"),
        }),
        ("DELETE FROM ledger WHERE kind = 'holding'", {("used", "ledger"), ("settled", "ledger")}),
        ("DELETE FROM ledger WHERE kind = 'capacity'", {("capacity", "ledger")}),
        ("DELETE FROM ledger WHERE kind = 'reserved'", {("reserved", "ledger")}),
        ("DELETE FROM ledger WHERE kind = 'device'", {("devices", "ledger")}),
        ("DELETE FROM ledger WHERE kind = 'cell'", {("cells", "ledger")}),
        ("DELETE FROM devices_held", {("grants", "holdings")}),
        (f"UPDATE devices_held SET instance_uuid = '{builders.uid(9)}'", {("grants", "holdings")}),
        (f"UPDATE devices_held SET request_id = '{builders.uid(9)}'", {("grants", "holdings")}),
        (f"UPDATE devices_held SET account_id = '{builders.uid(9)}'", {("grants", "holdings")}),
        ("DELETE FROM instances", {(figure, "instances") for figure in ("used", "settled", "grants", "cells", "pins")}),
        ("UPDATE holdings SET place = replace(place, '0000:07:00.0', '0000:08:00.0')", {
            ("grants", "holdings"), ("grants", "instances"), ("devices", "ledger"),
        }),
        ("UPDATE holdings SET place = NULL", {
            ("grants", "holdings"), ("grants", "instances"), ("devices", "ledger"), ("cells", "ledger"),
            ("cells", "instances"), ("pins", "instances"),
        }),
        ("UPDATE holdings SET place = replace(place, '\"memory\":512', '\"memory\":500')", {
            ("cells", "ledger"), ("cells", "instances"),
        }),
        ("UPDATE instances SET body = replace(body, '0000:07:00.0', '0000:08:00.0')", {("grants", "instances")}),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_found_and_named(change: str, found: set[tuple[str, str]]) -> None:
    bind = engine.of_url("sqlite://")
    schema.sync(bind)
    _work(bind)
    invariant.prove(bind)

    with bind.begin() as connection:
        assert connection.exec_driver_sql(change).rowcount

    assert {(one.figure, one.by) for one in invariants.differences(bind)} == found
    with pytest.raises(AssertionError, match="do not add up"):
        invariant.prove(bind)
    bind.dispose()


def test_a_cpu_that_two_guests_have_is_named() -> None:
    bind = engine.of_url("sqlite://")
    schema.sync(bind)
    _work(bind)
    _tell(bind, commands.UpdateInstance(_a_pinned_guest(builders.uid(2))))
    invariant.prove(bind)

    with bind.begin() as connection:
        for table, column in (("holdings", "place"), ("instances", "body")):
            text = f"UPDATE {table} SET {column} = replace({column}, '\"0\":3', '\"0\":2')"
            connection.exec_driver_sql(text)

    (found,) = invariants.differences(bind)
    assert (found.account, found.figure, found.by) == (builders.account_of("h1"), "pins", "guests")
    assert found.kept == {"cpu_2": 2}
    bind.dispose()


def test_the_difference_of_one_instance_names_it() -> None:
    bind = engine.of_url("sqlite://")
    schema.sync(bind)
    _work(bind)

    with bind.begin() as connection:
        connection.execute(sa.text("UPDATE holdings SET settled = false"))

    (found,) = (one for one in invariants.differences(bind) if one.by == "instances")
    assert (found.instance, found.figure, found.worked_out) == (builders.VM, "settled", {})
    bind.dispose()
