"""Two workers on one database: they wait for each other, or one is told to repeat its batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Self

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests import builders
from tests.contract import units_of_work
from tests.integration import db_servers
from worker import errors, handler, maintenance
from worker.core import claims, commands, decide, world
from worker.db import invariants, reading, relay_store, tables, unit_of_work

NOW = builders.NOW
POLICY = claims.Policy(claims=claims.NONE)
PATIENCE = 20


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    with db_servers.migrated(request.param) as made:
        yield made


@pytest.fixture
def bind(server: sa.Engine) -> Iterator[sa.Engine]:
    yield server
    units_of_work.clear(server)


@pytest.fixture
def pool() -> Iterator[futures.ThreadPoolExecutor]:
    with futures.ThreadPoolExecutor(4) as made:
        yield made


def test_a_second_worker_waits_and_sees_what_the_first_has_made(
    bind: sa.Engine, pool: futures.ThreadPoolExecutor
) -> None:
    carry_out(bind, [an_update(1)])
    task = an_update(2)

    with unit_of_work.UnitOfWork(bind) as first:
        books = handler.load(first.books, [task.command], world.World(NOW, POLICY))
        second = pool.submit(handle, bind, [an_update(3)])
        db_servers.until_somebody_waits(bind)
        decide.decide(books, task)
        first.books.save(books)
        first.ledger.add(books.entries, NOW)
        first.commit()
    second.result(PATIENCE)

    (sheet,) = reading.sheets(bind, [builders.account_of()])
    assert sheet.account.used["VCPU"] == 3


def an_update(number: int) -> commands.Task:
    return builders.a_task(commands.UpdateInstance(builders.an_instance(builders.uid(number))))


def handle(bind: sa.Engine, tasks: list[commands.Task]) -> None:
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), NOW, POLICY)


def test_two_workers_that_mark_one_message_are_in_conflict(bind: sa.Engine, pool: futures.ThreadPoolExecutor) -> None:
    both_have_looked = threading.Barrier(2)

    def take() -> str:
        task = builders.a_task(commands.UpdateInstance(builders.an_instance()), "m1")
        try:
            with unit_of_work.UnitOfWork(bind) as unit:
                unit.inbox.seen(["m1"])
                both_have_looked.wait(PATIENCE)
            handler.handle(handler.Batch([task]), _Late(bind, both_have_looked), NOW, POLICY)
        except errors.Conflict:
            return "conflict"
        return "applied"

    outcomes = [one.result(PATIENCE) for one in (pool.submit(take), pool.submit(take))]

    assert sorted(outcomes) == ["applied", "conflict"]
    assert list(invariants.differences(bind)) == []


class _Late(unit_of_work.UnitOfWork):
    """Both workers have looked into the inbox before either goes on."""

    def __init__(self, bind: sa.Engine, both: threading.Barrier) -> None:
        super().__init__(bind)
        self._both = both

    def __enter__(self) -> Self:
        super().__enter__()
        self.inbox.seen(["m1"])
        self._both.wait(PATIENCE)
        return self


def test_many_workers_together_count_everything_once(bind: sa.Engine, pool: futures.ThreadPoolExecutor) -> None:
    hosts = [f"h{number}" for number in range(5)]

    def work(first: int) -> None:
        for number in range(first, first + 10):
            tasks = [
                builders.a_task(commands.UpdateInstance(builders.an_instance(builders.uid(one), 1, host=host)))
                for one, host in ((number * 10 + index, host) for index, host in enumerate(hosts))
            ]
            carry_out(bind, tasks if first % 20 else tasks[::-1])

    for one in [pool.submit(work, first) for first in (100, 110, 120, 130)]:
        one.result(60)

    sheets = reading.sheets(bind, [builders.account_of(host) for host in hosts])
    assert [sheet.account.used for sheet in sheets] == [{"VCPU": 40, "MEMORY_MB": 40 * 512, "DISK_GB": 400}] * 5
    assert list(invariants.differences(bind)) == []


def carry_out(bind: sa.Engine, tasks: list[commands.Task]) -> None:
    for _ in range(50):
        try:
            handle(bind, tasks)
        except errors.Conflict:
            continue
        return
    pytest.fail("fifty conflicts in a row")


def test_one_of_many_gets_the_lease(bind: sa.Engine, pool: futures.ThreadPoolExecutor) -> None:
    store = relay_store.RelayStore(bind)
    together = threading.Barrier(4)

    def try_it(holder: str) -> bool:
        together.wait(PATIENCE)
        return store.acquire("relay", holder, 15)

    for turn in range(5):
        got = [one.result(PATIENCE) for one in [pool.submit(try_it, f"{turn}-{number}") for number in range(4)]]
        assert got.count(True) == 1, turn
        store.release("relay", f"{turn}-{got.index(True)}")


def test_a_lease_lasts_by_the_clock_of_the_database(bind: sa.Engine) -> None:
    store = relay_store.RelayStore(bind)
    shift = tables.leases.update().values(expires_at=tables.leases.c.expires_at - sa.bindparam("by"))

    taken = store.acquire("relay", "a", 15)
    early = store.acquire("relay", "b", 15)
    with bind.begin() as connection:
        connection.execute(shift, {"by": 14_000_000})
    still_early = store.acquire("relay", "b", 15)
    with bind.begin() as connection:
        connection.execute(shift, {"by": 1_000_000})
    in_time = store.acquire("relay", "b", 15)
    with bind.begin() as connection:
        connection.execute(shift, {"by": -3_600_000_000})

    assert (taken, early, still_early, in_time) == (True, False, False, True)
    assert store.acquire("relay", "a", 15)


def test_who_takes_a_lease_over_waits_until_its_holder_has_marked_what_was_sent(
    bind: sa.Engine, pool: futures.ThreadPoolExecutor
) -> None:
    handle(bind, [builders.a_task(builders.a_report())])
    store = relay_store.RelayStore(bind)
    ((number, _),) = store.due(1)
    store.acquire("relay", "a", 15)
    marks, go_on = threading.Event(), threading.Event()

    def hold(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("UPDATE outbox"):
            marks.set()
            go_on.wait(PATIENCE)

    event.listen(bind, "before_cursor_execute", hold)
    marking = pool.submit(store.sent, "relay", "a", [number], NOW)
    marks.wait(PATIENCE)
    giving_up = pool.submit(store.release, "relay", "a")
    try:
        db_servers.until_somebody_waits(bind)
    finally:
        go_on.set()
        marked, _ = marking.result(PATIENCE), giving_up.result(PATIENCE)
        event.remove(bind, "before_cursor_execute", hold)

    assert marked
    assert not store.sent("relay", "a", [number], NOW)


def test_a_node_that_never_held_anything_is_proved_and_announced(bind: sa.Engine) -> None:
    node = builders.a_node(reserved_host_memory_mb=512)
    handle(bind, [builders.a_task(builders.a_report(node))])
    store = relay_store.RelayStore(bind)

    count = maintenance.announce_all(store, lambda: unit_of_work.UnitOfWork(bind), NOW)

    assert count == 1
    assert [frame.event_type for _, frame in store.due(9)] == ["resource_provider.create", "resource_provider.exists"]
    assert list(invariants.differences(bind)) == []
    with bind.begin() as connection:
        connection.execute(tables.ledger.delete().where(tables.ledger.c.kind == "reserved"))
    assert [one.figure for one in invariants.differences(bind)] == ["reserved"]
    units_of_work.clear(bind)
