"""Nodes by name and by uuid: placeholders, rivals for a pair, and hosts that get another name."""

from __future__ import annotations

import pytest

from tests import builders
from tests.unit.core import histories, node_cases
from worker.core import commands, events

SMALL = builders.SMALL
OTHER = builders.uid(501)


def test_a_pair_that_nobody_reported_is_known_by_its_placeholder_and_not_announced() -> None:
    worker = builders.Worker()

    node_cases.build(worker)

    assert worker.used() == SMALL
    assert node_cases.provider_of(worker) == builders.account_of("h1")
    assert node_cases.changes(worker) == []
    assert [event.allocations for event in worker.events(events.AllocationChanged)] == [
        {builders.account_of("h1"): builders.SMALL}
    ]


def test_a_later_report_takes_over_what_is_held_on_its_pair() -> None:
    worker = builders.Worker()
    node_cases.build(worker)
    worker.forget_events()

    worker.tell(node_cases.report())

    (change,) = worker.events(events.ProviderChanged)
    (allocation,) = worker.events(events.AllocationChanged)
    assert (change.change, change.view.used, change.delta) == ("create", SMALL, SMALL)
    assert allocation.allocations == {builders.NODE: SMALL}
    assert [cause.method for cause in allocation.causes] == ["report_node"]


@pytest.mark.parametrize(
    ("first", "second", "speaks"), [(1, 2, OTHER), (2, 1, builders.NODE), (1, 1, OTHER), (2, 2, OTHER)]
)
def test_of_rivals_the_greatest_revision_and_uuid_speaks(first: int, second: int, speaks: str) -> None:
    worker = builders.Worker()
    node_cases.build(worker)

    worker.tell(node_cases.report(builders.NODE, first))
    worker.tell(node_cases.report(OTHER, second))

    assert node_cases.provider_of(worker) == speaks
    (found,) = worker.events(events.Found)
    assert (found.kind, found.host) == ("duplicate_report", "h1")
    assert found.text == f"h1/h1 is reported as {builders.NODE}, {OTHER}; {speaks} speaks for it"
    histories.check_all(worker.store)


@pytest.mark.parametrize("content", [{}, {"vcpus": 9}], ids=["same", "new"])
def test_a_rival_that_reports_again_takes_everything_held_over(content: dict[str, int]) -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report(builders.NODE, 1))
    worker.tell(node_cases.report(OTHER, 2))
    node_cases.build(worker)
    worker.forget_events()

    worker.tell(node_cases.report(builders.NODE, 3, **content))

    assert sorted(change[:2] for change in node_cases.changes(worker)) == [("create", builders.NODE), ("delete", OTHER)]
    (allocation,) = worker.events(events.AllocationChanged)
    assert allocation.allocations == {builders.NODE: SMALL}


def test_a_removed_rival_leaves_the_pair_to_the_other() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report(builders.NODE, 1))
    worker.tell(node_cases.report(OTHER, 2))
    node_cases.build(worker)
    worker.forget_events()

    worker.tell(commands.RemoveNode(OTHER, 3))

    assert node_cases.provider_of(worker) == builders.NODE
    assert worker.events(events.Found) == []
    (allocation,) = worker.events(events.AllocationChanged)
    assert allocation.allocations == {builders.NODE: SMALL}


def test_a_renamed_host_moves_no_holding_until_the_facts_name_it() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())
    node_cases.build(worker)

    worker.tell(node_cases.report(revision=2, host="h9"))
    assert (worker.used("h1"), worker.used("h9")) == (SMALL, {})
    assert (node_cases.provider_of(worker, "h1"), node_cases.provider_of(worker, "h9")) == (
        builders.account_of("h1"),
        builders.NODE,
    )
    worker.tell(commands.UpdateInstance(builders.an_instance(revision=2, host="h9")))

    assert (worker.used("h1"), worker.used("h9")) == ({}, SMALL)


def test_a_renamed_host_keeps_its_provider() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())
    node_cases.build(worker)
    worker.forget_events()

    worker.tell(node_cases.report(revision=2, host="h9"))

    (change,) = worker.events(events.ProviderChanged)
    assert (change.change, change.host, change.view.name) == ("update", "h9", "h9")
    assert change.delta == {name: -amount for name, amount in SMALL.items()}
    assert [event.allocations for event in worker.events(events.AllocationChanged)] == [
        {builders.account_of("h1"): builders.SMALL}
    ]
    histories.check_ledger(worker.store)


def test_two_hosts_may_exchange_their_names_in_one_transaction() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report(), node_cases.report(OTHER, 1, host="h2"))
    node_cases.build(worker)

    worker.tell(node_cases.report(revision=2, host="h2"), node_cases.report(OTHER, 2, host="h1"))

    assert (node_cases.provider_of(worker, "h1"), node_cases.provider_of(worker, "h2")) == (OTHER, builders.NODE)
    histories.check_all(worker.store)
