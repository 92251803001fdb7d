"""Places of instances that stay where they are: claims, facts and audits."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from tests.unit.core import histories, numa_cases, place_cases
from worker.core import claims, commands, events, places, records

GPU0, GPU1 = place_cases.GPU0, place_cases.GPU1
DEDICATED = builders.a_flavor("d", vcpus=2, memory_mb=1024, root_gb=0, extra_specs={"hw:cpu_policy": "dedicated"})
TORN = builders.a_flavor("t", extra_specs={"hw:numa_nodes": "3"})


def test_a_claim_is_given_cpus_and_devices_near_each_other() -> None:
    worker = place_cases.a_worker()

    outcome = worker.tell(
        place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(numa_policy="required"),))
    )

    assert outcome.outcome == events.ACCEPTED
    assert place_cases.held(worker) == {"instance": ([GPU0], [0, 1], False)}
    assert [one["address"] for one in outcome.detail["pci_devices"]] == [GPU0]
    assert outcome.detail["numa_topology"]["cells"][0]["cpu_pinning"] == {"0": 0, "1": 1}
    assert place_cases.states(worker)[GPU0] == "allocated"
    place_cases.check_places(worker.store)


def test_what_a_claim_was_given_is_announced() -> None:
    worker = place_cases.a_worker()

    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(2),)))
    worker.tell(place_cases.claim(builders.uid(2), pci_requests=(place_cases.gpus(),)))

    accepted, refused = worker.events(events.ClaimDecided)
    assert [grant.address for grant in accepted.place.grants] == [GPU0, GPU1]
    assert refused.place is None


def test_a_second_claim_is_given_what_is_left() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(3), pci_requests=(place_cases.gpus(),)))

    worker.tell(
        place_cases.claim(
            builders.uid(2),
            numa_topology=place_cases.pinned(3),
            pci_requests=(place_cases.gpus(numa_policy="required"),),
        )
    )

    assert place_cases.held(worker, builders.uid(2)) == {"instance": ([GPU1], [4, 5, 6], False)}


def test_a_refusal_tells_every_reason_and_gives_nothing() -> None:
    worker = place_cases.a_worker()

    outcome = worker.tell(
        place_cases.claim(
            flavor=builders.a_flavor(vcpus=20),
            numa_topology=place_cases.pinned(5),
            pci_requests=(place_cases.gpus(3), place_cases.vfs(3, 701)),
        )
    )

    assert outcome.reason.startswith("VCPU: asked ")
    assert "NUMA cell 0: dedicated CPUs asked 5, available 4" in outcome.reason
    assert "NUMA cell 1: dedicated CPUs asked 5, available 4" in outcome.reason
    assert f"(request {builders.uid(700)}): asked 3, available 2" in outcome.reason
    assert f"(request {builders.uid(701)}): asked 3, available 2" in outcome.reason
    assert worker.store.books == {}
    assert set(place_cases.states(worker).values()) == {"available"}


def test_devices_out_of_reach_of_the_cells_are_the_reason_of_a_refusal() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(4)))

    outcome = worker.tell(
        place_cases.claim(
            builders.uid(2),
            numa_topology=place_cases.pinned(),
            pci_requests=(place_cases.gpus(2, numa_policy="required"),),
        )
    )

    assert outcome.outcome == events.REFUSED
    assert "no combination of NUMA cells that fits has the affinity asked for" in outcome.reason


def test_devices_that_lack_anywhere_are_the_only_reason_where_the_cells_fit() -> None:
    outcome = place_cases.a_worker().tell(
        place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(3),))
    )

    assert outcome.reason == f"PCI devices 10de:1db6 (request {builders.uid(700)}): asked 3, available 2"


@pytest.mark.parametrize(
    ("limits", "accepted"),
    [
        (None, False),
        (records.Limits(1.5, None), True),
        (records.Limits(None, None), True),
        (records.Limits(1.0, 1.0), False),
    ],
)
def test_limits_of_a_claim_come_before_the_ratios_of_the_node(limits: records.Limits | None, accepted: bool) -> None:
    worker = place_cases.a_worker(numa_topology=place_cases.CELLS[:1], cpu_allocation_ratio=1.0, vcpus=64)
    floating = numa_cases.a_guest(numa_cases.a_cell(0, 3))
    worker.tell(place_cases.claim(numa_topology=floating))

    outcome = worker.tell(place_cases.claim(builders.uid(2), limits, numa_topology=floating))

    assert (outcome.outcome == events.ACCEPTED) is accepted


@pytest.mark.parametrize("inventories", [{}, {"VCPU": records.Inventory(64, allocation_ratio=9.0)}])
def test_ratios_that_a_node_has_not_limit_nothing(inventories: dict[str, records.Inventory]) -> None:
    worker = place_cases.a_worker(
        numa_topology=place_cases.CELLS[:1], vcpus=0, memory_mb=0, policy=claims.LOCAL, inventories=inventories
    )

    outcomes = [
        worker.tell(place_cases.claim(builders.uid(number), numa_topology=numa_cases.a_guest(numa_cases.a_cell(0, 3))))
        for number in range(1, 4)
    ]

    assert [outcome.outcome for outcome in outcomes] == [events.ACCEPTED] * 3


@pytest.mark.parametrize(("policy", "accepted"), [(claims.ALL, False), (claims.LOCAL, False), (claims.NONE, True)])
def test_only_the_policy_none_accepts_what_lacks(policy: str, accepted: bool) -> None:
    worker = place_cases.a_worker(policy=policy)

    outcome = worker.tell(place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(3),)))

    assert (outcome.outcome == events.ACCEPTED) is accepted
    assert (builders.VM in worker.store.books) is accepted
    if accepted:
        assert place_cases.held(worker) == {"instance": ([], [4, 5], False)}


def test_limits_are_not_tested_under_the_policy_none() -> None:
    worker = place_cases.a_worker(policy=claims.NONE, numa_topology=place_cases.CELLS[:1])
    floating = numa_cases.a_guest(numa_cases.a_cell(0, 3))
    worker.tell(place_cases.claim(numa_topology=floating))

    worker.tell(place_cases.claim(builders.uid(2), records.Limits(1.0, 1.0), numa_topology=floating))

    assert "instance" in place_cases.held(worker, builders.uid(2))


def test_a_node_without_cells_accepts_a_guest_with_a_topology_and_places_nothing() -> None:
    worker = place_cases.a_worker(numa_topology=None, policy=claims.LOCAL)

    outcome = worker.tell(place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(),)))

    assert outcome.outcome == events.ACCEPTED
    assert outcome.detail["numa_topology"] is None
    assert place_cases.held(worker) == {"instance": ([GPU0], [], False)}


def test_a_topology_is_told_from_the_extra_specs_where_none_is_given() -> None:
    worker = place_cases.a_worker()

    worker.tell(place_cases.claim(flavor=DEDICATED))

    assert place_cases.held(worker) == {"instance": ([], [4, 5], False)}


def test_extra_specs_that_contradict_each_other_refuse_a_claim_with_the_reason() -> None:
    worker = place_cases.a_worker()

    built = worker.tell(place_cases.claim(flavor=TORN))
    moved = worker.tell(
        commands.ClaimMigration(builders.a_move(dest=builders.pair("h1"), new_flavor=TORN), builders.an_instance())
    )
    cold = worker.tell(
        commands.ClaimMigration(
            builders.a_move(dest=builders.pair("h1"), new_flavor=None),
            builders.an_instance(revision=2, flavor=TORN),
        )
    )

    reason = "flavor t: hw:numa_nodes: 1 CPUs and 512 MiB cannot be split into 3 equal cells"
    assert [outcome.reason for outcome in (built, moved, cold)] == [reason] * 3


def test_extra_specs_that_contradict_each_other_break_no_fact() -> None:
    worker = place_cases.a_worker()

    outcome = worker.tell(place_cases.fact(flavor=TORN, pci_requests=(place_cases.gpus(),)))

    assert outcome.outcome == events.APPLIED
    assert place_cases.held(worker) == {"instance": ([GPU0], [], False)}


def test_a_fact_takes_what_there_is_and_an_audit_gives_the_rest_later() -> None:
    worker = place_cases.a_worker(pci_devices=())
    worker.tell(place_cases.fact(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(),)))
    assert place_cases.held(worker) == {"instance": ([], [0, 1], False)}

    worker.tell(place_cases.audit())
    lacking = place_cases.kinds(worker)
    worker.tell(builders.a_report(place_cases.a_node(revision=2)))
    worker.tell(place_cases.audit(taken_at=builders.NOW + 1))

    assert lacking == [("unplaced_instance", builders.VM)]
    assert place_cases.kinds(worker) == []
    assert place_cases.held(worker) == {"instance": ([GPU0], [0, 1], False)}


def test_an_audit_that_can_give_nothing_does_not_make_a_record_newer() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.fact(pci_requests=(place_cases.gpus(3),)))
    before = worker.store.books[builders.VM]
    worker.now += builders.MINUTE

    worker.tell(place_cases.audit())

    assert worker.store.books[builders.VM] == before


def test_a_fact_that_fits_no_cell_has_no_cpus_but_its_devices() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.fact(builders.uid(2), numa_topology=place_cases.pinned(4)))

    worker.tell(place_cases.fact(numa_topology=place_cases.pinned(5), pci_requests=(place_cases.gpus(),)))

    assert place_cases.held(worker) == {}
    worker.tell(place_cases.audit())
    assert place_cases.kinds(worker) == [("unplaced_instance", builders.VM)]


def test_a_place_stays_while_the_instance_needs_the_same() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(builders.uid(2), numa_topology=place_cases.pinned()))
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(),)))
    before = place_cases.held(worker)
    worker.tell(commands.DeleteInstance(builders.uid(2), 2))

    worker.tell(place_cases.fact(revision=2, vm_state="stopped", numa_topology=place_cases.pinned()))

    assert place_cases.held(worker) == before
    assert before["instance"][0] == [GPU0]


def test_a_place_is_looked_for_again_when_the_instance_needs_something_else() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(2)))

    worker.tell(place_cases.fact(revision=2, numa_topology=place_cases.pinned(3)))
    more = place_cases.held(worker)
    worker.tell(place_cases.fact(revision=3))

    assert more == {"instance": ([], [4, 5, 6], False)}
    assert place_cases.held(worker) == {}


def _gone(order: commands.Command) -> builders.Worker:
    worker = place_cases.a_worker("h1", "h2")
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(),)))
    worker.tell(order)
    place_cases.check_places(worker.store)
    histories.check_sums(worker.store)
    histories.check_ledger(worker.store)
    return worker


@pytest.mark.parametrize(
    "order",
    [
        commands.DeleteInstance(builders.VM, 2),
        commands.AbortClaim(builders.VM, 2),
        place_cases.fact(revision=2, vm_state="shelved_offloaded", pci_requests=(place_cases.gpus(),)),
        place_cases.fact(revision=2, host="h2", pci_requests=(place_cases.gpus(),)),
        commands.AuditNode(builders.uid(501), (), builders.NOW + 2 * builders.MINUTE, authoritative=True),
    ],
)
def test_a_place_is_given_back_when_the_instance_leaves(order: commands.Command) -> None:
    worker = _gone(order)

    assert set(place_cases.states(worker).values()) == {"available"}
    account = builders.account_of()
    assert {entry.kind for entry in worker.store.entries if entry.account == account} >= {places.DEVICE, places.CELL}


def test_two_guests_of_one_batch_are_given_different_things() -> None:
    worker = place_cases.a_worker()
    asked: dict[str, Any] = {"numa_topology": place_cases.pinned(), "pci_requests": (place_cases.gpus(),)}

    worker.tell(place_cases.claim(**asked), place_cases.claim(builders.uid(2), **asked))

    assert place_cases.held(worker) == {"instance": ([GPU0], [0, 1], False)}
    assert place_cases.held(worker, builders.uid(2)) == {"instance": ([GPU1], [4, 5], False)}


def test_a_report_and_a_claim_of_one_batch_go_together() -> None:
    worker = builders.Worker()

    outcome = worker.tell(
        builders.a_report(place_cases.a_node()), place_cases.claim(pci_requests=(place_cases.gpus(),))
    )

    assert outcome.outcome == events.ACCEPTED


def test_the_ledger_tells_devices_and_cells_entry_by_entry() -> None:
    worker = place_cases.a_worker()

    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(pagesize=2048), pci_requests=(place_cases.gpus(),)))
    worker.tell(commands.DeleteInstance(builders.VM, 2))

    entries = [entry for entry in worker.store.entries if entry.kind in places.KINDS]
    taken = {"cell_0_pinned_cpus": 2, "cell_0_memory_mb": 1024, "cell_0_pages_2048": 512}
    assert [(entry.kind, entry.amounts) for entry in entries] == [
        ("device", {GPU0: 1}),
        ("cell", taken),
        ("device", {GPU0: -1}),
        ("cell", {name: -amount for name, amount in taken.items()}),
    ]
    assert {(entry.instance_uuid, entry.node_uuid) for entry in entries} == {(builders.VM, builders.uid(501))}
