"""Nodes: reports, removals, returns, rivals and new names."""

from __future__ import annotations

import pytest

from tests import builders
from tests.unit.core import histories, node_cases
from worker.core import commands, events, providers, records

SMALL = builders.SMALL
OTHER = builders.uid(501)


def test_the_first_report_creates_the_node_and_its_provider() -> None:
    worker = builders.Worker()

    outcome = worker.tell(node_cases.report())

    assert (outcome.outcome, outcome.node_uuid, outcome.sequence) == ("applied", builders.NODE, 1)
    (event,) = worker.store.events
    assert isinstance(event, events.ProviderChanged)
    assert (event.change, event.host, event.view.name, event.delta) == ("create", "h1", "h1", {})
    assert event.generation == worker.store.nodes[builders.NODE].generation == 1
    assert event.view.traits == ("COMPUTE_NODE", "OWNER_NOVA")
    assert set(event.view.inventories) == {"VCPU", "MEMORY_MB", "DISK_GB"}


@pytest.mark.parametrize(("revision", "outcome"), [(0, "stale"), (1, "stale"), (2, "applied")])
def test_only_a_newer_report_is_taken(revision: int, outcome: str) -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())

    told = worker.tell(node_cases.report(revision=revision, vcpus=99))

    capacity = worker.store.nodes[builders.NODE].capacity
    assert told.outcome == outcome
    assert capacity is not None
    assert capacity.vcpus == (99 if outcome == "applied" else 8)


def test_a_newer_report_of_the_same_content_is_not_announced() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())

    outcome = worker.tell(node_cases.report(revision=2))

    assert outcome.outcome == "applied"
    assert node_cases.changes(worker) == [("create", builders.NODE, 1)]
    assert worker.store.nodes[builders.NODE].revision == 2


@pytest.mark.parametrize("first", [9, 8], ids=["news first", "news last"])
def test_news_is_announced_also_when_another_report_of_the_batch_says_none(first: int) -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())

    worker.tell(node_cases.report(revision=2, vcpus=first), node_cases.report(revision=3, vcpus=9))

    assert node_cases.changes(worker) == [("create", builders.NODE, 1), ("update", builders.NODE, 2)]
    assert worker.store.nodes[builders.NODE].revision == 3
    histories.check_all(worker.store)


def test_a_repeated_report_of_a_disabled_node_that_is_enabled_again_is_announced() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report(disabled=True))

    worker.tell(node_cases.report(revision=2, disabled=False))

    assert node_cases.changes(worker)[-1] == ("update", builders.NODE, 2)


def test_a_report_keeps_its_whole_content_only_when_it_is_new() -> None:
    worker = builders.Worker()

    worker.tell(node_cases.report(vcpus=4))
    worker.tell(node_cases.report(revision=2, vcpus=5))

    assert worker.store.reports[builders.NODE].vcpus == 5


def test_the_ledger_says_what_a_node_has_and_keeps() -> None:
    worker = builders.Worker()

    worker.tell(node_cases.report(reserved_host_cpus=2))
    worker.tell(node_cases.report(revision=2, reserved_host_cpus=1, vcpus=10))

    own = [(entry.kind, dict(entry.amounts)) for entry in worker.store.entries]
    assert own == [
        ("reserved", {"VCPU": 2}),
        ("capacity", {"VCPU": 8, "MEMORY_MB": 16384, "DISK_GB": 100}),
        ("reserved", {"VCPU": -1}),
        ("capacity", {"VCPU": 2}),
    ]


def test_a_removed_node_loses_its_capacity_and_its_provider() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())

    outcome = worker.tell(commands.RemoveNode(builders.NODE, 2))

    assert (outcome.outcome, outcome.sequence) == ("applied", 2)
    assert node_cases.changes(worker) == [("create", builders.NODE, 1), ("delete", builders.NODE, 2)]
    assert worker.events(events.Found) == []
    deleted = worker.events(events.ProviderChanged)[-1]
    assert (deleted.view.inventories, deleted.view.used) == ({}, {})


def test_what_is_held_on_a_removed_node_stays_counted_until_it_is_gone() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())
    node_cases.build(worker)
    worker.forget_events()

    worker.tell(commands.RemoveNode(builders.NODE, 2))
    assert worker.used() == SMALL
    (found,) = worker.events(events.Found)
    assert (found.kind, found.node_uuid) == ("removed_node_in_use", builders.NODE)
    assert found.text == "h1/h1 was removed, but DISK_GB 10, MEMORY_MB 512, VCPU 1 are held there"
    worker.tell(commands.DeleteInstance(builders.VM, 2))

    assert node_cases.changes(worker) == [("update", builders.NODE, 3), ("delete", builders.NODE, 4)]
    assert [event.view.inventories for event in worker.events(events.ProviderChanged)] == [{}, {}]


@pytest.mark.parametrize(("revision", "outcome"), [(1, "stale"), (2, "stale"), (3, "applied")])
def test_reports_up_to_the_removals_revision_are_stale(revision: int, outcome: str) -> None:
    worker = builders.Worker()
    worker.tell(commands.RemoveNode(builders.NODE, 2))

    told = worker.tell(node_cases.report(revision=revision))

    assert told.outcome == outcome
    assert worker.store.nodes[builders.NODE].live is (outcome == "applied")
    assert len(node_cases.changes(worker)) == (outcome == "applied")


@pytest.mark.parametrize("removed_first", [True, False])
def test_a_removed_node_has_its_name_whichever_came_first(removed_first: bool) -> None:
    worker = builders.Worker()
    node_cases.build(worker)
    orders: list[commands.Command] = [node_cases.report(revision=1), commands.RemoveNode(builders.NODE, 2)]

    for order in reversed(orders) if removed_first else orders:
        worker.tell(order)

    assert node_cases.provider_of(worker) == builders.NODE
    histories.check_all(worker.store)


def test_a_removal_older_than_the_report_is_recorded_and_changes_nothing() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report(revision=5))

    outcome = worker.tell(commands.RemoveNode(builders.NODE, 4))

    assert (outcome.outcome, outcome.reason) == ("stale", "a newer report is on record")
    assert worker.store.nodes[builders.NODE].live
    assert worker.store.nodes[builders.NODE].removed_revision == 4


@pytest.mark.parametrize("revision", [1, 2])
def test_a_removal_not_newer_than_the_last_one_is_stale(revision: int) -> None:
    worker = builders.Worker()
    worker.tell(commands.RemoveNode(builders.NODE, 2))

    assert worker.tell(commands.RemoveNode(builders.NODE, revision)).outcome == "stale"


def test_a_node_that_returns_goes_on_with_its_sequence() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())
    worker.tell(commands.RemoveNode(builders.NODE, 2))

    outcome = worker.tell(node_cases.report(revision=3))

    assert (outcome.outcome, outcome.sequence) == ("applied", 3)
    assert node_cases.changes(worker)[-1] == ("create", builders.NODE, 3)
    assert worker.tell(commands.ClaimInstance(builders.an_instance())).outcome == "accepted"


def test_failed_builds_are_counted_and_forgotten() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())
    seen = []

    for succeeded in (True, False, False, True, False):
        outcome = worker.tell(commands.RecordBuild(builders.NODE, succeeded))
        assert outcome.outcome == "applied"
        seen.append(worker.store.nodes[builders.NODE].failed_builds)

    assert seen == [0, 1, 2, 0, 1]
    assert len(node_cases.changes(worker)) == 1
    worker.tell(commands.RemoveNode(builders.NODE, 9))
    assert worker.store.nodes[builders.NODE].failed_builds == 0


def test_a_build_on_an_unknown_node_is_kept_for_its_report() -> None:
    worker = builders.Worker()

    worker.tell(commands.RecordBuild(builders.NODE, succeeded=False))
    worker.tell(node_cases.report())

    assert worker.store.nodes[builders.NODE].failed_builds == 1


def test_a_disabled_node_has_a_trait() -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report())

    outcome = worker.tell(commands.SetNodeDisabled(builders.NODE, disabled=True, revision=2))

    assert outcome.outcome == "applied"
    event = worker.events(events.ProviderChanged)[-1]
    assert (event.change, event.view.traits) == ("update", ("COMPUTE_NODE", "COMPUTE_STATUS_DISABLED", "OWNER_NOVA"))
    assert [cause.method for cause in event.causes] == ["set_node_disabled"]


def test_the_word_on_disabled_never_makes_a_report_stale() -> None:
    worker = builders.Worker()
    worker.tell(commands.SetNodeDisabled(builders.NODE, disabled=True, revision=9))

    outcome = worker.tell(node_cases.report(revision=1, disabled=False))

    assert outcome.outcome == "applied"
    assert worker.store.nodes[builders.NODE].disabled


@pytest.mark.parametrize(("revision", "outcome"), [(4, "stale"), (5, "stale"), (6, "applied")])
def test_a_report_raises_the_revision_of_disabled(revision: int, outcome: str) -> None:
    worker = builders.Worker()
    worker.tell(node_cases.report(revision=5, disabled=False))

    told = worker.tell(commands.SetNodeDisabled(builders.NODE, disabled=True, revision=revision))

    assert told.outcome == outcome
    assert worker.store.nodes[builders.NODE].disabled is (outcome == "applied")


def test_a_provider_is_announced_once_a_transaction() -> None:
    worker = builders.Worker()
    instances = [builders.an_instance(builders.uid(number)) for number in range(3)]

    worker.tell(node_cases.report(), *(commands.UpdateInstance(record) for record in instances))

    (event,) = worker.events(events.ProviderChanged)
    assert event.view.used["VCPU"] == 3
    assert len(event.causes) == 4


def test_what_a_host_keeps_counts_also_of_a_class_of_which_it_has_nothing() -> None:
    worker = builders.Worker()

    worker.tell(node_cases.report(vcpus=0, reserved_host_cpus=2, local_gb=0, reserved_host_disk_mb=2048))

    node = worker.store.nodes[builders.NODE]
    assert dict(providers.reserved(node)) == {"VCPU": 2, "DISK_GB": 2}
    assert node.capacity is not None
    assert node.capacity.inventories.keys() == {"MEMORY_MB"}
    histories.check_ledger(worker.store)


def test_an_inventory_of_the_report_takes_the_place_of_the_standard_one_in_every_figure() -> None:
    worker = builders.Worker()

    worker.tell(node_cases.report(inventories={"MEMORY_MB": records.Inventory(1000, 100)}))

    node = worker.store.nodes[builders.NODE]
    assert node.capacity is not None
    assert (node.capacity.memory_mb, node.capacity.reserved["MEMORY_MB"]) == (1000, 100)
