"""Facts about instances and their moves: any order, any number of times."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from tests import builders
from worker.core import commands, records

SMALL, BIG = builders.SMALL, builders.BIG


def _update(revision: int = 1, host: str | None = "h1", vm_state: str = "active") -> commands.UpdateInstance:
    return commands.UpdateInstance(builders.an_instance(revision=revision, host=host, vm_state=vm_state))


def _move(status: str = "migrating", revision: int = 1, host: str | None = None) -> commands.UpdateMigration:
    """Return a move's status, with the instance on ``host`` in the same revision unless it is None."""
    record = builders.an_instance(revision=revision, host=host) if host is not None else None
    return commands.UpdateMigration(builders.a_move(status=status, revision=revision), record)


def _outcomes(worker: builders.Worker, *orders: commands.Command) -> list[str]:
    return [worker.tell(order).outcome for order in orders]


def _ordered(first: bool, one: commands.Command, other: commands.Command) -> list[commands.Command]:
    return [one, other] if first else [other, one]


def test_an_unknown_instance_is_adopted() -> None:
    worker = builders.Worker()

    outcome = worker.tell(_update())

    assert (outcome.outcome, outcome.node_uuid, outcome.sequence) == ("applied", builders.account_of("h1"), None)
    assert worker.used() == SMALL


@pytest.mark.parametrize(("second", "outcome"), [(0, "stale"), (1, "stale"), (2, "applied")])
def test_only_a_greater_revision_is_news(second: int, outcome: str) -> None:
    worker = builders.Worker()

    outcomes = _outcomes(worker, _update(1, "h1"), _update(second, "h2"))

    assert outcomes == ["applied", outcome]
    assert worker.used("h2") == (SMALL if outcome == "applied" else {})


def test_a_fact_is_not_tested_against_capacity() -> None:
    worker = builders.Worker()
    worker.tell(builders.a_report(vcpus=1))

    worker.tell(commands.UpdateInstance(builders.an_instance(flavor=builders.a_flavor(vcpus=100))))

    assert worker.used()["VCPU"] == 100


def test_a_move_by_the_record_alone_takes_everything_along() -> None:
    worker = builders.Worker()

    worker.tell(_update(1, "h1"))
    worker.tell(_update(2, "h2"))

    assert (worker.used("h1"), worker.used("h2")) == ({}, SMALL)
    assert (worker.counters("h1"), worker.counters("h2")["num_instances"]) == ({}, 1)


@pytest.mark.parametrize("deletion", [commands.DeleteInstance(builders.VM, 0), _update(0, vm_state="deleted")])
@pytest.mark.parametrize("first", [True, False])
def test_a_deletion_beats_every_other_revision(deletion: commands.Command, first: bool) -> None:
    worker = builders.Worker()
    orders = [deletion, _update(5)] if first else [_update(5), deletion]

    outcomes = _outcomes(worker, *orders)

    assert outcomes == (["applied", "stale"] if first else ["applied", "applied"])
    assert worker.store.books[builders.VM].deleted
    assert worker.used() == {}


def test_a_deletion_gives_back_on_every_node_and_names_the_one_it_was_on() -> None:
    worker = builders.Worker()
    worker.tell(_move("migrating", 1, "h1"))

    outcome = worker.tell(commands.DeleteInstance(builders.VM, 2))

    assert (outcome.outcome, outcome.node_uuid) == ("applied", builders.account_of("h1"))
    assert (worker.used("h1"), worker.used("h2")) == ({}, {})


@pytest.mark.parametrize(
    "late",
    [
        commands.DeleteInstance(builders.VM, 9),
        commands.ClaimInstance(builders.an_instance(revision=9)),
        commands.ClaimMigration(builders.a_move(), builders.an_instance(revision=9)),
        _update(9),
        _update(9, vm_state="deleted"),
        _move("running", 9, "h1"),
        commands.AbortClaim(builders.VM, 9),
        commands.AbortClaim(builders.VM, 9, builders.MIGRATION),
    ],
    ids=lambda order: type(order).__name__,
)
def test_what_comes_late_for_a_deleted_instance_is_stale(late: commands.Command) -> None:
    worker = builders.Worker()
    worker.tell(builders.a_report())
    worker.tell(commands.DeleteInstance(builders.VM, 1))

    assert _outcomes(worker, late) == ["stale"]
    assert worker.used() == {}


def test_a_late_claim_of_a_known_instance_is_stale() -> None:
    worker = builders.Worker()
    worker.tell(builders.a_report())

    outcomes = _outcomes(worker, _update(2), commands.ClaimInstance(builders.an_instance(revision=2)))

    assert outcomes == ["applied", "stale"]


@pytest.mark.parametrize("claimed", [True, False])
def test_an_aborted_build_holds_nothing_whether_its_claim_came_or_not(claimed: bool) -> None:
    worker = builders.Worker()
    worker.tell(builders.a_report())
    claim = commands.ClaimInstance(builders.an_instance(revision=1))
    abort = commands.AbortClaim(builders.VM, 2)

    outcomes = _outcomes(worker, *_ordered(claimed, claim, abort))

    assert outcomes == (["accepted", "applied"] if claimed else ["applied", "stale"])
    assert worker.used() == {}


def test_an_aborted_build_may_be_built_again() -> None:
    worker = builders.Worker()

    outcomes = _outcomes(worker, _update(1), commands.AbortClaim(builders.VM, 2), _update(3, "h2"))

    assert outcomes == ["applied"] * 3
    assert worker.used("h2") == SMALL


@pytest.mark.parametrize("revision", [1, 2])
def test_an_abort_that_is_not_newer_is_stale(revision: int) -> None:
    worker = builders.Worker()

    assert _outcomes(worker, _update(2), commands.AbortClaim(builders.VM, revision)) == ["applied", "stale"]
    assert worker.used() == SMALL


@pytest.mark.parametrize("claimed", [True, False])
def test_an_aborted_move_holds_nothing_whether_its_claim_came_or_not(claimed: bool) -> None:
    worker = builders.Worker()
    worker.tell(builders.a_report(host="h2"))
    worker.tell(_update(1))
    claim = commands.ClaimMigration(builders.a_move(revision=1), builders.an_instance(revision=1))
    abort = commands.AbortClaim(builders.VM, 2, builders.MIGRATION)

    outcomes = _outcomes(worker, *_ordered(claimed, claim, abort))

    assert outcomes == (["accepted", "applied"] if claimed else ["applied", "stale"])
    assert (worker.used("h1"), worker.used("h2")) == (SMALL, {})
    assert [move.status for move in worker.store.books[builders.VM].moves] == ["error"]


def test_an_abort_of_a_move_leaves_the_instances_record_alone() -> None:
    worker = builders.Worker()
    worker.tell(_move("migrating", 1, "h1"))

    worker.tell(commands.AbortClaim(builders.VM, 7, builders.MIGRATION))

    assert worker.store.books[builders.VM].revision == 1
    assert worker.used("h1") == SMALL


@pytest.mark.parametrize(("revision", "outcome"), [(1, "stale"), (2, "stale"), (3, "applied")])
def test_an_abort_of_an_ended_move_needs_a_greater_revision(revision: int, outcome: str) -> None:
    worker = builders.Worker()
    worker.tell(_move("confirmed", 2))

    assert _outcomes(worker, commands.AbortClaim(builders.VM, revision, builders.MIGRATION)) == [outcome]


def test_an_aborted_move_lets_an_older_one_decide_again() -> None:
    worker = builders.Worker()
    older = builders.a_move(builders.uid(901), dest=builders.pair("h3"), created_at=1)
    worker.tell(_move("migrating", 1, "h1"))
    worker.tell(commands.UpdateMigration(older))
    assert worker.used("h3") == {}

    worker.tell(commands.AbortClaim(builders.VM, 2, builders.MIGRATION))

    assert (worker.used("h2"), worker.used("h3")) == ({}, BIG)


STEPS = (
    _move("migrating", 1, "h1"),
    _move("post-migrating", 2, "h1"),
    _move("finished", 3, "h2"),
    _move("confirmed", 4, "h2"),
)


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)), ids=lambda _: "order")
def test_the_steps_of_a_resize_end_alike_in_every_order(order: Sequence[commands.Command]) -> None:
    worker = builders.Worker()

    for step in order:
        worker.tell(step)

    assert (worker.used("h1"), worker.used("h2")) == ({}, SMALL)


def test_the_steps_of_a_resize_hold_what_the_contract_says() -> None:
    worker = builders.Worker()
    seen = []

    for step in STEPS:
        worker.tell(step)
        seen.append((worker.used("h1"), worker.settled("h1"), worker.used("h2"), worker.settled("h2")))

    assert seen == [
        (SMALL, SMALL, BIG, {}),
        (SMALL, SMALL, BIG, {}),
        (SMALL, {}, BIG, BIG),
        ({}, {}, SMALL, SMALL),
    ]


@pytest.mark.parametrize(
    ("move", "record", "outcome"), [(2, 2, "applied"), (2, 1, "applied"), (1, 2, "applied"), (1, 1, "stale")]
)
def test_of_a_move_and_its_instance_whichever_is_newer_is_applied(move: int, record: int, outcome: str) -> None:
    worker = builders.Worker()
    worker.tell(_move("migrating", 1, "h1"))

    told = worker.tell(
        commands.UpdateMigration(
            builders.a_move(status="running", revision=move), builders.an_instance(revision=record, host="h2")
        )
    )

    book = worker.store.books[builders.VM]
    assert told.outcome == outcome
    assert book.moves[0].status == ("running" if move == 2 else "migrating")
    assert book.record == builders.an_instance(revision=record, host="h2" if record == 2 else "h1")


def test_a_stale_claim_of_a_move_still_brings_a_newer_instance() -> None:
    worker = builders.Worker()
    worker.tell(_move("confirmed", 2, "h1"))

    outcome = worker.tell(commands.ClaimMigration(builders.a_move(), builders.an_instance(revision=3, host="h2")))

    assert (outcome.outcome, outcome.node_uuid) == ("stale", builders.account_of("h2"))
    assert worker.used("h2") == SMALL


def test_a_move_of_an_unknown_instance_is_kept_until_it_comes() -> None:
    worker = builders.Worker()

    worker.tell(_move("migrating", 1))
    assert worker.used("h2") == {}
    worker.tell(_update(1))

    assert (worker.used("h1"), worker.used("h2")) == (SMALL, BIG)


def test_a_move_may_end_with_the_instances_deletion() -> None:
    worker = builders.Worker()
    worker.tell(_move("migrating", 1, "h1"))

    deleted = builders.an_instance(revision=2, vm_state="deleted")
    worker.tell(commands.UpdateMigration(builders.a_move(status="error", revision=2), deleted))

    assert worker.store.books[builders.VM].deleted
    assert (worker.used("h1"), worker.used("h2")) == ({}, {})


def test_an_evacuation_gives_the_source_back_when_it_is_done() -> None:
    worker = builders.Worker()
    running = builders.a_move(migration_type="evacuation", status="accepted", old_flavor=None, new_flavor=None)
    worker.tell(commands.UpdateMigration(running, builders.an_instance()))
    assert (worker.used("h1"), worker.used("h2")) == (SMALL, SMALL)

    done = builders.a_move(migration_type="evacuation", status="done", revision=2)
    worker.tell(commands.UpdateMigration(done, builders.an_instance(revision=2, host="h2")))

    assert (worker.used("h1"), worker.used("h2")) == ({}, SMALL)


def test_an_instance_is_counted_once_where_its_record_says_it_is() -> None:
    worker = builders.Worker()

    worker.tell(_move("migrating", 1, "h1"))

    assert worker.counters("h2") == {}
    assert worker.counters("h1") == {
        "num_instances": 1,
        "num_vm_active": 1,
        "num_task_None": 1,
        "num_os_type_linux": 1,
        "num_proj_p1": 1,
    }


def test_counters_follow_the_states() -> None:
    worker = builders.Worker()
    worker.tell(_update(1))
    worker.tell(_update(1))
    other = builders.an_instance(builders.uid(2), vm_state="building", task_state="spawning", project_id=None)
    worker.tell(commands.UpdateInstance(other))

    changed = builders.an_instance(revision=2, vm_state="stopped", os_type=None)
    worker.tell(commands.UpdateInstance(changed))

    counters = worker.counters()
    assert counters["num_instances"] == 2
    assert {name for name in counters if name.startswith("num_vm")} == {"num_vm_stopped", "num_vm_building"}
    assert counters["num_os_type_None"] == counters["num_proj_None"] == counters["num_task_spawning"] == 1


@pytest.mark.parametrize("state", ["shelved_offloaded", "deleted"])
def test_a_released_instance_is_not_counted(state: str) -> None:
    worker = builders.Worker()
    worker.tell(_update(1))

    worker.tell(_update(2, vm_state=state))

    assert (worker.used(), worker.counters()) == ({}, {})


def test_a_pair_needs_both_names() -> None:
    assert builders.an_instance(host=None).pair is None
    assert str(builders.an_instance(host="h1", node="n1").pair) == "h1/n1"
    assert records.account_id("h1", "n1") != records.account_id("h1", "h1")
