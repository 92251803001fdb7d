"""Which claims are admitted, and what a refusal says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests import builders
from worker.core import claims, commands, events, records

SMALL, BIG = builders.SMALL, builders.BIG
REQUESTED = f"PCI devices 8086:* (request {builders.uid(800)})"


def _claim(uuid: str = builders.VM, **changes: Any) -> commands.ClaimInstance:
    return commands.ClaimInstance(builders.an_instance(uuid, **changes))


def _worker(policy: str = claims.ALL, **changes: Any) -> builders.Worker:
    """Return a worker that knows h1 and h2; the changes are those of h1."""
    worker = builders.Worker(policy)
    worker.tell(builders.a_report(builders.a_node(**changes)))
    worker.tell(builders.a_report(builders.a_node(builders.uid(502), host="h2")))
    worker.forget_events()
    return worker


def test_a_claim_that_fits_is_accepted_and_held() -> None:
    worker = _worker()

    outcome = worker.tell(_claim())

    assert outcome.outcome == events.ACCEPTED
    assert outcome.node_uuid == builders.NODE
    assert outcome.sequence == 2
    assert outcome.reason is None
    assert outcome.detail == {"allocations": {builders.NODE: SMALL}, "pci_devices": [], "numa_topology": None}
    assert worker.used() == worker.settled() == SMALL


def test_a_refused_claim_names_every_class_that_lacks() -> None:
    worker = _worker()
    flavor = builders.a_flavor(vcpus=9, memory_mb=20000, root_gb=101, extra_specs={"resources:CUSTOM_GOLD": "1"})

    outcome = worker.tell(_claim(flavor=flavor))

    assert outcome.outcome == events.REFUSED
    assert outcome.reason == (
        "CUSTOM_GOLD: asked 1, available 0 (the node has none); "
        "DISK_GB: asked 101, available 100 (capacity 100, used 0); "
        "MEMORY_MB: asked 20000, available 16384 (capacity 16384, used 0); "
        "VCPU: asked 9, available 8 (capacity 8, used 0)"
    )
    assert outcome.detail == {}


def test_a_refused_claim_leaves_no_record_of_the_instance() -> None:
    worker = _worker()

    worker.tell(_claim(flavor=builders.a_flavor(vcpus=9)))

    assert worker.store.books == {}
    assert worker.used() == {}
    assert len(worker.store.events) == 1
    assert [event.accepted for event in worker.events(events.ClaimDecided)] == [False]


def test_claims_take_what_is_left_and_no_more() -> None:
    worker = _worker()
    flavor = builders.a_flavor(vcpus=4)

    outcomes = [worker.tell(_claim(builders.uid(number), flavor=flavor)).outcome for number in range(3)]

    assert outcomes == [events.ACCEPTED, events.ACCEPTED, events.REFUSED]
    assert worker.used()["VCPU"] == 8


def test_a_claim_sees_the_effects_of_those_before_it_in_the_same_batch() -> None:
    worker = _worker()
    orders = [_claim(builders.uid(number), flavor=builders.a_flavor(vcpus=5)) for number in range(2)]

    outcomes = worker.handle([builders.a_task(order, worker.next_id()) for order in orders])

    assert [one.outcome for one in outcomes] == [events.ACCEPTED, events.REFUSED]


@pytest.mark.parametrize(
    ("ratio", "reserved", "fits"), [(1.0, 0, 8), (4.0, 0, 32), (None, 0, 32), (1.5, 1, 10), (1.0, 8, 0), (1.0, 9, 0)]
)
def test_capacity_is_what_is_not_reserved_times_the_ratio(ratio: float | None, reserved: int, fits: int) -> None:
    worker = _worker(cpu_allocation_ratio=ratio, reserved_host_cpus=reserved)

    flavor = builders.a_flavor(memory_mb=1, root_gb=0)
    outcomes = [worker.tell(_claim(builders.uid(number), flavor=flavor)).outcome for number in range(fits + 1)]

    assert outcomes == [events.ACCEPTED] * fits + [events.REFUSED]


@pytest.mark.parametrize(
    ("inventory", "asked", "reason"),
    [
        (records.Inventory(100, min_unit=4), 2, "min_unit is 4"),
        (records.Inventory(100, max_unit=4), 5, "max_unit is 4"),
        (records.Inventory(100, step_size=4), 6, "step_size is 4"),
        (records.Inventory(100, step_size=4), 8, None),
    ],
)
def test_a_claim_respects_units_and_steps(inventory: records.Inventory, asked: int, reason: str | None) -> None:
    worker = _worker(inventories={"CUSTOM_GOLD": inventory})

    outcome = worker.tell(_claim(resources={"CUSTOM_GOLD": asked}))

    assert outcome.reason == (reason and f"CUSTOM_GOLD: asked {asked}, {reason}")


def test_one_instance_cannot_be_larger_than_the_node_whatever_the_ratio() -> None:
    worker = _worker(cpu_allocation_ratio=16.0)

    outcome = worker.tell(_claim(flavor=builders.a_flavor(vcpus=9)))

    assert outcome.reason == "VCPU: asked 9, max_unit is 8"


def test_capacity_is_rounded_down() -> None:
    assert records.Inventory(5, 0, allocation_ratio=1.5).capacity == math.floor(7.5)


@pytest.mark.parametrize("removed", [False, True])
def test_a_claim_on_a_node_that_is_not_reported_is_refused(removed: bool) -> None:
    worker = builders.Worker()
    if removed:
        worker.tell(builders.a_report())
        worker.tell(commands.RemoveNode(builders.NODE, 2))

    outcome = worker.tell(_claim())

    assert outcome.outcome == events.REFUSED
    assert outcome.reason == "node h1/h1 is not reported"
    assert outcome.node_uuid == (builders.NODE if removed else builders.account_of("h1"))


def test_a_claim_without_a_destination_is_refused() -> None:
    outcome = _worker().tell(_claim(host=None))

    assert outcome.reason == "the claim names no destination"
    assert outcome.node_uuid is None


@pytest.mark.parametrize("state", ["deleted", "shelved_offloaded"])
@pytest.mark.parametrize("known", [False, True])
def test_a_claim_that_would_hold_nothing_is_refused(state: str, known: bool) -> None:
    worker = _worker()
    if known:
        worker.tell(commands.UpdateInstance(builders.an_instance(host="h2")))

    outcome = worker.tell(_claim(vm_state=state, revision=2))

    assert outcome.outcome == events.REFUSED
    assert outcome.reason == f"instance {builders.VM} holds nothing in the vm_state and task_state of its claim"


def test_an_unshelved_instance_is_claimed_while_it_spawns() -> None:
    worker = _worker()
    worker.tell(commands.UpdateInstance(builders.an_instance(vm_state="shelved_offloaded", host=None)))

    outcome = worker.tell(_claim(revision=2, host="h2", vm_state="shelved_offloaded", task_state="spawning"))

    assert outcome.outcome == events.ACCEPTED
    assert worker.used("h2") == SMALL


def test_what_the_instance_holds_there_already_is_not_in_its_way() -> None:
    worker = _worker()
    worker.tell(_claim(flavor=builders.a_flavor(vcpus=8)))

    outcome = worker.tell(_claim(flavor=builders.a_flavor(vcpus=7), revision=2))

    assert outcome.outcome == events.ACCEPTED
    assert worker.used()["VCPU"] == 7


@pytest.mark.parametrize(
    ("policy", "flavor_fits", "named_fits", "accepted"),
    [
        (claims.ALL, True, True, True),
        (claims.ALL, False, True, False),
        (claims.ALL, True, False, False),
        (claims.LOCAL, False, True, True),
        (claims.LOCAL, True, False, False),
        (claims.NONE, False, False, True),
    ],
)
def test_the_policy_says_what_is_tested(policy: str, flavor_fits: bool, named_fits: bool, accepted: bool) -> None:
    worker = _worker(policy, inventories={"CUSTOM_PMEM": records.Inventory(2)})
    flavor = builders.a_flavor(vcpus=1 if flavor_fits else 100)

    outcome = worker.tell(_claim(flavor=flavor, resources={"CUSTOM_PMEM": 2 if named_fits else 3}))

    assert outcome.outcome == (events.ACCEPTED if accepted else events.REFUSED)


def test_a_class_whose_amounts_cancel_out_is_not_tested() -> None:
    assert claims.tested(claims.Policy(claims.LOCAL), {"VCPU": 1}, {"CUSTOM_PMEM": 0}) == {}


def test_nothing_is_tested_under_the_policy_none() -> None:
    assert claims.tested(claims.Policy(claims.NONE), {"VCPU": 1}, {"VCPU": 1}) == {}


@pytest.mark.parametrize("host", ["h1", None])
def test_under_the_policy_none_every_claim_is_accepted(host: str | None) -> None:
    worker = builders.Worker(claims.NONE)

    outcome = worker.tell(_claim(host=host))

    assert outcome.outcome == events.ACCEPTED
    assert outcome.node_uuid == (builders.account_of("h1") if host else None)
    assert worker.used() == (SMALL if host else {})


@pytest.mark.parametrize("count", [0, 1])
def test_devices_that_the_node_has_not_cannot_be_claimed(count: int) -> None:
    outcome = _worker().tell(_claim(pci_requests=(builders.a_request(count),)))

    assert outcome.outcome == (events.REFUSED if count else events.ACCEPTED)
    assert outcome.reason == (f"{REQUESTED}: asked 1, available 0" if count else None)


def test_a_claim_is_announced_with_what_was_asked_and_given() -> None:
    worker = _worker()

    worker.tell(_claim())

    (event,) = worker.events(events.ClaimDecided)
    assert (event.accepted, event.instance_uuid, event.migration_uuid) == (True, builders.VM, None)
    assert (event.node_uuid, event.host, event.method) == (builders.NODE, "h1", "claim_instance")
    assert event.requested == SMALL
    assert event.allocations == {builders.NODE: SMALL}


def _move_claim(instance: records.Instance | None = None, **changes: Any) -> commands.ClaimMigration:
    return commands.ClaimMigration(builders.a_move(**changes), instance or builders.an_instance())


def test_an_admitted_move_holds_its_destination_as_well() -> None:
    worker = _worker()
    worker.tell(_claim())

    outcome = worker.tell(_move_claim())

    assert outcome.outcome == events.ACCEPTED
    assert outcome.node_uuid == builders.uid(502)
    assert outcome.detail["allocations"] == {builders.NODE: SMALL, builders.uid(502): BIG}
    assert (worker.used("h1"), worker.used("h2")) == (SMALL, BIG)
    assert (worker.settled("h1"), worker.settled("h2")) == (SMALL, {})


def test_a_refused_move_is_unknown_but_its_instance_is_a_fact() -> None:
    worker = _worker()

    outcome = worker.tell(_move_claim(new_flavor=builders.a_flavor(vcpus=9)))

    assert outcome.outcome == events.REFUSED
    assert outcome.reason == "VCPU: asked 9, available 8 (capacity 8, used 0)"
    assert worker.store.books[builders.VM].moves == ()
    assert (worker.used("h1"), worker.used("h2")) == (SMALL, {})
    (event,) = worker.events(events.ClaimDecided)
    assert (event.migration_uuid, event.requested["VCPU"]) == (builders.MIGRATION, 9)


def test_a_resize_on_one_node_needs_room_for_both_sides() -> None:
    worker = _worker()
    flavor = builders.a_flavor(vcpus=4)
    worker.tell(_claim(flavor=flavor))
    here = builders.pair("h1")

    tight = worker.tell(_move_claim(builders.an_instance(flavor=flavor), dest=here, old_flavor=flavor,
                                    new_flavor=builders.a_big_flavor(vcpus=5)))  # fmt: skip
    fits = worker.tell(_move_claim(builders.an_instance(flavor=flavor), dest=here, old_flavor=flavor,
                                   new_flavor=builders.a_big_flavor(vcpus=4)))  # fmt: skip

    assert tight.reason == "VCPU: asked 5, available 4 (capacity 8, used 4)"
    assert fits.outcome == events.ACCEPTED
    assert worker.used()["VCPU"] == 8
    assert worker.settled()["VCPU"] == 4


def test_a_full_source_does_not_hinder_a_move_away() -> None:
    worker = _worker(vcpus=1)
    worker.tell(commands.UpdateInstance(builders.an_instance(flavor=builders.a_flavor(vcpus=4))))

    outcome = worker.tell(_move_claim(builders.an_instance(revision=1)))

    assert outcome.outcome == events.ACCEPTED


def test_a_move_without_a_destination_is_refused() -> None:
    assert _worker().tell(_move_claim(dest=None)).reason == "the claim names no destination"


@pytest.mark.parametrize(("host", "place"), [("h3", "h3/h3"), (None, "no node")])
def test_a_move_of_an_instance_that_is_elsewhere_is_refused(host: str | None, place: str) -> None:
    outcome = _worker().tell(_move_claim(builders.an_instance(host=host)))

    assert outcome.reason == f"the move does not count: the instance is on {place}, or a newer move of it is known"


def test_a_move_older_than_a_known_one_is_refused() -> None:
    worker = _worker()
    worker.tell(commands.UpdateMigration(builders.a_move(builders.uid(901)), builders.an_instance()))

    outcome = worker.tell(_move_claim(created_at=1))

    assert outcome.outcome == events.REFUSED
    assert [move.uuid for move in worker.store.books[builders.VM].moves] == [builders.uid(901)]


def test_a_move_that_asks_for_devices_that_are_not_there_is_refused() -> None:
    outcome = _worker().tell(_move_claim(new_pci_requests=(builders.a_request(2),)))

    assert outcome.reason == f"{REQUESTED}: asked 2, available 0"


@pytest.mark.parametrize(
    ("known", "count", "reason"),
    [
        (True, 3, f"{REQUESTED}: asked 3, available 0"),
        (True, 0, "no device is asked for"),
        (False, 3, f"instance {builders.VM} is on no node"),
        (False, 0, f"no device is asked for; instance {builders.VM} is on no node"),
    ],
)
def test_devices_that_are_not_there_cannot_be_attached(known: bool, count: int, reason: str) -> None:
    worker = _worker()
    if known:
        worker.tell(_claim())
    worker.forget_events()

    outcome = worker.tell(commands.AttachDevices(builders.VM, (builders.a_request(count),), 1))

    assert (outcome.outcome, outcome.reason) == (events.REFUSED, reason)
    assert outcome.node_uuid == (builders.NODE if known else None)
    assert [event.host for event in worker.events(events.ClaimDecided)] == ["h1" if known else ""]


def test_devices_of_a_deleted_instance_are_stale() -> None:
    worker = _worker()
    worker.tell(commands.DeleteInstance(builders.VM, 1))

    outcome = worker.tell(commands.AttachDevices(builders.VM, (builders.a_request(),), 1))

    assert outcome.outcome == events.STALE
