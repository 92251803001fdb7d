"""Places on a node whose report changes: nobody loses what it has, and what does not go together any more is found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests import builders
from tests.unit.core import place_cases
from worker.core import commands, events, records

GPU0, GPU1 = place_cases.GPU0, place_cases.GPU1


def test_a_device_that_vanished_is_kept_and_found_and_gone_when_it_is_free() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(),)))
    left = tuple(one for one in place_cases.DEVICES if one.address != GPU0)

    worker.tell(builders.a_report(place_cases.a_node(revision=2, pci_devices=left)))
    found = place_cases.kinds(worker)
    worker.tell(place_cases.audit())
    again = place_cases.kinds(worker)
    kept = place_cases.states(worker)[GPU0]
    worker.tell(commands.DeleteInstance(builders.VM, 2))

    assert found == again == [("device_missing", builders.VM)]
    assert kept == "allocated"
    assert GPU0 not in place_cases.states(worker)


def test_a_held_device_that_became_another_one_is_found() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(),)))
    changed = [
        msgspec.structs.replace(one, product_id="ffff") if one.address == GPU0 else one for one in place_cases.DEVICES
    ]

    worker.tell(builders.a_report(place_cases.a_node(revision=2, pci_devices=tuple(changed))))

    assert place_cases.kinds(worker) == [("device_differs", builders.VM)]


def test_a_report_without_news_finds_nothing_again() -> None:
    worker = place_cases.a_worker(pci_devices=place_cases.DEVICES)
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(),)))
    worker.tell(builders.a_report(place_cases.a_node(revision=2, pci_devices=())))
    worker.forget_events()

    worker.tell(builders.a_report(place_cases.a_node(revision=3, pci_devices=())))

    assert place_cases.kinds(worker) == []


def test_a_device_that_is_plugged_in_can_be_claimed() -> None:
    worker = place_cases.a_worker(pci_devices=())
    asked = place_cases.claim(pci_requests=(place_cases.gpus(),))

    before = worker.tell(asked)
    worker.tell(builders.a_report(place_cases.a_node(revision=2)))

    assert before.outcome == events.REFUSED
    assert worker.tell(asked).outcome == events.ACCEPTED


def test_a_device_that_went_to_another_cell_is_chosen_by_where_it_is() -> None:
    worker = place_cases.a_worker()
    crossed = [msgspec.structs.replace(one, numa_node={0: 1, 1: 0}[one.numa_node or 0]) for one in place_cases.DEVICES]
    worker.tell(builders.a_report(place_cases.a_node(revision=2, pci_devices=tuple(crossed))))

    worker.tell(
        place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(numa_policy="required"),))
    )

    ((found, pinned, _),) = place_cases.held(worker).values()
    assert (found, pinned) in (([GPU0], [4, 5]), ([GPU1], [0, 1]))


def _cells(**changes: Any) -> tuple[records.HostCell, ...]:
    return (msgspec.structs.replace(place_cases.CELLS[0], **changes), place_cases.CELLS[1])


@pytest.mark.parametrize(
    "shrunk", [_cells(pcpuset=frozenset({1, 2})), place_cases.CELLS[1:], _cells(memory=512), _cells(mempages=())]
)
def test_cells_that_shrank_under_a_guest_are_found_and_it_keeps_its_place(shrunk: tuple[records.HostCell, ...]) -> None:
    worker = place_cases.a_worker(pci_devices=())
    asked = place_cases.pinned(pagesize=2048)
    worker.tell(place_cases.claim(numa_topology=asked))

    worker.tell(builders.a_report(place_cases.a_node(revision=2, pci_devices=(), numa_topology=shrunk)))
    worker.tell(place_cases.fact(revision=2, numa_topology=asked, vm_state="stopped"))

    assert {kind for kind, _ in place_cases.kinds(worker)} == {"numa_strained"}
    assert place_cases.held(worker) == {"instance": ([], [0, 1], False)}


@pytest.mark.parametrize("report", [None, place_cases.a_node(revision=3, numa_topology=None)])
def test_a_guest_keeps_its_place_while_its_node_has_no_cells(report: records.ComputeNode | None) -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(),)))
    before = place_cases.held(worker)

    worker.tell(commands.RemoveNode(builders.uid(501), 2) if report is None else builders.a_report(report))
    worker.tell(
        place_cases.fact(
            revision=2, numa_topology=place_cases.pinned(), pci_requests=(place_cases.gpus(),), os_type="x"
        )
    )

    assert place_cases.held(worker) == before


def test_cpus_that_went_to_another_cell_are_not_given_twice() -> None:
    worker = place_cases.a_worker(pci_devices=())
    worker.tell(place_cases.claim(numa_topology=place_cases.pinned(4)))
    moved = (msgspec.structs.replace(place_cases.CELLS[0], id=7),)
    worker.tell(builders.a_report(place_cases.a_node(revision=2, pci_devices=(), numa_topology=moved)))

    outcome = worker.tell(place_cases.claim(builders.uid(2), numa_topology=place_cases.pinned(1)))

    assert "NUMA cell 7: dedicated CPUs asked 1, available 0" in outcome.reason


def test_a_rival_report_takes_over_with_its_own_devices() -> None:
    worker = place_cases.a_worker()
    worker.tell(place_cases.claim(pci_requests=(place_cases.gpus(),)))
    rival = msgspec.structs.replace(place_cases.a_node(revision=5, pci_devices=()), uuid=builders.uid(777))

    worker.tell(builders.a_report(rival))

    assert ("device_missing", builders.VM) in place_cases.kinds(worker)
    worker.tell(place_cases.audit())
    assert "device_missing" not in [kind for kind, _ in place_cases.kinds(worker)]
