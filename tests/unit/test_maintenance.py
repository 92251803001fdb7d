"""Snapshots and retention."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, cast

import pytest

from tests import builders
from tests.fakes import clock, failing, relay_store
from worker import errors, interfaces, maintenance
from worker.core import commands, events, records

HOUR = 3600
SETTINGS = maintenance.Settings(exists_interval=HOUR, inbox_retention=7 * HOUR, outbox_retention=2 * HOUR)


class Desk:
    """Chores over what a worker has made of some commands."""

    def __init__(self, *orders: commands.Command, **settings: int) -> None:
        self.worker = builders.Worker()
        if orders:
            self.worker.tell(*orders)
        self.worker.forget_events()
        self.plan = failing.Plan()
        self.clock = clock.Clock(builders.NOW)
        self.put_back = 0
        self.store = relay_store.Store()
        pairs = {node.pair for node in self.worker.store.nodes.values() if node.pair is not None}
        pairs |= {account.pair for account in self.worker.store.accounts.values()}
        self.store.known = [(records.account_id(pair.host, pair.node), pair) for pair in pairs]
        self.settings = dataclasses.replace(SETTINGS, **settings)
        self.chores = maintenance.Maintenance(
            self.store,
            lambda: failing.UnitOfWork(self.worker.store, self.plan),
            self.clock,
            lambda: self.settings,
            lambda: (self.clock.now + self.put_back) / 1_000_000,
        )

    def put_clock_back(self, seconds: int) -> None:
        self.clock.pass_(-seconds)
        self.put_back += seconds * 1_000_000

    def snapshots(self) -> list[events.ProviderChanged]:
        return self.worker.events(events.ProviderChanged)


def test_a_snapshot_carries_the_present_sequence_and_raises_nothing() -> None:
    desk = Desk(builders.a_report(), commands.UpdateInstance(builders.an_instance()))
    before = dict(desk.worker.store.nodes), dict(desk.worker.store.accounts)

    desk.clock.pass_(HOUR)
    desk.chores.turn()

    (snapshot,) = desk.snapshots()
    node = desk.worker.store.nodes[builders.NODE]
    assert (snapshot.change, snapshot.host, snapshot.delta, snapshot.causes) == (events.EXISTS, "h1", {}, ())
    assert (snapshot.node.sequence, snapshot.generation) == (node.sequence, node.generation)
    assert snapshot.view.used == builders.SMALL
    assert (desk.worker.store.nodes, desk.worker.store.accounts) == before


def test_a_snapshot_is_due_once_an_interval() -> None:
    desk = Desk(builders.a_report())

    for _ in range(4):
        desk.clock.pass_(HOUR / 2)
        desk.chores.turn()

    assert len(desk.snapshots()) == 2


def test_an_interval_of_zero_sends_none() -> None:
    desk = Desk(builders.a_report(), exists_interval=0)

    desk.clock.pass_(100 * HOUR)
    desk.chores.turn()

    assert desk.snapshots() == []


def test_what_nobody_has_reported_and_what_is_gone_has_no_snapshot() -> None:
    desk = Desk(
        builders.a_report(),
        commands.UpdateInstance(builders.an_instance(host="h9")),
        commands.RemoveNode(builders.NODE, 9),
    )

    desk.clock.pass_(HOUR)
    desk.chores.turn()

    assert desk.snapshots() == []


def test_every_provider_is_announced_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "PAGE", 2)
    reports = [builders.a_report(node_uuid=builders.uid(500 + n), host=f"h{n}") for n in range(5)]
    desk = Desk(*reports)

    desk.clock.pass_(HOUR)
    desk.chores.turn()

    assert sorted(one.host for one in desk.snapshots()) == ["h0", "h1", "h2", "h3", "h4"]
    assert desk.plan.transactions == 3


def test_snapshots_that_failed_are_made_up_for_within_a_minute() -> None:
    desk = Desk(builders.a_report())
    desk.plan.commit = [errors.Conflict("busy")]
    desk.clock.pass_(HOUR)

    with pytest.raises(errors.Conflict):
        desk.chores.turn()
    desk.clock.pass_(60)
    desk.chores.turn()

    assert len(desk.snapshots()) == 1


def test_what_is_past_its_retention_goes_once_a_minute() -> None:
    desk = Desk()
    desk.store.rows_past_retention = 7

    for _ in range(3):
        desk.chores.turn()
        desk.clock.pass_(30)

    first = (builders.NOW - 7 * HOUR * 1_000_000, builders.NOW - 2 * HOUR * 1_000_000)
    assert len(desk.store.purged) == 2
    assert desk.store.purged[0] == first


def test_when_there_is_more_to_purge_it_goes_on_at_once() -> None:
    desk = Desk()
    desk.store.rows_past_retention = maintenance.MANY

    desk.chores.turn()
    desk.chores.turn()

    assert len(desk.store.purged) == 2


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable("gone"), errors.Conflict("busy")])
def test_chores_wait_for_a_database_that_is_away_or_busy(error: Exception) -> None:
    desk = Desk()
    desk.store.failures = [error]

    maintenance.quietly(desk.chores.turn)
    desk.clock.pass_(60)
    maintenance.quietly(desk.chores.turn)

    assert len(desk.store.purged) == 1


def test_a_clock_put_back_stops_no_chores() -> None:
    desk = Desk(builders.a_report())
    desk.chores.turn()

    desk.put_clock_back(24 * HOUR)
    desk.clock.pass_(HOUR)
    desk.chores.turn()

    assert len(desk.store.purged) == 2
    assert len(desk.snapshots()) == 1


def _announce(desk: Desk, *hosts: str) -> int:
    pairs = [builders.pair(host) for host in hosts]
    unit = failing.UnitOfWork(desk.worker.store, desk.plan)
    return maintenance.announce_whole(lambda: unit, pairs, desk.clock.now)


def test_an_announcement_repeats_what_every_consumer_there_holds_and_changes_nothing() -> None:
    moving = commands.UpdateMigration(builders.a_move())
    reports = [builders.a_report(), builders.a_report(node_uuid=builders.uid(502), host="h2")]
    desk = Desk(*reports, commands.UpdateInstance(builders.an_instance()), moving)
    before = dict(desk.worker.store.books)

    count = _announce(desk, "h1")

    (snapshot,) = desk.snapshots()
    (told,) = desk.worker.events(events.AllocationChanged)
    assert (count, snapshot.change) == (2, events.EXISTS)
    assert (told.consumer_uuid, told.consumer_type) == (builders.MIGRATION, "MIGRATION")
    assert told.allocations == {builders.NODE: builders.SMALL}
    assert told.consumer_generation == before[builders.VM].generation
    assert desk.worker.store.books == before


class _Filling:
    """Books of a node to which an instance comes between two looks."""

    def __init__(self, books: interfaces.Books) -> None:
        self._books = books
        self._residents = iter([frozenset[str](), frozenset({builders.VM})])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)

    def residents(self, accounts: Collection[str]) -> Collection[str]:  # noqa: ARG002 - the form of the interface
        return next(self._residents)


def test_an_announcement_is_refused_while_somebody_comes_in() -> None:
    desk = Desk(builders.a_report())
    unit = failing.UnitOfWork(desk.worker.store, desk.plan)

    with unit as opened:
        opened.books = cast("interfaces.Books", _Filling(opened.books))
        with pytest.raises(errors.Conflict, match="another instance came meanwhile"):
            maintenance.standing(opened, [builders.pair("h1")], builders.NOW)
