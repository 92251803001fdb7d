"""The recount of one node: what it finds, and what it takes off."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests import builders
from tests.unit.core import histories
from worker.core import commands, events, holdings, records

SMALL = builders.SMALL
LATER = builders.NOW + 10 * builders.MINUTE


def _worker(**changes: Any) -> builders.Worker:
    """Return a worker that knows h1."""
    worker = builders.Worker(**changes)
    worker.tell(builders.a_report())
    return worker


def _audit(*listed: records.Instance, full: bool = True, **changes: Any) -> commands.AuditNode:
    values: dict[str, Any] = {"node_uuid": builders.NODE, "taken_at": LATER}
    return commands.AuditNode(instances=listed if full else None, **values | changes)


def _kinds(worker: builders.Worker) -> list[str]:
    return [event.kind for event in worker.events(events.Found)]


def test_an_audit_that_agrees_finds_nothing() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    worker.forget_events()

    outcome = worker.tell(_audit(builders.an_instance()))

    assert (outcome.outcome, outcome.node_uuid, outcome.detail) == ("applied", builders.NODE, {"findings": []})
    assert worker.store.events == []
    assert worker.store.nodes[builders.NODE].audited_at == LATER


def test_a_newer_snapshot_is_applied() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))

    worker.tell(_audit(builders.an_instance(revision=2, flavor=builders.a_big_flavor())))

    assert worker.used() == builders.BIG
    assert _kinds(worker) == []


def test_an_unknown_instance_is_adopted_and_found() -> None:
    worker = _worker()

    outcome = worker.tell(_audit(builders.an_instance()))

    (found,) = worker.events(events.Found)
    assert worker.used() == SMALL
    assert (found.kind, found.instance_uuid, found.host) == ("unknown_instance", builders.VM, "h1")
    assert found.text == f"instance {builders.VM} was not on record; it is adopted from the audit's snapshot"
    assert outcome.outcome == "applied"


def test_a_snapshot_of_a_deleted_instance_brings_nothing_back() -> None:
    worker = _worker()
    worker.tell(commands.DeleteInstance(builders.VM, 1))

    worker.tell(_audit(builders.an_instance(revision=9)))

    assert worker.used() == {}
    assert _kinds(worker) == []


def test_a_missing_instance_is_found_and_stays() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))

    outcome = worker.tell(_audit())

    text = f"instance {builders.VM} is on record at h1/h1 but not in the audit's list; it stays counted"
    assert outcome.detail == {"findings": [text]}
    assert worker.used() == SMALL


def test_an_authoritative_audit_takes_a_missing_instance_off_the_node() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance(revision=3)))

    outcome = worker.tell(_audit(authoritative=True))

    text = f"instance {builders.VM} is on record at h1/h1 but not in the audit's list; it is taken off the node"
    book = worker.store.books[builders.VM]
    assert outcome.detail == {"findings": [text]}
    assert worker.used() == worker.counters() == {}
    assert (book.record, book.revision) == (builders.an_instance(revision=3, host=None), 3)


@pytest.mark.parametrize(("revision", "held"), [(3, {}), (4, SMALL)])
def test_a_later_revision_brings_an_instance_back_that_was_taken_off(revision: int, held: dict[str, int]) -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance(revision=3)))
    worker.tell(_audit(authoritative=True))

    worker.tell(commands.UpdateInstance(builders.an_instance(revision=revision)))

    assert worker.used() == held


def test_an_audit_without_a_list_misses_nobody() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))

    worker.tell(_audit(full=False, authoritative=True))

    assert worker.used() == SMALL
    assert _kinds(worker) == []


@pytest.mark.parametrize(("late", "found"), [(-1, 0), (0, 1), (1, 1)])
def test_what_was_committed_within_the_grace_is_exempt(late: int, found: int) -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))

    worker.tell(_audit(taken_at=builders.NOW + builders.MINUTE + late))

    assert len(_kinds(worker)) == found


def test_an_instance_in_move_to_the_node_is_not_missing_there() -> None:
    worker = _worker()
    move = builders.a_move(source=builders.pair("h2"), dest=builders.pair("h1"))
    worker.tell(commands.UpdateMigration(move, builders.an_instance(host="h2")))

    worker.tell(_audit(authoritative=True))

    assert worker.used("h1") == builders.BIG
    assert _kinds(worker) == []


def test_an_instance_in_move_away_is_missing_where_its_record_is() -> None:
    worker = _worker()
    worker.tell(commands.UpdateMigration(builders.a_move(), builders.an_instance()))

    worker.tell(_audit(authoritative=True))

    assert _kinds(worker) == ["missing_instance"]
    assert (worker.used("h1"), worker.used("h2")) == ({}, {})


@pytest.mark.parametrize("taken_at", [LATER - 1, LATER])
def test_an_audit_not_newer_than_the_last_one_only_applies_snapshots(taken_at: int) -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    worker.tell(_audit(builders.an_instance()))

    other = builders.an_instance(builders.uid(2))
    outcome = worker.tell(_audit(other, taken_at=taken_at, authoritative=True))

    assert outcome.outcome == "applied"
    assert worker.used()["VCPU"] == 2
    assert _kinds(worker) == []
    assert outcome.reason == "a newer audit of this node is on record: only the snapshots were applied"
    assert worker.store.nodes[builders.NODE].audited_at == LATER


def test_a_senders_clock_far_ahead_keeps_later_audits_out_for_an_hour_at_most() -> None:
    worker = _worker()

    worker.tell(_audit(taken_at=builders.NOW * 100))

    assert worker.store.nodes[builders.NODE].audited_at == builders.NOW + 60 * builders.MINUTE


def test_an_audit_of_an_unknown_node_only_applies_snapshots() -> None:
    worker = builders.Worker()

    outcome = worker.tell(_audit(builders.an_instance()))

    assert (outcome.outcome, outcome.node_uuid, outcome.sequence) == ("applied", builders.NODE, None)
    assert worker.used() == SMALL


@pytest.mark.parametrize(("late", "kinds"), [(0, []), (1, ["overdue_move"])])
def test_a_move_longer_than_the_deadline_is_found(late: int, kinds: list[str]) -> None:
    worker = _worker(migration_deadline=5 * builders.MINUTE)
    worker.tell(commands.UpdateMigration(builders.a_move(), builders.an_instance()))
    worker.now = builders.NOW + 4 * builders.MINUTE + late

    worker.tell(_audit(builders.an_instance()))

    assert _kinds(worker) == kinds
    assert worker.used("h2") == builders.BIG


def test_an_overdue_move_is_named() -> None:
    worker = _worker(migration_deadline=0)
    worker.tell(commands.UpdateMigration(builders.a_move(), builders.an_instance()))

    worker.tell(_audit(builders.an_instance()))

    (found,) = worker.events(events.Found)
    assert (found.instance_uuid, found.migration_uuid) == (builders.VM, builders.MIGRATION)
    assert found.text == (
        f"migration {builders.MIGRATION} of instance {builders.VM} is migrating for longer than the deadline"
    )


def test_a_move_in_progress_that_a_newer_one_put_out_of_force_is_found() -> None:
    worker = _worker()
    older = builders.a_move(builders.uid(901), created_at=1)
    worker.tell(commands.UpdateMigration(older, builders.an_instance()))
    worker.tell(commands.UpdateMigration(builders.a_move(status="confirmed")))

    worker.tell(_audit(builders.an_instance()))

    (found,) = worker.events(events.Found)
    assert (found.kind, found.migration_uuid) == ("superseded_move", builders.uid(901))
    assert found.text == (
        f"migration {builders.uid(901)} of instance {builders.VM} is migrating but a newer one decides; it holds nothing"
    )


def test_rivals_and_leftovers_are_found_at_each_audit() -> None:
    worker = _worker()
    worker.tell(builders.a_report(builders.a_node(builders.uid(501), 1)))
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    worker.forget_events()
    worker.tell(_audit(builders.an_instance()))
    assert _kinds(worker) == ["duplicate_report"]
    worker.tell(commands.RemoveNode(builders.uid(501), 2), commands.RemoveNode(builders.NODE, 2))
    worker.forget_events()

    worker.tell(_audit(builders.an_instance(), node_uuid=builders.uid(501)))

    assert _kinds(worker) == ["removed_node_in_use"]


def test_figures_that_differ_from_the_sum_of_the_holdings_are_set_to_it() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    key = builders.account_of("h1")
    wrong = {"VCPU": 4, "MEMORY_MB": 512, "DISK_GB": 10}
    worker.store.accounts[key] = msgspec.structs.replace(worker.store.accounts[key], used=wrong, counters={})

    worker.tell(_audit(builders.an_instance()))

    (found,) = worker.events(events.Found)
    assert (found.kind, found.node_uuid) == ("recount_differs", builders.NODE)
    assert found.text == "h1/h1: the figures differ from the sum of the holdings by {'VCPU': -3}; set to the sum"
    assert worker.used() == worker.settled() == SMALL
    assert worker.counters()["num_instances"] == 1
    assert worker.store.entries[-1].kind == "recount"
    assert worker.store.entries[-1].amounts == {"VCPU": -3}
    histories.check_sums(worker.store)


def test_only_the_instances_of_the_node_are_counted_in_its_recount() -> None:
    worker = _worker()
    move = builders.a_move(source=builders.pair("h2"), dest=builders.pair("h1"))
    worker.tell(commands.UpdateMigration(move, builders.an_instance(host="h2")))

    worker.tell(_audit())

    assert worker.counters("h1") == {}
    assert _kinds(worker) == []


def test_an_audit_in_the_batch_of_its_nodes_first_report_sees_it() -> None:
    worker = builders.Worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))

    worker.tell(builders.a_report(), _audit(authoritative=True))

    assert _kinds(worker) == ["missing_instance"]
    assert worker.used() == {}


def test_a_finding_without_a_speaker_names_no_node() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    seen = histories.loaded(worker.store)

    assert seen.residents(builders.account_of("h1")) == (worker.store.books[builders.VM],)
    assert holdings.deciding_move(worker.store.books[builders.VM]) is None


def test_a_move_that_takes_too_long_is_found_where_the_instance_is_even_if_it_holds_nothing() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance()))
    elsewhere = builders.a_move(source=builders.pair("h7"), dest=builders.pair("h8"), created_at=1)
    worker.tell(commands.UpdateMigration(elsewhere))

    worker.tell(_audit(builders.an_instance()))

    assert _kinds(worker) == ["overdue_move"]
