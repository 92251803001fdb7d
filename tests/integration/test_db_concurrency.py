"""Two workers on one database: they wait for each other, or one is told to repeat its batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Self

import pytest
import sqlalchemy as sa

from tests import builders
from tests.contract import units_of_work
from tests.integration import db_servers
from worker import errors, handler
from worker.core import claims, commands, decide, world
from worker.db import invariants, reading, relay_store, unit_of_work

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


def until_somebody_waits(bind: sa.Engine) -> None:
    """Return once a session of this database waits for a lock."""
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }[bind.dialect.name]
    turn, deadline = threading.Event(), 200
    for _ in range(deadline):
        with bind.connect() as connection:
            if connection.scalar(sa.text(waiting)):
                return
        turn.wait(0.15)  # MariaDB refreshes what it tells of locks when nobody has asked for a tenth of a second
    pytest.fail("nobody waits for a lock")


def test_a_second_worker_waits_and_sees_what_the_first_has_made(
    bind: sa.Engine, pool: futures.ThreadPoolExecutor
) -> None:
    carry_out(bind, [an_update(1)])
    task = an_update(2)

    with unit_of_work.UnitOfWork(bind) as first:
        books = handler.load(first.books, [task.command], world.World(NOW, POLICY))
        second = pool.submit(handle, bind, [an_update(3)])
        until_somebody_waits(bind)
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
        return store.acquire("relay", holder, NOW, 15)

    for turn in range(5):
        got = [one.result(PATIENCE) for one in [pool.submit(try_it, f"{turn}-{number}") for number in range(4)]]
        assert got.count(True) == 1, turn
        store.release("relay", f"{turn}-{got.index(True)}")
