"""What is announced of who holds what."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from worker.core import announce, claims, commands, events, records, world

SMALL, BIG, BOTH = builders.SMALL, builders.BIG, builders.BOTH
H2 = builders.uid(502)


@pytest.fixture
def worker() -> builders.Worker:
    worker = builders.Worker()
    worker.tell(builders.a_report(), builders.a_report(builders.a_node(H2, host="h2")))
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    worker.forget_events()
    return worker


def _heard(worker: builders.Worker) -> dict[str, tuple[str, dict[str, dict[str, int]]]]:
    """Return consumer -> type and allocations, as the last notifications say."""
    return {
        event.consumer_uuid: (event.consumer_type, {uuid: dict(held) for uuid, held in event.allocations.items()})
        for event in worker.events(events.AllocationChanged)
    }


def _move(status: str = "migrating", revision: int = 1, **changes: Any) -> commands.UpdateMigration:
    return commands.UpdateMigration(builders.a_move(status=status, revision=revision, **changes))


@pytest.mark.parametrize("kind", ["resize", "migration", "live-migration"])
def test_during_a_move_the_migration_holds_the_source(worker: builders.Worker, kind: str) -> None:
    worker.tell(_move(migration_type=kind))

    assert _heard(worker) == {
        builders.VM: ("INSTANCE", {H2: BIG}),
        builders.MIGRATION: ("MIGRATION", {builders.NODE: SMALL}),
    }


def test_during_an_evacuation_the_instance_holds_both_sides(worker: builders.Worker) -> None:
    worker.tell(_move(migration_type="evacuation"))

    assert _heard(worker) == {builders.VM: ("INSTANCE", {builders.NODE: SMALL, H2: BIG})}


def test_during_a_resize_on_one_node_each_side_has_its_consumer(worker: builders.Worker) -> None:
    worker.tell(_move(dest=builders.pair("h1")))

    assert _heard(worker) == {
        builders.VM: ("INSTANCE", {builders.NODE: BIG}),
        builders.MIGRATION: ("MIGRATION", {builders.NODE: SMALL}),
    }


def test_at_the_end_of_a_move_the_migration_holds_nothing(worker: builders.Worker) -> None:
    worker.tell(_move())
    worker.forget_events()

    worker.tell(_move("reverted", 2))

    assert _heard(worker) == {
        builders.VM: ("INSTANCE", {builders.NODE: SMALL}),
        builders.MIGRATION: ("MIGRATION", {}),
    }


def test_a_deleted_instance_is_announced_as_holding_nothing_and_by_whom_it_was_owned(worker: builders.Worker) -> None:
    worker.tell(commands.DeleteInstance(builders.VM, 2))

    (event,) = worker.events(events.AllocationChanged)
    assert (event.allocations, event.host) == ({}, "h1")
    assert (event.project_id, event.user_id, event.consumer_generation) == ("p1", "u1", 2)
    assert [cause.method for cause in event.causes] == ["delete_instance"]


def test_what_changes_only_which_side_is_settled_is_told_of_the_providers(worker: builders.Worker) -> None:
    worker.tell(_move())
    worker.forget_events()

    worker.tell(commands.UpdateInstance(builders.an_instance(revision=2, host="h2")))

    assert _heard(worker) == {}
    changes = worker.events(events.ProviderChanged)
    assert {event.node.uuid: (event.delta, event.view.settled) for event in changes} == {
        builders.NODE: ({}, {}),
        H2: ({}, BIG),
    }


def test_what_changes_nothing_is_not_announced(worker: builders.Worker) -> None:
    worker.tell(commands.UpdateInstance(builders.an_instance(revision=2, task_state="rebooting")))

    assert worker.store.events == []


def test_what_cancels_out_within_a_transaction_is_not_announced(worker: builders.Worker) -> None:
    worker.store.entries = []

    worker.tell(
        commands.UpdateInstance(builders.an_instance(builders.uid(2))), commands.DeleteInstance(builders.uid(2), 2)
    )

    assert worker.store.events == []
    assert [entry.amounts["VCPU"] for entry in worker.store.entries] == [1, -1]


def test_a_notification_names_every_message_that_caused_it(worker: builders.Worker) -> None:
    record = builders.an_instance(revision=2, resources={"CUSTOM_PMEM": 1})

    worker.tell(_move(), commands.UpdateInstance(record), _move("confirmed", 2))

    causes = {event.consumer_uuid: event.causes for event in worker.events(events.AllocationChanged)}
    assert list(causes) == [builders.VM]
    assert [cause.method for cause in causes[builders.VM]] == [
        "update_migration", "update_instance", "update_migration"
    ]  # fmt: skip


def test_ledger_entries_say_who_changed_what_on_which_node(worker: builders.Worker) -> None:
    worker.store.entries = []

    worker.tell(_move())

    entries = [
        (entry.kind, entry.account, entry.node_uuid, entry.instance_uuid, entry.amounts, entry.settled)
        for entry in worker.store.entries
    ]
    assert entries == [("holding", builders.account_of("h2"), H2, builders.VM, BIG, {})]
    assert worker.store.entries[0].cause.method == "update_migration"


def test_a_deletion_of_an_unknown_instance_leaves_a_tombstone_and_tells_nobody() -> None:
    worker = builders.Worker()
    worker.tell(commands.DeleteInstance(builders.VM, 1))

    assert worker.store.events == []
    assert worker.store.books[builders.VM] == records.Book(
        builders.VM, revision=1, deleted=True, saved_at=builders.NOW, generation=1
    )


def test_the_consumers_of_an_instance_are_told_with_nothing_where_they_hold_nothing(worker: builders.Worker) -> None:
    worker.tell(_move())
    worker.tell(commands.UpdateInstance(builders.an_instance(revision=9, host=None)))
    books = world.World(builders.NOW, claims.Policy())
    books.add(books=worker.store.books.values(), accounts=worker.store.accounts.values())

    told = announce.consumers_of(books, builders.VM)

    assert [(one.consumer_uuid, one.consumer_type, dict(one.allocations), one.host) for one in told] == [
        (builders.VM, "INSTANCE", {}, ""),
        (builders.MIGRATION, "MIGRATION", {}, ""),
    ]


def test_who_holds_something_on_other_nodes_only_is_not_told_of(worker: builders.Worker) -> None:
    books = world.World(builders.NOW, claims.Policy())
    books.add(
        books=worker.store.books.values(), accounts=worker.store.accounts.values(), nodes=worker.store.nodes.values()
    )

    here = announce.standing(books, {builders.account_of("h1")})
    there = announce.standing(books, {builders.account_of("h2")})

    assert [one.consumer_uuid for one in here] == [builders.VM]
    assert there == ()
